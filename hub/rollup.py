"""Rollups: what is kept of readings when the readings themselves are gone. Pure.

A `Tier` keeps a row for each series and bucket of its width. Of a numeric field `pm25` it holds

    pm25_count (integer)   pm25_sum (float)   pm25_min   pm25_max   pm25_last (as the field)

A mean is sum / count when somebody asks, so means of coarser windows stay exact. Rows are ordinary
readings, timed at their bucket's start: writing a bucket twice leaves the same points. The hourly
tier is made of the 5-minute one.

An integer's sum is kept as a float: sums of raw counters fit no 64 bits, and up to 2^53 it is
exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from operator import itemgetter
from typing import Any, NamedTuple

from hub.reading import BadSeries, Reading, Series, Value
from hub.store.base import Shape
from hub.store.query import Aggregate, Column, Query, SeriesRows

MINUTE_NS = 60_000_000_000
DAY_NS = 1440 * MINUTE_NS
PARTS: tuple[tuple[str, Aggregate], ...] = (
    ("count", "sum"),
    ("sum", "sum"),
    ("min", "min"),
    ("max", "max"),
    ("last", "last"),
)
"""What is kept of a field, and the aggregate that makes one part of many."""
NEEDS: dict[str, tuple[str, ...]] = {
    "mean": ("sum", "count"),
    "sum": ("sum",),
    "count": ("count",),
    "min": ("min",),
    "max": ("max",),
    "spread": ("min", "max"),
    "last": ("last",),
}
"""The parts that answer an aggregate; `first` and `percentile` need every reading."""
ALWAYS_NS = 6 * 60 * MINUTE_NS
"""Ranges as long as this are answered by rollups, though the readings are there."""
MOST_PIECES = 12
"""Ranges into which a question is cut; more unfinished buckets than that are bridged."""

Span = tuple[int, int]
"""Start inclusive, stop exclusive."""


@dataclass(frozen=True, slots=True)
class Tier:
    """`suffix` makes its name in a store: table `environment_5m`, database `toba-5m`."""

    suffix: str
    width_ns: int


FIVE = Tier("5m", 5 * MINUTE_NS)
HOUR = Tier("1h", 60 * MINUTE_NS)
TIERS = (FIVE, HOUR)
"""Each is made of the one before it, the first of the readings."""


def part_name(field: str, part: str) -> str:
    """The rollup's field. Undone by cutting the last part off, so no two fields share one."""
    return f"{field}_{part}"


def rolled_fields(shape: Shape) -> dict[str, type]:
    """Of a tier's shape: the fields it keeps, with the types they have in the readings."""
    fields = shape.fields
    return {
        name.removesuffix("_count"): fields[part_name(name.removesuffix("_count"), "min")]
        for name in fields
        if name.endswith("_count") and part_name(name.removesuffix("_count"), "min") in fields
    }


def recompute_query(
    measurement: str, fields: Sequence[str], tags: Sequence[str], tier: Tier, span: Span
) -> Query:
    """Ask what a tier keeps of `span`: of the readings for the first, of the tier below else."""
    raw = tier is TIERS[0]
    columns = tuple(
        Column(
            field if raw else part_name(field, part),
            # The aggregate of readings is called as the part is.
            part if raw else merge,  # type: ignore[arg-type]
            name=part_name(field, part),
        )
        for field in fields
        for part, merge in PARTS
    )
    return Query(measurement, columns, *span, group_by=tuple(tags), window_ns=tier.width_ns)


