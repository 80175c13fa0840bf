"""The recording rule of air quality: a fold from readings and ticks to hourly indices."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.reading import Quality, Reading, Series
from rules.airindex import FIELDS, AirIndex, hourly_means
from rules.duration import HOUR, MINUTE
from rules.ispu import index
from rules.thing import Thing

DAY0 = 480_000 * HOUR
AQ1 = Series.of("environment", "aq1", sensor="pm")


def feed(
    air: AirIndex, hours: int, value: float, *, first: int = 0, every: int = 10, field: str = "pm25"
) -> list[Reading]:
    """Readings every so many minutes and a tick each hour; what was recorded."""
    made = []
    for hour in range(first, first + hours):
        made += air.tick(DAY0 + hour * HOUR)
        for minute in range(0, 60, every):
            at = DAY0 + hour * HOUR + minute * MINUTE
            air.observe([Reading(AQ1, at, {field: value, "t": 25.0})])
    return made + air.tick(DAY0 + (first + hours) * HOUR)


def indices(made: list[Reading]) -> list[object]:
    return [one.fields.get("ispu") for one in made]


def test_there_is_no_number_before_eighteen_hours_have_a_mean() -> None:
    made = feed(AirIndex(), 20, 35.0)
    assert [one.fields["hours"] for one in made] == list(range(1, 21))
    assert indices(made) == [None] * 17 + [74, 74, 74]
    last = made[-1]
    assert last.series.key == "air_index,device=aq1"
    assert last.time_ns == DAY0 + 20 * HOUR
    assert last.fields == {
        "indicative": 1,
        "hours": 20,
        "pm25_hours": 20,
        "pm25_mean": 35.0,
        "pm25_ispu": 74,
        "ispu": 74,
        "category": 2,
        "dominant": "pm25",
    }
    assert set(last.fields) <= set(FIELDS)


def test_rising_dust_crosses_three_classes_as_the_mean_rolls_on() -> None:
    air = AirIndex()
    made = feed(air, 24, 10.0) + feed(air, 24, 60.0, first=24) + feed(air, 24, 160.0, first=48)
    classes = [one.fields.get("category") for one in made if "category" in one.fields]
    assert [c for c, before in zip(classes, [None, *classes], strict=False) if c != before] == [
        1, 2, 3, 4,
    ]  # fmt: skip
    half = next(one for one in made if one.time_ns == DAY0 + 36 * HOUR)
    assert half.fields["pm25_mean"] == 35.0, "twelve hours of 10 and twelve of 60"


def test_the_worst_parameter_dominates_and_each_has_its_own_completeness() -> None:
    air = AirIndex()
    for hour in range(24):
        fields = {"pm25": 35.0, "pm10": 75.0}
        if hour >= 20:
            fields["o3"] = 900.0
        air.tick(DAY0 + hour * HOUR)
        air.observe([Reading(AQ1, DAY0 + hour * HOUR, fields)])
    (found,) = air.tick(DAY0 + 24 * HOUR)
    assert (found.fields["ispu"], found.fields["dominant"]) == (74, "pm25")
    assert (found.fields["pm10_ispu"], found.fields["o3_hours"]) == (63, 4)
    assert "o3_ispu" not in found.fields, "four hours are not enough"


def test_a_thin_hour_has_no_mean_and_an_hourly_station_is_complete() -> None:
    hours = {hour: [60.0, 6.0] for hour in range(24)}
    hours[3] = [400.0, 4.0]  # four of six readings
    hours[4] = [500.0, 5.0]
    assert len(hourly_means(hours, 24)) == 23
    assert hourly_means({5: [7.0, 1], 6: [9.0, 1]}, 24) == [7.0, 9.0]
    assert hourly_means({}, 24) == []
    assert hourly_means({30: [1.0, 1]}, 24) == [], "of another day"


@pytest.mark.parametrize(
    "quality",
    [Quality.RANGE, Quality.STUCK, Quality.SPIKE, Quality.CLOCK, Quality.RETAINED],
)
def test_what_cannot_be_believed_counts_for_nothing(quality: Quality) -> None:
    air = AirIndex()
    air.tick(DAY0)
    air.observe([Reading(AQ1, DAY0, {"pm25": 400.0}, quality), Reading(AQ1, DAY0, {"pm25": 8.0})])
    air.observe([Reading(Series.of("camera", "aq1"), DAY0, {"pm25": 400.0})])
    air.observe([Reading(AQ1, DAY0, {"pm25": -3.0}), Reading(AQ1, DAY0, {"pm25": "n/a"})])
    assert air.snapshot()["stations"]["aq1"] == {"pm25": [[480_000, 8.0, 1]]}


def test_a_late_reading_counts_in_its_own_hour_and_an_old_one_not_at_all() -> None:
    air = AirIndex()
    feed(air, 24, 10.0)
    late = Reading(AQ1, DAY0 + 5 * HOUR, {"pm25": 70.0}, Quality.LATE)
    air.observe([late, Reading(AQ1, DAY0 - 400 * HOUR, {"pm25": 900.0}, Quality.LATE)])
    (found,) = feed(air, 0, 0, first=25)
    # Hour 0 has left the window, hour 5 has six readings of 10 and one of 70.
    assert found.fields["pm25_mean"] == pytest.approx((22 * 10 + 130 / 7) / 23)


def test_a_station_that_falls_silent_loses_its_index_and_is_forgotten() -> None:
    air = AirIndex()
    feed(air, 24, 10.0)
    silent = feed(air, 0, 0, first=31)
    assert indices(silent) == [None]
    assert silent[0].fields["hours"] == 17
    assert feed(air, 0, 0, first=60) == []
    assert air.latest() == []
    assert air.snapshot()["stations"] == {}


def test_a_reference_instrument_is_not_just_indicative() -> None:
    air = AirIndex(form="gap", top=400)
    air.know([Thing("aq1", kind="sensor", reference=True), Thing("aq2", kind="sensor")])
    made = feed(air, 24, 300.0)
    assert made[-1].fields["indicative"] == 0
    assert made[-1].fields["ispu"] == index("pm25", 300, form="gap", top=400).value


def test_a_clock_that_is_set_back_makes_no_second_index() -> None:
    air = AirIndex()
    feed(air, 24, 10.0)
    assert air.tick(DAY0 + 20 * HOUR) == []
    assert air.tick(DAY0 + 20 * HOUR + 1) == []


hourly = st.lists(st.integers(0, 900_000).map(lambda milli: milli / 1000), min_size=24, max_size=60)


@settings(deadline=None)
@given(hourly, st.integers(1, 59))
def test_a_snapshot_at_any_hour_changes_nothing(values: list[float], cut: int) -> None:
    plain, torn = AirIndex(), AirIndex()
    for hour, value in enumerate(values):
        at = DAY0 + hour * HOUR
        if hour == cut:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(torn.snapshot()))
            torn = AirIndex()
            torn.load(state)
            assert torn.latest() == plain.latest()
        assert torn.tick(at) == plain.tick(at)
        for air in (plain, torn):
            air.observe([Reading(AQ1, at, {"pm25": value})])


@settings(deadline=None)
@given(hourly)
def test_the_rolling_mean_is_the_mean_of_the_last_day(values: list[float]) -> None:
    air = AirIndex()
    made: Mapping[int, Reading] = {}
    for hour, value in enumerate([*values, 0.0]):
        at = DAY0 + hour * HOUR
        made = {**made, **{one.time_ns: one for one in air.tick(at)}}
        air.observe([Reading(AQ1, at, {"pm25": value})])
    for hour in range(18, len(values) + 1):
        day = values[max(0, hour - 24) : hour]
        exact = sum(map(Fraction, day)) / len(day)
        found = made[DAY0 + hour * HOUR].fields["pm25_mean"]
        assert found == pytest.approx(float(exact), rel=1e-12, abs=1e-12)
