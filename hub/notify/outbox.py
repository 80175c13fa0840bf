"""The outbox: what is owed to people, until it was sent or given up.

Invariants:

- `owe` runs inside the transaction that also stores the engine's transitions: either both are
  on disk or neither is.
- The key is unique, so owing the same message again changes nothing, whatever became of it.
- A row leaves the state `owed` only after the channel took the message, refused it for ever,
  let its time run out, or a later message of the same alert took it in (`merged`).
  A crash between sending and `sent` repeats one message under the same key; nothing is lost.
- A resolved message is owed only where the alert was told before: who never heard of an
  alert isn't bothered with its end.
- What goes out as one (`bind`) is bound on disk before it is sent, so that after a crash exactly
  the same goes out again, under the same key; a failure unbinds it, and it may be told otherwise.

Nobody here commits; the caller has the transaction (`transaction` opens one).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hub.notify.message import NIGHT, Message, dump, load

HORIZON_NS = 2 * 3_600 * 1_000_000_000
"""No retry is put off longer than this; a later time means that the clock went back."""
LONGEST_HOLD_NS = 26 * 3_600 * 1_000_000_000
"""The same for what waits for the morning."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS owed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    transition_id TEXT NOT NULL,
    alert TEXT NOT NULL,
    told TEXT NOT NULL,
    message TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    next_ns INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    hold_ns INTEGER NOT NULL DEFAULT 0,
    bunch TEXT NOT NULL DEFAULT '',
    urgency INTEGER NOT NULL DEFAULT 0,
    bound INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'owed'
        CHECK (state IN ('owed', 'sent', 'failed', 'expired', 'merged')),
    done_ns INTEGER,
    last_error TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS owed_next ON owed (channel, urgency, seq) WHERE state = 'owed';
CREATE INDEX IF NOT EXISTS owed_bunch ON owed (channel, bunch, seq) WHERE state = 'owed';
CREATE INDEX IF NOT EXISTS owed_bound ON owed (channel, seq) WHERE bound = 1;
CREATE INDEX IF NOT EXISTS owed_told ON owed (channel) WHERE state = 'sent' AND told != 'resolved';
CREATE INDEX IF NOT EXISTS owed_of ON owed (alert, channel, seq);
"""
_LATER_COLUMNS = {
    "hold_ns": "INTEGER NOT NULL DEFAULT 0",
    "bunch": "TEXT NOT NULL DEFAULT ''",
    "urgency": "INTEGER NOT NULL DEFAULT 0",
    "bound": "INTEGER NOT NULL DEFAULT 0",
}
"""What an outbox of an earlier version lacks. `hold_ns`: until then it waits for company or the
morning. `bunch`: goes out with others like it. `bound`: on its way as part of a group."""

_OWED = "key, message, created_ns, attempts, last_error, hold_ns"
_HELD = "(hold_ns <= :now OR hold_ns > :farther)"
_DUE = f"(next_ns <= :now OR next_ns > :far) AND {_HELD}"
URGENCIES = {"critical": 0}
"""What is critical is sent first, all else in its order."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One row that is still owed."""

    message: Message
    created_ns: int
    attempts: int
    last_error: str
    hold_ns: int = 0


class Unreadable(Exception):
    """A row that this version can't read; it says which. When: another version wrote it."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"the message owed as {key} can't be read: {reason}")
        self.key = key


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a channel still owes."""

    number: int
    oldest_ns: int | None
    """When the oldest of them was owed."""
    next_ns: int | None
    """When the first of them may be tried."""
    attempts: int
    """How often one of them was tried at the most."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection as the invariants want it: what is committed is on disk."""
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("PRAGMA journal_mode = WAL")
    conn.execute("PRAGMA synchronous = FULL")
    create(conn)
    return conn


def create(conn: sqlite3.Connection) -> None:
    """Make the table where it isn't yet. Outside any transaction."""
    table, *indexes = _SCHEMA.split(";\n")
    conn.execute(table)
    there = {row[1] for row in conn.execute("PRAGMA table_info(owed)")}
    for name, kind in _LATER_COLUMNS.items():
        if name not in there:
            conn.execute(f"ALTER TABLE owed ADD COLUMN {name} {kind}")
    for index in indexes:
        conn.execute(index)


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, in whatever isolation mode the connection was opened."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        conn.rollback()
        raise
    conn.commit()


def owe(conn: sqlite3.Connection, messages: Iterable[Message], now_ns: int) -> int:
    """Note messages as owed, in order; the number of those that are new."""
    return sum(
        owe_anyway(conn, message, now_ns)
        for message in messages
        if message.state != "resolved" or _told(conn, message)
    )


