"""What the serve process must not forget, in one SQLite file: alerts and owed notifications.

The engine is a fold over the journal; this file is where the fold rests. A transition, the
notifications it owes and the alert points it makes are committed in one transaction under ids that
follow from the journal record, so folding the same records again after a crash inserts nothing.
The snapshot may be older than the newest transition: what lies between is folded again.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from hub import logs, proposals, timesheet
from hub.edges import Edge
from hub.inventory import Inventory
from hub.outcome import Acted, Outcome, Snapshot
from hub.presence import Presence
from hub.proposals import Found, Proposed
from hub.reading import Reading, Series
from rules.act import Act
from rules.watch import Transition

log = logs.get("ledger")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS owner (
  one INTEGER PRIMARY KEY CHECK (one = 1), ledger TEXT NOT NULL, journal TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS snapshot (
  one INTEGER PRIMARY KEY CHECK (one = 1), last_id INTEGER NOT NULL, state BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS configuration (
  one INTEGER PRIMARY KEY CHECK (one = 1), payload BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS transition (
  id TEXT PRIMARY KEY, time_ns INTEGER NOT NULL, device TEXT NOT NULL, rule TEXT NOT NULL,
  before TEXT NOT NULL, after TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS transition_time ON transition (time_ns);
CREATE INDEX IF NOT EXISTS transition_device ON transition (device, time_ns);
CREATE TABLE IF NOT EXISTS act (
  id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS point (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, series TEXT NOT NULL, time_ns INTEGER NOT NULL,
  fields BLOB NOT NULL, UNIQUE (series, time_ns)
) STRICT;
CREATE TABLE IF NOT EXISTS edge (
  device TEXT NOT NULL, port TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (device, port, name)
) STRICT, WITHOUT ROWID;
"""

_OPEN = (
    "CREATE TABLE open_alert (key TEXT PRIMARY KEY, transition TEXT NOT NULL UNIQUE) "
    "STRICT, WITHOUT ROWID"
)
"""Each alert that is not over and its last transition, so that to ask for them costs what they are,
not what ever was."""
UP = ("pending", "firing", "acknowledged")

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Point(NamedTuple):
    """An alert reading on its way to the store."""

    seq: int
    reading: Reading


