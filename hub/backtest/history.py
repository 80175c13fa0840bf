"""The readings of the past that matter to rules, out of a store.

Readings come in slices of time, so memory is bounded by one slice and one summary a series and
hour; within a slice each hour is fed with the devices that matter in it. `Source` is a store, or
the same questions asked of a copy of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
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
from rules.watch import LATE_AFTER

SLICE_HOURS, SLICE_DEVICES = 6, 1000
"""Readings are read in slices of this length; shorter ones where there are more devices."""
SUMMARY_NS = 5 * 24 * CELL
QUALITY = "quality"
COUNT: Aggregate = "count"
DELAYED, LATE = int(Quality.DELAYED), int(Quality.LATE)
DEAF = 128
"""From here on `Quality` says that a reading was retained or late: no sign of life."""
DOWN_NS = 60 * NS
"""Without a word of the hub about itself for longer it was down: it tells each ten seconds."""

Progress = Callable[[str, float], None]
"""What is being done, and how much of it is done (0 to 1)."""


class Source(Protocol):
    """The part of a store that is asked."""

    async def query(self, query: Query) -> list[SeriesRows]: ...

    async def shape(self, measurement: str) -> Shape: ...


Rows = list[tuple[int, tuple[int, int], Reading]]
"""(time, order among equal times: no two have the same, reading)"""
FedHour = tuple[int, int, set[str], Rows]
"""Begin, end, devices that are fed, their readings in order."""


class History:
    """Asks the store: first for summaries (`look`), then for the readings that matter (`hours`)."""

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

    async def hours(self, watches: Sequence[Replay]) -> AsyncIterator[FedHour]:
        """Readings in order of time, hour by hour: of the devices that matter then."""
        devices = [*(thing.id for thing in self._things), "hub"]
        long = SLICE_HOURS * SLICE_DEVICES // max(SLICE_DEVICES, len(devices))
        for begin, end in _spans(self._start, self._stop, max(1, long) * CELL):
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

    async def _slice(self, devices: set[str], begin: int, end: int) -> Rows:
        """All readings of these devices in order of time."""
        rows: Rows = []
        for place, name in enumerate(self._fields):
            rows += await self._readings(name, devices, begin, end, place)
        rows.sort()
        return rows

    async def _readings(
        self, name: str, devices: set[str], begin: int, end: int, place: int
    ) -> Rows:
        """Of one measurement, not in order of time yet."""
        wanted = sorted(self._fields[name] - {QUALITY})
        if not wanted or not devices:
            return []
        doubt = QUALITY in self._shapes[name].fields
        asked = tuple(Column(one) for one in (*wanted, *((QUALITY,) if doubt else ())))
        found: Rows = []
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