def owe_anyway(conn: sqlite3.Connection, message: Message, now_ns: int) -> int:
    """Note one message as owed, an end without a beginning too (a fallback may get only that)."""
    return conn.execute(
        "INSERT OR IGNORE INTO owed (key, channel, transition_id, alert, told, message,"
        " created_ns, next_ns, hold_ns, bunch, urgency) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            message.key,
            message.channel,
            message.transition,
            message.alert,
            message.state,
            dump(message),
            now_ns,
            now_ns,
            message.not_before_ns,
            message.bunch,
            URGENCIES.get(message.severity, 1),
        ),
    ).rowcount


def _told(conn: sqlite3.Connection, message: Message) -> bool:
    """Whether the channel's last word on that alert was anything but its end."""
    row = conn.execute(
        "SELECT told FROM owed WHERE channel = ? AND alert = ? ORDER BY seq DESC LIMIT 1",
        (message.channel, message.alert),
    ).fetchone()
    return row is not None and row[0] != "resolved"


def due(
    conn: sqlite3.Connection,
    now_ns: int,
    channel: str,
    limit: int = 1,
    *,
    least_tried_first: bool = False,
) -> list[Owed]:
    """What may be sent now, oldest first. Raises `Unreadable`.

    `least_tried_first` is for a channel in trouble: one message that nobody can deliver must
    not stand before all others.
    """
    order = "attempts, urgency, seq" if least_tried_first else "urgency, seq"
    rows = conn.execute(
        f"SELECT {_OWED} FROM owed WHERE state = 'owed' AND channel = :channel AND {_DUE}"  # noqa: S608 (all ours)
        f" ORDER BY {order} LIMIT :limit",
        {**_times(now_ns), "channel": channel, "limit": limit},
    )
    return [_row(row) for row in rows]


def alike(
    conn: sqlite3.Connection, now_ns: int, channel: str, bunch: str | None, limit: int
) -> list[str]:
    """The alerts of which something of that bunch may go out on the channel in company, in the
    order of their news; None: of any bunch. Neither what failed before waits longer then nor what
    waits for company, which this is; what waits for the morning does."""
    rows = conn.execute(
        "SELECT alert FROM owed WHERE state = 'owed' AND channel = :channel"  # noqa: S608 (all ours)
        " AND (bunch = :bunch OR (:bunch IS NULL AND bunch != ''))"
        f" AND (bunch != :night OR {_HELD})"
        " GROUP BY alert ORDER BY min(seq) LIMIT :limit",
        {**_times(now_ns), "channel": channel, "bunch": bunch, "limit": limit, "night": NIGHT},
    )
    return [alert for (alert,) in rows]


def bind(conn: sqlite3.Connection, keys: Iterable[str]) -> None:
    """These are about to go out as one."""
    conn.executemany(
        "UPDATE owed SET bound = 1 WHERE key = ? AND state = 'owed'", [(key,) for key in keys]
    )


def bound(conn: sqlite3.Connection, channel: str) -> list[Owed]:
    """What was on its way as one when it was interrupted. Raises `Unreadable`."""
    rows = conn.execute(
        f"SELECT {_OWED} FROM owed WHERE bound = 1 AND state = 'owed' AND channel = ? ORDER BY seq",  # noqa: S608 (all ours)
        (channel,),
    )
    return [_row(row) for row in rows]


def heard(conn: sqlite3.Connection, alert: str) -> dict[str, Message]:
    """Channel → the last word on that alert there, where that was anything but its end."""
    rows = conn.execute(
        "SELECT channel, told, message, max(seq) FROM owed WHERE alert = ? GROUP BY channel",
        (alert,),
    )
    found = {}
    for channel, told, text, _ in rows:
        if told != "resolved":
            with suppress(msgspec.DecodeError):  # the lane complains of it
                found[channel] = load(text)
    return found


def standing(conn: sqlite3.Connection, channel: str) -> list[Message]:
    """The alerts that the channel was told of last, and not that they are over."""
    rows = conn.execute(
        "SELECT message FROM owed WHERE channel = ? AND state = 'sent' AND told != 'resolved'"
        " AND NOT EXISTS (SELECT 1 FROM owed AS later WHERE later.alert = owed.alert"
        "                 AND later.channel = owed.channel AND later.seq > owed.seq)",
        (channel,),
    )
    found = []
    for (text,) in rows:
        with suppress(msgspec.DecodeError):
            found.append(load(text))
    return found


def of_alert(conn: sqlite3.Connection, channel: str, alert: str) -> list[Owed]:
    """All that the channel still owes about one alert, oldest first, due or not."""
    rows = conn.execute(
        f"SELECT {_OWED} FROM owed"  # noqa: S608 (all ours)
        " WHERE state = 'owed' AND channel = ? AND alert = ? ORDER BY seq",
        (channel, alert),
    )
    return [_row(row) for row in rows]


