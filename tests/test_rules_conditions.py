"""Thresholds, windows and absence against what a person would compute by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.against import SLOT
from rules.conditions import Absence, Edge, Level, Stage
from rules.percentile import step_of, value_of
from rules.question import condition
from rules.rule import COMPARISONS, FUNCTIONS, Against, Comparison, Function, When, Window
from rules.windows import BUCKETS

HOUR = 3_600_000_000_000
MINUTE = HOUR // 60


def windowed(
    function: Function,
    length_ns: int,
    comparison: Comparison,
    threshold: float,
    per_ns: int = HOUR,
) -> Any:
    per_ns = per_ns if function == "rate" else 0
    window = Window(function, length_ns, per_ns)
    return condition(When("m", "f", comparison, threshold, window=window))


def answers(level: Stage, *values: float, step: int = MINUTE) -> list[bool | None]:
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
    rain = windowed("sum", HOUR, "above", 10)
    for minute in range(50):
        rain.feed(minute * MINUTE, 0.2)
    assert rain.value == 10.0
    assert rain.holds is False
    rain.feed(50 * MINUTE, 0.000001)
    assert rain.holds is True


def test_a_mean_waits_for_half_of_its_window() -> None:
    mean = windowed("mean", HOUR, "above", 10)
    assert answers(mean, 20, 20, 20, 20, step=10 * MINUTE) == [None, None, None, True]


def test_a_small_sum_waits_for_the_whole_window() -> None:
    dry = windowed("sum", HOUR, "below", 1)
    assert answers(dry, *[0.0] * 7, step=10 * MINUTE) == [*[None] * 6, True]


def test_after_a_gap_longer_than_the_window_it_waits_again() -> None:
    mean = windowed("mean", HOUR, "above", 10)
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


def naive(function: Function, seen: list[tuple[int, float]], everything: list[float]) -> Any:
    """What a window must give, from all readings in it (exact), or None."""
    values = [Fraction(str(value)) for _, value in seen]
    if function == "rate":
        times = [Fraction(time // 1_000_000) for time, _ in seen]
        middle, mean = sum(times) / len(times), sum(values) / len(values)
        below = sum((time - middle) ** 2 for time in times)
        above = sum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True))
        return above / below * (HOUR // 1_000_000) if below else None
    return {
        "sum": lambda: sum(values),
        "mean": lambda: sum(values) / len(values),
        "min": lambda: min(values),
        "max": lambda: max(values),
        "count": lambda: len(values),
        "p95": lambda: sorted(values)[len(values) - 1 - len(values) // 20],
        "changes": lambda: sum(
            before != after for before, after in pairwise(everything[-len(values) - 1 :])
        ),
    }[function]()


@settings(deadline=None)
@given(readings, st.sampled_from(FUNCTIONS), st.sampled_from(COMPARISONS), st.integers(1, 300))
def test_a_window_is_what_the_readings_of_its_buckets_give(
    inputs: list[tuple[int, float]], function: Function, comparison: Comparison, minutes: int
) -> None:
    length = minutes * MINUTE
    window = windowed(function, length, comparison, 0)
    width, time, seen = length // BUCKETS, 0, []
    for gap, value in inputs:
        time += gap
        seen.append((time, value))
        window.feed(time, value)
        inside = [(t, v) for t, v in seen if t // width > time // width - BUCKETS]
        wanted = naive(function, inside, [v for _, v in seen])
        if wanted is not None:
            near = 1 / 512 if function == "p95" else 1e-12
            least = 2e-6 if function == "p95" else 1e-12
            assert window.value == pytest.approx(float(wanted), rel=near, abs=least)
        assert len(window.dump()[3]) <= BUCKETS


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200))
def test_the_histogram_keeps_order_and_errs_towards_zero_by_a_fifth_of_a_percent(
    values: list[float],
) -> None:
    values.sort()
    steps = [step_of(value) for value in values]
    assert steps == sorted(steps)
    for value, step in zip(values, steps, strict=True):
        found = value_of(step)
        assert abs(found) <= abs(value)
        assert abs(value) - abs(found) <= abs(value) / 512 + 2e-6


def test_whole_numbers_and_small_fractions_are_met_exactly() -> None:
    for value in (*range(1025), 90.5, 37.25, 0.125, -4.5):
        assert value_of(step_of(float(value))) == value


def test_a_rate_is_the_slope_of_the_line_through_uneven_readings() -> None:
    oxygen = windowed("rate", 3 * HOUR, "below", -0.5)
    for minute in (0, 7, 31, 90, 91, 100, 170):
        oxygen.feed(minute * MINUTE, 6 - minute * 0.51 / 60)
    assert oxygen.value == pytest.approx(-0.51)
    assert oxygen.holds is True
    per_day = windowed("rate", 3 * HOUR, "below", -0.5, per_ns=24 * HOUR)
    for minute in (0, 60, 120):
        per_day.feed(minute * MINUTE, 6 - minute * 0.51 / 60)
    assert per_day.value == pytest.approx(-0.51 * 24)


def test_one_wild_value_tilts_a_rate_less_than_the_difference_of_two_readings() -> None:
    rate = windowed("rate", HOUR, "above", 1000)
    for minute in range(60):
        rate.feed(minute * MINUTE, 5.0 if minute != 59 else 9.0)
    assert abs(rate.value) < 1


def test_time_alone_empties_a_count() -> None:
    few = windowed("count", HOUR, "below", 3)
    for minute in (0, 10, 20, 30):
        few.feed(minute * MINUTE, 1)
    assert few.holds is None, "an hour must pass before few is too few"
    assert few.due_ns == 60 * MINUTE
    few.passed(60 * MINUTE)
    assert (few.value, few.holds) == (3, False)
    few.passed(70 * MINUTE)
    assert (few.value, few.holds) == (2, True)
    few.passed(500 * MINUTE)
    assert (few.value, few.holds, few.due_ns) == (0, True, None)


def test_a_flapping_port_changes_often() -> None:
    flaps = windowed("changes", 10 * MINUTE, "above", 4)
    assert answers(flaps, 1, 0, 1, 0, 1, 0, 1) == [*[False] * 5, True, True]


@settings(deadline=None)
@given(readings, st.sampled_from([None, "mean"]), st.booleans())
def test_yesterday_is_the_mean_of_the_same_quarter_of_an_hour(
    inputs: list[tuple[int, float]], function: Function | None, percent: bool
) -> None:
    window = Window(function, HOUR) if function else None
    stage = condition(When("m", "f", "above", 10.0, window=window, against=Against((), percent)))
    time, seen = 0, []
    for number, (gap, value) in enumerate(inputs * 3):
        time += gap * 3 if number % 7 else 23 * HOUR
        answer = value
        if function:
            width = HOUR // BUCKETS
            raw = [v for t, v, _ in seen if t // width > time // width - BUCKETS]
            answer = float(sum(Fraction(str(v)) for v in (*raw, value)) / (len(raw) + 1))
        seen.append((time, value, answer))
        before = [a for t, _, a in seen if t // SLOT == time // SLOT - 96]
        shown = stage.shown(None)
        stage.feed(time, value)
        fair = not function or time - started(seen, HOUR) >= HOUR // 2
        if not function and before:
            mean = sum(before) / len(before)
            if percent and mean == 0:
                continue
            wanted = 100 * (answer - mean) / abs(mean) if percent else answer - mean
            assert stage.shown(None) == pytest.approx(wanted, rel=1e-6, abs=1e-3)
        elif not before or not fair:
            assert stage.shown(None) == shown


def started(seen: list[tuple[int, float, float]], length: int) -> int:
    """Since when the readings follow one another within a window."""
    begun = seen[0][0]
    width = length // BUCKETS
    for (before, *_), (after, *_) in pairwise(seen):
        if after // width - before // width >= BUCKETS:
            begun = after
    return begun


def test_a_series_is_compared_with_its_own_yesterday_in_percent() -> None:
    load = condition(When("m", "f", "above", 50.0, against=Against((), True)))
    for quarter in range(96):
        load.feed(quarter * SLOT, 40.0)
    assert load.holds is None, "no day before to compare with"
    load.feed(96 * SLOT, 60.0)
    assert (load.shown(None), load.holds) == (50.0, False)
    load.feed(97 * SLOT, 61.0)
    assert (load.shown(None), load.holds) == (52.5, True)
    load.feed(300 * SLOT, 1.0)
    assert load.holds is True, "a day that is missing says nothing"


@settings(deadline=None)
@given(
    *(readings, st.sampled_from(FUNCTIONS), st.integers(0, 79)),
    st.sampled_from([None, Against(), Against((), True)]),
)
def test_a_window_goes_on_from_its_dump(
    inputs: list[tuple[int, float]], function: Function, cut: int, against: Against | None
) -> None:
    per = HOUR if function == "rate" else 0
    when = When("m", "f", "above", 100.0, 50.0, Window(function, HOUR, per), against=against)
    straight, time = condition(when), 0
    resumed = condition(when)
    for index, (gap, value) in enumerate(inputs):
        time += gap
        if index == cut:
            fresh = condition(when)
            packed = msgspec.msgpack.encode(resumed.dump())
            fresh.load(msgspec.msgpack.decode(packed))
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
