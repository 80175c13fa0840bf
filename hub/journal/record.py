"""Bytes of segments and records; pure, no files."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple
from zlib import crc32

VERSION = 3
MAGIC = b"TOBAJRN1"
RECORD_MAGIC = 0x5254
MAX_PAYLOAD = 16 * 1024 * 1024
GAP = 255
"""The kind of a record that stands for others, which were taken out for want of room."""

_SEGMENT = Struct("<8sIIQqQQQI")
_RECORD = Struct("<HBBIQqI")
_WHOLE = Struct("<HBBIQqII")
_CRC = Struct("<I")
_GAP = Struct("<Qq")
SEGMENT_HEADER = _SEGMENT.size + _CRC.size
RECORD_HEADER = _WHOLE.size
GAP_BYTES = RECORD_HEADER + _GAP.size
_NEEDLE = RECORD_MAGIC.to_bytes(2, "little")


class Kind(IntEnum):
    """What a record tells. Numbers are on disk: never reuse one; 255 is `GAP`."""

    READINGS = 1
    TICK = 2
    ACT = 3
    EVENT = 4
    PROPOSAL = 5
    CONFIG = 6
    VERDICT = 7
    PAST = 8


class Class(IntEnum):
    """Whose quota a record counts against."""

    ACKNOWLEDGED = 0
    """Its source keeps it until we acknowledge: when full, stop acknowledging."""
    POLLED = 1
    """Nobody keeps it for us: when full, the oldest are dropped and counted."""
    ACT = 2
    """People's acts, ticks, alerts: has a reserve."""


class Record(NamedTuple):
    id: int
    time_ns: int
    kind: int
    klass: int
    payload: bytes


class Gap(NamedTuple):
    """A run of records that was taken out, by id and by time received."""

    first_id: int
    last_id: int
    first_ns: int
    last_ns: int


class Head(NamedTuple):
    """A record's header."""

    kind: int
    klass: int
    length: int
    id: int
    time_ns: int
    payload_crc: int


class SegmentHeader(NamedTuple):
    first_id: int
    created_ns: int
    """When its first record was received."""
    earlier: tuple[int, int, int]
    """Bytes of each class that were ever written before this segment."""
    thinned: bool = False
    """Its polled records were taken out; gaps stand for them."""


class OtherFormat(Exception):
    """When a journal was written by another version of the hub, which must drain it first."""


class Spoiled(Exception):
    """When a segment's header is not what was written."""


def pack_segment(header: SegmentHeader) -> bytes:
    first_id, created_ns, earlier, thinned = header
    head = _SEGMENT.pack(MAGIC, VERSION, thinned, first_id, created_ns, *earlier, 0)
    return head + _CRC.pack(crc32(head))


def unpack_segment(data: bytes) -> SegmentHeader:
    """Raises `OtherFormat` or `Spoiled`.

    Every version keeps magic, version and the checksum where they are: otherwise a flipped bit in
    the version would look like a newer hub.
    """
    if len(data) < SEGMENT_HEADER:
        raise Spoiled("the segment is shorter than its header")
    magic, version, thinned, first_id, created_ns, a, b, c, _ = _SEGMENT.unpack_from(data)
    if magic != MAGIC:
        raise Spoiled("the segment does not begin as a journal segment does")
    (crc,) = _CRC.unpack_from(data, _SEGMENT.size)
    if crc != crc32(data[: _SEGMENT.size]):
        raise Spoiled("the segment header's checksum is wrong")
    if version != VERSION:
        raise OtherFormat(
            f"the journal has format {version}, this hub reads {VERSION}: let the hub that wrote "
            "it store all that waits (`journal status` tells when), then move its folder away"
        )
    return SegmentHeader(first_id, created_ns, (a, b, c), bool(thinned))


def pack(record_id: int, time_ns: int, kind: int, klass: int, payload: bytes) -> bytes:
    head = _RECORD.pack(RECORD_MAGIC, kind, klass, len(payload), record_id, time_ns, crc32(payload))
    return head + _CRC.pack(crc32(head)) + payload


def pack_gap(gap: Gap) -> bytes:
    end = _GAP.pack(gap.last_id, gap.last_ns)
    return pack(gap.first_id, gap.first_ns, GAP, Class.POLLED, end)


def take(data: bytes, offset: int, next_id: int, last_id: int) -> tuple[list[Record], int]:
    """The good records from `next_id` to at most `last_id` that stand at `offset`, and the offset
    behind them. It stops before anything else, which is for `stretches` to tell.

    Every reader spends its time here, so it is one loop without calls of ours.
    """
    records: list[Record] = []
    add, unpack, new = records.append, _WHOLE.unpack_from, tuple.__new__
    end = len(data)
    while next_id <= last_id and offset + 32 <= end:
        magic, kind, klass, length, record_id, time_ns, crc, head_crc = unpack(data, offset)
        start = offset + 32
        after = start + length
        if record_id != next_id or kind == GAP or magic != RECORD_MAGIC or after > end:
            break
        payload = data[start:after]
        if crc32(payload) != crc or crc32(data[offset : offset + 28]) != head_crc:
            break
        add(new(Record, (record_id, time_ns, kind, klass, payload)))
        offset = after
        next_id += 1
    return records, offset


class Stretch(NamedTuple):
    """A part of a segment: a record whose header is good, or what is not a record at all."""

    start: int
    end: int
    """For the last record of cut data this lies behind the end of the data."""
    head: Head | None

    def good(self, data: bytes) -> bool:
        """It is a whole record, and the payload is what was written, too."""
        return (
            self.head is not None
            and self.end <= len(data)
            and crc32(data[self.start + RECORD_HEADER : self.end]) == self.head.payload_crc
        )

    def gap(self, data: bytes) -> Gap | None:
        """What the record stands for; None if it is a record like others, or spoiled."""
        if self.head is None or self.head.kind != GAP or not self.good(data):
            return None
        last_id, last_ns = _GAP.unpack_from(data, self.start + RECORD_HEADER)
        return Gap(self.head.id, last_id, self.head.time_ns, last_ns)


def stretches(data: bytes, offset: int = 0) -> Iterator[Stretch]:
    """The whole of `data` from `offset`, by headers alone.

    Behind a spoiled header the next good one is searched; where there is none, the last stretch
    reaches to the end.
    """
    end = len(data)
    while offset < end:
        head = _head(data, offset)
        if head is None:
            after = _search(data, offset + 1)
            yield Stretch(offset, after, None)
        else:
            after = offset + RECORD_HEADER + head.length
            yield Stretch(offset, after, head)
        offset = after


def _head(data: bytes, offset: int) -> Head | None:
    if offset + RECORD_HEADER > len(data):
        return None
    magic, kind, klass, length, record_id, time_ns, payload_crc, crc = _WHOLE.unpack_from(
        data, offset
    )
    if magic != RECORD_MAGIC or length > MAX_PAYLOAD:
        return None
    if crc != crc32(data[offset : offset + _RECORD.size]):
        return None
    return Head(kind, klass, length, record_id, time_ns, payload_crc)


def _search(data: bytes, offset: int) -> int:
    """The offset of the next good record header, or the end."""
    while True:
        offset = data.find(_NEEDLE, offset)
        if offset < 0 or offset + RECORD_HEADER > len(data):
            return len(data)
        if _head(data, offset) is not None:
            return offset
        offset += 1
