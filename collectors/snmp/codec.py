"""SNMP v1 and v2c messages: bytes in, objects out, and back. No I/O, no state.

The decoder is strict about the structure (every length must fit inside its parent and fill it)
and raises `Malformed`; a single *value* that can't be read becomes `Absent.UNREADABLE`, so
that one odd object doesn't cost the other forty of the reply. Indefinite lengths are refused,
long-form lengths that are longer than need be are taken (net-snmp sends them).

A request is encoded once and kept: only the four octets of the request id change from poll to
poll (`Request.datagram`). Source: RFC 1157, RFC 3416, X.690.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import NamedTuple, TypeAlias

from collectors.snmp.oids import BadOid, Oid, dotted

V1 = 0
V2C = 1
V3 = 3

GET = 0xA0
GET_NEXT = 0xA1
RESPONSE = 0xA2
SET = 0xA3
GET_BULK = 0xA5
REPORT = 0xA8
_PDUS = frozenset({GET, GET_NEXT, RESPONSE, SET, GET_BULK, 0xA6, 0xA7, REPORT})

NO_ERROR = 0
TOO_BIG = 1
NO_SUCH_NAME = 2
GEN_ERR = 5
AUTHORIZATION_ERROR = 16
ERROR_NAMES = (
    "noError",
    "tooBig",
    "noSuchName",
    "badValue",
    "readOnly",
    "genErr",
    "noAccess",
    "wrongType",
    "wrongLength",
    "wrongEncoding",
    "wrongValue",
    "noCreation",
    "inconsistentValue",
    "resourceUnavailable",
    "commitFailed",
    "undoFailed",
    "authorizationError",
    "notWritable",
    "inconsistentName",
)

INTEGER = 0x02
OCTETS = 0x04
NULL_TAG = 0x05
OBJECT_ID = 0x06
IP_ADDRESS = 0x40
COUNTER32 = 0x41
GAUGE32 = 0x42
TIME_TICKS = 0x43
OPAQUE = 0x44
COUNTER64 = 0x46
_UNSIGNED32 = frozenset({COUNTER32, GAUGE32, TIME_TICKS, 0x47})
_OPAQUE_FLOAT = b"\x9f\x78\x04"


class Malformed(ValueError):
    """Octets that are no SNMP v1 or v2c message; the datagram is dropped and counted."""


class Absent(Enum):
    """What stands in a variable binding when there is no value. They are answers, not errors."""

    NO_SUCH_OBJECT = 0x80
    NO_SUCH_INSTANCE = 0x81
    END_OF_MIB_VIEW = 0x82
    UNREADABLE = -1
    """The agent sent a value whose octets its own type does not allow."""


Value: TypeAlias = int | bytes | str | float | IPv4Address | Absent | None
"""INTEGER, counters, gauges and ticks are int, OCTET STRING bytes, OBJECT IDENTIFIER dotted str,
net-snmp's Opaque float float, any other Opaque bytes, NULL None."""

VarBind: TypeAlias = tuple[Oid, Value]


class Message(NamedTuple):
    """One decoded message. In a GetBulk, `error_status` is non-repeaters and `error_index`
    max-repetitions: they share the place on the wire."""

    version: int
    community: bytes
    pdu: int
    request_id: int
    error_status: int
    error_index: int
    varbinds: list[VarBind]


@dataclass(frozen=True, slots=True)
class Request:
    """A request encoded once: what stands before and after its request id."""

    head: bytes
    tail: bytes

    def datagram(self, request_id: int) -> bytes:
        """The message with that id (0x01000000..0x7FFFFFFF, so that it takes four octets)."""
        return self.head + request_id.to_bytes(4, "big") + self.tail


