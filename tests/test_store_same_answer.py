"""The same `Query` gives the same answer on DuckDB and on a real InfluxDB 1.6.

The traps it looks for are named in `hub/store/query.py`. Data and questions are drawn small, so
that ties, gaps, edges and missing tags are frequent.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from hub.reading import Reading, Series, Value
from hub.store.base import Batch
from hub.store.duckdb import DuckStore
from hub.store.influx import InfluxStore
from hub.store.query import Column, Query, SeriesRows
from tests.influx_support import influxd
from tests.store_support import same

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
START = 1_759_942_800 * SECOND - 2 * DAY
"""Midnight in Jakarta, 17:00 UTC; two days on is 2025-10-09 there."""
NAMES = ("a", "b", "b c", "d,e=f", "g'h\\i\"", "湖")
NUMBERS = ("f", "n")
FIELDS: dict[str, st.SearchStrategy[Value]] = {
    "f": st.one_of(
        st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: v + 0.0),
        st.integers(-3, 3).map(float),
    ),
    "n": st.one_of(st.integers(-3, 3), st.integers(-(2**40), 2**40)),
    "s": st.sampled_from(["", "x", "y", 'a"b\\c', "湖"]),
    "up": st.sampled_from([0, 1]),
}
"""Every field has one type, as the manifest has it. -0.0 is 0.0: InfluxDB's JSON says so."""

times = st.one_of(
    st.integers(0, 4 * DAY // SECOND).map(lambda s: START + s * SECOND),
    st.integers(0, 8).map(lambda h: START + h * 12 * HOUR),
    st.integers(-2, 2).map(lambda ns: START + 2 * DAY + ns),
)


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    """Readings of a few series, some of them at the same time, some without the tag `sensor`."""
    tags = st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "in", "out"]))
    found = []
    for device, sensor in draw(st.lists(tags, min_size=1, max_size=4, unique=True)):
        series = Series.of("m", device, sensor=sensor)
        for time_ns in draw(st.lists(times, min_size=1, max_size=12)):
            names = draw(st.sets(st.sampled_from(sorted(FIELDS)), min_size=1))
            fields = {name: draw(FIELDS[name]) for name in sorted(names)}
            found.append(Reading(series, time_ns, fields))
    return draw(st.permutations(found))


@st.composite
def columns(draw: st.DrawFn, raw: bool) -> tuple[Column, ...]:
    fields = [*FIELDS, "never"]
    if raw:
        names = draw(st.lists(st.sampled_from(fields), min_size=1, max_size=4, unique=True))
        return tuple(Column(name) for name in names)
    found = []
    for number in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(fields))
        known = ["count", "first", "last"]
        if name != "s":
            known += ["mean", "min", "max", "sum", "spread", "percentile"]
        aggregate: Any = draw(st.sampled_from(known))
        argument = None
        if aggregate == "percentile":
            argument = draw(st.one_of(st.sampled_from([1, 25, 50, 95, 100]), st.floats(0.1, 100)))
            argument = round(argument, 3)
        found.append(Column(name, aggregate, argument, f"c {number}"))
    return tuple(found)


@st.composite
def queries(draw: st.DrawFn) -> Query:
    raw = draw(st.booleans())
    names = st.sampled_from([*NAMES, "", "nobody"])
    start = START + draw(st.sampled_from([-DAY, 0, 1, HOUR, 2 * DAY, 3 * DAY + 7]))
    length = draw(st.sampled_from([30 * DAY, 6 * DAY, 3 * DAY + 1, DAY, HOUR, 1]))
    window = None
    if not raw and draw(st.booleans()):
        window = draw(st.sampled_from([HOUR, 3 * HOUR, DAY, 7 * HOUR + 3, 2 * DAY]))
    return Query(
        "m",
        draw(columns(raw)),
        start,
        start + length,
        where=draw(
            st.one_of(
                st.just({}),
                st.fixed_dictionaries({"device": st.sets(names, min_size=4).map(sorted)}),
                st.dictionaries(
                    st.sampled_from(["device", "sensor", "nowhere", "s"]),
                    st.one_of(names, st.lists(names, max_size=4)),
                    max_size=2,
                ),
            )
        ),
        group_by=tuple(
            draw(st.lists(st.sampled_from(["device", "sensor", "nowhere"]), unique=True))
        ),
        window_ns=window,
        zone=draw(st.sampled_from(["UTC", "Asia/Jakarta", "Asia/Jayapura", "Asia/Kathmandu"])),
        fill=draw(st.sampled_from(["none", "null", "previous", "zero"])) if window else "none",
        descending=draw(st.booleans()),
        limit=draw(st.one_of(st.none(), st.integers(1, 5))),
    )


@dataclass
class Pair:
    """Both stores, and a loop that lives as long as they do."""

    loop: asyncio.AbstractEventLoop
    url: str
    databases: Iterator[int]

    async def answers(
        self, batches: list[list[Reading]], asked: list[Query]
    ) -> list[tuple[list[SeriesRows], list[SeriesRows]]]:
        duck, influx = DuckStore(None), InfluxStore(self.url, f"same{next(self.databases)}")
        try:
            for number, batch in enumerate(batches):
                for store in (duck, influx):
                    written = await store.write(Batch(batch, number + 1))
                    assert written.rejected == {}
            return [(await duck.query(query), await influx.query(query)) for query in asked]
        finally:
            await influx._ask(f"DROP DATABASE {influx._database}")
            await influx.close()
            await duck.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with influxd(tmp_path_factory.mktemp("same")) as url:
        loop = asyncio.new_event_loop()
        yield Pair(loop, url, itertools.count())
        loop.close()


@settings(
    max_examples=100,
    deadline=timedelta(seconds=20),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # examples are small; shrinking is slow
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    batches=st.lists(readings(), min_size=1, max_size=2),
    asked=st.lists(queries(), min_size=8, max_size=8),
)
def test_the_same_question_has_the_same_answer(
    pair: Pair, batches: list[list[Reading]], asked: list[Query]
) -> None:
    answers = pair.loop.run_until_complete(pair.answers(batches, asked))
    for query, (ours, theirs) in zip(asked, answers, strict=True):
        event("empty" if not ours else "raw" if query.raw else f"window {bool(query.window_ns)}")
        same(query, ours, theirs)
