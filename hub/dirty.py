"""Which rollup buckets must be computed (again), kept in serve.db.

Invariants
  1. A bucket is marked, durably, before a reading that touches it is written to the store. The
     journal's cursor moves later still, so no crash leaves a touched bucket unmarked.
  2. A mark goes only after the bucket was computed from a store that held every write which was
     under way when the mark was taken, and after the rollup is written. What touches the bucket
     meanwhile marks it anew under a higher number, and only numbers that were taken are removed.
  3. So a bucket without a mark is finished: its rollup says what its readings say. Whoever asks
     takes marked buckets from the readings (`hub/store/rolled.py`).

A mark names a device, so that a late reading makes nobody compute a whole network again; a bucket
touched by many devices is marked as a whole (device ''). Memory holds what was marked lately, and
forgets it when it becomes much: marking twice costs a row that is there already.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hub.reading import Reading
from hub.rollup import FIVE, HOUR, Span, Tier, merged_spans
from hub.store.query import LATEST_NS

MOST_DEVICES = 64
"""Devices of one bucket that are marked one by one."""
MOST_BUCKETS = 20_000
"""Buckets remembered as marked."""
ALL = ""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rollup_dirty (
  tier TEXT NOT NULL, measurement TEXT NOT NULL, start_ns INTEGER NOT NULL, device TEXT NOT NULL,
  number INTEGER NOT NULL, PRIMARY KEY (tier, measurement, start_ns, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rollup_began (one INTEGER PRIMARY KEY CHECK (one = 1)) STRICT;
"""
_MARK = (
    "INSERT INTO rollup_dirty VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET number = excluded.number"
)

Mark = tuple[str, int, str]
"""Measurement, bucket start, device."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A marked bucket that was taken to be computed."""

    tier: Tier
    measurement: str
    start_ns: int
    devices: frozenset[str]
    """Empty: all of them."""
    number: int

    @property
    def stop_ns(self) -> int:
        return self.start_ns + self.tier.width_ns


