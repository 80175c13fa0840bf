"""Keeps the rollups: computes what is marked dirty, deletes what is past its retention.

    forward ─► marks (dirty.py) ─► here: ask the store ─► write the tier's rows ─► marks go

One bucket computed twice is the same rows, so nothing here needs to be undone after a crash. The
newest buckets go first: after a long outage the last hours are right before last month is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from hub import logs
from hub.clock import NS, monotonic
from hub.dirty import ALL, Bucket, Dirty
from hub.gate import Gate
from hub.health import Health
from hub.rollup import (
    FIVE,
    HOUR,
    TIERS,
    Tier,
    recompute_query,
    rolled_fields,
    rows_to_readings,
)
from hub.store.base import Batch, Store, StoreDown, StoreRefused
from hub.store.query import Column, Query
from hub.store.rolled import RolledStore

log = logs.get("rollups")

SWEEP_S = 10.0
TRIM_S = 600.0
GRACE_NS = {FIVE: 20 * NS, HOUR: 60 * NS}
"""How long after its end a bucket waits for readings on their way."""
TAKEN = 240
"""Buckets taken at a time."""
TOGETHER = 12
"""Neighbouring buckets that are asked for in one question."""
SPARSE = 96
"""As many where only some devices are asked for, over gaps of an hour or less: imported hours."""
DEVICES = 50
"""Devices of a first question for one bucket; later ones are as large as to be answered by …"""
VALUES = 50_000
"""… so many values: what memory holds at a time, however large the network is."""
STORY = "alert"
"""Its rows are a story and no measurements: they are kept as long as the longest rollups."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How long rows are kept, in nanoseconds; None: for ever."""

    raw_ns: int | None = None
    five_ns: int | None = None
    hour_ns: int | None = None

    def before_ns(self, tier: Tier | None, now_ns: int) -> int:
        """Rows before this may be deleted: a whole hour, so that no bucket is left half."""
        length = {None: self.raw_ns, FIVE: self.five_ns, HOUR: self.hour_ns}[tier]
        if length is None:
            return 0
        return max(0, (now_ns - length) // HOUR.width_ns * HOUR.width_ns)


class Rollups:
    """One per serve process; `run` beside the forwarder."""

    def __init__(
        self,
        store: RolledStore,
        dirty: Dirty,
        gate: Gate,
        health: Health,
        *,
        kept: Kept,
        now: Callable[[], int],
        compute: bool = True,
    ) -> None:
        """`compute` False: only delete what is past its retention."""
        self._store = store
        self._dirty = dirty
        self._gate = gate
        self._health = health
        self._kept = kept
        self._now = now
        self._on = compute
        self._why = ""
        self._trimmed_at = monotonic() - TRIM_S

    async def run(self) -> None:
        """Until cancelled; a store that is away is waited for."""
        while True:
            more = False
            try:
                if self._on:
                    await self.begin()
                    more = await self.sweep() > 0
                if monotonic() - self._trimmed_at >= TRIM_S:
                    await self.trim()
                    self._trimmed_at = monotonic()
                if self._why:
                    log.info("rollups go on")
                self._why = ""
            except (StoreDown, StoreRefused, sqlite3.OperationalError) as error:
                if self._why != str(error):
                    log.error("rollups wait, what is to be done is kept", why=str(error))
                self._why, more = str(error), False
            self._health.gauge("rollup_backlog", self._dirty.backlog())
            await asyncio.sleep(0 if more else SWEEP_S)

    async def begin(self) -> None:
        """Once: mark everything that was stored before there were rollups."""
        if self._dirty.began:
            return
        marks = []
        for measurement in await self._store.measurements():
            fields = (await self._store.shape(measurement)).numbers()
            if not fields:
                continue
            query = Query(
                measurement,
                tuple(Column(field, "count") for field in fields),
                self._kept.before_ns(None, self._now()) + HOUR.width_ns,
                self._now() + HOUR.width_ns,
                window_ns=HOUR.width_ns,
            )
            marks += [
                (measurement, hour + n * FIVE.width_ns, ALL)
                for rows in await self._store.readings.query(query)
                for hour, _ in rows.rows
                for n in range(HOUR.width_ns // FIVE.width_ns)
            ]
        self._dirty.begin(marks)
        if marks:
            log.info("computing rollups of what is stored already", buckets=len(marks))

    async def sweep(self) -> int:
        """Compute some of the marked buckets that are over; how many were done."""
        done = 0
        for tier in TIERS:
            buckets = self._dirty.take(tier, self._now() - GRACE_NS[tier], TAKEN)
            if not buckets:
                continue
            # Whoever writes now may have been marked by what was just taken: see dirty.py.
            await self._gate.settled()
            for together in _neighbours(buckets):
                async with self._gate.passing():
                    rows = await self._compute(together)
                    self._dirty.done(together)
                self._health.count("rollup_buckets", len(together), tier=tier.suffix)
                self._health.count("rollup_rows", rows, tier=tier.suffix)
                done += len(together)
        return done

    async def _compute(self, buckets: Sequence[Bucket]) -> int:
        """Write the rows of neighbouring buckets of one tier and measurement; how many."""
        first = buckets[0]
        tier, measurement = first.tier, first.measurement
        span = min(b.start_ns for b in buckets), max(b.stop_ns for b in buckets)
        source = None if tier is FIVE else FIVE
        store, name = self._store.place(source, measurement)
        target, its_name = self._store.place(tier, measurement)
        shape = await store.shape(name)
        fields = shape.numbers() if source is None else sorted(rolled_fields(shape))
        if not fields:
            return 0
        asked = recompute_query(name, fields, shape.tags, tier, span)
        # Readings of this age may be deleted in part: a rollup made of all of them stays.
        old = span[0] < self._kept.before_ns(source, self._now()) + HOUR.width_ns
        there = await self._there(asked, tier, measurement) if old else frozenset()
        devices = sorted(first.devices) or await store.devices(name, span[0])
        written = at = 0
        portion = max(1, DEVICES // len(buckets))
        while at < len(devices):
            some = devices[at : at + portion]
            answer = await store.query(replace(asked, where={"device": tuple(some)}))
            rows = rows_to_readings(measurement, fields, answer)
            fresh = [r for r in rows if (r.series.tags, r.time_ns) not in there]
            written += await self._write(target, Batch(fresh, 0, "rollup", its_name))
            values = sum(len(one.rows) for one in answer) * len(asked.columns)
            portion = max(1, min(2 * portion, len(some) * VALUES // max(1, values)))
            at += len(some)
        return written

    async def _write(self, target: Store, batch: Batch) -> int:
        """Write rollups; how many."""
        if batch.readings:
            written = await target.write(batch)
            for reason in set(written.rejected.values()):
                self._health.count("rollup_rejected")
                log.error("a rollup is refused by the store", why=reason)
        return len(batch.readings)

    async def _there(
        self, asked: Query, tier: Tier, measurement: str
    ) -> frozenset[tuple[tuple[tuple[str, str], ...], int]]:
        """Series (their tags) and buckets that a tier has already."""
        store, name = self._store.place(tier, measurement)
        shape = await store.shape(name)
        counts = tuple(Column(f, "count") for f in shape.fields if f.endswith("_count"))
        if not counts:
            return frozenset()
        query = Query(
            name,
            counts,
            asked.start_ns,
            asked.stop_ns,
            group_by=shape.tags,
            window_ns=tier.width_ns,
        )
        return frozenset(
            (tuple(sorted((k, v) for k, v in rows.tags.items() if v)), time_ns)
            for rows in await store.query(query)
            for time_ns, _ in rows.rows
        )

    async def trim(self) -> int:
        """Delete rows past their retention, in small steps; how many."""
        deleted = 0
        for measurement in await self._store.measurements():
            for tier in (None, *TIERS):
                before = self._before_ns(measurement, tier)
                store, name = self._store.place(tier, measurement)
                while before and (number := await store.trim(name, before)):
                    deleted += number
                    self._health.count("trimmed", number, tier=tier.suffix if tier else "raw")
                    await asyncio.sleep(0.05)  # batches and questions first
        if deleted:
            log.info("rows past their retention are deleted", rows=deleted)
            checkpoint = getattr(self._store.readings, "checkpoint", None)
            if checkpoint is not None:
                await checkpoint()
        return deleted

    def _before_ns(self, measurement: str, tier: Tier | None) -> int:
        """Where to delete up to: nothing that a marked bucket still needs."""
        kept = HOUR if measurement == STORY and tier is None else tier
        before = self._kept.before_ns(kept, self._now())
        above: Mapping[Tier | None, Tier] = {None: FIVE, FIVE: HOUR}
        needed = self._dirty.oldest_ns(measurement, above[tier]) if tier in above else None
        return before if needed is None else min(before, needed)


def _neighbours(buckets: Sequence[Bucket]) -> Iterator[list[Bucket]]:
    """Buckets of one measurement and the same devices, newest first, that follow each other, or
    nearly: what lies between is over, too, and computed again is the same."""
    run: list[Bucket] = []
    for bucket in sorted(buckets, key=lambda b: (b.measurement, -b.start_ns)):
        most, gap_ns = (SPARSE, HOUR.width_ns) if bucket.devices else (TOGETHER, 0)
        if run and not (
            len(run) < most
            and run[-1].measurement == bucket.measurement
            and run[-1].devices == bucket.devices
            and run[-1].start_ns - bucket.stop_ns <= gap_ns
        ):
            yield run
            run = []
        run.append(bucket)
    if run:
        yield run
