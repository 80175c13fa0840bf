"""Bytes of segments and records; pure, no files."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from zlib import crc32

VERSION = 1
MAGIC = b"TOBAJRN1"
RECORD_MAGIC = 0x5254
MAX_PAYLOAD = 16 * 1024 * 1024

_SEGMENT = Struct("<8sIIQqQQQI")
_RECORD = Struct("<HBBIQqI")
_CRC = Struct("<I")
SEGMENT_HEADER = _SEGMENT.size + _CRC.size
RECORD_HEADER = _RECORD.size + _CRC.size


class Kind(IntEnum):
    """What a record tells. Numbers are on disk: never reuse one."""

    READINGS = 1
    TICK = 2
    ACT = 3
    EVENT = 4
    PROPOSAL = 5
    CONFIG = 6


class Class(IntEnum):
    """Whose quota a record counts against."""

    ACKNOWLEDGED = 0
    """Its source keeps it until we acknowledge: when full, stop acknowledging."""
    POLLED = 1
    """Nobody keeps it for us: when full, drop and count."""
    ACT = 2
    """People's acts, ticks, alerts: has a reserve."""


class Record(NamedTuple):
    id: int
    time_ns: int
    kind: int
    klass: int
    payload: bytes


class SegmentHeader(NamedTuple):
    first_id: int
    created_ns: int
    earlier: tuple[int, int, int]
    """Bytes of each class in all segments before this one."""


class TooNew(Exception):
    """When a journal was written by a newer hub. Use that version, or drain it first."""


class Spoiled(Exception):
    """When a segment's header is not what was written."""


def pack_segment(header: SegmentHeader) -> bytes:
    head = _SEGMENT.pack(MAGIC, VERSION, 0, header.first_id, header.created_ns, *header.earlier, 0)
    return head + _CRC.pack(crc32(head))


def unpack_segment(data: bytes) -> SegmentHeader:
    """Raises `TooNew` or `Spoiled`."""
    if len(data) < SEGMENT_HEADER:
        raise Spoiled("the segment is shorter than its header")
    magic, version, _, first_id, created_ns, a, b, c, _ = _SEGMENT.unpack_from(data)
    if magic != MAGIC:
        raise Spoiled("the segment does not begin as a journal segment does")
    if version > VERSION:
        raise TooNew(f"journal format {version}, this hub knows up to {VERSION}")
    (crc,) = _CRC.unpack_from(data, _SEGMENT.size)
    if crc != crc32(data[: _SEGMENT.size]):
        raise Spoiled("the segment header's checksum is wrong")
    return SegmentHeader(first_id, created_ns, (a, b, c))


def pack(record_id: int, time_ns: int, kind: int, klass: int, payload: bytes) -> bytes:
    head = _RECORD.pack(RECORD_MAGIC, kind, klass, len(payload), record_id, time_ns, crc32(payload))
    return head + _CRC.pack(crc32(head)) + payload


class Damage(NamedTuple):
    """A stretch of a segment that is not what was written."""

    offset: int
    why: str


def scan(data: bytes | memoryview, offset: int = 0) -> Iterator[tuple[int, Record | Damage]]:
    """Every record from `offset`, each with the offset behind it.

    Stops silently before a record that is cut by the end of `data`: the caller knows whether
    more bytes will come. A spoiled payload is a `Damage` of that record alone; behind a spoiled
    header the next good one is searched.
    """
    end = len(data)
    while offset + RECORD_HEADER <= end:
        head = _head(data, offset)
        if head is None:
            found = _search(data, offset + 1)
            if found < 0:
                return
            yield found, Damage(offset, "record header spoiled")
            offset = found
            continue
        kind, klass, length, record_id, time_ns, payload_crc = head
        start = offset + RECORD_HEADER
        if start + length > end:
            return
        payload = bytes(data[start : start + length])
        offset = start + length
        if crc32(payload) == payload_crc:
            yield offset, Record(record_id, time_ns, kind, klass, payload)
        else:
            yield offset, Damage(start, f"payload of record {record_id} spoiled")


def _head(data: bytes | memoryview, offset: int) -> tuple[int, int, int, int, int, int] | None:
    magic, kind, klass, length, record_id, time_ns, payload_crc = _RECORD.unpack_from(data, offset)
    if magic != RECORD_MAGIC or length > MAX_PAYLOAD:
        return None
    (crc,) = _CRC.unpack_from(data, offset + _RECORD.size)
    if crc != crc32(data[offset : offset + _RECORD.size]):
        return None
    return kind, klass, length, record_id, time_ns, payload_crc


def _search(data: bytes | memoryview, offset: int) -> int:
    """The offset of the next good record header, or -1."""
    whole = bytes(data)
    needle = RECORD_MAGIC.to_bytes(2, "little")
    while True:
        offset = whole.find(needle, offset)
        if offset < 0 or offset + RECORD_HEADER > len(whole):
            return -1
        if _head(whole, offset) is not None:
            return offset
        offset += 1
