"""Conditions: numbers in, edges out.

A condition is fed (time, value) in order of time and says when its answer changes. It knows
nothing of `for`, people or alerts; that is `alert.py`. Memory is bounded: a window is at most
`BUCKETS` buckets, however many readings it covers.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import nextafter
from typing import Any

from rules.rule import Comparison, Function, When, Window


class Edge(Enum):
    """What one feeding changed."""

    UNCHANGED = 0
    TRUE = 1
    FALSE = 2


UNCHANGED, TRUE, FALSE = Edge
"""At hand for the hot path: looking up a member takes as long as the comparison before it."""


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

    def dump(self) -> list[Any]:
        return [self.holds]

    def load(self, state: list[Any]) -> None:
        (self.holds,) = state


BUCKETS = 60
"""A window of 1 h is 60 buckets of a minute: it covers the running minute and the 59 before."""

MICRO = 1_000_000
"""Sums are kept in whole millionths, so that 0.1 + 0.2 is 0.3 and nothing drifts over years."""


class Bucket:
    """One sixtieth of a window: what was read before it, and its own extremes."""

    __slots__ = ("count_before", "high", "index", "low", "total_before")

    def __init__(self, index: int, count_before: int, total_before: int) -> None:
        self.index = index
        self.count_before = count_before
        self.total_before = total_before
        self.low, self.high = NOWHERE


class Windowed:
    """mean, min, max or sum over the last while, compared as by `Level`.

    The answer changes only when a reading arrives: a gauge that fell silent has not stopped the
    rain. It waits with its first answer until readings have spanned enough of the window to be
    fair: half of it for a mean, all of it where a part would deceive (a small sum, a minimum
    that is high); a sum that is already too big needs no waiting.

    Count and total run on for ever (they are whole numbers); a window is what they grew by since
    its first bucket, so a reading costs two additions.
    """

    __slots__ = (
        *("_bucket_ns", "_buckets", "_count", "_extreme", "_from", "_function", "_last"),
        *("_level", "_needed_ns", "_started_ns", "_stop_ns", "_total", "value"),
    )

    def __init__(self, window: Window, level: Level, comparison: Comparison) -> None:
        self._function: Function = window.function
        self._extreme = window.function in ("min", "max")
        self._bucket_ns = max(1, window.length_ns // BUCKETS)
        self._needed_ns = _needed(window, comparison)
        self._level = level
        self._buckets: deque[Bucket] = deque()
        self._count = 0
        self._total = 0
        self._started_ns = 0
        self._stop_ns = 0
        """The end of the last bucket; 0: there is none."""
        self.value: float | None = None

    @property
    def holds(self) -> bool | None:
        return self._level.holds

    def spanned_ns(self, time_ns: int) -> int:
        """How much of the window readings have spanned, at the time of the last one."""
        return time_ns - self._started_ns if self._buckets else 0

    def feed(self, time_ns: int, value: float) -> Edge:
        """The hot path of all rules with a window."""
        # Not older than the last bucket: after the clock was set back a reading belongs to it.
        if time_ns >= self._stop_ns:
            self._roll(time_ns)
        self._count += 1
        self._total += round(value * MICRO)
        first = self._from
        if self._extreme:
            answer = self._widened(value)
        elif self._function == "mean":
            count = self._count - first.count_before
            answer = (self._total - first.total_before) / (count * MICRO)
        else:
            answer = (self._total - first.total_before) / MICRO
        self.value = answer
        if time_ns - self._started_ns < self._needed_ns:
            return UNCHANGED
        return self._level.feed(time_ns, answer)

    def quiet(self, value: float | None) -> tuple[float, float]:
        """As `Level.quiet`: it is fed with every number anyway."""
        return -HUGE, HUGE

    def _roll(self, time_ns: int) -> None:
        """Begin a bucket, forget those that the window has left behind."""
        index = time_ns // self._bucket_ns
        buckets = self._buckets
        while buckets and buckets[0].index <= index - BUCKETS:
            buckets.popleft()
        if not buckets:
            self._started_ns = time_ns
        buckets.append(Bucket(index, self._count, self._total))
        self._settle()

    def _settle(self) -> None:
        """Find again what follows from the buckets."""
        self._from, self._last = self._buckets[0], self._buckets[-1]
        self._stop_ns = (self._last.index + 1) * self._bucket_ns

    def _widened(self, value: float) -> float:
        """Take the value into the last bucket; the window's extreme."""
        last = self._last
        last.low, last.high = min(last.low, value), max(last.high, value)
        if self._function == "min":
            return min(bucket.low for bucket in self._buckets)
        return max(bucket.high for bucket in self._buckets)

    def deny(self) -> Edge:
        return self._level.deny()

    def restart(self) -> None:
        self._buckets.clear()
        self._stop_ns = 0

    def dump(self) -> list[Any]:
        # Totals as text: msgpack's integers end at 64 bits.
        buckets = [
            [b.index, b.count_before, str(b.total_before), b.low, b.high] for b in self._buckets
        ]
        running = [self._count, str(self._total), self._started_ns]
        return [self._level.dump(), self.value, running, buckets]

    def load(self, state: list[Any]) -> None:
        level, self.value, (self._count, total, self._started_ns), buckets = state
        self._level.load(level)
        self._total = int(total)
        self.restart()
        for index, count_before, total_before, low, high in buckets:
            bucket = Bucket(index, count_before, int(total_before))
            bucket.low, bucket.high = low, high
            self._buckets.append(bucket)
        if buckets:
            self._settle()


def _needed(window: Window, comparison: Comparison) -> int:
    """How long readings must span before a window may answer, nanoseconds."""
    certain = {("sum", "above"), ("max", "above"), ("min", "below")}
    if (window.function, comparison) in certain:
        return 0
    if window.function == "mean":
        return window.length_ns // 2
    return window.length_ns - window.length_ns // BUCKETS


def condition(when: When) -> Level | Windowed:
    """The condition of a rule that compares. Absence needs the clock: see `track.py`."""
    level = Level(when.comparison, when.threshold, when.clear)
    return Windowed(when.window, level, when.comparison) if when.window else level


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
