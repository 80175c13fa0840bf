"""Conditions: numbers in, edges out.

A condition is fed (time, value) in order of time and says when its answer changes. It knows
nothing of `for`, people or alerts; that is `alert.py`. The stages of one condition stand in a row,
each handing its number to the next:

    reading ─► [window: mean, p95, rate …] ─► [against: yesterday, a sibling] ─► level ─► edge

Here are the ends of that row and what is no number at all (absence); `windows.py` and `against.py`
are the stages between. All have the shape of `Stage`.
"""

from __future__ import annotations

from enum import Enum
from math import nextafter
from typing import Any, Protocol

from rules.rule import Comparison


class Edge(Enum):
    """What one feeding changed."""

    UNCHANGED = 0
    TRUE = 1
    FALSE = 2


UNCHANGED, TRUE, FALSE = Edge
"""At hand for the hot path: looking up a member takes as long as the comparison before it."""


class Stage(Protocol):
    """One stage and all that follow it."""

    @property
    def holds(self) -> bool | None:
        """The answer; None: not yet."""

    def feed(self, time_ns: int, value: float) -> Edge: ...

    def deny(self) -> Edge:
        """The answer is no, whatever the numbers say."""

    def quiet(self, value: float | None) -> tuple[float, float]:
        """Numbers around `value` that can't change a "no" and need not be fed: lowest, highest."""

    def restart(self) -> None:
        """Forget past readings: the clock was set back."""

    def shown(self, value: float | None) -> float | None:
        """What people are told as the value, `value` being what came in last."""

    def dump(self) -> list[Any]: ...

    def load(self, state: list[Any]) -> None: ...


HUGE = 1e300
"""Numbers from here on are no measurement; NaN fails the comparison, too."""
NOWHERE = (HUGE, -HUGE)
"""A band that holds no number."""


class Level:
    """A comparison with a clear level of its own (hysteresis).

    `above 55.4, clear_below 45`: becomes true over 55.4 and false again under 45; in between
    it stays what it was. Without a clear level it is just the comparison.
    """

    __slots__ = ("_clear", "_comparison", "_threshold", "holds")

    def __init__(self, comparison: Comparison, threshold: float, clear: float | None) -> None:
        self._comparison = comparison
        self._threshold = threshold
        self._clear = clear
        self.holds: bool | None = None

    def feed(self, time_ns: int, value: float) -> Edge:
        comparison, threshold = self._comparison, self._threshold
        if comparison == "above":
            answer = value > threshold
            if not answer and self.holds and self._clear is not None:
                answer = value >= self._clear
        elif comparison == "below":
            answer = value < threshold
            if not answer and self.holds and self._clear is not None:
                answer = value <= self._clear
        elif comparison == "equals":
            answer = value == threshold
        else:
            answer = value != threshold
        if answer is self.holds:
            return UNCHANGED
        self.holds = answer
        return TRUE if answer else FALSE

    def quiet(self, value: float | None) -> tuple[float, float]:
        """Numbers around `value` that leave a "no" a "no": lowest and highest."""
        threshold = self._threshold
        if self.holds is not False or value is None:
            return NOWHERE
        if self._comparison == "above":
            return -HUGE, threshold
        if self._comparison == "below":
            return threshold, HUGE
        if self._comparison == "not_equals":
            return threshold, threshold
        if value > threshold:
            return nextafter(threshold, HUGE), HUGE
        return -HUGE, nextafter(threshold, -HUGE)

    def deny(self) -> Edge:
        if self.holds is False:
            return UNCHANGED
        self.holds = False
        return FALSE

    def restart(self) -> None:
        """Nothing of the past is kept."""

    def shown(self, value: float | None) -> float | None:
        return value

    def dump(self) -> list[Any]:
        return [self.holds]

    def load(self, state: list[Any]) -> None:
        (self.holds,) = state


class Absence:
    """Nothing for too long. Fed by signs of life and by the clock."""

    __slots__ = ("_absent_ns", "expected_ns", "heard_ns", "holds", "value")

    def __init__(self, absent_ns: int) -> None:
        self._absent_ns = absent_ns
        self.heard_ns: int | None = None
        """Last sign of life; None: never."""
        self.expected_ns: int | None = None
        """Counted from here when that is later: the watch learned of the device, or woke up."""
        self.holds: bool | None = None
        self.value: float | None = None
        """Seconds of the last silence that ended."""

    @property
    def due_ns(self) -> int | None:
        """When the silence will have lasted too long; None: it has, or nobody listens yet."""
        if self.holds or self.expected_ns is None:
            return None
        return max(self.expected_ns, self.heard_ns or 0) + self._absent_ns

    def heard(self, now_ns: int) -> Edge:
        """A sign of life."""
        since, self.heard_ns = self.silent_since, now_ns
        if self.holds is False:
            return UNCHANGED
        if since is not None:
            self.value = (now_ns - since) / 1e9
        self.holds = False
        return FALSE

    def tick(self, now_ns: int) -> Edge:
        """The clock says."""
        due = self.due_ns
        if due is None or now_ns < due:
            return UNCHANGED
        self.holds = True
        return TRUE

    def excuse(self) -> Edge:
        """Nothing is expected at this hour."""
        if not self.holds:
            return UNCHANGED
        self.holds = False
        return FALSE

    def silence_s(self, now_ns: int) -> float:
        """For how long nothing was heard, seconds."""
        since = self.silent_since
        return 0.0 if since is None else (now_ns - since) / 1e9

    def woke(self, now_ns: int) -> None:
        """Nobody listened until now: what is silent since is not the device's fault."""
        self.expected_ns = now_ns

    def rewind(self, now_ns: int) -> None:
        """The clock was set back to now."""
        self.heard_ns = None if self.heard_ns is None else min(self.heard_ns, now_ns)
        self.expected_ns = None if self.expected_ns is None else min(self.expected_ns, now_ns)

    @property
    def silent_since(self) -> int | None:
        """The last sign of life, or when waiting for the first began."""
        return self.heard_ns if self.heard_ns is not None else self.expected_ns

    def dump(self) -> list[Any]:
        return [self.heard_ns, self.expected_ns, self.holds, self.value]

    def load(self, state: list[Any]) -> None:
        self.heard_ns, self.expected_ns, self.holds, self.value = state
