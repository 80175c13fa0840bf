"""History through the very watch that judges live, leaving out what can change no answer.

    summaries of hours ─► Ahead: which hours of which device matter ─► their readings ─► Replay

A reading matters only where some rule's condition could become true, and around it: before, as far
as windows look back and until it is known again how often the series speaks; after, until windows
have forgotten it and every alert of the device is at rest. All else leaves a "no" a "no", so it is
left out, and the transitions are those that live evaluation gave. What can't be judged by the
summaries (`always`) is read whole.

The clock ticks only when somebody waits for it: in between a tick changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import Literal, NamedTuple

from hub.reading import Reading, Series
from rules.duration import DAY, HOUR, SECOND
from rules.model import THING_KEYS
from rules.roster import Roster
from rules.rule import Rule, When
from rules.thing import Thing
from rules.track import Missing
from rules.transition import Transition
from rules.watch import LATE_AFTER, Watch

CELL = HOUR
"""History is summed up by the hour, aligned to the epoch."""
TICK = SECOND
SETTLING = 64
"""So many readings tell how often a series speaks, exactly (`Line.interval_ns` at most doubles)."""
ANSWERS = "up"
"""The field by which a poll says whether the device lives."""
ROUNDED = 1e-6
"""Windows add up whole millionths, so a reading may count for a little more than it is."""

_PLAIN = {"measurement", "field", "comparison", "threshold", "clear", "only_if", "good_only"}
"""Parts of a condition that leave the extremes of an hour telling whether it can hold."""
Extreme = Literal["min", "max", "sum"]
_BOUNDS: Mapping[str, frozenset[Extreme]] = {
    "above": frozenset({"max"}),
    "below": frozenset({"min"}),
    "equals": frozenset({"min", "max"}),
    "not_equals": frozenset({"min", "max"}),
}
"""What of an hour bounds what is compared."""
_RISING = {"mean", "min", "max", "p95"}
"""Functions whose value lies between the lowest and the highest reading."""


@dataclass(slots=True)
class Hours:
    """The hours of one field of one series in which it has a value, in order of time: a list for
    each thing known of them, so that a month of a network is summed up in few objects. What nobody
    asks for (`Need.extremes`) is an empty list."""

    start_ns: list[int] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    """Of readings."""

    def add(
        self,
        start_ns: Sequence[int],
        number: Sequence[int],
        parts: Mapping[Extreme, Sequence[float]],
    ) -> None:
        """More hours behind these."""
        self.start_ns += start_ns
        self.number += number
        self.low += parts.get("min", ())
        self.high += parts.get("max", ())
        self.total += parts.get("sum", ())


class Need(NamedTuple):
    """What must be known of a measurement before its readings are read."""

    extremes: Mapping[str, frozenset[Extreme]]
    """Field → what of its hours beside the number of readings."""
    signs: Mapping[str, int]
    """Field ("": any) → length of the cells in which presence is asked for, nanoseconds."""


def needs(rules: Iterable[Rule]) -> dict[str, Need]:
    """By measurement."""
    extremes: dict[str, dict[str, frozenset[Extreme]]] = {}
    signs: dict[str, dict[str, int]] = {}
    for rule in rules:
        when = rule.when
        for one in conditions(rule):
            extremes.setdefault(one.measurement, {})
            signs.setdefault(one.measurement, {})
        if always(rule):
            continue
        cells = signs[when.measurement]
        if when.is_absence:
            cell = sign_cell(when.absent_ns)
            cells[when.field] = min(cell, cells.get(when.field, cell))
        else:
            fields = extremes[when.measurement]
            fields[when.field] = fields.get(when.field, frozenset()) | _bounds(when)
    return {name: Need(extremes[name], signs[name]) for name in extremes}


def conditions(rule: Rule) -> Sequence[When]:
    """The only condition of a rule, or its parts."""
    return rule.when.parts or (rule.when,)


def sign_cell(absent_ns: int) -> int:
    """The longest cell of which two fit into an absence, dividing an hour: a silence that is long
    enough leaves one of them empty."""
    for divisor in (1, 2, 4, 6, 12, 30, 60, 120, 360, 720, 1800, 3600):
        if 2 * (CELL // divisor) <= absent_ns:
            return CELL // divisor
    return SECOND


def always(rule: Rule) -> bool:
    """Can't summaries tell when it may fire? Then every reading of its devices is read."""
    when = rule.when
    if rule.is_joint:
        return True
    if when.is_absence:
        return bool(when.only_if or when.hours) or when.absent_ns < 2 * SECOND
    plain = When("")
    strange = [
        part.name
        for part in fields_of(When)
        if part.name not in _PLAIN | {"window"}
        and getattr(when, part.name) != getattr(plain, part.name)
    ]
    return bool(strange) or not _tells(when)


