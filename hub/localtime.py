"""Times as people write them in settings: of the day, of a day, of the week; all local."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer

from hub.clock import from_datetime
from rules import duration

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def time_of_day(value: object) -> time:
    """`21:00`. YAML 1.1 reads it as the number 1260, which is right all the same."""
    if isinstance(value, time):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 24 * 60:
        return time(value // 60, value % 60)
    try:
        return time.fromisoformat(str(value))
    except ValueError:
        raise ValueError('is no time of day; write "21:00"') from None


def moment(value: object) -> datetime:
    """`2026-12-24 08:00`, local."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError('is no local time; write "2026-12-24 08:00"') from None
    if found.tzinfo is not None:
        raise ValueError('is local time without a zone; write "2026-12-24 08:00"')
    return found


def zone_name(value: str) -> str:
    """Checks an IANA name. Raises ValueError."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("is no IANA time zone, such as Asia/Jakarta") from None
    return value


TimeOfDay = Annotated[time, BeforeValidator(time_of_day)]
Moment = Annotated[datetime, BeforeValidator(moment)]
Length = Annotated[
    int, BeforeValidator(duration.parse), PlainSerializer(duration.text, when_used="json")
]
"""`15m`, in nanoseconds."""


def utc_ns(local: datetime, zone: ZoneInfo) -> int:
    """A local time as UTC nanoseconds."""
    return from_datetime(local.replace(tzinfo=zone))