def rows_to_readings(
    measurement: str, fields: Sequence[str], answer: Iterable[SeriesRows]
) -> Iterator[Reading]:
    """The answer to `recompute_query` as the tier's rows."""
    names = [[part_name(field, part) for part, _ in PARTS] for field in fields]
    for rows in answer:
        try:
            pairs = tuple(sorted((tag, text) for tag, text in rows.tags.items() if text))
            series = Series.make(measurement, pairs)
        except BadSeries:  # somebody else wrote it
            continue
        for time_ns, values in rows.rows:
            found: dict[str, Value] = {}
            for number, parts in enumerate(names):
                at = number * len(PARTS)
                count, total, least, most, last = values[at : at + len(PARTS)]
                if not count or total is None or least is None or most is None or last is None:
                    continue
                if isfinite(total):  # type: ignore[arg-type]  # a number, as its field is
                    numbers = int(count), float(total), least, most, last
                    found.update(zip(parts, numbers, strict=True))
            if found:
                yield Reading(series, time_ns, found)


# --- how a question is answered by rollups


class Piece(NamedTuple):
    """A range of time and the tier that answers it; None: the readings."""

    tier: Tier | None
    start_ns: int
    stop_ns: int


def fitting(query: Query, *, kept_from_ns: int) -> tuple[Tier, ...]:
    """The tiers that a question's windows are made of, coarsest first; none: ask the readings.

    `kept_from_ns`: readings before this may be gone.
    """
    if query.raw or any(column.aggregate not in NEEDS for column in query.columns):
        return ()
    if query.start_ns >= kept_from_ns and query.stop_ns - query.start_ns < ALWAYS_NS:
        return ()
    window = query.window_ns
    offset = query.window_offset_ns()
    return tuple(
        tier
        for tier in reversed(TIERS)
        if window is None or (window % tier.width_ns == 0 and offset % tier.width_ns == 0)
    )


def cut(
    span: Span, tiers: Sequence[Tier], unfinished: Callable[[Tier, Span], Sequence[Span]]
) -> list[Piece]:
    """Pieces in order of time that cover `span`: the coarsest tier that has it finished.

    `unfinished` gives the buckets of a tier that are not computed yet, merged and ascending.
    """
    start, stop = span
    if start >= stop:
        return []
    if not tiers:
        return [Piece(None, start, stop)]
    tier, finer = tiers[0], tiers[1:]
    low = start + -start % tier.width_ns
    high = stop - stop % tier.width_ns
    if low >= high:
        return cut(span, finer, unfinished)
    pieces = cut((start, low), finer, unfinished)
    at = low
    for gap_start, gap_stop in bridged(unfinished(tier, (low, high))):
        first, last = max(gap_start, at), min(gap_stop, high)
        if first >= last:
            continue
        if at < first:
            pieces.append(Piece(tier, at, first))
        pieces += cut((first, last), finer, unfinished)
        at = last
    if at < high:
        pieces.append(Piece(tier, at, high))
    return joined(pieces + cut((high, stop), finer, unfinished))


def bridged(spans: Sequence[Span], most: int = MOST_PIECES) -> list[Span]:
    """At most so many spans, the narrowest gaps between them being filled."""
    found = list(spans)
    while len(found) > most:
        gaps = [(b[0] - a[1], n) for n, (a, b) in enumerate(pairwise(found))]
        narrow = {n for _, n in sorted(gaps)[: len(found) - most]}
        merged: list[Span] = []
        for number, one in enumerate(found):
            if number - 1 in narrow and merged:
                merged[-1] = (merged[-1][0], one[1])
            else:
                merged.append(one)
        found = merged
    return found