def _tells(when: When) -> bool:
    """Do an hour's extremes bound what is compared?"""
    if when.comparison not in ("above", "below", "equals", "not_equals"):
        return False
    if when.window is None:
        return True
    function = str(when.window.function)
    if function in _RISING:
        return when.comparison in ("above", "below")
    return function == "sum" and when.comparison == "above" and when.threshold >= 0


def _bounds(when: When) -> frozenset[Extreme]:
    """What of an hour tells whether the condition can hold."""
    if when.window is not None and when.window.function == "sum":
        return frozenset({"min", "max", "sum"})
    return _BOUNDS[when.comparison]


def fields_needed(
    rules: Iterable[Rule], known: Mapping[str, Collection[str]]
) -> dict[str, set[str]]:
    """By measurement, the fields that a replay must be fed with. `known`: those that are there."""
    found: dict[str, set[str]] = {}
    for rule in rules:
        for when in conditions(rule):
            here = found.setdefault(when.measurement, set())
            if when.expression:
                here |= set(when.expression.fields)
            else:
                here |= {when.field} if when.field else set(known.get(when.measurement, ()))
            here |= {name for name, _ in (*when.only_if, *rule.at_once_if)}
            here |= {beside.field for beside in when.beside}
    return found


# -- which hours matter -------------------------------------------------------------------