class Dirty:
    """The marks. Used by the thread that owns the connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.executescript(_SCHEMA)
        row = db.execute("SELECT max(number) FROM rollup_dirty").fetchone()
        self._number = int(row[0] or 0)
        self._marked: dict[tuple[str, int], set[str]] = {}
        """Devices marked in a bucket; `ALL` among them: as a whole."""
        self.began = db.execute("SELECT 1 FROM rollup_began").fetchone() is not None
        """Everything that was stored before there were rollups is marked, too."""

    def touched(self, readings: Iterable[Reading]) -> list[Mark]:
        """The marks that these readings need and that are not there; to be handed to `keep`
        before the readings are written."""
        width = FIVE.width_ns
        fresh: dict[tuple[str, int], set[str]] = {}
        buckets: dict[str, set[str]] = {}
        start = stop = 0
        for series, time_ns, _, _ in readings:
            if not start <= time_ns < stop:  # seldom: dividing is dear
                start = time_ns - time_ns % width
                stop = start + width
                buckets = {}
            measurement = series.measurement
            marked = buckets.get(measurement)
            if marked is None:
                marked = buckets[measurement] = self._marked.setdefault((measurement, start), set())
            if series.device in marked or ALL in marked:
                continue
            if 0 <= time_ns <= LATEST_NS - width:
                device = _see(marked, series.device)
                fresh.setdefault((measurement, start), set()).add(device)
        if len(self._marked) > MOST_BUCKETS:
            self._marked.clear()
        return [
            (measurement, start_ns, device)
            for (measurement, start_ns), devices in fresh.items()
            for device in ([ALL] if ALL in devices else devices)
        ]

    def keep(self, marks: Sequence[Mark], tier: Tier = FIVE) -> None:
        """Make marks durable. Raises sqlite3.Error."""
        if marks:
            with _transaction(self._db):
                self._insert(tier, marks)

    def begin(self, marks: Sequence[Mark]) -> None:
        """Mark what was stored before there were rollups."""
        with _transaction(self._db):
            self._insert(FIVE, marks)
            self._db.execute("INSERT OR IGNORE INTO rollup_began VALUES (1)")
        self.began = True

    def stop(self) -> None:
        """Nobody marks any more: what was computed is not to be believed from now on."""
        with _transaction(self._db):
            self._db.execute("DELETE FROM rollup_dirty")
            self._db.execute("DELETE FROM rollup_began")
        self.began = False

    def _insert(self, tier: Tier, marks: Iterable[Mark]) -> None:
        self._number += 1
        self._db.executemany(_MARK, [(tier.suffix, *mark, self._number) for mark in marks])

    def take(self, tier: Tier, over_ns: int, limit: int) -> list[Bucket]:
        """The newest marked buckets that end at `over_ns` or before. They stay marked till `done`.

        Before they are computed, the writes that are under way must have ended (invariant 2).
        """
        rows = self._db.execute(
            "SELECT measurement, start_ns, group_concat(device, char(10)), max(number),"
            " min(device) = '' FROM rollup_dirty WHERE tier = ? AND start_ns <= ?"
            " GROUP BY measurement, start_ns ORDER BY start_ns DESC, measurement LIMIT ?",
            (tier.suffix, over_ns - tier.width_ns, limit),
        ).fetchall()
        if tier is FIVE and rows:
            for measurement, start_ns, *_ in rows:
                self._marked.pop((measurement, start_ns), None)
        return [
            # A device's name holds no line break: series refuse control characters.
            Bucket(
                tier, measurement, start_ns, frozenset() if whole else frozenset(d.split("\n")), n
            )
            for measurement, start_ns, d, n, whole in rows
        ]

    def done(self, buckets: Sequence[Bucket]) -> None:
        """These are computed and written; the hours made of them are to be computed."""
        with _transaction(self._db):
            self.drop(buckets)
            hours = [
                (b.measurement, b.start_ns - b.start_ns % HOUR.width_ns, device)
                for b in buckets
                if b.tier is FIVE
                for device in (b.devices or [ALL])
            ]
            self._insert(HOUR, dict.fromkeys(hours))

    def drop(self, buckets: Sequence[Bucket]) -> None:
        """Forget marks that were taken."""
        self._db.executemany(
            "DELETE FROM rollup_dirty"
            " WHERE tier = ? AND measurement = ? AND start_ns = ? AND number <= ?",
            [(b.tier.suffix, b.measurement, b.start_ns, b.number) for b in buckets],
        )

    def unfinished(self, tier: Tier, measurement: str, span: Span) -> list[Span]:
        """Where a tier does not say yet what the readings say: whole buckets, merged."""
        width = tier.width_ns
        starts: set[int] = set()
        for lower in (FIVE, HOUR):
            if lower.width_ns <= width:
                rows = self._db.execute(
                    "SELECT DISTINCT start_ns FROM rollup_dirty WHERE tier = ?"
                    " AND measurement = ? AND start_ns >= ? AND start_ns < ?",
                    (lower.suffix, measurement, *span),
                )
                starts |= {start - start % width for (start,) in rows}
        return merged_spans((start, start + width) for start in starts)

    def oldest_ns(self, measurement: str, tier: Tier) -> int | None:
        """Start of the first bucket that is still to be computed."""
        row = self._db.execute(
            "SELECT min(start_ns) FROM rollup_dirty WHERE tier = ? AND measurement = ?",
            (tier.suffix, measurement),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def backlog(self) -> int:
        """Marked buckets."""
        row = self._db.execute(
            "SELECT count(*) FROM (SELECT DISTINCT tier, measurement, start_ns FROM rollup_dirty)"
        ).fetchone()
        return int(row[0])


def _see(marked: set[str], device: str) -> str:
    """Take note that a bucket is to be marked for one more device, or as a whole."""
    if len(marked) >= MOST_DEVICES:
        marked.clear()
        device = ALL
    marked.add(device)
    return device


class _transaction:  # noqa: N801  # used as a statement
    """Everything or nothing; a full disk may have rolled back by itself."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.rollback()
