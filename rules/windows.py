"""Windows: what readings come to over the last while, one number after each reading.

A window is `BUCKETS` buckets, however many readings it covers, and sums are whole numbers, so
nothing drifts over years and any machine finds the same. The answer changes only when a reading
arrives: a gauge that fell silent has not stopped the rain. (`count` is the exception: it is about
what arrives.) A window waits with its first answer until readings have spanned enough of it to be
fair: half for a mean, a p95 or a rate; all of it where a part would deceive (a small sum, a minimum
that is high). A sum that is already too big needs no waiting.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Generic, TypeVar

from rules.conditions import HUGE, NOWHERE, UNCHANGED, Edge, Stage
from rules.rule import Comparison, Function, Window

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


B = TypeVar("B", bound=Bucket)


class Windowed(Generic[B]):
    """What all windows have in common.

    Count and total run on for ever (they are whole numbers); a window is what they grew by since
    its first bucket, so a reading costs two additions.
    """

    __slots__ = (
        *("_bucket_ns", "_buckets", "_count", "_from", "_function", "_last", "_needed_ns"),
        *("_next", "_started_ns", "_stop_ns", "_total", "value"),
    )
    kind: ClassVar[type[Bucket]] = Bucket
    _from: B
    _last: B

    def __init__(self, window: Window, following: Stage, comparison: Comparison) -> None:
        self._function: Function = window.function
        self._bucket_ns = max(1, window.length_ns // BUCKETS)
        self._needed_ns = _needed(window, comparison)
        self._next = following
        self._buckets: deque[B] = deque()
        self._count = 0
        self._total = 0
        self._started_ns = 0
        self._stop_ns = 0
        """The end of the last bucket; 0: there is none."""
        self.value: float | None = None

    @property
    def holds(self) -> bool | None:
        return self._next.holds

    def spanned_ns(self, time_ns: int) -> int:
        """How much of the window readings have spanned, at the time of the last one."""
        return time_ns - self._started_ns if self._buckets else 0

    def feed(self, time_ns: int, value: float) -> Edge:
        raise NotImplementedError

    def quiet(self, value: float | None) -> tuple[float, float]:
        """It is fed with every number anyway."""
        return -HUGE, HUGE

    def shown(self, value: float | None) -> float | None:
        return self._next.shown(self.value)

    def _roll(self, time_ns: int) -> None:
        """Begin a bucket, forget those that the window has left behind."""
        index = time_ns // self._bucket_ns
        self._forget(index - BUCKETS)
        if not self._buckets:
            self._started_ns = time_ns
        self._buckets.append(self._begin(index))
        self._settle()

    def _forget(self, last: int) -> None:
        """Drop the buckets up to this index."""
        buckets = self._buckets
        while buckets and buckets[0].index <= last:
            buckets.popleft()

    def _begin(self, index: int) -> B:
        return self.kind(index, self._count, self._total)  # type: ignore[return-value]  # kind is B

    def _settle(self) -> None:
        """Find again what follows from the buckets."""
        self._from, self._last = self._buckets[0], self._buckets[-1]
        self._stop_ns = (self._last.index + 1) * self._bucket_ns

    def deny(self) -> Edge:
        return self._next.deny()

    def restart(self) -> None:
        self._buckets.clear()
        self._stop_ns = 0
        self._next.restart()

    def dump(self) -> list[Any]:
        # Totals as text: msgpack's integers end at 64 bits.
        running = [self._count, str(self._total), self._started_ns]
        return [self._next.dump(), self.value, running, [self._pack(b) for b in self._buckets]]

    def load(self, state: list[Any]) -> None:
        following, self.value, (self._count, total, self._started_ns), buckets = state
        self._total = int(total)
        self._buckets.clear()
        self._buckets.extend(self._unpack(packed) for packed in buckets)
        self._stop_ns = 0
        if buckets:
            self._settle()
        self._next.load(following)

    def _pack(self, bucket: B) -> list[Any]:
        total = str(bucket.total_before)
        return [bucket.index, bucket.count_before, total, bucket.low, bucket.high]

    def _unpack(self, packed: list[Any]) -> B:
        index, count_before, total_before, low, high = packed
        bucket = self.kind(index, count_before, int(total_before))
        bucket.low, bucket.high = low, high
        return bucket  # type: ignore[return-value]  # kind is B


class Simple(Windowed[Bucket]):
    """mean, min, max or sum."""

    __slots__ = ("_extreme",)

    def __init__(self, window: Window, following: Stage, comparison: Comparison) -> None:
        super().__init__(window, following, comparison)
        self._extreme = window.function in ("min", "max")

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
        return self._next.feed(time_ns, answer)

    def _widened(self, value: float) -> float:
        """Take the value into the last bucket; the window's extreme."""
        last = self._last
        last.low, last.high = min(last.low, value), max(last.high, value)
        if self._function == "min":
            return min(bucket.low for bucket in self._buckets)
        return max(bucket.high for bucket in self._buckets)


