"""Which address of a network is asked when: the helper's book-keeping. Pure, time is given.

A sweep asks each address once over the first half of its time, and those that did not answer again
over the second; at its end what was heard is told. DHCP servers are asked as each half begins.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

SHARE = 0.4
"""The part of its time in which each of the two rounds is sent; the rest waits for answers."""
DISCOVER = 0
"""No address: the DHCP servers."""


class Sweep(NamedTuple):
    """What was asked for."""

    target: int
    """The asker's own number for it."""
    interface: str
    addresses: tuple[int, ...]
    """IPv4 as numbers."""
    seconds: float
    since_s: float
    """What was heard so long ago still counts."""
    dhcp: bool


class Question(NamedTuple):
    """One frame to send now."""

    interface: str
    address: int
    """Or `DISCOVER`."""
    unless_since: float
    """Not needed when it was heard since then."""


class Sweeps:
    """All sweeps under way."""

    def __init__(self) -> None:
        self._order = 0
        self._sends: list[tuple[float, int, Question]] = []
        self._ends: list[tuple[float, int, Sweep]] = []

    def add(self, sweep: Sweep, now: float) -> None:
        """Start one."""
        for turn in (0, 1):
            began = now + turn * sweep.seconds / 2
            targets = ((DISCOVER,) if sweep.dhcp else ()) + sweep.addresses
            step = sweep.seconds * SHARE / max(1, len(targets))
            for number, address in enumerate(targets):
                since = now if turn and address != DISCOVER else float("inf")
                question = Question(sweep.interface, address, since)
                self._push(began + number * step, question)
        self._order += 1
        heapq.heappush(self._ends, (now + sweep.seconds, self._order, sweep))

    def _push(self, at: float, question: Question) -> None:
        self._order += 1
        heapq.heappush(self._sends, (at, self._order, question))

    def due(self, now: float, most: int) -> list[Question]:
        """Up to `most` frames to be sent now."""
        found: list[Question] = []
        while self._sends and self._sends[0][0] <= now and len(found) < most:
            found.append(heapq.heappop(self._sends)[2])
        return found

    def finished(self, now: float) -> list[Sweep]:
        """Those whose time is over."""
        found: list[Sweep] = []
        while self._ends and self._ends[0][0] <= now:
            found.append(heapq.heappop(self._ends)[2])
        return found

    def wait_s(self, now: float) -> float | None:
        """Seconds until something is to be done; None when nothing is under way."""
        times = [heap[0][0] for heap in (self._sends, self._ends) if heap]
        return max(0.0, min(times) - now) if times else None
