"""What rules would have done: history from the store through the watch that judges live.

    store ─ hours of all series ─► Ahead ─ what matters ─► store ─ readings ─► Replay ─► Tally
                                 (rules/replay.py)               (one for each set of rules)

Readings come in slices of time, so memory is bounded by one slice and one summary a series and
hour; within a slice each hour is fed with the devices that matter in it. `Source` is a store, or
the same questions asked of a copy of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import compress
from typing import Any, Protocol

from hub.clock import NS
from hub.reading import Quality, Reading, Series
from hub.store.base import LABEL_NAMES, Shape
from hub.store.query import Aggregate, Column, Query, SeriesRows
from rules import replay
from rules.replay import CELL, Ahead, Extreme, Hours, Need, Replay
from rules.rule import Rule
from rules.thing import Thing
from rules.transition import Transition
from rules.watch import LATE_AFTER

SLICE_NS = 3 * CELL
"""Readings are read in slices of this length."""
SUMMARY_NS = 5 * 24 * CELL
QUALITY = "quality"
COUNT: Aggregate = "count"
DELAYED, LATE = int(Quality.DELAYED), int(Quality.LATE)
DEAF = 128
"""From here on `Quality` says that a reading was retained or late: no sign of life."""
FLAP_NS = 15 * 60 * NS
"""Firing again so soon after it was over is a flap."""
DOWN_NS = 60 * NS
"""Without a word of the hub about itself for longer it was down: it tells each ten seconds."""
DAY_NS = 24 * CELL

Progress = Callable[[str, float], None]
"""What is being done, and how much of it is done (0 to 1)."""


class Source(Protocol):
    """The part of a store that is asked."""

    async def query(self, query: Query) -> list[SeriesRows]: ...

    async def shape(self, measurement: str) -> Shape: ...


@dataclass(slots=True)
class Count:
    """One rule on one device."""

    fired: int = 0
    firing_s: float = 0.0
    flaps: int = 0
    open: bool = False
    """Still firing at the end."""


@dataclass(slots=True)
class RuleTally:
    rule: str
    fired: int = 0
    firing_s: float = 0.0
    flaps: int = 0
    still_open: int = 0
    devices: dict[str, Count] = field(default_factory=dict)
    days: list[int] = field(default_factory=list)
    """How often it fired, by day from the start."""
    told: dict[str, int] = field(default_factory=dict)
    """How often each team would have been called, ends included."""


class Tally:
    """Counts transitions, keeps none."""

    def __init__(self, rules: Sequence[Rule], start_ns: int, stop_ns: int) -> None:
        days = -(-(stop_ns - start_ns) // DAY_NS)
        self.rules = {rule.name: RuleTally(rule.name, days=[0] * days) for rule in rules}
        self._start, self._stop = start_ns, stop_ns
        self._since: dict[str, int] = {}
        self._over: dict[str, int] = {}
        self._device: dict[str, tuple[str, str]] = {}

    def take(self, transitions: Sequence[Transition]) -> None:
        for t in transitions:
            tally = self.rules[t.rule]
            for team in t.notify:
                tally.told[team] = tally.told.get(team, 0) + 1
            if t.after == "firing" and t.before not in ("firing", "acknowledged"):
                self._fires(tally, t)
            elif t.after == "resolved" and t.key in self._since:
                self._ends(t.key, t.time_ns)
                self._over[t.key] = t.time_ns

    def _fires(self, tally: RuleTally, t: Transition) -> None:
        count = tally.devices.setdefault(t.device, Count())
        flap = t.time_ns - self._over.get(t.key, -FLAP_NS) < FLAP_NS and t.key in self._over
        tally.fired, count.fired = tally.fired + 1, count.fired + 1
        tally.flaps, count.flaps = tally.flaps + flap, count.flaps + flap
        day = min(len(tally.days) - 1, (t.time_ns - self._start) // DAY_NS)
        tally.days[day] += 1
        self._since[t.key], self._device[t.key] = t.time_ns, (t.rule, t.device)

    def _ends(self, key: str, time_ns: int) -> Count:
        rule, device = self._device[key]
        seconds = (time_ns - self._since.pop(key)) / NS
        tally = self.rules[rule]
        tally.firing_s += seconds
        tally.devices[device].firing_s += seconds
        return tally.devices[device]

    def close(self) -> None:
        """Count what still fires up to the end."""
        for key in list(self._since):
            self._ends(key, self._stop).open = True
            self.rules[self._device[key][0]].still_open += 1


@dataclass(frozen=True, slots=True)
class Report:
    start_ns: int
    stop_ns: int
    before: dict[str, RuleTally]
    after: dict[str, RuleTally] | None
    """With the changes; None: none were given."""
    series: int
    readings: int
    """In the store, as far as a rule looks at them."""
    fed: int
    """Of these, those that could matter and went through the rules."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


