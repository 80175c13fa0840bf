"""What answered since when: the fold that reports of availability are made of. Pure.

    journal ─► Presence ─► spans of up, down, listening, watched ─► timesheet ─► hub/report/

A month's report is due when the readings of its first days are deleted already (`store.retention`),
rollups of five minutes can't tell the second, and alerts tell when people had to be told: rules
wait, are changed, switched off. So what the readings say is folded once, when they pass, and only
changes are kept: some rows a day, for ever, the same with either store. Where each comes from:

    device, camera   `up` of any probe of it, as the collectors say it; a camera whose section says
                     `maintenance: true` is SHUT
    recording        `recording_gap_s`, a camera's word for how long ago it recorded a picture:
                     DOWN from that picture until it said so last, if that is over `GAP`
    link             `oper_up` of the ports that the inventory names as uplinks; one that somebody
                     shut on purpose (`admin_up` 0) is SHUT, not down
    hub              the ticks in the journal, one a second while the hub listens. (Its `hub`
                     readings tell of its parts, every ten seconds.)
    watched          the inventory in force, as the journal's CONFIG records have it
    maintenance      acts of that kind. Silences are none: who mutes an alert mends no number

A reading speaks until the next one, but for `HOLD` at most, and never for a time in which the hub
did not listen: after that nothing is known until the device is heard again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hub.reading import Quality, Reading, Series, Value
from rules.act import Act
from rules.matching import Matcher
from rules.thing import Thing

SECOND = 1_000_000_000
HOLD = 300 * SECOND
"""How long a reading is believed: ten polls of thirty seconds, five of a minute."""
DEAF = 60 * SECOND
"""A longer pause between ticks: the hub did not listen. The rules think so, too."""
LATE = 300 * SECOND
"""A reading that took longer to arrive is history."""

GAP = 300 * SECOND
"""A shorter pause of a camera's recordings is none, as to the rule `camera_not_recording`."""

DOWN, UP, SHUT = 0, 1, 2
HUB = "hub"
MAINTENANCE = 3
"""A camera's `state` while nobody asks it."""
_SAYS = {"device": "up", "camera": "up", "interface": "oper_up"}
_NOT_LIVE = int(Quality.RETAINED | Quality.LATE)


class Span(NamedTuple):
    """One thing was in one state: `since_ns` inclusive, `until_ns` exclusive."""

    series: str
    """Key of a series, `watched,device=…`, or `hub`."""
    since_ns: int
    until_ns: int
    state: int


class Work(NamedTuple):
    """Planned work on what the matcher names."""

    id: str
    """The id of the record that brought it."""
    since_ns: int
    until_ns: int
    matcher: Mapping[str, Sequence[str]]
    who: str
    why: str


def watched(device: str) -> str:
    """The name under which is kept that a device stood in the inventory."""
    return Series.of("watched", device).key


def recording(device: str) -> str:
    """The name under which is kept what a camera says of its recordings."""
    return Series.of("recording", device).key


