"""How full and how whole a journal is; reads only, beside a hub that runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from hub.journal.files import Cursor, Mark, segments
from hub.journal.reader import Lost, Reader, add_lost
from hub.journal.record import Record, SegmentHeader
from hub.journal.space import Bytes, count, held, read_header


class Lag(NamedTuple):
    """How far a reader is behind the newest record."""

    name: str
    done_id: int
    records: int
    seconds: float | None
    """Between the newest record and the next one that it will take; None: that one is not here."""


class Status(NamedTuple):
    first_id: int
    last_id: int
    last_ns: int
    segments: int
    thinned: int
    bytes: int
    """On disk, headers included."""
    held: Bytes
    """Of records, by class."""
    cursors: list[Lag]
    aside: list[str]
    """Files that were set aside, since nothing in them could be read."""


def status(folder: Path) -> Status | None:
    """None where there is no journal. Raises `OtherFormat`, OSError."""
    known = segments(folder)
    if not known:
        return None
    last_id, last_ns = _mark(folder)
    rows = _headers(known)
    total = [0, 0, 0]
    size = thinned = 0
    for (path, header), (_, following) in pairwise([*rows, (known[-1][1], None)]):
        try:
            here = held(path, header, following) if following else count(path.read_bytes())
            size += path.stat().st_size
        except FileNotFoundError:
            continue  # freed just now
        total = [a + b for a, b in zip(total, here, strict=True)]
        thinned += bool(header and header.thinned)
    a, b, c = total
    names = sorted(path.name for path in (folder / "cursors").glob("*"))
    lags = [_lag(folder, name, last_id, last_ns) for name in names]
    aside = sorted(path.name for path in folder.glob("*.spoiled"))
    return Status(known[0][0], last_id, last_ns, len(rows), thinned, size, (a, b, c), lags, aside)


def _mark(folder: Path) -> tuple[int, int]:
    try:
        mark = Mark(folder, write=False)
    except (OSError, ValueError):
        return 0, 0
    try:
        return mark.read() or (0, 0)
    finally:
        mark.close()


def _headers(known: list[tuple[int, Path]]) -> list[tuple[Path, SegmentHeader | None]]:
    found = []
    for _, path in known:
        try:
            found.append((path, read_header(path)))
        except FileNotFoundError:
            continue
    return found


def _lag(folder: Path, name: str, last_id: int, last_ns: int) -> Lag:
    done = Cursor(folder, name).get()
    behind = max(0, last_id - done)
    if not behind:
        return Lag(name, done, 0, 0.0)
    reader = Reader(folder, done)
    try:
        records = reader.read(4096)
    finally:
        reader.close()
    seconds = max(0, last_ns - records[0].time_ns) / 1e9 if records else None
    return Lag(name, done, behind, seconds)


class Verified(NamedTuple):
    records: int
    by_class: Counter[int]
    first: Record | None
    last: Record | None
    dropped: list[Lost]
    """Taken out for want of room: no damage."""
    damage: list[Lost]
    odd: list[str]
    """What cost no record, but is not as it should be."""


Progress = Callable[[int, int, int], None]
"""Records read so far, the id of the last one, the id to end at."""


def verify(folder: Path, progress: Progress) -> Verified | None:
    """Read every record that is durable now, and its checksum; None where there is no journal.

    Raises `OtherFormat`, OSError.
    """
    known = segments(folder)
    if not known:
        return None
    end, end_ns = _mark(folder)
    odd = [f"{path.name}: its header is spoiled" for path, head in _headers(known) if head is None]
    odd += [f"{path.name}: set aside, unreadable" for path in sorted(folder.glob("*.spoiled"))]
    if not end:
        odd.append("mark: unreadable, or nothing was ever written")
    odd += [
        f"cursor {lag.name} stands at {lag.done_id}, beyond the end"
        for path in sorted((folder / "cursors").glob("*"))
        if (lag := _lag(folder, path.name, end, end_ns)).done_id > end
    ]
    reader = Reader(folder, known[0][0] - 1)
    by_class: Counter[int] = Counter()
    first = last = None
    lost: list[Lost] = []
    total = 0
    try:
        while reader.next_id <= end and (records := reader.read()):
            records = [record for record in records if record.id <= end]
            if not records:
                break
            first, last = first or records[0], records[-1]
            total += len(records)
            by_class.update(record.klass for record in records)
            _gather(reader, lost)
            progress(total, last.id, end)
        _gather(reader, lost)
        if reader.next_id <= end:
            lost.append(_tail(reader.next_id, end, last, end_ns))
    finally:
        reader.close()
    dropped = [one for one in lost if one.reason == "quota"]
    # Segments are freed from the front while this reads; that is no damage.
    damage = [one for one in lost if one.reason not in ("quota", "freed")]
    return Verified(total, by_class, first, last, dropped, damage, odd)


def _gather(reader: Reader, lost: list[Lost]) -> None:
    for one in reader.lost:
        add_lost(lost, one)
    reader.lost.clear()


def _tail(first_id: int, last_id: int, last: Record | None, end_ns: int) -> Lost:
    why = "the mark says that it was durable, and the end of the journal does not have it"
    after_ns = last.time_ns if last else 0
    return Lost(first_id, last_id, why, "cut", last_id - first_id + 1, after_ns, end_ns)
