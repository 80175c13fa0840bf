"""Reads the journal from any id on, in any process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

from hub.clock import to_datetime
from hub.journal.files import Mark, segments
from hub.journal.record import (
    GAP,
    RECORD_HEADER,
    SEGMENT_HEADER,
    Head,
    Record,
    SegmentHeader,
    Spoiled,
    Stretch,
    stretches,
    take,
    unpack_segment,
)

Reason = Literal["damage", "cut", "freed", "quota"]
_EVERY = 1 << 63
_GO_ON = 0
_WAIT = -1
_FREED = "no longer in the journal: freed before it was read, or cut off"
_CUT = "the end of a segment, or a whole one, is gone"
_A_FREED: Reason = "freed"
_A_CUT: Reason = "cut"
_QUOTA = "dropped, oldest first: the polled class had used up its quota"


class Lost(NamedTuple):
    """Records that the journal no longer has."""

    first_id: int
    last_id: int
    why: str
    reason: Reason = "damage"
    """damage: bytes changed; cut: the end of a file is gone; freed: read by every cursor or
    unlinked; quota: polled readings taken out for want of room."""
    records: int = 0
    """How many; fewer than the ids from first to last if good records lie between them."""
    after_ns: int = 0
    """They were received at or after this time; 0: not known."""
    before_ns: int = 0
    """They were received at or before this time; 0: not known."""

    def __str__(self) -> str:
        ids = f"id {self.first_id}"
        if self.last_id > self.first_id:
            ids = f"ids {self.first_id} to {self.last_id}"
            if self.records <= self.last_id - self.first_id:
                ids = f"{self.records} of {ids}"
        return f"{ids}, received {_between(self.after_ns, self.before_ns)}: {self.why}"


def _between(after_ns: int, before_ns: int) -> str:
    after, before = (f"{to_datetime(t):%Y-%m-%d %H:%M:%S}" for t in (after_ns, before_ns))
    if not after_ns:
        return f"before {before} UTC" if before_ns else "at an unknown time"
    if not before_ns:
        return f"after {after} UTC"
    return f"at {after} UTC" if after == before else f"between {after} and {before} UTC"


def add_lost(known: list[Lost], lost: Lost) -> None:
    """Polled readings lay between others in many small runs; they are told as one."""
    before = known[-1] if known else lost
    if known and lost.reason == before.reason == "quota":
        known[-1] = before._replace(
            last_id=lost.last_id,
            records=before.records + lost.records,
            before_ns=lost.before_ns,
        )
    else:
        known.append(lost)


class Reader:
    """Yields records in order, each once, none that is not durable yet."""

    def __init__(self, folder: Path, after_id: int = 0) -> None:
        self.folder = folder
        self.next_id = after_id + 1
        self.lost: list[Lost] = []
        """What was missing; the caller takes and clears it."""
        self._mark: Mark | None = None
        self._handle = -1
        self._first = 0
        """The first id of the open segment."""
        self._bound = _EVERY
        """Its last one, as far as known; behind it may stand what a failed append left."""
        self._offset = 0
        self._time_ns = 0
        """Of the last record."""
        self._damage = ""

    def backlog(self) -> int:
        """Records that are durable and not read yet."""
        return max(0, self._durable() - self.next_id + 1)

    def read(self, limit_bytes: int = 1024 * 1024) -> list[Record]:
        """The next records, about `limit_bytes` of them; empty when there is none yet.

        Raises `OtherFormat`, OSError.
        """
        durable = self._durable()
        found: list[Record] = []
        want = usual = max(limit_bytes, 2 * RECORD_HEADER)
        while not found and self.next_id <= durable:
            if self._handle < 0 and not self._open():
                break
            # Bytes behind the mark may be taken back by a failed append: none is remembered.
            begin = self._offset
            block = os.pread(self._handle, want, begin)
            step = _GO_ON
            while step == _GO_ON and self.next_id <= durable:
                last_id = min(durable, self._bound)
                records, after = take(block, self._offset - begin, self.next_id, last_id)
                if records:
                    found += records
                    self._offset = begin + after
                    self.next_id, self._time_ns = records[-1].id + 1, records[-1].time_ns
                    self._damage = ""
                if self.next_id <= durable:
                    ended = len(block) < want
                    step = self._step(block, self._offset - begin, ended, durable)
            if step == _WAIT:
                break
            want = max(step, usual)
        return found

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

    # Where the next record does not simply follow

    def _step(self, block: bytes, at: int, ended: bool, durable: int) -> int:
        """Get past what `take` did not take; `ended`: the file has no more than this block.

        Gives how many bytes must be seen to go on, `_GO_ON` in this block, or `_WAIT`.
        """
        for part in stretches(block, at):
            if part.end > len(block) or (part.head is None and part.end == len(block)):
                if not ended:
                    return self._need(part, len(block))
                self._damage = self._damage or "the end of a segment is cut off or spoiled"
                break
            if part.head is None:
                self._damage = "record header spoiled"
            elif part.head.id > self._bound:
                break
            elif part.head.id > durable:
                return _WAIT
            elif self._is_next(part.head, part, block):
                return _GO_ON
            self._offset += part.end - part.start
        else:
            if not ended:
                return 1
        return 1 if self._next_segment() else _WAIT

    def _need(self, part: Stretch, end: int) -> int:
        """What goes on behind the block: a record, all of which is needed, or garbage, whose last
        bytes may be the begin of a header."""
        if part.head is not None:
            return part.end - part.start
        garbage = end - part.start - RECORD_HEADER + 1
        if garbage > 0:
            self._damage = "record header spoiled"
            self._offset += garbage
        return 1

    def _is_next(self, head: Head, part: Stretch, block: bytes) -> bool:
        """True for the good record `next_id`; otherwise it was noted what this one tells."""
        gap = part.gap(block)
        if (gap.last_id if gap else head.id) < self.next_id:
            self._time_ns = gap.last_ns if gap else head.time_ns
            return False
        if head.id > self.next_id:
            self._miss(head.id - 1, self._damage or "not in the journal", before_ns=head.time_ns)
        if gap:
            self._time_ns = gap.first_ns
            self._miss(gap.last_id, _QUOTA, "quota", before_ns=gap.last_ns)
            self._time_ns = gap.last_ns
            return False
        if part.good(block):
            return True
        self._time_ns = head.time_ns
        if head.kind == GAP:
            self._damage = "dropped for want of room, and the note of it is spoiled"
        else:
            self._miss(head.id, "payload spoiled", before_ns=head.time_ns)
        return False

    def _miss(
        self, last_id: int, why: str, reason: Reason = "damage", *, before_ns: int = 0
    ) -> None:
        count = last_id - self.next_id + 1
        lost = Lost(self.next_id, last_id, why, reason, count, self._time_ns, before_ns)
        self.next_id = last_id + 1
        self._damage = ""
        add_lost(self.lost, lost)

    def _open(self) -> bool:
        """Open the segment that holds `next_id`, or the first behind it."""
        known = segments(self.folder)
        if not known:
            return False
        index = max((i for i, (first, _) in enumerate(known) if first <= self.next_id), default=-1)
        if index >= 0:
            return self._begin(known, index) is not None
        header = self._begin(known, 0)
        if header is None:
            return False
        self._miss(known[0][0] - 1, _FREED, "freed", before_ns=header.created_ns)
        return True

    def _begin(self, known: list[tuple[int, Path]], index: int) -> SegmentHeader | None:
        """Open a segment; None if it was freed just now."""
        first, path = known[index]
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            header = unpack_segment(os.pread(handle, SEGMENT_HEADER, 0))
        except Spoiled:
            # The records behind it can still be told one from another.
            header = SegmentHeader(first, 0, (0, 0, 0))
        except BaseException:
            os.close(handle)
            raise
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._offset = handle, SEGMENT_HEADER
        self._first = first
        self._bound = known[index + 1][0] - 1 if index + 1 < len(known) else _EVERY
        return header

    def _next_segment(self) -> bool:
        """Go on to the segment after this one, if the log goes on there."""
        known = segments(self.folder)
        index = next((i for i, (first, _) in enumerate(known) if first > self._first), None)
        if index is None:
            # No more than this, though the mark promises it: cut, or the folder was emptied.
            if os.fstat(self._handle).st_nlink == 0:
                os.close(self._handle)
                self._handle = -1
            return False
        first = known[index][0]
        header = self._begin(known, index)
        if header is None:
            return False
        if first > self.next_id:
            # Where the segments before it are gone too, they were freed while this one was read.
            why, reason = (_FREED, _A_FREED) if index == 0 else (_CUT, _A_CUT)
            self._miss(first - 1, self._damage or why, reason, before_ns=header.created_ns)
        return True
