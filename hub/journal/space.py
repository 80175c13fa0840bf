"""How much room the classes have, and how it is made again: freeing and thinning.

The appending thread writes `written` and adds closed segments at the end of `closed`; the house-
keeping thread writes `gone` and takes from its begin. Each number has one writer, so none is lost.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hub.journal.files import sync_folder
from hub.journal.record import (
    SEGMENT_HEADER,
    Class,
    Gap,
    SegmentHeader,
    Spoiled,
    Stretch,
    stretches,
    unpack_segment,
)
from hub.journal.thinning import thin_file

_CLASSES = frozenset(map(int, Class))
Bytes = tuple[int, int, int]
"""By `Class`."""


class Segment(NamedTuple):
    """A closed one: the log goes on in another file."""

    path: Path
    last_id: int
    held: Bytes
    thinned: bool


class Kept(NamedTuple):
    """What one round of housekeeping did."""

    freed: int = 0
    """Segments unlinked, since every cursor has passed them."""
    thinned: int = 0
    """Segments whose polled records were taken out."""
    dropped: tuple[Gap, ...] = ()
    """Runs of polled records that no longer exist and that not every cursor had passed."""

    def records(self) -> int:
        return sum(gap.last_id - gap.first_id + 1 for gap in self.dropped)


class Space:
    """Bytes by class against their quotas."""

    def __init__(
        self, folder: Path, quotas: Mapping[int, int], segment_bytes: int, free_bytes: int
    ) -> None:
        self._folder = folder
        self.quotas = dict(quotas)
        self._slack = 2 * segment_bytes
        self._free_bytes = free_bytes
        self.written = [0, 0, 0]
        self.gone = [0, 0, 0]
        self.closed: list[Segment] = []
        self.low = False
        """The disk itself has less free than `free_bytes` (or 5 % of it, if that is less)."""
        self.wants_roll = False
        """The polled class is over its quota and its records are in the open segment."""

    def used(self, klass: int) -> int:
        return self.written[klass] - self.gone[klass]

    def room(self, klass: int) -> bool:
        """False when a record of that class must not be taken now."""
        if self.low and klass != Class.ACT:
            return False
        quota = self.quotas.get(klass)
        if quota is None:
            return True
        # Polled records are taken beyond their quota until the housekeeping has dropped older ones.
        return self.used(klass) < quota + (self._slack if klass == Class.POLLED else 0)

    def over(self) -> bool:
        """The oldest polled records must go."""
        quota = self.quotas.get(Class.POLLED)
        return quota is not None and self.used(Class.POLLED) > quota

    def look_at_disk(self) -> None:
        """Raises OSError."""
        disk = os.statvfs(self._folder)
        wanted = min(self._free_bytes, disk.f_blocks * disk.f_frsize // 20)
        self.low = disk.f_bavail * disk.f_frsize < wanted

    def free(self, passed: int) -> int:
        """Unlink the segments whose every record is at or below `passed`; how many. OSError."""
        freed = 0
        while self.closed and self.closed[0].last_id <= passed:
            segment = self.closed[0]
            segment.path.unlink(missing_ok=True)
            self.closed.pop(0)
            self._is_gone(segment.held)
            freed += 1
        if freed:
            sync_folder(self._folder)
        return freed

    def thin(self, passed: int) -> Kept:
        """Drop the oldest polled records until the class is within its quota. Raises OSError."""
        thinned, dropped = 0, []
        while self.over():
            index = next(
                (i for i, s in enumerate(self.closed) if not s.thinned and s.held[Class.POLLED]),
                None,
            )
            if index is None:
                self.wants_roll = True
                break
            segment = self.closed[index]
            found = thin_file(segment.path)
            a, b, c = segment.held
            left = max(0, len(found.data) - SEGMENT_HEADER - a - c)
            self.closed[index] = segment._replace(held=(a, left, c), thinned=True)
            self._is_gone((0, b - left, 0))
            thinned += 1
            dropped += [
                gap._replace(first_id=max(gap.first_id, passed + 1))
                for gap in found.gaps
                if gap.last_id > passed
            ]
        return Kept(0, thinned, tuple(dropped))

    def _is_gone(self, held: Bytes) -> None:
        for klass, number in enumerate(held):
            self.gone[klass] += number

    def recount(self, known: list[tuple[int, Path]], written: list[int]) -> None:
        """After opening: `known` are all segments, of which the last is not closed.

        `written` is what was ever written. Raises `OtherFormat`, OSError.
        """
        self.written = list(written)
        headers = [read_header(path) for _, path in known]
        self.closed = [
            Segment(path, after - 1, held(path, header, following), bool(header and header.thinned))
            for ((_, path), (after, _)), (header, following) in zip(
                pairwise(known), pairwise(headers), strict=True
            )
        ]
        last = headers[-1].earlier if headers and headers[-1] else tuple(written)
        present = [sum(s.held[klass] for s in self.closed) for klass in Class]
        self.gone = [before - there for before, there in zip(last, present, strict=True)]


def read_header(path: Path) -> SegmentHeader | None:
    """None when it is spoiled. Raises `OtherFormat`, OSError."""
    with path.open("rb") as file:
        try:
            return unpack_segment(file.read(SEGMENT_HEADER))
        except Spoiled:
            return None


def held(path: Path, header: SegmentHeader | None, following: SegmentHeader | None) -> Bytes:
    """What a closed segment holds of each class, from the headers where they agree with its size.

    Otherwise (one is spoiled, or bytes are missing) it is read and counted.
    """
    size = path.stat().st_size - SEGMENT_HEADER
    if header is not None and following is not None:
        a, b, c = (x - y for x, y in zip(following.earlier, header.earlier, strict=True))
        if a + b + c == size:
            return a, b, c
        if header.thinned and 0 <= size - a - c < b:
            return a, size - a - c, c
    return count(path.read_bytes())


class Tail(NamedTuple):
    """How a segment ends."""

    first_id: int
    first_ns: int
    last_id: int
    """Of the last whole record; 0 if there is none."""
    last_ns: int
    end: int
    """The offset behind it."""
    held: Bytes
    """Up to there."""


def look(data: bytes) -> Tail:
    """Read a segment up to its last whole record."""
    tail = Tail(0, 0, 0, 0, SEGMENT_HEADER, (0, 0, 0))
    sizes = [0, 0, 0]
    for part in stretches(data, SEGMENT_HEADER):
        sizes[_klass(part)] += part.end - part.start
        if part.head is not None and part.good(data):
            first = tail[:2] if tail.first_id else (part.head.id, part.head.time_ns)
            gap = part.gap(data)
            last_id, last_ns = (gap[1], gap[3]) if gap else (part.head.id, part.head.time_ns)
            a, b, c = sizes
            tail = Tail(*first, last_id, last_ns, part.end, (a, b, c))
    return tail


def count(data: bytes) -> Bytes:
    """The bytes of each class in a segment."""
    sizes = [0, 0, 0]
    for part in stretches(data, SEGMENT_HEADER):
        sizes[_klass(part)] += min(part.end, len(data)) - part.start
    a, b, c = sizes
    return a, b, c


def _klass(part: Stretch) -> int:
    """What is not a record counts as acknowledged, since it may have been."""
    return part.head.klass if part.head is not None and part.head.klass in _CLASSES else 0
