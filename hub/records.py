"""What the journal's payloads hold: msgpack in, objects out, and back.

READINGS is an array of three: the collector, its readings, and by session the messages that they
came in, ten bytes each, which only the redelivery window ever unpacks. Sensors send their readings
one by one and readers pay by the record, so many small messages share one (`Sheaf`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Any

import msgspec

from hub.api import Event, Phrase, Proposal, Redelivery
from hub.reading import Reading, Series, Value

_encode = msgspec.msgpack.Encoder().encode
Wire = tuple[str, int, Mapping[str, Value], int]
"""A reading: series key, UTC ns, fields, quality."""
_Payload = tuple[str, list[tuple[str, int, dict[str, Value], int]], dict[str, bytes]]
_decode = msgspec.msgpack.Decoder(_Payload).decode
_any = msgspec.msgpack.Decoder().decode
_MESSAGE = Struct(">HQ")
"""Packet id and digest."""
MESSAGE_BYTES = _MESSAGE.size
_pack_message = _MESSAGE.pack
_new = tuple.__new__


class Sheaf:
    """Readings of one collector and the messages they came in, on their way into one record."""

    __slots__ = ("_messages", "_wires", "collector", "count", "time_ns")

    def __init__(self, collector: str) -> None:
        self.collector = collector
        self.count = 0
        """Messages so far."""
        self.time_ns = 0
        """When the last one came: no reading in the record is from the future."""
        self._wires: list[Wire] = []
        self._messages: dict[str, bytearray] = {}

    def add(self, wires: Iterable[Wire], message: Redelivery | None, time_ns: int) -> None:
        self._wires += wires
        self.time_ns = time_ns
        self.count += 1
        if message is not None:
            session, packet_id, digest = message
            known = self._messages.get(session)
            if known is None:
                known = self._messages[session] = bytearray()
            known += _pack_message(packet_id, digest)

    def pack(self) -> bytes:
        return _encode((self.collector, self._wires, self._messages))


def pack_readings(
    collector: str, readings: Iterable[Reading], message: Redelivery | None = None
) -> bytes:
    """A record of readings that came in one message, or in none."""
    sheaf = Sheaf(collector)
    sheaf.add([wire(reading) for reading in readings], message, 0)
    return sheaf.pack()


def wire(reading: Reading) -> Wire:
    series, time_ns, fields, quality = reading
    return series.key, time_ns, fields, quality


def readings_in(payload: bytes) -> list[Reading]:
    """All readings of a payload, in order.

    Raises msgspec.DecodeError or BadSeries for bytes that we did not make.
    """
    known, parse = Series.known, Series.parse
    return [
        _new(Reading, (known(key) or parse(key), time_ns, fields, quality))
        for key, time_ns, fields, quality in _decode(payload)[1]
    ]


def redeliveries_in(payload: bytes) -> list[Redelivery]:
    """The messages that a payload was made of, as far as their source may send them again.

    Raises msgspec.DecodeError or ValueError for bytes that we did not make.
    """
    return [
        Redelivery(session, packet_id, digest)
        for session, packed in _decode(payload)[2].items()
        for packet_id, digest in _messages(packed)
    ]


def _messages(packed: bytes) -> Iterable[tuple[int, int]]:
    if len(packed) % MESSAGE_BYTES:
        raise ValueError(f"{len(packed)} bytes are no messages of {MESSAGE_BYTES}")
    return _MESSAGE.iter_unpack(packed)


def pack_event(collector: str, event: Event) -> bytes:
    said = [[one.key, one.values] for one in event.said]
    known = (event.device, event.name, event.time_ns, event.text, event.fields)
    return _encode((collector, *known, said))


def unpack_event(payload: bytes) -> tuple[str, Event]:
    collector, device, name, time_ns, text, fields, *more = _any(payload)
    # Records from before events had phrases end here.
    said = tuple(Phrase(*one) for one in more[0]) if more else ()
    return collector, Event(device, name, time_ns, text, fields, said)


def pack_proposal(collector: str, proposal: Proposal) -> bytes:
    return _encode((collector, proposal.kind, proposal.device, proposal.facts))


def unpack_proposal(payload: bytes) -> tuple[str, Proposal]:
    collector, kind, device, facts = _any(payload)
    return collector, Proposal(kind, device, facts)


def pack_verdict(device: str, up: bool | None) -> bytes:
    """A device was asked for, since something that needs it is silent: did it answer? None: there
    is nobody who knows how to ask it."""
    return _encode((device, up))


def unpack_verdict(payload: bytes) -> tuple[str, bool | None]:
    device, up = _any(payload)
    return device, up


def pack_map(values: Mapping[str, Any]) -> bytes:
    """Acts and configuration: a plain mapping."""
    return _encode(values)


def unpack_map(payload: bytes) -> dict[str, Any]:
    found = _any(payload)
    if not isinstance(found, dict):
        raise msgspec.DecodeError("not a mapping")
    return found
