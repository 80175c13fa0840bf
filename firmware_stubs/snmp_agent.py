"""How an agent answers, pure: a request in, an answer's octets out (RFC 3416, RFC 1157)."""

from __future__ import annotations

from collections.abc import Iterator

from collectors.snmp import codec
from collectors.snmp.codec import Absent, Message
from collectors.snmp.oids import BadOid, Oid
from firmware_stubs.snmp_mib import Encoded, Mib

LARGEST = 1472
"""Octets that fit an Ethernet frame; a bulk answer stops there, another would be tooBig."""
_OVERHEAD = 40
MOST_REPETITIONS = 1000

Bindings = list[tuple[Oid, Encoded]]


def answer(mib: Mib, message: Message, largest: int = LARGEST) -> bytes:
    """The response to a well-formed request."""
    if message.pdu == codec.GET_BULK and message.version == codec.V2C:
        return codec.response(message, _bulk(mib, message, largest))
    if message.pdu not in (codec.GET, codec.GET_NEXT):
        return codec.response(message, _echo(message), codec.ERROR_NAMES.index("noAccess"), 1)
    found: Bindings = []
    for place, (name, _) in enumerate(message.varbinds, 1):
        step = _exact(mib, name) if message.pdu == codec.GET else _next(mib, name)
        while message.version == codec.V1 and step[1][0] == codec.COUNTER64:
            # v1 has no 64-bit type: such objects are passed over (RFC 3584 §4.2.2.1).
            step = _next(mib, step[0]) if message.pdu == codec.GET_NEXT else _none(name)
        if message.version == codec.V1 and step[1][0] >= Absent.NO_SUCH_OBJECT.value:
            return codec.response(message, _echo(message), codec.NO_SUCH_NAME, place)
        found.append(step)
    if _octets(found) > largest:
        return codec.response(message, [], codec.TOO_BIG, 0)
    return codec.response(message, found)


def _bulk(mib: Mib, message: Message, largest: int) -> Bindings:
    non_repeaters = max(0, message.error_status)
    repetitions = min(max(0, message.error_index), MOST_REPETITIONS)
    names = [name for name, _ in message.varbinds]
    found = [_next(mib, name) for name in names[:non_repeaters]]
    size = _octets(found)
    for step in _rounds(mib, names[non_repeaters:], repetitions):
        size += _octets([step]) - _OVERHEAD
        if size > largest:
            break
        found.append(step)
    return found


def _rounds(mib: Mib, names: list[Oid], repetitions: int) -> Iterator[tuple[Oid, Encoded]]:
    for _ in range(repetitions):
        if not names:
            return
        steps = [_next(mib, name) for name in names]
        yield from steps
        if all(value[0] == Absent.END_OF_MIB_VIEW.value for _, value in steps):
            return
        names = [name for name, _ in steps]


def _exact(mib: Mib, name: Oid) -> tuple[Oid, Encoded]:
    value = mib.get(name)
    if value is not None:
        return name, value
    try:
        return name, codec.absent(mib.missing(name))
    except BadOid:
        return _none(name)


def _next(mib: Mib, name: Oid) -> tuple[Oid, Encoded]:
    try:
        return mib.after(name) or (name, codec.absent(Absent.END_OF_MIB_VIEW))
    except BadOid:
        return name, codec.absent(Absent.END_OF_MIB_VIEW)


def _none(name: Oid) -> tuple[Oid, Encoded]:
    return name, codec.absent(Absent.NO_SUCH_OBJECT)


def _echo(message: Message) -> Bindings:
    return [(name, codec.NULL) for name, _ in message.varbinds]


def _octets(bindings: Bindings) -> int:
    """About how long the message gets."""
    return _OVERHEAD + sum(len(name) + len(value) + 6 for name, value in bindings)
