"""SNMP v1: what it lacks costs no port, against the router stub and net-snmp's snmpd."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from collectors.snmp import oids as o
from collectors.snmp.client import Endpoint, Reply
from collectors.snmp.codec import Absent
from collectors.snmp.manners import Size
from collectors.snmp.oids import cell, oid
from collectors.snmp.v1 import V1Session
from collectors.snmp.walk import walk
from firmware_stubs.router import RouterStub
from tests.snmp_support import listening, polling, real_snmpd

NOT_THERE = oid("1.3.6.1.2.1.99.1.0")


@asynccontextmanager
async def asking(port: int, retries: int = 2) -> AsyncIterator[V1Session]:
    endpoint = await Endpoint.open()
    try:
        yield V1Session(endpoint, ("127.0.0.1", port), b"public", 2.0, retries)
    finally:
        endpoint.close()


async def test_one_missing_name_does_not_spoil_the_others() -> None:
    stub = RouterStub.office("r1", ports=3)
    async with listening(stub) as port, asking(port) as session:
        names = [NOT_THERE, o.SYS_NAME, cell(o.IF_HC_IN_OCTETS, 1), cell(o.IF_NAME, 2)]
        for requests in (3, 1):
            before = stub.requests
            reply = await session.get(names)
            assert reply.varbinds == [
                (NOT_THERE, Absent.NO_SUCH_INSTANCE),
                (o.SYS_NAME, b"r1"),
                # A 64-bit counter does not exist in version 1.
                (names[2], Absent.NO_SUCH_INSTANCE),
                (names[3], b"ether2"),
            ]
            # What is missing is known from then on: asked for once, not at every poll.
            assert stub.requests - before == requests
        await session.bulk(o.IF_NAME, 1)
        before = stub.requests
        await session.get(names)
        assert stub.requests - before == 3


async def test_nothing_there_at_all_is_an_answer() -> None:
    stub = RouterStub.office("r1")
    async with listening(stub) as port, asking(port) as session:
        assert (await session.get([NOT_THERE])).varbinds == [(NOT_THERE, Absent.NO_SUCH_INSTANCE)]


async def test_a_walk_by_get_next_is_complete_and_ends() -> None:
    stub = RouterStub.office("r1", ports=24)
    async with listening(stub) as port, asking(port) as session:
        found = await walk(session, o.IF_NAME, Size(10, 40))
        assert (found.complete, len(found.rows)) == (True, 24)
        last = await walk(session, oid("1.3.6.1.4.1"), Size(10, 40))
        assert last.complete
        stub.fault("stuck")
        stuck = await walk(session, o.IF_NAME, Size(10, 40))
        assert (stuck.complete, stuck.reason) == (False, "identifier not increasing after row 0")


async def test_an_error_in_the_middle_of_a_walk_is_no_end() -> None:
    stub = RouterStub.office("r1", ports=24)
    stub.fault("gen_err", oid="1.3.6.1.2.1.31.1.1.1.1.7")
    async with listening(stub) as port, asking(port) as session:
        found = await walk(session, o.IF_NAME, Size(10, 40))
    assert (found.complete, len(found.rows)) == (False, 6)
    assert found.reason.startswith("genErr after row 6")


async def test_an_error_index_that_points_nowhere_is_the_agents_error() -> None:
    stub = RouterStub.office("r1")
    async with listening(stub) as port, asking(port) as session:

        async def lying(prepared: object) -> Reply:
            return Reply(2, 9, [], 0.001)

        session.ask = lying  # type: ignore[method-assign, assignment]
        assert (await session.get([o.SYS_NAME, o.SYS_DESCR])).error == "noSuchName"


async def test_a_v1_device_is_polled_in_all_tiers_by_its_32_bit_counters() -> None:
    stub = RouterStub.office("r1", ports=5)
    async with listening(stub) as port, polling(port, version=1) as poller:
        device = await poller.device("liveness", "health", "inventory")
        ports = await poller.ports("traffic")
        assert (device["up"], device["sys_name"]) == (1, "r1")
        assert set(ports) == {f"ether{n}" for n in range(1, 6)}
        assert stub.router is not None
        assert ports["ether1"]["in_octets"] == int(stub.router.ports[0].in_octets) % 2**32
        assert ports["ether1"]["oper_up"] == 1


async def test_net_snmp_answers_version_1(tmp_path: Path) -> None:
    with real_snmpd(tmp_path) as port:
        async with polling(port, version="1") as poller:
            device = await poller.device("liveness", "inventory")
            assert device["sys_name"] == "toba-router"
            assert "lo" in await poller.ports("traffic")
