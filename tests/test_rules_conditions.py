"""Thresholds, windows and absence against what a person would compute by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.conditions import BUCKETS, Absence, Edge, Level, Windowed, condition
from rules.rule import COMPARISONS, FUNCTIONS, Comparison, Function, When, Window

HOUR = 3_600_000_000_000
MINUTE = HOUR // 60


def answers(level: Level | Windowed, *values: float, step: int = MINUTE) -> list[bool | None]:
    found = []
    for index, value in enumerate(values):
        level.feed(index * step, value)
        found.append(level.holds)
    return found


def test_between_threshold_and_clear_level_the_answer_stays() -> None:
    level = Level("above", 55.4, 45)
    assert answers(level, 50, 55.4, 55.5, 50, 45, 44.9, 50) == [
        *(False, False, True, True, True, False, False)
    ]
    level = Level("below", 4, 4.5)
    assert answers(level, 4.2, 4, 3.9, 4.4, 4.5, 4.6, 4.2) == [
        *(False, False, True, True, True, False, False)
    ]


def test_without_a_clear_level_it_is_the_comparison() -> None:
    assert answers(Level("above", 1, None), 2, 1, 2) == [True, False, True]
    assert answers(Level("equals", 0, None), 0, 1, 0) == [True, False, True]
    assert answers(Level("not_equals", 2, None), 0, 2, 1) == [True, False, True]


def test_an_edge_is_told_once() -> None:
    level = Level("above", 1, None)
    edges = [level.feed(0, value) for value in (2, 3, 0, 0, 2)]
    assert edges == [Edge.TRUE, Edge.UNCHANGED, Edge.FALSE, Edge.UNCHANGED, Edge.TRUE]


def test_sums_are_exact_in_decimal() -> None:
    rain = Windowed(Window("sum", HOUR), Level("above", 10, None), "above")
    for minute in range(50):
        rain.feed(minute * MINUTE, 0.2)
    assert rain.value == 10.0
    assert rain.holds is False
    rain.feed(50 * MINUTE, 0.000001)
    assert rain.holds is True


def test_a_mean_waits_for_half_of_its_window() -> None:
    mean = Windowed(Window("mean", HOUR), Level("above", 10, None), "above")
    assert answers(mean, 20, 20, 20, 20, step=10 * MINUTE) == [None, None, None, True]


def test_a_small_sum_waits_for_the_whole_window() -> None:
    dry = Windowed(Window("sum", HOUR), Level("below", 1, None), "below")
    assert answers(dry, *[0.0] * 7, step=10 * MINUTE) == [*[None] * 6, True]


def test_after_a_gap_longer_than_the_window_it_waits_again() -> None:
    mean = Windowed(Window("mean", HOUR), Level("above", 10, None), "above")
    for minute in range(0, 60, 10):
        mean.feed(minute * MINUTE, 20)
    assert mean.holds is True
    mean.feed(5 * HOUR, 0)
    assert mean.value == 0
    assert mean.holds is True, "one reading does not end what an hour's mean began"


readings = st.lists(
    st.tuples(
        st.integers(0, 20 * MINUTE),
        st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)),
    ),
    min_size=1,
    max_size=80,
)


@given(readings, st.sampled_from(FUNCTIONS), st.sampled_from(COMPARISONS), st.integers(1, 300))
def test_a_window_is_what_the_readings_of_its_buckets_give(
    inputs: list[tuple[int, float]], function: Function, comparison: Comparison, minutes: int
) -> None:
    length = minutes * MINUTE
    window = Windowed(Window(function, length), Level(comparison, 0, None), comparison)
    width, time, seen = length // BUCKETS, 0, []
    for gap, value in inputs:
        time += gap
        seen.append((time, value))
        window.feed(time, value)
        inside = [Fraction(str(v)) for t, v in seen if t // width > time // width - BUCKETS]
        wanted = {
            "sum": sum(inside),
            "mean": sum(inside) / len(inside),
            "min": min(inside),
            "max": max(inside),
        }[function]
        assert window.value == pytest.approx(float(wanted), rel=1e-12, abs=1e-12)
        assert len(window.dump()[3]) <= BUCKETS


@given(readings, st.sampled_from(FUNCTIONS), st.integers(0, 79))
def test_a_window_goes_on_from_its_dump(
    inputs: list[tuple[int, float]], function: Function, cut: int
) -> None:
    when = When("m", "f", "above", 100.0, 50.0, Window(function, HOUR))
    straight, time = condition(when), 0
    resumed = condition(when)
    for index, (gap, value) in enumerate(inputs):
        time += gap
        if index == cut:
            fresh = condition(when)
            fresh.load(resumed.dump())
            resumed = fresh
        assert straight.feed(time, value) is resumed.feed(time, value)
        assert straight.dump() == resumed.dump()


def test_absence_counts_from_when_somebody_began_to_listen() -> None:
    absence = Absence(5 * MINUTE)
    assert absence.due_ns is None
    absence.woke(MINUTE)
    assert absence.tick(6 * MINUTE - 1) is Edge.UNCHANGED
    assert absence.tick(6 * MINUTE) is Edge.TRUE
    assert absence.silence_s(7 * MINUTE) == 360
    assert absence.heard(8 * MINUTE) is Edge.FALSE
    assert absence.value == 420
    assert absence.due_ns == 13 * MINUTE


def test_the_hub_s_own_sleep_is_not_the_device_s_silence() -> None:
    absence = Absence(5 * MINUTE)
    absence.woke(0)
    absence.heard(MINUTE)
    absence.woke(60 * MINUTE)
    assert absence.tick(61 * MINUTE) is Edge.UNCHANGED
    assert absence.tick(65 * MINUTE) is Edge.TRUE
    assert absence.silence_s(65 * MINUTE) == 64 * 60
