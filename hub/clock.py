"""The only place that reads the wall clock. Everybody else is given the time.

A story of the demo (`toba-hub demo --story day --speed 60`) lets the clock of all its processes run
faster, by the environment variable `TOBA_CLOCK`: speed, and the nanoseconds since 1970 when that
began, true and pretended. Time-outs and pauses (`monotonic`) stay those of the machine.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

NS = 1_000_000_000
SIMULATED = "TOBA_CLOCK"


class _Simulated(NamedTuple):
    speed: float
    true_ns: int
    pretended_ns: int


def _simulated() -> _Simulated | None:
    words = os.environ.get(SIMULATED, "").split()
    return _Simulated(float(words[0]), int(words[1]), int(words[2])) if words else None


_faster = _simulated()


def now_ns() -> int:
    """UTC now, nanoseconds since 1970."""
    now = time.time_ns()
    if _faster is None:
        return now
    return _faster.pretended_ns + round((now - _faster.true_ns) * _faster.speed)


def speed() -> float:
    """How much faster than the world's this clock runs; 1 unless it is simulated."""
    return 1.0 if _faster is None else _faster.speed


def simulate(faster: float, pretended_ns: int) -> None:
    """From now on it is `pretended_ns` and time flies, here and in processes started later."""
    global _faster
    os.environ[SIMULATED] = f"{faster} {time.time_ns()} {pretended_ns}"
    _faster = _simulated()


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
