"""Who is on duty for each team, who is next, and what they would be handed: for the board and for
`toba-hub oncall`. Reads, never changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hub.notify import desk
from hub.notify.desk import Desk
from hub.notify.group import handover
from hub.notify.rota import Duty, Person, next_on_duty, on_duty
from hub.notify.routing import Team
from hub.notify.words import LANGUAGES


class Turn(NamedTuple):
    """Somebody's time on duty, UTC nanoseconds."""

    person: str
    name: str
    """As people call them; their id where no name is known."""
    since_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class TeamNow:
    """How a team stands."""

    id: str
    name: str
    now: Turn | None
    """None: the team has no rota."""
    next: Turn | None
    """None: nobody else takes turns."""
    channels: tuple[str, ...]
    """On which it would be told of something critical now."""
    open: int
    """Alerts that it was told of and that are not over."""
    taken: int
    """Of these, acknowledged."""
    handover: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By language, title and text of what would be handed over now; empty without a rota."""


def turns(
    team: Team, people: Mapping[str, Person], at_ns: int, zone: str
) -> tuple[Turn | None, Turn | None]:
    """Who is on duty then, and who takes over."""
    if team.rota is None:
        return None, None
    now, later = on_duty(team.rota, at_ns, zone), next_on_duty(team.rota, at_ns, zone)
    return _turn(now, people), _turn(later, people) if later else None


def _turn(duty: Duty, people: Mapping[str, Person]) -> Turn:
    known = people.get(duty.person)
    return Turn(duty.person, (known and known.name) or duty.person, duty.since_ns, duty.until_ns)


def teams(seat: Desk, db: sqlite3.Connection, now_ns: int) -> list[TeamNow]:
    """Every team, in the order of the settings."""
    router, numbers = seat.router, desk.numbers(db)
    found = []
    for id, team in router.teams.items():
        now, later = turns(team, router.people, now_ns, router.zone)
        number, taken = numbers.get(id, (0, 0))
        found.append(
            TeamNow(
                id,
                team.name or id,
                now,
                later,
                tuple(router.hearers([id], (), "critical", now_ns)),
                number,
                taken,
                _handover(seat, db, id, now_ns),
            )
        )
    return found


def _handover(
    seat: Desk, db: sqlite3.Connection, team: str, now_ns: int
) -> dict[str, tuple[str, str]]:
    shift = seat.shift(db, team, now_ns)
    if shift is None:
        return {}
    worded = {
        language: handover("", "", shift, language=language, zone=seat.router.zone, now_ns=now_ns)
        for language in LANGUAGES
    }
    return {language: (one.title, one.text) for language, one in worded.items()}
