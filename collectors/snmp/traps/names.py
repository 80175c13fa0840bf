"""Names of the traps that a regency's devices send, and of what comes with them.

A small table of our own, from the MIBs named beside each block; what is not in it keeps its number.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from collectors.snmp.codec import Absent, Value, VarBind
from collectors.snmp.oids import BadOid, Oid, dotted, index_of, oid
from collectors.snmp.parse import text

LONGEST = 120
"""Characters of one value in a text for people."""
MOST_SHOWN = 8
"""Values in one text."""


class Kind(NamedTuple):
    """A trap that is known by name."""

    name: str
    tier: str
    """What to poll now; empty: everything."""


TRAPS = {
    oid(number): Kind(name, tier)
    for number, name, tier in (
        # SNMPv2-MIB, IF-MIB
        ("1.3.6.1.6.3.1.1.5.1", "coldStart", ""),
        ("1.3.6.1.6.3.1.1.5.2", "warmStart", ""),
        ("1.3.6.1.6.3.1.1.5.3", "linkDown", "traffic"),
        ("1.3.6.1.6.3.1.1.5.4", "linkUp", "traffic"),
        ("1.3.6.1.6.3.1.1.5.5", "authenticationFailure", "liveness"),
        ("1.3.6.1.6.3.1.1.5.6", "egpNeighborLoss", "liveness"),
        # BGP4-MIB, as v2 and as v1 agents number them
        ("1.3.6.1.2.1.15.0.1", "bgpEstablished", "traffic"),
        ("1.3.6.1.2.1.15.0.2", "bgpBackwardTransition", "traffic"),
        ("1.3.6.1.2.1.15.7.1", "bgpEstablished", "traffic"),
        ("1.3.6.1.2.1.15.7.2", "bgpBackwardTransition", "traffic"),
        # UPS-MIB (RFC 1628)
        ("1.3.6.1.2.1.33.2.1", "upsTrapOnBattery", "health"),
        ("1.3.6.1.2.1.33.2.2", "upsTrapTestCompleted", "health"),
        ("1.3.6.1.2.1.33.2.3", "upsTrapAlarmEntryAdded", "health"),
        ("1.3.6.1.2.1.33.2.4", "upsTrapAlarmEntryRemoved", "health"),
        # ENTITY-MIB, BRIDGE-MIB
        ("1.3.6.1.2.1.47.2.0.1", "entConfigChange", "inventory"),
        ("1.3.6.1.2.1.17.0.1", "newRoot", "traffic"),
        ("1.3.6.1.2.1.17.0.2", "topologyChange", "traffic"),
        # MIKROTIK-MIB
        ("1.3.6.1.4.1.14988.1.1.0.1", "mtxrTrap", "health"),
        ("1.3.6.1.4.1.14988.1.1.0.2", "mtxrTemperatureException", "health"),
        # NET-SNMP-AGENT-MIB, DISMAN-EVENT-MIB
        ("1.3.6.1.4.1.8072.4.0.1", "nsNotifyStart", ""),
        ("1.3.6.1.4.1.8072.4.0.2", "nsNotifyShutdown", "liveness"),
        ("1.3.6.1.4.1.8072.4.0.3", "nsNotifyRestart", ""),
        ("1.3.6.1.2.1.88.2.0.1", "mteTriggerFired", "health"),
        # PowerNet-MIB (APC)
        ("1.3.6.1.4.1.318.0.5", "upsOnBattery", "health"),
        ("1.3.6.1.4.1.318.0.9", "powerRestored", "health"),
    )
}
UNKNOWN_TIER = "health"
"""A vendor's own trap is mostly about temperature, power or fans."""
LINK_DOWN, LINK_UP = oid("1.3.6.1.6.3.1.1.5.3"), oid("1.3.6.1.6.3.1.1.5.4")

IF_INDEX = oid("1.3.6.1.2.1.2.2.1.1")
_STATES = {1: "up", 2: "down", 3: "testing", 4: "unknown", 5: "dormant", 6: "notPresent"}


