"""Which probe goes out when, and what came back: the helper's book-keeping. Pure, time is given.

A job asks one address `times` times, `gap_s` apart; each probe waits `timeout_s` for its answer.
Many jobs run at once, none waits for another. Times are monotonic seconds.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

MODULUS = 1 << 32


class Job(NamedTuple):
    """What was asked for."""

    target: int
    """The asker's own number for it."""
    address: str
    times: int
    gap_s: float
    timeout_s: float


class Probe(NamedTuple):
    """One packet to send now."""

    number: int
    """Unique among those under way; travels in the packet."""
    address: str


class Result(NamedTuple):
    """What became of a job."""

    target: int
    sent: int
    rtt_ms: tuple[float, ...]
    """Round trips of the answers, in order of sending."""
    why: str
    """What the network said about the lost ones, if anything."""

    @property
    def lost(self) -> int:
        return self.sent - len(self.rtt_ms)


@dataclass(slots=True)
class _Running:
    job: Job
    to_send: int
    open: set[int] = field(default_factory=set)
    trips: dict[int, float] = field(default_factory=dict)
    why: str = ""


class Probes:
    """All jobs under way."""

    def __init__(self) -> None:
        self._next = 0
        self._order = 0
        self._running: dict[int, tuple[_Running, float]] = {}
        """probe number → its job and when it was sent"""
        self._sends: list[tuple[float, int, _Running]] = []
        self._ends: list[tuple[float, int]] = []
        self._done: list[Result] = []

    def add(self, job: Job, now: float) -> None:
        """Start a job."""
        running = _Running(job, job.times)
        for turn in range(job.times):
            self._order += 1
            heapq.heappush(self._sends, (now + turn * job.gap_s, self._order, running))

    def due(self, now: float, most: int) -> list[Probe]:
        """Up to `most` probes to be sent now; each counts as sent."""
        probes: list[Probe] = []
        while self._sends and self._sends[0][0] <= now and len(probes) < most:
            running = heapq.heappop(self._sends)[2]
            number = self._next
            self._next = (self._next + 1) % MODULUS
            running.to_send -= 1
            running.open.add(number)
            self._running[number] = (running, now)
            heapq.heappush(self._ends, (now + running.job.timeout_s, number))
            probes.append(Probe(number, running.job.address))
        return probes

    def heard(self, number: int, source: str, now: float) -> None:
        """An answer came; one from a stranger, or a second one, is none."""
        found = self._running.get(number)
        if found is None or found[0].job.address != source:
            return
        running, sent = found
        running.trips[number] = (now - sent) * 1000
        self._close(number, running)

    def failed(self, number: int, why: str) -> None:
        """The network said that this probe got nowhere."""
        found = self._running.get(number)
        if found is not None:
            found[0].why = why
            self._close(number, found[0])

    def finished(self, now: float) -> list[Result]:
        """Give up what waited too long; all results since the last call."""
        while self._ends and self._ends[0][0] <= now:
            number = heapq.heappop(self._ends)[1]
            found = self._running.get(number)
            if found is not None:
                self._close(number, found[0])
        done, self._done = self._done, []
        return done

    def wait_s(self, now: float) -> float | None:
        """Seconds until something is to be done; None when nothing is under way."""
        while self._ends and self._ends[0][1] not in self._running:
            heapq.heappop(self._ends)
        times = [heap[0][0] for heap in (self._sends, self._ends) if heap]
        return max(0.0, min(times) - now) if times else None

    def _close(self, number: int, running: _Running) -> None:
        del self._running[number]
        running.open.discard(number)
        if not running.open and not running.to_send:
            job = running.job
            trips = tuple(running.trips[n] for n in sorted(running.trips))
            self._done.append(Result(job.target, job.times, trips, running.why))
