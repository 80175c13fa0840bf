"""The level of Lake Toba, metres above sea level.

+905 m is the highest water level by decree (Kepmen PUPR 1695/KPTS/M/2022, from the press), 902.4 m
the lowest that was recorded. The bands between are this project's proposal, not a rule.
"""

from __future__ import annotations

from rules.bands import Band, band
from rules.rule import Text

HIGHEST_M = 905.0

LEVELS = (
    Band("very_low", Text("Awas surut", "Danger: very low"), 902.6),
    Band("low", Text("Waspada surut", "Watch: low"), 903.0),
    Band("normal", Text("Normal", "Normal"), 904.6),
    Band("high", Text("Waspada", "Watch: high"), HIGHEST_M),
    Band("very_high", Text("Awas", "Danger: over the highest level"), None),
)
"""A level belongs to the band that begins at it: 905.0 is danger."""


def level(metres: float) -> Band:
    """The band of a level in metres above sea level. Raises ValueError for NaN."""
    return band(LEVELS, metres, includes_upper=False)
