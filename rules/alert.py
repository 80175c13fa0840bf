"""The life of one alert: state × signal × time → state, steps. Pure; nobody is asked the time.

                 true                 true for `for`            acknowledge
    ok ─────────────────► pending ────────────────────► firing ─────────────► acknowledged
    ▲                        │                          │    ▲ ◄─────────────  │
    │          false         │                          │    │  unacknowledge  │
    ├────────────────────────┘           false for      │    │                 │
    │                                    `keep_firing`  ▼    │ true            ▼ false …
    │  (a new true starts over)                      resolved ◄────────────────┘

With `for: 0` a true goes from ok to firing in one step, and a second witness (`at_once_if`) ends
the waiting of `pending`. `resolved` is a resting state like `ok`
that remembers that something was; an acknowledgement expires with it. Only a *false* resolves:
silence of the data is no signal here, so missing data never does. Whether the data is fresh is
another axis (`DataState`), and time passes (`Signal.TIME`) only while it is.

Flapping: an alert that began to fire `times` times `within` a while is restless. Then `quiet`
stands in for a shorter `keep_firing`: it goes on firing, and calls nobody, until it was false for
that long. The clear level of a condition is the other cure, and works before this one must.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import NamedTuple

from rules.duration import HOUR, MINUTE


class State(StrEnum):
    """Where an alert stands."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"

    @property
    def resting(self) -> bool:
        """Nothing is wrong."""
        return self is State.OK or self is State.RESOLVED

    @property
    def up(self) -> bool:
        """People should know of it: firing or acknowledged."""
        return self is State.FIRING or self is State.ACKNOWLEDGED


class DataState(StrEnum):
    """How far the data behind an alert can be believed."""

    OK = "ok"
    STALE = "stale"
    """Nothing new for much longer than usual."""
    NO_DATA = "no_data"
    """Nothing ever, or for ten times as long as it takes to be stale."""
    SUSPECT = "suspect"
    """The last reading is of doubted quality."""
    SOURCE_DOWN = "source_down"
    """Nothing new, and the device or what it depends on is known to be down."""


class Signal(Enum):
    """What can happen to an alert."""

    TRUE = 1
    FALSE = 2
    TIME = 3
    """Time passed and the last answer of the condition is still believed."""
    DOUBT = 4
    """True again, but after a gap in the data: what was pending starts counting anew."""
    ACKNOWLEDGE = 5
    UNACKNOWLEDGE = 6
    AT_ONCE = 7
    """What is pending is confirmed by a second witness: no need to wait for it to last."""


class Flapping(NamedTuple):
    """When an alert is restless, and how long it must be false then."""

    times: int = 5
    within_ns: int = HOUR
    quiet_ns: int = 15 * MINUTE


DAMPED = Flapping()
RESTLESS = "flapping"
"""What the step says that makes an alert restless."""


class Timing(NamedTuple):
    """How long it must be true before it fires and false before it resolves, nanoseconds."""

    for_ns: int = 0
    keep_firing_ns: int = 0
    flapping: Flapping | None = None


@dataclass(frozen=True, slots=True)
class AlertState:
    """All that the machine remembers."""

    state: State = State.OK
    since_ns: int = 0
    """When the trouble began: the condition became true. Kept when it is over."""
    until_ns: int = 0
    """When it was over (resolved)."""
    false_ns: int | None = None
    """False since then, but `keep_firing` (or flapping) holds it."""
    who: str = ""
    """Who acknowledged, and what they said."""
    comment: str = ""
    fired_ns: tuple[int, ...] = ()
    """The last times at which it began to fire, at most as many as flapping takes."""


class Step(NamedTuple):
    """One transition of one alert."""

    before: State
    after: State
    who: str = ""
    why: str = ""


Outcome = tuple[AlertState, tuple[Step, ...]]


