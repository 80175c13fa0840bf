"""ISPU, Indonesia's air pollution standard index (Permen LHK P.14/2020).

    I = (Ia − Ib) / (Xa − Xb) × (Xx − Xb) + Ib        Xx: mean of 24 hours, µg/m³

Breakpoints and formula are from published copies, not from the official PDF. Two points are not
settled by any text that was seen and therefore switchable: whether Ib is 50 or 51 (`form`;
published examples of the 1997 rule, which has the same ozone breakpoints, agree with the
continuous 50) and which index stands at the last breakpoint (`top`; the category is the same).
Rounding is half up and comes before the category (that is ours, too: no rule for it was seen).
Colours are the official ones: they are not those of the US AQI, nor are the index values. A cheap
optical sensor's index is indicative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from rules.rule import Text

Form = Literal["continuous", "gap"]

PARAMETERS = ("pm10", "pm25", "so2", "co", "o3", "no2", "hc")
NAMES = {
    "pm10": "PM10",
    "pm25": "PM2.5",
    "so2": "SO2",
    "co": "CO",
    "o3": "O3",
    "no2": "NO2",
    "hc": "HC",
}

_BREAKPOINTS: dict[str, tuple[str, str, str, str, str]] = {
    # upper concentration of each row, µg/m³, mean of 24 h
    "pm10": ("50", "150", "350", "420", "500"),
    "pm25": ("15.5", "55.4", "150.4", "250.4", "500"),
    "so2": ("52", "180", "400", "800", "1200"),
    "co": ("4000", "8000", "15000", "30000", "45000"),
    "o3": ("120", "235", "400", "800", "1000"),
    "no2": ("80", "200", "1130", "2260", "3000"),
    "hc": ("45", "100", "215", "432", "648"),
}
_UPPER = (50, 100, 200, 300)


@dataclass(frozen=True, slots=True)
class Category:
    """One row of the table."""

    key: str
    number: int
    """1 (good) to 5 (hazardous), for storage and sorting."""
    name: Text
    colour: Text
    """The colour's official name."""
    hex: str
    """That colour for a screen; the shade is ours."""
    sensitive: Text
    """What children, the old, pregnant women and people with asthma or heart disease should do."""
    everyone: Text
    unverified: tuple[str, ...] = ("sensitive", "everyone")
    """Which of these texts were not found in a publication of the ministry: they say what such
    texts say, in our words."""


CATEGORIES = (
    Category(
        "baik",
        1,
        Text("Baik", "Good"),
        Text("Hijau", "Green"),
        "#2e9e4f",
        Text("Aman beraktivitas di luar ruangan.", "Outdoor activity is safe."),
        Text("Sangat baik untuk beraktivitas di luar ruangan.", "A good day to be outdoors."),
        unverified=("everyone",),
    ),
    Category(
        "sedang",
        2,
        Text("Sedang", "Moderate"),
        Text("Biru", "Blue"),
        "#2f6fd0",
        Text(
            "Kurangi aktivitas fisik yang terlalu lama atau berat di luar ruangan.",
            "Cut down on long or heavy outdoor exertion.",
        ),
        Text("Masih dapat beraktivitas di luar ruangan.", "Outdoor activity is still fine."),
        unverified=(),
    ),
    Category(
        "tidak_sehat",
        3,
        Text("Tidak Sehat", "Unhealthy"),
        Text("Kuning", "Yellow"),
        "#f2c200",
        Text(
            "Pilih aktivitas ringan, beristirahat lebih sering, perhatikan batuk dan sesak napas, "
            "siapkan obat asma.",
            "Choose light activity, rest more often, watch for cough and short breath, "
            "keep asthma medicine at hand.",
        ),
        Text(
            "Kurangi aktivitas fisik yang lama di luar ruangan.",
            "Cut down on long outdoor exertion.",
        ),
    ),
    Category(
        "sangat_tidak_sehat",
        4,
        Text("Sangat Tidak Sehat", "Very unhealthy"),
        Text("Merah", "Red"),
        "#d0342c",
        Text(
            "Hindari semua aktivitas di luar ruangan atau jadwalkan ulang.",
            "Avoid all outdoor activity or put it off.",
        ),
        Text(
            "Hindari aktivitas fisik yang lama di luar ruangan; pindahkan ke dalam ruangan.",
            "Avoid long outdoor exertion; move indoors.",
        ),
    ),
    Category(
        "berbahaya",
        5,
        Text("Berbahaya", "Hazardous"),
        Text("Hitam", "Black"),
        "#1b1b1b",
        Text("Tetap di dalam ruangan dan batasi aktivitas.", "Stay indoors and keep activity low."),
        Text("Hindari semua aktivitas di luar ruangan.", "Avoid all outdoor activity."),
    ),
)


