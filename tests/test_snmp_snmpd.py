"""The collector against net-snmp's snmpd: what it reads is what snmpget and snmpwalk say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.snmp import oids as o
from collectors.snmp.oids import Oid, dotted
from tests.snmp_support import Poller, free_udp_port, net_snmp, polling, real_snmpd

RAM = o.HR_STORAGE_RAM


@pytest.fixture(scope="module")
def snmpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with real_snmpd(tmp_path_factory.mktemp("snmpd")) as port:
        yield port


def told(port: int, column: Oid) -> dict[str, str]:
    """A column by index, as snmpwalk prints it."""
    root = dotted(column) + "."
    rows = net_snmp("snmpwalk", port, root.rstrip("."))
    return {name.removeprefix(root): value for name, value in rows if name.startswith(root)}


async def test_the_system_group_is_what_snmpget_says(snmpd: int) -> None:
    async with polling(snmpd) as poller:
        found = await poller.device("liveness", "inventory")
    names = [dotted(name) for name in (o.SYS_DESCR, o.SYS_OBJECT_ID, o.SYS_NAME, o.SYS_LOCATION)]
    said = [value for _, value in net_snmp("snmpget", snmpd, *names)]
    assert found["sys_descr"] == said[0]
    assert "." + found["sys_object_id"] == said[1]
    assert [found["sys_name"], found["sys_location"]] == said[2:] == ["toba-router", "Balige"]


async def test_uptime_lies_between_two_snmpgets(snmpd: int) -> None:
    async with polling(snmpd) as poller:
        uptime = dotted(o.SYS_UPTIME)
        before = int(net_snmp("snmpget", snmpd, uptime)[0][1])
        found = await poller.device("liveness")
        after = int(net_snmp("snmpget", snmpd, uptime)[0][1])
    assert before / 100 <= found["uptime_s"] <= after / 100
    assert found["up"] == 1
    assert 0 < found["agent_ms"] < 2000


async def test_ports_are_those_that_snmpwalk_lists(snmpd: int) -> None:
    # snmpd keeps its table of interfaces for some seconds: ask around it until both agree.
    async with polling(snmpd) as poller:
        for _ in range(20):
            before = {c: told(snmpd, c) for c in (o.IF_HC_IN_OCTETS, o.IF_HC_OUT_OCTETS)}
            ports = await poller.ports("traffic", "inventory")
            after = {c: told(snmpd, c) for c in before}
            if ports:
                break
    names = told(snmpd, o.IF_NAME)
    assert set(ports) == set(names.values())
    assert "lo" in ports
    oper, admin = told(snmpd, o.IF_OPER_STATUS), told(snmpd, o.IF_ADMIN_STATUS)
    speed, high = told(snmpd, o.IF_SPEED), told(snmpd, o.IF_HIGH_SPEED)
    for index, name in names.items():
        port = ports[name]
        assert port["oper_up"] == (oper[index] == "1")
        assert port["admin_up"] == (admin[index] == "1")
        expected = int(high[index]) * 1_000_000 or int(speed[index]) or None
        assert port.get("speed_bps") == expected
        for field, column in (("in_octets", o.IF_HC_IN_OCTETS), ("out_octets", o.IF_HC_OUT_OCTETS)):
            assert int(before[column][index]) <= port[field] <= int(after[column][index])


async def test_the_loopback_rate_is_what_flowed_over_it(snmpd: int) -> None:
    """Our own questions flow over lo, so its counters grow; snmpd refreshes them by itself."""
    async with polling(snmpd) as poller:
        rate = await _positive_rate(poller, snmpd)
    assert 0 < rate < 1e9


async def _positive_rate(poller: Poller, port: int) -> float:
    async with asyncio.timeout(40):
        while True:
            found = await poller.ports("traffic")
            if found["lo"].get("in_bps", 0.0) > 0:
                return float(found["lo"]["in_bps"])
            await asyncio.to_thread(net_snmp, "snmpwalk", port, "1.3.6.1.2.1.2.2.1.2")
            await asyncio.sleep(1.0)


async def test_memory_and_processors_are_those_of_host_resources(snmpd: int) -> None:
    async with polling(snmpd) as poller:
        found = await poller.device("health")
    loads = [int(load) for load in told(snmpd, o.HR_PROCESSOR_LOAD).values()]
    assert ("cpu_pct" in found) == bool(loads)
    if loads:
        assert 0 <= found["cpu_pct"] <= 100
    kinds, descrs = told(snmpd, o.HR_STORAGE_TYPE), told(snmpd, o.HR_STORAGE_DESCR)
    size, used = told(snmpd, o.HR_STORAGE_SIZE), told(snmpd, o.HR_STORAGE_USED)
    (ram,) = [index for index, kind in kinds.items() if kind == f".{RAM}"]
    given_back = sum(
        int(used[i]) for i, d in descrs.items() if d in ("Memory buffers", "Cached memory")
    )
    expected = 100 * (int(used[ram]) - given_back) / int(size[ram])
    assert found["mem_pct"] == pytest.approx(expected, abs=10)


async def test_errors_and_discards_come_as_rates(snmpd: int) -> None:
    async with polling(snmpd) as poller:
        await poller.poll("health")
        async with asyncio.timeout(20):
            while "in_errors_ps" not in (found := await poller.ports("health")).get("lo", {}):
                await asyncio.sleep(0.3)
    assert {"in_errors_ps", "out_errors_ps", "in_discards_ps", "out_discards_ps"} <= set(
        found["lo"]
    )
    assert all(value >= 0 for name, value in found["lo"].items() if name.endswith("_ps"))


async def test_an_agent_that_was_restarted_is_not_a_host_that_rebooted(tmp_path: Path) -> None:
    """snmpd's sysUpTime begins anew with the daemon, its hrSystemUptime doesn't."""
    port = free_udp_port()
    async with polling(port) as poller:
        with real_snmpd(tmp_path, port):
            async with asyncio.timeout(20):
                while (await poller.device("liveness"))["uptime_s"] < 3:
                    await asyncio.sleep(0.1)
        with real_snmpd(tmp_path, port):
            await poller.poll("liveness")
    assert [event.name for event in poller.emit.events] == ["agent_restart"]
    assert "its host did not" in poller.emit.events[0].text
