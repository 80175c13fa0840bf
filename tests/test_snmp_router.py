"""The agent stub against net-snmp's own tools: an independent client must find it an agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.snmp import oids as o
from collectors.snmp.oids import cell, dotted
from firmware_stubs.router import FAULTS, RouterStub
from firmware_stubs.snmp_mib import BadRecording, Mib, read_snmprec
from firmware_stubs.snmp_model import Port, Router, office_router
from tests.snmp_support import listening, net_snmp_of

RECORDING = """\
1.3.6.1.2.1.1.1.0|4|RouterOS RB750Gr3 | with a bar
1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.14988.1
1.3.6.1.2.1.1.3.0|67|430400
# a comment
1.3.6.1.2.1.2.2.1.2.10|4x|65746865723130
1.3.6.1.2.1.2.2.1.2.9|4|ether9
1.3.6.1.2.1.2.2.1.10.9|65|4294967295
1.3.6.1.2.1.4.20.1.1.10.12.1.7|64|10.12.1.7
1.3.6.1.2.1.31.1.1.1.6.9|70|18446744073709551615
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "small.snmprec"
    path.write_text(RECORDING)
    return path


async def test_net_snmp_walks_a_recording_in_order(recording: Path) -> None:
    stub = RouterStub.replay(recording)
    async with listening(stub) as port:
        for tool in ("snmpwalk", "snmpbulkwalk"):
            found = await net_snmp_of(port, tool, "1.3.6.1.2.1")
            assert "past the end of the MIB" in found.pop()[1]
            assert found == [
                ("1.3.6.1.2.1.1.1.0", "RouterOS RB750Gr3 | with a bar"),
                ("1.3.6.1.2.1.1.2.0", ".1.3.6.1.4.1.14988.1"),
                ("1.3.6.1.2.1.1.3.0", "430400"),
                ("1.3.6.1.2.1.2.2.1.2.9", "ether9"),
                ("1.3.6.1.2.1.2.2.1.2.10", "ether10"),
                ("1.3.6.1.2.1.2.2.1.10.9", "4294967295"),
                ("1.3.6.1.2.1.4.20.1.1.10.12.1.7", "10.12.1.7"),
                ("1.3.6.1.2.1.31.1.1.1.6.9", "18446744073709551615"),
            ]


async def test_net_snmp_is_told_what_is_not_there(recording: Path) -> None:
    stub = RouterStub.replay(recording)
    async with listening(stub) as port:
        found = await net_snmp_of(port, "snmpget", "1.3.6.1.2.1.1.1.1", "1.3.6.1.2.1.1.9.0")
        assert [said for _, said in found] == [
            "No Such Instance currently exists at this OID",
            "No Such Object available on this agent at this OID",
        ]


@pytest.mark.parametrize("line", ["1.3.6|4", "1.3.x|2|1", "1.3.6.1|2|many", "1.3.6.1|4x|6g"])
def test_a_bad_line_of_a_recording_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.snmprec"
    path.write_text(f"1.3.6.1.2.1.1.3.0|67|1\n{line}\n")
    with pytest.raises(BadRecording, match=r"bad\.snmprec:2: "):
        read_snmprec(path)


async def test_a_made_up_router_is_a_router_to_net_snmp() -> None:
    stub = RouterStub.office("r-dlh", ports=3, seed=1, location="Balige", now=lambda: 1000.0)
    async with listening(stub) as port:
        names = await net_snmp_of(port, "snmpbulkwalk", dotted(o.IF_NAME))
        assert [name for _, name in names] == ["ether1", "ether2", "ether3"]
        told = dict(await net_snmp_of(port, "snmpwalk", "1.3.6.1.2.1"))
        assert told["1.3.6.1.2.1.1.5.0"] == "r-dlh"
        assert told["1.3.6.1.2.1.1.6.0"] == "Balige"
        assert told["1.3.6.1.2.1.2.1.0"] == "3"
        assert stub.router is not None
        uptime = int(stub.router.uptime_s * 100)
        assert told["1.3.6.1.2.1.1.3.0"] == str(uptime)
        assert told[dotted(cell(o.IF_HC_IN_OCTETS, 1))] == str(int(stub.router.ports[0].in_octets))


def test_octets_are_the_integral_of_the_load() -> None:
    port = Port("ether1", in_bps=8e6, out_bps=0.0)
    router = Router("r", [port])
    mean = port.bps(port.in_bps, 0.0, 300.0)
    for second in range(1, 301):
        router.advance(float(second))
    assert port.in_octets == pytest.approx(mean * 300 / 8)
    assert port.in_octets != pytest.approx(8e6 * 300 / 8)


def test_a_router_is_the_same_for_the_same_seed() -> None:
    one, two = office_router("r1", seed=4), office_router("r1", seed=4)
    assert [p.in_octets for p in one.ports] == [p.in_octets for p in two.ports]
    assert one.cpu_pct != office_router("r2", seed=4).cpu_pct


def test_a_port_without_link_carries_nothing() -> None:
    router = office_router("r1")
    router.set_link("ether2", up=False)
    before = router.port("ether2").in_octets
    router.advance(60.0)
    assert router.port("ether2").in_octets == before
    assert router.port("ether1").in_octets > before


def test_faults_that_do_not_exist_or_fit_are_named() -> None:
    stub = RouterStub.office("r1")
    with pytest.raises(ValueError, match="no fault 'deaf'; there are cpu_high"):
        stub.fault("deaf")
    with pytest.raises(KeyError, match="no port 'ether99'"):
        stub.fault("link_down", port="ether99")
    with pytest.raises(ValueError, match="a recording can't have the fault 'reboot'"):
        RouterStub(Mib({})).fault("reboot")
    assert stub.faults == {}


def test_the_docstring_lists_every_fault() -> None:
    import firmware_stubs.router as module

    assert module.__doc__
    listed = {line.split("`")[1] for line in module.__doc__.splitlines() if line.startswith("| `")}
    assert listed == FAULTS


def test_faults_of_two_ports_are_ended_one_by_one() -> None:
    stub = RouterStub.office("r1")
    stub.fault("link_down", port="ether1")
    stub.fault("link_down", port="ether2")
    stub.clear("link_down", port="ether1")
    assert stub.router is not None
    assert [p.oper_up for p in stub.router.ports[:3]] == [True, False, True]
    stub.clear()
    assert stub.router.port("ether2").oper_up
    assert stub.faults == {}
