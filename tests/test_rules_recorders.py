"""The recording rules of noise and rain: folds from readings and ticks to a day's level and sum."""

from __future__ import annotations

from collections.abc import Callable
from math import log10
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.reading import Quality, Reading, Series, Value
from rules.airindex import AirIndex
from rules.duration import DAY, HOUR, MINUTE
from rules.noiselevel import FIELDS as NOISE_FIELDS
from rules.noiselevel import NoiseLevel
from rules.rainday import FIELDS as RAIN_FIELDS
from rules.rainday import RainDay
from rules.recorders import FIELDS, Recorders, standard
from rules.thing import Thing

WIB = ZoneInfo("Asia/Jakarta")
WIT = ZoneInfo("Asia/Jayapura")
DAY0 = 20_000 * DAY
"""A midnight of UTC: 7 o'clock in the morning WIB, 9 o'clock WIT."""
MIC = Series.of("environment", "mic1", sensor="mic")
GAUGE = Series.of("environment", "rain1")


def day_of(
    recorder: NoiseLevel | RainDay,
    value: Callable[[int], float | None],
    series: Series = MIC,
    field: str = "noise_dba",
    *,
    start: int = DAY0,
    hours: int = 24,
    quality: int = 0,
) -> list[Reading]:
    """A reading each ten minutes and a tick each hour; `value` of the hour, None: it is silent."""
    made = []
    for hour in range(hours):
        now = start + hour * HOUR
        made += recorder.tick(now)
        level = value(hour)
        for minute in range(0, 60, 10) if level is not None else ():
            at = now + minute * MINUTE
            recorder.observe([Reading(series, at, {field: level, "t": 25.0}, quality)])
    return made + recorder.tick(start + hours * HOUR)


def by_night(day: float, night: float) -> Callable[[int], float]:
    """Of hours since 6 o'clock."""
    return lambda hour: day if hour % 24 < 16 else night


def test_lsm_of_a_day_and_its_night_is_that_of_the_decree() -> None:
    """The vector of the facts: Ls 58, Lm 50 give 57.21."""
    noise = NoiseLevel(WIB)
    noise.know([Thing("mic1", noise_zone="perumahan")])
    (found,) = day_of(noise, by_night(58, 50), start=DAY0 - HOUR)
    assert found.series.key == "noise_level,device=mic1"
    assert found.time_ns == DAY0 + 23 * HOUR, "six in the morning WIB"
    assert found.fields == {
        "day_hours": 16,
        "night_hours": 8,
        "ls": pytest.approx(58),
        "lm": pytest.approx(50),
        "lsm": pytest.approx(57.21, abs=0.005),
        "limit_dba": 55.0,
        "over_dba": pytest.approx(2.21, abs=0.005),
    }
    assert list(FIELDS["noise_level"]) == list(NOISE_FIELDS)
    assert set(found.fields) <= set(NOISE_FIELDS)


def test_the_morning_is_the_regency_s_own() -> None:
    noise = NoiseLevel(WIT)
    (found,) = day_of(noise, by_night(58, 50), start=DAY0 - 3 * HOUR)
    assert found.time_ns == DAY0 + 21 * HOUR
    assert found.fields["lsm"] == pytest.approx(57.21, abs=0.005)
    assert "limit_dba" not in found.fields, "nobody said what stands there"


def test_loud_minutes_weigh_as_energy_not_as_decibels() -> None:
    noise = NoiseLevel(WIB)
    noise.tick(DAY0 - HOUR)
    for minute in range(24 * 60):
        level = 90.0 if minute % 10 == 0 else 50.0
        noise.observe([Reading(MIC, DAY0 - HOUR + minute * MINUTE, {"noise_dba": level})])
        noise.tick(DAY0 - HOUR + minute * MINUTE)
    (found,) = noise.tick(DAY0 + 23 * HOUR)
    leq = 10 * log10((10**9 + 9 * 10**5) / 10)
    assert found.fields["ls"] == pytest.approx(leq)
    assert leq > 79.9


