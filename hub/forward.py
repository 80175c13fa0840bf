"""Brings readings from the journal to the store, each once, in order.

    journal ─► Reader ─► batch (size, age) ─► store.prepare ─► store.write ─► cursor
    ledger  ─► alert points ─────────────────────────────────►      │
                                  refused points ──► parked.jsonl, with the store's reason

While a batch is being written, the next one is read and prepared; it is written after it, and the
cursor stands behind what is written. While a store is down the batch is tried again with growing
pauses: memory holds these two, the disk holds the rest. DuckDB keeps the last id in the batch's own
transaction; in InfluxDB a batch written twice is the same points again. Either way, nothing is
stored twice.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from hub import logs
from hub.clock import monotonic
from hub.decoded import Decoded
from hub.dirty import Dirty, Mark
from hub.gate import Gate
from hub.health import Health
from hub.journal import Kind, Reader
from hub.journal.files import Cursor, identity
from hub.ledger import Ledger, Point
from hub.reading import BadSeries, Reading
from hub.store.base import Batch, Store, StoreDown, StoreRefused, Written

log = logs.get("forward")

PAUSE_S = (0.5, 30.0)
LONGEST_WISH_S = 300.0
"""A server may ask for more patience; it is asked again after this in any case."""
BUG_TRIES = 3
PARKED_BYTES = 64 * 1024 * 1024
"""Then the file of parked points becomes `.1`, and what was `.1` is gone."""
POLL_S = 0.05
READ_BYTES = 256 * 1024
"""Of the journal at a time: a batch grows beyond its size by at most this."""


_T = TypeVar("_T")


async def ahead(items: AsyncGenerator[_T, None]) -> AsyncGenerator[_T, None]:
    """The same items; the next one is made while the last one is in use."""
    coming = asyncio.ensure_future(anext(items))
    try:
        while True:
            try:
                item = await coming
            except StopAsyncIteration:
                return
            coming = asyncio.ensure_future(anext(items))
            yield item
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await items.aclose()


class Forwarder:
    """One store, two lanes: readings of the journal, points of the ledger."""

    def __init__(
        self,
        store: Store,
        folder: Path,
        ledger: Ledger,
        health: Health,
        *,
        batch: int,
        linger_s: float,
        parked: Path,
        now: Callable[[], int],
        dirty: Dirty | None = None,
        gate: Gate | None = None,
        decoded: Decoded | None = None,
    ) -> None:
        """`dirty` is told which rollup buckets are touched; whoever closes the `gate` sees the
        store between two writes."""
        self.store = store
        self._dirty = dirty
        self._gate = gate or Gate()
        self._decoded = decoded or Decoded()
        self._folder = folder
        self._ledger = ledger
        self._health = health
        self._batch = batch
        self._linger_s = linger_s
        self._parked = parked
        self._now = now
        self._cursor = Cursor(folder, "forward")
        # A store remembers the last id of each lane. Ids begin at 1 again in a new journal or
        # ledger: under the old one's name everything of it would be taken for a repetition.
        self._lanes = {"live": f"live {identity(folder)}", "alerts": f"alerts {ledger.id}"}
        self.down_since_ns: int | None = None
        self.why = ""
        self.stored_id = 0

    async def run(self) -> None:
        """Until cancelled. Opens the store, however long that takes."""
        await self._insist(self.store.open)
        last_id = await self._insist(lambda: self.store.last_id(self._lanes["live"]))
        self.stored_id = max(self._cursor.get(), last_id)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._readings(), name="forward readings")
            group.create_task(self._alerts(), name="forward alerts")

    async def _readings(self) -> None:
        reader = Reader(self._folder, self.stored_id)
        try:
            async with aclosing(ahead(self._batches(reader))) as batches:
                async for batch in batches:
                    await self._write(batch)
                    self.stored_id = batch.last_id
                    # Only now: the journal may free what every cursor has passed. An older cursor
                    # only keeps a segment longer.
                    with suppress(OSError):
                        self._cursor.set(batch.last_id)
                    held = reader.next_id - 1 - batch.last_id
                    self._health.gauge("forward_backlog", reader.backlog() + held)
        finally:
            reader.close()

    async def _batches(self, reader: Reader) -> AsyncGenerator[Batch, None]:
        """One gathering is one batch: the store keeps its last id to know it again."""
        while True:
            readings, last_id = await self._gather(reader)
            self._lost(reader)
            batch = Batch(readings, last_id, self._lanes["live"])
            try:
                batch = await self.store.prepare(batch)
            except Exception:
                # Writing it will stumble over the same, and says so.
                log.debug("a batch can't be prepared", store=self.store.name, exc_info=True)
            yield batch

    def _lost(self, reader: Reader) -> None:
        for lost in reader.lost:
            # What was dropped for room, the writer of the journal has counted; what was freed
            # before the first record that we read, another store has.
            if lost.reason != "quota" and (lost.reason != "freed" or lost.first_id > 1):
                self._health.count("dropped", lost.records, reason="journal_damage")
            log.error("records are lost", what=str(lost))
        reader.lost.clear()

    async def _gather(self, reader: Reader) -> tuple[list[Reading], int]:
        """Readings of whole records until there are enough or they waited long enough."""
        readings: list[Reading] = []
        began = 0.0
        while True:
            records = reader.read(READ_BYTES)
            for record in records:
                if record.kind == Kind.READINGS:
                    try:
                        readings += self._decoded.readings(record)
                    except (msgspec.DecodeError, BadSeries, TypeError) as error:
                        self._health.count("parked", 1, reason="undecodable")
                        await self._park(
                            [{"id": record.id, "reason": f"can't be decoded: {error}"}]
                        )
            if records and not began:
                began = monotonic()
            late = began and monotonic() - began >= self._linger_s
            if len(readings) >= self._batch or (late and began):
                return readings, reader.next_id - 1
            if not records:
                await asyncio.sleep(POLL_S)

    async def _alerts(self) -> None:
        while True:
            points = self._ledger.points(self._batch)
            if points:
                readings = [point.reading for point in points]
                await self._write(Batch(readings, points[-1].seq, self._lanes["alerts"]))
                await self._insist(partial(self._forget, points))
            else:
                await asyncio.sleep(POLL_S * 4)

    async def _write(self, batch: Batch) -> None:
        readings = batch.readings
        if not readings:
            return
        async with self._gate.passing():
            if self._dirty is not None:
                # Before the write: neither cursor nor last id may stand behind a bucket that is
                # touched and not marked.
                marks = self._dirty.touched(readings)
                await self._insist(partial(self._mark, marks))
            written = await self._stored(batch)
        lane = batch.lane.partition(" ")[0]
        self._health.count("stored", len(readings) - len(written.rejected), lane=lane)
        if written.rejected:
            self._health.count("parked", len(written.rejected), reason="refused_by_store")
            await self._park(
                {"series": r.series.key, "time_ns": r.time_ns, "fields": r.fields, "reason": reason}
                for r, reason in ((readings[i], why) for i, why in written.rejected.items())
            )

    async def _stored(self, batch: Batch) -> Written:
        """Write a batch. One that the store's code fails over is refused whole, after some tries:
        the batches behind it must not wait for a mended version."""
        why = ""
        for _ in range(BUG_TRIES):
            try:
                written: Written = await self._insist(lambda: self.store.write(batch))
                return written
            except Exception as error:
                why = f"BUG in the store: {error!r}"
                self._health.count("store_bugs")
                log.error("a batch can't be written", store=self.store.name, exc_info=True)
                await asyncio.sleep(PAUSE_S[0])
        return Written(dict.fromkeys(range(len(batch.readings)), why))

    async def _mark(self, marks: Sequence[Mark]) -> None:
        if marks and self._dirty is not None:
            try:
                self._dirty.keep(marks)
            except sqlite3.OperationalError as error:
                raise StoreDown(f"rollups can't be marked in serve.db: {error}") from error

    async def _forget(self, points: Sequence[Point]) -> None:
        try:
            self._ledger.stored(points)
        except sqlite3.OperationalError as error:
            raise StoreDown(f"what was stored can't be noted: {error}") from error

    async def _insist(self, attempt: Callable[[], Any]) -> Any:
        """Try until it works; say once that the store is away and once that it is back."""
        pause = PAUSE_S[0]
        while True:
            try:
                result = await attempt()
            except (StoreDown, StoreRefused, OSError) as error:
                if self.down_since_ns is None or self.why != str(error):
                    log.error(
                        "store does not take readings, keeping them",
                        store=self.store.name,
                        why=str(error),
                    )
                self.down_since_ns = self.down_since_ns or self._now()
                self.why = str(error)
                self._health.count("store_failures")
                asked = getattr(error, "retry_after_s", None)
                wait = min(asked, LONGEST_WISH_S) if asked else random.uniform(pause / 2, pause)
                await asyncio.sleep(wait)
                pause = min(pause * 2, PAUSE_S[1])
                continue
            if self.down_since_ns is not None:
                away_s = (self._now() - self.down_since_ns) / 1e9
                log.info(
                    "store takes readings again", store=self.store.name, away_s=round(away_s, 1)
                )
                self.down_since_ns, self.why = None, ""
            return result

    async def _park(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Keep what can't be stored, each with its reason, for a person to look at."""
        now_ns = self._now()
        lines = [msgspec.json.encode({"parked_ns": now_ns, **entry}) + b"\n" for entry in entries]
        await self._insist(partial(self._append, b"".join(lines)))

    async def _append(self, lines: bytes) -> None:
        """All of it or nothing: half a line would spoil the next one."""
        try:
            handle = os.open(self._parked, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                size = os.fstat(handle).st_size
                try:
                    if os.write(handle, lines) < len(lines):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    os.ftruncate(handle, size)
                    raise
            finally:
                os.close(handle)
            if size + len(lines) > PARKED_BYTES:
                self._parked.replace(self._parked.with_name(f"{self._parked.name}.1"))
        except OSError as error:
            why = error.strerror or str(error)
            raise StoreDown(f"refused points can't be parked in {self._parked}: {why}") from error
