"""Agents that misbehave on command: no port is ever called missing, no walk is ever endless.

Each fault begins twice: while the device is known, and before it was ever asked.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from collectors.snmp import oids as o
from collectors.snmp.oids import dotted
from firmware_stubs.router import FAULTS, RouterStub
from hub.api import TryAgain
from tests.snmp_support import Poller, listening, polling

PORTS = 48
NAMES = {f"ether{number}" for number in range(1, PORTS + 1)}
TIERS = ("liveness", "inventory", "traffic", "health")
MOST_REQUESTS = 1500
"""Of all tiers together, in v1 (a request a row); an endless walk makes thousands a second."""
MISBEHAVING: dict[str, dict[str, Any]] = {
    "tooBig with no bindings over 5 names": {"name": "too_big", "names": 5},
    "tooBig for anything at all": {"name": "too_big", "names": 0},
    "genErr in the middle of ifName": {"name": "gen_err", "oid": f"{dotted(o.IF_NAME)}.21"},
    "genErr in the middle of ifDescr": {"name": "gen_err", "oid": f"{dotted(o.IF_DESCR)}.21"},
    "genErr at a counter": {"name": "gen_err", "oid": f"{dotted(o.IF_HC_IN_OCTETS)}.21"},
    "identifiers that do not increase": {"name": "stuck"},
    "replies of one row": {"name": "short", "rows": 1},
    "empty replies": {"name": "empty"},
    "messages cut off": {"name": "cut", "octets": 7},
    "messages cut to nothing": {"name": "cut", "octets": 2000},
    "another request's id": {"name": "wrong_id"},
    "answers from another port": {"name": "other_port"},
    "no answers": {"name": "dead"},
}
QUICK = {"settings": {"timeout_s": 0.05, "retries": 0}}


async def poll_all(poller: Poller) -> None:
    for tier in TIERS:
        with suppress(TryAgain):
            await poller.poll(tier)


def known(poller: Poller) -> set[str]:
    table = poller.collector._devices["r1"].device._table
    return {port.name for port in table.ports} if table else set()


def test_every_fault_of_the_agent_is_tried() -> None:
    tried = {str(words["name"]) for words in MISBEHAVING.values()}
    model = {"reboot", "link_down", "cpu_high", "mem_high", "traffic", "errors"}
    assert tried | model | {"slow"} == FAULTS


@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("fault", MISBEHAVING)
async def test_no_known_port_is_lost_and_no_walk_is_endless(fault: str, version: str) -> None:
    stub = RouterStub.office("r1", ports=PORTS)
    async with listening(stub) as port, polling(port, version=version, **QUICK) as poller:
        await poll_all(poller)
        assert known(poller) == NAMES
        before, told = stub.requests, len(poller.emit.items)
        stub.fault(**MISBEHAVING[fault])
        for _ in range(2):
            await poll_all(poller)
            assert known(poller) == NAMES
        assert stub.requests - before < 2 * MOST_REQUESTS
        # Nothing that was said meanwhile calls a port down, or by another name.
        for reading in poller.emit.readings:
            assert reading.fields.get("oper_up", 1) == 1
            assert dict(reading.series.tags).get("ifname", "ether1") in NAMES
        assert len(poller.emit.items) >= told
        stub.clear()
        found = await poller.ports("traffic")
        assert set(found) == NAMES


@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("fault", MISBEHAVING)
async def test_a_device_that_was_never_heard_right_is_found_once_it_behaves(
    fault: str, version: str
) -> None:
    stub = RouterStub.office("r1", ports=PORTS)
    stub.fault(**MISBEHAVING[fault])
    async with listening(stub) as port, polling(port, version=version, **QUICK) as poller:
        await poll_all(poller)
        assert stub.requests < MOST_REQUESTS
        assert known(poller) <= NAMES
        stub.clear()
        await poller.poll("inventory")
        assert set(await poller.ports("traffic")) == NAMES


@pytest.mark.parametrize("names", [2, 3, 5, 7])
async def test_an_agent_that_takes_few_names_a_request_is_read_in_full(names: int) -> None:
    stub = RouterStub.office("r1", ports=PORTS)
    stub.fault("too_big", names=names)
    async with listening(stub) as port, polling(port) as poller:
        assert set(await poller.ports(*TIERS)) == NAMES
        device = await poller.device("health")
        assert (device["ports"], "cpu_pct" in device) == (PORTS, True)
        before = stub.requests
        ports = await poller.ports("traffic")
        assert {"oper_up", "speed_bps", "in_octets", "out_octets"} <= set.intersection(
            *map(set, ports.values())
        )
        refused = -(-7 // (names - 1)) * PORTS  # a port has seven columns; sizes are halves
        assert stub.requests - before <= 2 * refused, "it tries again what was refused before"
        assert poller.host.log.lines == []
