"""Dissolved oxygen at fish cages (KJA): the ladder, and what announces a fish kill.

The ladder is this project's proposal. It stands on what DLH Samosir measured in July 2025, when 352
tonnes died: 3.9 mg/L when the water turned turbid, 1.8 three days later, 5 to 7 on normal days
(press). Strong wind and a jump of turbidity went before (press, KKP's task force); by how much is
our guess.
"""

from __future__ import annotations

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

# What announces a fish kill, for `rules/library/fish_kill_signs.yaml`.
FALL_MGL = 1.5
FALL_WITHIN_NS = 3 * HOUR
TURBIDITY_TIMES = 3.0
WIND_MS = 25 * 1852 / 3600
"""25 knots."""


def step(mgl: float) -> Band:
    """The band of a concentration in mg/L. Raises ValueError for NaN."""
    return band(LADDER, mgl, includes_upper=False)