async def run(
    source: Source,
    things: Sequence[Thing],
    rules: Sequence[Rule],
    changed: Sequence[Rule] | None,
    start_ns: int,
    stop_ns: int,
    progress: Progress = lambda what, share: None,
    listen: Callable[[int, Sequence[Transition]], None] = lambda number, found: None,
) -> Report:
    """Judge what the store holds of `start_ns` to `stop_ns` by `rules` and, beside them, by
    `changed`. `listen` hears each set's transitions as they come (0: rules, 1: changed).

    Raises what the store raises.
    """
    history = _History(source, things, start_ns, stop_ns, progress)
    sets = [rules] if changed is None else [rules, changed]
    await history.look([rule for one in sets for rule in one])
    watches = [Replay(one, things, start_ns) for one in sets]
    tallies = [Tally(one, start_ns, stop_ns) for one in sets]

    def heard(number: int, found: list[Transition]) -> None:
        if found:
            tallies[number].take(found)
            listen(number, found)

    for number, watch in enumerate(watches):
        heard(number, watch.begin())
    async for begin, end, fed, rows in history.hours(watches):
        for watch in watches:
            watch.pass_by(fed, end)
        _through(watches, rows, history.down_in(begin, end), heard)
        for number, watch in enumerate(watches):
            heard(number, watch.advance(history.awake_until(end)))
    for tally in tallies:
        tally.close()
    after = tallies[1].rules if changed is not None else None
    return Report(
        start_ns, stop_ns, tallies[0].rules, after, history.series, history.readings, history.fed
    )


def _through(
    watches: Sequence[Replay],
    rows: _Rows,
    down: Sequence[tuple[int, int]],
    heard: Callable[[int, list[Transition]], None],
) -> None:
    """One hour's readings in order of time through every watch, which sleep while the hub was
    down."""
    asleep, index, end = list(down), 0, len(rows)
    while index < end:
        time_ns, first = rows[index][0], index
        while index < end and rows[index][0] == time_ns:
            index += 1
        together = [row[2] for row in rows[first:index]]
        while asleep and asleep[0][1] <= time_ns:
            _sleep(watches, asleep.pop(0), heard)
        for number, watch in enumerate(watches):
            heard(number, watch.feed(together, time_ns))
    for span in asleep:
        _sleep(watches, span, heard)


def _sleep(
    watches: Sequence[Replay],
    span: tuple[int, int],
    heard: Callable[[int, list[Transition]], None],
) -> None:
    for number, watch in enumerate(watches):
        heard(number, watch.advance(span[0]))
        heard(number, watch.sleep(span[1]))


_Rows = list[tuple[int, tuple[int, int], Reading]]
"""(time, order among equal times: no two have the same, reading)"""
_Hour = tuple[int, int, set[str], _Rows]
"""Begin, end, devices that are fed, their readings in order."""


