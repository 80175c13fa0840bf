"""`toba-hub demo`: a simulated regency and the whole hub on it, in one command.

field (own process: broker, SNMP agents, sensors, cameras) ─ addresses ─► inventory.yaml
settings for a demo ─► toba-hub.yaml ─► the same two processes as `toba-hub run`
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hub import app, clock, configuration, demostory, fieldlink, logs, supervisor
from hub.api import TryAgain
from hub.clock import NS, now_ns
from hub.configuration import Configuration
from hub.ledger import Ledger
from hub.link import Link
from hub.store.base import StoreDown, StoreRefused
from hub.store.choose import open_store
from hub.store.query import Column, Query
from hub.web.address import listen

log = logs.get("demo")

START_S = 30.0
MEASUREMENTS = {
    "device": "up",
    "interface": "oper_up",
    "environment": "*",
    "camera": "up",
    "alert": "active",
    "hub": "readings",
}
"""What is counted at the end, and by which field."""

ENVIRONMENT = ("pm25", "do_mgl", "rain_mm", "water_level_m", "temperature", "noise_dba")

SETTINGS: dict[str, Any] = {
    "regency": "toba",
    "language": "id",
    "inventory": ["inventory.yaml"],
    "data": "data",
    "channels": {"ruang-kendali": {"type": "log", "wait_s": 3, "critical_wait_s": 1}},
    "people": {
        name.split()[0].lower(): {"name": name, "channels": ["ruang-kendali"]}
        for name in ("Andi Siregar", "Budi Manurung", "Rina Simanjuntak", "Tiur Hutapea")
    },
    "teams": {
        team: {"name": name, "channels": ["ruang-kendali"], **({"rota": rota} if rota else {})}
        for team, name, rota in (
            ("kominfo", "Dinas Kominfo", {"people": ["budi", "rina"]}),
            ("dlh", "Dinas Lingkungan Hidup", {"people": ["andi", "tiur"]}),
            ("bpbd", "BPBD", None),
            ("perikanan", "Dinas Ketahanan Pangan dan Perikanan", None),
            ("dishub", "Dinas Perhubungan", None),
        )
    },
}
"""The people are invented."""


class NoField(Exception):
    """When the simulated regency does not start."""


@dataclass(slots=True)
class FieldProcess:
    """The simulated regency as a process: one line asked, one line answered."""

    process: asyncio.subprocess.Process
    addresses: dict[str, Any]
    _turn: asyncio.Lock

    async def ask(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises OSError or ValueError when the field is gone."""
        assert self.process.stdin is not None  # noqa: S101 (both pipes were asked for)
        assert self.process.stdout is not None  # noqa: S101
        async with self._turn:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            await self.process.stdin.drain()
            line = await self.process.stdout.readline()
        if not line:
            raise ConnectionError("the field has ended")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    async def stop(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                async with asyncio.timeout(10):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


async def start_field(inventory: Path, *, script: bool, story: str = "") -> FieldProcess:
    """Start the simulated regency. Raises `NoField` with what it said."""
    arguments = ["-m", "firmware_stubs.field", "--inventory", str(inventory)]
    if story:
        interval_s = demostory.INTERVAL_S / clock.speed()
        arguments += ["--story", story, "--interval", str(interval_s)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        *(["--script", "demo"] if script else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=fieldlink.LIMIT,
        # Ctrl-C is for us; we end the field after the hub, so that no device seems to die.
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101
    try:
        async with asyncio.timeout(START_S):
            first = await process.stdout.readline()
        addresses = json.loads(first)
    except (TimeoutError, ValueError):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise NoField("the simulated regency did not start; its own words stand above") from None
    return FieldProcess(process, addresses, asyncio.Lock())


def settings_for(
    addresses: Mapping[str, Any],
    *,
    store: Mapping[str, Any],
    host: str,
    port: int,
    level: str,
    story: str = "",
) -> dict[str, Any]:
    """The demo's settings: quick periods and short `for`, so that a minute shows everything; a
    story has a clock for that, and the rules as they are."""
    broker = {
        "name": "demo",
        "host": addresses["broker"]["host"],
        "port": addresses["broker"]["port"],
        "protocol": 4,
    }
    settings = {
        **SETTINGS,
        "log": {"level": level},
        "web": {"host": host, "port": port, "auth": "demo"},
        "store": dict(store),
    }
    if story:
        collectors = {
            "mqtt": {"brokers": [{**broker, "canary_s": 0}]},
            "camera": {"broker": broker},
        }
        rules = {"set": demostory.PATIENT}
        settings.pop("people", None)
        return {**settings, **demostory.people(), "rules": rules, "collectors": collectors}
    return {
        **settings,
        "rules": {"set": QUICK},
        "collectors": {
            "mqtt": {"brokers": [broker]},
            "camera": {
                "broker": broker,
                "credentials": {"default": {"username": "hub", "password": "demo"}},
                "tiers": {
                    "rtsp": {"period_s": 10},
                    "stream": {"period_s": 10},
                    "onvif": {"period_s": 30},
                    "snapshot": {"period_s": 10},
                },
            },
            "snmp": {
                "timeout_s": 1.0,
                "retries": 1,
                "tiers": {
                    "liveness": {"period_s": 4},
                    "traffic": {"period_s": 5},
                    "health": {"period_s": 10},
                },
            },
        },
    }


QUICK: dict[str, Any] = {
    "router_down.for": "5s",
    "link_down.for": "5s",
    "cpu_high.for": "10s",
    "traffic_high.for": "10s",
    "pm25_unhealthy.when.mean": "10s",
    "pm25_unhealthy.for": "3s",
    "dissolved_oxygen_low.for": "5s",
    "dissolved_oxygen_critical.for": "5s",
    "lake_level_high.when.mean": "10s",
    "lake_level_high.for": "5s",
    "lake_level_critical.when.mean": "10s",
    "lake_level_critical.for": "5s",
    "sensor_silent.when.absent": "20s",
    "camera_silent.when.absent": "25s",
    "camera_degraded.for": "5s",
}
"""Rule values that a demo changes: minutes become seconds."""


@contextlib.asynccontextmanager
async def prepared(
    folder: Path,
    *,
    store: str,
    host: str,
    port: int,
    level: str,
    script: bool,
    regency: str = "toba",
    story: str = "",
) -> AsyncIterator[tuple[FieldProcess, Configuration]]:
    """The field running, settings and inventory written and checked. Raises `NoField`."""
    folder.mkdir(parents=True, exist_ok=True)
    home = folder_of(regency)
    given = home / "inventory.yaml"
    if story:
        sensors = folder / "sensors.yaml"
        sensors.write_text(_yaml(demostory.sensors_only(given)), "utf-8")
        given, script = sensors, False
    field = await start_field(given, script=script, story=story)
    try:
        (folder / "inventory.yaml").write_text(_yaml(field.addresses["inventory"]), "utf-8")
        chosen = {"kind": store, "linger_ms": 200}
        if store == "influxdb":
            chosen |= {
                "database": "toba_demo",
                "url": os.environ.get("INFLUX_URL", "http://127.0.0.1:8086"),
            }
        written = settings_for(
            field.addresses, store=chosen, host=host, port=port, level=level, story=story
        )
        written = at_home(written, home)
        path = folder / "toba-hub.yaml"
        path.write_text("# Written by `toba-hub demo`.\n" + _yaml(written), "utf-8")
        yield field, configuration.load(path)
    finally:
        await field.stop()


def folder_of(regency: str) -> Path:
    """One that comes with the hub, or a folder of one's own. Raises `NoField` naming what there
    is."""
    ours = Path(__file__).parent / "regency"
    for folder in (ours / regency, Path(regency)):
        if (folder / "inventory.yaml").is_file() and (folder / "regency.yaml").is_file():
            return folder.resolve()
    names = ", ".join(sorted(path.parent.name for path in ours.glob("*/regency.yaml")))
    raise NoField(
        f"no regency {regency!r}: there is {names}, or a folder of yours with regency.yaml and "
        "inventory.yaml"
    )


def at_home(settings: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The demo's settings with those of the regency's `settings.yaml`: zone, teams, rules of its
    own and other values for those of the library."""
    path = home / "settings.yaml"
    own = (yaml.safe_load(path.read_text("utf-8")) or {}) if path.is_file() else {}
    rules = {**settings.get("rules", {}), **own.get("rules", {})}
    changed = {**settings.get("rules", {}).get("set", {}), **rules.get("set", {})}
    left_out = rules.get("disable", [])
    rules["set"] = {k: v for k, v in changed.items() if k.partition(".")[0] not in left_out}
    rules["files"] = [str(home / file) for file in rules.get("files", [])]
    return {**settings, **own, "regency": str(home), "rules": rules}


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=100)


async def run(
    *,
    store: str = "duckdb",
    host: str = "127.0.0.1",
    port: int = 8080,
    seconds: float | None = None,
    folder: Path | None = None,
    level: str = "info",
    script: bool = True,
    regency: str = "toba",
    story: str = "",
    speed: float = 60.0,
) -> dict[str, Any]:
    """Run the demo until Ctrl-C or for `seconds`; what was found in the store at the end.

    A `story` lets the clock of all processes, this one's too, run `speed` times faster.
    Raises `PortTaken`, `NoField`, `Misconfigured`, `AlreadyRunning`.
    """
    os.umask(supervisor.PRIVATE)
    listen(host, port).close()
    own = folder is None
    where = Path(tempfile.mkdtemp(prefix="toba-demo-")) if folder is None else folder
    stop = asyncio.Event()
    supervisor.on_signals(stop)
    began = demostory.begin(speed) if story else now_ns()
    try:
        opened = prepared(
            where,
            store=store,
            host=host,
            port=port,
            level=level,
            script=script,
            regency=regency,
            story=story,
        )
        async with opened as (field, conf):
            url = f"http://{host}:{port}"
            lock = supervisor.FolderLock.take(conf.settings.data, url)
            socket = conf.settings.data / "field.sock"
            server = await fieldlink.listen(socket, field.ask)
            log.info("the board is at", url=url, store=store, data=str(where))
            dropped: dict[str, int] = {}
            tasks = [asyncio.create_task(_end(stop, seconds, conf, dropped))]
            if story:
                telling = demostory.tell(field.ask, conf.settings.data / "ingest.sock")
                tasks.append(asyncio.create_task(telling))
            try:
                code = await supervisor.supervise(app.children(conf.path, socket), stop)
            finally:
                for task in tasks:
                    task.cancel()
                server.close()
                lock.release()
            if code:
                raise NoField(f"a process of the hub ended with exit code {code}")
            summary = await _summary(conf, began, dropped)
            return {**summary, "told": _told(conf)} if story else summary
    finally:
        if own:
            shutil.rmtree(where, ignore_errors=True)


async def _end(
    stop: asyncio.Event, seconds: float | None, conf: Configuration, dropped: dict[str, int]
) -> None:
    """Set `stop` in time, having asked for what was dropped while somebody can still tell."""
    if seconds is None:
        return
    await asyncio.sleep(seconds)
    link = Link(conf.settings.data / "ingest.sock")
    try:
        health = await link.health()
        dropped.update({**health["dropped"], **health["refused"]})
    except TryAgain as error:
        log.error("can't ask what was dropped", why=str(error))
        dropped["unknown"] = 1
    finally:
        await link.close()
    stop.set()


async def _summary(conf: Configuration, began_ns: int, dropped: dict[str, int]) -> dict[str, Any]:
    ledger = Ledger(conf.settings.data / "serve.db")
    try:
        counts = ledger.counts()
        owed = dict(ledger.db.execute("SELECT state, count(*) FROM owed GROUP BY state"))
    except sqlite3.Error:
        counts, owed = {}, {}
    finally:
        ledger.close()
    return {
        "store": conf.settings.store.kind,
        "readings": await _readings(conf, began_ns),
        "alerts": {"raised": counts.get("raised", 0), "resolved": counts.get("resolved", 0)},
        "notifications": {
            "sent": owed.get("sent", 0),
            "failed": owed.get("failed", 0) + owed.get("expired", 0),
        },
        "drops": dropped,
    }


def _told(conf: Configuration) -> list[dict[str, Any]]:
    ledger = Ledger(conf.settings.data / "serve.db")
    try:
        return demostory.told(ledger.db)
    finally:
        ledger.close()


async def _readings(conf: Configuration, began_ns: int) -> dict[str, int]:
    """Rows found in the store since the demo began."""
    store = open_store(conf.settings.store, conf.settings.data, conf.inventory)
    await store.open()
    try:
        found = {}
        for measurement, field in MEASUREMENTS.items():
            names = ENVIRONMENT if field == "*" else (field,)
            found[measurement] = sum(
                [await _count(store, measurement, name, began_ns) for name in names]
            )
        return found
    finally:
        await store.close()


async def _count(store: Any, measurement: str, field: str, began_ns: int) -> int:
    columns = (Column(field, "count"),)
    query = Query(measurement, columns, began_ns - NS, now_ns() + 600 * NS)
    try:
        rows = await store.query(query)
    except (StoreDown, StoreRefused):
        return 0
    return sum(int(row[1][0] or 0) for series in rows for row in series.rows)
