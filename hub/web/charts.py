"""One field over time for a chart: from the store, its newest end from memory; all of it from
memory when the store is away."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub.clock import NS
from hub.reading import Value
from hub.store.base import StoreDown
from hub.store.query import Aggregate, Column, Query, SeriesRows
from hub.web.backend import Backend
from hub.web.live import SeriesLive
from hub.web.problems import WebProblem
from hub.web.views import Chart, ChartSeries

MOST_POINTS = 2_000
MOST_SERIES = 24
NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")
DURATION = re.compile(r"(\d+)(s|m|h|d|w)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

Points = list[tuple[int, Value | None]]
Tags = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A chart that somebody asks for. Times in nanoseconds."""

    measurement: str
    field: str
    devices: tuple[str, ...]
    since_ns: int
    until_ns: int
    window_ns: int
    aggregate: Aggregate = "mean"
    where: Mapping[str, str] | None = None


def duration_ns(text: str, name: str) -> int:
    """ "30s", "5m", "6h", "7d" as nanoseconds. Raises `WebProblem` 422."""
    match = DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise WebProblem(422, f"{name}={text!r} is not a duration.", "Write 30s, 5m, 6h or 7d.")
    return int(match[1]) * SECONDS[match[2]] * NS


def fitting_window_ns(span_ns: int) -> int:
    """A round window that gives at most some 360 points."""
    for seconds in (2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 21_600, 86_400):
        if span_ns / (seconds * NS) <= 360:
            return seconds * NS
    return 7 * 86_400 * NS


def check(wanted: Wanted) -> None:
    """Raises `WebProblem` 422 for what no store should be asked."""
    for text in (wanted.measurement, wanted.field, *(wanted.where or {})):
        if not NAME.fullmatch(text):
            raise WebProblem(422, f"{text!r} is no name of a measurement, field or tag.")
    if not wanted.devices or len(wanted.devices) > MOST_SERIES:
        raise WebProblem(422, f"Ask for 1 to {MOST_SERIES} devices.", "Repeat device=…")
    points = (wanted.until_ns - wanted.since_ns) / wanted.window_ns
    if points > MOST_POINTS:
        raise WebProblem(
            422,
            f"That would be {points:.0f} points a series; at most {MOST_POINTS}.",
            "Take a wider window or a later since.",
        )


async def chart(backend: Backend, wanted: Wanted) -> Chart:
    """Answer it. Raises `WebProblem`; the store being away is no error here."""
    check(wanted)
    remembered = _remembered(backend, wanted)
    tags = sorted({key for one in remembered for key, _ in one.series.tags} | {"device"})
    lines: dict[Tags, Points] = {}
    try:
        answered = await backend.query(_query(backend, wanted, tuple(tags)))
    except StoreDown:
        source = "memory"
    else:
        source = "store"
        lines = {_tags(one): _points(one) for one in answered}
    for one in remembered:
        line = lines.setdefault(one.series.tags, [])
        newest = _newest(one, line, wanted)
        if newest and source == "store":
            source = "store+memory"
        line.extend(newest)
    shown = sorted(lines.items())[:MOST_SERIES]
    return Chart(
        measurement=wanted.measurement,
        field=wanted.field,
        unit=backend.units().get((wanted.measurement, wanted.field), ""),
        aggregate=wanted.aggregate,
        window_s=wanted.window_ns / NS,
        source=source,
        series=[ChartSeries(dict(tags), points) for tags, points in shown],
    )


def _query(backend: Backend, wanted: Wanted, tags: tuple[str, ...]) -> Query:
    where: dict[str, str | Sequence[str]] = {"device": wanted.devices, **(wanted.where or {})}
    return Query(
        measurement=wanted.measurement,
        columns=(Column(wanted.field, wanted.aggregate, name="value"),),
        start_ns=wanted.since_ns,
        stop_ns=wanted.until_ns,
        where=where,
        group_by=tags,
        window_ns=wanted.window_ns,
        zone=backend.regency.zone,
    )


def _remembered(backend: Backend, wanted: Wanted) -> list[SeriesLive]:
    """The series of the wanted devices that have been heard since the hub started."""
    where = wanted.where or {}
    return [
        one
        for device in wanted.devices
        for one in backend.live.find(device, wanted.measurement, wanted.field)
        if all(one.series.tag(key) == value for key, value in where.items())
    ]


def _tags(rows: SeriesRows) -> Tags:
    return tuple(sorted((key, value) for key, value in rows.tags.items() if value))


def _points(rows: SeriesRows) -> Points:
    return [(time_ns // 1_000_000, values[0]) for time_ns, values in rows.rows]


def _newest(one: SeriesLive, known: Points, wanted: Wanted) -> Points:
    """What memory has after the last known point, in the same windows (its last value each)."""
    ring = one.rings.get(wanted.field)
    if ring is None:
        return []
    window_ms = wanted.window_ns // 1_000_000
    after = known[-1][0] + window_ms if known else wanted.since_ns // 1_000_000
    if not known and window_ms <= 2 * ring.step_ms:
        return [point for point in ring.points(after) if point[0] * 1_000_000 < wanted.until_ns]
    buckets: dict[int, list[float]] = {}
    for time_ms, value in ring.points(after):
        if time_ms * 1_000_000 < wanted.until_ns:
            buckets.setdefault(time_ms - time_ms % window_ms, []).append(value)
    return [(start, _fold(values, wanted.aggregate)) for start, values in buckets.items()]


def _fold(values: list[float], aggregate: str) -> float:
    match aggregate:
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "sum":
            return sum(values)
        case "last":
            return values[-1]
        case _:
            return sum(values) / len(values)
