"""What the journal's payloads hold: msgpack in, objects out, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from hub.api import Event, Proposal, Redelivery
from hub.reading import Reading, Series, Value

_encode = msgspec.msgpack.Encoder().encode
_Wire = tuple[str, int, dict[str, Value], int]
_readings = msgspec.msgpack.Decoder(tuple[str, tuple[str, int, bytes] | None, list[_Wire]]).decode
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


def unpack_readings(payload: bytes) -> Handed:
    """Raises msgspec.DecodeError or BadSeries for bytes that `pack_readings` did not make."""
    collector, again, wires = _readings(payload)
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
