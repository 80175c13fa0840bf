"""Traps and informs of v1 and v2c, pure: octets in, one shape out, whatever the version.

A v1 trap is mapped to v2's shape (RFC 3584 §3.1): generic traps 0 to 5 become snmpTraps.1 to .6,
an enterprise's own becomes enterprise.0.specific, and agent-addr stands for snmpTrapAddress.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from collectors.snmp.codec import (
    OBJECT_ID,
    OCTETS,
    RESPONSE,
    TIME_TICKS,
    V1,
    V2C,
    Malformed,
    VarBind,
    open_element,
    read_int,
    read_pdu,
    read_varbinds,
)
from collectors.snmp.oids import SYS_UPTIME, BadOid, Oid, arcs, from_arcs, oid

TRAP_V1 = 0xA4
INFORM = 0xA6
TRAP = 0xA7

SNMP_TRAP_OID = oid("1.3.6.1.6.3.1.1.4.1.0")
SNMP_TRAP_ADDRESS = oid("1.3.6.1.6.3.18.1.3.0")
SNMP_TRAPS = oid("1.3.6.1.6.3.1.1.5")
ENTERPRISE_SPECIFIC = 6
_IP_ADDRESS = 0x40


class Notification(NamedTuple):
    """What an agent says happened."""

    trap: Oid
    """snmpTrapOID."""
    uptime: int | None
    """sysUpTime there, hundredths of a second."""
    varbinds: list[VarBind]
    """Without sysUpTime and snmpTrapOID."""
    agent: str
    """Where it happened, if somebody passed it on: agent-addr or snmpTrapAddress; or empty."""
    confirmed: bool = False
    """An inform: the sender waits for our answer."""


class Plain(NamedTuple):
    """A v1 or v2c message."""

    community: bytes
    notification: Notification
    answer: bytes
    """To an inform; empty for a trap."""


def read(data: bytes) -> Plain:
    """One datagram. Raises `Malformed`, and nothing else, whatever the octets are."""
    try:
        return _read(data)
    except IndexError:
        raise Malformed("the message is cut off") from None
    except BadOid as error:
        raise Malformed(str(error)) from None


def _read(data: bytes) -> Plain:
    at, end = open_element(data, 0, len(data), 0x30)
    version, at = read_int(data, at, end)
    if version not in (V1, V2C) or end != len(data):
        raise Malformed(f"version {version} or a wrong length")
    at, stop = open_element(data, at, end, OCTETS)
    community = data[at:stop]
    if version == V1:
        return Plain(community, _version_1(data, stop, end), b"")
    notification = from_pdu(data[stop:end])
    answer = b""
    if notification.confirmed:
        answer = data[:stop] + answer_pdu(data[stop:end])
    return Plain(community, notification, answer)


def from_pdu(pdu: bytes) -> Notification:
    """A trap or inform of v2c or v3. Raises `Malformed` and IndexError."""
    kind, _, _, _, varbinds = read_pdu(pdu, 0, len(pdu))
    if kind not in (TRAP, INFORM):
        raise Malformed(f"PDU type 0x{kind:02x} is no notification")
    found = dict(varbinds)
    name = found.get(SNMP_TRAP_OID)
    if not isinstance(name, str):
        raise Malformed("no snmpTrapOID")
    uptime, agent = found.get(SYS_UPTIME), found.get(SNMP_TRAP_ADDRESS)
    return Notification(
        oid(name),
        uptime if isinstance(uptime, int) else None,
        [bind for bind in varbinds if bind[0] not in (SYS_UPTIME, SNMP_TRAP_OID)],
        str(agent) if isinstance(agent, IPv4Address) else "",
        kind == INFORM,
    )


def answer_pdu(inform: bytes) -> bytes:
    """The response to an inform: the same bindings under another type (RFC 3416 §4.2.7)."""
    return bytes((RESPONSE,)) + inform[1:]


def _version_1(data: bytes, at: int, end: int) -> Notification:
    at, stop = open_element(data, at, end, TRAP_V1)
    if stop != end:
        raise Malformed("octets follow the PDU")
    start, at = open_element(data, at, end, OBJECT_ID)
    enterprise = data[start:at]
    start, at = open_element(data, at, end, _IP_ADDRESS)
    agent = data[start:at]
    generic, at = read_int(data, at, end)
    specific, at = read_int(data, at, end)
    start, at = open_element(data, at, end, TIME_TICKS)
    uptime = int.from_bytes(data[start:at], "big")
    start, stop = open_element(data, at, end, 0x30)
    if stop != end:
        raise Malformed("octets follow the bindings")
    if 0 <= generic < ENTERPRISE_SPECIFIC:
        trap = SNMP_TRAPS + bytes((generic + 1,))
    else:
        # The first two numbers of an identifier are one: a short prefix encodes what follows.
        trap = enterprise + b"\0" + from_arcs((0, 0, specific))[1:]
        arcs(trap)
    return Notification(
        trap,
        uptime,
        read_varbinds(data, start, stop),
        str(IPv4Address(agent)) if len(agent) == 4 and any(agent) else "",
    )