class Ledger:
    """One connection, used by one thread."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises sqlite3.Error if the file is no ledger."""
        self.note = ""
        """What a person should know of how it was opened; empty: nothing."""
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self.db.execute("PRAGMA journal_mode = WAL")
            # FULL: a committed transition survives a power cut, and no message is sent before that.
            self.db.execute("PRAGMA synchronous = FULL")
            self.db.executescript(_SCHEMA + timesheet.SCHEMA + proposals.SCHEMA)
            self._keep_open_apart()
        except sqlite3.Error:
            self.db.close()
            raise

    def _keep_open_apart(self) -> None:
        """Once for each file: find what is open. Others may be opening the file right now."""
        known = "SELECT 1 FROM sqlite_master WHERE name = 'open_alert'"
        if self.db.execute(known).fetchone():
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            if not self.db.execute(known).fetchone():
                self.db.execute(_OPEN)
                # In the order of the journal: the clock may have been set back in between.
                for (body,) in self.db.execute("SELECT body FROM transition ORDER BY rowid"):
                    t = _unpack(body)
                    self._note_open(t["key"], t["id"], t["after"])
            self.db.execute("COMMIT")
        except BaseException:
            self.db.rollback()
            raise

    def _note_open(self, key: str, id: str, after: str) -> None:
        if after in UP:
            self.db.execute("INSERT OR REPLACE INTO open_alert VALUES (?, ?)", (key, id))
        else:
            self.db.execute("DELETE FROM open_alert WHERE key = ?", (key,))

    def claim(self, journal: str) -> bool:
        """Make this the ledger of that journal; False if it is another's."""
        self.db.execute(
            "INSERT OR IGNORE INTO owner VALUES (1, ?, ?)", (secrets.token_hex(8), journal)
        )
        return bool(self.db.execute("SELECT journal FROM owner").fetchone()[0] == journal)

    @property
    def id(self) -> str:
        """Tells this file from one that stood in the same place before: `point.seq` begins at 1
        in each."""
        row = self.db.execute("SELECT ledger FROM owner").fetchone()
        return row[0] if row else ""

    def snapshot(self) -> tuple[int, Any]:
        """The last folded record's id and the state after it; (0, None) at the beginning."""
        row = self.db.execute("SELECT last_id, state FROM snapshot").fetchone()
        return (row[0], _unpack(row[1])) if row else (0, None)

    def configuration(self) -> bytes:
        """The record of the rule set that the snapshot belongs to; empty: none is known."""
        row = self.db.execute("SELECT payload FROM configuration").fetchone()
        return bytes(row[0]) if row else b""

    def commit(
        self,
        outcome: Outcome,
        owe: Callable[[sqlite3.Connection, Sequence[Transition]], object],
        snapshot: Snapshot | None = None,
    ) -> int:
        """Everything in one transaction, with what is owed for the transitions that are new; how
        many these are."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            fresh = [t for t in outcome.transitions if self._insert(t)]
            owe(self.db, fresh)
            for one in outcome.acts:
                self._note_act(one)
            self.db.executemany(
                # Of two points at one time the later wins, under a number of its own: the
                # earlier may be on its way to the store right now.
                "INSERT OR REPLACE INTO point (series, time_ns, fields) VALUES (?, ?, ?)",
                [(r.series.key, r.time_ns, _pack(r.fields)) for r in outcome.points],
            )
            proposals.keep(self.db, outcome.proposed)
            if snapshot is not None:
                self._keep(snapshot)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.rollback()  # or nothing, where a full disk made SQLite do it by itself
            raise
        return len(fresh)

    def _insert(self, t: Transition) -> bool:
        cursor = self.db.execute(
            "INSERT OR IGNORE INTO transition VALUES (?, ?, ?, ?, ?, ?, ?)",
            (t.id, t.time_ns, t.device, t.rule, t.before, t.after, _pack(t)),
        )
        if cursor.rowcount <= 0:
            return False
        self._note_open(t.key, t.id, t.after)
        return True

    def _note_act(self, one: Acted) -> None:
        said = one.id, one.time_ns, _pack(asdict(one.act))
        if self.db.execute("INSERT OR IGNORE INTO act VALUES (?, ?, ?)", said).rowcount > 0:
            proposals.judge(self.db, one.act, one.time_ns)

    def _keep(self, snapshot: Snapshot) -> None:
        self.db.execute(
            "INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?)",
            (snapshot.last_id, _pack(snapshot.state)),
        )
        if snapshot.rule_set:
            self.db.execute(
                "INSERT OR REPLACE INTO configuration VALUES (1, ?)", (snapshot.rule_set,)
            )
        if snapshot.presence is not None:
            timesheet.keep(self.db, snapshot.presence)
        self.db.executemany(
            "INSERT OR REPLACE INTO edge VALUES (?, ?, ?, ?)",
            [(one.device, one.port, one.name, _pack(one)) for one in snapshot.edges],
        )

    def presence(self) -> Presence:
        """As it was kept last; a new one at the beginning."""
        return timesheet.presence(self.db)

    def history(self, limit: int, device: str = "") -> list[dict[str, Any]]:
        """The newest transitions first."""
        where = "WHERE device = ?" if device else ""
        rows = self.db.execute(
            f"SELECT body FROM transition {where} ORDER BY time_ns DESC, rowid DESC LIMIT ?",  # noqa: S608 (ours)
            (device, limit) if device else (limit,),
        )
        return [_unpack(body) for (body,) in rows]

    def forget(self, before_ns: int, most: int) -> int:
        """Delete the oldest transitions from before that time, `most` at once; how many there were.
        The last word of an alert that is not over stays, however old it is."""
        return self.db.execute(
            "DELETE FROM transition WHERE rowid IN (SELECT rowid FROM transition"
            " WHERE time_ns < ? AND id NOT IN (SELECT transition FROM open_alert)"
            " ORDER BY time_ns LIMIT ?)",
            (before_ns, most),
        ).rowcount

    def edges(self) -> list[Edge]:
        """What devices last said of their neighbours."""
        rows = self.db.execute("SELECT body FROM edge ORDER BY device, port, name")
        return [Edge(*_unpack(body)) for (body,) in rows]

    def proposals(self) -> list[Proposed]:
        """Devices that collectors met, the youngest first."""
        return proposals.kept(self.db)

    def found(self, inventory: Inventory) -> Found:
        """What that inventory does not have, and what of it people dismissed."""
        dismissals = proposals.dismissals(self.db)
        return Found.of(self.proposals(), self.edges(), inventory, dismissals)

    def acts(self, limit: int) -> list[Acted]:
        """What people did, the newest first; the journal forgets it, this file doesn't."""
        rows = self.db.execute(
            "SELECT id, time_ns, body FROM act ORDER BY id DESC LIMIT ?", (limit,)
        )
        return [Acted(id_, time_ns, Act(**_unpack(body))) for id_, time_ns, body in rows]

    def since(self, since_ns: int) -> tuple[int, int]:
        """How many alerts began to fire since then, and how many were over."""
        row = self.db.execute(
            "SELECT count(*) FILTER"
            " (WHERE after = 'firing' AND before IN ('ok', 'pending', 'resolved')),"
            " count(*) FILTER (WHERE after = 'resolved') FROM transition WHERE time_ns >= ?",
            (since_ns,),
        ).fetchone()
        return int(row[0]), int(row[1])

    def open_alerts(self) -> dict[str, dict[str, Any]]:
        """The last transition of each alert that is pending, firing or acknowledged, by key."""
        # CROSS JOIN keeps SQLite from reading every transition in order instead.
        rows = self.db.execute(
            "SELECT body FROM open_alert CROSS JOIN transition"
            " ON transition.id = open_alert.transition"
            " ORDER BY transition.rowid"
        )
        return {found["key"]: found for found in (_unpack(body) for (body,) in rows)}

    def counts(self) -> dict[str, int]:
        """How many alerts were raised and resolved, as far back as is kept; told late is not raised
        again."""
        row = self.db.execute(
            "SELECT count(*) FILTER (WHERE after = 'firing'"
            "                        AND before NOT IN ('firing', 'acknowledged')),"
            "       count(*) FILTER (WHERE after = 'resolved') FROM transition"
        ).fetchone()
        return {"raised": row[0], "resolved": row[1]}

    def points(self, limit: int) -> list[Point]:
        """The oldest alert points that are not stored yet."""
        rows = self.db.execute(
            "SELECT seq, series, time_ns, fields FROM point ORDER BY seq LIMIT ?", (limit,)
        )
        return [
            Point(seq, Reading(Series.parse(key), time_ns, _unpack(fields)))
            for seq, key, time_ns, fields in rows
        ]

    def stored(self, points: Sequence[Point]) -> None:
        """These points, which `points` gave, are in the store; forget them.

        One statement, since each is a transaction with an fsync of its own.
        """
        if points:
            self.db.execute(
                "DELETE FROM point WHERE seq BETWEEN ? AND ?", (points[0].seq, points[-1].seq)
            )

    def close(self) -> None:
        self.db.close()


def of_journal(path: Path, journal: str) -> Ledger:
    """Open the ledger that belongs to a journal.

    One that can't be read, or that knows the record ids of another journal, is set aside, not
    wiped, and the journal is folded into a new one. Raises sqlite3.OperationalError (disk, rights).
    """
    try:
        ledger = Ledger(path)
        found = ledger.db.execute("PRAGMA quick_check(1)").fetchone()[0]
        why = "" if found == "ok" else str(found)
        if not why and not ledger.claim(journal):
            why = "it belongs to another journal"
        if not why:
            return ledger
        ledger.close()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        why = str(error)
    aside = _set_aside(path)
    log.error("alerts of before are set aside, beginning anew", why=why, file=str(aside))
    ledger = Ledger(path)
    ledger.claim(journal)
    ledger.note = f"since this start the alerts of before are set aside in {aside} ({why})"
    return ledger


def _set_aside(path: Path) -> Path:
    """Move a database away with the files that belong to it."""
    number = 1
    while (aside := path.with_name(f"{path.name}.aside{number}")).exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    return aside
