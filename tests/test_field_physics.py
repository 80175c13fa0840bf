"""The simulated air, water and weather."""

from __future__ import annotations

from itertools import pairwise

import pytest

from firmware_stubs.physics import NS, PROFILES, Physics, noise, profile_of

ORIGIN = 1_790_000_000 * NS
DAY = range(0, 86_400, 300)


def series(profile: str, effects: dict[str, float], *, seed: int = 3) -> list[dict[str, float]]:
    physics = Physics(seed, 1.0, ORIGIN)
    return [physics.sample(profile, f"{profile}-x", ORIGIN + s * NS, effects) for s in DAY]


PLAUSIBLE = {
    "pm25": (2, 60), "pm10": (5, 95), "t": (14, 31), "rh": (55, 100), "p": (904, 914),
    "wind_ms": (0, 9), "rain_mm": (0, 5), "do_mgl": (5, 7.6), "ph": (7, 8.4), "ntu": (0.3, 6),
    "water_level_m": (903.9, 904.3), "dba": (38, 75),
}  # fmt: skip


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_day_without_faults_is_plausible_and_never_flat(profile: str) -> None:
    day = series(profile, {})
    for name in day[0]:
        values = [moment[name] for moment in day]
        low, high = PLAUSIBLE[name]
        assert low <= min(values), name
        assert max(values) <= high, name
        if name != "rain_mm":
            assert len(set(values)) > 8, f"{name} does not live"


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_the_same_seed_gives_the_same_day_and_another_seed_another(profile: str) -> None:
    assert series(profile, {}) == series(profile, {})
    if profile != "rain":
        assert series(profile, {}) != series(profile, {}, seed=4)


def test_smoke_lifts_pm25_over_every_threshold() -> None:
    assert min(moment["pm25"] for moment in series("aq", {"smoke": 1.0})) > 100


def test_a_fish_kill_ends_below_two_and_turns_the_water_first() -> None:
    half, full = series("do", {"fish_kill": 0.5}), series("do", {"fish_kill": 1.0})
    assert max(moment["do_mgl"] for moment in full) < 2.6
    assert all(3.5 < moment["do_mgl"] < 6 for moment in half)
    assert min(moment["ntu"] for moment in half) > 15


def test_a_risen_lake_is_over_the_official_highest_level() -> None:
    assert min(moment["water_level_m"] for moment in series("level", {"lake_rise": 1.0})) > 905.0


def test_rain_is_whole_tips_and_does_not_depend_on_how_often_one_asks() -> None:
    def total(step: int) -> float:
        physics = Physics(3, 1.0, ORIGIN)
        tips = [
            physics.sample("rain", "rain-x", ORIGIN + s * NS, {"heavy_rain": 1.0})["rain_mm"]
            for s in range(0, 3601, step)
        ]
        assert all(round(mm / 0.2, 6) % 1 == 0 for mm in tips)
        return sum(tips)

    assert total(1) == pytest.approx(120, rel=0.15)
    assert total(1) == pytest.approx(total(10), rel=0.1)


def test_speed_makes_the_day_go_by_faster_from_the_origin_on() -> None:
    physics = Physics(3, 60.0, ORIGIN)
    assert physics.hour(ORIGIN + 60 * NS) == pytest.approx((physics.hour(ORIGIN) + 1) % 24)


def test_noise_is_smooth_and_bounded() -> None:
    values = [noise(1, "x", s / 10, 5.0) for s in range(2000)]
    assert max(map(abs, values)) <= 1
    assert max(abs(b - a) for a, b in pairwise(values)) < 0.1


def test_the_first_part_of_a_name_tells_what_is_measured() -> None:
    assert profile_of("do-ajibata") == "do"
    assert profile_of("something") == "wx"
