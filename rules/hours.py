"""Calendars: the hours of a week in a time zone, less holidays.

    zone: Asia/Jakarta
    calendars:
      working_hours:
        - {days: mon-thu, from: "07:30", to: "16:00"}
        - {days: fri, from: "07:30", to: "16:30"}
      night: [{days: mon-sun, from: "22:00", to: "05:00", holidays: true}]
    holidays:
      2026-08-17: Hari Kemerdekaan

A span that ends before it begins goes on after midnight and belongs to the day it began on. On a
holiday no span begins, unless it says `holidays: true`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from rules.reader import Path, Problem, Reader

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ZONE = "Asia/Jakarta"
_FAR_DAYS = 400
_CLOCK = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")
_DAY_MINUTES = 1440


class Span(NamedTuple):
    """From minute to minute of a weekday (0: Monday); `end` over 1 440 reaches into the next."""

    weekday: int
    start: int
    end: int
    holidays: bool = False


class Stretch(NamedTuple):
    """A time between two changes, UTC nanoseconds."""

    from_ns: int
    to_ns: int
    open: bool


class Hours:
    """When a rule is asked. Looks up in a calendar only where the answer may have changed."""

    __slots__ = ("_days_off", "_inside", "_now", "_spans", "_zone")

    def __init__(
        self,
        spans: Collection[Span],
        days_off: Collection[date] = (),
        zone: str = ZONE,
        *,
        inside: bool = True,
    ) -> None:
        """`inside` False: at all other times."""
        self._spans = tuple(sorted(set(spans)))
        self._days_off = frozenset(days_off)
        self._zone = ZoneInfo(zone)
        self._inside = inside
        self._now = Stretch(0, 0, False)

    def outside(self) -> Hours:
        """All other times."""
        return Hours(self._spans, self._days_off, self._zone.key, inside=not self._inside)

    def at(self, time_ns: int) -> Stretch:
        """The stretch that this time lies in."""
        if not self._now.from_ns <= time_ns < self._now.to_ns:
            found = self._find(time_ns)
            self._now = found._replace(open=found.open is self._inside)
        return self._now

    def _find(self, time_ns: int) -> Stretch:
        today = datetime.fromtimestamp(time_ns // 1_000_000_000, self._zone).date()
        begun, far = (self._ns(today + timedelta(days=days), 0) for days in (-2, _FAR_DAYS))
        opened: tuple[int, int] | None = None
        for start, end in self._opened(today - timedelta(days=1)):
            if opened and start <= opened[1]:
                opened = opened[0], max(opened[1], end)  # one goes on where the other ends
                continue
            if opened and opened[1] > time_ns:
                break
            begun = opened[1] if opened else begun
            if start > time_ns:
                return Stretch(begun, start, open=False)
            opened = start, end
        if opened and opened[1] > time_ns:
            return Stretch(*opened, open=True)
        return Stretch(opened[1] if opened else begun, far, open=False)

    def _opened(self, first: date) -> Iterator[tuple[int, int]]:
        for number in range(_FAR_DAYS):
            day = first + timedelta(days=number)
            off = day in self._days_off
            for span in self._spans:
                if span.weekday == day.weekday() and (span.holidays or not off):
                    yield self._ns(day, span.start), self._ns(day, span.end)

    def _ns(self, day: date, minute: int) -> int:
        days, minute = divmod(minute, _DAY_MINUTES)
        at = time(minute // 60, minute % 60, tzinfo=self._zone)
        moment = datetime.combine(day + timedelta(days=days), at)
        return round(moment.timestamp()) * 1_000_000_000

    def plain(self) -> list[Any]:
        off = sorted(day.isoformat() for day in self._days_off)
        return [[list(span) for span in self._spans], off, self._zone.key, self._inside]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hours) and self.plain() == other.plain()

    def __hash__(self) -> int:
        return hash((self._spans, self._days_off, self._zone.key, self._inside))

    def __repr__(self) -> str:
        return f"Hours({self.plain()})"


WORKING = tuple(
    Span(day, 7 * 60 + 30, 16 * 60 + (30 if day == 4 else 0)) for day in range(5)
)  # 37.5 hours a week with the breaks taken out (Perpres 21/2023, secondary copies)


class Calendars(NamedTuple):
    """The calendars that rules may name."""

    by_name: Mapping[str, Hours]
    days_off: Collection[date] = ()
    zone: str = ZONE

    def plain(self) -> dict[str, Any]:
        """As plain data that `Calendars.read` takes back."""
        spans = {name: hours.plain()[0] for name, hours in sorted(self.by_name.items())}
        off = sorted(day.isoformat() for day in self.days_off)
        return {"spans": spans, "days_off": off, "zone": self.zone}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Calendars:
        if not plain:
            return default()
        off = [date.fromisoformat(day) for day in plain["days_off"]]
        by_name = {
            name: Hours([Span(*span) for span in spans], off, plain["zone"])
            for name, spans in plain["spans"].items()
        }
        return cls(by_name, off, plain["zone"])


def default(zone: str = ZONE) -> Calendars:
    """Where no file says otherwise: the working hours of the civil service, no holidays."""
    return Calendars({"working_hours": Hours(WORKING, zone=zone)}, zone=zone)


def read(data: object, zone: str = ZONE) -> tuple[Calendars, list[Problem]]:
    """The calendars of one file (see the module) and everything wrong with it."""
    reader = _FileReader()
    return reader.file(data, zone), reader.problems


class HoursReader(Reader):
    """Reads spans: a mapping or a list of them."""

    def spans(self, data: object, path: Path) -> list[Span]:
        items = data if isinstance(data, list) else [data]
        found = [
            span
            for number, item in enumerate(items)
            for span in self._span(item, (*path, number) if isinstance(data, list) else path)
        ]
        if not found and not any(problem.path[: len(path)] == path for problem in self.problems):
            self.complain(path, "no hours at all", "such as {days: mon-fri, from: '07:30', …}")
        return found

    def _span(self, item: object, path: Path) -> list[Span]:
        raw = self.mapping(item, path, "hours", "write {days: mon-fri, from: '07:30', to: '16:00'}")
        if raw is None:
            return []
        self.known_keys(raw, ("days", "from", "to", "holidays"), path)
        start, end = self._clock(raw, "from", path, 0), self._clock(raw, "to", path, _DAY_MINUTES)
        end += _DAY_MINUTES if end <= start else 0
        holidays = raw.get("holidays", False)
        if not isinstance(holidays, bool):
            self.complain((*path, "holidays"), f"{holidays!r} is neither true nor false")
        days = self._days(raw.get("days", "mon-sun"), (*path, "days"))
        return [Span(day, start, end, holidays is True) for day in days]

    def _clock(self, raw: Mapping[str, Any], key: str, path: Path, default: int) -> int:
        value = raw.get(key)
        match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
        if match and int(match[1]) * 60 + int(match[2]) <= _DAY_MINUTES:
            return int(match[1]) * 60 + int(match[2])
        if key in raw:
            self.complain((*path, key), f"{value!r} is no time of day", 'write "07:30", in quotes')
        return default

    def _days(self, value: object, path: Path) -> list[int]:
        found: list[int] = []
        for word in str(value).replace(",", " ").split():
            first, _, last = word.partition("-")
            if first not in DAYS or (last or first) not in DAYS:
                self.complain(path, f"{word!r} is no day", "such as mon-fri or sat,sun")
                continue
            start, stop = DAYS.index(first), DAYS.index(last or first)
            found += [(start + n) % 7 for n in range((stop - start) % 7 + 1)]
        return found


class _FileReader(HoursReader):
    def file(self, data: object, zone: str) -> Calendars:
        top = self.mapping(data, (), "a file of calendars")
        if top is None:
            return default(zone)
        self.known_keys(top, ("zone", "calendars", "holidays"), ())
        zone = self._zone(top, zone)
        days_off = self._holidays(top.get("holidays") or {})
        calendars = self.mapping(top.get("calendars") or {}, ("calendars",), "`calendars`") or {}
        found = {"working_hours": Hours(WORKING, days_off, zone)}
        for name, spans in calendars.items():
            found[name] = Hours(self.spans(spans, ("calendars", name)), days_off, zone)
        return Calendars(found, days_off, zone)

    def _zone(self, top: Mapping[str, Any], zone: str) -> str:
        given = top.get("zone", zone)
        try:
            return ZoneInfo(given).key
        except (TypeError, ValueError, OSError, LookupError):
            self.complain(("zone",), f"{given!r} is no IANA time zone", "such as Asia/Jakarta")
            return zone

    def _holidays(self, data: object) -> frozenset[date]:
        if not isinstance(data, Mapping):
            self.complain(("holidays",), "each holiday has a name", "2026-08-17: Kemerdekaan")
            return frozenset()
        found = set()
        for day in data:
            try:
                found.add(day if isinstance(day, date) else date.fromisoformat(str(day)))
            except ValueError:
                self.complain(("holidays", str(day)), f"{day!r} is no date", "such as 2026-08-17")
        return frozenset(found)
