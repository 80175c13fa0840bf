"""Ambient air limits, PP 22/2021 Lampiran VII, µg/m³.

They are law beside the ISPU and not the same: PM10 of 75 is ISPU 63, "Sedang", and already over the
24-hour limit. From published summaries, not from the official PDF; `verified` says which numbers a
summary gave that its author had compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Period = Literal["1h", "8h", "24h", "annual"]


@dataclass(frozen=True, slots=True)
class Limit:
    """The highest mean that is allowed."""

    parameter: str
    period: Period
    micrograms: float
    verified: bool = True


LIMITS = (
    Limit("pm25", "24h", 55),
    Limit("pm25", "annual", 15),
    Limit("pm10", "24h", 75),
    Limit("pm10", "annual", 40),
    Limit("so2", "24h", 75),
    Limit("so2", "1h", 150, verified=False),
    Limit("no2", "annual", 50),
    Limit("no2", "1h", 200, verified=False),
    Limit("no2", "24h", 65, verified=False),
    Limit("co", "8h", 4_000),
    Limit("co", "1h", 10_000, verified=False),
    Limit("tsp", "24h", 230),
    Limit("o3", "1h", 150, verified=False),
    Limit("o3", "8h", 100, verified=False),
    Limit("o3", "annual", 35, verified=False),
    Limit("pb", "24h", 2, verified=False),
)


def limit(parameter: str, period: Period) -> Limit:
    """Raises KeyError: the law has no such limit, as far as is known here."""
    for one in LIMITS:
        if (one.parameter, one.period) == (parameter, period):
            return one
    raise KeyError(f"no limit for {parameter} over {period}")
