"""Waiting before the next try: full jitter, so that a thousand clients don't come back at once."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Random delays below a ceiling that doubles from `first_s` to `longest_s`."""

    def __init__(
        self,
        first_s: float = 0.5,
        longest_s: float = 30.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first_s
        self._longest = longest_s
        self._uniform = uniform
        self._tries = 0

    def next_s(self) -> float:
        """Seconds to wait now."""
        ceiling = min(self._longest, self._first * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return self._uniform(0, ceiling)

    def reset(self) -> None:
        """It works again."""
        self._tries = 0
