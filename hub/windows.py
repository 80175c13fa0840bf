"""Maintenance windows of the settings: when each begins and ends. Pure.

A window that has begun becomes an act in the journal (`Act("maintenance")`), so that a replay needs
no settings and everything that people can do to a silence they can do to it: see it, end it early.
`begun` tells which windows are on; `hub/planner.py` writes their acts, each once.

    maintenance:
      - {name: ups, match: {site: porsea}, from: 2026-12-01 22:00, until: 2026-12-02 02:00}
      - {name: backup, match: {device: r-core}, weekly: "sun 02:00", lasts: 2h}
      - {name: patch, match: {kind: router}, cron: "0 3 1 * *", lasts: 90m}
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, StringConstraints, field_validator, model_validator

from hub.clock import to_datetime
from hub.localtime import DAYS, Length, Moment, utc_ns, zone_name
from rules.duration import DAY, MINUTE

LONGEST_NS = 31 * DAY
LOOK_AHEAD_DAYS = 8 * 366
"""A 29 February comes again within eight years."""
_RANGES = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 7)}
_MONTHS = tuple(name.lower() for name in calendar.month_abbr)
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
Pattern = Annotated[str, StringConstraints(min_length=1)]


class Cron(NamedTuple):
    """The five fields of crontab(5), as the numbers that each allows."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    either: bool
    """Day and weekday are both restricted: crontab(5) takes a day that fits one of them."""

    def fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either else of_month and of_week


def cron(text: str) -> Cron:
    """Reads `0 3 * * sun`. Raises ValueError that says which field is wrong."""
    fields = text.split()
    if len(fields) != len(_RANGES):
        raise ValueError('needs five fields: minute hour day month weekday, such as "0 3 * * sun"')
    read = [_field(name, field) for name, field in zip(_RANGES, fields, strict=True)]
    minutes, hours, days, months, weekdays = read
    either = fields[2] != "*" and fields[4] != "*"
    return Cron(minutes, hours, days, months, frozenset(d % 7 for d in weekdays), either)


def _field(name: str, text: str) -> frozenset[int]:
    low, high = _RANGES[name]
    found: set[int] = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = _number(name, first)
            end = _number(name, last) if last else (high if step else begin)
        every = int(step) if step.isdecimal() else 0 if step else 1
        if every < 1 or not low <= begin <= end <= high:
            raise ValueError(f"the {name} {part!r} is none of {low}–{high}")
        found.update(range(begin, end + 1, every))
    return frozenset(found)


def _number(name: str, text: str) -> int:
    words = {"month": _MONTHS, "weekday": _WEEKDAYS}.get(name, ())
    if text in words:
        return words.index(text)
    return int(text) if text.isdecimal() else -1


class Window(BaseModel, extra="forbid", frozen=True, populate_by_name=True):
    """Planned work: what it is about and when."""

    name: str = Field(min_length=1, max_length=64)
    match: dict[str, Pattern | list[Pattern]] = Field(min_length=1)
    """Whom it is about, as a silence: device, site, opd, kind, rule … (globs)."""
    why: str = Field(default="", max_length=500)
    begins: Moment | None = Field(default=None, alias="from")
    until: Moment | None = None
    weekly: str = ""
    """`sun 02:00`."""
    cron: str = ""
    """Minute, hour, day, month, weekday, as in crontab(5): `0 3 1 * *`."""
    lasts: Length = 0
    zone: str = ""
    """Empty: the regency's."""

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        if value:
            cron(value)
        return value

    @field_validator("weekly")
    @classmethod
    def _is_weekly(cls, value: str) -> str:
        if value:
            _weekly(value)
        return value

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        return zone_name(value) if value else value

    @model_validator(mode="after")
    def _says_when(self) -> Window:
        once = self.begins is not None or self.until is not None
        if [once, bool(self.weekly), bool(self.cron)].count(True) != 1:
            raise ValueError(
                "says when by one of: from and until, weekly and lasts, cron and lasts"
            )
        if once:
            if self.begins is None or self.until is None:
                raise ValueError("needs both from and until")
            if self.begins >= self.until:
                raise ValueError("ends before it begins")
            if self.lasts:
                raise ValueError("lasts stands beside weekly or cron only")
        elif not MINUTE <= self.lasts <= LONGEST_NS:
            raise ValueError("needs lasts: from 1m to 31d")
        return self


class Begun(NamedTuple):
    """A window that is on."""

    begin_ns: int
    until_ns: int


def begun(window: Window, now_ns: int, zone: str) -> Begun | None:
    """The latest occurrence that is on at that time; None: it is not on."""
    where = ZoneInfo(window.zone or zone)
    if window.begins is not None and window.until is not None:
        found = Begun(utc_ns(window.begins, where), utc_ns(window.until, where))
        return found if found.begin_ns <= now_ns < found.until_ns else None
    for begin in _begins(window, to_datetime(now_ns, where).replace(tzinfo=None)):
        begin_ns = utc_ns(begin, where)
        if begin_ns <= now_ns:
            until_ns = begin_ns + window.lasts
            return Begun(begin_ns, until_ns) if now_ns < until_ns else None
    return None


def next_begin(window: Window, now_ns: int, zone: str) -> int | None:
    """When it begins next; None: never again."""
    where = ZoneInfo(window.zone or zone)
    if window.begins is not None:
        begin_ns = utc_ns(window.begins, where)
        return begin_ns if begin_ns > now_ns else None
    today = to_datetime(now_ns, where).date()
    plan = _plan(window)
    for ahead in range(LOOK_AHEAD_DAYS):
        day = today + timedelta(days=ahead)
        if plan.fits(day):
            for hour in sorted(plan.hours):
                for minute in sorted(plan.minutes):
                    begin_ns = utc_ns(datetime.combine(day, time(hour, minute)), where)
                    if begin_ns > now_ns:
                        return begin_ns
    return None


def _begins(window: Window, now: datetime) -> Iterator[datetime]:
    """When it began, the latest first, as far back as it may still last."""
    plan = _plan(window)
    days = window.lasts // DAY + 2
    for back in range(-1, days):
        day = now.date() - timedelta(days=back)
        if plan.fits(day):
            for hour in sorted(plan.hours, reverse=True):
                for minute in sorted(plan.minutes, reverse=True):
                    yield datetime.combine(day, time(hour, minute))


def _plan(window: Window) -> Cron:
    return _weekly(window.weekly) if window.weekly else cron(window.cron)


def _weekly(text: str) -> Cron:
    day, _, clock = text.strip().lower().partition(" ")
    try:
        at = time.fromisoformat(clock)
    except ValueError:
        at = None
    if day not in DAYS or at is None:
        raise ValueError('is no moment of the week; write "sun 02:00"')
    return cron(f"{at.minute} {at.hour} * * {day}")
