"""Recordings of real devices, replayed over real UDP and polled by the real collector.

Where the recording comes with what another poller reads from it, all of that is compared: ports,
processors, memory, disks, sensors, radios, model and firmware. Each difference stands in
`snmp_differences.yaml` with who is right and why; one that doesn't stand there fails, and so does
one that stands there and is none any more.

The recordings are not part of the project: without them these tests are skipped, aloud.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import pytest
import yaml

from collectors.snmp.config import SnmpConfig
from collectors.snmp.tryout import Tried, examine
from firmware_stubs.router import RouterStub
from hub import manifest
from hub.api import Proposal, Reading
from hub.pipeline import Checker
from tests.snmp_support import RECORDINGS, listening, polling

COLLECTOR = Path(__file__).parents[1] / "collectors" / "snmp"
DIFFERENCES = Path(__file__).parent / "snmp_differences.yaml"
THREE_LARGE = ("cisco-c3560", "huawei-s5720", "ruijie-s5750")

FILES = sorted(RECORDINGS.glob("*.snmprec")) if RECORDINGS.is_dir() else []
if not FILES:
    pytest.skip(
        f"no recordings of real devices at {RECORDINGS}: NOTHING of this file is tested",
        allow_module_level=True,
    )
COMPARED = [path for path in FILES if path.with_suffix(".expected.json").exists()]


def devices(*files: Path) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", files, ids=lambda path: path.stem)


async def tried(path: Path) -> Tried:
    """All four tiers, by the whole collector."""
    stub = RouterStub.replay(path)
    async with listening(stub) as port:
        section = {"port": port, "timeout_s": 5.0}
        return await examine("127.0.0.1", section, SnmpConfig(), pause_s=0)


# ---------------------------------------------------------------- what they read


def theirs(path: Path, part: str, table: str = "") -> list[dict[str, Any]]:
    """A table of what the other poller read; its second pass where it made one."""
    found = json.loads(path.with_suffix(".expected.json").read_text()).get(part, {})
    second = found.get("poller")
    tables = second if isinstance(second, dict) else found.get("discovery", {})
    rows: list[dict[str, Any]] = tables.get(table or part, [])
    return rows


class Pair(NamedTuple):
    """One thing that both may have read; None: not read."""

    what: str
    ours: object
    theirs: object

    @property
    def agree(self) -> bool:
        if isinstance(self.ours, float) and isinstance(self.theirs, int | float):
            return self.ours == pytest.approx(float(self.theirs), rel=1e-3, abs=0.51)
        return self.ours == self.theirs


def ports(path: Path, found: Tried) -> Iterator[Pair]:
    rows = theirs(path, "ports")
    named = {port_name(row, rows): row for row in rows}
    for name in sorted(found.ports.keys() | named.keys()):
        row, port = named.get(name), found.ports.get(name)
        if row is None or port is None:
            yield Pair(f"port {name}", port is not None or None, row is not None or None)
            continue
        yield Pair(f"port {name} admin", up(port.get("admin_up")), row["ifAdminStatus"])
        yield Pair(f"port {name} oper", up(port.get("oper_up")), row["ifOperStatus"])
        yield Pair(f"port {name} speed", port.get("speed_bps"), row["ifSpeed"] or None)
        if row["ifAlias"] not in (row["ifName"], row["ifDescr"], None):  # theirs falls back to it
            yield Pair(f"port {name} alias", port.get("alias"), row["ifAlias"])


def up(state: int | None) -> str | None:
    return {None: None, 0: "down", 1: "up"}[state]


def port_name(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Our name of a port: unique in the device."""
    name = row["ifName"] or row["ifDescr"] or f"if{row['ifIndex']}"
    first = min(r["ifIndex"] for r in rows if (r["ifName"] or r["ifDescr"]) == name)
    return str(name) if first == row["ifIndex"] else f"{name}#{row['ifIndex']}"


def processors(path: Path, found: Tried) -> Iterator[Pair]:
    rows = theirs(path, "processors")
    if rows:
        load = fmean(row["processor_usage"] for row in rows)
        yield Pair("processors", found.device.get("cpu_pct"), load)
    for row in rows:
        oid = row["processor_oid"]
        yield Pair(f"processor {oid}", value_at(found, oid), row["processor_usage"])


def memory(path: Path, found: Tried) -> Iterator[Pair]:
    for row in theirs(path, "mempools"):
        share = 100 * row["mempool_used"] / row["mempool_total"]
        ours = found.device.get("mem_pct") if row["mempool_class"] == "system" else None
        yield Pair(f"memory {row['mempool_descr']}", ours, share)


def disks(path: Path, found: Tried) -> Iterator[Pair]:
    for row in theirs(path, "storage"):
        ours = found.parts.get(row["storage_descr"], {}).get("used_pct")
        yield Pair(f"disk {row['storage_descr']}", ours, row["storage_perc"])


IN_THEIR_UNIT = {"hardware.bias_ma": 1000.0, "hardware.distance_m": 1000.0}
"""They have ampere and kilometre."""


def value_at(found: Tried, oid: str) -> float | None:
    """What we made of an instance, in their unit, if it was used."""
    for told in found.told:
        if f".{told.oid}" == oid and told.value is not None and not told.why:
            return told.value / IN_THEIR_UNIT.get(told.field, 1.0)
    return None


