"""Dissolved oxygen at fish cages (KJA): the ladder, and what announces a fish kill.

The ladder is this project's proposal. It stands on what DLH Samosir measured in July 2025, when 352
tonnes died: 3.9 mg/L when the water turned turbid, 1.8 three days later, 5 to 7 on normal days
(press). Strong wind and a jump of turbidity went before (press, KKP's task force); by how much is
our guess. Saturation: Benson & Krause, brought to 905 m by the factor 0.897 (computed).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from rules.bands import Band, band
from rules.duration import HOUR
from rules.rule import Text

LADDER = (
    Band("danger", Text("Awas", "Danger"), 2.0),
    Band("alert", Text("Siaga", "Alert"), 4.0),
    Band("warning", Text("Waspada", "Warning"), 5.0),
    Band("watch", Text("Pantau", "Watch"), 6.0),
    Band("normal", Text("Normal", "Normal"), None),
)
"""mg/L; a value belongs to the band that begins at it: 6.0 is normal, 2.0 alert."""

FALL_MGL = 1.5
FALL_WITHIN_NS = 3 * HOUR
TURBIDITY_TIMES = 3.0
WIND_MS = 25 * 1852 / 3600
"""25 knots."""
PRESSURE_AT_TOBA = 0.897
"""Air pressure at 905 m as a part of that at sea level."""


def step(mgl: float) -> Band:
    """The band of a concentration in mg/L. Raises ValueError for NaN."""
    return band(LADDER, mgl, includes_upper=False)


@dataclass(frozen=True, slots=True)
class Signs:
    """What announces a fish kill before oxygen is low."""

    falling: bool
    """By 1.5 mg/L or more within three hours."""
    stirred: bool
    """Turbidity three times what it was, with wind over 25 kt: bottom mud comes up."""

    @property
    def any(self) -> bool:
        return self.falling or self.stirred


def signs(
    oxygen: Sequence[tuple[int, float]],
    turbidity: tuple[float, float] | None = None,
    wind_ms: float | None = None,
) -> Signs:
    """`oxygen`: (UTC ns, mg/L) in order of time, the last one being now; `turbidity`: NTU usual
    and now. What is None or empty announces nothing."""
    recent = [mgl for at, mgl in oxygen if oxygen[-1][0] - at <= FALL_WITHIN_NS]
    falling = bool(recent) and max(recent) - recent[-1] >= FALL_MGL
    stirred = False
    if turbidity is not None and wind_ms is not None:
        usual, now = turbidity
        stirred = now >= TURBIDITY_TIMES * usual > 0 and wind_ms > WIND_MS
    return Signs(falling, stirred)


def saturation_mgl(celsius: float, pressure: float = PRESSURE_AT_TOBA) -> float:
    """Oxygen that fresh water holds at most, mg/L, by the first term of Benson & Krause (1984, as
    in APHA 4500-O), times the air pressure in atmospheres."""
    kelvin = celsius + 273.15
    log = -139.34411 + sum(
        factor / kelvin**power
        for power, factor in ((1, 1.575701e5), (2, -6.642308e7), (3, 1.2438e10), (4, -8.621949e11))
    )
    return exp(log) * pressure
