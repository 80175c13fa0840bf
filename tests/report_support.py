"""A month that is known to the second, written into a real journal, folded by the real engine."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import yaml

from hub import configuration, ruleset
from hub.clock import NS, from_datetime
from hub.configuration import Configuration
from hub.engine import Engine
from hub.health import Health
from hub.journal import Class, Journal, Kind
from hub.journal.files import identity
from hub.ledger import Ledger, of_journal
from hub.presence import DOWN, HUB, UP, Span, recording, watched
from hub.reading import Reading, Series
from hub.records import pack_map, pack_readings
from rules.thing import Thing
from rules.transition import Transition

WIB = ZoneInfo("Asia/Jakarta")
Draft = tuple[int, Kind, Class, bytes]
MINUTE = 60 * NS
OFFSET = 7 * NS
"""Devices are asked seven seconds after each full minute."""

Down = Callable[[str, int], bool]


def at(text: str, year: int = 2026) -> int:
    """`10-05 10:47:07` in Toba, as UTC nanoseconds."""
    moment = datetime.strptime(f"{year}-{text}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=WIB)
    return from_datetime(moment)


def within(time_ns: int, *spans: tuple[str, str]) -> bool:
    return any(at(since) <= time_ns < at(until) for since, until in spans)


INVENTORY: dict[str, Any] = {
    "sites": [
        {"id": "balige", "name": "Balige", "lat": 2.33, "lon": 99.08},
        {"id": "uluan", "name": "Uluan", "lat": 2.46, "lon": 99.07},
    ],
    "opds": [
        {"id": "kominfo", "name": "Dinas Komunikasi dan Informatika", "site": "balige"},
        {"id": "dlh", "name": "Dinas Lingkungan Hidup", "site": "balige"},
        {"id": "camat-uluan", "name": "Kantor Camat Uluan", "site": "uluan"},
    ],
    "devices": [
        {"id": "r-core", "name": "Router Inti", "kind": "router", "site": "balige",
         "opd": "kominfo"},
        {"id": "r-dlh", "name": "Router DLH", "kind": "router", "site": "balige", "opd": "dlh",
         "depends_on": ["r-core"]},
        {"id": "cam-1", "name": "Kamera Onan Balige", "kind": "camera", "site": "balige",
         "opd": "dlh", "depends_on": ["r-dlh"]},
    ],
}  # fmt: skip
NEW: dict[str, Any] = {
    "id": "r-uluan", "name": "Router Camat Uluan", "kind": "router", "site": "uluan",
    "opd": "camat-uluan", "depends_on": ["r-core"],
}  # fmt: skip


def configured(folder: Path, inventory: dict[str, Any]) -> Configuration:
    """Settings and inventory as files, read."""
    settings = {
        "data": "data",
        "store": {"kind": "duckdb"},
        "inventory": ["inventory.yaml"],
        "rules": {"library": False},
    }
    (folder / "toba-hub.yaml").write_text(yaml.safe_dump(settings))
    (folder / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    return configuration.load(folder / "toba-hub.yaml")


def reading(measurement: str, device: str, time_ns: int, tags: dict[str, str], **f: int) -> Reading:
    return Reading(Series.of(measurement, device, **tags), time_ns, f)


def config(time_ns: int, conf: Configuration) -> Draft:
    return time_ns, Kind.CONFIG, Class.ACT, ruleset.of(conf).payload


def act(time_ns: int, **said: Any) -> Draft:
    return time_ns, Kind.ACT, Class.ACT, pack_map(said)


def readings(time_ns: int, collector: str, found: Sequence[Reading]) -> Draft:
    return time_ns, Kind.READINGS, Class.POLLED, pack_readings(collector, found)


def ticking(start: str, stop: str, away: tuple[str, str]) -> Iterator[Draft]:
    """The clock's ticks, every minute; the hub is gone between two of them."""
    for time_ns in range(at(start), at(stop) + 1, MINUTE):
        if not at(away[0]) < time_ns < at(away[1]):
            yield time_ns, Kind.TICK, Class.ACT, b""


