"""Escalations, reminders, hand-overs: what is due by a tick is owed once, whatever dies between."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.clock import NS
from hub.notify import desk, onduty, outbox
from hub.notify.channels.base import Policy
from hub.notify.desk import Desk
from hub.notify.message import Facts, Message, load
from hub.notify.rota import Person
from hub.notify.routing import Router, Team
from rules.transition import Transition
from tests.notify_support import HOUR, MINUTE, NOON, ZONE, change
from tests.test_notify_rota import at

TEAMS: dict[str, Any] = {
    "dlh": {
        "name": "DLH",
        "channels": ["tg", "am"],
        "rota": {"people": ["andi", "budi"], "since": "2026-11-02"},
        "escalation": [
            {"after": "15m", "teams": ["kominfo"]},
            {"after": "30m", "channels": ["boss"], "severities": ["critical"]},
        ],
    },
    "kominfo": {"channels": ["noc"], "quiet": {"from": "21:00", "until": "06:00"}, "remind": "0s"},
}
PEOPLE = {name: Person(name=name.title(), channels=[f"{name}-tg"]) for name in ("andi", "budi")}


class Office:
    """A desk, its outbox, and time."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.now = NOON
        self.silenced: set[str] = set()
        self.anew()

    def anew(self) -> None:
        """As after a restart."""
        channels = {name: Policy(group_by=[], wait_s=0) for name in
                    ("tg", "noc", "boss", "guests", "andi-tg", "budi-tg")}  # fmt: skip
        channels["am"] = Policy(audience="machine")
        router = Router(
            {name: Team.model_validate(team) for name, team in TEAMS.items()},
            channels,
            lambda _: Facts(),
            language="id",
            zone=ZONE,
            people=PEOPLE,
        )
        self.desk = Desk(router, lambda: self.now, lambda: self.silenced)

    def owe(self, *transitions: Transition) -> list[str]:
        with outbox.transaction(self.db):
            self.desk.owe(self.db, transitions)
        return self.new()

    def tick(self, now: int) -> list[str]:
        self.now = now
        if not self.desk.wants(self.db, now):
            return []
        with outbox.transaction(self.db):
            self.desk.tick(self.db, now)
        return self.new()

    def wait(self, minutes: float, step: float = 1) -> list[str]:
        """Ticks for so long; what came of them."""
        found, end = [], self.now + round(minutes * MINUTE)
        while self.now < end:
            found += self.tick(min(end, self.now + round(step * MINUTE)))
        return found

    def new(self) -> list[str]:
        """`channel kind-or-state` of what was owed since the last look, which is sent now."""
        return [f"{m.channel} {m.kind or m.state}" for m in self.take()]

    def take(self) -> list[Message]:
        rows = self.db.execute(
            "SELECT message FROM owed WHERE state = 'owed' ORDER BY seq"
        ).fetchall()
        self.db.execute("UPDATE owed SET state = 'sent', done_ns = 1 WHERE state = 'owed'")
        return [load(text) for (text,) in rows]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    db = outbox.connect(tmp_path / "serve.db")
    desk.create(db)
    office = Office(db)
    office.tick(NOON)
    yield office
    db.close()


def taken(who: str = "Budi", at_ns: int = NOON + MINUTE) -> Transition:
    by = {"before": "firing", "after": "acknowledged", "notify": (), "who": who}
    return change(id="8-0", why="di jalan", time_ns=at_ns, **by)


def over(at_ns: int = NOON + HOUR, **more: Any) -> Transition:
    return change(id="9-0", before="firing", after="resolved", time_ns=at_ns, **more)


def test_a_team_and_who_is_on_duty_are_told(office: Office) -> None:
    assert office.owe(change()) == ["tg firing", "am firing", "andi-tg firing"]


