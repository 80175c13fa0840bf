"""The life of one alert, without conditions, series or people around it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rules.alert import AlertState, Signal, State, Timing, due, step

T = Timing(for_ns=10, keep_firing_ns=5)


def live(*signals: tuple[Signal, int], timing: Timing = T) -> tuple[AlertState, list[str]]:
    alert, words = AlertState(), []
    for signal, time in signals:
        alert, steps = step(alert, signal, time, timing)
        words += [f"{s.before}>{s.after}" for s in steps]
    return alert, words


def test_it_fires_when_it_was_true_for_long_enough() -> None:
    alert, words = live((Signal.TRUE, 100), (Signal.TIME, 109), (Signal.TIME, 110))
    assert words == ["ok>pending", "pending>firing"]
    assert alert.since_ns == 100


def test_it_fires_at_once_when_for_is_zero() -> None:
    assert live((Signal.TRUE, 100), timing=Timing())[1] == ["ok>firing"]


def test_a_pending_alert_that_was_wrong_ends_as_ok() -> None:
    assert live((Signal.TRUE, 1), (Signal.FALSE, 5))[1] == ["ok>pending", "pending>ok"]


def test_a_second_witness_ends_the_waiting_and_nothing_else() -> None:
    alert, words = live((Signal.TRUE, 100), (Signal.AT_ONCE, 101))
    assert words == ["ok>pending", "pending>firing"]
    assert alert.since_ns == 100
    assert live((Signal.AT_ONCE, 100))[1] == []
    fired = (Signal.TRUE, 0), (Signal.TIME, 10), (Signal.ACKNOWLEDGE, 11)
    assert live(*fired, (Signal.AT_ONCE, 12))[1] == live(*fired)[1]


def test_keep_firing_bridges_a_short_false() -> None:
    fired = (Signal.TRUE, 0), (Signal.TIME, 10)
    alert, words = live(*fired, (Signal.FALSE, 20), (Signal.TRUE, 24), (Signal.TIME, 99))
    assert alert.state is State.FIRING
    assert words == ["ok>pending", "pending>firing"]
    _, words = live(*fired, (Signal.FALSE, 20), (Signal.TIME, 24), (Signal.TIME, 25))
    assert words[-1] == "firing>resolved"


def test_a_second_false_does_not_prolong_keep_firing() -> None:
    alert, _ = live((Signal.TRUE, 0), (Signal.TIME, 10), (Signal.FALSE, 20), (Signal.FALSE, 24))
    assert due(alert, T) == 25


def test_an_acknowledgement_expires_with_the_alert() -> None:
    alert, _ = live((Signal.TRUE, 0), timing=Timing())
    alert, steps = step(alert, Signal.ACKNOWLEDGE, 5, Timing(), "siti", "on my way")
    assert (alert.state, alert.who, alert.comment) == (State.ACKNOWLEDGED, "siti", "on my way")
    assert (steps[0].who, steps[0].why) == ("siti", "on my way")
    alert, steps = step(alert, Signal.FALSE, 9, Timing())
    assert (alert.state, alert.who) == (State.RESOLVED, "")
    alert, _ = step(alert, Signal.TRUE, 10, Timing())
    assert alert.state is State.FIRING


def test_only_what_fires_can_be_acknowledged() -> None:
    alert, words = live((Signal.TRUE, 0), (Signal.ACKNOWLEDGE, 1))
    assert (alert.state, words) == (State.PENDING, ["ok>pending"])


def test_an_acknowledgement_can_be_taken_back() -> None:
    _, words = live(
        (Signal.TRUE, 0), (Signal.ACKNOWLEDGE, 1), (Signal.UNACKNOWLEDGE, 2), timing=Timing()
    )
    assert words == ["ok>firing", "firing>acknowledged", "acknowledged>firing"]


def test_doubt_restarts_what_is_pending_and_nothing_else() -> None:
    alert, words = live((Signal.TRUE, 0), (Signal.DOUBT, 9), (Signal.TIME, 10))
    assert (alert.state, alert.since_ns, words) == (State.PENDING, 9, ["ok>pending"])
    alert, _ = live((Signal.TRUE, 0), (Signal.TIME, 10), (Signal.DOUBT, 50))
    assert (alert.state, alert.since_ns) == (State.FIRING, 0)


signals = st.lists(st.tuples(st.sampled_from(list(Signal)), st.integers(0, 60)), max_size=30)


@given(signals, st.integers(0, 20), st.integers(0, 20))
def test_steps_form_a_chain_and_time_alone_never_raises_an_alert_from_rest(
    inputs: list[tuple[Signal, int]], for_ns: int, keep_ns: int
) -> None:
    alert, timing, last = AlertState(), Timing(for_ns, keep_ns), State.OK
    allowed = {
        State.OK: {State.PENDING, State.FIRING},
        State.PENDING: {State.FIRING, State.OK},
        State.FIRING: {State.ACKNOWLEDGED, State.RESOLVED},
        State.ACKNOWLEDGED: {State.FIRING, State.RESOLVED, State.ACKNOWLEDGED},
        State.RESOLVED: {State.PENDING, State.FIRING},
    }
    for signal, time in inputs:
        before = alert
        alert, steps = step(alert, signal, time, timing)
        for one in steps:
            assert one.before is last
            assert one.after in allowed[one.before]
            last = one.after
        assert alert.state is last
        if signal is Signal.TIME:
            assert not (before.state.resting and steps)
        if due(alert, timing) is None:
            assert alert.state is not State.PENDING
