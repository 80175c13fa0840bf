"""Writes the journal. One object, one process, one lock; see the package for the contract."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from hub.journal.files import Cursor, Mark, segments, sync_folder
from hub.journal.reader import Lost
from hub.journal.record import (
    SEGMENT_HEADER,
    Class,
    SegmentHeader,
    Spoiled,
    pack,
    pack_segment,
    unpack_segment,
)
from hub.journal.space import Bytes, Kept, Segment, Space, count, held, look, read_header
from hub.journal.thinning import write_all

Draft = tuple[int, int, int, bytes]
"""time_ns, kind, class, payload: a record that has no id yet."""


class Locked(Exception):
    """When another process writes this journal."""


class Journal:
    """The writing end. `append` and `keep_house` may run in two threads, one call of each."""

    def __init__(
        self,
        folder: Path,
        *,
        now_ns: int,
        segment_bytes: int = 16 * 1024 * 1024,
        quotas: Mapping[int, int] | None = None,
        free_bytes: int = 0,
        cursors: Iterable[str] = (),
    ) -> None:
        """Open or create; repair a torn tail.

        `quotas`: bytes per `Class`. `free_bytes`: what the disk must have left for anything but
        acts. `cursors`: the readers that must have passed a segment before it is unlinked.
        Raises `Locked`, `OtherFormat`, OSError.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.segment_bytes = segment_bytes
        self._cursors = [Cursor(folder, name) for name in cursors]
        self._lock = _lock(folder)
        self._mark = Mark(folder, write=True)
        self._space = Space(folder, quotas or {}, segment_bytes, free_bytes)
        self._path: Path | None = None
        """The segment that the log ends in; `_handle` is -1 when it takes no more records."""
        self._handle = -1
        self._size = 0
        self._base = (0, 0, 0)
        """What was ever written before this segment."""
        self._torn = False
        """Bytes that a failed append wrote stand behind `_size`."""
        self.last_id = 0
        self.lost: Lost | None = None
        """What the mark promised and the disk no longer had when it was opened."""
        self.repaired: list[str] = []
        """What else was not as it should be when it was opened."""
        self._recover(now_ns)

    def append(self, drafts: Iterable[Draft]) -> tuple[int, int]:
        """Write and fsync records; return their first and last id.

        All or nothing: on any error the file is cut back to what was durable before, and the
        error (`OSError`) is raised. Called again with the same drafts it writes the same bytes.
        """
        first = self.last_id + 1
        written = list(self._space.written)
        parts = []
        time_ns = 0
        for number, (time_ns, kind, klass, payload) in enumerate(drafts, first):
            part = pack(number, time_ns, kind, klass, payload)
            parts.append(part)
            written[klass] += len(part)
        if not parts:
            return first, self.last_id
        block = b"".join(parts)
        if self._torn:
            self._abandon_tail()
        if self._must_roll(len(block)):
            self._roll(int.from_bytes(block[16:24], "little", signed=True))
        try:
            write_all(self._handle, block, self._size)
            os.fdatasync(self._handle)
        except OSError:
            self._abandon_tail()
            raise
        self._size += len(block)
        self._space.written = written
        self.last_id = first + len(parts) - 1
        self._mark.set(self.last_id, time_ns)
        return first, self.last_id

    def used(self, klass: int) -> int:
        """Bytes of a class on disk."""
        return self._space.used(klass)

    def room(self, klass: int) -> bool:
        """False when a record of that class must not be taken: its quota is used up, or the disk.

        Polled records always have room while the housekeeping can drop older ones.
        """
        return self._space.room(klass)

    def keep_house(self) -> Kept:
        """Sync the mark, free what every cursor has passed, drop the oldest polled records where
        their class is over its quota. Raises OSError; what was done by then stays done."""
        self._mark.sync()
        self._space.look_at_disk()
        passed = min((cursor.get() for cursor in self._cursors), default=0)
        freed = self._space.free(passed)
        return self._space.thin(passed)._replace(freed=freed)

    def close(self) -> None:
        self._close_segment()
        self._mark.sync()
        self._mark.close()
        os.close(self._lock)

    # How a journal is found again after a crash

    def _recover(self, now_ns: int) -> None:
        for left in self.folder.glob("*.thin"):
            left.unlink()
        # What a killed process made may stand in memory alone: names now, the last records below.
        sync_folder(self.folder)
        known = segments(self.folder)
        promised, promised_ns = self._mark.read() or (0, 0)
        done = [cursor.get() for cursor in self._cursors]
        if max(done, default=0) > promised:
            # A reader was there, so the mark that said so is older, or spoiled.
            promised, promised_ns = max(done), 0
        while known and not self._open_tail(known, promised):
            # A segment that was being created when the machine stopped: it holds no record.
            first_id, path = known.pop()
            path.rename(path.with_suffix(".spoiled"))
            sync_folder(self.folder)
            self.repaired.append(f"{path.name} held nothing readable and was set aside")
            self.last_id = max(self.last_id, first_id - 1)
        self._space.recount(known, self._space.written)
        if promised > self.last_id:
            first_id = max(self.last_id, min(done, default=0)) + 1
            if first_id <= promised:
                why = "the end of the journal, which was durable, is gone"
                before_ns = promised_ns or now_ns
                self.lost = Lost(
                    first_id,
                    promised,
                    why,
                    "cut",
                    promised - first_id + 1,
                    self._tail_ns,
                    before_ns,
                )
            # Ids are never given twice: readers may already have seen the lost ones.
            self.last_id = promised
            self._close_segment()
        self._mark.set(self.last_id, max(self._tail_ns, promised_ns))
        self._mark.sync()

    _tail_ns = 0
    """The time of the last record that recovery found."""

    def _open_tail(self, known: list[tuple[int, Path]], promised: int) -> bool:
        """Go on in the last segment behind its last whole record; False if it holds none and its
        header is spoiled."""
        path = known[-1][1]
        data = path.read_bytes()
        tail = look(data)
        try:
            header = unpack_segment(data)
        except Spoiled:
            if not tail.last_id:
                return False
            header = self._repair(known, tail.first_ns if tail.first_id == known[-1][0] else 0)
        self.last_id = max(self.last_id, header.first_id - 1, tail.last_id)
        self._tail_ns = tail.last_ns or header.created_ns
        self._path, self._base = path, header.earlier
        self._handle, self._size = os.open(path, os.O_RDWR), tail.end
        written = tail.held
        if promised > self.last_id:
            # Bytes that were durable and can't be read now are for `verify`, not to be cut off.
            written = count(data)
        elif tail.end < len(data):
            os.ftruncate(self._handle, tail.end)
        os.fsync(self._handle)
        self._space.written = [x + y for x, y in zip(header.earlier, written, strict=True)]
        if header.thinned:
            # What followed it is gone; what comes now must be free to be thinned itself.
            self._close_segment()
        return True

    def _repair(self, known: list[tuple[int, Path]], time_ns: int) -> SegmentHeader:
        """Write the header of the last segment again: all it says follows from its name and from
        the segment before."""
        first_id, path = known[-1]
        earlier: Bytes = (0, 0, 0)
        if len(known) > 1 and (before := read_header(known[-2][1])) is not None:
            a, b, c = before.earlier
            x, y, z = held(known[-2][1], before, None)
            earlier = (a + x, b + y, c + z)
        header = SegmentHeader(first_id, time_ns, earlier)
        handle = os.open(path, os.O_WRONLY)
        try:
            write_all(handle, pack_segment(header), 0)
            os.fsync(handle)
        finally:
            os.close(handle)
        self.repaired.append(f"{path.name} had a spoiled header, its records are kept")
        return header

    # Segments

    def _must_roll(self, coming: int) -> bool:
        if self._handle < 0:
            return True
        if self._space.wants_roll:
            self._space.wants_roll = False
            quota = self._space.quotas[Class.POLLED]
            polled = self._space.written[Class.POLLED] - self._base[Class.POLLED]
            # Fewer are not worth a file of their own each second.
            if polled > quota // 4:
                return True
        return self._size + coming > self.segment_bytes and self._size > SEGMENT_HEADER

    def _roll(self, now_ns: int) -> None:
        """Begin a new segment; its name is durable before a record goes into it."""
        path = self.folder / f"{self.last_id + 1:020d}.seg"
        a, b, c = self._space.written
        block = pack_segment(SegmentHeader(self.last_id + 1, now_ns, (a, b, c)))
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            write_all(handle, block, 0)
            os.fdatasync(handle)
            sync_folder(self.folder)
        except OSError:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        self._close_segment()
        if self._path is not None and self._path != path:
            x, y, z = self._base
            held = (a - x, b - y, c - z)
            self._space.closed.append(Segment(self._path, self.last_id, held, thinned=False))
        self._path, self._base = path, (a, b, c)
        self._handle, self._size = handle, len(block)

    def _abandon_tail(self) -> None:
        """After a failed write or fsync its pages can't be trusted: cut, go on in a new segment.

        Where even the cut fails, it is tried again before the next append.
        """
        self._torn = True
        os.ftruncate(self._handle, self._size)
        self._torn = False
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