def step(
    alert: AlertState,
    signal: Signal,
    time_ns: int,
    timing: Timing,
    who: str = "",
    why: str = "",
) -> Outcome:
    """One signal at one time. `time_ns` may be earlier than an earlier one: then timers wait."""
    if signal is Signal.TRUE:
        return _true(alert, time_ns, timing)
    if signal is Signal.FALSE:
        return _false(alert, time_ns, timing)
    if signal is Signal.TIME:
        return _time(alert, time_ns, timing)
    if signal is Signal.DOUBT:
        pending = alert.state is State.PENDING
        return (replace(alert, since_ns=time_ns) if pending else alert), ()
    if signal is Signal.AT_ONCE and alert.state is State.PENDING:
        return _fire(alert, time_ns, timing)
    if signal is Signal.ACKNOWLEDGE and alert.state.up:
        after = replace(alert, state=State.ACKNOWLEDGED, who=who, comment=why)
        return after, (Step(alert.state, after.state, who, why),)
    if signal is Signal.UNACKNOWLEDGE and alert.state is State.ACKNOWLEDGED:
        after = replace(alert, state=State.FIRING, who="", comment="")
        return after, (Step(alert.state, after.state, who, why),)
    return alert, ()


def due(alert: AlertState, timing: Timing) -> int | None:
    """When time alone would change it; None: never."""
    if alert.state is State.PENDING:
        return alert.since_ns + timing.for_ns
    if alert.false_ns is not None:
        return alert.false_ns + _hold_ns(alert, timing)
    return None


def restless(alert: AlertState, timing: Timing) -> bool:
    """Is it up and flapping?"""
    flapping, fired = timing.flapping, alert.fired_ns
    if flapping is None or not alert.state.up or len(fired) < flapping.times:
        return False
    return fired[-1] - fired[0] <= flapping.within_ns


def _hold_ns(alert: AlertState, timing: Timing) -> int:
    """How long it must be false to be over."""
    if timing.flapping is not None and restless(alert, timing):
        return max(timing.keep_firing_ns, timing.flapping.quiet_ns)
    return timing.keep_firing_ns


def _true(alert: AlertState, time_ns: int, timing: Timing) -> Outcome:
    if alert.state.up:
        return replace(alert, false_ns=None), ()
    if alert.state is State.PENDING:
        return alert, ()
    if timing.for_ns > 0:
        pending = AlertState(State.PENDING, since_ns=time_ns, fired_ns=alert.fired_ns)
        return pending, (Step(alert.state, State.PENDING),)
    return _fire(replace(alert, since_ns=time_ns), time_ns, timing)


def _fire(alert: AlertState, time_ns: int, timing: Timing) -> Outcome:
    fired = (*alert.fired_ns, time_ns)[-timing.flapping.times :] if timing.flapping else ()
    firing = AlertState(State.FIRING, since_ns=alert.since_ns, fired_ns=fired)
    why = RESTLESS if restless(firing, timing) else ""
    return firing, (Step(alert.state, State.FIRING, why=why),)


def _false(alert: AlertState, time_ns: int, timing: Timing) -> Outcome:
    if alert.state.up and _hold_ns(alert, timing) > 0:
        return (alert if alert.false_ns is not None else replace(alert, false_ns=time_ns)), ()
    return _over(alert, time_ns, timing)


def _time(alert: AlertState, time_ns: int, timing: Timing) -> Outcome:
    when = due(alert, timing)
    if when is None or time_ns < when:
        return alert, ()
    if alert.state is State.PENDING:
        return _fire(alert, time_ns, timing)
    return _over(alert, time_ns, timing)


def _over(alert: AlertState, time_ns: int, timing: Timing) -> Outcome:
    if alert.state.resting:
        return alert, ()
    after = State.RESOLVED if alert.state.up else State.OK
    fired = () if restless(alert, timing) else alert.fired_ns
    ended = AlertState(after, since_ns=alert.since_ns, until_ns=time_ns, fired_ns=fired)
    return ended, (Step(alert.state, after),)
