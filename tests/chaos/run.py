"""One run: broker, publisher, both processes dying as planned, outages of the store, judgement."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import hub
from hub import configuration, rulebook
from tests.bench.mqtt import QUIET
from tests.bench.report import say
from tests.chaos import points
from tests.chaos.child import Orders
from tests.chaos.drivers import Driver
from tests.chaos.judge import CHANNEL, Judge, Stored, Verdict, in_duckdb, in_influx
from tests.chaos.publisher import SENSORS, TWIN, Publisher, device
from tests.chaos.receiver import Receiver
from tests.chaos.witness import Witness
from tests.hub_support import Hub, mqtt, wait_for
from tests.influx_support import Influxd
from tests.mosquitto_support import Mosquitto

SHIPPED = Path(hub.__file__).parent / "deploy" / "mosquitto.conf"
DATABASE = "chaos"
SETTLE_S = 120.0


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    hits: int = 20
    """Of each point."""
    kills: int = 200
    """At random, of both processes together."""
    rate: float = 1_500.0
    """Messages a second."""
    seconds: float = 3_600.0
    """Leave the rest of the plan after this long; points with too few hits then fail."""
    store: str = "duckdb"
    protocol: int = 5
    seed: int = 1
    patience_s: float = 10.0
    """So long nothing comes into the journal before the rest is given up."""
    mutant: str = ""
    limits: str = ""
    """Of the broker, as lines of its configuration; empty: those that we ship."""
    points: tuple[str, ...] = points.INGEST + points.SERVE


def shipped_limits() -> str:
    """What the broker of docker-compose.yml may keep and send."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("max_"))


def rules() -> dict[str, Any]:
    """Of each kind that keeps a state: a threshold, a wait, a window, a silence."""
    high = {"measurement": "environment", "field": "pm25", "above": 55.4, "clear_below": 45}
    window = {**high, "mean": "3s"}
    silent = {"measurement": "environment", "absent": "3s"}
    common = {"severity": "warning", "notify": ["crew"]}
    found: list[dict[str, Any]] = [
        {"name": "high", "when": high},
        {"name": "long", "when": high, "for": "1s"},
        {"name": "mean", "when": window},
        {"name": "silent", "when": silent, "where": {"kind": "sensor"}},
    ]
    titles = {"id": "{device}", "en": "{device}"}
    return {"rules": [{**rule, "title": titles, **common} for rule in found]}


def inventory() -> dict[str, Any]:
    place = {"site": "balige", "opd": "dlh"}
    return {
        "sites": [{"id": "balige", "name": "Balige", "lat": 2.33, "lon": 99.08}],
        "opds": [{"id": "dlh", "name": "Dinas Lingkungan Hidup", "site": "balige"}],
        "devices": [
            {"id": name, "name": name, "kind": "sensor", **place, "collect": {"mqtt": {}}}
            for name in [*(device(n) for n in range(SENSORS)), TWIN]
        ],
    }


class Outages(threading.Thread):
    """The store is away now and then: the file `outage` for one, the server's end for another."""

    def __init__(self, folder: Path, chance: random.Random, server: Influxd | None) -> None:
        super().__init__(name="outages", daemon=True)
        self.number = 0
        self.over = False
        """There was a whole one."""
        self.error = ""
        self._file = folder / "outage"
        self._chance = chance
        self._server = server
        self._stop_now = threading.Event()

    def run(self) -> None:
        try:
            while not self._stop_now.wait(self._chance.uniform(2, 8) if self.number else 0.5):
                self.number += 1
                if self._server is not None:
                    self._server.stop()
                else:
                    self._file.touch()
                self._stop_now.wait(self._chance.uniform(1, 4))
                if self._server is not None:
                    self._server.start()
                self._file.unlink(missing_ok=True)
                self.over = True
        except Exception as error:
            self.error = f"BUG of the harness: the outages ended: {error!r}"

    def finish(self) -> None:
        self._stop_now.set()
        self.join(60)
        self._file.unlink(missing_ok=True)


