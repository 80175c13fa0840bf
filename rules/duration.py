"""Durations as people write them: `90s`, `10m`, `1h30m`, `2d`."""

from __future__ import annotations

import re

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_UNITS = {"ms": SECOND // 1000, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
_PART = re.compile(r"(\d+)(ms|[smhdw])")
_WHOLE = re.compile(r"(?:\d+(?:ms|[smhdw]))+")

LONGEST = 366 * DAY


class DurationError(ValueError):
    """Text that is no duration; the message says what to write instead."""


def parse(raw: object) -> int:
    """Nanoseconds of a duration such as `10m`. Raises `DurationError`."""
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        if raw == 0:
            return 0
        raise DurationError(f"{raw} has no unit: write {raw:g}s, {raw:g}m or {raw:g}h")
    if not isinstance(raw, str) or not _WHOLE.fullmatch(raw.strip()):
        raise DurationError(f"{raw!r} is no duration: write for example 90s, 10m, 1h30m or 2d")
    total = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(raw.strip()))
    if total > LONGEST:
        raise DurationError(f"{raw!r} is longer than a year")
    return total


def text(duration_ns: int) -> str:
    """The shortest text that `parse` reads back: 5 400 s → `1h30m`."""
    if duration_ns <= 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        number, duration_ns = divmod(duration_ns, _UNITS[unit])
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