class _History:
    """Asks the store: first for summaries, then for the readings that matter."""

    def __init__(
        self, source: Source, things: Sequence[Thing], start: int, stop: int, progress: Progress
    ) -> None:
        self._source, self._things, self._progress = source, things, progress
        self._start, self._stop = start, stop
        self._fields: dict[str, set[str]] = {}
        self._shapes: dict[str, Shape] = {}
        self._down: list[tuple[int, int]] = []
        self.series = self.readings = self.fed = 0

    async def look(self, rules: Sequence[Rule]) -> None:
        """Find out which hours matter to any of these rules."""
        needs = replay.needs(rules)
        for name in needs:
            self._shapes[name] = await self._source.shape(name)
        known = {name: shape.fields for name, shape in self._shapes.items()}
        self._fields = {
            name: wanted & known[name].keys()
            for name, wanted in replay.fields_needed(rules, known).items()
        }
        self._ahead = Ahead(rules, self._things, self._start, self._stop)
        for number, (name, need) in enumerate(needs.items()):
            if self._fields[name]:
                await self._sum_up(name, need, number / len(needs), 1 / len(needs))
        self._ahead.silences(lambda rule: needs[rule.when.measurement].signs[rule.when.field])
        if any(rule.when.is_absence for rule in rules):
            await self._find_pauses()

    async def _sum_up(self, name: str, need: Need, done: float, share: float) -> None:
        """Hours and signs of life of one measurement."""
        numbers = need.extremes.keys() & set(self._shapes[name].numbers())
        hours: dict[Series, dict[str, Hours]] = {}
        for begin, end in _spans(self._start, self._stop, SUMMARY_NS):
            self._progress(f"looking over {name}", done + share * self._part(begin))
            if numbers:
                asked = {one: sorted(need.extremes[one]) for one in sorted(numbers)}
                await self._extremes(name, asked, begin, end, hours)
            for field_name, cell in need.signs.items():
                if not self._told_by_hours(name, field_name, cell, numbers):
                    await self._signs(name, field_name, cell, begin, end)
            if not numbers and not need.signs:
                await self._count(name, begin, end, hours)
        for series, by_field in hours.items():
            self._ahead.meets(series)
            for field_name, found in by_field.items():
                self._ahead.hours(series, field_name, found)
                if self._told_by_hours(name, field_name, need.signs.get(field_name, 0), numbers):
                    self._ahead.signs(series, field_name, found.start_ns)
        self.series += len(hours)

    def _told_by_hours(
        self, name: str, field_name: str, cell: int, numbers: Collection[str]
    ) -> bool:
        """Do the hours of a field tell of its signs of life, too?"""
        return cell == CELL and field_name in numbers and QUALITY not in self._shapes[name].fields

    async def _extremes(
        self,
        name: str,
        asked: Mapping[str, Sequence[Extreme]],
        begin: int,
        end: int,
        hours: dict[Series, dict[str, Hours]],
    ) -> None:
        """Of each field how many readings an hour has, and what is asked for beside that."""
        columns: list[tuple[str, Aggregate]] = [
            (one, part) for one, parts in asked.items() for part in (COUNT, *parts)
        ]
        first = next(iter(asked))
        for series, rows in await self._ask(
            name, tuple(Column(*column) for column in columns), begin, end, CELL
        ):
            by_field = hours.setdefault(series, {})
            starts = [start for start, _ in rows]
            values = dict(zip(columns, zip(*(row for _, row in rows), strict=True), strict=True))
            for one, parts in asked.items():
                found, counts = by_field.setdefault(one, Hours()), values[one, COUNT]
                if 0 in counts:
                    there = [bool(count) for count in counts]
                    found.add(
                        list(compress(starts, there)),
                        list(compress(counts, there)),
                        {part: list(compress(values[one, part], there)) for part in parts},
                    )
                else:
                    found.add(starts, counts, {part: values[one, part] for part in parts})
                if one == first:
                    self.readings += sum(counts)

    async def _count(
        self, name: str, begin: int, end: int, hours: dict[Series, dict[str, Hours]]
    ) -> None:
        """Which series there are, where no summary tells what matters."""
        column = Column(min(self._fields[name]), "count")
        for series, rows in await self._ask(name, (column,), begin, end, None):
            hours.setdefault(series, {})
            self.readings += sum(values[0] or 0 for _, values in rows)

    async def _signs(self, name: str, field_name: str, cell: int, begin: int, end: int) -> None:
        """In which cells a field has a value that counts as a sign of life."""
        known = self._shapes[name].fields
        wanted = [field_name] if field_name else sorted(self._fields[name] - {QUALITY})
        asked = [Column(one, "count") for one in wanted if one in known]
        doubt = QUALITY in known
        if doubt:
            asked.append(Column(QUALITY, "max"))
        for series, rows in await self._ask(name, tuple(asked), begin, end, cell):
            self._ahead.meets(series)
            self._ahead.signs(
                series,
                field_name,
                [
                    start
                    for start, values in rows
                    if not (doubt and (values[-1] or 0) >= DEAF)
                    and any(values[:-1] if doubt else values)
                ],
            )

    async def _find_pauses(self) -> None:
        """When the hub itself was down, as what it says of itself tells."""
        shape = await self._source.shape("hub")
        if "journal_id" not in shape.fields:
            return
        before = 0
        for begin, end in _spans(self._start, self._stop, SUMMARY_NS):
            part = {"part": "ingest"}
            asked = Query("hub", (Column("journal_id"),), begin, end, part, group_by=("part",))
            for answer in await self._source.query(asked):
                for time_ns, _ in answer.rows:
                    if before and time_ns - before > DOWN_NS:
                        self._down.append((before, time_ns))
                    before = time_ns
        if before and self._stop - before > DOWN_NS:
            self._down.append((before, self._stop + 1))  # and it has not come back

    def down_in(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Pauses that end in that slice."""
        return [span for span in self._down if begin < span[1] <= end]

    def awake_until(self, time_ns: int) -> int:
        """That time, or when the pause began in which it lies."""
        return next((begin for begin, end in self._down if begin < time_ns < end), time_ns)

    async def hours(self, watches: Sequence[Replay]) -> AsyncIterator[_Hour]:
        """Readings in order of time, hour by hour: of the devices that matter then."""
        devices = [*(thing.id for thing in self._things), "hub"]
        for begin, end in _spans(self._start, self._stop, SLICE_NS):
            self._progress("judging", self._part(begin))
            hours = range(begin // CELL, (end - 1) // CELL + 1)
            # Who is at rest and not fed stays at rest, so nobody else is fed before the end.
            busy = _busy(watches)
            read = {
                device
                for device in devices
                if device in busy or any(self._ahead.active(device, hour) for hour in hours)
            }
            rows = await self._slice(read, begin, end)
            index = 0
            for start, stop in _spans(begin, end, CELL):
                busy, hour = _busy(watches), start // CELL
                fed = {one for one in read if one in busy or self._ahead.active(one, hour)}
                first, index = index, bisect_left(rows, (stop,), index)
                part = [row for row in rows[first:index] if row[2].series.device in fed]
                self.fed += len(part)
                yield start, stop, fed, part
        self._progress("judging", 1.0)

    async def _slice(self, devices: set[str], begin: int, end: int) -> _Rows:
        """All readings of these devices in order of time."""
        rows: _Rows = []
        for place, name in enumerate(self._fields):
            rows += await self._readings(name, devices, begin, end, place)
        rows.sort()
        return rows

    async def _readings(
        self, name: str, devices: set[str], begin: int, end: int, place: int
    ) -> _Rows:
        """Of one measurement, not in order of time yet."""
        wanted = sorted(self._fields[name] - {QUALITY})
        if not wanted or not devices:
            return []
        doubt = QUALITY in self._shapes[name].fields
        asked = tuple(Column(one) for one in (*wanted, *((QUALITY,) if doubt else ())))
        found: _Rows = []
        patient = {thing.id for thing in self._things if thing.late_after_ns > LATE_AFTER}
        answers = await self._ask(name, asked, begin, end, None, sorted(devices))
        for number, (series, rows) in enumerate(answers):
            order = place, number
            for time_ns, values in rows:
                quality = int(values[-1] or 0) if doubt else 0
                if quality & DELAYED and series.device not in patient:
                    quality |= LATE
                given = dict(zip(wanted, values, strict=False))
                if None in values:
                    given = {one: value for one, value in given.items() if value is not None}
                if given:
                    found.append((time_ns, order, Reading(series, time_ns, given, quality)))
        return found

    async def _ask(
        self,
        name: str,
        columns: tuple[Column, ...],
        begin: int,
        end: int,
        window: int | None,
        devices: Sequence[str] | None = None,
    ) -> list[tuple[Series, Sequence[tuple[int, tuple[Any, ...]]]]]:
        """By series, in a steady order."""
        tags = tuple(tag for tag in self._shapes[name].tags if tag not in LABEL_NAMES)
        where: Mapping[str, Sequence[str]] = {} if devices is None else {"device": devices}
        asked = Query(name, columns, begin, end, where, group_by=tags, window_ns=window)
        return [
            (Series.of(name, **answer.tags), answer.rows)
            for answer in await self._source.query(asked)
            if answer.tags.get("device")
        ]

    def _part(self, time_ns: int) -> float:
        return (time_ns - self._start) / max(1, self._stop - self._start)


def _busy(watches: Sequence[Replay]) -> set[str]:
    """Devices that have an alert that is not at rest, by whichever rules."""
    return set().union(*(watch.busy() for watch in watches))


def _spans(start: int, stop: int, length: int) -> Iterator[tuple[int, int]]:
    """Spans that begin at whole lengths, but for the first."""
    while start < stop:
        end = min(stop, (start // length + 1) * length)
        yield start, end
        start = end