def backlog(conn: sqlite3.Connection, channel: str) -> Backlog:
    return Backlog(
        *conn.execute(
            "SELECT count(*), min(created_ns), min(max(next_ns, hold_ns)),"
            " coalesce(max(attempts), 0) FROM owed"
            " WHERE state = 'owed' AND channel = ?",
            (channel,),
        ).fetchone()
    )


def sent(conn: sqlite3.Connection, key: str, now_ns: int) -> None:
    """The channel took it."""
    conn.execute(
        "UPDATE owed SET state = 'sent', bound = 0, attempts = attempts + 1, done_ns = ?,"
        " last_error = ''"
        " WHERE key = ? AND state = 'owed'",
        (now_ns, key),
    )


def retry(conn: sqlite3.Connection, key: str, next_ns: int, error: str) -> None:
    """It did not work this time; not again before `next_ns`."""
    conn.execute(
        "UPDATE owed SET bound = 0, attempts = attempts + 1, next_ns = ?, last_error = ?"
        " WHERE key = ? AND state = 'owed'",
        (next_ns, error, key),
    )


def failed(conn: sqlite3.Connection, key: str, now_ns: int, error: str) -> None:
    """It will never work on this channel."""
    _give_up(conn, key, "failed", now_ns, error)


def expired(conn: sqlite3.Connection, key: str, now_ns: int, error: str) -> None:
    """Its time to live is over."""
    _give_up(conn, key, "expired", now_ns, error)


def _give_up(conn: sqlite3.Connection, key: str, state: str, now_ns: int, error: str) -> None:
    conn.execute(
        "UPDATE owed SET state = ?, bound = 0, done_ns = ?, last_error = ?"
        " WHERE key = ? AND state = 'owed'",
        (state, now_ns, error, key),
    )


def merge(conn: sqlite3.Connection, earlier: Sequence[Message], into: Message, now_ns: int) -> None:
    """`into` (worded anew) takes in `earlier`, which are then owed no more."""
    conn.executemany(
        "UPDATE owed SET state = 'merged', done_ns = ?, last_error = ?"
        " WHERE key = ? AND state = 'owed'",
        [(now_ns, f"told by {into.key}", message.key) for message in earlier],
    )
    conn.execute(
        "UPDATE owed SET message = ? WHERE key = ? AND state = 'owed'", (dump(into), into.key)
    )


def abandon(conn: sqlite3.Connection, channels: Iterable[str], now_ns: int) -> dict[str, int]:
    """Give up what is owed to channels that are none of `channels`; how many, by channel.

    When: a channel was taken out of the settings while it still owed something.
    """
    known = set(channels)
    rows = conn.execute(
        "SELECT channel, count(*) FROM owed WHERE state = 'owed' GROUP BY channel"
    ).fetchall()
    gone = {channel: number for channel, number in rows if channel not in known}
    for channel in gone:
        conn.execute(
            "UPDATE owed SET state = 'failed', done_ns = ?, last_error = ?"
            " WHERE channel = ? AND state = 'owed'",
            (now_ns, f"settings have no channel {channel!r} any more", channel),
        )
    return gone


def again(conn: sqlite3.Connection, channel: str, now_ns: int) -> int:
    """Owe what failed or expired on a channel once more, after a person repaired it."""
    return conn.execute(
        "UPDATE owed SET state = 'owed', attempts = 0, created_ns = ?, next_ns = ?, done_ns = NULL"
        " WHERE channel = ? AND state IN ('failed', 'expired')",
        (now_ns, now_ns, channel),
    ).rowcount


def totals(conn: sqlite3.Connection) -> dict[str, dict[str, int]]:
    """Number of rows by channel and state, as far back as `forget` left them."""
    found: dict[str, dict[str, int]] = {}
    for channel, state, number in conn.execute(
        "SELECT channel, state, count(*) FROM owed GROUP BY channel, state"
    ):
        found.setdefault(channel, {})[state] = number
    return found


def forget(conn: sqlite3.Connection, before_ns: int) -> int:
    """Delete what was done with before that time; the number of rows.

    The last word on each alert stays while the alert isn't over: its end must still find it.
    """
    return conn.execute(
        "DELETE FROM owed WHERE state != 'owed' AND done_ns < ? AND (told = 'resolved'"
        " OR seq < (SELECT max(seq) FROM owed AS later"
        "           WHERE later.channel = owed.channel AND later.alert = owed.alert))",
        (before_ns,),
    ).rowcount


def _times(now_ns: int) -> dict[str, int]:
    return {"now": now_ns, "far": now_ns + HORIZON_NS, "farther": now_ns + LONGEST_HOLD_NS}


def _row(row: tuple[str, str, int, int, str, int]) -> Owed:
    key, text, created_ns, attempts, last_error, hold_ns = row
    try:
        return Owed(load(text), created_ns, attempts, last_error, hold_ns)
    except msgspec.DecodeError as error:
        raise Unreadable(key, str(error)) from error
