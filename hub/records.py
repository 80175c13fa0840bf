"""What the journal's payloads hold: msgpack in, objects out, and back.

Of READINGS it is what one `emit` handed over, or a msgpack array (of 16-bit length) of many such:
a record costs as much as decoding ten messages, and sensors send theirs one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from hub.api import Event, Proposal, Redelivery
from hub.reading import Reading, Series, Value

_encode = msgspec.msgpack.Encoder().encode
_Wire = tuple[str, int, dict[str, Value], int]
_Hand = tuple[str, tuple[str, int, bytes] | None, list[_Wire]]
_hand = msgspec.msgpack.Decoder(_Hand).decode
_hands = msgspec.msgpack.Decoder(list[_Hand]).decode
_ARRAY16 = b"\xdc"
_any = msgspec.msgpack.Decoder().decode
_parse = Series.parse


class Handed(NamedTuple):
    """What one call of `emit` handed over."""

    collector: str
    redelivery: Redelivery | None
    readings: list[Reading]


def pack_readings(
    collector: str, readings: Iterable[Reading], redelivery: Redelivery | None = None
) -> bytes:
    again = (redelivery.session, redelivery.packet_id, redelivery.digest) if redelivery else None
    return _encode(
        (collector, again, [(r.series.key, r.time_ns, r.fields, r.quality) for r in readings])
    )


def join_readings(payloads: Sequence[bytes]) -> bytes:
    """One payload of up to 65 535 that `pack_readings` made."""
    if len(payloads) == 1:
        return payloads[0]
    return b"".join([_ARRAY16, len(payloads).to_bytes(2, "big"), *payloads])


def readings_in(payload: bytes) -> list[Reading]:
    """All readings of a payload, in order.

    Raises msgspec.DecodeError or BadSeries for bytes that we did not make.
    """
    return [
        Reading(_parse(key), time_ns, fields, quality)
        for _, _, wires in _handed(payload)
        for key, time_ns, fields, quality in wires
    ]


def redeliveries_in(payload: bytes) -> list[Redelivery]:
    """The messages that a payload was made of, as far as their source may send them again.

    Raises as `readings_in` does.
    """
    return [Redelivery(*again) for _, again, _ in _handed(payload) if again]


def _handed(payload: bytes) -> list[_Hand]:
    return _hands(payload) if payload[:1] == _ARRAY16 else [_hand(payload)]


def unpack_readings(payload: bytes) -> Handed:
    """What `pack_readings` made. Raises as `readings_in` does."""
    collector, again, wires = _hand(payload)
    return Handed(
        collector,
        Redelivery(*again) if again else None,
        [Reading(_parse(key), time_ns, fields, quality) for key, time_ns, fields, quality in wires],
    )


def pack_event(collector: str, event: Event) -> bytes:
    return _encode((collector, event.device, event.name, event.time_ns, event.text, event.fields))


def unpack_event(payload: bytes) -> tuple[str, Event]:
    collector, device, name, time_ns, text, fields = _any(payload)
    return collector, Event(device, name, time_ns, text, fields)


def pack_proposal(collector: str, proposal: Proposal) -> bytes:
    return _encode((collector, proposal.kind, proposal.device, proposal.facts))


def unpack_proposal(payload: bytes) -> tuple[str, Proposal]:
    collector, kind, device, facts = _any(payload)
    return collector, Proposal(kind, device, facts)


def pack_map(values: Mapping[str, Any]) -> bytes:
    """Acts and configuration: a plain mapping."""
    return _encode(values)


def unpack_map(payload: bytes) -> dict[str, Any]:
    found = _any(payload)
    if not isinstance(found, dict):
        raise msgspec.DecodeError("not a mapping")
    return found
