"""A window that asks what nearly all readings stay under, in bounded memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from math import frexp
from typing import Any, ClassVar

from rules.conditions import UNCHANGED, Edge, Stage
from rules.rule import Comparison, Window
from rules.windows import Bucket, Windowed

STEPS = 512
"""Steps of the histogram in each octave (from one power of two to the next)."""
SMALLEST, LARGEST = 2.0**-20, 2.0**40
"""What is nearer to 0 counts as 0, what is larger as that."""
_ZERO = 1 << 20


def step_of(value: float) -> int:
    """The histogram's step that a value falls into; greater values have greater steps."""
    size = min(abs(value), LARGEST)
    if size < SMALLEST:
        return _ZERO
    fraction, octave = frexp(size)
    step = (octave + 20) * STEPS + int((fraction - 0.5) * 2 * STEPS) + 1
    return _ZERO + step if value > 0 else _ZERO - step


def value_of(step: int) -> float:
    """The end of a step that is nearer to 0: at most 1/512 (0.2 %) below what fell into it."""
    if step == _ZERO:
        return 0.0
    octave, place = divmod(abs(step - _ZERO) - 1, STEPS)
    size = (0.5 + place / (2 * STEPS)) * 2.0 ** (octave - 20)
    return size if step > _ZERO else -size


class Tally(Bucket):
    """A bucket of a percentile: how often each step was met."""

    __slots__ = ("steps",)

    def __init__(self, index: int, count_before: int, total_before: int) -> None:
        super().__init__(index, count_before, total_before)
        self.steps: dict[int, int] = {}


class Percentile(Windowed[Tally]):
    """p95: the smallest reading that at least 95 % of the window's readings do not exceed.

    From a histogram of 512 steps an octave (whole numbers up to 1 024 have steps of their own): at
    most 0.2 % nearer to 0 than the truth, never farther. Memory grows with how many different
    steps the readings meet, not with their number.
    """

    __slots__ = ("_met", "_steps")
    kind: ClassVar = Tally

    def __init__(self, window: Window, following: Stage, comparison: Comparison) -> None:
        super().__init__(window, following, comparison)
        self._steps: dict[int, int] = {}
        self._met: list[int] = []
        """The steps in order."""

    def feed(self, time_ns: int, value: float) -> Edge:
        if time_ns >= self._stop_ns:
            self._roll(time_ns)
        step = step_of(value)
        self._count += 1
        if step not in self._steps:
            insort(self._met, step)
        self._steps[step] = self._steps.get(step, 0) + 1
        own = self._last.steps
        own[step] = own.get(step, 0) + 1
        self.value = self._percentile()
        if time_ns - self._started_ns < self._needed_ns:
            return UNCHANGED
        return self._next.feed(time_ns, self.value)

    def _percentile(self) -> float:
        """Walk down from the top past the readings that may be greater: a twentieth of all."""
        above = (self._count - self._from.count_before) // 20
        for step in reversed(self._met):
            above -= self._steps[step]
            if above < 0:
                return value_of(step)
        return 0.0

    def _forget(self, last: int) -> None:
        buckets = self._buckets
        while buckets and buckets[0].index <= last:
            gone = buckets.popleft()
            for step, count in gone.steps.items():
                self._steps[step] -= count
                if not self._steps[step]:
                    del self._steps[step], self._met[bisect_left(self._met, step)]

    def restart(self) -> None:
        super().restart()
        self._steps.clear()
        self._met.clear()

    def _pack(self, bucket: Tally) -> list[Any]:
        return [bucket.index, bucket.count_before, sorted(bucket.steps.items())]

    def _unpack(self, packed: list[Any]) -> Tally:
        index, count_before, steps = packed
        bucket = Tally(index, count_before, 0)
        bucket.steps = dict(steps)
        return bucket

    def load(self, state: list[Any]) -> None:
        super().load(state)
        self._steps.clear()
        for bucket in self._buckets:
            for step, count in bucket.steps.items():
                self._steps[step] = self._steps.get(step, 0) + count
        self._met = sorted(self._steps)