def sensors(path: Path, found: Tried) -> Iterator[Pair]:
    for row in theirs(path, "sensors"):
        oid = row["sensor_oid"]
        what = f"{row['sensor_class']} {row['sensor_descr']} {oid}"
        yield Pair(what, value_at(found, oid), row["sensor_current"])
    for row in theirs(path, "wireless", "wireless_sensors"):
        values = [value_at(found, oid) for oid in json.loads(row["sensor_oids"])]
        known = [value for value in values if value is not None]
        what = f"{row['sensor_class']} {row['sensor_descr']}"
        yield Pair(what, sum(known) if known else None, row["sensor_current"])


def facts(path: Path, found: Tried) -> Iterator[Pair]:
    (row,) = theirs(path, "os", "devices")
    for ours, key in (("model", "hardware"), ("firmware", "version"), ("serial", "serial")):
        if row[key] is not None:
            yield Pair(ours, found.device.get(ours), row[key])


PARTS = (ports, processors, memory, disks, sensors, facts)


@devices(*COMPARED)
async def test_what_another_poller_reads_agrees_but_for_the_listed_differences(path: Path) -> None:
    found = await tried(path)
    pairs = [pair for part in PARTS for pair in part(path, found)]
    assert pairs
    listed = yaml.safe_load(DIFFERENCES.read_text(encoding="utf-8")).get(path.stem, [])
    differ = {pair.what: pair for pair in pairs if not pair.agree}
    for entry in listed:
        matched = [what for what in differ if fnmatchcase(what, entry["what"])]
        assert matched, f"is listed and no difference any more: {entry['what']}"
        for what in matched:
            del differ[what]
    assert not differ, "\n".join(map(str, differ.values()))


def test_each_listed_difference_says_who_is_right_and_why() -> None:
    table = yaml.safe_load(DIFFERENCES.read_text(encoding="utf-8"))
    assert set(table) <= {path.stem for path in COMPARED}
    for entries in table.values():
        for entry in entries:
            assert set(entry) == {"what", "right", "why"}
            assert entry["right"] in ("ours", "theirs", "both")
            assert len(entry["why"]) > 20


# ---------------------------------------------------------------- how they are read


@devices(*FILES)
async def test_what_is_told_is_what_is_emitted_and_the_manifest_promises_it(path: Path) -> None:
    stub = RouterStub.replay(path)
    checker = Checker(manifest.load(COLLECTOR / "manifest.toml"))
    now = 1_790_000_000_000_000_000
    async with listening(stub) as port, polling(port, timeout_s=5.0) as poller:
        poller.host.time_ns = now
        await poller.poll("liveness", "inventory", "traffic", "health")
        for reading in poller.emit.readings:
            kept, refused = checker.check(reading, now)
            assert refused == []
            assert kept == reading
        assert all(isinstance(item, Reading | Proposal) for item in poller.emit.items)
    found = await tried(path)
    for told in found.told:
        if told.value is not None and not told.why and told.field.startswith("hardware."):
            field = told.field.removeprefix("hardware.")
            assert found.parts[told.sensor][field] == told.value


REQUESTS = {
    "cisco-c3560": (45, 10, 10),
    "huawei-s5720": (38, 7, 7),
    "ruijie-s5750": (27, 5, 6),
}
"""Of the three large ones, at most: all found, one poll of traffic, one of health."""
OTHERS = (38, 6, 7)


@devices(*FILES)
async def test_a_recorded_device_is_polled_in_few_requests_and_without_a_warning(
    path: Path,
) -> None:
    stub = RouterStub.replay(path)
    async with listening(stub) as port, polling(port, timeout_s=5.0) as poller:
        counted = []
        for tiers in (("liveness", "inventory", "traffic"), ("traffic",), ("health",)):
            before = stub.requests
            await poller.poll(*tiers)
            counted.append(stub.requests - before)
        most = REQUESTS.get(path.stem, OTHERS)
        assert all(n <= limit for n, limit in zip(counted, most, strict=True)), counted
        assert poller.host.log.events("warning") == []
        assert poller.host.refused == []


def test_the_three_large_recordings_are_among_them() -> None:
    assert {path.stem for path in FILES} >= set(THREE_LARGE)
    for path in FILES:
        if path.stem in THREE_LARGE:
            assert path.read_bytes().count(b"\n") > 25_000


@devices(*FILES)
async def test_each_recorded_device_gets_the_profile_of_its_kind(path: Path) -> None:
    kind = {
        "cisco": "cisco",
        "dahua": "dahua",
        "eaton": "eaton",
        "edgeos": "edgeos",
        "hikvision": "hikvision",
        "huawei": "huawei",
        "jetstream_t1600g": "tplink",
        "openwrt": "openwrt",
        "routeros_ltap": "mikrotik",
        "routeros_rb750gr3": "mikrotik",
        "routeros_wifi": "mikrotik",
        "ruijie": "ruijie",
        "unifi_nanohd": "unifi",
        "vrp_ar169sfp": "huawei",
    }
    assert (await tried(path)).profile == kind[path.stem.split("-")[0]]
