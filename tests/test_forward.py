"""From the journal to the store: in order, each once, whatever the store does."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from hub import forward as module
from hub.forward import Forwarder
from hub.health import Health
from hub.journal import Class, Journal, Kind
from hub.journal.files import Cursor, identity
from hub.ledger import of_journal
from hub.outcome import Outcome
from hub.reading import Reading, Series
from hub.records import pack_readings
from hub.store.base import Batch, Store, StoreDown, StoreRefused, Written
from hub.store.duckdb import DuckStore
from hub.store.query import Query, SeriesRows

AIR = Series.of("environment", "aq1")
ALERT = Series.of("alert", "aq1", rule="pm")
T0 = 1_750_000_000_000_000_000


class Fake:
    """A store that does what the test says; it remembers last ids as DuckDB does."""

    name = "fake"

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.prepared: list[int] = []
        """Last ids."""
        self.last: dict[str, int] = {}
        self.errors: list[Exception] = []
        self.attempts = 0
        self.reject: Callable[[Reading], str | None] = lambda _reading: None
        self.hold = asyncio.Event()
        self.hold.set()
        self.commits_when_cancelled = False

    async def open(self) -> None:
        self._fail()

    async def close(self) -> None: ...

    def _fail(self) -> None:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)

    async def prepare(self, batch: Batch) -> Batch:
        self.prepared.append(batch.last_id)
        return batch

    async def write(self, batch: Batch) -> Written:
        self._fail()
        if batch.last_id <= self.last.get(batch.lane, 0):
            return Written()
        rejected = {index: why for index, r in enumerate(batch.readings) if (why := self.reject(r))}
        if self.commits_when_cancelled:
            self._take(batch)
        await self.hold.wait()
        if not self.commits_when_cancelled:
            self._take(batch)
        return Written(rejected)

    def _take(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.last[batch.lane] = batch.last_id

    async def query(self, query: Query) -> list[SeriesRows]:
        raise NotImplementedError

    async def last_id(self, lane: str) -> int:
        return self.last.get(lane, 0)

    def values(self, lane: str = "live") -> list[Any]:
        return [
            next(iter(r.fields.values()))
            for batch in self.batches
            if batch.lane.startswith(lane)
            for r in batch.readings
        ]


class World:
    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(folder / "journal", now_ns=T0)
        self.ledger = of_journal(folder / "serve.db", identity(folder / "journal"))
        self.store: Any = store if store is not None else Fake()
        self.health = Health()
        self.parked_path = folder / "parked.jsonl"
        self.number = 0

    def forwarder(self, batch: int = 1000, linger_s: float = 0.0) -> Forwarder:
        return Forwarder(
            self.store,
            self.folder / "journal",
            self.ledger,
            self.health,
            batch=batch,
            linger_s=linger_s,
            parked=self.parked_path,
            now=lambda: T0,
        )

    def add(self, count: int, payload: bytes | None = None) -> None:
        for _ in range(count):
            self.number += 1
            reading = Reading(AIR, T0 + self.number, {"pm25": float(self.number)})
            given = pack_readings("mqtt", [reading]) if payload is None else payload
            self.journal.append([(T0, Kind.READINGS, Class.ACKNOWLEDGED, given)])

    def alert(self, *numbers: int) -> None:
        points = [Reading(ALERT, T0 + n, {"active": n}) for n in numbers]
        self.ledger.commit(Outcome(points=points), lambda *_: None)

    def parked(self) -> list[dict[str, Any]]:
        if not self.parked_path.exists():
            return []
        return [msgspec.json.decode(line) for line in self.parked_path.read_bytes().splitlines()]

    def close(self) -> None:
        self.ledger.close()
        self.journal.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", (0.01, 0.05))
    monkeypatch.setattr(module, "POLL_S", 0.005)


@asynccontextmanager
async def running(forwarder: Forwarder) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(forwarder.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(test: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not test():
            await asyncio.sleep(0.003)


def count(last: int, first: int = 1) -> list[float]:
    return [float(n) for n in range(first, last + 1)]


async def test_everything_arrives_in_order_and_the_cursor_follows(world: World) -> None:
    world.add(500)
    world.journal.append([(T0, Kind.TICK, Class.ACT, b"")])
    forwarder = world.forwarder(batch=50)
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 501)
        world.add(5)
        await until(lambda: forwarder.stored_id == 506)
    assert world.store.values() == count(505)
    assert Cursor(world.folder / "journal", "forward").get() == 506
    ids = [batch.last_id for batch in world.store.batches]
    assert ids == sorted(set(ids)), "no two batches have one last id"
    assert world.health.total("stored") == 505


async def test_one_batch_is_prepared_while_the_one_before_is_written_and_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 1)  # a record at a time: a batch is ten
    world.store.hold.clear()
    world.add(50)
    forwarder = world.forwarder(batch=10, linger_s=60)
    async with running(forwarder):
        await until(lambda: len(world.store.prepared) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.store.prepared == [10, 20]
        assert world.store.attempts == 2, "open, and one write"
        assert forwarder.stored_id == 0
        assert Cursor(world.folder / "journal", "forward").get() == 0
        world.store.hold.set()
        await until(lambda: forwarder.stored_id == 50)
    assert world.store.values() == count(50)


async def test_a_batch_that_waits_for_the_store_is_not_overtaken_by_the_one_behind_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 1)
    world.add(30)
    forwarder = world.forwarder(batch=10, linger_s=60)
    write = world.store.write

    async def falters(batch: Batch) -> Written:
        if batch.last_id not in refused:
            refused.append(batch.last_id)
            raise StoreDown("not now")
        written: Written = await write(batch)
        return written

    refused: list[int] = []
    monkeypatch.setattr(world.store, "write", falters)
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 30)
    assert refused == [10, 20, 30]
    assert world.store.values() == count(30)


async def test_what_can_not_be_prepared_is_parked_and_the_next_ones_are_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def prepare(batch: Batch) -> Batch:
        if batch.readings[0].fields["pm25"] == 1:
            raise IndexError("a mistake of ours")
        return batch

    write = world.store.write

    async def prepares_itself(batch: Batch) -> Written:
        written: Written = await write(await prepare(batch))
        return written

    monkeypatch.setattr(module, "READ_BYTES", 1)
    monkeypatch.setattr(world.store, "prepare", prepare)
    monkeypatch.setattr(world.store, "write", prepares_itself)
    world.add(3)
    forwarder = world.forwarder(batch=1)
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 3)
    assert world.store.values() == [2.0, 3.0]
    assert "a mistake of ours" in world.parked()[0]["reason"]


async def test_while_the_store_is_down_two_batches_are_held_and_then_all_arrives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.log, "error", lambda event, **_: said.append(event))
    monkeypatch.setattr(module.log, "info", lambda event, **_: said.append(event))
    world.store.errors = [StoreDown("connection refused") for _ in range(20)]
    world.add(100)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: world.store.attempts > 5)
        assert forwarder.down_since_ns == T0
        assert forwarder.why == "connection refused"
        world.add(100)
        await until(lambda: forwarder.stored_id == 200)
        assert forwarder.down_since_ns is None
    assert world.store.values() == count(200)
    assert said == ["store does not take readings, keeping them", "store takes readings again"]
    assert world.health.total("store_failures") == 20


async def test_a_store_that_refuses_is_asked_until_a_person_has_mended_it(world: World) -> None:
    world.store.errors = [
        PermissionError(13, "Permission denied"),
        StoreRefused("401: no such token"),
        StoreDown("not ready"),
    ]
    world.add(3)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 3)
    assert world.store.values() == count(3)
    assert world.parked() == []


async def test_a_server_s_wish_for_patience_has_an_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_WISH_S", 0.01)
    world.store.errors = [StoreDown("429", retry_after_s=86_400)]
    world.add(1)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 1)


async def test_refused_points_are_parked_with_their_reason_and_the_rest_is_stored(
    world: World,
) -> None:
    world.store.reject = lambda r: "field type conflict" if r.fields["pm25"] in (2, 4) else None
    world.add(5)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 5)
    assert world.parked() == [
        {
            "parked_ns": T0,
            "series": AIR.key,
            "time_ns": T0 + n,
            "fields": {"pm25": float(n)},
            "reason": "field type conflict",
        }
        for n in (2, 4)
    ]
    assert world.health.total("stored") == 3
    assert world.health.by("parked", "reason") == {"refused_by_store": 2}


async def test_a_record_that_can_not_be_read_is_parked_and_the_others_go_on(world: World) -> None:
    world.add(1)
    world.add(1, b"\xc1")
    world.add(1, msgspec.msgpack.encode(["mqtt", None, [["", 1, {"x": 1}, 0]]]))
    world.add(1)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 4)
    assert world.store.values() == [1.0, 4.0]
    assert [entry["id"] for entry in world.parked()] == [2, 3]
    assert world.health.by("parked", "reason") == {"undecodable": 2}


async def test_a_batch_that_the_store_s_code_fails_over_does_not_stop_the_next_ones(
    world: World,
) -> None:
    world.store.errors = []
    world.add(2)
    forwarder = world.forwarder(batch=1)
    world.store.reject = lambda r: None if r.fields["pm25"] != 1 else [][0]  # IndexError
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 2)
        world.add(1)
        await until(lambda: forwarder.stored_id == 3)
    assert 3.0 in world.store.values()
    assert "BUG in the store" in world.parked()[0]["reason"]
    assert world.health.total("store_bugs") == module.BUG_TRIES


async def test_while_nothing_can_be_parked_it_waits_and_says_why(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.reject = lambda r: "no" if r.fields["pm25"] == 1 else None
    world.add(2)
    write, full = os.write, True

    def half(handle: int, data: bytes) -> int:
        if full and data.startswith(b'{"parked'):
            write(handle, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data)

    monkeypatch.setattr(os, "write", half)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: "No space left" in forwarder.why)
        assert forwarder.stored_id == 0
        full = False
        await until(lambda: forwarder.stored_id == 2)
    assert [entry["time_ns"] for entry in world.parked()] == [T0 + 1], "no half line before it"


async def test_the_file_of_parked_points_does_not_grow_without_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PARKED_BYTES", 2000)
    world.store.reject = lambda _: "no"
    forwarder = world.forwarder(batch=1)
    async with running(forwarder):
        for _ in range(10):
            world.add(10)
            await until(lambda: forwarder.stored_id == world.number)
    size = sum(path.stat().st_size for path in world.folder.glob("parked*"))
    assert size < 2 * 2000 + 2000
    assert sorted(p.name for p in world.folder.glob("parked*"))[-1] == "parked.jsonl.1"


@pytest.mark.parametrize("committed", [False, True])
async def test_ended_in_the_middle_of_a_write_it_goes_on_without_gap_or_repetition(
    world: World, committed: bool
) -> None:
    world.add(10)
    world.store.hold.clear()
    world.store.commits_when_cancelled = committed
    async with running(world.forwarder()):
        await until(lambda: world.store.attempts >= 2)
        await asyncio.sleep(0.02)
    world.store.hold.set()
    world.add(5)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 15)
    assert world.store.values() == count(15)


async def test_a_full_disk_under_the_cursor_or_the_ledger_does_not_end_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = True
    stored = world.ledger.stored

    def no_space(*_: Any) -> None:
        if failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(points: Any) -> None:
        if failing:
            raise sqlite3.OperationalError("database or disk is full")
        stored(points)

    monkeypatch.setattr(Cursor, "set", no_space)
    monkeypatch.setattr(world.ledger, "stored", full)
    world.add(3)
    world.alert(1, 2)
    forwarder = world.forwarder()
    async with running(forwarder) as task:
        await until(lambda: forwarder.stored_id == 3 and "disk is full" in forwarder.why)
        assert not task.done()
        failing = False
        await until(lambda: not world.ledger.points(10))
    assert world.store.values("alerts") == [1, 2]


async def test_alert_points_have_a_lane_of_their_own_and_are_forgotten_when_stored(
    world: World,
) -> None:
    world.alert(1, 2, 3)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: not world.ledger.points(10))
        world.alert(4)
        await until(lambda: not world.ledger.points(10))
    assert world.store.values("alerts") == [1, 2, 3, 4]
    assert world.health.by("stored", "lane") == {"alerts": 4}


# the real DuckDB


def rows(folder: Path, measurement: str, field: str) -> list[Any]:
    with duckdb.connect(str(folder / "readings.duckdb"), read_only=True) as db:
        found = db.execute(f"SELECT {field} FROM {measurement} ORDER BY time").fetchall()
    return [value for (value,) in found]


async def drain(world: World) -> None:
    """Run until journal and ledger are in the DuckDB file; then end as a process does."""
    world.store = DuckStore(world.folder / "readings.duckdb")
    forwarder = world.forwarder(batch=7)
    try:
        async with running(forwarder):
            await until(
                lambda: forwarder.stored_id >= world.journal.last_id and not world.ledger.points(1)
            )
    finally:
        await world.store.close()


async def test_restarts_leave_no_gap_and_no_duplicate_in_duckdb(world: World) -> None:
    for round_ in range(3):
        world.add(25)
        world.alert(round_)
        await drain(world)
    # The cursor was lost with the machine: the store itself knows how far it is.
    (world.folder / "journal" / "cursors" / "forward").unlink()
    world.add(5)
    await drain(world)
    assert rows(world.folder, "environment", "pm25") == count(80)
    assert rows(world.folder, "alert", "active") == [0, 1, 2]


async def test_a_new_journal_is_not_taken_for_the_one_that_the_store_knows(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add(50)
    world.alert(*range(20))
    await drain(world)
    world.close()
    (tmp_path / "journal").rename(tmp_path / "old journal")
    new = World(tmp_path)
    new.number = 100
    new.add(3)
    new.alert(77)
    assert new.journal.last_id < 50, "ids begin anew"
    await drain(new)
    new.close()
    assert rows(tmp_path, "environment", "pm25") == [*count(50), 101.0, 102.0, 103.0]
    assert rows(tmp_path, "alert", "active")[-1] == 77


async def test_a_new_ledger_s_points_are_not_taken_for_those_that_the_store_knows(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.alert(*range(20))
    await drain(world)
    world.ledger.close()
    for path in tmp_path.glob("serve.db*"):
        path.unlink()
    world.ledger = of_journal(tmp_path / "serve.db", identity(tmp_path / "journal"))
    world.alert(50, 51)
    await drain(world)
    world.close()
    assert rows(tmp_path, "alert", "active") == [*range(20), 50, 51]


async def test_a_new_store_takes_what_comes_from_now_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add(10)
    await drain(world)
    for path in tmp_path.glob("readings.duckdb*"):
        path.unlink()
    world.add(5)
    await drain(world)
    world.close()
    assert rows(tmp_path, "environment", "pm25") == count(15, 11)
