"""One rule on one series (or, for absence, on one device): condition, machine and freshness.

Two clocks meet here. Conditions and timers run on the readings' own time, so that an alert's
`for` is judged by what was measured and not by how long messages took; between readings that
time passes as the hub's does (the line's `lag_ns` is the distance). Liveness is judged by arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.reading import Quality, Value
from rules.alert import AlertState, DataState, Signal, State, Step, Timing, due, step
from rules.conditions import Absence, Edge, Windowed, condition
from rules.line import Line
from rules.rule import Rule

DEAF = int(Quality.RETAINED | Quality.LATE)
"""Readings with these flags are history: they update nothing and page nobody."""

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
    """A threshold on one field of one series; `line` feeds it."""

    __slots__ = ("condition", "line", "picky", "windowed", "witnesses")

    def __init__(
        self,
        rule: Rule,
        device: str,
        tags: Tags,
        series_key: str,
        line: Line,
        witnesses: tuple[Line, ...] = (),
    ) -> None:
        super().__init__(rule, device, tags, series_key)
        self.witnesses = witnesses
        """What is beside it, in the order of the rule's `beside`."""
        self.condition = condition(rule.when)
        self.windowed = isinstance(self.condition, Windowed)
        self.picky = is_picky(rule)
        self.line = line
        line.add(self)

    def applies(self, fields: Mapping[str, Value], quality: int, time_ns: int) -> bool | None:
        """Do quality, companions and what is beside allow it? None: they say nothing, so does the
        reading."""
        if not self.picky:
            return True
        when = self.rule.when
        if quality and when.good_only:
            return None
        for beside, line in zip(when.beside, self.witnesses, strict=True):
            says = line.fresh(time_ns) and line.value == beside.value
            if says is not beside.wanted:
                return False
        return _applies(when.only_if, fields)

    def confirm(self, fields: Mapping[str, Value], time_ns: int) -> Steps:
        """Does the same reading bring a second witness, so that nobody need wait?"""
        if self.rule.at_once_if and _applies(self.rule.at_once_if, fields):
            return self.signal(Signal.AT_ONCE, time_ns)
        return ()

    def value_at(self, now_ns: int) -> float | None:
        return self.condition.value if isinstance(self.condition, Windowed) else self.line.value

    def due(self) -> int | None:
        """When (hub's time) it wants to be asked, if nothing is read before."""
        when = due(self.alert, self.timing)
        return None if when is None else when + self.line.lag_ns

    def tick(self, now_ns: int) -> Steps:
        time_ns = now_ns - self.line.lag_ns
        if not self.line.fresh(time_ns):
            return ()
        return self.signal(Signal.TIME, time_ns)

    def data_state(self, now_ns: int) -> DataState:
        line = self.line
        if not line.heard:
            return DataState.NO_DATA
        if not line.fresh(now_ns - line.lag_ns):
            return DataState.STALE
        return DataState.SUSPECT if line.quality else DataState.OK

    def dump(self) -> list[Any]:
        return [self.condition.dump(), self.line.value, *self.line.dump()]

    def load(self, data: list[Any]) -> None:
        state, value, *freshness = data
        self.condition.load(state)
        self.line.value = value
        self.line.load(*freshness)

    def rewind(self, now_ns: int) -> None:
        self.rewind_alert(now_ns)


def is_picky(rule: Rule) -> bool:
    """Whether it takes only some readings of its field: then it can't share a line."""
    return bool(rule.when.only_if or rule.when.beside) or rule.when.good_only


class Missing(Track):
    """An absence: the device should say something from time to time."""

    __slots__ = ("_only_if", "absence", "easy")

    def __init__(self, rule: Rule, device: str) -> None:
        super().__init__(rule, device, (), "")
        self._only_if = rule.when.only_if
        self.easy = not self._only_if
        """Any reading is a sign of life."""
        self.absence = Absence(rule.when.absent_ns)

    def read(self, fields: Mapping[str, Value], now_ns: int) -> Steps:
        """A sign of life, if the companions say so."""
        only_if = self._only_if
        if only_if and not _applies(only_if, fields):
            return ()
        return self.edge(self.absence.heard(now_ns), now_ns)

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
