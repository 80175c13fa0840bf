"""What was in which state since when, as `presence.py` folds it: kept for ever, in serve.db.

Presence ─ keep ─► rows of spans, planned work ─► spans, works ─► hub/report/
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from hub.presence import HUB, Presence, Span, Work, still_open

SCHEMA = """
CREATE TABLE IF NOT EXISTS presence (
  one INTEGER PRIMARY KEY CHECK (one = 1), state BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS span (
  series TEXT NOT NULL, since_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL,
  state INTEGER NOT NULL, PRIMARY KEY (series, since_ns)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS span_until ON span (until_ns);
CREATE TABLE IF NOT EXISTS work (
  id TEXT PRIMARY KEY, since_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL,
  matcher BLOB NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL
) STRICT;
"""

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def keep(db: sqlite3.Connection, presence: Presence) -> None:
    """In the caller's transaction; keeping the same again changes nothing."""
    spans, works = presence.news()
    db.executemany("INSERT OR REPLACE INTO span VALUES (?, ?, ?, ?)", spans)
    db.executemany(
        "INSERT OR REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?)",
        [(w.id, w.since_ns, w.until_ns, _pack(w.matcher), w.who, w.why) for w in works],
    )
    db.execute("INSERT OR REPLACE INTO presence VALUES (1, ?)", (_pack(presence.snapshot()),))


def presence(db: sqlite3.Connection) -> Presence:
    """As it was kept last; a new one at the beginning."""
    state = _state(db)
    return Presence.restore(state) if state else Presence()


def _state(db: sqlite3.Connection) -> Any:
    row = db.execute("SELECT state FROM presence").fetchone()
    return _unpack(row[0]) if row else None


def spans(db: sqlite3.Connection, start_ns: int, stop_ns: int) -> list[Span]:
    """What was in which state in that time, also what still is."""
    rows = db.execute(
        "SELECT series, since_ns, until_ns, state FROM span WHERE until_ns > ? AND since_ns < ?"
        " ORDER BY series, since_ns",
        (start_ns, stop_ns),
    )
    going_on = [one for one in still_open(_state(db)) if one.since_ns < stop_ns]
    return [Span(*row) for row in rows] + going_on


def works(db: sqlite3.Connection, start_ns: int, stop_ns: int) -> list[Work]:
    """Planned work announced for some of that time."""
    rows = db.execute(
        "SELECT id, since_ns, until_ns, matcher, who, why FROM work"
        " WHERE until_ns > ? AND since_ns < ? ORDER BY since_ns, id",
        (start_ns, stop_ns),
    )
    return [Work(id, since, until, _unpack(m), *said) for id, since, until, m, *said in rows]


def heard_ns(db: sqlite3.Connection) -> tuple[int, int]:
    """When the hub listened first and last, as far as is kept; (0, 0): never."""
    row = db.execute("SELECT min(since_ns), max(until_ns) FROM span WHERE series = 'hub'")
    first, last = row.fetchone()
    going_on = [one for one in still_open(_state(db)) if one.series == HUB]
    begins = [one.since_ns for one in going_on] + ([first] if first is not None else [])
    return min(begins, default=0), max([last or 0, *(one.until_ns for one in going_on)])
