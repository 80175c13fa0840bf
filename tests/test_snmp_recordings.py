"""Recordings of real devices, replayed over real UDP and polled by the real collector.

Where the recording comes with what another poller reads from it, both are compared, port by port.
The recordings are not part of the project: without them these tests are skipped, aloud.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from firmware_stubs.router import RouterStub
from tests.snmp_support import RECORDINGS, Poller, listening, polling

HR_PROCESSOR = ".1.3.6.1.2.1.25.3.3.1.2."
RAM = ("physical memory", "main memory")
HIDDEN = {
    "edgeos": {"gre0", "gretap0", *(f"{kind}{i}" for kind in ("loop", "npi") for i in range(4))}
}
"""Ports that the other poller leaves out by a list of names of its own; we show what is there."""

FILES = sorted(RECORDINGS.glob("*.snmprec")) if RECORDINGS.is_dir() else []
if not FILES:
    pytest.skip(
        f"no recordings of real devices at {RECORDINGS}: NOTHING of this file is tested",
        allow_module_level=True,
    )


def expected(path: Path, part: str) -> list[dict[str, Any]]:
    """A table of what the other poller read; its second pass where it made one."""
    answer = path.with_suffix(".expected.json")
    found = json.loads(answer.read_text()).get(part, {}) if answer.exists() else {}
    second = found.get("poller")
    table = second if isinstance(second, dict) else found.get("discovery", {})
    rows: list[dict[str, Any]] = table.get(part, [])
    return rows


def processors(path: Path) -> list[dict[str, Any]]:
    """Those of HOST-RESOURCES-MIB; vendors' own come with the device profiles."""
    rows = expected(path, "processors")
    return [row for row in rows if row["processor_oid"].startswith(HR_PROCESSOR)]


def memory(path: Path) -> list[dict[str, Any]]:
    """RAM of HOST-RESOURCES-MIB."""
    rows = [row for row in expected(path, "mempools") if row["mempool_type"] == "hrstorage"]
    return [row for row in rows if row["mempool_descr"].lower() in RAM]


def devices(*files: Path) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", files, ids=lambda path: path.stem)


@pytest.fixture
async def replayed(path: Path) -> AsyncIterator[tuple[RouterStub, Poller]]:
    stub = RouterStub.replay(path)
    async with listening(stub) as port, polling(port, timeout_s=5.0) as poller:
        yield stub, poller


@devices(*FILES)
async def test_a_recorded_device_is_polled_in_few_requests_and_without_a_warning(
    replayed: tuple[RouterStub, Poller], path: Path
) -> None:
    stub, poller = replayed
    found = await poller.device("liveness")
    assert found["up"] == 1
    first = await poller.ports("traffic", "health", "inventory")
    discovery = stub.requests
    again = await poller.ports("traffic")
    assert discovery <= 80
    assert stub.requests - discovery <= 1 + len(again) * 8 // 40 + 1
    assert again.keys() <= first.keys()
    assert poller.host.log.events("warning") == []
    assert poller.host.refused == []


@devices(*(path for path in FILES if expected(path, "ports")))
async def test_ports_agree_with_what_another_poller_read(
    replayed: tuple[RouterStub, Poller], path: Path
) -> None:
    rows = expected(path, "ports")
    _, poller = replayed
    ports = await poller.ports("traffic", "inventory")
    assert set(ports) == {port_name(row, rows) for row in rows} | HIDDEN.get(path.stem, set())
    for row in rows:
        port = ports[port_name(row, rows)]
        told = {
            "admin_up": None if row["ifAdminStatus"] is None else int(row["ifAdminStatus"] == "up"),
            "oper_up": None if row["ifOperStatus"] is None else int(row["ifOperStatus"] == "up"),
            "speed_bps": row["ifSpeed"] or None,
        }
        assert {key: port.get(key) for key in told} == told, port_name(row, rows)
        if row["ifAlias"] not in (row["ifName"], row["ifDescr"], None):
            assert port.get("alias") == row["ifAlias"]


def port_name(row: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Our name of a port: unique in the device."""
    name = row["ifName"] or row["ifDescr"] or f"if{row['ifIndex']}"
    first = min(r["ifIndex"] for r in rows if (r["ifName"] or r["ifDescr"]) == name)
    return str(name) if first == row["ifIndex"] else f"{name}#{row['ifIndex']}"


@devices(*filter(processors, FILES))
async def test_processors_agree_with_what_another_poller_read(
    replayed: tuple[RouterStub, Poller], path: Path
) -> None:
    rows = processors(path)
    _, poller = replayed
    load = (await poller.device("health"))["cpu_pct"]
    assert load == pytest.approx(sum(row["processor_usage"] for row in rows) / len(rows))


@devices(*filter(memory, FILES))
async def test_memory_agrees_with_what_another_poller_read(
    replayed: tuple[RouterStub, Poller], path: Path
) -> None:
    _, poller = replayed
    (row,) = memory(path)
    used = (await poller.device("health"))["mem_pct"]
    assert used == pytest.approx(100 * row["mempool_used"] / row["mempool_total"], abs=0.1)
