"""Who stands at the other end of each port, by LLDP and CDP; what follows is only proposed.

A neighbour behind a port that the inventory calls an uplink is what the device depends on. Which
way the others depend can't be known from here: they are proposed as plain edges.
Source: LLDP-MIB (IEEE 802.1AB), CISCO-CDP-MIB.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from collectors.snmp.codec import Value
from collectors.snmp.finding import cells, index_arcs
from collectors.snmp.oids import Oid, cell, oid
from collectors.snmp.parse import number, text
from collectors.snmp.reader import Reader
from hub.api import Proposal

MOST = 256
"""Neighbours beyond are not looked at: a switch that floods LLDP shows hundreds."""

LLDP = "1.0.8802.1.1.2.1"
LOCAL_SUBTYPE, LOCAL_ID, LOCAL_DESCR = (oid(f"{LLDP}.3.7.1.{n}") for n in (2, 3, 4))
CHASSIS_SUBTYPE, CHASSIS, PORT_SUBTYPE, PORT, PORT_DESCR, SYS_NAME, SYS_DESCR = (
    oid(f"{LLDP}.4.1.1.{n}") for n in (4, 5, 6, 7, 8, 9, 10)
)
ADDRESSES = oid(f"{LLDP}.4.2.1.3")
CDP = "1.3.6.1.4.1.9.9.23.1.2.1.1"
CDP_ADDRESS, CDP_NAME, CDP_PORT, CDP_PLATFORM = (oid(f"{CDP}.{n}") for n in (4, 6, 7, 8))

MAC_CHASSIS, MAC_PORT = 4, 3
"""LldpChassisIdSubtype and LldpPortIdSubtype of a MAC address."""

Who = Callable[[str, str], str]
"""The inventory's id of a device by name and address, or an empty string."""


class Neighbour(NamedTuple):
    """One device behind one port."""

    by: str
    """lldp or cdp."""
    port: str
    """Our ifName."""
    name: str
    far_port: str
    address: str
    what: str
    """Its own description, or its platform."""


async def find(reader: Reader, ports: Mapping[int, str]) -> tuple[list[Neighbour], list[str]]:
    """All neighbours, and what a person should know. `ports`: ifName by ifIndex.

    Raises `NoAnswer`.
    """
    notes: list[str] = []
    found: dict[tuple[str, str], Neighbour] = {}
    for read in (_lldp, _cdp):
        for one in await read(reader, ports, notes):
            found.setdefault((one.port, one.name or one.address), one)
    return list(found.values())[:MOST], notes


async def _indexes(reader: Reader, column: Oid, what: str, notes: list[str]) -> list[Oid]:
    walk = await reader.walk(column)
    if not walk.complete:
        notes.append(f"walk of {what} was cut: {walk.reason}")
    return [name[len(column) :] for name, _ in walk.rows[:MOST]]


async def _lldp(reader: Reader, ports: Mapping[int, str], notes: list[str]) -> list[Neighbour]:
    indexes = await _indexes(reader, CHASSIS, "LLDP neighbours", notes)
    if not indexes:
        return []
    columns = (CHASSIS_SUBTYPE, CHASSIS, PORT_SUBTYPE, PORT, PORT_DESCR, SYS_NAME, SYS_DESCR)
    given = await cells(reader, [column + index for index in indexes for column in columns])
    addresses = await _addresses(reader, notes)
    local = await _local_ports(reader, {index_arcs(index)[1] for index in indexes}, ports)
    found = []
    for index in indexes:
        arcs = index_arcs(index)
        chassis = _identifier(given, CHASSIS_SUBTYPE, CHASSIS, index, MAC_CHASSIS)
        far = _identifier(given, PORT_SUBTYPE, PORT, index, MAC_PORT)
        found.append(
            Neighbour(
                "lldp",
                local[arcs[1]],
                text(given.get(SYS_NAME + index)) or chassis,
                far or text(given.get(PORT_DESCR + index)),
                addresses.get(arcs, ""),
                text(given.get(SYS_DESCR + index)),
            )
        )
    return found


def _identifier(given: Mapping[Oid, Value], subtype: Oid, column: Oid, index: Oid, mac: int) -> str:
    """A chassis or port as people write it: a MAC address with colons, else its text."""
    value = given.get(column + index)
    if number(given.get(subtype + index)) == mac and isinstance(value, bytes) and len(value) == 6:
        return value.hex(":")
    return text(value)


async def _addresses(reader: Reader, notes: list[str]) -> dict[tuple[int, ...], str]:
    """Management addresses by the neighbour's index; they stand in the index of their own table."""
    found: dict[tuple[int, ...], str] = {}
    for index in await _indexes(reader, ADDRESSES, "LLDP addresses", notes):
        arcs = index_arcs(index)
        address = arcs[5:]
        if len(arcs) < 5 or len(address) != arcs[4] or max(address, default=256) > 255:
            continue
        if arcs[3] == 1 and len(address) == 4:
            found[arcs[:3]] = str(IPv4Address(bytes(address)))
        elif arcs[3] == 2 and len(address) == 16:
            found.setdefault(arcs[:3], str(IPv6Address(bytes(address))))
    return found


async def _local_ports(
    reader: Reader, numbers: Collection[int], ports: Mapping[int, str]
) -> dict[int, str]:
    """ifName by lldpLocPortNum, which on some devices is ifIndex and on others isn't."""
    columns = (LOCAL_ID, LOCAL_DESCR)
    given = await cells(reader, [cell(column, n) for n in numbers for column in columns])
    names = set(ports.values())
    found = {}
    for n in numbers:
        said = [text(given.get(cell(column, n))) for column in columns]
        known = [name for name in said if name in names]
        found[n] = known[0] if known else ports.get(n) or said[1]
    return found


async def _cdp(reader: Reader, ports: Mapping[int, str], notes: list[str]) -> list[Neighbour]:
    indexes = await _indexes(reader, CDP_NAME, "CDP neighbours", notes)
    columns = (CDP_ADDRESS, CDP_NAME, CDP_PORT, CDP_PLATFORM)
    given = await cells(reader, [column + index for index in indexes for column in columns])
    found = []
    for index in indexes:
        if_index = index_arcs(index)[0]
        address = given.get(CDP_ADDRESS + index)
        found.append(
            Neighbour(
                "cdp",
                ports.get(if_index, f"if{if_index}"),
                text(given.get(CDP_NAME + index)),
                text(given.get(CDP_PORT + index)),
                str(IPv4Address(address))
                if isinstance(address, bytes) and len(address) == 4
                else "",
                text(given.get(CDP_PLATFORM + index)),
            )
        )
    return found


def proposals(
    device: str, found: Sequence[Neighbour], uplinks: Collection[str], who: Who
) -> list[Proposal]:
    """An edge for each neighbour; with `depends_on` where the port is an uplink to a known one."""
    edges = []
    for one in found:
        facts = {key: value for key, value in one._asdict().items() if value}
        other = who(one.name, one.address)
        if other and other != device:
            facts["neighbour"] = other
            if one.port in uplinks:
                facts["depends_on"] = other
        edges.append(Proposal("edge", device, facts))
    return edges
