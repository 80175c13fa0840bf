"""A value beside another one: its own of yesterday, or a sibling's of just now.

What goes on to the level is the difference (own − other), or that in percent of the other. Where
there is nothing to compare with, nothing is said: the answer stays what it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rules.conditions import NOWHERE, UNCHANGED, Edge, Level
from rules.duration import DAY, MINUTE

SLOT = 15 * MINUTE
"""Yesterday is remembered by quarters of an hour: 97 numbers a series."""
DAY_SLOTS = DAY // SLOT
MICRO = 1_000_000


class Compared:
    """What both kinds have in common: the comparison in front of a level."""

    __slots__ = ("_level", "_percent", "value")

    def __init__(self, level: Level, *, percent: bool) -> None:
        self._level = level
        self._percent = percent
        self.value: float | None = None
        """The last difference."""

    @property
    def holds(self) -> bool | None:
        return self._level.holds

    def compare(self, time_ns: int, value: float, other: float | None) -> Edge:
        if other is None or (self._percent and other == 0):
            return UNCHANGED
        difference = value - other
        self.value = 100 * difference / abs(other) if self._percent else difference
        return self._level.feed(time_ns, self.value)

    def quiet(self, value: float | None) -> tuple[float, float]:
        """Every number counts."""
        return NOWHERE

    def deny(self) -> Edge:
        return self._level.deny()

    def restart(self) -> None:
        """Nothing of the past is kept."""

    def shown(self, value: float | None) -> float | None:
        return self.value

    def dump(self) -> list[Any]:
        return [self._level.dump(), self.value]

    def load(self, state: list[Any]) -> None:
        level, self.value = state
        self._level.load(level)


class Yesterday(Compared):
    """Against the mean of the same quarter of an hour one day before."""

    __slots__ = ("_slots",)

    def __init__(self, level: Level, *, percent: bool) -> None:
        super().__init__(level, percent=percent)
        self._slots: deque[list[int]] = deque()
        """[number of the slot, readings, sum in millionths], one day and the running one."""

    def feed(self, time_ns: int, value: float) -> Edge:
        slots, now = self._slots, time_ns // SLOT
        while slots and slots[0][0] < now - DAY_SLOTS:
            slots.popleft()
        if not slots or slots[-1][0] < now:
            slots.append([now, 0, 0])
        slots[-1][1] += 1
        slots[-1][2] += round(value * MICRO)
        number, count, total = slots[0]
        before = total / (count * MICRO) if number == now - DAY_SLOTS else None
        return self.compare(time_ns, value, before)

    def restart(self) -> None:
        self._slots.clear()

    def dump(self) -> list[Any]:
        return [*super().dump(), [[n, count, str(total)] for n, count, total in self._slots]]

    def load(self, state: list[Any]) -> None:
        *rest, slots = state
        super().load(rest)
        self._slots = deque([n, count, int(total)] for n, count, total in slots)


class Sibling(Compared):
    """Against the last value of another series, while that is fresh."""

    __slots__ = ("_other",)

    def __init__(
        self, level: Level, other: Callable[[int], float | None], *, percent: bool
    ) -> None:
        """`other` gives the sibling's value at a time; None: it has none that can be believed."""
        super().__init__(level, percent=percent)
        self._other = other

    def feed(self, time_ns: int, value: float) -> Edge:
        return self.compare(time_ns, value, self._other(time_ns))
