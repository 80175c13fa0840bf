"""A thousand rules loaded against a hundred: how fast the engine folds the same journal.

Five of the rules meet every message, the others are about other devices and fields, as in a hub
that serves a whole regency. The value is the rate with 1 000 rules, the peer's that with 100; the
cost is what the ratio lacks to 1.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from hub.journal import Class, Journal, Kind, Reader
from hub.reading import Reading, Series
from hub.records import pack_readings, readings_in
from rules.model import parse_rules
from rules.rule import Rule
from rules.thing import Thing
from rules.watch import Watch
from tests.bench.loaded import RULES, rule_file
from tests.bench.publisher import SERIES, device
from tests.bench.report import Options, Result, median, say

MESSAGES = 60_000
TOGETHER = 60
START_NS = 1_790_000_000_000_000_000
_FIELDS = ("pm10", "pressure", "rain_mm", "water_level_m", "do_mgl", "ph", "noise_dba", "wind_ms")


def run(folder: Path, options: Options) -> list[Result]:
    _write(folder / "journal")
    things = [Thing(device(n), kind="sensor") for n in range(SERIES)]
    sets = {count: _rules(count) for count in (1000, 100)}
    rates: dict[int, list[float]] = {count: [] for count in sets}
    cpu: list[float] = []
    for number in range(max(3, options.rounds)):
        for count, rules in sets.items():
            rate, used = _fold(folder / "journal", rules, things)
            rates[count].append(rate)
            if count == 1000:
                cpu.append(used)
            say(f"  round {number + 1}, {count} rules: {rate:,.0f} messages/s, {used:.1f} µs")
    return [
        Result(
            "rules",
            median(rates[1000]),
            "msg/s",
            cpu_us=median(cpu),
            peer="100 rules",
            peer_value=median(rates[100]),
        )
    ]


def _rules(count: int) -> list[Rule]:
    """Five that every message meets; every third of the rest asks for its field of one device."""
    others = [
        {
            "name": f"other_{n}",
            "when": {"field": _FIELDS[n % len(_FIELDS)] if n % 3 else "pm25", "above": 100 + n},
            "where": {"kind": "sensor"} if n % 3 else {"device": f"elsewhere-{n}"},
        }
        for n in range(count - len(RULES))
    ]
    rules, problems = parse_rules(yaml.safe_load(rule_file([*RULES, *others])))
    assert not problems, problems
    return rules


def _write(folder: Path) -> None:
    chance = random.Random(3)
    journal = Journal(folder, now_ns=START_NS)
    series = [Series.of("environment", device(n)) for n in range(SERIES)]
    readings = [
        Reading(
            series[n % SERIES],
            START_NS + n * 100_000,
            {
                "pm25": chance.uniform(80, 90) if n % 200 == n // 200 else 20.5,
                "temperature": chance.uniform(18, 30),
                "humidity": chance.uniform(50, 95),
            },
        )
        for n in range(MESSAGES)
    ]
    for begin in range(0, MESSAGES, TOGETHER):
        time_ns = START_NS + (begin + TOGETHER) * 100_000
        together = pack_readings("mqtt", readings[begin : begin + TOGETHER])
        journal.append([(time_ns, Kind.READINGS, Class.ACKNOWLEDGED, together)])
    journal.close()


def _fold(folder: Path, rules: Sequence[Rule], things: Sequence[Thing]) -> tuple[float, float]:
    """Messages a second and processor time per message; what each series meets is known before."""
    watch = Watch(rules, things)
    for n in range(SERIES):
        fields = {"pm25": 20.5, "temperature": 20.0, "humidity": 60.0}
        reading = Reading(Series.of("environment", device(n)), START_NS, fields)
        watch.observe(0, [reading], START_NS)
    reader = Reader(folder)
    began, used = time.perf_counter(), time.process_time()
    while records := reader.read():
        for record in records:
            watch.observe(record.id, readings_in(record.payload), record.time_ns)
    lasted, used = time.perf_counter() - began, time.process_time() - used
    reader.close()
    return MESSAGES / lasted, used / MESSAGES * 1e6
