"""Take the polled records out of a closed segment, so that the oldest are dropped first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from hub.journal.files import sync_folder
from hub.journal.record import (
    GAP,
    GAP_BYTES,
    SEGMENT_HEADER,
    Class,
    Gap,
    SegmentHeader,
    Spoiled,
    pack_gap,
    pack_segment,
    stretches,
    unpack_segment,
)


class Thinned(NamedTuple):
    data: bytes
    gaps: list[Gap]


def thin(data: bytes, first_id: int) -> Thinned:
    """A segment without its polled records: each run of them becomes one gap.

    Everything else stays as it is, to the byte, also what is spoiled. A run that is no longer
    than the gap would be stays too.
    """
    parts: list[bytes] = [_header(data, first_id)]
    gaps: list[Gap] = []
    kept = SEGMENT_HEADER  # everything before it is in `parts`
    run: Gap | None = None
    start = end = SEGMENT_HEADER

    def close_run() -> None:
        nonlocal kept, run
        if run is not None and end - start > GAP_BYTES:
            parts.append(data[kept:start])
            parts.append(pack_gap(run))
            gaps.append(run)
            kept = end
        run = None

    for part in stretches(data, SEGMENT_HEADER):
        head = part.head
        polled = head is not None and head.klass == Class.POLLED and head.kind != GAP
        if head is None or not polled or part.end > len(data):
            close_run()
        elif run is not None and head.id == run.last_id + 1:
            run, end = run._replace(last_id=head.id, last_ns=head.time_ns), part.end
        else:
            close_run()
            run = Gap(head.id, head.id, head.time_ns, head.time_ns)
            start, end = part.start, part.end
    close_run()
    parts.append(data[kept:])
    return Thinned(b"".join(parts), gaps)


def _header(data: bytes, first_id: int) -> bytes:
    try:
        header = unpack_segment(data)
    except Spoiled:
        header = SegmentHeader(first_id, 0, (0, 0, 0))
    return pack_segment(header._replace(thinned=True))


def thin_file(path: Path) -> Thinned:
    """Replace a closed segment by its thinned self; killed at any instruction, one of both stands.

    Whoever has the old file open reads on in it. Raises OSError; the old file then stands.
    """
    found = thin(path.read_bytes(), int(path.stem))
    fresh = path.with_suffix(".thin")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    try:
        try:
            write_all(handle, found.data, 0)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    fresh.rename(path)
    sync_folder(path.parent)
    return found


def write_all(handle: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        count = os.pwrite(handle, view, offset)
        view, offset = view[count:], offset + count
