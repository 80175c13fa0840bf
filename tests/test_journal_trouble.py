"""The journal's readers and housekeeping when the disk or a file is not as it should be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hub.journal import Class, Journal, Kept, Kind, Reader
from hub.journal.files import Cursor, identity, segments
from hub.journal.record import SEGMENT_HEADER, pack

DRAFT = (1_700_000_000_000_000_000, int(Kind.READINGS), int(Class.POLLED))


def add(journal: Journal, *payloads: bytes) -> tuple[int, int]:
    return journal.append([(*DRAFT, payload) for payload in payloads])


def spoil(path: Path, at: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def test_what_a_failed_append_took_back_is_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, now_ns=1)
    reader = Reader(tmp_path)
    add(journal, b"durable")
    found: list[bytes] = []

    def sync_fails(_handle: int) -> None:
        found.extend(r.payload for r in reader.read())  # it sees the bytes that will be cut
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", sync_fails)
        with pytest.raises(OSError, match="No space"):
            add(journal, b"taken back")
    add(journal, b"in its place")
    found.extend(r.payload for r in reader.read())
    assert found == [b"durable", b"in its place"]
    reader.close()
    journal.close()


def test_a_cursor_is_rewritten_in_place_and_a_torn_one_frees_nothing(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "engine")
    assert cursor.get() == 0
    cursor.set(999)
    file = tmp_path / "cursors" / "engine"
    before = file.stat()
    cursor.set(1_000_000)
    assert cursor.get() == 1_000_000
    after = file.stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert list(file.parent.iterdir()) == [file]
    spoil(file, 13)
    assert cursor.get() == 0


def small(folder: Path, **more: object) -> Journal:
    return Journal(folder, now_ns=1, segment_bytes=2048, **more)  # type: ignore[arg-type]


def test_segments_with_a_spoiled_header_are_freed_like_others(tmp_path: Path) -> None:
    journal = small(tmp_path, cursors=("engine",))
    for n in range(60):
        add(journal, bytes([n]) * 80)
    many = len(segments(tmp_path))
    spoil(segments(tmp_path)[1][1])
    Cursor(tmp_path, "engine").set(60)
    assert journal.keep_house().freed == many - 1
    journal.close()


def test_a_segment_that_is_just_being_created_is_left_to_the_next_round(tmp_path: Path) -> None:
    journal = small(tmp_path, cursors=("engine",))
    add(journal, b"x")
    Cursor(tmp_path, "engine").set(1)
    (tmp_path / f"{2:020d}.seg").write_bytes(b"")
    assert journal.keep_house() == Kept()
    assert len(segments(tmp_path)) == 2
    journal.close()


def test_a_spoiled_first_header_does_not_make_a_quota_look_used_up(tmp_path: Path) -> None:
    quotas = {Class.POLLED: 20_000}
    journal = small(tmp_path, quotas=quotas, cursors=("engine",))
    for n in range(400):
        add(journal, b"x" * 80)
        if n % 40 == 39:
            Cursor(tmp_path, "engine").set(journal.last_id - 20)
            journal.keep_house()
    assert journal.room(Class.POLLED)
    journal.close()
    spoil(segments(tmp_path)[0][1])
    journal = small(tmp_path, quotas=quotas, cursors=("engine",))
    assert journal.room(Class.POLLED)
    assert journal.used(Class.POLLED) < 8000
    journal.close()


def test_a_reader_goes_on_behind_a_segment_that_is_gone_and_names_its_ids(tmp_path: Path) -> None:
    journal = small(tmp_path)
    for n in range(60):
        add(journal, bytes([n]) * 80)
    (first, _), (second, gone), (third, _), *_ = segments(tmp_path)
    assert first == 1
    gone.unlink()
    reader = Reader(tmp_path)
    ids = []
    while records := reader.read(500):
        ids += [r.id for r in records]
    assert ids == [*range(1, second), *range(third, 61)]
    assert [(lost.first_id, lost.last_id) for lost in reader.lost] == [(second, third - 1)]
    reader.close()
    journal.close()


def test_every_journal_has_a_name_of_its_own_that_stays(tmp_path: Path) -> None:
    one = identity(tmp_path / "a")
    assert len(one) == 16
    assert identity(tmp_path / "a") == one
    assert identity(tmp_path / "b") != one
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["identity"]
    assert SEGMENT_HEADER == 64


def test_an_id_that_a_reader_is_done_with_is_never_given_again(tmp_path: Path) -> None:
    """Otherwise that reader would pass over the new record, and it would be lost silently."""
    journal = small(tmp_path, cursors=("engine", "forward"))
    add(journal, *[b"x" * 80] * 5)
    journal.close()
    Cursor(tmp_path, "engine").set(5)
    Cursor(tmp_path, "forward").set(4)
    for _, path in segments(tmp_path):
        path.unlink()
    (tmp_path / "mark").unlink()
    journal = small(tmp_path, cursors=("engine", "forward"))
    assert journal.lost is not None
    assert journal.lost[:2] == (5, 5), "what both had read is not lost"
    assert add(journal, b"next") == (6, 6)
    journal.close()


def test_what_a_failed_append_left_behind_a_segment_is_passed_over(tmp_path: Path) -> None:
    """A power cut may bring back what was cut off before the log went on in the next file."""
    journal = small(tmp_path)
    for n in range(40):
        add(journal, b"%02d" % n + bytes(80))
    journal.close()
    first, path = segments(tmp_path)[0]
    following = segments(tmp_path)[1][0]
    stale = pack(following, 1, int(Kind.READINGS), int(Class.POLLED), b"never acknowledged")
    path.write_bytes(path.read_bytes() + stale)
    reader = Reader(tmp_path)
    found = {r.id: r.payload for records in iter(reader.read, []) for r in records}
    assert list(found) == list(range(first, 41))
    assert found[following].startswith(b"%02d" % (following - 1))
    assert reader.lost == []
    reader.close()
