"""A disk that is really full: a small tmpfs, as the kernel gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.committer import Committer, Receipt
from hub.health import Health
from hub.journal import Class, Journal, Kind, Reader
from hub.journal.files import Cursor
from tests.disk_support import small_disk

CURSORS = ("engine", "forward")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """One MiB."""
    with small_disk(tmp_path / "disk", 1) as where:
        yield where


def submit(committer: Committer, klass: Class, payload: bytes) -> Receipt:
    return committer.submit([(1, int(Kind.ACT), int(klass), payload)], klass)


def fill(journal: Journal) -> None:
    while True:
        journal.append([(1, int(Kind.ACT), int(Class.ACT), bytes(5000))])


def everything(folder: Path) -> list[tuple[int, bytes]]:
    reader = Reader(folder)
    found = [(r.id, r.payload) for records in iter(reader.read, []) for r in records]
    assert all(lost.reason == "freed" for lost in reader.lost)
    reader.close()
    return found


async def test_what_meets_a_full_disk_waits_and_is_written_when_there_is_space(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.committer.RETRY_S", (0.005, 0.05))
    folder = disk / "journal"
    journal = Journal(folder, now_ns=1, segment_bytes=64 * 1024, cursors=CURSORS)
    for name in CURSORS:
        Cursor(folder, name).set(0)
    committer = Committer(journal, Health())
    task = asyncio.create_task(committer.run())
    sent: list[bytes] = []
    receipts: list[Receipt] = []
    async with asyncio.timeout(20):
        while not committer.trouble:
            sent.append(b"%06d" % len(sent) + bytes(8000))
            receipts.append(submit(committer, Class.ACKNOWLEDGED, sent[-1]))
            await asyncio.sleep(0.002)
        assert "No space left" in committer.trouble
        waiting = [receipt for receipt in receipts if receipt.pending()]
        assert waiting
        assert everything(folder) == list(enumerate(sent[: -len(waiting)], 1))
        beats = 0
        while beats < 20:  # keep-alives go on
            await asyncio.sleep(0.002)
            beats += 1
        assert all(receipt.pending() for receipt in waiting), "nobody is told that it failed"
        half = journal.last_id // 2
        for name in CURSORS:
            Cursor(folder, name).set(half)
        assert journal.keep_house().freed
        ids = [await receipt for receipt in receipts]
    assert ids == list(range(1, len(sent) + 1))
    assert committer.trouble == ""
    found = everything(folder)
    assert found == list(enumerate(sent, 1))[-len(found) :]
    assert len(found) >= len(sent) - half
    committer.close()
    await task
    journal.close()


def test_a_journal_opens_and_frees_on_a_full_disk(disk: Path) -> None:
    folder = disk / "journal"
    journal = Journal(folder, now_ns=1, segment_bytes=64 * 1024, cursors=CURSORS)
    for name in CURSORS:
        Cursor(folder, name).set(0)
    with pytest.raises(OSError, match="No space"):
        fill(journal)
    last_id = journal.last_id
    journal.close()
    journal = Journal(
        folder, now_ns=1, segment_bytes=64 * 1024, cursors=CURSORS, free_bytes=1 << 40
    )
    assert (journal.last_id, journal.lost, journal.repaired) == (last_id, None, [])
    journal.keep_house()
    assert not journal.room(Class.ACKNOWLEDGED)
    for name in CURSORS:
        Cursor(folder, name).set(last_id)
    assert journal.keep_house().freed > 10
    journal.keep_house()
    assert journal.room(Class.ACKNOWLEDGED)
    assert journal.append([(1, int(Kind.ACT), int(Class.ACT), b"x")]) == (last_id + 1, last_id + 1)
    journal.close()
