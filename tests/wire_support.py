"""Encoders for tests, written from RFC 8949 and sparkplug_b.proto, apart from the decoders."""

from __future__ import annotations

import json
import struct
from typing import Any


def cbor_of(text: str) -> bytes:
    """A JSON text as CBOR; keys that are whole numbers become integers, as SenML's labels do."""
    return _cbor(json.loads(text))


def _cbor(value: Any) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        raw = value.encode()
        return _head(3, len(raw)) + raw
    if isinstance(value, list):
        return _head(4, len(value)) + b"".join(map(_cbor, value))
    pairs = (_cbor(int(k) if k.lstrip("-").isdigit() else k) + _cbor(v) for k, v in value.items())
    return _head(5, len(value)) + b"".join(pairs)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise AssertionError(number)


TYPES = {
    "int8": 1, "int16": 2, "int32": 3, "int64": 4, "uint8": 5, "uint16": 6, "uint32": 7,
    "uint64": 8, "float": 9, "double": 10, "bool": 11, "string": 12,
}  # fmt: skip


def sparkplug_of(text: str) -> bytes:
    """{"timestamp": ms, "seq": n, "metrics": [{"name", "alias", "timestamp", "type", "value",
    "historical", "unit"}]} as a Sparkplug B payload."""
    said = json.loads(text)
    out = b""
    if "timestamp" in said:
        out += _number(1, said["timestamp"])
    for metric in said.get("metrics", []):
        out += _bytes(2, _metric(metric))
    if "seq" in said:
        out += _number(3, said["seq"])
    return out


def _metric(said: dict[str, Any]) -> bytes:
    out = b""
    if "name" in said:
        out += _bytes(1, said["name"].encode())
    for key, field in (("alias", 2), ("timestamp", 3)):
        if key in said:
            out += _number(field, said[key])
    kind = said.get("type", "")
    if kind and not said.get("typeless"):
        out += _number(4, TYPES[kind])
    if said.get("historical"):
        out += _number(5, 1)
    if "unit" in said:
        value = _number(1, 12) + _bytes(8, said["unit"].encode())
        out += _bytes(9, _bytes(1, b"engUnit") + _bytes(2, value))
    if "value" not in said:
        return out
    value = said["value"]
    if value is None:
        return out + _number(7, 1)
    if kind in ("int8", "int16", "int32", "uint8", "uint16", "uint32"):
        return out + _number(10, value & 0xFFFF_FFFF)
    if kind in ("int64", "uint64"):
        return out + _number(11, value & 0xFFFF_FFFF_FFFF_FFFF)
    if kind == "float":
        return out + b"\x65" + struct.pack("<f", value)
    if kind == "double":
        return out + b"\x69" + struct.pack("<d", value)
    if kind == "bool":
        return out + _number(14, int(value))
    return out + _bytes(15, value.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
