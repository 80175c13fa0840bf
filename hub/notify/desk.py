"""Who has been told and has not answered: escalations, reminders, hand-overs.

Its memory is two tables beside the outbox. They change in the transaction that stores the
transitions, and time is that of the journal's ticks, which the engine folds in order:

- a step is taken and owed in one transaction, under a key made of the alert's transition and the
  step's number: after a crash at any instruction it is neither forgotten nor repeated;
- what came before a tick in the journal (an acknowledgement, an end) counts at that tick, also
  when an hour of it is caught up on after a restart;
- it is state beside the fold and not inside it, because it follows from today's teams and rotas,
  which may be changed without an alert being another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import msgspec

from hub.clock import NS
from hub.notify import outbox
from hub.notify.group import Shift, handover
from hub.notify.message import Message
from hub.notify.routing import Hearer, Router, Team
from rules.duration import DAY, MINUTE
from rules.transition import Transition

_SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS call (
        alert TEXT NOT NULL,
        team TEXT NOT NULL,
        body BLOB NOT NULL,
        told_ns INTEGER NOT NULL,
        step INTEGER NOT NULL DEFAULT 0,
        step_ns INTEGER,
        reminded INTEGER NOT NULL DEFAULT 0,
        remind_ns INTEGER,
        taken TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (alert, team)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE INDEX IF NOT EXISTS call_next
        ON call (min(ifnull(step_ns, 9e18), ifnull(remind_ns, 9e18))) WHERE taken = ''
    """,
    "CREATE TABLE IF NOT EXISTS duty (team TEXT PRIMARY KEY, since_ns INTEGER NOT NULL) STRICT",
)
_NEXT = "min(ifnull(step_ns, 9e18), ifnull(remind_ns, 9e18))"

Silenced = Callable[[], Collection[str]]
"""The keys of the alerts that are silenced now."""


class Call(NamedTuple):
    """One team that was told of one alert which is not over."""

    alert: str
    team: str
    transition: Transition
    told_ns: int
    step: int
    """Escalations so far."""
    step_ns: int | None
    reminded: int
    remind_ns: int | None
    taken: str
    """Who acknowledged it."""


def create(db: sqlite3.Connection) -> None:
    """Make the tables where they aren't yet. Outside any transaction."""
    for statement in _SCHEMA:
        db.execute(statement)


def numbers(db: sqlite3.Connection) -> dict[str, tuple[int, int]]:
    """Team → how many alerts it was told of that are not over, and how many of them are taken."""
    rows = db.execute(
        "SELECT team, count(*), count(*) FILTER (WHERE taken != '') FROM call GROUP BY 1"
    )
    return {team: (number, taken) for team, number, taken in rows}


