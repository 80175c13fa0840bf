"""CBOR (RFC 8949), as much as sensors send: numbers, text, arrays, maps, tags skipped.

Pure; `BadItem` for what is cut off, nested too deeply or of a kind that no sensor sends.
"""

from __future__ import annotations

import struct
from typing import Any

from hub.api import BadItem

DEEPEST = 8
_BREAK = object()


def decode(data: bytes) -> Any:
    """One item that fills `data`."""
    value, end = _item(data, 0, DEEPEST)
    if value is _BREAK or end != len(data):
        raise BadItem(f"bad_cbor: {len(data) - end} bytes behind the item")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if at >= len(data):
        raise BadItem(f"bad_cbor: cut off at byte {at}")
    if depth == 0:
        raise BadItem("bad_cbor: nested too deeply")
    major, info = data[at] >> 5, data[at] & 31
    if major == 7:
        return _simple(data, at, info)
    if info == 31:
        return _endless(data, at + 1, major, depth)
    number, at = _argument(data, at, info)
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if number > len(data) - at:
            raise BadItem(f"bad_cbor: {number} bytes announced at byte {at}")
        return _string(major, data[at : at + number]), at + number
    if major == 6:
        return _item(data, at, depth - 1)
    if number > len(data) - at:  # each element is a byte at least
        raise BadItem(f"bad_cbor: {number} elements announced at byte {at}")
    return _elements(data, at, major, depth, number)


def _argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    if info < 24:
        return info, at + 1
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(info)
    if size is None or at + 1 + size > len(data):
        raise BadItem(f"bad_cbor: no length at byte {at}")
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def _simple(data: bytes, at: int, info: int) -> tuple[Any, int]:
    if info == 31:
        return _BREAK, at + 1
    if info in (20, 21, 22, 23):
        return {20: False, 21: True}.get(info), at + 1
    form = {25: ">e", 26: ">f", 27: ">d"}.get(info)
    if form is None:
        raise BadItem(f"bad_cbor: simple value {info} at byte {at}")
    size = struct.calcsize(form)
    if at + 1 + size > len(data):
        raise BadItem(f"bad_cbor: cut off at byte {at}")
    return struct.unpack_from(form, data, at + 1)[0], at + 1 + size


def _elements(data: bytes, at: int, major: int, depth: int, number: int) -> tuple[Any, int]:
    found: list[Any] = []
    end = len(data)
    for _ in range(number if major == 4 else 2 * number):
        byte = data[at] if at < end else 0xFF
        if byte < 0x18:  # small numbers and short texts: nearly all
            found.append(byte)
            at += 1
            continue
        if 0x20 <= byte < 0x38:
            found.append(0x1F - byte)
            at += 1
            continue
        if 0x60 <= byte < 0x78 and at + byte - 0x5F <= end:
            found.append(_string(3, data[at + 1 : at + byte - 0x5F]))
            at += byte - 0x5F
            continue
        value, at = _item(data, at, depth - 1)
        if value is _BREAK:
            raise BadItem(f"bad_cbor: a break at byte {at - 1}")
        found.append(value)
    return _whole(found, major), at


def _endless(data: bytes, at: int, major: int, depth: int) -> tuple[Any, int]:
    """An item whose end is marked."""
    found = []
    while True:
        value, at = _item(data, at, depth - 1)
        if value is _BREAK:
            break
        found.append(value)
    if major in (4, 5) and not (major == 5 and len(found) % 2):
        return _whole(found, major), at
    raise BadItem(f"bad_cbor: major type {major} of no length ends at byte {at}")


def _whole(found: list[Any], major: int) -> Any:
    if major == 4:
        return found
    if not all(isinstance(key, str | int) for key in found[::2]):
        raise BadItem("bad_cbor: a key that is neither number nor text")
    return dict(zip(found[::2], found[1::2], strict=True))


def _string(major: int, raw: bytes) -> Any:
    if major == 2:
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadItem(f"bad_utf8: byte {error.start} of {len(raw)}") from None
