"""The ledger takes each transition once, knows whose it is, and is never wiped."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.ledger import Ledger, of_journal
from hub.outcome import Outcome, Snapshot
from hub.reading import Reading, Series
from rules.watch import Transition

ALERT = Series.of("alert", "aq1", rule="pm")


def transition(number: int, after: str = "firing", **more: Any) -> Transition:
    values: dict[str, Any] = {
        "id": f"{number}-0",
        "time_ns": number,
        "key": "pm:aq1",
        "rule": "pm",
        "device": "aq1",
        "tags": {},
        "before": "ok",
        "after": after,
        "severity": "warning",
        "value": 1.0,
        "who": "",
        "why": "",
        "title": {},
        "advice": {},
        "notify": (),
        "cause": "",
        "since_ns": number,
    }
    return Transition(**{**values, **more})


def nobody(_db: sqlite3.Connection, _transitions: object) -> None:
    """Owes nobody anything."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "serve.db")
    yield made
    made.close()


def test_what_was_taken_is_not_taken_again_nor_owed_again(ledger: Ledger) -> None:
    owed: list[str] = []

    def owe(_db: sqlite3.Connection, fresh: list[Transition]) -> None:
        owed.extend(t.id for t in fresh)

    assert ledger.commit(Outcome([transition(1), transition(2)]), owe) == 2
    assert ledger.commit(Outcome([transition(2), transition(3)]), owe) == 1
    assert owed == ["1-0", "2-0", "3-0"]
    assert [t["id"] for t in ledger.history(10)] == ["3-0", "2-0", "1-0"]
    assert ledger.history(10, "nobody") == []
    assert ledger.counts()["raised"] == 3


def test_a_commit_that_fails_leaves_nothing_behind(ledger: Ledger) -> None:
    def fails(_db: sqlite3.Connection, _transitions: object) -> None:
        raise RuntimeError("the outbox has a bug")

    both = Outcome([transition(1)], [Reading(ALERT, 1, {"active": 1})])
    with pytest.raises(RuntimeError, match="outbox"):
        ledger.commit(both, fails, Snapshot(7, {"x": 1}))
    assert ledger.history(10) == []
    assert ledger.points(10) == []
    assert ledger.snapshot() == (0, None)
    assert ledger.commit(Outcome([transition(1)]), nobody) == 1


def test_open_alerts_are_the_last_word_of_each_in_the_journal_s_order(ledger: Ledger) -> None:
    stories = [
        transition(900, "firing"),
        transition(100, "resolved", id="901-0"),  # the clock was set back
        transition(101, "firing", id="902-0", key="pm:aq2", device="aq2"),
        transition(102, "acknowledged", id="903-0", key="pm:aq2", device="aq2"),
        transition(103, "pending", id="904-0", key="pm:aq3", device="aq3"),
        transition(104, "ok", id="905-0", key="pm:aq3", device="aq3"),
    ]
    ledger.commit(Outcome(stories), nobody)
    assert {k: t["after"] for k, t in ledger.open_alerts().items()} == {"pm:aq2": "acknowledged"}


def test_a_file_from_before_knows_what_is_open_as_soon_as_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "serve.db"
    before = Ledger(path)
    before.commit(
        Outcome([transition(1), transition(2, key="pm:aq2"), transition(3, "ok")]), nobody
    )
    before.db.execute("DROP TABLE open_alert")
    before.close()
    again = Ledger(path)
    assert list(again.open_alerts()) == ["pm:aq2"]
    again.close()


def test_old_transitions_are_let_go_except_the_last_word_of_what_is_still_on(
    ledger: Ledger,
) -> None:
    stories = [
        transition(10, "pending"),
        transition(11, "firing"),
        transition(12, "firing", key="pm:aq2"),
        transition(13, "resolved", key="pm:aq2"),
        transition(90, "firing", key="pm:aq3"),
    ]
    ledger.commit(Outcome(stories), nobody)
    assert [ledger.forget(50, 2) for _ in range(3)] == [2, 1, 0]
    assert [t["id"] for t in ledger.history(10)] == ["90-0", "11-0"]
    assert sorted(ledger.open_alerts()) == ["pm:aq1", "pm:aq3"]
    ledger.commit(Outcome([transition(95, "resolved", before="firing")]), nobody)
    assert ledger.forget(50, 10) == 1
    assert list(ledger.open_alerts()) == ["pm:aq3"]


