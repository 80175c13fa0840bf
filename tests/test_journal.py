"""The journal keeps what it said it kept, and names what it lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.journal import Class, Journal, Kept, Kind, Locked, OtherFormat, Reader
from hub.journal.files import Cursor, segments
from hub.journal.record import RECORD_HEADER, SEGMENT_HEADER

DRAFT = (1_700_000_000_000_000_000, int(Kind.READINGS), int(Class.POLLED))


def open_journal(folder: Path, **more: object) -> Journal:
    return Journal(folder, now_ns=1, segment_bytes=2048, **more)  # type: ignore[arg-type]


def add(journal: Journal, *payloads: bytes) -> tuple[int, int]:
    return journal.append([(*DRAFT, payload) for payload in payloads])


def everything(
    folder: Path, after: int = 0
) -> tuple[list[tuple[int, bytes]], list[tuple[int, int]]]:
    reader = Reader(folder, after)
    found = []
    while records := reader.read(300):
        found += [(record.id, record.payload) for record in records]
    lost = [(lost.first_id, lost.last_id) for lost in reader.lost]
    reader.close()
    return found, lost


def test_what_was_appended_is_read_in_order_over_many_segments(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    payloads = [bytes([n]) * (n % 60) for n in range(200)]
    for start in range(0, 200, 7):
        add(journal, *payloads[start : start + 7])
    journal.close()
    assert len(segments(tmp_path)) > 3
    assert everything(tmp_path) == (list(enumerate(payloads, 1)), [])
    assert everything(tmp_path, after=150)[0][0] == (151, payloads[150])


def test_a_reader_waits_at_the_end_and_goes_on_when_there_is_more(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    reader = Reader(tmp_path)
    assert reader.read() == []
    add(journal, b"a")
    assert [r.payload for r in reader.read()] == [b"a"]
    assert reader.read() == []
    for n in range(100):
        add(journal, b"x" * 50)
        assert [r.id for r in reader.read()] == [n + 2]
    journal.close()
    reader.close()


def test_readers_see_nothing_above_the_mark(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    add(journal, b"safe", b"not yet")
    journal._mark.set(1, 1)
    assert everything(tmp_path)[0] == [(1, b"safe")]
    journal.close()


@given(cut=st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_a_torn_tail_is_cut_and_what_the_mark_promised_is_named(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("torn")
    journal = open_journal(folder)
    for n in range(10):
        add(journal, bytes([n]) * 20)
    journal.close()
    last = segments(folder)[-1][1]
    record = RECORD_HEADER + 20
    os.truncate(last, max(SEGMENT_HEADER, last.stat().st_size - cut))
    kept = max(0, 10 - -(-cut // record))
    journal = open_journal(folder)
    assert journal.lost is not None
    assert journal.lost[:2] == (kept + 1, 10)
    assert journal.lost.records == 10 - kept
    assert journal.lost.before_ns == DRAFT[0], "the mark knows the last one's time"
    assert add(journal, b"next") == (11, 11), "an id is never given twice"
    journal.close()
    found, lost = everything(folder)
    assert [number for number, _ in found] == [*range(1, kept + 1), 11]
    assert lost == [(kept + 1, 10)]


@given(at=st.integers(0, 10 * (RECORD_HEADER + 20) - 1), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_costs_its_record_alone_and_is_named(
    tmp_path_factory: pytest.TempPathFactory, at: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flip")
    journal = open_journal(folder)
    add(journal, *[bytes([n]) * 20 for n in range(10)])
    journal.close()
    path = segments(folder)[0][1]
    data = bytearray(path.read_bytes())
    data[SEGMENT_HEADER + at] ^= 1 << bit
    path.write_bytes(data)
    hurt = at // (RECORD_HEADER + 20) + 1
    journal = open_journal(folder)
    add(journal, b"after")
    journal.close()
    found, lost = everything(folder)
    assert [number for number, _ in found] == [n for n in range(1, 12) if n != hurt]
    assert lost == [(hurt, hurt)]


def test_a_failed_append_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(tmp_path)
    add(journal, b"before")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space"):
            add(journal, b"lost", b"lost too")
    assert journal.last_id == 1
    assert everything(tmp_path)[0] == [(1, b"before")]
    add(journal, b"after")
    journal.close()
    assert everything(tmp_path) == ([(1, b"before"), (2, b"after")], [])
    journal = open_journal(tmp_path)
    assert journal.lost is None
    journal.close()


def test_only_segments_that_every_cursor_has_passed_are_freed(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, cursors=("engine", "forward"))
    for n in range(60):
        add(journal, bytes([n]) * 80)
    first_ids = [first for first, _ in segments(tmp_path)]
    Cursor(tmp_path, "engine").set(60)
    assert journal.keep_house() == Kept(), "forward has read nothing yet"
    Cursor(tmp_path, "forward").set(first_ids[2] - 1)
    used = journal.used(Class.POLLED)
    assert journal.keep_house().freed == 2
    assert [first for first, _ in segments(tmp_path)] == first_ids[2:]
    assert journal.used(Class.POLLED) < used
    journal.close()
    found, lost = everything(tmp_path, after=first_ids[2] - 1)
    assert [number for number, _ in found] == list(range(first_ids[2], 61))
    assert lost == []


def test_the_bytes_of_a_class_are_counted_through_freeing_and_reopening(tmp_path: Path) -> None:
    journal = open_journal(tmp_path, quotas={Class.POLLED: 4000}, cursors=("engine",))
    assert journal.room(Class.POLLED)
    while journal.room(Class.POLLED):
        add(journal, b"x" * 80)
    assert journal.used(Class.POLLED) >= 4000
    assert journal.room(Class.ACKNOWLEDGED)
    journal.close()
    journal = open_journal(tmp_path, quotas={Class.POLLED: 4000}, cursors=("engine",))
    assert not journal.room(Class.POLLED)
    Cursor(tmp_path, "engine").set(journal.last_id)
    journal.keep_house()
    assert journal.room(Class.POLLED)
    journal.close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    with pytest.raises(Locked):
        open_journal(tmp_path)
    journal.close()


@pytest.mark.parametrize("version", [1, 99])
def test_another_format_is_refused_and_left_alone(tmp_path: Path, version: int) -> None:
    journal = open_journal(tmp_path)
    add(journal, b"x")
    journal.close()
    path = segments(tmp_path)[0][1]
    data = bytearray(path.read_bytes())
    data[8] = version
    data[60:64] = crc32(data[:60]).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(OtherFormat, match=f"has format {version}"):
        open_journal(tmp_path)
    assert path.read_bytes() == data


def test_a_segment_whose_header_never_reached_the_disk_is_set_aside(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    add(journal, b"kept")
    journal.close()
    (tmp_path / f"{2:020d}.seg").write_bytes(b"\0" * 10)
    journal = open_journal(tmp_path)
    assert add(journal, b"next") == (2, 2)
    journal.close()
    assert everything(tmp_path) == ([(1, b"kept"), (2, b"next")], [])
    assert list(tmp_path.glob("*.spoiled"))
