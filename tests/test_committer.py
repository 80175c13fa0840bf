"""One fsync a batch; what fails is told to all who wait and to nobody else."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.api import Reading, Redelivery, Series, TryAgain
from hub.committer import Committer, Hand, Receipt
from hub.health import Health
from hub.journal import Class, Journal, Kind, Reader, Record
from hub.journal.writer import Draft
from hub.records import readings_in, wire
from hub.redelivery import Window


class Disk(Journal):
    """A real journal whose appends can be held up and made to fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, now_ns=1)
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.appends: list[int] = []

    def append(self, drafts: Iterable[Draft]) -> tuple[int, int]:
        drafts = list(drafts)
        self.appends.append(len(drafts))
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        return super().append(drafts)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Committer, Disk, Health]]:
    disk, health = Disk(folder), Health()
    committer = Committer(disk, health)
    task = asyncio.create_task(committer.run())
    try:
        yield committer, disk, health
    finally:
        disk.go.set()
        committer.close()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 5)
        disk.close()


def submit(committer: Committer, payload: bytes = b"x", klass: int = Class.POLLED) -> Receipt:
    return committer.submit([(1, Kind.READINGS, klass, payload)], klass)


async def begun(disk: Disk, number: int) -> None:
    """Wait until that many appends have begun."""
    async with asyncio.timeout(5):
        while len(disk.appends) < number:
            await asyncio.sleep(0.001)


def payloads(folder: Path) -> list[bytes]:
    reader = Reader(folder)
    try:
        return [record.payload for batch in iter(reader.read, []) for record in batch]
    finally:
        reader.close()


