"""Reads the journal from any id on, in any process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hub.journal.files import Mark, segments
from hub.journal.record import (
    SEGMENT_HEADER,
    Damage,
    Record,
    Spoiled,
    scan,
    unpack_segment,
)


class Lost(NamedTuple):
    """Ids that the journal no longer has, and why."""

    first_id: int
    last_id: int
    why: str


class Reader:
    """Yields records in order, each once, none that is not durable yet."""

    def __init__(self, folder: Path, after_id: int = 0) -> None:
        self.folder = folder
        self.next_id = after_id + 1
        self.lost: list[Lost] = []
        """What was missing; the caller takes and clears it."""
        self._mark: Mark | None = None
        self._handle = -1
        self._offset = 0
        self._rest = b""

    def backlog(self) -> int:
        """Records that are durable and not read yet."""
        return max(0, self._durable() - self.next_id + 1)

    def read(self, limit_bytes: int = 1024 * 1024) -> list[Record]:
        """The next records, about `limit_bytes` of them; empty when there is none yet."""
        durable = self._durable()
        if self.next_id > durable:
            return []
        if self._handle < 0 and not self._open(durable):
            return []
        while True:
            block = os.pread(self._handle, limit_bytes, self._offset + len(self._rest))
            records = self._take(self._rest + block, durable)
            if records or self.next_id > durable:
                return records
            if not block and not self._next_segment(durable):
                return []

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    def _durable(self) -> int:
        if self._mark is None:
            try:
                self._mark = Mark(self.folder, write=False)
            except (OSError, ValueError):
                return 0
        return self._mark.get()

    def _take(self, data: bytes, durable: int) -> list[Record]:
        records: list[Record] = []
        used = 0
        damage = ""
        for after, item in scan(data):
            if isinstance(item, Damage):
                damage, used = item.why, after
                continue
            if item.id > durable:
                break
            if item.id > self.next_id:
                self._miss(item.id - 1, damage or "not in the journal")
            if item.id >= self.next_id:
                records.append(item)
                self.next_id = item.id + 1
            damage, used = "", after
        self._offset += used
        # Bytes behind the mark may be taken back by a failed append: never remember them.
        self._rest = data[used:] if self.next_id <= durable else b""
        return records

    def _miss(self, last_id: int, why: str) -> None:
        self.lost.append(Lost(self.next_id, last_id, why))
        self.next_id = last_id + 1

    def _open(self, durable: int) -> bool:
        """Open the segment that holds `next_id`, or the first behind it."""
        known = segments(self.folder)
        at = [first for first, _ in known if first <= self.next_id]
        first = at[-1] if at else (known[0][0] if known else None)
        if first is None:
            return False
        if not at and first <= durable:
            self._miss(first - 1, "freed or unlinked before it was read")
        return self._begin(dict(known)[first], durable)

    def _begin(self, path: Path, durable: int) -> bool:
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        # The records behind a spoiled segment header can still be told one from another.
        with suppress(Spoiled):
            unpack_segment(os.pread(handle, SEGMENT_HEADER, 0))
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._offset, self._rest = handle, SEGMENT_HEADER, b""
        return True

    def _next_segment(self, durable: int) -> bool:
        """Go on to the segment after this one, if the log goes on there."""
        current = os.fstat(self._handle).st_ino
        known = segments(self.folder)
        later = [(first, path) for first, path in known if first >= self.next_id]
        if not later:
            # The tail that the mark promised is not there: a cut journal, known by its ids.
            newer = [path for _, path in known if path.stat().st_ino != current]
            if not newer and os.fstat(self._handle).st_nlink == 0:
                os.close(self._handle)
                self._handle = -1
            return False
        first, path = later[0]
        if first > self.next_id:
            self._miss(first - 1, "cut off the end of a segment")
        return self._begin(path, durable)