class Presence:
    """One fold. `folded_id` is the newest record in it; each call takes a later one."""

    def __init__(self) -> None:
        self.folded_id = 0
        self._open: dict[str, list[int]] = {}
        """State, since, until when it was surely so; by series."""
        self._works: dict[str, Work] = {}
        """Planned work that is not over."""
        self._spans: list[Span] = []
        self._changed: dict[str, Work] = {}

    # -- what comes in ------------------------------------------------------------

    def observe(self, readings: Iterable[Reading], now_ns: int) -> None:
        """Readings of one record. Late and retained ones say nothing."""
        says = _SAYS.get
        for series, time_ns, fields, quality in readings:
            field = says(series.measurement)
            if field is None or quality & _NOT_LIVE or time_ns < now_ns - LATE:
                continue
            if series.measurement == "camera":
                if (gap_s := fields.get("recording_gap_s")) is not None:
                    self._recorded(recording(series.device), gap_s, min(time_ns, now_ns))
                if fields.get("state") == MAINTENANCE:
                    self._say(series.key, SHUT, min(time_ns, now_ns))
                    continue
            if field not in fields:
                continue
            state = UP if fields[field] else DOWN
            if field == "oper_up":
                if not fields.get("uplink"):
                    continue
                if fields.get("admin_up") == 0:
                    state = SHUT
            self._say(series.key, state, min(time_ns, now_ns))

    def tick(self, now_ns: int) -> None:
        """The hub listens."""
        span = self._open.get(HUB)
        if span is None:
            self._open[HUB] = [UP, now_ns, now_ns]
        elif now_ns - span[2] > DEAF:
            self._wake(span[2])
            self._open[HUB] = [UP, now_ns, now_ns]
        else:
            span[2] = max(span[2], now_ns)
        for id, work in list(self._works.items()):
            if work.until_ns <= now_ns:
                del self._works[id]

    def act(self, record_id: int, now_ns: int, act: Act) -> None:
        """Planned work is announced, or ended before its time."""
        if act.problem():
            return
        if act.kind == "maintenance":
            matcher = Matcher(dict(act.matcher)).plain()
            work = Work(str(record_id), now_ns, act.until_ns, matcher, act.who, act.why)
            self._works[work.id] = self._changed[work.id] = work
        elif act.kind == "unsilence":
            ended = Matcher(dict(act.matcher)).plain()
            for id, work in list(self._works.items()):
                if id == act.key or (not act.key and work.matcher == ended):
                    self._changed[id] = work._replace(until_ns=min(now_ns, work.until_ns))
                    del self._works[id]

    def configured(self, things: Iterable[Thing], now_ns: int) -> None:
        """These are watched from now on, and no others."""
        wanted = {watched(thing.id): thing.id for thing in things}
        known = [key for key in self._open if key.startswith("watched,")]
        for key in known:
            if key not in wanted:
                self._end(key, now_ns)
        for key in wanted.keys() - set(known):
            self._open[key] = [UP, now_ns, now_ns]

    # -- what is known ------------------------------------------------------------

    def news(self) -> tuple[Sequence[Span], Sequence[Work]]:
        """What ended since `told`, to be kept beside the snapshot."""
        return self._spans, list(self._changed.values())

    def told(self) -> None:
        """The news are kept."""
        self._spans, self._changed = [], {}

    def snapshot(self) -> Any:
        """Plain data that `restore` takes back; what `news` gave is not in it."""
        works = [[*work] for work in self._works.values()]
        return [self.folded_id, self._open, works]

    @classmethod
    def restore(cls, data: Any) -> Presence:
        presence = cls()
        presence.folded_id, presence._open, works = data
        presence._works = {work[0]: Work(*work) for work in works}
        return presence

    # -- inside ---------------------------------------------------------------------

    def _say(self, key: str, state: int, time_ns: int) -> None:
        span = self._open.get(key)
        if span is None:
            self._open[key] = [state, time_ns, time_ns]
            return
        before, _, until_ns = span
        time_ns = max(time_ns, until_ns)  # the clock may have been set back
        if time_ns - until_ns > HOLD:
            self._end(key, until_ns + HOLD)
        elif before != state:
            self._end(key, time_ns)
        else:
            span[2] = time_ns
            return
        self._open[key] = [state, time_ns, time_ns]

    def _recorded(self, key: str, gap_s: Value, time_ns: int) -> None:
        """Its newest picture is so old."""
        if isinstance(gap_s, str):
            return
        newest_ns = time_ns - round(gap_s * SECOND)
        state, since_ns, until_ns = self._open.get(key, (UP, time_ns, time_ns))
        if time_ns - newest_ns <= GAP:
            if state == DOWN:
                self._end(key, until_ns)  # when it began again nobody said
            self._say(key, UP, time_ns)
        elif state == DOWN and newest_ns - since_ns < GAP:
            self._open[key] = [DOWN, since_ns, max(until_ns, time_ns)]
        else:
            if key in self._open:
                self._end(key, until_ns if state == DOWN else min(newest_ns, until_ns + HOLD))
            self._open[key] = [DOWN, newest_ns, time_ns]

    def _wake(self, deaf_ns: int) -> None:
        """Nobody listened since then: what was known before says nothing of now."""
        for key, span in list(self._open.items()):
            if key == HUB:
                self._end(key, deaf_ns)
            elif not key.startswith("watched,"):
                self._end(key, _believed(key, span, deaf_ns))

    def _end(self, key: str, until_ns: int) -> None:
        state, since_ns, _ = self._open.pop(key)
        if until_ns > since_ns:
            self._spans.append(Span(key, since_ns, until_ns, state))


def _believed(key: str, span: Sequence[int], heard_ns: int) -> int:
    """Until when that is known, if the hub listened until then. That nothing is recorded, a camera
    tells of the past alone."""
    state, _, until_ns = span
    if state == DOWN and key.startswith("recording,"):
        return until_ns
    return min(until_ns + HOLD, max(until_ns, heard_ns))


def still_open(snapshot: Any) -> list[Span]:
    """What a snapshot knows to go on, as far as it is known: a watched device until for ever."""
    if not snapshot:
        return []
    _, spans, _ = snapshot
    heard_ns = spans[HUB][2] if HUB in spans else 0
    found = []
    for key, (state, since_ns, until_ns) in spans.items():
        if key.startswith("watched,"):
            until_ns = 2**62
        elif key != HUB:
            until_ns = _believed(key, (state, since_ns, until_ns), heard_ns)
        if until_ns > since_ns:
            found.append(Span(key, since_ns, until_ns, state))
    return found
