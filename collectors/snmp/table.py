"""What a device has: its profile, ports and parts, and how they are asked for.

Found by walks once, then again when the device says that something changed; between that, polls
ask for known instances only. Ports are told apart by name: ifIndex may change at every reboot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.snmp import oids as o
from collectors.snmp.catalogue import Catalogue, Chosen, identity_of
from collectors.snmp.codec import Absent, Value
from collectors.snmp.config import SnmpSection
from collectors.snmp.convert import words
from collectors.snmp.dynamic import NONE, Sessions, split, taken
from collectors.snmp.finding import Told, cells, find
from collectors.snmp.oids import Oid, cell, shared
from collectors.snmp.parse import (
    NOMINAL_SPEED_TYPES,
    column,
    number,
    port_names,
    speed_bps,
    text,
)
from collectors.snmp.reader import Plan, Reader
from collectors.snmp.sensors import Sensors
from hub.api import Series

MAX_PORTS = 4096
"""More ports than this in one device are left out, with a note."""


class Speed(NamedTuple):
    """What follows from ifHighSpeed, or from ifSpeed where there is none."""

    polled: Value
    """As the agent gave it."""
    bps: int | None
    line_rate: int | None
    """The speed where it is one that traffic can be measured against."""


class Facts(NamedTuple):
    """What changes rarely, and which optional columns a port has; the same object for all ports
    that are alike, which in a fleet nearly all are."""

    if_type: int = 0
    if_speed: int | None = None
    wide: bool = True
    """Has 64-bit octet counters."""
    has_high_speed: bool = True
    has_discontinuity: bool = False
    fixed_speed: int | None = None
    """As the inventory says."""
    uplink: int = 0

    def speed(self, polled: Value) -> Speed:
        """What a polled ifHighSpeed (or ifSpeed) says of such a port."""
        bps = self._bps(number(polled))
        made_up = self.fixed_speed is None and self.if_type in NOMINAL_SPEED_TYPES
        return Speed(polled, bps, None if made_up else bps)

    def _bps(self, polled: int | None) -> int | None:
        if self.fixed_speed is not None:
            return self.fixed_speed
        if self.has_high_speed:
            return speed_bps(polled, self.if_speed)
        return speed_bps(None, polled)


@dataclass(slots=True, eq=False)
class Port:
    """One interface; `index` is valid as long as `label` is still its name there."""

    index: int
    series: Series
    label_cell: Oid
    label: Value
    """What `label_cell` held: asked again with the counters, so that no other port's are taken."""
    facts: Facts
    speed: Speed
    alias: str = ""
    traffic: bytes | None = None
    """The last look at its octets, packed."""
    faults: bytes | None = None

    @property
    def name(self) -> str:
        return self.series.tag("ifname")

    def saw_speed(self, polled: Value) -> None:
        """Take the speed as polled; it seldom changes."""
        if polled != self.speed.polled:
            self.speed = shared(self.facts.speed(polled))


@dataclass(slots=True)
class Table:
    """Everything found in a device, and the requests to poll it."""

    chosen: Chosen
    facts: dict[str, str] = field(default_factory=dict)
    """Texts about the device, by field: sys_name, model, firmware …"""
    ports: tuple[Port, ...] = ()
    sessions: Sessions = field(default_factory=lambda: NONE)
    sensors: Sensors = field(default_factory=Sensors)
    traffic: Plan[Port] = field(default_factory=Plan)
    faults: Plan[Port] = field(default_factory=Plan)
    missing: int = 0
    """Uplinks of the inventory that are no ports of the device."""
    proved: bool = True
    """The agent showed where its lists of ports end; else some may be missing."""
    notes: list[str] = field(default_factory=list)
    """What a person should know: walks that were cut, uplinks that are no ports."""


async def discover(
    reader: Reader,
    device: str,
    section: SnmpSection,
    catalogue: Catalogue,
    before: Table | None,
    told: list[Told] | None = None,
) -> Table:
    """Walk and read what the device has. Raises `NoAnswer`, `NoSuchProfile`.

    A walk without proof of its end removes nothing: what `before` knew stays. `told` gets all that
    was looked for, with the reasons for what is not there.
    """
    table = await _identify(reader, section, catalogue)
    await _find_ports(reader, device, section, before, table)
    series = Series.of("device", device, probe="snmp")
    table.sensors = await find(
        reader, series, table.chosen.profile, before.sensors if before else None, told
    )
    table.notes += table.sensors.notes
    if skipped := reader.told_of_skipped():
        table.notes.append(skipped)
    table.traffic = Plan(table.ports, map(_traffic_cells, table.ports))
    table.faults = Plan(table.ports, map(_fault_cells, table.ports))
    return table


class NoSuchProfile(Exception):
    """The inventory names a profile that isn't there."""


_SYSTEM = {
    "sys_descr": o.SYS_DESCR,
    "sys_object_id": o.SYS_OBJECT_ID,
    "sys_name": o.SYS_NAME,
    "sys_location": o.SYS_LOCATION,
}


