"""Which buckets are computed again, and when: no write, crash or race leaves a rollup behind."""

from __future__ import annotations

import asyncio
import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dirty import ALL, MOST_DEVICES, Dirty
from hub.forward import Forwarder
from hub.gate import Gate
from hub.health import Health
from hub.journal import Class, Journal, Kind
from hub.ledger import Ledger
from hub.reading import Reading, Series
from hub.records import pack_readings
from hub.rollup import FIVE, HOUR, MOST_PIECES, TIERS, bridged, cut, merged_spans
from hub.rollups import Kept, Rollups
from hub.store.base import Batch, Written
from hub.store.duckdb import DuckStore
from hub.store.query import Column, Query
from hub.store.rolled import RolledStore

MINUTE = 60_000_000_000
START = 1_760_000_400_000_000_000
"""A full hour."""
NOW = START + 48 * 60 * MINUTE


def reading(device: str = "a", minute: float = 0.0, value: float = 1.0) -> Reading:
    return Reading(Series.of("m", device), START + int(minute * MINUTE), {"v": value})


def connect(path: Path | str = ":memory:") -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def touch(dirty: Dirty, *readings: Reading) -> int:
    marks = dirty.touched(readings)
    dirty.keep(marks)
    return len(marks)


def test_a_bucket_is_marked_once_until_it_is_taken() -> None:
    dirty = Dirty(connect())
    assert touch(dirty, reading(), reading(minute=1), reading(minute=2)) == 1
    assert touch(dirty, reading(minute=3)) == 0
    [bucket] = dirty.take(FIVE, NOW, 10)
    assert (bucket.start_ns, bucket.devices) == (START, {"a"})
    assert touch(dirty, reading(minute=3)) == 1


def test_what_is_touched_while_it_is_computed_is_computed_again() -> None:
    dirty = Dirty(connect())
    touch(dirty, reading())
    taken = dirty.take(FIVE, NOW, 10)
    touch(dirty, reading(minute=1))
    dirty.done(taken)
    assert [b.start_ns for b in dirty.take(FIVE, NOW, 10)] == [START]
    assert [b.start_ns for b in dirty.take(HOUR, NOW, 10)] == [START]


def test_a_bucket_of_many_devices_is_marked_as_a_whole() -> None:
    dirty = Dirty(connect())
    touched = [reading(f"d{n}") for n in range(MOST_DEVICES * 3)]
    assert touch(dirty, *touched) == 1
    [bucket] = dirty.take(FIVE, NOW, 10)
    assert bucket.devices == frozenset()
    for one in touched:
        touch(dirty, one)
    [bucket] = dirty.take(FIVE, NOW, 10)
    assert bucket.devices == frozenset()
    dirty.done([bucket])
    assert dirty.take(FIVE, NOW, 10) == []


def test_buckets_that_are_not_over_wait_and_the_newest_go_first() -> None:
    dirty = Dirty(connect())
    touch(dirty, *(reading(minute=5 * n) for n in range(4)))
    over = START + 15 * MINUTE
    assert [b.start_ns - START for b in dirty.take(FIVE, over, 2)] == [10 * MINUTE, 5 * MINUTE]
    assert len(dirty.take(FIVE, over - 1, 10)) == 2


def test_marks_outlive_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "serve.db"
    dirty = Dirty(connect(path))
    dirty.begin([])
    touch(dirty, reading(), reading("b", 7))
    dirty.take(FIVE, NOW, 10)
    again = Dirty(connect(path))  # nobody closed the first
    assert again.began
    assert len(again.take(FIVE, NOW, 10)) == 2


def test_an_hour_is_unfinished_while_one_of_its_buckets_is() -> None:
    dirty = Dirty(connect())
    touch(dirty, reading(minute=65))
    span = START, START + 240 * MINUTE
    hour = [(START + 60 * MINUTE, START + 120 * MINUTE)]
    assert dirty.unfinished(HOUR, "m", span) == hour
    dirty.done(dirty.take(FIVE, NOW, 10))
    assert dirty.unfinished(FIVE, "m", span) == []
    assert dirty.unfinished(HOUR, "m", span) == hour
    dirty.done(dirty.take(HOUR, NOW, 10))
    assert dirty.unfinished(HOUR, "m", span) == []
    assert dirty.unfinished(HOUR, "other", span) == []


def test_rollups_switched_off_are_not_believed_when_switched_on_again(tmp_path: Path) -> None:
    path = tmp_path / "serve.db"
    dirty = Dirty(connect(path))
    dirty.begin([("m", START, ALL)])
    dirty.stop()
    again = Dirty(connect(path))
    assert not again.began
    assert again.backlog() == 0