@pytest.mark.parametrize(("silent", "known"), [((0, 4), True), ((0, 5), False), ((16, 19), False)])
def test_with_too_few_hours_there_is_no_level(silent: tuple[int, int], known: bool) -> None:
    noise = NoiseLevel(WIB)
    value = by_night(58, 50)
    made = day_of(
        noise, lambda h: None if silent[0] <= h < silent[1] else value(h), start=DAY0 - HOUR
    )
    assert ("lsm" in made[0].fields) is known
    assert {"day_hours", "night_hours"} <= made[0].fields.keys()


def test_a_microphone_that_fell_silent_has_no_level_any_more() -> None:
    noise = NoiseLevel(WIB)
    made = day_of(noise, lambda h: 50 if h < 24 else None, start=DAY0 - HOUR, hours=72)
    assert [one.time_ns for one in made] == [DAY0 + 23 * HOUR]
    assert noise.latest() == []


def test_what_is_stuck_or_was_kept_by_the_broker_counts_for_nothing() -> None:
    for quality in (Quality.STUCK, Quality.RETAINED, Quality.RANGE):
        assert day_of(NoiseLevel(WIB), by_night(58, 50), quality=int(quality)) == []
        made = day_of(RainDay(), lambda _: 1.0, GAUGE, "rain_mm", quality=int(quality))
        assert made == []


@pytest.mark.parametrize(
    ("each", "total", "category"), [(0.0, 0.0, 1), (0.1, 14.4, 2), (0.5, 72.0, 4), (1.2, 172.8, 6)]
)
def test_a_rain_day_ends_at_seven_wib_with_its_class(
    each: float, total: float, category: int
) -> None:
    (found,) = day_of(RainDay(), lambda _: each, GAUGE, "rain_mm")
    assert found.series.key == "rain_day,device=rain1"
    assert found.time_ns == DAY0 + DAY
    assert found.fields == {"rain_mm": pytest.approx(total), "hours": 24, "rain_class": category}
    assert set(found.fields) <= set(RAIN_FIELDS)


def test_a_gauge_that_was_silent_for_long_has_a_sum_and_no_class() -> None:
    made = day_of(RainDay(), lambda h: 1.0 if h < 17 else None, GAUGE, "rain_mm")
    assert made[0].fields == {"rain_mm": 102.0, "hours": 17}


def test_rain_of_another_day_does_not_count() -> None:
    rain = RainDay()
    rain.tick(DAY0)
    rain.observe([Reading(GAUGE, DAY0 - MINUTE, {"rain_mm": 5.0})])
    rain.observe([Reading(GAUGE, DAY0 + 25 * HOUR, {"rain_mm": 5.0})])
    assert rain.tick(DAY0 + DAY) == []


def both() -> Recorders:
    return standard(zone=WIB)


@given(
    st.lists(st.tuples(st.sampled_from(["noise_dba", "rain_mm", "pm25"]), st.floats(0, 120)),
             min_size=30, max_size=60),
    st.integers(0, 59),
)  # fmt: skip
def test_a_restart_in_between_changes_nothing(readings: list[tuple[str, float]], cut: int) -> None:
    """Whatever the snapshot went through as msgpack."""

    def fold(restart: bool) -> list[Reading]:
        made, recorders = [], both()
        for number, (field, value) in enumerate(readings):
            if restart and number == cut:
                state = msgspec.msgpack.decode(msgspec.msgpack.encode(recorders.snapshot()))
                recorders = both()
                recorders.load(state)
            at = DAY0 + number * HOUR
            made += recorders.tick(at)
            fields: dict[str, Value] = {field: value}
            recorders.observe([Reading(MIC, at + MINUTE, fields)])
        return made

    assert fold(True) == fold(False)


def test_a_snapshot_of_before_there_were_all_of_them_is_read() -> None:
    recorders = both()
    recorders.load({"air_index": AirIndex().snapshot()})
    assert recorders.latest() == []