def test_a_reminder_comes_in_the_language_in_which_a_channel_was_told(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever team's turn it is: all who were told are reminded together."""
    abroad = {"channels": ["guests"], "language": "en", "remind": "4h"}
    monkeypatch.setitem(TEAMS, "abroad", abroad)
    office.anew()
    office.owe(change(notify=("abroad", "dlh")))
    office.now = NOON + 2 * HOUR
    with outbox.transaction(office.db):
        office.desk.tick(office.db, office.now)
    said = {m.channel: (m.kind, m.language) for m in office.take() if m.kind}
    assert said["guests"] == ("reminder", "en")


def test_nobody_answers_so_the_next_team_is_told_once(office: Office) -> None:
    office.owe(change())
    assert office.wait(14.9) == []
    assert office.wait(0.2) == ["noc escalation"]
    assert office.wait(60) == []  # the second step is for what is critical


def test_what_is_critical_takes_every_step_and_tells_how_long_nobody_answered(
    office: Office,
) -> None:
    office.owe(change(severity="critical"))
    office.now = NOON + 16 * MINUTE
    with outbox.transaction(office.db):
        office.desk.tick(office.db, office.now)
    (one,) = office.take()
    assert one.title.startswith("ESKALASI · KRITIS · PM2.5")
    assert "Belum ada yang menangani setelah 16 menit." in one.text
    assert office.wait(20) == ["boss escalation"]


def test_after_a_pause_every_step_that_came_due_is_taken_in_order(office: Office) -> None:
    office.owe(change(severity="critical"))
    assert office.tick(NOON + HOUR) == ["noc escalation", "boss escalation"]


def test_an_acknowledgement_ends_escalation_and_all_who_were_told_hear_of_it(
    office: Office,
) -> None:
    office.owe(change())
    said = office.owe(taken())
    assert said == ["am acknowledged", "andi-tg acknowledged", "tg acknowledged"]
    assert office.wait(300) == []


def test_an_acknowledgement_taken_back_begins_again_where_it_stood(office: Office) -> None:
    office.owe(change())
    office.owe(taken())
    office.wait(10)
    back = change(id="8-1", before="acknowledged", after="firing", notify=(), who="Budi")
    assert office.owe(back) == []
    assert office.wait(10) == ["noc escalation"]


def test_who_was_told_by_escalation_hears_the_end_too(office: Office) -> None:
    office.owe(change())
    office.wait(16)
    assert set(office.owe(over())) == {
        "tg resolved", "am resolved", "andi-tg resolved", "noc resolved"
    }  # fmt: skip
    assert office.wait(300) == []


def test_an_end_under_a_silence_is_told_to_machines_only(office: Office) -> None:
    office.owe(change())
    assert office.owe(over(notify=())) == ["am resolved"]


def test_what_goes_on_unanswered_is_told_again_ever_more_rarely_to_people(office: Office) -> None:
    office.owe(change())
    found = office.wait(60 * 15, step=10)
    reminders = [one for one in found if one.startswith("tg")]
    assert reminders == ["tg reminder"] * 3  # after 2, 6 and 14 hours
    assert "am reminder" not in found
    assert "andi-tg reminder" in found


def test_a_reminder_says_that_it_is_none_of_the_first(office: Office) -> None:
    office.owe(change())
    office.now = NOON + 2 * HOUR
    with outbox.transaction(office.db):
        office.desk.tick(office.db, office.now)
    one = next(m for m in office.take() if m.channel == "tg" and m.kind == "reminder")
    assert one.title == "MASIH AKTIF · PERINGATAN · PM2.5 tidak sehat di Balige"
    assert "Belum pulih dan belum ditangani setelah 2 jam." in one.text


def test_while_it_is_silenced_nobody_is_called_and_afterwards_it_goes_on(office: Office) -> None:
    office.owe(change())
    office.silenced = {change().key}
    assert office.wait(60) == []
    office.silenced = set()
    assert office.wait(2) == ["noc escalation"]


def test_at_night_an_escalation_waits_if_it_is_not_critical(office: Office) -> None:
    night = at("2026-11-10 22:00")
    office.now = night
    office.owe(change(time_ns=night))
    office.tick(night + 16 * MINUTE)
    hold = dict(office.db.execute("SELECT channel, hold_ns FROM owed"))
    assert hold["noc"] == at("2026-11-11 06:00")
    assert hold["tg"] == 0


def test_killed_before_the_commit_it_is_owed_again_and_after_it_not(
    office: Office, tmp_path: Path
) -> None:
    office.owe(change())
    office.db.execute("BEGIN IMMEDIATE")
    assert office.desk.tick(office.db, NOON + 16 * MINUTE) == 1
    office.db.rollback()
    office.anew()
    assert office.tick(NOON + 16 * MINUTE) == ["noc escalation"]
    office.anew()
    assert office.tick(NOON + 16 * MINUTE) == []
    assert office.tick(NOON + 17 * MINUTE) == []


def test_who_comes_on_duty_is_told_what_is_open_once(office: Office) -> None:
    office.owe(
        change(), change(id="7-1", key="x", severity="critical", title={"id": "Router mati"})
    )
    office.owe(taken())
    monday = at("2026-11-23 08:00")
    office.now = monday + NS
    with outbox.transaction(office.db):
        office.desk.tick(office.db, office.now)
    said = [m for m in office.take() if m.kind == "handover"]
    assert [m.channel for m in said] == ["tg", "budi-tg"]
    assert said[0].title == "Serah terima piket DLH: Budi"
    assert "Gangguan terbuka: 2, ditangani: 1." in said[0].text
    assert "Piket sebelumnya: Andi." in said[0].text
    office.anew()
    assert [one for one in office.tick(monday + MINUTE) if "handover" in one] == []


def test_each_team_shows_who_is_on_duty_who_is_next_and_what_would_be_handed_over(
    office: Office,
) -> None:
    office.owe(change(severity="critical"))
    office.owe(taken())
    dlh, kominfo = onduty.teams(office.desk, office.db, NOON + HOUR)
    assert (dlh.name, dlh.open, dlh.taken) == ("DLH", 1, 1)
    assert dlh.channels == ("tg", "am", "andi-tg")
    assert dlh.now is not None
    assert dlh.next is not None
    assert (dlh.now.name, dlh.next.name, dlh.now.until_ns) == ("Andi", "Budi", dlh.next.since_ns)
    title, text = dlh.handover["en"]
    assert title == "Hand-over of DLH: Andi is on duty"
    assert "Open alerts: 1, acknowledged: 1." in text
    assert dlh.handover["id"][1] == office.desk.digest(office.db, "dlh", NOON + HOUR)[0].text
    assert (kominfo.now, kominfo.next, kominfo.handover) == (None, None, {})


def test_an_alert_that_is_over_for_good_leaves_nothing_behind(office: Office) -> None:
    office.owe(change())
    office.owe(over())
    assert office.db.execute("SELECT count(*) FROM call").fetchone() == (0,)


def test_a_team_taken_out_of_the_settings_is_forgotten_quietly(office: Office) -> None:
    office.owe(change())
    office.db.execute("UPDATE call SET team = 'gone'")
    assert office.wait(300, step=30) == ["andi-tg reminder", "tg reminder"]
