"""Rain: BMKG's classes of a day, the classes of an hour, and rain that makes slopes slide.

Classes of a day: BMKG, as its news quote them. Classes of an hour: as a river office of PUPR shows
them. That BMKG's day runs from 07.00 to 07.00 WIB, which is a day of UTC, is unverified, and so is
whether an end belongs to the lower class (as it does here). Landslides: 61 mm in a day or 91 mm in
three days (Hidayat & Zahro, Jurnal Sumber Daya Air 16(1), 2020: national events and satellite
rain); no threshold for Toba itself was found.
"""

from __future__ import annotations

from rules.bands import Band, band
from rules.duration import DAY
from rules.rule import Text

DAILY = (
    Band("none", Text("Berawan / tidak hujan", "Cloudy / no rain"), 0.5),
    Band("light", Text("Hujan ringan", "Light rain"), 20),
    Band("moderate", Text("Hujan sedang", "Moderate rain"), 50),
    Band("heavy", Text("Hujan lebat", "Heavy rain"), 100),
    Band("very_heavy", Text("Hujan sangat lebat", "Very heavy rain"), 150),
    Band("extreme", Text("Hujan ekstrem", "Extreme rain"), None),
)
"""mm in a rain day. BMKG's lowest class begins at 0.5 mm: what is under it counts as none."""

HOURLY = (
    Band("none", Text("Tidak hujan", "No rain"), 0.1),
    Band("very_light", Text("Sangat ringan", "Very light"), 1),
    Band("light", Text("Ringan", "Light"), 5),
    Band("moderate", Text("Sedang", "Moderate"), 10),
    Band("heavy", Text("Lebat", "Heavy"), 20),
    Band("very_heavy", Text("Sangat lebat", "Very heavy"), None),
)
"""mm in an hour."""

LANDSLIDE_DAY_MM = 61.0
LANDSLIDE_THREE_DAYS_MM = 91.0


def daily_class(millimetres: float) -> Band:
    """BMKG's class of a rain day's sum. Raises ValueError for less than nothing and NaN."""
    return DAILY[0] if _sum(millimetres) < 0.5 else band(DAILY[1:], millimetres)


def hourly_class(millimetres: float) -> Band:
    """The class of an hour's sum. Raises ValueError for less than nothing and NaN."""
    return HOURLY[0] if _sum(millimetres) < 0.1 else band(HOURLY[1:], millimetres)


def rain_day(time_ns: int) -> int:
    """The start of the rain day that a time belongs to, UTC ns: 00.00 UTC, 07.00 WIB."""
    return time_ns - time_ns % DAY


def _sum(millimetres: float) -> float:
    if not millimetres >= 0:
        raise ValueError(f"{millimetres!r} mm is no sum of rain")
    return millimetres