class Desk:
    """Owes messages; the caller has the transaction. `silences` tells how many are in force."""

    def __init__(
        self,
        router: Router,
        now_ns: Callable[[], int],
        silenced: Silenced = frozenset,
        silences: Callable[[], int] = lambda: 0,
    ) -> None:
        self._router = router
        self._now_ns = now_ns
        self._silenced = silenced
        self._silences = silences
        self._handover_ns = 0
        """The next hand-over of any team; 0: look."""

    @property
    def router(self) -> Router:
        return self._router

    def owe(self, db: sqlite3.Connection, transitions: Iterable[Transition]) -> int:
        """Owe what these make known; the number of new messages."""

        def heard(alert: str) -> dict[str, Message]:
            return outbox.heard(db, alert)

        new = 0
        for one in transitions:
            new += outbox.owe(db, self._router.messages([one], heard), self._now_ns())
            self._note(db, one)
        return new

    def wants(self, db: sqlite3.Connection, now_ns: int) -> bool:
        """Is there anything to do at that time?"""
        if now_ns >= self._handover_ns:
            return True
        due = f"SELECT 1 FROM call WHERE taken = '' AND {_NEXT} <= ? LIMIT 1"  # noqa: S608 (ours)
        return db.execute(due, (now_ns,)).fetchone() is not None

    def tick(self, db: sqlite3.Connection, now_ns: int) -> int:
        """It is that late: owe what is due by now; the number of new messages."""
        new = 0
        due = f"SELECT * FROM call WHERE taken = '' AND {_NEXT} <= ? ORDER BY alert, team"  # noqa: S608 (ours)
        rows = db.execute(due, (now_ns,)).fetchall()
        silenced = self._silenced() if rows else ()
        for call in map(_call, rows):
            if call.alert in silenced:
                self._put_off(db, call, now_ns)
                continue
            new += self._escalate(db, call, now_ns)
            new += self._remind(db, call, now_ns)
        if now_ns >= self._handover_ns:
            new += self._hand_over(db, now_ns)
        return new

    def calls(self, db: sqlite3.Connection, team: str) -> list[Call]:
        """What the team was told of and is not over."""
        rows = db.execute("SELECT * FROM call WHERE team = ? ORDER BY told_ns, alert", (team,))
        return [_call(row) for row in rows]

    def _note(self, db: sqlite3.Connection, one: Transition) -> None:
        if one.after == "firing" and one.notify:
            for name in one.notify:
                if name in self._router.teams:
                    self._begin(db, one, name, self._router.teams[name])
        elif one.after == "acknowledged":
            db.execute("UPDATE call SET taken = ? WHERE alert = ?", (one.who, one.key))
        elif one.after == "firing" and one.before == "acknowledged":
            db.execute("UPDATE call SET taken = '' WHERE alert = ?", (one.key,))
        elif one.after in ("resolved", "ok"):
            db.execute("DELETE FROM call WHERE alert = ?", (one.key,))

    def _begin(self, db: sqlite3.Connection, one: Transition, name: str, team: Team) -> None:
        step_ns = _step_ns(team, one, 0)
        remind_ns = one.time_ns + team.remind if team.remind else None
        body = msgspec.msgpack.encode(asdict(one))
        db.execute(
            "INSERT OR REPLACE INTO call (alert, team, body, told_ns, step_ns, remind_ns)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (one.key, name, body, one.time_ns, step_ns, remind_ns),
        )

    def _escalate(self, db: sqlite3.Connection, call: Call, now_ns: int) -> int:
        """Take every step that is due."""
        team, new, number, due_ns = self._team(call), 0, call.step, call.step_ns
        while due_ns is not None and due_ns <= now_ns:
            if number < len(team.escalation):
                step = team.escalation[number]
                if call.transition.severity in step.severities:
                    severity = call.transition.severity
                    hearers = self._router.hearers(step.teams, step.channels, severity, now_ns)
                    new += self._again(db, call, hearers, "escalation", number + 1, now_ns)
            number += 1
            due_ns = _step_ns(team, call.transition, number)
        db.execute(
            "UPDATE call SET step = ?, step_ns = ? WHERE alert = ? AND team = ?",
            (number, due_ns, call.alert, call.team),
        )
        return new

    def _remind(self, db: sqlite3.Connection, call: Call, now_ns: int) -> int:
        """Tell all people who were told, and who is on duty now."""
        team, number = self._team(call), call.reminded + 1
        if call.remind_ns is None or call.remind_ns > now_ns:
            return 0
        severity = call.transition.severity
        told = outbox.heard(db, call.alert)
        languages = {channel: message.language for channel, message in told.items()}
        hearers = {
            **self._router.hearers((), told, severity, now_ns, languages),
            **self._router.hearers([call.team], (), severity, now_ns),
        }
        pause = min(team.remind * 2**number, max(DAY, team.remind))
        db.execute(
            "UPDATE call SET reminded = ?, remind_ns = ? WHERE alert = ? AND team = ?",
            (number, now_ns + pause if team.remind else None, call.alert, call.team),
        )
        people = self._router.for_people(hearers)
        return self._again(db, call, people, "reminder", number, now_ns) if team.remind else 0

    def _again(
        self,
        db: sqlite3.Connection,
        call: Call,
        hearers: Mapping[str, Hearer],
        kind: str,
        number: int,
        now_ns: int,
    ) -> int:
        messages = self._router.tell_again(call.transition, hearers, kind, number, now_ns)
        return outbox.owe(db, messages, self._now_ns())

    def _put_off(self, db: sqlite3.Connection, call: Call, now_ns: int) -> None:
        """Silenced: look again in a minute."""
        later = now_ns + MINUTE
        db.execute(
            "UPDATE call SET step_ns = max(step_ns, ?), remind_ns = max(remind_ns, ?)"
            " WHERE alert = ? AND team = ?",
            (later, later, call.alert, call.team),
        )

    def _hand_over(self, db: sqlite3.Connection, now_ns: int) -> int:
        """Tell who has come on duty what is open. The first rota ever hands nothing over."""
        new, nexts = 0, [now_ns + DAY]
        for name in self._router.teams:
            duty = self._router.duty(name, now_ns)
            if duty is None:
                continue
            nexts.append(duty.until_ns)
            row = db.execute("SELECT since_ns FROM duty WHERE team = ?", (name,)).fetchone()
            db.execute("INSERT OR REPLACE INTO duty VALUES (?, ?)", (name, duty.since_ns))
            if row is None or row[0] >= duty.since_ns:
                continue
            before = self._router.duty(name, duty.since_ns - 1)
            if before is not None and before.person != duty.person:
                messages = self.digest(
                    db, name, now_ns, key=f"handover.{name}.{duty.since_ns // NS}"
                )
                new += outbox.owe(db, messages, self._now_ns())
        self._handover_ns = min(nexts)
        return new

    def digest(
        self, db: sqlite3.Connection, name: str, now_ns: int, key: str = "handover"
    ) -> list[Message]:
        """What the team's people are told at a hand-over, one message for each channel."""
        router, shift = self._router, self.shift(db, name, now_ns)
        if shift is None:
            return []
        hearers = router.for_people(router.hearers([name], (), "critical", now_ns))
        return [
            handover(
                channel,
                f"{key}:{channel}",
                shift,
                language=hearer.language,
                zone=router.zone,
                now_ns=now_ns,
                link=router.public_url,
            )
            for channel, hearer in hearers.items()
        ]

    def shift(self, db: sqlite3.Connection, name: str, now_ns: int) -> Shift | None:
        """What there is to hand over to who is on duty then; None: the team has no rota."""
        duty = self._router.duty(name, now_ns)
        if duty is None:
            return None
        before = self._router.duty(name, duty.since_ns - 1)
        return Shift(
            team=self._router.teams[name].name or name,
            person=self._name(duty.person),
            before=self._name(before.person) if before else "",
            open_alerts=[(call.transition, call.taken) for call in self.calls(db, name)],
            silences=self._silences(),
        )

    def _name(self, person: str) -> str:
        known = self._router.people.get(person)
        return known.name or person if known else person

    def _team(self, call: Call) -> Team:
        return self._router.teams.get(call.team) or Team()


def _step_ns(team: Team, one: Transition, number: int) -> int | None:
    if number >= len(team.escalation):
        return None
    return one.time_ns + team.escalation[number].after


def _call(row: Sequence[Any]) -> Call:
    alert, team, body, *rest = row
    transition = msgspec.msgpack.decode(body, type=Transition)
    return Call(alert, team, transition, *rest)
