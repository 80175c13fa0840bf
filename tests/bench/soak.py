"""Twenty minutes at 6 000 messages a second, InfluxDB gone for the middle third: does memory grow?

A real mosquitto, a real influxd that is ended and comes back, the hub with the five rules of the
other benches, their window being one of five minutes. Nine minutes of the same load go before, the
warm-up, until everything that has a bound is full: the board's past of eight minutes, the rules'
windows. The value is the highest resident memory after the warm-up by that at its end, the worse of
both processes. At the end the store must hold as many messages as the broker has acknowledged, and
the journal must be small again; both are told, with how long the backlog took. Too long for
`make bench` of everything: `make bench B=soak`, shorter by `SECONDS=120`.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.loaded import RULES, Loaded, loaded_hub
from tests.bench.mqtt import QUIET
from tests.bench.publisher import Publisher, at_rate
from tests.bench.report import Options, Result, rss_mib, say
from tests.hub_support import wait_for
from tests.influx_support import Influxd, fetch
from tests.mosquitto_support import Mosquitto

RATE = 6_000
DATABASE = "soak"
SAMPLE_S = 1.0
SAY_S = 30.0
SETTLE_S = 600.0
WARM_UP = 0.45
"""Of the seconds that follow."""
_RULES = [
    {**rule, "when": {**rule["when"], "mean": "5m"}} if "mean" in rule["when"] else rule
    for rule in RULES
]
"""A window of an hour would fill, and grow, for an hour."""


@dataclass
class Sample:
    """How it stands at a moment (seconds since the first message)."""

    at_s: float
    rss: dict[str, float]
    """MiB by process."""
    journal: float
    """MiB on disk."""
    behind: int
    """Records that the store has yet to get."""


@dataclass
class Watcher:
    """Looks once a second; `samples` grows."""

    hub: Loaded
    phase: str = "warm-up"
    samples: list[Sample] = field(default_factory=list)
    _began: float = field(default_factory=time.monotonic)
    _said: float = 0.0

    def look(self) -> None:
        now = time.monotonic() - self._began
        backlog = self.hub.hub.get("/api/v1/health")["backlog"]
        rss = {name: rss_mib(pid) for name, pid in self.hub.pids.items()}
        sample = Sample(now, rss, _size_mib(self.hub.hub.data / "journal"), backlog["forward"])
        self.samples.append(sample)
        if now - self._said >= SAY_S:
            self._said = now
            memory = ", ".join(f"{name} {value:.0f} MiB" for name, value in rss.items())
            say(
                f"  {self.phase}: {self.hub.durable():,} durable, {sample.behind:,} records behind,"
                f" {memory}, journal {sample.journal:.0f} MiB"
            )


def run(folder: Path, options: Options) -> list[Result]:
    broker = Mosquitto(folder / "broker", QUIET)
    broker.start()
    server = Influxd(folder)
    try:
        store = {"kind": "influxdb", "url": server.url, "database": DATABASE}
        with loaded_hub(folder / "hub", broker, _RULES, store) as hub:
            return [_soak(hub, server, Publisher(broker.port, "toba"), options.seconds)]
    finally:
        server.stop()
        broker.stop()


def _soak(hub: Loaded, server: Influxd, publisher: Publisher, seconds: float) -> Result:
    before = hub.pids.copy()
    with _watching(hub) as watcher:
        may_send = at_rate(RATE)
        publisher.pump(seconds * WARM_UP, may_send)
        warm, began, warm_up = watcher.samples[-1], time.monotonic(), publisher.acknowledged
        watcher.phase = "store up"
        publisher.pump(began + seconds / 3 - time.monotonic(), may_send)
        server.stop()
        watcher.phase = "store down"
        publisher.pump(began + seconds * 2 / 3 - time.monotonic(), may_send)
        watcher.phase = "store back"
        server.start()
        back_s = watcher.samples[-1].at_s
        publisher.pump(began + seconds - time.monotonic(), may_send)
        lasted = time.monotonic() - began
        publisher.drain(60)
        watcher.phase = "no more messages"
        wait_for("everything durable", lambda: hub.durable() == publisher.acknowledged, SETTLE_S)
        hub.settle(SETTLE_S)
        wait_for("a small journal", lambda: watcher.samples[-1].journal < 2 * warm.journal + 1, 60)
    assert {name: hub.hub.child(name) for name in before} == before, "a process was started again"
    after = [sample for sample in watcher.samples if sample.at_s > warm.at_s]
    highest = {name: max(sample.rss[name] for sample in after) for name in warm.rss}
    level = max(2.0 * RATE / 64, warm.behind)
    caught_up = next((s.at_s for s in after if s.at_s > back_s and s.behind <= level), None)
    return Result(
        "soak",
        max(highest[name] / warm.rss[name] for name in highest),
        "x memory",
        more={
            "seconds": round(lasted),
            "rate": round((publisher.acknowledged - warm_up) / lasted),
            "acknowledged": publisher.acknowledged,
            "stored": _stored(server.url),
            "rss_mib": {
                name: [round(warm.rss[name]), round(highest[name]), round(after[-1].rss[name])]
                for name in highest
            },
            "journal_mib": [
                round(warm.journal),
                round(max(sample.journal for sample in after)),
                round(after[-1].journal),
            ],
            "caught_up_s": caught_up and round(caught_up - back_s),
            "drops": hub.hub.get("/api/v1/health")["drops"],
        },
    )


@contextmanager
def _watching(hub: Loaded) -> Iterator[Watcher]:
    watcher, stop = Watcher(hub), threading.Event()

    def watch() -> None:
        while not stop.wait(SAMPLE_S):
            with suppress(OSError):  # a busy hub answers late
                watcher.look()

    watcher.look()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield watcher
    finally:
        stop.set()
        thread.join(10)


def _stored(url: str) -> int:
    """Messages in the database: each has one pm25."""
    asked = urllib.parse.urlencode({"db": DATABASE, "q": "SELECT count(pm25) FROM environment"})
    answer = json.loads(fetch(f"{url}/query?{asked}", timeout_s=120))
    found: int = answer["results"][0]["series"][0]["values"][0][1]
    return found


def _size_mib(folder: Path) -> float:
    """What the files there take; one that is freed meanwhile takes nothing."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total / 2**20
