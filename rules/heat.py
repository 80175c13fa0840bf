"""Heat index: how hot it feels in the shade, °C (NOAA's Rothfusz regression, 1990).

BMKG explains the heat index likewise and gives 35 °C at 40 % as 38 °C, where this regression says
37.2; whether BMKG uses it is unverified, and so are the bands. Toba with its 17 to 29 °C is seldom
hot: 29 °C at 85 % feels like 36.
"""

from __future__ import annotations

from rules.bands import Band, band
from rules.rule import Text

BANDS = (
    Band("none", Text("Normal", "Normal"), 27),
    Band("caution", Text("Waspada", "Caution"), 32),
    Band("extreme_caution", Text("Sangat waspada", "Extreme caution"), 41),
    Band("danger", Text("Bahaya", "Danger"), 54),
    Band("extreme_danger", Text("Sangat berbahaya", "Extreme danger"), None),
)
"""A value belongs to the band that begins at it."""

SIMPLE_BELOW_F = 80.0


def heat_index(celsius: float, humidity: float) -> float:
    """°C felt at a temperature and a relative humidity in %.

    Under 80 °F the regression does not hold: there NOAA's simple mean is used, and under 40 °F the
    temperature itself. Raises ValueError for a humidity outside 0 to 100.
    """
    if not 0 <= humidity <= 100:
        raise ValueError(f"{humidity!r} % is no relative humidity")
    t = celsius * 9 / 5 + 32
    if t <= 40:
        return celsius
    simple = ((t + 61.0 + (t - 68.0) * 1.2 + humidity * 0.094) / 2 + t) / 2
    felt = _rothfusz(t, humidity) if simple >= SIMPLE_BELOW_F else simple
    return (felt - 32) * 5 / 9


def _rothfusz(t: float, rh: float) -> float:
    felt = (
        -42.379
        + 2.04901523 * t
        + 10.14333127 * rh
        - 0.22475541 * t * rh
        - 6.83783e-3 * t * t
        - 5.481717e-2 * rh * rh
        + 1.22874e-3 * t * t * rh
        + 8.5282e-4 * t * rh * rh
        - 1.99e-6 * t * t * rh * rh
    )
    if rh < 13 and t <= 112:
        felt -= (13 - rh) / 4 * float((17 - abs(t - 95)) / 17) ** 0.5
    elif rh > 85 and t <= 87:
        felt += (rh - 85) / 10 * (87 - t) / 5
    return felt


def heat_band(felt_celsius: float) -> Band:
    """Raises ValueError for NaN."""
    return band(BANDS, felt_celsius, includes_upper=False)
