"""Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding/), read only."""

from __future__ import annotations

from collections.abc import Iterator

from hub.api import BadItem

VARINT, I64, LEN, I32 = 0, 1, 2, 5


def fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Field number, wire type, and the value: the number itself for VARINT, else where its bytes
    begin; then where they end. Raises `BadItem` for what is cut off or of a dead wire type."""
    while at < end:
        key = data[at]
        if key < 0x80:
            at += 1
        else:
            key, at = varint(data, at, end)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = varint(data, at, end)
            yield number, kind, value, at
            continue
        if kind == LEN:
            size, at = varint(data, at, end)
        elif kind == I64:
            size = 8
        elif kind == I32:
            size = 4
        else:
            raise BadItem(f"bad_protobuf: wire type {kind} before byte {at}")
        if size > end - at or number == 0:
            raise BadItem(f"bad_protobuf: {size} bytes announced at byte {at} of {end}")
        yield number, kind, at, at + size
        at += size


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of up to 64 bits, and where it ends."""
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            break
    raise BadItem(f"bad_protobuf: no end of the number at byte {at}")
