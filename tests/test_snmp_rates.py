"""Counters to rates: every way in which a difference of two counters lies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp.rates import (
    TICKS,
    UPTIME_MODULUS,
    Drop,
    Look,
    Restart,
    rates,
    unwrapped_uptime_s,
    uptime_passed,
)

MINUTE = 60 * TICKS
GIGABIT = 1e9 / 8


def look(ticks: int, *values: int | None, at_s: float | None = None, **more: int) -> Look:
    """A look whose monotonic time goes with the uptime, unless said otherwise."""
    return Look(ticks, ticks / TICKS if at_s is None else at_s, values, **more)


def test_the_first_look_gives_no_rate() -> None:
    assert rates(None, look(MINUTE, 5, 6)).drop is Drop.FIRST
    assert rates(None, look(MINUTE, 5, 6)).values == (None, None)


def test_a_rate_is_the_difference_over_the_devices_own_time() -> None:
    before, now = look(MINUTE, 1000, 0, at_s=0.0), look(2 * MINUTE, 7000, 60, at_s=63.0)
    assert rates(before, now).values == (100.0, 1.0)


def test_a_missing_counter_leaves_the_other_one_alone() -> None:
    assert rates(look(MINUTE, None, 0), look(2 * MINUTE, 5, 60)).values == (None, 1.0)


def test_a_64_bit_decrease_is_a_reset_and_never_a_wrap() -> None:
    before, now = look(MINUTE, (1 << 64) - 10, 0), look(2 * MINUTE, 10, 60)
    assert rates(before, now, GIGABIT) == ((None, None), Drop.DECREASED, False)


def test_after_a_reset_the_next_interval_counts_from_the_new_value() -> None:
    reset = look(2 * MINUTE, 10, 0)
    assert rates(look(MINUTE, 500, 0), reset).drop is Drop.DECREASED
    assert rates(reset, look(3 * MINUTE, 70, 0)).values == (1.0, 0.0)


def test_a_32_bit_wrap_is_added_back_when_the_rate_is_plausible() -> None:
    before, now = look(0, (1 << 32) - 100, bits=32), look(MINUTE, 500, bits=32)
    assert rates(before, now, 100e6 / 8).values == (10.0,)


def test_a_32_bit_fall_that_would_be_faster_than_the_line_is_a_reset() -> None:
    before, now = look(0, 1_000_000, bits=32), look(MINUTE, 500, bits=32)
    assert rates(before, now, 100e6 / 8).drop is Drop.DECREASED


def test_a_32_bit_fall_at_unknown_speed_is_a_reset() -> None:
    before, now = look(0, (1 << 32) - 100, bits=32), look(MINUTE, 500, bits=32)
    assert rates(before, now).drop is Drop.DECREASED


def test_a_32_bit_counter_on_a_gigabit_port_is_doubted_over_a_minute() -> None:
    before, now = look(0, 0, bits=32), look(MINUTE, 6000, bits=32)
    assert rates(before, now, GIGABIT).ambiguous
    assert not rates(before, now, 100e6 / 8).ambiguous


def test_a_reboot_is_not_taken_for_a_wrap_of_the_counter() -> None:
    before = look(90 * MINUTE, (1 << 32) - 5, at_s=0.0, bits=32)
    now = look(MINUTE // 2, 1000, at_s=60.0, bits=32)
    assert rates(before, now, GIGABIT).drop is Drop.REBOOT


def test_a_reboot_in_a_gap_is_seen_though_uptime_and_counters_grew() -> None:
    before, now = look(MINUTE, 5, at_s=0.0), look(50 * MINUTE, 5000, at_s=24 * 3600.0)
    assert rates(before, now).drop is Drop.REBOOT


def test_a_suspended_device_did_not_reboot() -> None:
    assert uptime_passed(900 * MINUTE, 901 * MINUTE, 3600.0) == 60.0


def test_a_changed_discontinuity_time_drops_the_interval() -> None:
    before, now = look(0, 5, discontinuity=1), look(MINUTE, 60, discontinuity=2)
    assert rates(before, now).drop is Drop.DISCONTINUITY


def test_counters_that_change_their_width_begin_anew() -> None:
    assert rates(look(0, 5, bits=32), look(MINUTE, 60, bits=64)).drop is Drop.FIRST


def test_more_than_line_rate_is_discarded() -> None:
    before, now = look(0, 0), look(MINUTE, int(60 * 1.2 * GIGABIT))
    assert rates(before, now, GIGABIT).drop is Drop.IMPLAUSIBLE
    assert rates(before, now).values == (1.2 * GIGABIT,)
    assert rates(before, look(MINUTE, int(60 * 1.09 * GIGABIT)), GIGABIT).drop is None


def test_two_looks_within_a_second_give_no_rate() -> None:
    assert rates(look(0, 0), look(30, 100)).drop is Drop.TOO_SOON


def test_a_frozen_uptime_gives_no_rate_and_no_reboot() -> None:
    assert uptime_passed(MINUTE, MINUTE, 3600.0) is Restart.NO_TIME


def test_answers_that_overtook_each_other_are_no_reboot() -> None:
    assert uptime_passed(50 * MINUTE, 50 * MINUTE - 3, 0.01) is Restart.NO_TIME


def test_an_uptime_that_is_a_little_lower_after_a_while_is_a_reboot() -> None:
    assert uptime_passed(7 * TICKS, 6 * TICKS, 36.0) is Restart.REBOOT
    assert uptime_passed(7 * TICKS, 6 * TICKS, 0.5) is Restart.NO_TIME


def test_uptime_that_wraps_after_497_days_is_no_reboot() -> None:
    before = look(UPTIME_MODULUS - 30 * TICKS, 0, at_s=0.0)
    now = look(30 * TICKS, 600, at_s=60.0)
    assert rates(before, now).values == (10.0,)


def test_a_reboot_just_before_the_wrap_is_a_reboot() -> None:
    before, now = UPTIME_MODULUS - 3600 * TICKS, 20 * TICKS
    assert uptime_passed(before, now, 60.0) is Restart.REBOOT


@pytest.mark.parametrize(
    ("ticks", "engine_s", "uptime_s"),
    [
        (500, None, 5.0),
        (500, 42_949_678, 5.0 + UPTIME_MODULUS / TICKS),
        (500, 2 * 42_949_673, 5.0 + 2 * UPTIME_MODULUS / TICKS),
        (430_400, 3_703_088, 4304.0),  # an engine that counts from another start
    ],
)
def test_engine_time_tells_how_often_uptime_wrapped(
    ticks: int, engine_s: int | None, uptime_s: float
) -> None:
    assert unwrapped_uptime_s(ticks, engine_s) == pytest.approx(uptime_s)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(2, 3000), st.integers(0, 125_000_000)),
        st.tuples(st.just("reboot"), st.integers(2, 3000), st.integers(0, 125_000_000)),
        st.tuples(st.just("clear"), st.integers(2, 3000), st.integers(0, 125_000_000)),
    ),
    min_size=1,
    max_size=30,
)


@given(steps, st.integers(0, UPTIME_MODULUS - 1), st.integers(0, (1 << 64) - 1 - (1 << 50)))
def test_a_rate_is_either_right_or_absent_whatever_happens(
    story: list[tuple[str, int, int]], ticks: int, counter: int
) -> None:
    """An oracle drives a gigabit port through quiet time, reboots and cleared counters."""
    at_s = 0.0
    before: Look | None = None
    for what, seconds, per_second in story:
        at_s += seconds
        if what == "reboot":
            # Up again for half of the interval; the other half was before it.
            ticks, counter = seconds * TICKS // 2, per_second * seconds // 2
        else:
            ticks = (ticks + seconds * TICKS) % UPTIME_MODULUS
            counter = per_second * seconds if what == "clear" else counter + per_second * seconds
        now = Look(ticks, at_s, (counter,))
        found = rates(before, now, GIGABIT)
        if what == "pass" and before is not None:
            assert found.values == (pytest.approx(per_second),)
        elif what == "reboot" and before is not None and before.ticks > seconds * TICKS:
            assert found.values == (None,)
        elif found.values[0] is not None:
            assert 0 <= found.values[0] <= 1.1 * GIGABIT
        before = now


@given(
    st.lists(st.none() | st.integers(0, 2**64 - 1), max_size=4),
    st.integers(0, 2**32 - 1),
    st.floats(0, 1e9),
    st.none() | st.integers(0, 2**32 - 1),
)
def test_a_look_that_was_kept_packed_is_the_same(
    values: list[int | None], ticks: int, at_s: float, discontinuity: int | None
) -> None:
    seen = Look(ticks, at_s, tuple(values), 32, discontinuity)
    assert Look.unpacked(seen.packed()) == seen
