"""How many messages a channel may send in a minute, and what is done with the rest. Pure.

While there is room, each message or group goes out by itself. The last place of the minute is for
one summary of everything that waits; then nothing until a place is free. A part of the places is
kept for what is critical, so that a flood of lesser news never stands before it. In memory only: a
restart begins a new minute, what is owed stays in the outbox.
"""

from __future__ import annotations

from collections import deque

MINUTE_S = 60.0


class Pace:
    """`limit` messages in any 60 s; 0: as many as there are. Times are monotonic seconds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reserve = max(1, limit // 4) if limit > 1 else 0
        self._sent: deque[float] = deque()

    def note(self, now: float) -> None:
        """A message goes out."""
        if self.limit:
            self._sent.append(now)

    def room(self, now: float, *, critical: bool) -> int:
        """How many more may go out now."""
        if not self.limit:
            return 1_000_000
        while self._sent and self._sent[0] <= now - MINUTE_S:
            self._sent.popleft()
        return self.limit - len(self._sent) - (0 if critical else self._reserve)

    def wait(self, now: float, *, critical: bool) -> float:
        """Seconds until there is room; 0: there is."""
        missing = 1 - self.room(now, critical=critical)
        if missing <= 0:
            return 0.0
        return max(0.01, self._sent[missing - 1] + MINUTE_S - now)