class Ahead:
    """Which hours of which device must be fed. Filled series by series, then asked."""

    def __init__(
        self, rules: Sequence[Rule], things: Iterable[Thing], start: int, stop: int
    ) -> None:
        self._roster = Roster((), things, LATE_AFTER)
        self._rules = rules
        self._first, self._last = start // CELL, (stop - 1) // CELL
        self._hours: dict[str, set[int]] = {}
        self._lost: dict[str, set[int]] = {}
        """Of these, those in which a device may be out of reach."""
        self._signs: dict[tuple[str, str], set[int]] = {}
        """Cells with a sign of life, by rule and device."""
        self.whole: set[str] = set()
        """Devices of which everything is fed."""

    def hours(self, series: Series, field: str, hours: Hours) -> None:
        """All hours of that field in which it has a value, in order."""
        for rule in self._about(series, field):
            if not rule.when.is_absence and not always(rule):
                self._judge(rule, series.device, hours)

    def meets(self, series: Series) -> None:
        """That series is there: some rules want all of its device."""
        for rule in self._rules:
            measured = {when.measurement for when in conditions(rule)}
            if series.measurement in measured and always(rule) and self._covers(rule, series):
                self.whole.add(series.device)

    def signs(self, series: Series, field: str, cells: Iterable[int]) -> None:
        """The starts of the cells in which the field ("": any) has a value that counts."""
        for rule in self._about(series, field):
            if rule.when.is_absence and not always(rule):
                self._signs.setdefault((rule.name, series.device), set()).update(cells)

    def silences(self, cell_of: Callable[[Rule], int]) -> None:
        """After all signs: hours around cells without one must be fed, also of all that the silent
        depend on: those are asked then."""
        for rule in self._rules:
            if not rule.when.is_absence or always(rule):
                continue
            cell, who = cell_of(rule), rule.where.only(frozenset(THING_KEYS))
            for thing in self._roster.things.values():
                if who.matches(thing.attributes()):
                    heard = self._signs.get((rule.name, thing.id), set())
                    self._around_gaps(thing.id, heard, cell)
        for device, hours in self._lost.items():
            for parent in self._roster.topology.ancestors(device):
                self._hours.setdefault(parent, set()).update(hours)

    def _around_gaps(self, device: str, heard: set[int], cell: int) -> None:
        hours = self._lost.setdefault(device, set())
        before = self._first * CELL - cell
        for start in (*sorted(heard), (self._last + 1) * CELL):
            if start - before > cell:
                # From the last sign before the silence to the first one after it.
                hours.update(range(before // CELL, start // CELL + 1))
            before = start
        self._hours.setdefault(device, set()).update(hours)

    def active(self, device: str, hour: int) -> bool:
        """Must the device be fed in that hour (counted from the epoch)?"""
        return device in self.whole or hour in self._hours.get(device, ())

    def _about(self, series: Series, field: str) -> Iterator[Rule]:
        for rule in self._rules:
            when = rule.when
            known = when.measurement == series.measurement and when.field == field
            if known and self._covers(rule, series):
                yield rule

    def _covers(self, rule: Rule, series: Series) -> bool:
        if not self._roster.judges(series.measurement, series.device):
            return False
        return rule.where.matches(self._roster.attributes(series.device, series.tags))

    def _judge(self, rule: Rule, device: str, hours: Hours) -> None:
        strong = list(_strong(rule.when, hours))
        if not strong:
            return
        needed, window = self._hours.setdefault(device, set()), rule.when.window
        # A window has forgotten an hour when it is as long past as it looks back.
        cooling = -(-window.length_ns // CELL) if window else 0
        before = cooling + 1 if window else 0
        if rule.when.needs_own_line:
            before += DAY // CELL  # not all that is counted tells that line how often it speaks
        done = -1
        for index in strong:
            hour = hours.start_ns[index] // CELL
            first = min(hour - before, self._settled(hours, index))
            needed.update(range(max(first, done), hour + cooling + 1))
            done = hour
        if rule.means == "down":
            self._lost.setdefault(device, set()).update(needed)

    def _settled(self, hours: Hours, index: int) -> int:
        """The hour from which on there are enough readings to know the series' rhythm."""
        count = 0
        while index > 0 and count < SETTLING:
            index -= 1
            count += hours.number[index]
        return hours.start_ns[index] // CELL


def _strong(when: When, hours: Hours) -> Iterable[int]:
    """The hours (by index) in which the condition could become true."""
    threshold, near = when.threshold, 0.0 if when.window is None else ROUNDED
    if when.window is not None and when.window.function == "sum":
        return _strong_sums(when.window.length_ns, threshold, hours)
    if when.comparison == "above":
        limit = threshold - near
        return [index for index, high in enumerate(hours.high) if high > limit]
    if when.comparison == "below":
        limit = threshold + near
        return [index for index, low in enumerate(hours.low) if low < limit]
    both = enumerate(zip(hours.low, hours.high, strict=True))
    if when.comparison == "equals":
        return [index for index, (low, high) in both if low <= threshold <= high]
    return [index for index, (low, high) in both if not low == high == threshold]


def _strong_sums(length_ns: int, threshold: float, hours: Hours) -> Iterator[int]:
    """A window lies within whole hours; without negative readings their sum bounds its own."""
    back = -(-length_ns // CELL) + 1
    starts = [start_ns // CELL for start_ns in hours.start_ns]
    bounds = [
        (total if low >= 0 else high * number) + ROUNDED * number
        for low, high, total, number in zip(
            hours.low, hours.high, hours.total, hours.number, strict=True
        )
    ]
    # Sums of floats agree to rounding only.
    limit = threshold - abs(threshold) * 1e-9
    for index, start in enumerate(starts):
        first = bisect_left(starts, start - back)
        if hours.high[index] > 0 and sum(bounds[first : index + 1]) > limit:
            yield index


# -- the watch itself -------------------------------------------------------------------------


class Replay(Watch):
    """A watch that is fed with history in order of time, and left alone in between."""

    def __init__(self, rules: Sequence[Rule], things: Iterable[Thing], start_ns: int) -> None:
        super().__init__(rules, things)
        self._number = 0
        self._clock = start_ns
        # The inventory alone decides which there are.
        self._absences = [t for t in self._tracks.values() if isinstance(t, Missing)]

    def begin(self) -> list[Transition]:
        """The first tick: from now on silence counts."""
        return self._tick_at(self._clock)

    def feed(self, readings: Sequence[Reading], time_ns: int) -> list[Transition]:
        """Readings of one time, the clock having gone on up to then."""
        out = self.advance(time_ns)
        self._number += 1
        if not any(ANSWERS in reading.fields for reading in readings):
            return out + self.observe(self._number, readings, time_ns)
        for reading in readings:
            out += self.observe(self._number, [reading], time_ns)
            out += self._answer(reading, time_ns)
        return out

    def _answer(self, reading: Reading, time_ns: int) -> list[Transition]:
        """What was asked was polled at once, and what it answered is among the readings, if some
        rule looks at that; else the wait for a verdict lasts its minute."""
        up, device = reading.fields.get(ANSWERS), reading.series.device
        if up is None or device not in self.questions():
            return []
        return self.verdict(self._number, time_ns, device, bool(up))

    def advance(self, until_ns: int) -> list[Transition]:
        """Let the clock tick up to then, as far as anybody waits for it."""
        out: list[Transition] = []
        first = self._agenda.first_ns
        if (first is None or first > until_ns) and not self._telling.holds_back:
            self._clock = max(self._clock, until_ns)  # nearly always
            return out
        while (due := self._next_due()) is not None and due <= until_ns:
            out += self._tick_at(due)
        last = until_ns // TICK * TICK
        if self._telling.holds_back and last > self._clock:
            out += self._tick_at(last)  # what is held back counts from when its cause was seen last
        self._clock = max(self._clock, until_ns)
        return out

    def sleep(self, until_ns: int) -> list[Transition]:
        """The hub was down: no clock ticked, and nobody listened."""
        self._number += 1
        self._clock = max(self._clock, until_ns)
        return self.tick(self._number, self._clock)

    def busy(self) -> set[str]:
        """Devices that have an alert that is not at rest: they must be fed on."""
        shown = (self._tracks[key] for key in self._shown)
        return {track.device for track in shown if not track.calm}

    def pass_by(self, fed: Collection[str], until_ns: int) -> None:
        """Until then, the devices that are not fed go on giving signs of life."""
        for track in self._absences:
            if track.device in fed or not track.calm:
                continue
            if (track.absence.heard_ns or 0) < until_ns:
                track.absence.heard(until_ns)

    def _next_due(self) -> int | None:
        """When the next tick is that could change something: at whole seconds, after the last."""
        due = self._telling.waiting_for(self._clock)
        noted = self._agenda.first_ns
        if noted is not None:
            due.append(noted)
        if not due:
            return None
        return max(-(-min(due) // TICK) * TICK, (self._clock // TICK + 1) * TICK)

    def _tick_at(self, time_ns: int) -> list[Transition]:
        out: list[Transition] = []
        if self._telling.holds_back and time_ns - TICK > self._clock:
            out += self._tick_at(time_ns - TICK)
        self._number += 1
        self._clock = time_ns
        if self._ticked is not None:
            self._ticked = max(self._ticked, time_ns - TICK)
        return out + self.tick(self._number, time_ns)
