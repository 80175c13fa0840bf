"""A calendar month of a time zone: where it begins, where its days begin."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hub.clock import from_datetime, to_datetime

_MONTH = re.compile(r"(\d{4})-(\d{2})")


class Month(NamedTuple):
    """`2026-10`. Months are in order."""

    year: int
    month: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Raises ValueError with words for the person who wrote it."""
        match = _MONTH.fullmatch(text.strip())
        if match is None or not 1 <= int(match[2]) <= 12 or not 1970 <= int(match[1]) <= 2200:
            raise ValueError(f"{text!r} is no month; write it as 2026-10")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, time_ns: int, zone: ZoneInfo) -> Month:
        """The month in which that instant lies there."""
        moment = to_datetime(time_ns, zone)
        return cls(moment.year, moment.month)

    def before(self) -> Month:
        return Month(self.year - 1, 12) if self.month == 1 else Month(self.year, self.month - 1)

    def after(self) -> Month:
        return Month(self.year + 1, 1) if self.month == 12 else Month(self.year, self.month + 1)

    def span(self, zone: ZoneInfo) -> tuple[int, int]:
        """From its first midnight to that of the next month, UTC nanoseconds."""
        return self.midnights(zone)[0], self.after().midnights(zone)[0]

    def midnights(self, zone: ZoneInfo) -> list[int]:
        """When its days begin. Where clocks are set, a day has 23 or 25 hours."""
        day, following, found = date(self.year, self.month, 1), self.after(), []
        while (day.year, day.month) != following:
            found.append(from_datetime(datetime.combine(day, time(), zone)))
            day += timedelta(days=1)
        return found

    def __str__(self) -> str:
        return f"{self.year:04d}-{self.month:02d}"