def merged_spans(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, those that touch being one."""
    found: list[Span] = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop, found[-1][1]))
        else:
            found.append((start, stop))
    return found


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Neighbours of the same tier as one."""
    found: list[Piece] = []
    for piece in pieces:
        if found and found[-1].tier is piece.tier and found[-1].stop_ns == piece.start_ns:
            found[-1] = found[-1]._replace(stop_ns=piece.stop_ns)
        else:
            found.append(piece)
    return found


Wanted = tuple[str, str]
"""A field and one of its parts."""


def wanted_parts(query: Query) -> tuple[Wanted, ...]:
    """The parts that a query's columns are made of, each once."""
    return tuple(
        dict.fromkeys(
            (column.field, part)
            for column in query.columns
            for part in NEEDS[column.aggregate or "last"]
        )
    )


def piece_query(query: Query, piece: Piece, measurement: str) -> Query:
    """What to ask for one piece; `measurement` as the tier calls it."""
    merge = dict(PARTS)
    columns = tuple(
        Column(field, part, name=f"p{n}")  # type: ignore[arg-type]  # parts are aggregates too
        if piece.tier is None
        else Column(part_name(field, part), merge[part], name=f"p{n}")
        for n, (field, part) in enumerate(wanted_parts(query))
    )
    return replace(
        query,
        measurement=measurement,
        columns=columns,
        start_ns=piece.start_ns,
        stop_ns=piece.stop_ns,
        fill="none",
        descending=False,
        limit=None,
    )


Values = tuple[Value | None, ...]
Row = tuple[int, Values]


def put_together(
    query: Query, answers: Sequence[Sequence[SeriesRows]], kinds: Mapping[str, type]
) -> list[tuple[tuple[str, ...], list[Row]]]:
    """The pieces' answers, in order of time, as one: groups for `rows.arrange`.

    `kinds`: the fields' types in the readings.
    """
    wanted = wanted_parts(query)
    groups: dict[tuple[str, ...], dict[int, Values]] = {}
    for answer in answers:
        for series in answer:
            key = tuple(series.tags.get(tag, "") for tag in query.group_by)
            windows = groups.get(key)
            if windows is None and query.window_ns is not None:
                groups[key] = dict(series.rows)
            else:
                _join(groups.setdefault(key, {}), query, wanted, series.rows)
    places = {one: n for n, one in enumerate(wanted)}
    values = [_reader(column, places, kinds.get(column.field)) for column in query.columns]
    return [
        (
            key,
            [
                (at, tuple([value(found) for value in values]))
                for at, found in sorted(windows.items(), key=itemgetter(0))
            ],
        )
        for key, windows in groups.items()
    ]


def _join(
    windows: dict[int, Values], query: Query, wanted: Sequence[Wanted], rows: Sequence[Row]
) -> None:
    """Add a later piece's rows; a window that lies in both has one part of each."""
    for time_ns, values in rows:
        at = query.start_ns if query.window_ns is None else time_ns
        known = windows.get(at)
        windows[at] = (
            values
            if known is None
            else tuple(
                _both(part, earlier, later)
                for (_, part), earlier, later in zip(wanted, known, values, strict=True)
            )
        )


def _both(part: str, earlier: Value | None, later: Value | None) -> Value | None:
    """One part of two stretches of time."""
    if earlier is None or later is None:
        return later if earlier is None else earlier
    match part:
        case "last":
            return later
        case "min":
            return min(earlier, later)
        case "max":
            return max(earlier, later)
        case _:
            return earlier + later  # type: ignore[operator]


def _reader(
    column: Column, places: Mapping[Wanted, int], kind: type | None
) -> Callable[[Values], Value | None]:
    """How a column's value is found among the parts of one window."""
    numbers = [places[column.field, part] for part in NEEDS[column.aggregate or "last"]]
    first, last = numbers[0], numbers[-1]
    match column.aggregate:
        case "mean":
            return lambda found: _mean(found[first], found[last])
        case "spread":
            return lambda found: _spread(found[first], found[last])
        case "sum":
            return lambda found: _sum(found[first], kind)
        case "count":
            return lambda found: found[first] or None  # a window without values is none, not 0
        case _:
            return itemgetter(first)


def _mean(total: Any, count: Any) -> Value | None:
    return float(total) / count if count and total is not None else None


def _spread(least: Any, most: Any) -> Value | None:
    return None if least is None or most is None else most - least


def _sum(total: Any, kind: type | None) -> Value | None:
    if total is None:
        return None
    return round(total) if kind is int else float(total)
