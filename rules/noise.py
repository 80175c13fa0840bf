"""Noise: the day-and-night level Lsm and the limits by zone, KepMenLH 48/1996, dB(A).

Limits from published copies of the decree. That they are compared with Lsm, that 3 dB(A) are
tolerated, and the formula's hours (day 06-22, night 22-06) are unverified.
"""

from __future__ import annotations

from math import isfinite, log10

LIMITS = {
    "perumahan": 55,
    "perdagangan_jasa": 70,
    "perkantoran_perdagangan": 65,
    "ruang_terbuka_hijau": 50,
    "industri": 70,
    "pemerintahan": 60,
    "rekreasi": 70,
    "pelabuhan_laut": 70,
    "cagar_budaya": 60,
    "rumah_sakit": 55,
    "sekolah": 55,
    "tempat_ibadah": 55,
}
"""By zone or activity. Airports and stations have rules of the ministry of transport."""

NIGHT_PENALTY_DBA = 5
DAY_HOURS, NIGHT_HOURS = 16, 8


def lsm(day: float, night: float) -> float:
    """The level of a day and its night, of Ls (06-22) and Lm (22-06), each an energy mean.

    Raises ValueError for what is no level.
    """
    if not (isfinite(day) and isfinite(night)):
        raise ValueError(f"{day!r} and {night!r} are no levels")
    energy = DAY_HOURS * 10 ** (0.1 * day) + NIGHT_HOURS * 10 ** (0.1 * (night + NIGHT_PENALTY_DBA))
    return 10 * log10(energy / (DAY_HOURS + NIGHT_HOURS))


def energy_mean(levels: list[float]) -> float:
    """Leq of levels that lasted equally long. Raises ValueError when there are none."""
    if not levels:
        raise ValueError("no levels")
    return 10 * log10(sum(10 ** (0.1 * one) for one in levels) / len(levels))