spans = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 3)), max_size=30).map(
    lambda found: merged_spans((a * FIVE.width_ns, (a + b) * FIVE.width_ns) for a, b in found)
)


@given(spans, st.integers(0, 40 * MINUTE), st.integers(1, 400 * MINUTE))
def test_pieces_cover_the_range_and_ask_no_tier_for_what_it_has_not(
    dirty: list[tuple[int, int]], start: int, length: int
) -> None:
    def unfinished(tier: object, span: tuple[int, int]) -> list[tuple[int, int]]:
        width = tier.width_ns  # type: ignore[attr-defined]
        return merged_spans((a - a % width, b + -b % width) for a, b in dirty)

    pieces = cut((start, start + length), tuple(reversed(TIERS)), unfinished)
    assert pieces[0].start_ns == start
    assert pieces[-1].stop_ns == start + length
    for one, other in pairwise(pieces):
        assert one.stop_ns == other.start_ns
        assert one.tier is not other.tier
    for piece in pieces:
        if piece.tier is not None:
            assert piece.start_ns % piece.tier.width_ns == 0
            assert piece.stop_ns % piece.tier.width_ns == 0
            for a, b in dirty:
                assert b <= piece.start_ns or a >= piece.stop_ns


@given(spans)
def test_bridged_spans_are_few_and_leave_nothing_out(found: list[tuple[int, int]]) -> None:
    fewer = bridged(found)
    assert len(fewer) <= MOST_PIECES
    assert all(any(a <= c and d <= b for a, b in fewer) for c, d in found)
    assert fewer == merged_spans(fewer)


class Watched(DuckStore):
    """Tells what is marked when a write begins, and holds writes back."""

    def __init__(self, serve_db: Path) -> None:
        super().__init__(None)
        self.serve_db = serve_db
        self.marked: list[int] = []
        self.go_on = asyncio.Event()
        self.begun = asyncio.Event()

    async def write(self, batch: Batch) -> Written:
        if batch.last_id:
            rows = connect(self.serve_db).execute("SELECT start_ns FROM rollup_dirty").fetchall()
            self.marked += [start_ns for (start_ns,) in rows]
            self.begun.set()
            await self.go_on.wait()
        return await super().write(batch)


async def test_the_forwarder_marks_before_it_writes_and_rollups_wait_for_its_write(
    tmp_path: Path,
) -> None:
    journal = Journal(tmp_path / "journal", now_ns=NOW)
    payload = pack_readings("test", [reading(value=4.0), reading(minute=61)])
    journal.append([(NOW, Kind.READINGS, Class.ACKNOWLEDGED, payload)])
    ledger = Ledger(tmp_path / "serve.db")
    dirty, gate, health = Dirty(ledger.db), Gate(), Health()
    raw = Watched(tmp_path / "serve.db")
    store = RolledStore(raw, {}, dirty, raw_kept_ns=None, now=lambda: NOW)
    rollups = Rollups(store, dirty, gate, health, kept=Kept(), now=lambda: NOW)
    await rollups.begin()
    forwarder = Forwarder(
        store,
        tmp_path / "journal",
        ledger,
        health,
        batch=10,
        linger_s=0.0,
        parked=tmp_path / "parked",
        now=lambda: NOW,
        dirty=dirty,
        gate=gate,
    )
    running = asyncio.create_task(forwarder.run())
    await raw.begun.wait()
    assert raw.marked == [START, START + 60 * MINUTE]
    sweep = asyncio.create_task(rollups.sweep())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not sweep.done()  # it has taken the marks, but the write has not ended
    raw.go_on.set()
    assert await sweep == 4
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    asked = Query("m_1h", (Column("v_sum"),), 0, 2**62)
    [found] = await store.query(asked)
    assert [values for _, values in found.rows] == [(4.0,), (1.0,)]
    await store.close()
    ledger.close()
    journal.close()


async def test_a_closed_gate_lets_nobody_in_and_waits_for_those_inside() -> None:
    gate, told = Gate(), []
    leave = asyncio.Event()

    async def inside(name: str) -> None:
        async with gate.passing():
            told.append(name)
            await leave.wait()

    async def close() -> None:
        async with gate.closed():
            told.append("closed")

    first = asyncio.create_task(inside("first"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(close())
    await asyncio.sleep(0)
    second = asyncio.create_task(inside("second"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert told == ["first"]
    leave.set()
    await asyncio.gather(first, closing, second)
    assert told == ["first", "closed", "second"]