class Changes(Simple):
    """How often the value was another one than just before."""

    __slots__ = ("_before",)

    def __init__(self, window: Window, following: Stage, comparison: Comparison) -> None:
        super().__init__(window, following, comparison)
        self._before: float | None = None

    def feed(self, time_ns: int, value: float) -> Edge:
        changed = self._before is not None and self._before != value
        self._before = value
        return super().feed(time_ns, float(changed))

    def restart(self) -> None:
        super().restart()
        self._before = None

    def dump(self) -> list[Any]:
        return [*super().dump(), self._before]

    def load(self, state: list[Any]) -> None:
        *rest, self._before = state
        super().load(rest)


class Count(Windowed[Bucket]):
    """How many readings arrived. Here silence is an answer: the clock moves the window, too, and
    no reading that took longer than the ones before moves it back."""

    __slots__ = ("_at_ns", "_known_ns")

    def __init__(self, window: Window, following: Stage, comparison: Comparison) -> None:
        super().__init__(window, following, comparison)
        self._known_ns: int | None = None
        """When the first reading arrived: a small count waits for a whole window from there."""
        self._at_ns = 0
        """Where the window ends."""

    @property
    def due_ns(self) -> int | None:
        """When time alone changes the count: its first bucket leaves the window."""
        if not self._buckets:
            return None
        return (self._buckets[0].index + BUCKETS) * self._bucket_ns

    def feed(self, time_ns: int, value: float) -> Edge:
        if self._known_ns is None:
            self._known_ns = time_ns
        begins = self._move(time_ns)
        if time_ns // self._bucket_ns > begins:
            if time_ns >= self._stop_ns:
                self._buckets.append(self._begin(time_ns // self._bucket_ns))
                self._settle()
            self._count += 1
        return self._counted()

    def passed(self, time_ns: int) -> Edge:
        """The clock says; nothing arrived."""
        self._move(time_ns)
        return self._counted()

    def _move(self, time_ns: int) -> int:
        """Let the window reach to that time; the last bucket that is before it."""
        self._at_ns = max(self._at_ns, time_ns)
        before = self._at_ns // self._bucket_ns - BUCKETS
        self._forget(before)
        if self._buckets:
            self._settle()
        else:
            self._stop_ns = 0
        return before

    def rewind(self, time_ns: int) -> None:
        """The clock was set back to that time."""
        self._at_ns = min(self._at_ns, time_ns)

    def deny(self) -> Edge:
        """What does not apply is not counted, and that is all."""
        return UNCHANGED

    def _counted(self) -> Edge:
        time_ns = self._at_ns
        count = self._count - self._from.count_before if self._buckets else 0
        self.value = float(count)
        if self._known_ns is None or time_ns - self._known_ns < self._needed_ns:
            return UNCHANGED
        return self._next.feed(time_ns, self.value)

    def restart(self) -> None:
        super().restart()
        self._known_ns, self._at_ns = None, 0

    def dump(self) -> list[Any]:
        return [*super().dump(), self._known_ns, self._at_ns]

    def load(self, state: list[Any]) -> None:
        *rest, self._known_ns, self._at_ns = state
        super().load(rest)


def _needed(window: Window, comparison: Comparison) -> int:
    """How long readings must span before a window may answer, nanoseconds."""
    function = window.function
    certain = {("max", "above"), ("min", "below")}
    certain |= {(counted, "above") for counted in ("sum", "count", "changes")}
    if (function, comparison) in certain:
        return 0
    if function in ("mean", "p95", "rate"):
        return window.length_ns // 2
    return window.length_ns - window.length_ns // BUCKETS
