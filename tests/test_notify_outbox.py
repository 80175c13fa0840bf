"""The outbox: exactly once in, at least once out, whatever dies in between."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.notify import outbox
from hub.notify.message import collapse
from tests.notify_support import HOUR, MINUTE, NOON, numbered


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    conn = outbox.connect(tmp_path / "serve.db")
    yield conn
    conn.close()


def keys(conn: sqlite3.Connection, now_ns: int = NOON, channel: str = "hook") -> list[str]:
    return [row.message.key for row in outbox.due(conn, now_ns, channel, 99)]


def test_owing_the_same_message_again_changes_nothing_even_after_it_was_sent(
    conn: sqlite3.Connection,
) -> None:
    one = numbered(1)
    assert outbox.owe(conn, [one, one], NOON) == 1
    outbox.sent(conn, one.key, NOON)
    assert outbox.owe(conn, [one], NOON) == 0
    assert keys(conn) == []


def test_messages_come_out_in_order_and_only_for_their_channel(conn: sqlite3.Connection) -> None:
    ours, other = [numbered(n) for n in (3, 1, 2)], numbered(4, "mail")
    outbox.owe(conn, [ours[0], other, *ours[1:]], NOON)
    assert keys(conn) == [m.key for m in ours]
    assert keys(conn, channel="mail") == [other.key]
    assert len(outbox.due(conn, NOON, "hook", 2)) == 2


def test_a_rolled_back_transaction_owes_nothing(conn: sqlite3.Connection) -> None:
    def engine_step() -> None:
        with outbox.transaction(conn):
            outbox.owe(conn, [numbered(1)], NOON)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        engine_step()
    assert keys(conn) == []
    assert not conn.in_transaction


@pytest.mark.parametrize("isolation", [None, "", "IMMEDIATE"])
def test_transactions_hold_in_every_isolation_mode(tmp_path: Path, isolation: str | None) -> None:
    path = tmp_path / "serve.db"
    outbox.connect(path).close()
    conn = sqlite3.connect(path, isolation_level=isolation)  # type: ignore[arg-type]
    with outbox.transaction(conn):
        outbox.owe(conn, [numbered(1)], NOON)
    conn.close()
    again = outbox.connect(path)
    assert len(keys(again)) == 1
    again.close()


def test_a_retry_waits_and_the_least_tried_may_go_first(conn: sqlite3.Connection) -> None:
    one, two = numbered(1), numbered(2)
    outbox.owe(conn, [one, two], NOON)
    outbox.retry(conn, one.key, NOON + MINUTE, "busy")
    assert keys(conn) == [two.key]
    assert keys(conn, NOON + MINUTE) == [one.key, two.key]
    row = outbox.due(conn, NOON + MINUTE, "hook", least_tried_first=True)[0]
    assert row.message == two
    assert outbox.due(conn, NOON + MINUTE, "hook")[0].last_error == "busy"


def test_a_clock_set_back_by_a_day_puts_no_message_off_for_a_day(conn: sqlite3.Connection) -> None:
    one = numbered(1)
    outbox.owe(conn, [one], NOON)
    outbox.retry(conn, one.key, NOON + MINUTE, "busy")
    assert keys(conn, NOON - 24 * HOUR) == [one.key]


def test_who_never_heard_of_an_alert_is_not_told_its_end(conn: sqlite3.Connection) -> None:
    firing, over = numbered(1, alert="a"), numbered(2, alert="a", resolved=True)
    assert outbox.owe(conn, [over], NOON) == 0
    assert outbox.owe(conn, [firing, over, numbered(3, alert="a", resolved=True)], NOON) == 2
    assert keys(conn) == [firing.key, over.key]


def test_the_end_is_told_although_the_beginning_failed_and_long_after_it_was_forgotten(
    conn: sqlite3.Connection,
) -> None:
    firing, over = numbered(1, alert="a"), numbered(2, alert="a", resolved=True)
    done = numbered(3, alert="b"), numbered(4, alert="b", resolved=True)
    outbox.owe(conn, [firing, *done], NOON)
    for each in done:
        outbox.sent(conn, each.key, NOON)
    outbox.failed(conn, firing.key, NOON, "no such chat")
    assert outbox.forget(conn, NOON + HOUR) == 2
    assert outbox.owe(conn, [over], NOON + HOUR) == 1


def test_merged_messages_are_owed_as_one(conn: sqlite3.Connection) -> None:
    firing, over = numbered(1, alert="a"), numbered(2, alert="a", resolved=True)
    outbox.owe(conn, [firing, over], NOON)
    rows = [row.message for row in outbox.of_alert(conn, "hook", "a")]
    one = collapse(rows[:-1], rows[-1])
    outbox.merge(conn, rows[:-1], one, NOON)
    assert [row.message for row in outbox.due(conn, NOON, "hook", 9)] == [one]
    assert outbox.totals(conn) == {"hook": {"merged": 1, "owed": 1}}


def test_what_is_done_stays_done(conn: sqlite3.Connection) -> None:
    one = numbered(1)
    outbox.owe(conn, [one], NOON)
    outbox.sent(conn, one.key, NOON)
    outbox.retry(conn, one.key, NOON, "late answer")
    outbox.failed(conn, one.key, NOON, "late answer")
    assert outbox.totals(conn) == {"hook": {"sent": 1}}


def test_the_backlog_tells_number_oldest_and_next(conn: sqlite3.Connection) -> None:
    assert outbox.backlog(conn, "hook") == outbox.Backlog(0, None, None, 0)
    one, two = numbered(1), numbered(2)
    outbox.owe(conn, [one], NOON)
    outbox.owe(conn, [two], NOON + MINUTE)
    outbox.retry(conn, one.key, NOON + HOUR, "busy")
    assert outbox.backlog(conn, "hook") == outbox.Backlog(2, NOON, NOON + MINUTE, 1)


def test_what_is_owed_to_a_channel_that_is_gone_is_given_up_by_name(
    conn: sqlite3.Connection,
) -> None:
    outbox.owe(conn, [numbered(1, "old"), numbered(2, "old"), numbered(3, "hook")], NOON)
    assert outbox.abandon(conn, ["hook"], NOON) == {"old": 2}
    assert len(keys(conn)) == 1


def test_a_repaired_channel_can_be_given_its_failures_again(conn: sqlite3.Connection) -> None:
    one = numbered(1)
    outbox.owe(conn, [one], NOON)
    outbox.failed(conn, one.key, NOON, "no such chat")
    assert outbox.again(conn, "hook", NOON + HOUR) == 1
    assert keys(conn, NOON + HOUR) == [one.key]


_DIES = """
import os, sqlite3, sys
from hub.notify import outbox
from tests.notify_support import NOON, numbered
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA synchronous=FULL")
conn.execute("CREATE TABLE IF NOT EXISTS transitions (id TEXT PRIMARY KEY)")
for number in range(1, 50):
    conn.execute("BEGIN IMMEDIATE")
    conn.execute("INSERT OR IGNORE INTO transitions VALUES (?)", (f"{number}-0",))
    if f"{number}:{sys.argv[2]}" == "25:between":
        os.kill(os.getpid(), 9)
    outbox.owe(conn, [numbered(number)], NOON)
    if f"{number}:{sys.argv[2]}" == "25:before commit":
        os.kill(os.getpid(), 9)
    conn.commit()
    if f"{number}:{sys.argv[2]}" == "25:after commit":
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(
    ("point", "kept"), [("between", 24), ("before commit", 24), ("after commit", 25)]
)
def test_killed_at_any_point_transitions_and_messages_agree_and_a_second_run_completes_them(
    tmp_path: Path, point: str, kept: int
) -> None:
    path = tmp_path / "serve.db"
    outbox.connect(path).close()

    def run(dies_at: str) -> int:
        return subprocess.run([sys.executable, "-c", _DIES, str(path), dies_at]).returncode

    assert run(point) == -9
    conn = outbox.connect(path)
    assert len(keys(conn)) == kept
    assert conn.execute("SELECT count(*) FROM transitions").fetchone() == (kept,)
    assert run("nowhere") == 0
    assert keys(conn) == [numbered(n).key for n in range(1, 50)]
    conn.close()
