"""A window that asks how fast something changes."""

from __future__ import annotations

from typing import Any, ClassVar

from rules.conditions import UNCHANGED, Edge, Stage
from rules.rule import Comparison, Window
from rules.windows import MICRO, Bucket, Windowed

MS = 1_000_000


class Slope(Bucket):
    """A bucket of a rate: the sums before it."""

    __slots__ = ("before",)

    def __init__(self, index: int, count_before: int, total_before: int) -> None:
        super().__init__(index, count_before, total_before)
        self.before = (0, 0, 0)


class Rate(Windowed[Slope]):
    """How fast it changes: the slope of the straight line that fits the readings best.

    Least squares over (time in milliseconds, value in millionths), all sums whole numbers. Gaps and
    uneven intervals don't matter, since each reading counts at its own time.
    """

    __slots__ = ("_per_ms", "_sums")
    kind: ClassVar = Slope

    def __init__(self, window: Window, following: Stage, comparison: Comparison) -> None:
        super().__init__(window, following, comparison)
        self._per_ms = window.per_ns // MS
        self._sums = (0, 0, 0)
        """Of all times, of their squares, and of time × value."""

    def feed(self, time_ns: int, value: float) -> Edge:
        if time_ns >= self._stop_ns:
            self._roll(time_ns)
        time_ms, micros = time_ns // MS, round(value * MICRO)
        times, squares, products = self._sums
        self._sums = (times + time_ms, squares + time_ms * time_ms, products + time_ms * micros)
        self._count += 1
        self._total += micros
        slope = self._slope()
        if slope is None:
            return UNCHANGED
        self.value = slope
        if time_ns - self._started_ns < self._needed_ns:
            return UNCHANGED
        return self._next.feed(time_ns, slope)

    def _slope(self) -> float | None:
        """None: all readings are of one time."""
        first = self._from
        count, total = self._count - first.count_before, self._total - first.total_before
        times, squares, products = (
            now - before for now, before in zip(self._sums, first.before, strict=True)
        )
        below = (count * squares - times * times) * MICRO
        return (count * products - times * total) * self._per_ms / below if below else None

    def _begin(self, index: int) -> Slope:
        bucket = super()._begin(index)
        bucket.before = self._sums
        return bucket

    def _pack(self, bucket: Slope) -> list[Any]:
        return [*super()._pack(bucket), [str(one) for one in bucket.before]]

    def _unpack(self, packed: list[Any]) -> Slope:
        index, count_before, total_before, _, _, before = packed
        bucket = Slope(index, count_before, int(total_before))
        times, squares, products = before
        bucket.before = (int(times), int(squares), int(products))
        return bucket

    def dump(self) -> list[Any]:
        return [*super().dump(), [str(one) for one in self._sums]]

    def load(self, state: list[Any]) -> None:
        *rest, (times, squares, products) = state
        self._sums = (int(times), int(squares), int(products))
        super().load(rest)