async def fold(conf: Configuration, drafts: Sequence[Draft], parts: int = 1) -> None:
    """Write all records, in order of time, into the data folder's journal, and let the engine fold
    them; `parts`: how often it is stopped and started on the way."""
    data = conf.settings.data
    journal = Journal(data / "journal", now_ns=drafts[0][0])
    ordered = sorted(drafts, key=lambda draft: draft[0])
    try:
        share = -(-len(ordered) // parts)
        for begin in range(0, len(ordered), share):
            for few in range(begin, min(begin + share, len(ordered)), 5_000):
                journal.append(ordered[few : min(few + 5_000, begin + share)])
            await _folded(conf)
    finally:
        journal.close()


class Nobody:
    """Nobody is told of anything."""

    def owe(self, db: sqlite3.Connection, transitions: Sequence[Transition]) -> None: ...

    def wants(self, db: sqlite3.Connection, now_ns: int) -> bool:
        return False

    def tick(self, db: sqlite3.Connection, now_ns: int) -> None: ...


def folding(
    journal: Path,
    ledger: Ledger,
    things: Sequence[Thing],
    changed: Callable[[], None] = lambda: None,
) -> Engine:
    """An engine without rules."""
    return Engine(
        journal,
        ledger,
        [],
        things,
        Health(),
        telling=Nobody(),
        show=lambda found, now_ns: None,
        event=lambda event: None,
        changed=changed,
    )


async def _folded(conf: Configuration) -> None:
    data = conf.settings.data
    ledger = of_journal(data / "serve.db", identity(data / "journal"))
    done = asyncio.Event()

    def changed() -> None:
        if engine.backlog() == 0:
            done.set()

    engine = folding(data / "journal", ledger, [], changed)
    work = asyncio.create_task(engine.run())
    waiting = asyncio.create_task(done.wait())
    try:
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        ledger.close()


async def known_month(folder: Path) -> Configuration:
    """October 2026 as `tests/test_report.py` tells it; the configuration at its end."""
    before = configured(folder, INVENTORY)
    first = config(at("09-30 23:00:00"), before)
    conf = configured(folder, {**INVENTORY, "devices": [*INVENTORY["devices"], NEW]})
    drafts = [first, config(at("10-15 08:00:00"), conf)]
    drafts += ticking(*MONTH, AWAY)
    for time_ns in range(at(MONTH[0]) + OFFSET, at(MONTH[1]), MINUTE):
        if not at(AWAY[0]) < time_ns < at(AWAY[1]):
            drafts.append(readings(time_ns, "snmp", said(time_ns)))
    dlh = {"device": "r-dlh"}
    drafts += [
        act(at("10-05 09:00:00"), kind="silence", who="ani", matcher=dlh,
            until_ns=at("10-05 12:00:00")),
        act(at("10-18 20:00:00"), kind="maintenance", who="ani", why="ganti UPS", matcher=dlh,
            until_ns=at("10-18 22:00:00")),
        act(at("10-19 01:00:00"), kind="maintenance", who="budi", why="lensa",
            matcher={"device": "cam-*"}, until_ns=at("10-19 05:00:00")),
        act(at("10-19 02:30:00"), kind="unsilence", who="budi", matcher={"device": "cam-*"}),
        act(at("10-26 01:00:00"), kind="maintenance", who="budi",
            matcher={"device": "r-core", "severity": "info"}, until_ns=at("10-27 01:00:00")),
    ]  # fmt: skip
    await fold(conf, drafts, parts=3)
    return conf


MONTH = ("09-30 23:00:00", "11-01 01:00:00")
AWAY = ("10-10 12:00:00", "10-10 13:30:00")
CORE = [("10-20 02:00:07", "10-20 03:15:07")]
BEHIND = [("10-20 02:01:07", "10-20 03:16:07")]
"""What the core drags along is noticed, and heard again, a minute later."""
DLH = [
    ("09-30 23:50:07", "10-01 00:10:07"),
    ("10-05 10:00:07", "10-05 10:47:07"),
    ("10-10 11:55:07", "10-10 13:30:00"),
    ("10-18 20:10:07", "10-18 21:10:07"),
    *BEHIND,
    ("10-31 23:58:07", "11-01 00:05:07"),
]
CAMERA = [*DLH, ("10-25 14:00:07", "10-25 16:30:07")]
NO_SNMP = [("10-07 08:00:07", "10-07 08:30:07")]
"""Router DLH answers pings alone."""


def said(time_ns: int) -> list[Reading]:
    """What is read in that minute."""
    snmp, icmp = {"probe": "snmp"}, {"probe": "icmp"}
    dlh = int(not within(time_ns, *DLH))
    found = [
        reading("device", "r-core", time_ns, snmp, up=int(not within(time_ns, *CORE))),
        reading("device", "r-dlh", time_ns, icmp, up=dlh),
        reading("device", "r-dlh", time_ns, snmp, up=int(dlh and not within(time_ns, *NO_SNMP))),
    ]
    if not within(time_ns, ("10-12 06:01:07", "10-12 07:00:07")):
        camera = int(not within(time_ns, *CAMERA))
        state = {"up": camera, "state": 2 * camera}
        if camera:  # only a living one tells
            state["recording_gap_s"] = recorded_s(time_ns)
        found.append(reading("camera", "cam-1", time_ns, {}, **state))
        # It answers pings all the time: that alone is no picture.
        found.append(reading("device", "cam-1", time_ns, icmp, up=1))
    if dlh:
        broken = within(time_ns, ("10-22 09:00:07", "10-22 09:20:07"))
        shut = within(time_ns, ("10-23 09:00:07", "10-23 10:00:07"))
        state = {"oper_up": int(not broken and not shut), "admin_up": int(not shut)}
        found.append(
            reading("interface", "r-dlh", time_ns, {"ifname": "ether1"}, uplink=1, **state)
        )
        found.append(
            reading("interface", "r-dlh", time_ns, {"ifname": "ether2"}, uplink=0, oper_up=0)
        )
    if time_ns > at("10-15 08:00:00"):
        new = int(not within(time_ns, *BEHIND))
        found.append(reading("device", "r-uluan", time_ns, snmp, up=new))
    return found


def recorded_s(time_ns: int) -> int:
    """How long ago the camera recorded a picture, as it says: its card is full for two hours, and
    before, for the 26 minutes from 10-15 11:00 on, it is taken out again and again."""
    if within(time_ns, ("10-24 03:00:07", "10-24 05:10:07")):
        return (time_ns - at("10-24 02:59:37")) // NS
    if within(time_ns, ("10-15 11:00:07", "10-15 11:26:07")):
        return 299
    return 2


GAPS = {
    "cam-pelabuhan-ajibata": ("10-03 22:10:00", "10-05 07:31:40"),
    "cam-pasar-balige": ("09-29 12:00:00", "10-01 06:12:09"),
}


def regency(folder: Path) -> Configuration:
    """All of Toba in October 2026, with the trouble of an ordinary month: to look at."""
    toba = Path(configuration.__file__).parent / "regency" / "toba" / "inventory.yaml"
    conf = configured(folder, yaml.safe_load(toba.read_text(encoding="utf-8")))
    conf.settings.data.mkdir()
    ledger = Ledger(conf.settings.data / "serve.db")
    rows, chance = [], random.Random(7)
    start, stop = at("09-01 00:00:00"), at("11-01 00:00:00")
    for away in ((start, at("10-08 03:00:00")), (at("10-08 05:10:20"), stop)):
        rows.append(Span(HUB, *away, UP))
    for device in conf.inventory.devices.values():
        if device.kind not in ("router", "camera"):
            continue
        new = at("10-12 09:00:00") if device.id == "r-camat-nassau" else start
        rows.append(Span(watched(device.id), new, 2**62, UP))
        measurement, tags = ("camera", {}) if device.kind == "camera" else (
            "device", {"probe": "icmp"})  # fmt: skip
        keys = [(Series.of(measurement, device.id, **tags).key, 1.0)]
        if device.kind == "router":
            keys.append((Series.of("interface", device.id, ifname="ether1").key, 0.3))
        if device.id in GAPS:
            began, ended = map(at, GAPS[device.id])
            rows.append(Span(recording(device.id), start, began, UP))
            rows.append(Span(recording(device.id), began, ended, DOWN))
        for key, much in keys:
            rows += _troubled(chance, key, new, stop, much * chance.choice((0, 0, 1, 1, 2, 9)))
    ledger.db.executemany("INSERT INTO span VALUES (?, ?, ?, ?)", rows)
    work = ("7", at("10-17 20:00:00"), at("10-17 23:30:00"), "ani", "Ganti UPS pusat data")
    ledger.db.execute(
        "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?)",
        (*work[:3], msgspec.msgpack.encode({"opd": ["kominfo"]}), *work[3:]),
    )
    ledger.close()
    return conf


def _troubled(chance: random.Random, key: str, new: int, stop: int, often: float) -> Iterator[Span]:
    """Up, with some outages."""
    here = new
    for began in sorted(chance.randrange(new, stop) for _ in range(round(often * 2))):
        if began > here:
            until = min(stop, began + round(chance.expovariate(1 / 5400)) * NS + 60 * NS)
            yield Span(key, here, began, UP)
            yield Span(key, began, until, DOWN)
            here = until
    if here < stop:
        yield Span(key, here, stop, UP)
