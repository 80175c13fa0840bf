"""Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding/), read only."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

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
        if kind in (VARINT, LEN):
            if at < end and data[at] < 0x80:  # nearly all
                value = data[at]
                at += 1
            else:
                value, at = varint(data, at, end)
            if kind == VARINT:
                yield number, kind, value, at
                continue
            size = value
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


@lru_cache(1024)
def _six(raw: bytes) -> int | None:
    """A number of just six bytes, as every time in milliseconds is, and those of a message are
    mostly the same; None: it is another one."""
    if raw[5] >= 0x80 or any(byte < 0x80 for byte in raw[:5]):
        return None
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(raw))


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of up to 64 bits, and where it ends."""
    if at + 6 <= end and (stamp := _six(data[at : at + 6])) is not None:
        return stamp, at + 6
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
