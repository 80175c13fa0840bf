"""Each class has its room; what must go is the oldest, and it is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hub.journal import Class, Journal, Kept, Kind, Reader
from hub.journal.files import Cursor, segments
from hub.journal.record import SEGMENT_HEADER, Gap, pack, stretches
from hub.journal.thinning import thin

NS = 1_000_000_000
QUOTAS = {int(Class.ACKNOWLEDGED): 6000, int(Class.POLLED): 6000, int(Class.ACT): 1000}


def small(folder: Path, **more: object) -> Journal:
    given = {"now_ns": 1, "segment_bytes": 2048, "quotas": QUOTAS, "cursors": ("engine",), **more}
    return Journal(folder, **given)  # type: ignore[arg-type]


def add(journal: Journal, klass: Class, number: int = 1, size: int = 80) -> None:
    """Records whose time in seconds is their id."""
    for _ in range(number):
        record_id = journal.last_id + 1
        payload = b"%d " % record_id + bytes(size)
        journal.append([(record_id * NS, int(Kind.READINGS), int(klass), payload)])


def ids(reader: Reader) -> list[int]:
    return [record.id for batch in iter(reader.read, []) for record in batch]


def test_polled_records_go_oldest_first_and_readers_name_them(tmp_path: Path) -> None:
    journal = small(tmp_path)
    for _ in range(100):
        add(journal, Class.POLLED)
        if journal.last_id % 10 == 0:
            add(journal, Class.ACKNOWLEDGED)
        assert journal.room(Class.POLLED), "room is made by dropping older ones"
        kept = journal.keep_house()
    assert journal.used(Class.POLLED) <= QUOTAS[Class.POLLED]
    reader = Reader(tmp_path)
    found = ids(reader)
    (lost,) = reader.lost
    polled = [n for n in range(1, journal.last_id + 1) if n % 10 != 1 or n == 1]
    missing = sorted(set(range(1, journal.last_id + 1)) - set(found))
    assert missing
    assert missing == polled[: len(missing)], "the oldest, and polled ones only"
    assert (lost.reason, lost.first_id, lost.last_id) == ("quota", missing[0], missing[-1])
    assert lost.records == len(missing)
    assert lost.before_ns == missing[-1] * NS
    assert "dropped, oldest first" in str(lost)
    assert f"{len(missing)} of ids 1 to {missing[-1]}" in str(lost)
    reader.close()
    journal.close()
    assert kept.freed == 0


def test_what_was_dropped_is_told_once_and_without_what_readers_had(tmp_path: Path) -> None:
    journal = small(tmp_path)
    add(journal, Class.POLLED, 30)
    Cursor(tmp_path, "engine").set(5)
    add(journal, Class.POLLED, 50)
    kept = journal.keep_house()
    assert kept.thinned >= 1
    assert kept.dropped[0][0] == 6, "the cursor was at 5"
    assert kept.records() == kept.dropped[-1].last_id - 5
    assert kept.dropped[-1].last_ns == kept.dropped[-1].last_id * NS
    assert journal.keep_house() == Kept()
    journal.close()


def test_no_class_uses_up_anothers_room(tmp_path: Path) -> None:
    journal = small(tmp_path)
    while journal.room(Class.ACKNOWLEDGED):
        add(journal, Class.ACKNOWLEDGED)
    assert journal.room(Class.POLLED)
    while journal.room(Class.POLLED):  # no housekeeping comes round
        add(journal, Class.POLLED)
    assert journal.room(Class.ACT), "acts have a reserve"
    while journal.room(Class.ACT):
        add(journal, Class.ACT)
    journal.keep_house()
    assert [journal.room(klass) for klass in Class] == [False, True, False]
    journal.close()


def test_the_open_segment_is_closed_early_where_it_alone_is_over_the_quota(tmp_path: Path) -> None:
    journal = small(tmp_path, segment_bytes=1_000_000)
    add(journal, Class.POLLED, 60)
    assert len(segments(tmp_path)) == 1
    assert journal.keep_house().thinned == 0
    add(journal, Class.POLLED)
    assert len(segments(tmp_path)) == 2
    assert journal.keep_house().records() == 60
    add(journal, Class.POLLED, 10)
    journal.keep_house()
    assert len(segments(tmp_path)) == 2, "not for every few records"
    journal.close()


def test_bytes_are_counted_alike_before_and_after_opening_again(tmp_path: Path) -> None:
    journal = small(tmp_path)
    for klass in (Class.POLLED, Class.ACKNOWLEDGED, Class.POLLED) * 30:
        add(journal, klass)
    journal.keep_house()
    Cursor(tmp_path, "engine").set(30)
    kept = journal.keep_house()
    assert kept.freed
    used = [journal.used(klass) for klass in Class]
    journal.close()
    files = sum(path.stat().st_size - SEGMENT_HEADER for _, path in segments(tmp_path))
    assert sum(used) == files
    journal = small(tmp_path)
    assert [journal.used(klass) for klass in Class] == used
    journal.close()


def test_a_reader_in_a_segment_that_is_thinned_reads_on(tmp_path: Path) -> None:
    journal = small(tmp_path)
    add(journal, Class.POLLED, 60)
    reader = Reader(tmp_path)
    first = [record.id for record in reader.read(300)]
    assert journal.keep_house().thinned
    rest = ids(reader)
    assert first == [1, 2]
    held = segments(tmp_path)[1][0] - 1
    assert rest[: held - 2] == list(range(3, held + 1)), "it still has the old file"
    reader.close()
    journal.close()


def test_below_the_disks_reserve_only_acts_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = small(tmp_path, free_bytes=1 << 60)
    add(journal, Class.POLLED)
    assert journal.room(Class.POLLED)
    real = os.statvfs(tmp_path)

    def nearly_full(_path: object) -> os.statvfs_result:
        return os.statvfs_result((*real[:3], real.f_blocks // 50, real.f_blocks // 50, *real[5:]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", nearly_full)
        journal.keep_house()
        assert [journal.room(klass) for klass in Class] == [False, False, True]
    journal.keep_house()
    assert all(journal.room(klass) for klass in Class)
    journal.close()


def test_thinning_leaves_every_other_byte_as_it_is() -> None:
    polled, kept = int(Class.POLLED), int(Class.ACKNOWLEDGED)
    rows = [(1, kept), (2, polled), (3, polled), (4, kept), (5, polled)]
    records = [pack(n, n * NS, 1, klass, b"payload that is long %d" % n) for n, klass in rows]
    spoiled = bytearray(pack(6, 6 * NS, 1, kept, b"x" * 50))
    spoiled[3] ^= 1
    data = bytes(SEGMENT_HEADER) + b"".join(records) + bytes(spoiled) + records[0][:20]
    found = thin(data, 1)
    assert found.gaps == [Gap(2, 3, 2 * NS, 3 * NS), Gap(5, 5, 5 * NS, 5 * NS)]
    parts = list(stretches(found.data, SEGMENT_HEADER))
    assert [part.gap(found.data) for part in parts if part.head] == [
        None, found.gaps[0], None, found.gaps[1],
    ]  # fmt: skip
    assert found.data.endswith(bytes(spoiled) + records[0][:20])
    assert records[3] in found.data
    assert thin(found.data, 1).data == found.data, "twice is the same as once"
