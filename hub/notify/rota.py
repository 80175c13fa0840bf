"""When somebody is to be told: who is on duty, when the night begins, when nobody answers. Pure.

Times of day are those of the regency (or of `zone`), computed in local time: a hand-over at 08:00
stays at 08:00 where clocks are changed.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, field_validator, model_validator

from hub.clock import to_datetime
from hub.localtime import DAYS, Length, Moment, TimeOfDay, time_of_day, utc_ns, zone_name

WEEK = timedelta(days=7)
_FIRST_MONDAY = date(2024, 1, 1)
Severity = Literal["info", "warning", "critical"]


class Part(BaseModel, extra="forbid", frozen=True, populate_by_name=True):
    """A section of a team."""


class Person(Part):
    """Somebody who can be on duty."""

    name: str = ""
    channels: list[str] = Field(min_length=1)


class Override(Part):
    """Somebody else is on duty for a while."""

    person: str
    begins: Moment = Field(alias="from")
    until: Moment

    @model_validator(mode="after")
    def _in_order(self) -> Override:
        if self.begins >= self.until:
            raise ValueError("ends before it begins")
        return self


class Rota(Part):
    """People who take turns, a week each."""

    people: list[str] = Field(min_length=1)
    since: date = _FIRST_MONDAY
    """The first hand-over on or after that day begins the turn of the first person."""
    handover: str = "mon 08:00"
    zone: str = ""
    """Empty: the regency's."""
    overrides: list[Override] = Field(default_factory=list)

    @field_validator("handover")
    @classmethod
    def _is_a_moment_of_the_week(cls, value: str) -> str:
        day, _, clock = value.strip().lower().partition(" ")
        if day not in DAYS:
            raise ValueError(f'begins with none of {", ".join(DAYS)}; write "mon 08:00"')
        time_of_day(clock)
        return value.strip().lower()

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        return zone_name(value) if value else value


class Quiet(Part):
    """Hours in which only what is urgent is told; the rest comes as one message at their end."""

    begins: TimeOfDay = Field(alias="from")
    until: TimeOfDay
    severities: list[Severity] = Field(default=["info", "warning"], min_length=1)
    """What waits."""

    @model_validator(mode="after")
    def _is_a_time(self) -> Quiet:
        if self.begins == self.until:
            raise ValueError("begins when it ends")
        return self


class Escalation(Part):
    """Who is told when nobody has acknowledged for so long."""

    after: Length
    teams: list[str] = Field(default_factory=list)
    channels: list[str] = Field(default_factory=list)
    severities: list[Severity] = Field(default=["warning", "critical"], min_length=1)

    @model_validator(mode="after")
    def _means_somebody(self) -> Escalation:
        if not self.teams and not self.channels:
            raise ValueError("tells nobody: name teams or channels")
        return self


class Duty(NamedTuple):
    """Who is on duty, and when that began and will end (UTC nanoseconds)."""

    person: str
    since_ns: int
    until_ns: int


def on_duty(rota: Rota, at_ns: int, zone: str) -> Duty:
    """Who is on duty then. An override wins over the rotation, a later one over an earlier."""
    where = ZoneInfo(rota.zone or zone)
    now = to_datetime(at_ns, where).replace(tzinfo=None)
    turn = _turn(rota, now)
    begin = _first(rota) + turn * WEEK
    person, since, until = rota.people[turn % len(rota.people)], begin, begin + WEEK
    for one in rota.overrides:
        if one.begins <= now < one.until:
            person, since, until = one.person, max(since, one.begins), min(until, one.until)
        elif now < one.begins:
            until = min(until, one.begins)
        else:
            since = max(since, one.until)
    return Duty(person, utc_ns(since, where), utc_ns(until, where))


def next_on_duty(rota: Rota, at_ns: int, zone: str) -> Duty | None:
    """Who takes over from who is on duty then; None: nobody else ever does."""
    now = on_duty(rota, at_ns, zone)
    later = now
    # One turn of everybody, and each override may begin and end within it.
    for _ in range(len(rota.people) + 2 * len(rota.overrides) + 1):
        later = on_duty(rota, later.until_ns, zone)
        if later.person != now.person:
            return later
    return None


def held_until(quiet: Quiet | None, severity: str, at_ns: int, zone: str) -> int:
    """When it may be told; 0: now."""
    if quiet is None or severity not in quiet.severities:
        return 0
    where = ZoneInfo(zone)
    now = to_datetime(at_ns, where).replace(tzinfo=None)
    clock, over_night = now.time(), quiet.begins > quiet.until
    inside = quiet.begins <= clock < quiet.until
    if over_night:
        inside = clock >= quiet.begins or clock < quiet.until
    if not inside:
        return 0
    day = now.date() + timedelta(days=int(over_night and clock >= quiet.begins))
    return utc_ns(datetime.combine(day, quiet.until), where)


def _first(rota: Rota) -> datetime:
    day, _, clock = rota.handover.partition(" ")
    ahead = (DAYS.index(day) - rota.since.weekday()) % 7
    return datetime.combine(rota.since + timedelta(days=ahead), time_of_day(clock))


def _turn(rota: Rota, now: datetime) -> int:
    return (now - _first(rota)) // WEEK
