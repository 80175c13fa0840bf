"""Brings readings from the journal to the store, each once, in order.

    journal ─► Reader ─► batch (size, age) ─► store.write ─► cursor
    ledger  ─► alert points ────────────────►      │
                                 refused points ──► parked.jsonl, with the store's reason

While a store is down the batch is tried again with growing pauses: memory holds one batch, the
disk holds the rest. DuckDB keeps the last id in the batch's own transaction; in InfluxDB a batch
written twice is the same points again. Either way, nothing is stored twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hub import logs
from hub.clock import monotonic
from hub.health import Health
from hub.journal import Kind, Reader
from hub.journal.files import Cursor
from hub.ledger import Ledger
from hub.reading import BadSeries, Reading
from hub.records import readings_in
from hub.store.base import Batch, Store, StoreDown, StoreRefused

log = logs.get("forward")

PAUSE_S = (0.5, 30.0)
POLL_S = 0.05
READ_BYTES = 256 * 1024
"""Of the journal at a time: a batch grows beyond its size by at most this."""


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
    ) -> None:
        self.store = store
        self._folder = folder
        self._ledger = ledger
        self._health = health
        self._batch = batch
        self._linger_s = linger_s
        self._parked = parked
        self._now = now
        self._cursor = Cursor(folder, "forward")
        self.down_since_ns: int | None = None
        self.why = ""
        self.stored_id = 0

    async def run(self) -> None:
        """Until cancelled. Opens the store, however long that takes."""
        await self._insist(self.store.open)
        self.stored_id = max(self._cursor.get(), await self.store.last_id("live"))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._readings(), name="forward readings")
            group.create_task(self._alerts(), name="forward alerts")

    async def _readings(self) -> None:
        reader = Reader(self._folder, self.stored_id)
        try:
            while True:
                readings, last_id = await self._gather(reader)
                for lost in reader.lost:
                    self._health.count(
                        "dropped", lost.last_id - lost.first_id + 1, reason="journal_damage"
                    )
                    log.error(
                        "records are lost", first=lost.first_id, last=lost.last_id, why=lost.why
                    )
                reader.lost.clear()
                # One gathering is one batch: the store keeps its last id to know it again.
                await self._write(readings, last_id, "live")
                self.stored_id = last_id
                # Only now: the journal may free what every cursor has passed.
                self._cursor.set(last_id)
                self._health.gauge("forward_backlog", reader.backlog())
        finally:
            reader.close()

    async def _gather(self, reader: Reader) -> tuple[list[Reading], int]:
        """Readings of whole records until there are enough or they waited long enough."""
        readings: list[Reading] = []
        began = 0.0
        while True:
            records = reader.read(READ_BYTES)
            for record in records:
                if record.kind == Kind.READINGS:
                    try:
                        readings += readings_in(record.payload)
                    except (msgspec.DecodeError, BadSeries, TypeError) as error:
                        self._health.count("parked", 1, reason="undecodable")
                        self._park([{"id": record.id, "reason": f"can't be decoded: {error}"}])
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
                await self._write([p.reading for p in points], points[-1].seq, "alerts")
                self._ledger.stored(points)
            else:
                await asyncio.sleep(POLL_S * 4)

    async def _write(self, readings: Sequence[Reading], last_id: int, lane: str) -> None:
        if not readings:
            return
        batch = Batch(readings, last_id, lane)
        written = await self._insist(lambda: self.store.write(batch))
        self._health.count("stored", len(readings) - len(written.rejected), lane=lane)
        if written.rejected:
            self._health.count("parked", len(written.rejected), reason="refused_by_store")
            self._park(
                {"series": r.series.key, "time_ns": r.time_ns, "fields": r.fields, "reason": reason}
                for r, reason in ((readings[i], why) for i, why in written.rejected.items())
            )

    async def _insist(self, attempt: Callable[[], Any]) -> Any:
        """Try until it works; say once that the store is away and once that it is back."""
        pause = PAUSE_S[0]
        while True:
            try:
                result = await attempt()
            except (StoreDown, StoreRefused) as error:
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
                await asyncio.sleep(asked if asked else random.uniform(pause / 2, pause))
                pause = min(pause * 2, PAUSE_S[1])
                continue
            if self.down_since_ns is not None:
                away_s = (self._now() - self.down_since_ns) / 1e9
                log.info(
                    "store takes readings again", store=self.store.name, away_s=round(away_s, 1)
                )
                self.down_since_ns, self.why = None, ""
            return result

    def _park(self, entries: Any) -> None:
        with self._parked.open("ab") as file:
            for entry in entries:
                file.write(msgspec.json.encode({"parked_ns": self._now(), **entry}) + b"\n")