@dataclass(frozen=True, slots=True)
class Ispu:
    """The index of one parameter."""

    parameter: str
    value: int
    exact: Decimal
    category: Category
    over: bool
    """Beyond the last breakpoint: shown as `>500`."""

    def __str__(self) -> str:
        return f">{self.value}" if self.over else str(self.value)


@dataclass(frozen=True, slots=True)
class StationIspu:
    """The index of a station: the worst of its parameters."""

    value: int
    category: Category
    dominant: str
    """*Parameter kritis*."""
    parts: tuple[Ispu, ...]


def index(
    parameter: str, mean_24h: float | Decimal, *, form: Form = "continuous", top: int = 500
) -> Ispu:
    """The index of a parameter's 24-hour mean in µg/m³ (CO too: not mg/m³).

    `form`: "continuous" counts from 0, 50, 100 …, "gap" from 0, 51, 101 …; `top`: the index at
    the last breakpoint, where it also ends. Raises `ValueError` for an unknown parameter and for
    a mean that is no concentration (negative, NaN, infinite).
    """
    if parameter not in _BREAKPOINTS:
        known = ", ".join(PARAMETERS)
        raise ValueError(f"unknown ISPU parameter {parameter!r}: known are {known}")
    mean = mean_24h if isinstance(mean_24h, Decimal) else Decimal(str(mean_24h))
    if not mean.is_finite() or mean < 0:
        raise ValueError(f"{mean_24h!r} is no concentration of {NAMES[parameter]}")
    points = [Decimal(0), *map(Decimal, _BREAKPOINTS[parameter])]
    levels = [Decimal(0), *map(Decimal, _UPPER), Decimal(top)]
    row = next((row for row in range(1, 6) if mean <= points[row]), 5)
    base = levels[row - 1] + (1 if form == "gap" and row > 1 else 0)
    over = mean > points[5]
    inside = min(mean, points[5]) - points[row - 1]
    exact = (levels[row] - base) * inside / (points[row] - points[row - 1]) + base
    value = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    return Ispu(parameter, value, exact, category(value), over)


def class_ends(parameter: str) -> tuple[float, ...]:
    """The means of 24 hours, µg/m³, up to which the classes go; the last has no end. Raises
    `KeyError`."""
    return tuple(map(float, _BREAKPOINTS[parameter][:-1]))


def category(value: int) -> Category:
    """The category of a rounded index."""
    for upper, found in zip(_UPPER, CATEGORIES, strict=False):
        if value <= upper:
            return found
    return CATEGORIES[-1]


def station(
    means: Mapping[str, float | Decimal], *, form: Form = "continuous", top: int = 500
) -> StationIspu:
    """The index of a station from its 24-hour means; at a tie the first in `PARAMETERS` leads.

    Raises `ValueError` as `index` does, and when there is no parameter at all.
    """
    if not means:
        raise ValueError("a station's index needs at least one parameter")
    parts = tuple(index(name, mean, form=form, top=top) for name, mean in means.items())
    worst = min(parts, key=lambda part: (-part.value, PARAMETERS.index(part.parameter)))
    return StationIspu(worst.value, worst.category, worst.parameter, parts)
