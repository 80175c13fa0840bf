"""One rule on one series (or, for absence, on one device): condition, machine and freshness.

Two clocks meet here. Conditions and timers run on the readings' own time, so that an alert's
`for` is judged by what was measured and not by how long messages took; between readings that
time passes as the hub's does (`lag_ns` is the distance). Liveness is judged by arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.reading import Quality, Value
from rules.alert import AlertState, DataState, Signal, State, Step, Timing, due, step
from rules.conditions import UNCHANGED, Absence, Edge, Windowed, condition
from rules.duration import DAY, MINUTE
from rules.rule import Rule

DEAF = int(Quality.RETAINED | Quality.LATE)
"""Readings with these flags are history: they update nothing and page nobody."""

FRESH_AT_LEAST = 2 * MINUTE
FRESH_BY_DEFAULT = 5 * MINUTE
"""How long one reading is believed before a second one shows the usual interval."""
_HUGE = 1e300
UNTOUCHED = AlertState()
"""Shared by all tracks to which nothing ever happened."""

Tags = tuple[tuple[str, str], ...]
Steps = tuple[Step, ...]


def alert_key(rule: str, device: str, tags: Tags = ()) -> str:
    """The name of an alert: `link_down:r-dlh:ifname=ether1`. `%` and `:` in parts are quoted."""
    parts = [rule, device, *(f"{key}={value}" for key, value in tags)]
    return ":".join(part.replace("%", "%25").replace(":", "%3A") for part in parts)


class Track:
    """What is common to both kinds."""

    __slots__ = (
        *("alert", "armed_ns", "calm", "cause", "device", "held_ns", "key", "rule"),
        *("series_key", "tags", "timing", "told"),
    )

    def __init__(self, rule: Rule, device: str, tags: Tags, series_key: str) -> None:
        self.rule = rule
        self.device = device
        self.tags = tags
        """The identity tags beside `device`."""
        self.series_key = series_key
        """Empty for absence: it is about the device."""
        self.key = alert_key(rule.name, device, tags)
        self.timing = Timing(rule.for_ns, rule.keep_firing_ns)
        self.alert = UNTOUCHED
        self.calm = True
        """`alert.state.resting`, kept apart because every reading asks for it."""
        self.told = False
        """Somebody was notified that it fires."""
        self.cause = ""
        self.held_ns = 0
        """Its notification is held back at least until then."""
        self.armed_ns: int | None = None
        """The due time under which the watch has noted it."""

    def signal(self, signal: Signal, time_ns: int, who: str = "", why: str = "") -> Steps:
        """Hand a signal to the machine."""
        self.alert, steps = step(self.alert, signal, time_ns, self.timing, who, why)
        if steps:
            self.calm = self.alert.state.resting
        return steps

    def edge(self, edge: Edge, time_ns: int) -> Steps:
        """Hand a condition's edge to the machine, then let its time pass."""
        steps: Steps = ()
        if edge is Edge.TRUE:
            steps = self.signal(Signal.TRUE, time_ns)
        elif edge is Edge.FALSE:
            steps = self.signal(Signal.FALSE, time_ns)
        if due(self.alert, self.timing) is not None:
            steps += self.signal(Signal.TIME, time_ns)
        return steps

    def dump_alert(self) -> list[Any] | None:
        """None: nothing ever happened to it."""
        a = self.alert
        if a is UNTOUCHED:
            return None
        state = [str(a.state), a.since_ns, a.until_ns, a.false_ns, a.who, a.comment]
        return [*state, self.told, self.cause, self.held_ns]

    def load_alert(self, data: list[Any] | None) -> None:
        if data is None:
            return
        state, since, until, false, who, comment, self.told, self.cause, self.held_ns = data
        self.alert = AlertState(State(state), since, until, false, who, comment)
        self.calm = self.alert.state.resting

    @property
    def since_ns(self) -> int:
        """When the trouble began."""
        return self.alert.since_ns

    def rewind_alert(self, now_ns: int) -> None:
        """The clock was set back: nothing began later than now."""
        a = self.alert
        if a is UNTOUCHED:
            return
        false = None if a.false_ns is None else min(a.false_ns, now_ns)
        self.alert = AlertState(
            a.state, min(a.since_ns, now_ns), min(a.until_ns, now_ns), false, a.who, a.comment
        )
        self.held_ns = min(self.held_ns, now_ns)


