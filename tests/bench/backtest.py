"""30 days of 500 series at one minute through a backtest of three rules, one of them changed.

The store has its rollups, as a hub's has; without them the summaries are made of the readings.

The readings of most series rise and fall by the day below the limits; one three-hour stretch in two
hundred does not. The peer feeds every reading of one day to the same watch: what the hours that
matter to nobody are worth.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import time
from pathlib import Path

import duckdb

from hub.backtest import run as backtest
from hub.dirty import Dirty
from hub.reading import Reading, Series
from hub.rollup import HOUR, PARTS, TIERS, part_name
from hub.store.base import Batch
from hub.store.duckdb import DuckStore
from hub.store.query import Column, Query
from hub.store.rolled import RolledStore
from rules.model import parse_rules
from rules.rule import Rule
from rules.thing import Thing
from rules.watch import Watch
from tests.bench.report import Options, Result, median, say

SERIES, DAYS = 500, 30
MINUTE = 60_000_000_000
START = 1_790_035_200_000_000_000
STOP = START + DAYS * 1440 * MINUTE
THINGS = [Thing(f"aq{n}", kind="sensor") for n in range(SERIES)]


def run(folder: Path, options: Options) -> list[Result]:
    gc.set_threshold(50_000, 20, 50)  # as the command does
    path = folder / "readings.duckdb"
    began = time.perf_counter()
    asyncio.run(_fill(path))
    say(f"  {SERIES * DAYS * 1440:,} readings stored in {time.perf_counter() - began:.0f} s")
    took, cpu, bare, rates = [], [], [], []
    for number in range(options.rounds):
        began = time.perf_counter()
        asyncio.run(_backtest(path, rolled=False))
        bare.append(time.perf_counter() - began)
        began, used = time.perf_counter(), time.process_time()
        report = asyncio.run(_backtest(path))
        took.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
        rates.append(asyncio.run(_one_day(path)))
        fired = {name: tally.fired for name, tally in report.before.items()}
        then = {name: tally.fired for name, tally in (report.after or {}).items()}
        say(f"  round {number + 1}: {took[-1]:.1f} s, {cpu[-1]:.1f} s CPU, fed {report.fed:,}")
        say(f"    fired {fired}, with the change {then}; plain: {rates[-1]:,.0f} readings/s")
    whole = SERIES * DAYS * 1440
    return [
        Result(
            "backtest",
            whole / median(took),
            "readings/s",
            cpu_us=median(cpu) / whole * 1e6,
            peer="every reading through the watch",
            peer_value=median(rates),
            more={
                "seconds": round(median(took), 1),
                "cpu_s": round(median(cpu), 1),
                "seconds_without_rollups": round(median(bare), 1),
                "readings": whole,
                "fed": report.fed,
            },
        )
    ]


def _rules(limit: float) -> list[Rule]:
    title = {"id": "{device}", "en": "{device}"}
    rules, problems = parse_rules(
        {
            "rules": [
                {
                    "name": "unhealthy",
                    "title": title,
                    "when": {
                        "measurement": "environment",
                        "field": "pm25",
                        "mean": "1h",
                        "above": limit,
                        "clear_below": 45,
                    },
                    "for": "10m",
                },
                {
                    "name": "hot",
                    "title": title,
                    "when": {"measurement": "environment", "field": "temperature", "above": 40},
                    "for": "5m",
                },
                {
                    "name": "silent",
                    "title": title,
                    "when": {"measurement": "environment", "field": "pm25", "absent": "2h"},
                    "where": {"kind": "sensor"},
                },
            ]
        }
    )
    assert not problems, problems
    return rules


async def _fill(path: Path) -> None:
    store = DuckStore(path)
    values = {"pm25": 20.0, "temperature": 25.0}
    first = [
        Reading(Series.of("environment", f"aq{n}"), START - MINUTE, values) for n in range(SERIES)
    ]
    parts = {part_name(field, part): 1.0 for field in values for part, _ in PARTS}
    parts |= {name: 1 for name in parts if name.endswith("_count")}
    rolled = [reading._replace(time_ns=START - HOUR.width_ns, fields=parts) for reading in first]
    await store.write(Batch(first, 0))
    for tier in TIERS:
        await store.write(Batch(rolled, 0, into=f"environment_{tier.suffix}"))
    await store.close()
    with duckdb.connect(str(path)) as db:
        db.execute("SELECT setseed(0.5)")
        for day in range(DAYS):
            db.execute(
                "INSERT INTO environment (series, time, pm25, temperature)"
                f" SELECT s::INTEGER, {START} + m * {MINUTE},"
                " 25 + 10 * sin(m / 229.2) + 8 * random()"
                "   + CASE WHEN (s * 7919 + m // 180 * 104729) % 200 = 0 THEN 40 ELSE 0 END,"
                " 26 + 4 * sin(m / 229.2) + random()"
                f" FROM range({day * 1440}, {(day + 1) * 1440}) t(m), range({SERIES}) u(s)"
                " ORDER BY m, s"
            )
        sums = ", ".join(
            f"{'arg_max' if part == 'last' else part}({field}{', time' if part == 'last' else ''})"
            for field in values
            for part, _ in PARTS
        )
        for tier in TIERS:
            table = f"environment_{tier.suffix}"
            db.execute(
                f"INSERT INTO {table} (series, time, {', '.join(parts)})"
                f" SELECT there.id, time - time % {tier.width_ns} AS begun, {sums}"
                " FROM environment JOIN hub_series here ON here.id = environment.series"
                f" JOIN hub_series there ON there.key = here.key AND there.measurement = '{table}'"
                f" WHERE time >= {START} GROUP BY 1, 2 ORDER BY 2, 1"
            )


async def _backtest(path: Path, *, rolled: bool = True) -> backtest.Report:
    marks = Dirty(sqlite3.connect(":memory:", isolation_level=None))
    if rolled:
        marks.begin([])  # nothing is left to be computed
    readings = DuckStore(path, memory_mb=1024, query_timeout_s=600)
    store = RolledStore(readings, {}, marks, raw_kept_ns=None, now=lambda: STOP)
    try:
        return await backtest.run(store, THINGS, _rules(55.4), _rules(50), START, STOP)
    finally:
        await store.close()


async def _one_day(path: Path) -> float:
    """Readings a second when all go through, by two sets of rules as above."""
    store = DuckStore(path, memory_mb=1024, query_timeout_s=600)
    began = time.perf_counter()
    watches = [Watch(_rules(limit), THINGS) for limit in (55.4, 50)]
    count = 0
    for hour in range(24):
        begin = START + hour * 60 * MINUTE
        columns = (Column("pm25"), Column("temperature"))
        asked = Query("environment", columns, begin, begin + 60 * MINUTE, group_by=("device",))
        rows = [
            (
                at,
                Reading(
                    Series.of("environment", one.tags["device"]),
                    at,
                    dict(zip(("pm25", "temperature"), values, strict=True)),
                ),
            )
            for one in await store.query(asked)
            for at, values in one.rows
        ]
        rows.sort(key=lambda row: row[0])
        count += len(rows)
        for number, (at, reading) in enumerate(rows):
            for watch in watches:
                watch.observe(number, [reading], at)
    await store.close()
    return count / (time.perf_counter() - began)
