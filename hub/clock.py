"""The only place that reads the wall clock. Everybody else is given the time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, tzinfo

NS = 1_000_000_000


def now_ns() -> int:
    """UTC now, nanoseconds since 1970."""
    return time.time_ns()


def monotonic() -> float:
    """Seconds that never jump: for time-outs, back-off and rates of our own work."""
    return time.monotonic()


def to_datetime(time_ns: int, zone: tzinfo = UTC) -> datetime:
    """Nanoseconds since 1970 as an aware datetime (microseconds kept)."""
    return datetime.fromtimestamp(time_ns // NS, zone).replace(microsecond=time_ns % NS // 1000)


def from_datetime(moment: datetime) -> int:
    """An aware datetime as nanoseconds since 1970, without float rounding."""
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * NS + delta.microseconds * 1000
