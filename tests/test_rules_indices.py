"""Indices and limits an officer uses, against the numbers of their sources."""

from __future__ import annotations

from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import ambient, heat, lake, noise, oxygen, rain
from rules.bands import Band
from rules.duration import DAY, HOUR
from rules.ispu import index

WIB = 7 * HOUR


@pytest.mark.parametrize(
    ("millimetres", "key"),
    [
        *((0, "none"), (0.4, "none"), (0.5, "light"), (20, "light"), (20.1, "moderate")),
        *((50, "moderate"), (50.2, "heavy"), (100, "heavy"), (100.2, "very_heavy")),
        *((150, "very_heavy"), (150.2, "extreme"), (400, "extreme")),
    ],
)
def test_a_rain_day_has_bmkgs_class(millimetres: float, key: str) -> None:
    assert rain.daily_class(millimetres).key == key


@pytest.mark.parametrize(
    ("millimetres", "key"),
    [
        *((0, "none"), (0.1, "very_light"), (1, "very_light"), (1.2, "light"), (5, "light")),
        *((5.2, "moderate"), (10, "moderate"), (10.2, "heavy"), (20, "heavy"), (21, "very_heavy")),
    ],
)
def test_an_hour_of_rain_has_a_class(millimetres: float, key: str) -> None:
    assert rain.hourly_class(millimetres).key == key


def test_the_rain_day_turns_at_seven_in_the_morning_in_western_indonesia() -> None:
    midnight_wib = 20_000 * DAY - WIB
    just_before_seven, seven = midnight_wib + 7 * HOUR - 1, midnight_wib + 7 * HOUR
    assert rain.rain_day(seven) == seven
    assert rain.rain_day(just_before_seven) == seven - DAY


@pytest.mark.parametrize("value", [-0.1, nan])
def test_less_than_no_rain_is_refused(value: float) -> None:
    for what in (rain.daily_class, rain.hourly_class):
        with pytest.raises(ValueError, match="no sum of rain"):
            what(value)


@pytest.mark.parametrize(
    ("metres", "key"),
    [
        *((902.4, "very_low"), (902.6, "low"), (903.0, "normal"), (904.59, "normal")),
        *((904.6, "high"), (904.99, "high"), (905.0, "very_high"), (906, "very_high")),
    ],
)
def test_a_lake_level_has_a_band(metres: float, key: str) -> None:
    assert lake.level(metres).key == key


@pytest.mark.parametrize(
    ("mgl", "key"),
    [
        *((7, "normal"), (6, "normal"), (5.9, "watch"), (5, "watch"), (4.9, "warning")),
        *((4, "warning"), (3.9, "alert"), (2, "alert"), (1.8, "danger"), (0, "danger")),
    ],
)
def test_oxygen_stands_on_a_step(mgl: float, key: str) -> None:
    """3.9 and 1.8 mg/L are what was measured at the fish kill of July 2025."""
    assert oxygen.step(mgl).key == key


def test_day_and_night_make_one_level() -> None:
    assert round(noise.lsm(58, 50), 2) == 57.21
    assert noise.lsm(60, 55) == pytest.approx(60.0)
    with pytest.raises(ValueError, match="no levels"):
        noise.lsm(nan, 50)


def test_levels_are_averaged_by_their_energy() -> None:
    assert noise.energy_mean([60, 60]) == pytest.approx(60)
    assert noise.energy_mean([60, 70]) == pytest.approx(67.404, abs=0.001)
    with pytest.raises(ValueError, match="no levels"):
        noise.energy_mean([])


@given(st.floats(20, 110), st.floats(20, 110), st.floats(0.01, 10))
def test_more_noise_by_night_or_day_is_a_higher_level(
    day: float, night: float, more: float
) -> None:
    assert noise.lsm(day + more, night) > noise.lsm(day, night)
    assert noise.lsm(day, night + more) >= noise.lsm(day, night)


def test_the_law_of_ambient_air_is_stricter_than_the_index_for_coarse_dust() -> None:
    assert ambient.limit("pm10", "24h").micrograms == 75
    assert index("pm10", 75).category.key == "sedang"
    assert ambient.limit("pm25", "24h").micrograms == 55
    assert ambient.limit("co", "8h").verified
    assert not ambient.limit("o3", "1h").verified
    with pytest.raises(KeyError, match="hc"):
        ambient.limit("hc", "24h")
    keys = [(one.parameter, one.period) for one in ambient.LIMITS]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("celsius", "humidity", "felt"), [(35, 40, 37.2), (29, 85, 35.9), (4, 90, 4.0)]
)
def test_heat_is_felt_as_published(celsius: float, humidity: float, felt: float) -> None:
    assert heat.heat_index(celsius, humidity) == pytest.approx(felt, abs=0.06)


@pytest.mark.parametrize(
    ("fahrenheit", "humidity", "felt"), [(90, 70, 106), (100, 40, 109), (86, 90, 105), (80, 40, 80)]
)
def test_heat_agrees_with_noaas_chart(fahrenheit: float, humidity: float, felt: float) -> None:
    celsius = (fahrenheit - 32) * 5 / 9
    assert heat.heat_index(celsius, humidity) * 9 / 5 + 32 == pytest.approx(felt, abs=0.7)


def test_heat_has_bands_and_needs_a_humidity() -> None:
    keys = [heat.heat_band(c).key for c in (26.9, 27, 32, 41, 54)]
    assert keys == ["none", "caution", "extreme_caution", "danger", "extreme_danger"]
    with pytest.raises(ValueError, match="relative humidity"):
        heat.heat_index(30, 101)


LADDERS = (rain.DAILY, rain.HOURLY, lake.LEVELS, oxygen.LADDER, heat.BANDS)


@pytest.mark.parametrize("ladder", LADDERS)
def test_a_ladder_rises_and_has_no_end(ladder: tuple[Band, ...]) -> None:
    uppers = [step.upper for step in ladder[:-1]]
    assert None not in uppers
    assert uppers == sorted(set(uppers), key=lambda upper: upper or 0)
    assert ladder[-1].upper is None
    assert len({step.key for step in ladder}) == len(ladder)
    assert all(step.name.id and step.name.en for step in ladder)


def test_nan_has_no_class() -> None:
    for what in (lake.level, oxygen.step, heat.heat_band):
        with pytest.raises(ValueError, match="NaN"):
            what(nan)