class Comparing(Track):
    """A threshold on one series."""

    __slots__ = (
        *("_feed", "_once", "_picky", "condition"),
        *("interval_ns", "lag_ns", "newest_ns", "quality"),
    )

    def __init__(self, rule: Rule, device: str, tags: Tags, series_key: str) -> None:
        super().__init__(rule, device, tags, series_key)
        self.condition = condition(rule.when)
        self._feed = self.condition.feed
        self._once = isinstance(self.condition, Windowed)
        """A repeated time counts once; elsewhere the last value of a time wins."""
        self._picky = bool(rule.when.only_if) or rule.when.good_only
        self.newest_ns: int | None = None
        self.interval_ns: int | None = None
        """How far readings are apart, as seen; grows by doubling at most."""
        self.lag_ns = 0
        self.quality = 0

    def read(
        self, value: Value, fields: Mapping[str, Value], time_ns: int, now_ns: int, quality: int
    ) -> Steps:
        """A reading that is neither late nor retained. The hot path: mind what it does."""
        newest = self.newest_ns
        if newest is not None and time_ns <= newest and (time_ns < newest or self._once):
            return ()
        if type(value) is str or not -_HUGE < value < _HUGE:  # type: ignore[operator]
            return ()
        self.quality = quality
        applies = self._applies(fields) if self._picky else True
        if applies is None:
            return ()
        calm = self.calm
        steps: Steps = ()
        if not calm and self.alert.state is State.PENDING and not self.fresh(time_ns):
            steps = self.signal(Signal.DOUBT, time_ns)
        if newest is not None and time_ns != newest:
            gap, known = time_ns - newest, self.interval_ns
            if gap != known:
                self.interval_ns = gap if known is None or gap < 2 * known else 2 * known
        self.newest_ns, self.lag_ns = time_ns, now_ns - time_ns
        edge = self._feed(time_ns, value) if applies else self.condition.deny()  # type: ignore[arg-type]
        if calm and edge is UNCHANGED:
            return steps
        return steps + self.edge(edge, time_ns)

    def _applies(self, fields: Mapping[str, Value]) -> bool | None:
        """Do quality and companions allow it? None: they say nothing, so does the reading."""
        if self.quality and self.rule.when.good_only:
            return None
        return _applies(self.rule.when.only_if, fields)

    def fresh(self, time_ns: int) -> bool:
        """Is the last reading young enough to be believed at that (reading's) time?"""
        if self.newest_ns is None:
            return False
        interval = self.interval_ns
        limit = FRESH_BY_DEFAULT if interval is None else max(3 * interval, FRESH_AT_LEAST)
        return time_ns - self.newest_ns <= limit

    def value_at(self, now_ns: int) -> float | None:
        return self.condition.value

    def due(self) -> int | None:
        """When (hub's time) it wants to be asked, if nothing is read before."""
        when = due(self.alert, self.timing)
        return None if when is None else when + self.lag_ns

    def tick(self, now_ns: int) -> Steps:
        time_ns = now_ns - self.lag_ns
        if not self.fresh(time_ns):
            return ()
        return self.signal(Signal.TIME, time_ns)

    def data_state(self, now_ns: int) -> DataState:
        if self.newest_ns is None:
            return DataState.NO_DATA
        if not self.fresh(now_ns - self.lag_ns):
            return DataState.STALE
        return DataState.SUSPECT if self.quality else DataState.OK

    def dump(self) -> list[Any]:
        freshness = [self.newest_ns, self.interval_ns, self.lag_ns, self.quality]
        return [self.condition.dump(), *freshness]

    def load(self, data: list[Any]) -> None:
        state, self.newest_ns, self.interval_ns, self.lag_ns, self.quality = data
        self.condition.load(state)

    def rewind(self, now_ns: int) -> None:
        self.rewind_alert(now_ns)
        if self.newest_ns is not None and self.newest_ns > now_ns:
            self.newest_ns = now_ns
            self.condition.restart()
        self.lag_ns = max(0, min(self.lag_ns, DAY))


class Missing(Track):
    """An absence: the device should say something from time to time."""

    __slots__ = ("_only_if", "absence")

    def __init__(self, rule: Rule, device: str) -> None:
        super().__init__(rule, device, (), "")
        self._only_if = rule.when.only_if
        self.absence = Absence(rule.when.absent_ns)

    def read(
        self, value: Value, fields: Mapping[str, Value], time_ns: int, now_ns: int, quality: int
    ) -> Steps:
        """A sign of life, if the companions say so. Nearly always it says nothing new."""
        only_if, absence = self._only_if, self.absence
        if only_if and not _applies(only_if, fields):
            return ()
        if absence.holds is False and self.calm:
            absence.heard_ns = now_ns
            return ()
        return self.edge(absence.heard(now_ns), now_ns)

    @property
    def waiting(self) -> bool:
        """Nobody has told it yet since when to wait."""
        return self.absence.expected_ns is None

    @property
    def since_ns(self) -> int:
        """When the silence began, not when it had lasted too long."""
        return max(0, self.alert.since_ns - self.rule.when.absent_ns)

    def value_at(self, now_ns: int) -> float | None:
        if self.calm:
            return self.absence.value
        return self.absence.silence_s(now_ns)

    def due(self) -> int | None:
        times = (due(self.alert, self.timing), self.absence.due_ns)
        return min((time for time in times if time is not None), default=None)

    def tick(self, now_ns: int) -> Steps:
        return self.edge(self.absence.tick(now_ns), now_ns)

    def data_state(self, now_ns: int) -> DataState:
        if self.absence.heard_ns is None:
            return DataState.NO_DATA
        return DataState.STALE if self.absence.holds else DataState.OK

    def dump(self) -> list[Any]:
        return self.absence.dump()

    def load(self, data: list[Any]) -> None:
        self.absence.load(data)

    def rewind(self, now_ns: int) -> None:
        self.rewind_alert(now_ns)
        self.absence.rewind(now_ns)


def _applies(only_if: tuple[tuple[str, float], ...], fields: Mapping[str, Value]) -> bool | None:
    """Do the companion fields have their values? None: one of them is not in the reading."""
    answer = True
    for name, wanted in only_if:
        value = fields.get(name)
        if value is None:
            return None
        answer = answer and value == wanted
    return answer