async def test_what_arrives_during_one_fsync_is_the_next_batch(tmp_path: Path) -> None:
    async with running(tmp_path) as (committer, disk, health):
        disk.go.clear()
        first = submit(committer)
        await begun(disk, 1)
        later = [submit(committer, b"%d" % n) for n in range(500)]
        assert not first.durable()
        assert len({id(r.batch) for r in later}) == 1
        disk.go.set()
        assert [await first, await later[0], await later[499]] == [1, 2, 501]
        assert disk.appends == [1, 500]
        assert health.total("journal_syncs") == 2
        assert health.total("journal_records") == 501
        assert all(r.durable() and not r.pending() for r in later)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.committer.RETRY_S", (0.001, 0.01))


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("quick")
async def test_a_short_full_disk_keeps_all_waiting_and_then_writes_all_in_order(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (committer, disk, health):
        await submit(committer, b"before")
        disk.error = full_disk()
        polled, kept = submit(committer), submit(committer, b"kept", Class.ACKNOWLEDGED)
        await begun(disk, 5)
        later = submit(committer, b"later", Class.ACKNOWLEDGED)
        assert all(receipt.pending() for receipt in (polled, kept, later))
        assert committer.trouble == "the journal can't be written: No space left on device"
        disk.error = None
        assert [await polled, await kept, await later] == [2, 3, 4]
        assert committer.trouble == ""
        assert payloads(tmp_path) == [b"before", b"x", b"kept", b"later"]
        assert health.total("dropped") == 0
        assert health.total("journal_errors") >= 3
        assert set(disk.appends) == {1, 2}, "the batch that failed was tried again as it was"


@pytest.mark.usefixtures("quick")
async def test_while_the_disk_is_full_the_event_loop_goes_on_and_memory_is_bounded(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (committer, disk, _):
        disk.error = full_disk()
        beats = 0
        while committer.room(Class.ACT):
            submit(committer, b"", Class.ACT)
            beats += 1
            if beats % 1000 == 0:
                await asyncio.sleep(0)
            assert beats < 1_000_000
        assert not committer.room(Class.POLLED)
        with pytest.raises(TryAgain, match="no room for ACT"):
            await submit(committer, b"", Class.ACT)
        before = len(disk.appends)
        await begun(disk, before + 2)
        disk.error = None


@pytest.mark.usefixtures("quick")
async def test_a_hub_that_ends_on_a_full_disk_tries_once_more_and_tells_all_who_wait(
    tmp_path: Path,
) -> None:
    disk, health = Disk(tmp_path), Health()
    committer = Committer(disk, health)
    task = asyncio.create_task(committer.run())
    disk.error = full_disk()
    polled, kept = submit(committer), submit(committer, klass=Class.ACKNOWLEDGED)
    await begun(disk, 3)
    queued = submit(committer, klass=Class.ACKNOWLEDGED)
    committer.close()
    await asyncio.wait_for(task, 5)
    for receipt in (polled, kept, queued):
        with pytest.raises(TryAgain, match="No space left on device"):
            await receipt
        assert not receipt.durable()
    assert health.by("dropped", "reason") == {"journal_write_failed": 1}, (
        "what its source keeps is not lost"
    )
    assert payloads(tmp_path) == []
    disk.close()


async def test_one_waiter_that_is_cancelled_cancels_no_other(tmp_path: Path) -> None:
    async with running(tmp_path) as (committer, disk, _):
        disk.go.clear()
        receipts = [submit(committer) for _ in range(3)]

        async def wait(receipt: Receipt) -> int:
            return await receipt

        waiters = [asyncio.create_task(wait(receipt)) for receipt in receipts]
        await begun(disk, 1)
        waiters[1].cancel()
        await asyncio.sleep(0)
        disk.go.set()
        one, two, three = await asyncio.gather(*waiters, return_exceptions=True)
        assert (one, three) == (1, 3)
        assert isinstance(two, asyncio.CancelledError)
        assert receipts[1].durable(), "it was written all the same"


async def test_closing_writes_what_was_queued_and_refuses_what_comes_later(tmp_path: Path) -> None:
    disk, health = Disk(tmp_path), Health()
    committer = Committer(disk, health)
    queued = [submit(committer, b"%d" % n) for n in range(3)]
    empty = committer.submit([], Class.POLLED)
    committer.close()
    late = submit(committer, b"late")
    with pytest.raises(TryAgain, match="ending"):
        await late
    await asyncio.wait_for(committer.run(), 5)
    assert [await r for r in queued] == [1, 2, 3]
    await empty
    assert payloads(tmp_path) == [b"0", b"1", b"2"]
    disk.close()


async def test_closing_with_nothing_queued_ends(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    committer = Committer(disk, Health())
    committer.close()
    await asyncio.wait_for(committer.run(), 5)
    disk.close()


async def test_closing_lets_nobody_wait_for_ever_even_with_nothing_to_write(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    committer = Committer(disk, Health())
    empty = committer.submit([], Class.POLLED)
    committer.close()
    await asyncio.wait_for(committer.run(), 5)
    await asyncio.wait_for(empty.batch, 1)
    disk.close()


async def test_a_bug_in_the_writer_is_no_silence(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    committer = Committer(disk, Health())
    disk.error = RuntimeError("a bug")
    task = asyncio.create_task(committer.run())
    receipt = submit(committer)
    with pytest.raises(TryAgain, match="writer ended"):
        await receipt
    with pytest.raises(RuntimeError, match="a bug"):
        await task
    with pytest.raises(TryAgain):
        await submit(committer)
    disk.close()


async def test_while_the_disk_stands_still_memory_does_not_grow_without_end(tmp_path: Path) -> None:
    async with running(tmp_path) as (committer, disk, _):
        disk.go.clear()
        submit(committer)
        await begun(disk, 1)
        taken = 0
        while committer.room(Class.POLLED):
            submit(committer, bytes(1024 * 1024))
            taken += 1
            assert taken < 100
        with pytest.raises(TryAgain):
            await submit(committer)
        act = submit(committer, klass=Class.ACT)
        assert not act.batch.done(), "acts have a reserve"
        disk.go.set()
        await act


async def test_the_fsync_does_not_queue_behind_what_else_uses_threads(tmp_path: Path) -> None:
    busy = threading.Event()
    async with running(tmp_path) as (committer, _, _):
        blocked = [asyncio.create_task(asyncio.to_thread(busy.wait, 10)) for _ in range(64)]
        await asyncio.sleep(0.01)
        try:
            assert await asyncio.wait_for(submit(committer).batch, 3) == 1
        finally:
            busy.set()
            await asyncio.gather(*blocked)


def reading(number: int) -> Reading:
    return Reading(Series.of("environment", "aq1"), number, {"pm25": float(number)})


def message(committer: Committer, number: int, collector: str = "mqtt") -> Receipt:
    again = Redelivery("main/hub", number + 1, number)
    hand = Hand(collector, [wire(reading(number))], again, 1000 + number, 40)
    return committer.submit([hand], Class.ACKNOWLEDGED)


async def test_messages_that_wait_for_one_fsync_share_records_and_keep_their_order(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (committer, _, _health):
        for number in range(150):
            message(committer, number)
        act = committer.submit([(1200, Kind.ACT, Class.ACT, b"\x80")], Class.ACT)
        last = [message(committer, number) for number in range(150, 152)]
        assert await act == 4, "acts are told their record's id"
        assert [await receipt for receipt in last] == [5, 5]
    reader = Reader(tmp_path)
    records = reader.read()
    reader.close()
    times = [(record.kind, record.time_ns) for record in records]
    assert times[:3] == [(Kind.READINGS, 1063), (Kind.READINGS, 1127), (Kind.READINGS, 1149)]
    assert times[3:] == [(Kind.ACT, 1200), (Kind.READINGS, 1151)]
    assert all(r.time_ns <= record.time_ns for record in records for r in _readings(record))
    assert [r for record in records for r in _readings(record)] == [reading(n) for n in range(152)]
    window = Window()
    assert window.load(tmp_path, 5) == 152
    assert window.taken(Redelivery("main/hub", 100, 99))


async def test_a_record_holds_messages_of_one_collector(tmp_path: Path) -> None:
    async with running(tmp_path) as (committer, _, _health):
        receipts = [message(committer, n, "mqtt" if n < 2 else "lora") for n in range(4)]
        assert [await receipt for receipt in receipts] == [1, 1, 2, 2]


async def test_many_messages_that_wait_take_no_more_memory_than_is_allowed(tmp_path: Path) -> None:
    async with running(tmp_path) as (committer, disk, _health):
        disk.go.clear()
        message(committer, 0)
        await begun(disk, 1)
        taken = 0
        while committer.room(Class.ACKNOWLEDGED):
            message(committer, taken)
            taken += 1
            assert taken < 100_000
        with pytest.raises(TryAgain, match="no room"):
            await message(committer, 0)


async def test_the_redelivery_window_looks_back_by_messages_not_by_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.redelivery.CAPACITY", 100)
    async with running(tmp_path) as (committer, _, _health):
        for number in range(50):
            await message(committer, number)
        for number in range(50, 1050):
            message(committer, number)
        for number in range(1050, 1060):
            await message(committer, number)
    window = Window()
    reader = Reader(tmp_path)
    assert window.load(tmp_path, reader.backlog()) >= 100
    reader.close()
    known = [n for n in range(1060) if window.taken(Redelivery("main/hub", n + 1, n))]
    assert known[-100:] == list(range(960, 1060))


def _readings(record: Record) -> list[Reading]:
    return readings_in(record.payload) if record.kind == Kind.READINGS else []