class Run:
    """The parts, started; `close` ends them whatever happened."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.plan = plan
        self.chaos = folder / "chaos"
        self.chaos.mkdir(parents=True)
        self.chance = random.Random(plan.seed)
        with ExitStack() as self._stack:  # what was started ends when the rest can't be
            self._start(folder)
            self._stack = self._stack.pop_all()

    def _start(self, folder: Path) -> None:
        plan = self.plan
        self.broker = Mosquitto(folder / "broker", QUIET + (plan.limits or shipped_limits()))
        self.broker.start()
        self._stack.callback(self.broker.stop)
        self.receiver = Receiver()
        self._stack.callback(self.receiver.close)
        self.server = Influxd(folder / "influx") if plan.store == "influxdb" else None
        if self.server is not None:
            self._stack.callback(self.server.stop)
        self.hub = Hub(folder / "hub", self._settings(), inventory())
        rule_file = self.hub.folder / "rules.yaml"
        rule_file.write_text(yaml.safe_dump(rules()), encoding="utf-8")
        conf = configuration.load(self.hub.path)
        (self.hub.data / "journal").mkdir(parents=True)
        self.witness = Witness(self.hub.data, conf.rules, rulebook.things(conf.inventory))
        end = time.monotonic() + plan.seconds
        self.ingest = self._driver("ingest", points.INGEST, plan.kills // 2, end)
        self.serve = self._driver("serve", points.SERVE, plan.kills - plan.kills // 2, end)
        self.outages = Outages(self.chaos, random.Random(plan.seed + 3), self.server)

    def _driver(self, name: str, named: tuple[str, ...], kills: int, end: float) -> Driver:
        chosen = [point for point in named if point in self.plan.points]
        plan = [*chosen * self.plan.hits, *[points.RANDOM] * kills]
        self.chance.shuffle(plan)

        def orders(crash: str) -> Orders:
            mutant = self.plan.mutant
            return Orders(name, self.hub.path, self.chaos, crash, mutant)

        driver = Driver(orders, self.log(name), plan, random.Random(self.chance.random()), end)
        self._stack.callback(driver.abort)
        return driver

    def log(self, name: str) -> Path:
        return self.chaos / f"{name}.log"

    def _settings(self) -> dict[str, Any]:
        store: dict[str, Any] = {"kind": self.plan.store, "linger_ms": 50}
        if self.server is not None:
            store |= {"url": self.server.url, "database": DATABASE}
        # No canaries: they are acknowledged without a record, which is a crime for all others.
        more = {"protocol": self.plan.protocol, "reconnect_max_s": 0.5, "canary_s": 0}
        settings = mqtt(self.broker.port, **more)
        for name in ("camera", "netprobe", "snmp"):
            settings["collectors"][name] = {"enabled": False}
        return {
            **settings,
            "store": store,
            "journal": {"segment_mib": 1},
            "rules": {"library": False, "files": ["rules.yaml"]},
            "channels": {CHANNEL: {"type": "webhook", "url": self.receiver.url}},
            "teams": {"crew": {"channels": [CHANNEL]}},
        }

    def close(self) -> None:
        self._stack.close()

    def subscribed(self) -> bool:
        log = self.log("ingest")
        return log.exists() and "broker is up" in log.read_text(errors="replace")

    def stored(self) -> Stored:
        if self.server is not None:
            return in_influx(self.server.url, DATABASE)
        return in_duckdb(self.hub.data / "readings.duckdb")


@contextmanager
def started(folder: Path, plan: Plan) -> Iterator[Run]:
    run = Run(folder, plan)
    try:
        yield run
    finally:
        run.close()


def run(folder: Path, plan: Plan) -> Verdict:
    """Kill as planned; the verdict."""
    began = time.monotonic()
    with started(folder, plan) as parts:
        parts.ingest.begin()
        parts.serve.begin()
        wait_for("the hub's subscription", parts.subscribed, 60)
        wait_for("the journal", (parts.hub.data / "journal" / "mark").exists)
        publisher = Publisher(parts.broker.port, plan.rate)
        say(f"publishing {plan.rate:g} messages a second, {plan.store}, MQTT {plan.protocol}")
        for thread in (parts.witness, publisher, parts.ingest, parts.serve, parts.outages):
            thread.start()
        parts.ingest.join()
        parts.serve.join()
        wait_for("an outage of the store", lambda: parts.outages.over)
        parts.outages.finish()
        publisher.finish()
        say(f"all kills done, {publisher.sent} messages published; waiting for what is under way")
        wanted = dict.fromkeys(plan.points, plan.hits)
        deaths = sorted(parts.ingest.deaths + parts.serve.deaths, key=lambda d: d.time_ns)
        verdict = Verdict(deaths, wanted)
        settle(parts, publisher, verdict)
        verdict.problems += [
            *parts.ingest.problems,
            *parts.serve.problems,
            *parts.witness.problems,
            *([parts.outages.error] if parts.outages.error else []),
        ]
        judge(parts, publisher, verdict)
        verdict.numbers |= {
            "kills": len(deaths),
            "redelivered": sum(d.redelivered for d in deaths),
            "known": sum(d.known for d in deaths),
            "outages": parts.outages.number,
            "writes_refused": sum(d.refused for d in deaths),
            "records": parts.witness.last_id,
            "store": plan.store,
            "protocol": plan.protocol,
            "seed": plan.seed,
            "seconds": round(time.monotonic() - began, 1),
        }
        return verdict


def points_left(ledger: Path) -> int:
    """Alert points that are still on their way to the store."""
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        found: int = db.execute("SELECT count(*) FROM point").fetchone()[0]
        return found


def settle(parts: Run, publisher: Publisher, verdict: Verdict) -> None:
    """Let everything arrive, then end both: the writer first, so that the journal stands still."""

    def arrived() -> bool:
        """Or nothing has come for a while."""
        witness = parts.witness
        if (witness.numbers, witness.twins) != seen[0]:
            seen[:] = (witness.numbers, witness.twins), time.monotonic()
        everything = witness.numbers >= publisher.sent and witness.twins >= publisher.twins_sent
        return everything or time.monotonic() - seen[1] > parts.plan.patience_s

    seen: list[Any] = [None, 0.0]

    def idle() -> bool:
        backlog: dict[str, int] = parts.hub.get("/api/v1/health")["backlog"]
        return max(backlog.values()) <= 0 and not points_left(parts.hub.data / "serve.db")

    _until("everything to be in the journal", arrived, verdict, SETTLE_S)
    parts.ingest.end()
    parts.witness.finish()
    _until("the serve process to have caught up", idle, verdict, SETTLE_S)
    parts.serve.end()


def _until(what: str, test: Any, verdict: Verdict, timeout_s: float) -> None:
    def quiet() -> bool:
        try:
            return bool(test())
        except OSError:
            return False

    try:
        wait_for(what, quiet, timeout_s)
    except AssertionError as error:
        verdict.problems.append(str(error))


def judge(parts: Run, publisher: Publisher, verdict: Verdict) -> None:
    court = Judge(verdict, parts.witness)
    court.points()
    court.journal(publisher)
    court.store(parts.stored(), publisher)
    court.ledger(parts.hub.data / "serve.db")
    court.notifications(parts.hub.data / "serve.db", parts.receiver.keys)