# ---------------------------------------------------------------- encode


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, length, content."""
    return bytes((tag,)) + _length(len(content)) + content


def integer(number: int, tag: int = INTEGER) -> bytes:
    """A whole number as INTEGER, or under an unsigned type's tag."""
    return tlv(tag, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


NULL = tlv(NULL_TAG, b"")


def absent(kind: Absent) -> bytes:
    """noSuchObject, noSuchInstance or endOfMibView as a value."""
    return tlv(kind.value, b"")


def request(
    pdu: int,
    community: bytes,
    oids: Sequence[Oid],
    *,
    version: int = V2C,
    non_repeaters: int = 0,
    max_repetitions: int = 0,
) -> Request:
    """Encode a Get, GetNext or GetBulk once, for sending many times."""
    return wrapped(
        wrapper(version, community), pdu_request(pdu, oids, non_repeaters, max_repetitions)
    )


def pdu_request(
    pdu: int, oids: Sequence[Oid], non_repeaters: int = 0, max_repetitions: int = 0
) -> Request:
    """The PDU alone, without the message around it."""
    names = b"".join(tlv(0x30, tlv(OBJECT_ID, name) + NULL) for name in oids)
    tail = integer(non_repeaters) + integer(max_repetitions) + tlv(0x30, names)
    return Request(bytes((pdu,)) + _length(6 + len(tail)) + b"\x02\x04", tail)


def wrapper(version: int, community: bytes) -> bytes:
    """What stands before the PDU in every message of one asker."""
    return integer(version) + tlv(OCTETS, community)


def wrapped(asker: bytes, pdu: Request) -> Request:
    """The message of a PDU, which may be shared by many askers."""
    start = asker + pdu.head
    return Request(b"\x30" + _length(len(start) + 4 + len(pdu.tail)) + start, pdu.tail)


def response(
    message: Message,
    varbinds: Iterable[tuple[Oid, bytes]],
    error_status: int = NO_ERROR,
    error_index: int = 0,
) -> bytes:
    """An agent's answer to `message`; the values are encoded already (`integer`, `tlv` …)."""
    bindings = b"".join(tlv(0x30, tlv(OBJECT_ID, name) + value) for name, value in varbinds)
    pdu = (
        integer(message.request_id)
        + integer(error_status)
        + integer(error_index)
        + tlv(0x30, bindings)
    )
    return tlv(0x30, integer(message.version) + tlv(OCTETS, message.community) + tlv(RESPONSE, pdu))


# ---------------------------------------------------------------- decode


def open_element(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Where the content of the element at `at` begins and ends; its tag must be `tag`."""
    if data[at] != tag:
        raise Malformed(f"tag 0x{data[at]:02x} at octet {at} where 0x{tag:02x} is due")
    size = data[at + 1]
    start = at + 2
    if size & 0x80:
        start, size = _long_length(data, start, size & 0x7F)
    stop = start + size
    if stop > end:
        raise Malformed(f"the element at octet {at} ends {stop - end} octets too late")
    return start, stop


def _long_length(data: bytes, at: int, octets: int) -> tuple[int, int]:
    if not 1 <= octets <= 4 or at + octets > len(data):
        raise Malformed(f"a length of {octets} octets at octet {at}")
    return at + octets, int.from_bytes(data[at : at + octets], "big")


def read_int(data: bytes, at: int, end: int) -> tuple[int, int]:
    start, stop = open_element(data, at, end, INTEGER)
    if not 1 <= stop - start <= 5:
        raise Malformed(f"an INTEGER of {stop - start} octets at octet {at}")
    return int.from_bytes(data[start:stop], "big", signed=True), stop


def _value(tag: int, content: bytes) -> Value:
    """One value; `Absent.UNREADABLE` for octets that its type does not allow."""
    if tag in _UNSIGNED32:
        # Four octets with the top bit set lack a leading zero; agents do that, the sense is clear.
        number = int.from_bytes(content, "big")
        return number if content and number <= 0xFFFFFFFF else Absent.UNREADABLE
    if tag == COUNTER64:
        number = int.from_bytes(content, "big")
        return number if content and number <= 0xFFFFFFFFFFFFFFFF else Absent.UNREADABLE
    if tag == INTEGER:
        if 1 <= len(content) <= 8:
            return int.from_bytes(content, "big", signed=True)
        return Absent.UNREADABLE
    if tag == OBJECT_ID:
        try:
            return dotted(content)
        except BadOid:
            return Absent.UNREADABLE
    return _rare_value(tag, content)


def _rare_value(tag: int, content: bytes) -> Value:
    if tag == NULL_TAG:
        return None if not content else Absent.UNREADABLE
    if tag in (0x80, 0x81, 0x82):
        return Absent(tag)
    if tag == IP_ADDRESS:
        return IPv4Address(content) if len(content) == 4 else Absent.UNREADABLE
    if tag == OPAQUE:
        if content.startswith(_OPAQUE_FLOAT) and len(content) == 7:
            return float(struct.unpack(">f", content[3:])[0])
        return content
    return Absent.UNREADABLE


def read_varbinds(data: bytes, at: int, end: int) -> list[VarBind]:
    """What fills `at` to `end`. The hot loop: one pass, short-form lengths read in place."""
    found: list[VarBind] = []
    from_bytes = int.from_bytes
    while at < end:
        if data[at] != 0x30:
            raise Malformed(f"tag 0x{data[at]:02x} at octet {at} where a binding is due")
        size = data[at + 1]
        at += 2
        if size & 0x80:
            at, size = _long_length(data, at, size & 0x7F)
        stop = at + size
        size = data[at + 1]
        if data[at] != OBJECT_ID or size & 0x80:
            raise Malformed(f"no object identifier of at most 127 octets at octet {at}")
        middle = at + 2 + size
        name = data[at + 2 : middle]
        tag = data[middle]
        size = data[middle + 1]
        start = middle + 2
        if size & 0x80:
            start, size = _long_length(data, start, size & 0x7F)
        if start + size != stop or stop > end or not name or name[-1] & 0x80:
            raise Malformed(f"the binding at octet {at} is not filled by its name and value")
        content = data[start:stop]
        if tag == OCTETS:
            found.append((name, content))
        elif (tag in _UNSIGNED32 and 0 < size < 5) or (tag == COUNTER64 and 0 < size < 9):
            found.append((name, from_bytes(content, "big")))
        elif tag == INTEGER and size == 1 and content < b"\x80":
            found.append((name, content[0]))
        else:
            found.append((name, _value(tag, content)))
        at = stop
    return found


def decode(data: bytes) -> Message:
    """One datagram. Raises `Malformed`, and nothing else, whatever the octets are."""
    try:
        return _decode(data)
    except IndexError:
        raise Malformed("the message is cut off") from None


def _decode(data: bytes) -> Message:
    at, end = open_element(data, 0, len(data), 0x30)
    if end != len(data):
        raise Malformed(f"{len(data) - end} octets follow the message")
    version, at = read_int(data, at, end)
    if version not in (V1, V2C):
        raise Malformed(f"version {version}; only 0 (v1) and 1 (v2c) are read here")
    at, stop = open_element(data, at, end, OCTETS)
    community = data[at:stop]
    pdu, request_id, error_status, error_index, varbinds = read_pdu(data, stop, end)
    return Message(version, community, pdu, request_id, error_status, error_index, varbinds)


def read_pdu(data: bytes, at: int, end: int) -> tuple[int, int, int, int, list[VarBind]]:
    """(type, request id, error-status, error-index, bindings) of the PDU that fills `at` to `end`.

    Raises `Malformed` and IndexError.
    """
    pdu = data[at]
    if pdu not in _PDUS:
        raise Malformed(f"PDU type 0x{pdu:02x}")
    at, stop = open_element(data, at, end, pdu)
    if stop != end:
        raise Malformed("octets follow the PDU")
    request_id, at = read_int(data, at, end)
    error_status, at = read_int(data, at, end)
    error_index, at = read_int(data, at, end)
    at, stop = open_element(data, at, end, 0x30)
    if stop != end:
        raise Malformed("octets follow the bindings")
    return pdu, request_id, error_status, error_index, read_varbinds(data, at, end)
