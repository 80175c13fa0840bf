"""Rollups answer as the readings would, on DuckDB and on a real InfluxDB 1.6."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from hub import rollups
from hub.dirty import MOST_DEVICES, Dirty
from hub.gate import Gate
from hub.health import Health
from hub.reading import Reading, Series, Value
from hub.rollup import TIERS
from hub.rollups import Kept, Rollups
from hub.store.base import Batch, NoLabels, Store
from hub.store.duckdb import DuckStore
from hub.store.influx import InfluxStore
from hub.store.query import Column, Query, SeriesRows
from hub.store.rolled import RolledStore
from tests.influx_support import influxd
from tests.store_support import same

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_759_942_800 * SECOND - 2 * DAY
"""Midnight in Jakarta."""
NOW = START + 4 * DAY + 17 * MINUTE
NAMES = ("a", "b", "d,e=f", "湖")
FIELDS: dict[str, st.SearchStrategy[Value]] = {
    "f": st.one_of(
        st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: v + 0.0),
        st.integers(-3, 3).map(float),
    ),
    "n": st.one_of(st.integers(-3, 3), st.integers(-(2**40), 2**40)),
    "n_count": st.integers(0, 9),
    "s": st.sampled_from(["x", "y"]),
}
"""`n_count` is called as a part of `n` is in its rollup."""
times = st.one_of(
    st.integers(0, (NOW - START) // SECOND).map(lambda s: START + s * SECOND),
    st.integers(0, 20).map(lambda n: START + n * 5 * MINUTE),
    st.integers(0, 96).map(lambda n: START + n * HOUR - 1),
)


@st.composite
def batches(draw: st.DrawFn) -> list[list[Reading]]:
    tags = st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "in", "out"]))
    found = []
    for device, sensor in draw(st.lists(tags, min_size=1, max_size=4, unique=True)):
        series = Series.of("m", device, sensor=sensor)
        for time_ns in draw(st.lists(times, min_size=1, max_size=25)):
            names = draw(st.sets(st.sampled_from(sorted(FIELDS)), min_size=1))
            found.append(
                Reading(series, time_ns, {name: draw(FIELDS[name]) for name in sorted(names)})
            )
    mixed = draw(st.permutations(found))
    cut = draw(st.integers(0, len(mixed)))
    return [part for part in (mixed[:cut], mixed[cut:]) if part]


@st.composite
def queries(draw: st.DrawFn) -> Query:
    columns = []
    for number in range(draw(st.integers(1, 4))):
        field = draw(st.sampled_from([*FIELDS, "never"]))
        known = ["count", "last"] + (
            [] if field == "s" else ["mean", "min", "max", "sum", "spread", "first"]
        )
        aggregate: Any = draw(st.sampled_from(known))
        columns.append(Column(field, aggregate, name=f"c {number}"))
    start = START + draw(st.sampled_from([-DAY, 0, 1, HOUR, 7 * MINUTE, 5 * MINUTE, 2 * DAY]))
    length = draw(st.sampled_from([30 * DAY, 3 * DAY + 1, DAY, 7 * HOUR + 5 * MINUTE, 6 * HOUR]))
    window = draw(st.sampled_from([None, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, DAY, HOUR + 3]))
    fill: Any = draw(st.sampled_from(["none", "null", "previous", "zero"])) if window else "none"
    return Query(
        "m",
        tuple(columns),
        start,
        start + length,
        where=draw(
            st.one_of(
                st.just({}),
                st.fixed_dictionaries({"device": st.sampled_from(NAMES)}),
                st.fixed_dictionaries({"sensor": st.sampled_from(["", "in"])}),
            )
        ),
        group_by=tuple(draw(st.lists(st.sampled_from(["device", "sensor"]), unique=True))),
        window_ns=window,
        zone=draw(st.sampled_from(["UTC", "Asia/Jakarta", "Asia/Kathmandu"])),
        fill=fill if window is None or length // window < 1000 else "none",
        descending=draw(st.booleans()),
        limit=draw(st.one_of(st.none(), st.integers(1, 5))),
    )


FOR_EVER = Kept()


class Line:
    """A store with rollups, written to as the forwarder does."""

    def __init__(self, raw: Store, others: dict[Any, Store], kept: Kept) -> None:
        self.now_ns = NOW
        self.dirty = Dirty(sqlite3.connect(":memory:", isolation_level=None))
        self.raw = raw
        self.store = RolledStore(
            raw, others, self.dirty, raw_kept_ns=kept.raw_ns, now=lambda: self.now_ns
        )
        self.rollups = Rollups(
            self.store, self.dirty, Gate(), Health(), kept=kept, now=lambda: self.now_ns
        )
        self._ids = itertools.count(1)

    async def write(self, readings: list[Reading]) -> None:
        self.dirty.keep(self.dirty.touched(readings))
        assert (await self.store.write(Batch(readings, next(self._ids)))).rejected == {}

    async def compute(self) -> None:
        while await self.rollups.sweep():
            pass


@dataclass
class World:
    loop: asyncio.AbstractEventLoop
    url: str
    databases: Iterator[int]

    def line(self, kind: str, kept: Kept = FOR_EVER) -> Line:
        if kind == "duckdb":
            return Line(DuckStore(None), {}, kept)
        name = f"roll{next(self.databases)}"
        raw = InfluxStore(self.url, name)
        tiers = {t: InfluxStore(self.url, f"{name}-{t.suffix}", NoLabels()) for t in TIERS}
        return Line(raw, dict(tiers), kept)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with influxd(tmp_path_factory.mktemp("rollup")) as url:
        loop = asyncio.new_event_loop()
        yield World(loop, url, itertools.count())
        loop.close()


async def ask_both(line: Line, asked: list[Query]) -> int:
    """Compare every answer; how many were made of rollups."""
    used = 0
    for query in asked:
        real = line.store._rolled
        told: list[object] = []

        async def watched(*args: Any, real: Any = real, told: list[object] = told) -> Any:
            told.append(await real(*args))
            return told[-1]

        line.store._rolled = watched  # type: ignore[method-assign]
        try:
            ours = await line.store.query(query)
        finally:
            line.store._rolled = real  # type: ignore[method-assign]
        used += any(answer is not None for answer in told)
        same(query, ours, await line.raw.query(query))
    return used


async def play(line: Line, parts: list[list[Reading]], asked: list[Query]) -> int:
    used = 0
    try:
        await line.rollups.begin()
        for part in parts:
            await line.write(part)
            await ask_both(line, asked)  # everything is unfinished yet
            await line.compute()
            used += await ask_both(line, asked)
        before = await tier_rows(line)
        line.dirty.begin(line.dirty.touched([r for part in parts for r in part]))
        await line.compute()
        assert await tier_rows(line) == before  # twice is the same points
        return used
    finally:
        await drop(line)


async def drop(line: Line) -> None:
    for store in (line.raw, *line.store._others.values()):
        if isinstance(store, InfluxStore):
            await store._ask(f'DROP DATABASE "{store._database}"')
        await store.close()


async def tier_rows(line: Line) -> list[object]:
    found: list[object] = []
    for tier in TIERS:
        store, name = line.store.place(tier, "m")
        shape = await store.shape(name)
        if shape.fields:
            columns = tuple(Column(field) for field in sorted(shape.fields))
            found += await store.query(Query(name, columns, 0, 2**62, group_by=shape.tags))
    return found


common = settings(
    deadline=timedelta(seconds=60),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settings(common, max_examples=40)
@given(parts=batches(), asked=st.lists(queries(), min_size=10, max_size=10))
def test_rollups_in_duckdb_answer_as_the_readings_do(
    world: World, parts: list[list[Reading]], asked: list[Query]
) -> None:
    used = world.loop.run_until_complete(play(world.line("duckdb"), parts, asked))
    event("rollups were used" if used else "only readings were asked")


@settings(common, max_examples=10)
@given(parts=batches(), asked=st.lists(queries(), min_size=6, max_size=6))
def test_rollups_in_influxdb_answer_as_the_readings_do(
    world: World, parts: list[list[Reading]], asked: list[Query]
) -> None:
    used = world.loop.run_until_complete(play(world.line("influxdb"), parts, asked))
    event("rollups were used" if used else "only readings were asked")


MEAN = Query(
    "m",
    (Column("f", "mean"), Column("f", "count")),
    START,
    START + DAY,
    group_by=("device",),
    window_ns=HOUR,
)


def minutes(device: str, number: int, start: int = START) -> list[Reading]:
    series = Series.of("m", device)
    return [Reading(series, start + n * MINUTE, {"f": float(n)}) for n in range(number)]


@pytest.mark.parametrize("kind", ["duckdb", "influxdb"])
def test_a_days_hourly_means_are_read_from_hourly_rows(world: World, kind: str) -> None:
    async def play() -> None:
        line = world.line(kind)
        try:
            await line.rollups.begin()
            await line.write(minutes("a", 1440))
            await line.compute()
            assert await ask_both(line, [MEAN]) == 1
            asked: list[str] = []
            hours, name = line.store.place(TIERS[1], "m")
            real = hours.query

            async def watched(query: Query) -> list[SeriesRows]:
                asked.append(query.measurement)
                return await real(query)

            hours.query = watched  # type: ignore[method-assign]
            [found] = await line.store.query(MEAN)
            assert asked == [name]
            assert found.rows[1] == (START + HOUR, (89.5, 60))
        finally:
            await drop(line)

    world.loop.run_until_complete(play())


def test_a_networks_rollups_are_made_in_portions_of_so_many_values(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "DEVICES", 3)
    monkeypatch.setattr(rollups, "VALUES", 100)  # twenty rows of one field

    async def play() -> None:
        line = world.line("duckdb")
        try:
            await line.rollups.begin()
            devices = [f"d{n}" for n in range(MOST_DEVICES + 5)]
            await line.write([one for device in devices for one in minutes(device, 5)])
            answers: list[int] = []
            real = line.raw.query

            async def watched(query: Query) -> list[SeriesRows]:
                answer = await real(query)
                if query.measurement == "m":  # the readings: hours are made of the first rollup
                    answers.append(len(answer))
                return answer

            line.raw.query = watched  # type: ignore[method-assign]
            await line.compute()
            line.raw.query = real  # type: ignore[method-assign]
            first, *others = answers
            assert first == 3
            assert sum(others) == len(devices) - first
            assert 10 < max(others) <= 20
            assert await ask_both(line, [MEAN]) == 1
        finally:
            await drop(line)

    world.loop.run_until_complete(play())


@pytest.mark.parametrize("kind", ["duckdb", "influxdb"])
def test_late_readings_change_the_buckets_they_touch(world: World, kind: str) -> None:
    async def play() -> None:
        line = world.line(kind)
        try:
            await line.rollups.begin()
            await line.write(minutes("a", 1440) + minutes("b", 1440))
            await line.compute()
            late = Reading(Series.of("m", "a"), START + 90 * SECOND, {"f": 1e6})
            await line.write([late])
            assert line.dirty.backlog() == 1
            assert await ask_both(line, [MEAN]) == 1  # the touched hour from the readings
            await line.compute()
            assert line.dirty.backlog() == 0
            [a, b] = await line.store.query(MEAN)
            assert a.rows[0] == (START, (pytest.approx((1770 + 1e6) / 61), 61))
            assert b.rows[0] == (START, (29.5, 60))
        finally:
            await drop(line)

    world.loop.run_until_complete(play())


def test_what_is_past_its_retention_is_deleted_and_still_answered(world: World) -> None:
    async def play() -> None:
        line = world.line("duckdb", Kept(raw_ns=DAY, five_ns=2 * DAY, hour_ns=30 * DAY))
        await line.rollups.begin()
        await line.write(minutes("a", 1440) + minutes("a", 1440, NOW - 1440 * MINUTE))
        truth = await line.raw.query(MEAN)
        # Nothing that is still to be computed is deleted.
        assert await line.rollups.trim() == 0
        await line.compute()
        assert await line.rollups.trim() > 1440
        assert await line.raw.query(MEAN) == []
        same(MEAN, await line.store.query(MEAN), truth)
        five, name = line.store.place(TIERS[0], "m")
        assert (
            await five.query(
                replace(MEAN, measurement=name, columns=(Column("f_sum"),), window_ns=None)
            )
            == []
        )
        # A late reading of a day that is gone makes no rollup worse that was made of all of it.
        await line.write([Reading(Series.of("m", "a"), START + 1, {"f": 5.0})])
        await line.compute()
        same(MEAN, await line.store.query(MEAN), truth)
        # But one of a series that had none then makes its own.
        await line.write([Reading(Series.of("m", "new"), START + 1, {"f": 5.0})])
        await line.compute()
        assert [one.tags["device"] for one in await line.store.query(MEAN)] == ["a", "new"]
        await line.rollups.trim()
        await line.store.close()

    world.loop.run_until_complete(play())


def test_what_was_stored_before_there_were_rollups_gets_them(world: World) -> None:
    async def play() -> None:
        line = world.line("duckdb")
        await line.raw.write(Batch(minutes("a", 300), 77))
        truth = await line.raw.query(MEAN)
        assert await line.store.query(MEAN) == truth
        await line.rollups.begin()
        same(MEAN, await line.store.query(MEAN), truth)
        await line.compute()
        assert line.dirty.backlog() == 0
        assert await ask_both(line, [MEAN]) == 1
        await line.store.close()

    world.loop.run_until_complete(play())


def test_a_renamed_site_counts_nothing_twice_in_influxdb(world: World) -> None:
    class Labels:
        generation = 0
        site = "old"

        def labels(self, series: Series) -> dict[str, str]:
            return {"site": self.site}

    async def play() -> None:
        line = world.line("influxdb")
        try:
            labels = Labels()
            line.store.labels = labels
            await line.rollups.begin()
            await line.write(minutes("a", 30))
            await line.compute()
            labels.site, labels.generation = "new", 1
            await line.write(minutes("a", 30, START + 31 * MINUTE))
            await line.compute()
            assert await ask_both(line, [MEAN, replace(MEAN, group_by=("site",))]) == 2
            [found] = await line.store.query(MEAN)
            assert found.rows[0][1][1] == 60 - 1
        finally:
            await drop(line)

    world.loop.run_until_complete(play())
