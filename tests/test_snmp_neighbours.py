"""Neighbours by LLDP and CDP become proposed edges; what depends on what only where it is known."""

from __future__ import annotations

from typing import Any

import pytest

from collectors.snmp import codec, neighbours
from collectors.snmp.client import Reply
from collectors.snmp.codec import Value
from collectors.snmp.directory import Directory
from collectors.snmp.neighbours import Neighbour
from collectors.snmp.oids import oid
from collectors.snmp.reader import Reader
from firmware_stubs.router import RouterStub
from hub.api import Target
from tests.snmp_support import FakeSession, Spoil, honest, listening, polling

LLDP = "1.0.8802.1.1.2.1"
CDP = "1.3.6.1.4.1.9.9.23.1.2.1.1"
PORTS = {1: "ether1", 2: "ether2", 10101: "Gi0/1"}


def lldp(local: int, **said: Value) -> dict[str, Value]:
    columns = {"subtype": 4, "chassis": 5, "port_subtype": 6, "port": 7, "descr": 8, "name": 9}
    return {f"{LLDP}.4.1.1.{columns[key]}.0.{local}.1": value for key, value in said.items()}


async def found(values: dict[str, Value], spoil: Spoil = honest) -> tuple[list[Neighbour], Any]:
    return await neighbours.find(Reader(FakeSession(values, spoil), 40, 50), PORTS)


async def test_an_lldp_neighbour_is_named_by_sysname_with_its_address_from_the_index() -> None:
    values = lldp(1, subtype=4, chassis=b"\xe8\x1c\xba\x01\x02\x03", port=b"sfp1", name=b"r-core")
    values[f"{LLDP}.4.2.1.3.0.1.1.1.4.10.12.0.1"] = 2
    (one,), notes = await found(values)
    assert one == Neighbour("lldp", "ether1", "r-core", "sfp1", "10.12.0.1", "")
    assert notes == []


async def test_without_a_sysname_the_chassis_names_it_a_mac_address_with_colons() -> None:
    (one,), _ = await found(
        lldp(
            2, subtype=4, chassis=b"\xe8\x1c\xba\x01\x02\x03", port_subtype=3, port=b"\0\1\2\3\4\5"
        )
    )
    assert (one.name, one.far_port) == ("e8:1c:ba:01:02:03", "00:01:02:03:04:05")


async def test_the_local_port_number_is_not_always_an_ifindex() -> None:
    values = lldp(7, chassis=b"x", name=b"sw")
    values[f"{LLDP}.3.7.1.3.7"] = b"Gi0/1"
    (one,), _ = await found(values)
    assert one.port == "Gi0/1"
    values[f"{LLDP}.3.7.1.3.7"] = b"\0\1\2\3\4\5"
    values[f"{LLDP}.3.7.1.4.7"] = b"ether2"
    (one,), _ = await found(values)
    assert one.port == "ether2"


async def test_a_cdp_neighbour_has_its_port_by_ifindex_and_an_ipv4_address() -> None:
    values: dict[str, Value] = {
        f"{CDP}.4.10101.3": bytes([10, 1, 100, 181]),
        f"{CDP}.6.10101.3": b"kantor-camat",
        f"{CDP}.7.10101.3": b"GigabitEthernet0/2",
        f"{CDP}.8.10101.3": b"cisco WS-C3560",
    }
    (one,), _ = await found(values)
    assert one == Neighbour(
        "cdp", "Gi0/1", "kantor-camat", "GigabitEthernet0/2", "10.1.100.181", "cisco WS-C3560"
    )


async def test_one_neighbour_seen_by_both_is_one() -> None:
    values = lldp(1, chassis=b"x", port=b"p", name=b"sw")
    values |= {f"{CDP}.6.1.9": b"sw"}
    assert [one.by for one in (await found(values))[0]] == ["lldp"]


async def test_odd_address_rows_are_passed_over() -> None:
    values = lldp(1, chassis=b"x", port=b"p", name=b"sw")
    values[f"{LLDP}.4.2.1.3.0.1.1.1.4.10.12.0"] = 2
    values[f"{LLDP}.4.2.1.3.0.1.1.1.4.10.12.0.4294967295"] = 2
    values[f"{LLDP}.4.2.1.3.0.1"] = 2
    (one,), _ = await found(values)
    assert one.address == ""