async def _identify(reader: Reader, section: SnmpSection, catalogue: Catalogue) -> Table:
    """Who the device says it is, and the profile that follows from that."""
    said = await cells(reader, [*_SYSTEM.values(), *catalogue.questions])
    there = {name: value for name, value in said.items() if is_there(value)}
    if section.profile:
        found = catalogue.devices.get(section.profile)
        if found is None:
            known = ", ".join(sorted(catalogue.devices))
            raise NoSuchProfile(f"there is no device profile {section.profile!r}: {known}")
        chosen = Chosen(found, "the inventory says so")
    else:
        identity = identity_of(there.get(o.SYS_OBJECT_ID), there.get(o.SYS_DESCR), there)
        chosen = catalogue.choose(identity)
    facts = {key: text(there[name]) for key, name in _SYSTEM.items() if name in there}
    sources = chosen.profile.facts
    asked = [source.oid for some in sources.values() for source in some]
    there |= await cells(reader, [name for name in asked if name not in said])
    for key, some in sources.items():
        facts[key] = next(filter(None, (words(one, there.get(one.oid)) for one in some)), "")
    facts["profile"] = chosen.profile.name
    return Table(chosen, {key: shared(value) for key, value in facts.items() if value})


async def _find_ports(
    reader: Reader, device: str, section: SnmpSection, before: Table | None, table: Table
) -> None:
    old = {port.index: port for port in before.ports} if before else {}
    walked: list[dict[int, Value]] = []
    proved = True
    for root, name in ((o.IF_NAME, "ifName"), (o.IF_DESCR, "ifDescr")):
        rows, complete, reason = await reader.walk(root)
        walked.append(column(rows, root))
        if not complete:
            proved = table.proved = False
            table.notes.append(f"walk of {name} was cut: {reason}; known ports are kept")
    names, descrs = walked
    if not proved:
        for port in old.values():
            known = names if port.label_cell.startswith(o.IF_NAME) else descrs
            known.setdefault(port.index, port.label)
    pattern = table.chosen.profile.sessions
    names, dynamic = split(pattern, names)
    descrs = {index: value for index, value in descrs.items() if index not in dynamic}
    table.sessions = taken(device, pattern, dynamic, before.sessions if before else None)
    found = port_names(names, descrs)
    for index in list(found)[MAX_PORTS:]:
        del found[index]
    if len(found) == MAX_PORTS:
        table.notes.append(f"only the first {MAX_PORTS} ports are polled")
    ports: list[Port] = []
    for index, name in found.items():
        by_name = bool(text(names.get(index)))
        facts = Facts(fixed_speed=section.speed.get(name), uplink=int(name in section.uplinks))
        port = Port(
            index,
            Series.of("interface", device, ifname=name),
            shared(cell(o.IF_NAME if by_name else o.IF_DESCR, index)),
            shared((names if by_name else descrs).get(index)),
            facts,
            facts.speed(None),
        )
        same = old.get(index)
        if same is not None and same.series is port.series:
            port.traffic, port.faults = same.traffic, same.faults
        ports.append(port)
    table.ports = tuple(ports)
    await _read_facts(reader, table.ports)
    table.missing = len(set(section.uplinks) - set(found.values()))
    for name in {*section.uplinks, *section.speed} - set(found.values()):
        table.notes.append(
            f"{name!r} (uplinks or speed) is no port of this device; it has: "
            + ", ".join(list(found.values())[:20])
        )


_FACTS = (
    o.IF_TYPE,
    o.IF_ALIAS,
    o.IF_SPEED,
    o.IF_HIGH_SPEED,
    o.IF_HC_IN_OCTETS,
    o.IF_DISCONTINUITY,
)


async def _read_facts(reader: Reader, ports: Sequence[Port]) -> None:
    """What changes rarely, and which optional columns each port has."""
    plan = Plan(ports, [tuple(cell(c, port.index) for c in _FACTS) for port in ports])
    async for page in reader.read(plan):
        for port, (if_type, alias, if_speed, high_speed, wide, discontinuity) in page.rows:
            port.alias = text(alias)
            facts = port.facts = shared(
                port.facts._replace(
                    if_type=number(if_type) or 0,
                    if_speed=number(if_speed),
                    wide=number(wide) is not None,
                    has_high_speed=number(high_speed) is not None,
                    has_discontinuity=number(discontinuity) is not None,
                )
            )
            port.speed = shared(facts.speed(high_speed if facts.has_high_speed else if_speed))


def recounted(device: str, table: Table, names: Mapping[int, Value]) -> bool:
    """Take today's dynamic ports from a fresh ifName column; false when other ports changed too."""
    pattern = table.chosen.profile.sessions
    lasting, dynamic = split(pattern, names)
    known = {p.index: p.label for p in table.ports if p.label_cell.startswith(o.IF_NAME)}
    if lasting != known:
        return False
    table.sessions = taken(device, pattern, dynamic, table.sessions)
    return True


def _traffic_cells(port: Port) -> tuple[Oid, ...]:
    facts = port.facts
    columns = [o.IF_OPER_STATUS, o.IF_ADMIN_STATUS]
    columns += (
        [o.IF_HC_IN_OCTETS, o.IF_HC_OUT_OCTETS] if facts.wide else [o.IF_IN_OCTETS, o.IF_OUT_OCTETS]
    )
    columns.append(o.IF_HIGH_SPEED if facts.has_high_speed else o.IF_SPEED)
    return _with_label(port, columns)


def _fault_cells(port: Port) -> tuple[Oid, ...]:
    return _with_label(port, [o.IF_IN_ERRORS, o.IF_OUT_ERRORS, o.IF_IN_DISCARDS, o.IF_OUT_DISCARDS])


def _with_label(port: Port, columns: list[Oid]) -> tuple[Oid, ...]:
    if port.facts.has_discontinuity:
        columns.append(o.IF_DISCONTINUITY)
    return (port.label_cell, *(cell(column, port.index) for column in columns))


def is_there(value: Value) -> bool:
    """Whether the agent gave a value."""
    return value is not None and not isinstance(value, Absent)
