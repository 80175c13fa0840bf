"""Writes the journal. One object, one process, one lock; see the package for the contract."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

from hub.journal.files import Cursor, Mark, segments, sync_folder
from hub.journal.record import (
    SEGMENT_HEADER,
    Damage,
    SegmentHeader,
    Spoiled,
    pack,
    pack_segment,
    scan,
    unpack_segment,
)

Draft = tuple[int, int, int, bytes]
"""time_ns, kind, class, payload: a record that has no id yet."""


class Locked(Exception):
    """When another process writes this journal."""


class Full(Exception):
    """When a class has used its quota of bytes and no cursor has moved on."""


class Journal:
    """The writing end. Not thread-safe: one call at a time."""

    def __init__(
        self,
        folder: Path,
        *,
        now_ns: int,
        segment_bytes: int = 16 * 1024 * 1024,
        quotas: Mapping[int, int] | None = None,
        cursors: Iterable[str] = (),
    ) -> None:
        """Open or create; repair a torn tail.

        `quotas`: bytes per `Class`. `cursors`: the readers that must have passed a segment
        before it is unlinked. Raises `Locked`, `TooNew`, OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.quotas = dict(quotas or {})
        self._cursors = [Cursor(folder, name) for name in cursors]
        self._lock = _lock(folder)
        self._mark = Mark(folder, write=True)
        self._handle = -1
        self._size = 0
        self._written = [0, 0, 0]
        self._freed = [0, 0, 0]
        self.last_id = 0
        self.lost: tuple[int, int] | None = None
        """First and last id that the mark promised and the disk no longer has."""
        self._recover(now_ns)

    def append(self, drafts: Iterable[Draft]) -> tuple[int, int]:
        """Write and fsync records; return their first and last id.

        All or nothing: on any error the file is cut back to what was durable before, and the
        error (`OSError`) is raised.
        """
        first = self.last_id + 1
        written = list(self._written)
        parts = []
        for number, (time_ns, kind, klass, payload) in enumerate(drafts, first):
            parts.append(pack(number, time_ns, kind, klass, payload))
            written[klass] += len(parts[-1])
        if not parts:
            return first, self.last_id
        block = b"".join(parts)
        if self._handle < 0 or self._size + len(block) > self.segment_bytes:
            self._roll(_time(parts[0]))
        try:
            _write_all(self._handle, block, self._size)
            os.fdatasync(self._handle)
        except OSError:
            self._abandon_tail()
            raise
        self._size += len(block)
        self._written = written
        self.last_id = first + len(parts) - 1
        self._mark.set(self.last_id)
        return first, self.last_id

    def used(self, klass: int) -> int:
        """Bytes of a class on disk."""
        return self._written[klass] - self._freed[klass]

    def room(self, klass: int) -> bool:
        """False when the class has used up its quota."""
        quota = self.quotas.get(klass)
        return quota is None or self.used(klass) < quota

    def keep_house(self) -> int:
        """Sync the mark and unlink segments that every cursor has passed; return how many."""
        self._mark.sync()
        if not self._cursors:
            return 0
        passed = min(cursor.get() for cursor in self._cursors)
        known = segments(self.folder)
        freed = 0
        for (_, path), (next_first, next_path) in pairwise(known):
            if next_first - 1 > passed:
                break
            earlier = _earlier(next_path)
            if earlier is not None:
                self._freed = list(earlier)
            elif next_path == known[-1][1]:
                break  # it is just being created, in another thread
            path.unlink()
            freed += 1
        if freed:
            sync_folder(self.folder)
        return freed

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._mark.sync()
        self._mark.close()
        os.close(self._lock)

    # How a journal is found again after a crash

    def _recover(self, now_ns: int) -> None:
        known = segments(self.folder)
        while known:
            first_id, path = known[-1]
            try:
                size = self._open_tail(path)
            except Spoiled:
                # A segment that was being created when the machine stopped holds no record. One
                # that holds records is set aside, not wiped: `journal verify` can look into it.
                path.rename(path.with_suffix(".spoiled"))
                sync_folder(self.folder)
                known.pop()
                self.last_id = max(self.last_id, first_id - 1)
                continue
            self._size = size
            # A spoiled header can't say what went before it; the next one comes close.
            self._freed = next((list(e) for _, p in known if (e := _earlier(p))), [0, 0, 0])
            break
        promised = self._mark.get()
        if promised > self.last_id:
            self.lost = (self.last_id + 1, promised)
            # Ids are never given twice: readers may already have seen the lost ones.
            self.last_id = promised
            self._close_segment()
        self._mark.set(self.last_id)
        self._mark.sync()

    def _open_tail(self, path: Path) -> int:
        """Go on in this segment behind its last whole record; its length."""
        handle = os.open(path, os.O_RDWR)
        try:
            data = _read_all(handle)
            header = unpack_segment(data[:SEGMENT_HEADER])
            written, end = list(header.earlier), SEGMENT_HEADER
            self.last_id = header.first_id - 1
            for after, item in scan(data, SEGMENT_HEADER):
                if not isinstance(item, Damage):
                    written[item.klass] += after - end
                    self.last_id = item.id
                end = after
            if end < len(data):
                os.ftruncate(handle, end)
                os.fsync(handle)
        except BaseException:
            os.close(handle)
            raise
        self._handle, self._written = handle, written
        return end

    def _roll(self, now_ns: int) -> None:
        """Begin a new segment; its name is durable before a record goes into it."""
        self._close_segment()
        path = self.folder / f"{self.last_id + 1:020d}.seg"
        a, b, c = self._written
        block = pack_segment(SegmentHeader(self.last_id + 1, now_ns, (a, b, c)))
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            _write_all(handle, block, 0)
            os.fdatasync(handle)
            sync_folder(self.folder)
        except OSError:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        self._handle, self._size = handle, len(block)

    def _abandon_tail(self) -> None:
        """After a failed write or fsync its pages can't be trusted: cut, go on in a new segment."""
        try:
            os.ftruncate(self._handle, self._size)
        finally:
            self._close_segment()

    def _close_segment(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _lock(folder: Path) -> int:
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise Locked(f"{folder} is being written by another process") from None
    return handle


def _earlier(path: Path) -> tuple[int, int, int] | None:
    """What the segment's header counts; None when it is spoiled or not written yet."""
    with path.open("rb") as file:
        try:
            return unpack_segment(file.read(SEGMENT_HEADER)).earlier
        except Spoiled:
            return None


def _time(block: bytes) -> int:
    return int.from_bytes(block[16:24], "little", signed=True)


def _write_all(handle: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        count = os.pwrite(handle, view, offset)
        view, offset = view[count:], offset + count


def _read_all(handle: int) -> bytes:
    parts: list[bytes] = []
    offset = 0
    while True:
        part = os.pread(handle, 8 * 1024 * 1024, offset)
        if not part:
            return b"".join(parts)
        parts.append(part)
        offset += len(part)
