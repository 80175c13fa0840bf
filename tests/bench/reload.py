"""A thousand rules reloaded under 20 000 readings a second: how late the latest reading is judged.

The readings come by the clock into the watch of one engine; after a second the record of a new rule
set is folded between them, read as the engine reads it. A tenth of the rules has
another limit. No alert may move.
"""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import msgspec

from hub import rulebook, ruleset
from hub.reading import Reading, Series
from hub.records import pack_map
from rules.thing import Thing
from rules.watch import Watch
from tests.bench.loaded import RULES, rule_file
from tests.bench.publisher import SERIES, device
from tests.bench.report import Options, Result, median, say
from tests.bench.rules import _FIELDS, START_NS

RATE = 20_000
TOGETHER = 100
SECONDS = 4


def run(folder: Path, options: Options) -> list[Result]:
    late, pauses = [], []
    for number in range(options.rounds):
        latest_s, pause_s, moved = _round()
        assert not moved, moved
        late.append(latest_s)
        pauses.append(pause_s)
        say(f"  round {number + 1}: latest {latest_s:.3f} s, the reload itself {pause_s:.3f} s")
    return [Result("reload", median(late), "s late", more={"reload_s": round(median(pauses), 3)})]


def _payload(change: int) -> bytes:
    others = [
        {
            "name": f"other_{n}",
            "when": {
                "field": _FIELDS[n % len(_FIELDS)] if n % 3 else "pm25",
                "above": 1000 + n + (change if n % 10 == 0 else 0),
            },
            "where": {"kind": "sensor"} if n % 3 else {"device": f"elsewhere-{n}"},
        }
        for n in range(1000 - len(RULES))
    ]
    text = rule_file([*RULES, *others])
    held = {
        "rules": {"rules.yaml": text},
        "data": {"rules.yaml": rulebook.changed(text, {})},
        "set": {},
        "disable": [],
        "things": [],
    }
    packed = zlib.compress(msgspec.msgpack.encode(held))
    return pack_map({"sha256": str(change), "packed": packed})


def _round() -> tuple[float, float, list[str]]:
    things = [Thing(device(n), kind="sensor") for n in range(SERIES)]
    before, news = ruleset.unpack(_payload(0)), _payload(1)
    watch = Watch(before.rules, things)
    series = [Series.of("environment", device(n)) for n in range(SERIES)]
    hot = {"pm25": 90.0, "temperature": 25.0, "humidity": 60.0}
    calm = {"pm25": 20.0, "temperature": 25.0, "humidity": 60.0}
    watch.observe(
        1,
        [Reading(one, START_NS, hot if n % 50 == 0 else calm) for n, one in enumerate(series)],
        START_NS,
    )
    standing = {alert.key: alert.state for alert in watch.alerts()}
    began, latest, pause, moved, reloaded = time.perf_counter(), 0.0, 0.0, [], False
    for number in range(SECONDS * RATE // TOGETHER):
        due = number * TOGETHER / RATE
        wait = began + due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        now = START_NS + round((1 + due) * 1e9)
        if due >= 1 and not reloaded:
            reloaded, start = True, time.perf_counter()
            after = ruleset.unpack(news, before)
            moved += [t.key for t in watch.reload(number + 2, now, after.rules, things)]
            pause = time.perf_counter() - start
        first = number * TOGETHER % SERIES
        together = [
            Reading(series[n], now, hot if n % 50 == 0 else calm)
            for n in range(first, first + TOGETHER)
        ]
        moved += [t.key for t in watch.observe(number + 2, together, now)]
        latest = max(latest, time.perf_counter() - began - due)
    moved += [
        k
        for k, state in standing.items()
        if {a.key: a.state for a in watch.alerts()}.get(k) != state
    ]
    return latest, pause, moved
