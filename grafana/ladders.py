"""Colour ladders of the environment panels. Their numbers and the sources of these are in `rules`.

Numbers of law were read in secondary copies, not in the official texts; low-cost sensors are
indicative, never an official ISPU. Alerts come from the rules, not from these colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from grafana.panels import BLUE, DARK, GREEN, GREY, ORANGE, RED, YELLOW, Steps, Words
from rules import ispu, lake, noise, oxygen, rain
from rules.bands import Band

CLASSES = (GREEN, BLUE, YELLOW, RED, DARK)
"""The ISPU's official colours: baik, sedang, tidak sehat, sangat tidak sehat, berbahaya."""


def _ladder(begins: Iterable[float], colours: Sequence[str]) -> Steps:
    """The first colour, and each following one from a value on."""
    return list(zip((None, *begins), colours, strict=True))


def _ends(ladder: Sequence[Band], *keys: str) -> list[float]:
    """Up to where these bands go."""
    return [band.upper for band in ladder if band.key in keys and band.upper is not None]


# Means of 24 hours, µg/m³.
PM25 = _ladder(ispu.class_ends("pm25"), CLASSES)
PM10 = _ladder(ispu.class_ends("pm10"), CLASSES)

# The index itself, rounded; and the classes as `air_index` numbers them.
ISPU = _ladder((51, 101, 201, 301), CLASSES)
ISPU_CLASS: Words = {
    str(one.number): (one.name.id, colour)
    for one, colour in zip(ispu.CATEGORIES, CLASSES, strict=True)
}
PARAMETER: Words = {
    "pm25": ("PM2.5", GREY),
    "pm10": ("PM10", GREY),
    "so2": ("SO₂", GREY),
    "co": ("CO", GREY),
    "o3": ("O₃", GREY),
    "no2": ("NO₂", GREY),
    "hc": ("HC", GREY),
}
INDICATIVE: Words = {"0": ("Alat acuan", GREEN), "1": ("Indikatif", GREY)}

# Sedang, lebat, sangat lebat.
RAIN_HOUR = _ladder(_ends(rain.HOURLY, "light", "moderate", "heavy"), (GREEN, YELLOW, ORANGE, RED))
# Lebat, the national landslide threshold, sangat lebat, ekstrem.
RAIN_DAY = _ladder(
    sorted([rain.LANDSLIDE_DAY_MM, *_ends(rain.DAILY, "moderate", "heavy", "very_heavy")]),
    (GREEN, YELLOW, ORANGE, RED, DARK),
)

OXYGEN = _ladder(
    _ends(oxygen.LADDER, "danger", "alert", "warning", "watch"), (RED, ORANGE, YELLOW, BLUE, GREEN)
)
LAKE = _ladder(
    _ends(lake.LEVELS, "very_low", "low", "normal", "high"), (RED, YELLOW, GREEN, YELLOW, RED)
)

# Class I water, PP 22/2021: 6 to 9.
ACIDITY: Steps = [(None, RED), (6, GREEN), (9, RED)]

NOISE = _ladder((noise.LIMITS["perumahan"], noise.LIMITS["pemerintahan"]), (GREEN, YELLOW, RED))