class Object(NamedTuple):
    """What may come with a trap."""

    column: Oid
    name: str
    values: dict[int, str]
    """Words for its numbers."""


OBJECTS = {
    oid(number): Object(oid(number), name, values)
    for number, name, values in (
        ("1.3.6.1.2.1.2.2.1.1", "ifIndex", {}),
        ("1.3.6.1.2.1.2.2.1.2", "ifDescr", {}),
        ("1.3.6.1.2.1.2.2.1.3", "ifType", {}),
        ("1.3.6.1.2.1.2.2.1.7", "ifAdminStatus", _STATES),
        ("1.3.6.1.2.1.2.2.1.8", "ifOperStatus", {**_STATES, 7: "lowerLayerDown"}),
        ("1.3.6.1.2.1.31.1.1.1.1", "ifName", {}),
        ("1.3.6.1.2.1.31.1.1.1.18", "ifAlias", {}),
        ("1.3.6.1.2.1.1.5", "sysName", {}),
        ("1.3.6.1.2.1.15.3.1.7", "bgpPeerRemoteAddr", {}),
        ("1.3.6.1.2.1.15.3.1.14", "bgpPeerLastError", {}),
        (
            "1.3.6.1.2.1.15.3.1.2",
            "bgpPeerState",
            {1: "idle", 2: "connect", 3: "active", 4: "opensent", 5: "openconfirm"}
            | {6: "established"},
        ),
        ("1.3.6.1.2.1.33.1.2.1", "upsBatteryStatus", {1: "unknown", 2: "normal", 3: "low"}),
        ("1.3.6.1.2.1.33.1.2.2", "upsSecondsOnBattery", {}),
        ("1.3.6.1.2.1.33.1.2.3", "upsEstimatedMinutesRemaining", {}),
        ("1.3.6.1.6.3.18.1.3", "snmpTrapAddress", {}),
        ("1.3.6.1.6.3.1.1.4.3", "snmpTrapEnterprise", {}),
        ("1.3.6.1.2.1.88.2.1.1", "mteHotTrigger", {}),
        ("1.3.6.1.2.1.88.2.1.5", "mteHotValue", {}),
    )
}


def kind(trap: Oid) -> Kind:
    """Its name and what to poll, or its number."""
    return TRAPS.get(trap) or Kind(dotted(trap), UNKNOWN_TIER)


def said(varbinds: list[VarBind]) -> str:
    """What came with a trap, for people: `ifIndex 3, ifOperStatus down`."""
    parts = [f"{object_name(name)} {shown(name, value)}" for name, value in varbinds[:MOST_SHOWN]]
    left = len(varbinds) - MOST_SHOWN
    return ", ".join(parts) + (f", and {left} more" if left > 0 else "")


def object_name(instance: Oid) -> str:
    """The object's name, or the instance's number."""
    found = _object(instance)
    if found is not None:
        return found.name
    try:
        return dotted(instance)
    except BadOid:
        return instance.hex()


def shown(instance: Oid, value: Value) -> str:
    """A value for people, shortened."""
    found = _object(instance)
    if found is not None and isinstance(value, int) and value in found.values:
        return found.values[value]
    if isinstance(value, bytes):
        plain = text(value)
    elif isinstance(value, Absent):
        plain = value.name.lower()
    else:
        plain = str(value) if isinstance(value, int | float | str | IPv4Address) else "-"
    return plain if len(plain) <= LONGEST else plain[: LONGEST - 1] + "…"


def if_index(varbinds: list[VarBind]) -> int | None:
    """The port that a trap is about: ifIndex's value, else the index of another ifTable column."""
    for name, value in varbinds:
        if name.startswith(IF_INDEX) and isinstance(value, int):
            return value
    for name, _ in varbinds:
        found = _object(name)
        if found is not None and found.name.startswith("if"):
            return index_of(found.column, name)
    return None


def _object(instance: Oid) -> Object | None:
    """The longest object whose instance this is."""
    for size in range(len(instance), 5, -1):
        found = OBJECTS.get(instance[:size])
        if found is not None:
            return found
    return None