def test_what_is_open_and_what_is_old_are_asked_without_reading_the_whole_past(
    ledger: Ledger,
) -> None:
    """By SQLite's own plan of each question: no scan of the transitions."""
    asked: list[str] = []
    ledger.db.set_trace_callback(asked.append)
    ledger.open_alerts()
    ledger.history(10, "aq1")
    ledger.history(10)
    ledger.forget(50, 10)
    ledger.db.set_trace_callback(None)
    for question in asked:
        plan = [row[3] for row in ledger.db.execute(f"EXPLAIN QUERY PLAN {question}")]
        assert not [step for step in plan if step == "SCAN transition"], (question, plan)
    assert len(asked) == 4


def test_of_two_points_at_one_time_the_later_wins_even_over_one_on_its_way(ledger: Ledger) -> None:
    ledger.commit(Outcome(points=[Reading(ALERT, 5, {"state": "pending"})]), nobody)
    on_its_way = ledger.points(10)
    ledger.commit(Outcome(points=[Reading(ALERT, 5, {"state": "firing"})]), nobody)
    ledger.stored(on_its_way)
    assert [p.reading.fields for p in ledger.points(10)] == [{"state": "firing"}]


def test_points_wait_in_order_until_they_are_stored(ledger: Ledger) -> None:
    for number in range(10):
        ledger.commit(Outcome(points=[Reading(ALERT, number, {"active": 1})]), nobody)
    first = ledger.points(4)
    assert [p.reading.time_ns for p in first] == [0, 1, 2, 3]
    ledger.stored(first)
    assert [p.reading.time_ns for p in ledger.points(100)] == [4, 5, 6, 7, 8, 9]
    assert ledger.points(1)[0].seq > first[-1].seq
    ledger.stored([])


def aside(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("serve.db.aside*") if "-" not in p.name)


def test_it_is_found_again_by_its_journal_and_has_one_name(tmp_path: Path) -> None:
    path = tmp_path / "serve.db"
    ledger = of_journal(path, "journal a")
    name = ledger.id
    assert len(name) == 16
    ledger.commit(Outcome([transition(1)]), nobody)
    ledger.close()
    again = of_journal(path, "journal a")
    assert again.id == name
    assert len(again.history(10)) == 1
    again.close()
    assert aside(tmp_path) == []


def test_the_ledger_of_another_journal_is_set_aside_whole(tmp_path: Path) -> None:
    """Its record ids mean other records: it would take the new ones for old."""
    path = tmp_path / "serve.db"
    old = of_journal(path, "journal a")
    old.commit(Outcome([transition(1)]), nobody, Snapshot(1_000_000, {"state": 1}))
    old_name = old.id
    old.close()
    new = of_journal(path, "journal b")
    assert new.snapshot() == (0, None)
    assert new.commit(Outcome([transition(1)]), nobody) == 1
    assert new.id != old_name
    new.close()
    assert aside(tmp_path) == ["serve.db.aside1"]
    kept = Ledger(tmp_path / "serve.db.aside1")
    assert kept.snapshot()[0] == 1_000_000
    assert len(kept.history(10)) == 1
    kept.close()


@pytest.mark.parametrize("how", ["no database", "a page", "short"])
def test_a_file_that_can_not_be_read_is_set_aside_and_never_wiped(tmp_path: Path, how: str) -> None:
    path = tmp_path / "serve.db"
    ledger = of_journal(path, "journal a")
    for number in range(300):
        ledger.commit(Outcome([transition(number)]), nobody)
    ledger.close()
    data = bytearray(path.read_bytes())
    if how == "no database":
        data[:100] = b"x" * 100
    elif how == "a page":
        data[4096 * 3 : 4096 * 9] = bytes(4096 * 6)
    else:
        del data[5000:]
    path.write_bytes(data)
    fresh = of_journal(path, "journal a")
    assert fresh.history(10) == []
    fresh.close()
    assert aside(tmp_path) == ["serve.db.aside1"]
    assert (tmp_path / "serve.db.aside1").read_bytes()[:4000] == bytes(data[:4000])
    path.write_bytes(b"not again")
    of_journal(path, "journal a").close()
    assert aside(tmp_path) == ["serve.db.aside1", "serve.db.aside2"]


def test_a_folder_that_can_not_be_written_is_no_reason_to_set_anything_aside(
    tmp_path: Path,
) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        of_journal(tmp_path / "missing" / "serve.db", "journal a")