async def test_a_walk_that_was_cut_is_noted_and_what_came_is_taken() -> None:
    def stuck(method: str, asked: int, reply: Reply) -> Reply:
        if method == "bulk" and len(reply.varbinds) > 1:
            return reply._replace(varbinds=[reply.varbinds[0], reply.varbinds[0]])
        return reply

    (one,), notes = await found(lldp(1, chassis=b"x", port=b"p", name=b"sw"), stuck)
    assert one.name == "sw"
    assert any("LLDP neighbours was cut: identifier not increasing" in note for note in notes)


def edge(neighbour: Neighbour, uplinks: list[str], known: str) -> dict[str, Any]:
    (proposal,) = neighbours.proposals("r1", [neighbour], uplinks, lambda name, address: known)
    assert (proposal.kind, proposal.device) == ("edge", "r1")
    return dict(proposal.facts)


@pytest.mark.parametrize(
    ("uplinks", "known", "depends"),
    [(["ether1"], "r-core", "r-core"), ([], "r-core", None), (["ether1"], "", None)],
)
def test_only_a_known_neighbour_behind_an_uplink_is_depended_on(
    uplinks: list[str], known: str, depends: str | None
) -> None:
    neighbour = Neighbour("lldp", "ether1", "core.toba", "sfp1", "10.0.0.1", "")
    assert edge(neighbour, uplinks, known).get("depends_on") == depends


# ---------------------------------------------------------------- the whole collector


async def test_the_collector_proposes_each_edge_once_until_it_changes() -> None:
    stub = RouterStub.office("camat", ports=2)
    async with listening(stub) as port, polling(port, uplinks=["ether1"]) as poller:
        poller.host.devices = [*poller.host.devices, Target("r-core", "router", "10.12.0.1", {})]
        values = lldp(1, chassis=b"x", port=b"sfp1", name=b"core")
        values[f"{LLDP}.4.2.1.3.0.1.1.1.4.10.12.0.1"] = 2
        add(stub, values)
        await poller.poll("inventory", "inventory")
        (proposal,) = poller.emit.proposals
        assert proposal.facts["depends_on"] == "r-core"
        assert proposal.facts["port"] == "ether1"
        add(stub, lldp(1, chassis=b"x", port=b"sfp2", name=b"core"))
        await poller.poll("inventory")
        assert [p.facts["far_port"] for p in poller.emit.proposals] == ["sfp1", "sfp2"]


def add(stub: RouterStub, values: dict[str, Value]) -> None:
    """More instances for an agent."""
    stub.mib = stub.mib.beside(
        {
            oid(name): codec.integer(value) if isinstance(value, int) else codec.tlv(4, value)
            for name, value in values.items()
            if isinstance(value, int | bytes)
        }
    )


class Called:
    """A directory of three devices, and what they call themselves."""

    def __init__(self) -> None:
        self.targets = [Target(id, "router", f"10.0.0.{n}", {}) for n, id in enumerate("abc", 1)]
        self.names: dict[str, str] = {}
        self.made = 0
        self.directory = Directory(lambda: self.targets, self._all)

    def _all(self) -> list[tuple[str, str]]:
        self.made += 1
        return list(self.names.items())

    def say(self, id: str, name: str) -> None:
        before, self.names[id] = self.names.get(id, ""), name
        self.directory.called(id, before, name)

    def who(self, name: str = "", address: str = "") -> str:
        return self.directory.who(name, address)


def test_a_neighbour_is_found_by_address_by_id_and_by_what_it_calls_itself() -> None:
    called = Called()
    assert (called.who("B"), called.who("x", "10.0.0.3"), called.who("x")) == ("b", "c", "")
    called.say("c", "Core")
    assert (called.who("core"), called.who("core", "10.0.0.1"), called.who()) == ("c", "a", "")
    assert called.made == 1  # names that come are added


def test_a_name_that_several_have_is_nobodys_until_one_gives_it_up() -> None:
    called = Called()
    called.who()
    called.say("a", "MikroTik")
    called.say("b", "mikrotik")
    assert called.who("mikrotik") == ""
    called.say("a", "gerbang")
    assert (called.who("mikrotik"), called.who("gerbang")) == ("b", "a")


def test_who_left_the_inventory_is_not_found_any_more() -> None:
    called = Called()
    called.say("c", "core")
    assert called.who("core") == "c"
    called.targets = called.targets[:2]
    assert (called.who("core"), called.who("c"), called.who("", "10.0.0.3")) == ("", "", "")
