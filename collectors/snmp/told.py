"""Ports that their device reported down by a trap, and what the next polls say to it. Pure.

A trap alone proves nothing: it may be forged, late or lost. A poll that agrees is a second witness,
and then nobody need wait for the link to stay down for a minute. A port that flaps would use that
up at once: one that was reported down lately is waited for like any other.
"""

from __future__ import annotations

from dataclasses import dataclass

FLAPS_WITHIN_S = 600.0
"""Only a port's first report in so long makes an alert quicker."""
LATE_S = 10.0
"""So long an agent's table may say "up" after its trap said "down"."""
MOST = 1000
"""Ports remembered."""


@dataclass(slots=True)
class _Report:
    at_s: float
    confirmed: bool = False


class ToldDown:
    """What one device reported, by ifIndex. Most report none and have no dictionaries for it."""

    __slots__ = ("_last_s", "_open")

    def __init__(self) -> None:
        self._open: dict[int, _Report] | None = None
        self._last_s: dict[int, float] | None = None

    def __bool__(self) -> bool:
        """Any report is open: nearly always there is none, and nothing to look up."""
        return bool(self._open)

    def tell(self, index: int, now_s: float) -> None:
        """A trap says that this port went down."""
        if self._open is None or self._last_s is None:
            self._open, self._last_s = {}, {}
        last = self._last_s.pop(index, None)
        self._last_s[index] = now_s
        if len(self._last_s) > MOST:
            del self._last_s[next(iter(self._last_s))]
        if last is None or now_s - last >= FLAPS_WITHIN_S:
            self._open[index] = _Report(now_s)

    def agrees(self, index: int, down: bool, now_s: float) -> bool:
        """A poll says how the port is. True: both witnesses say that it is down."""
        if not self._open or (report := self._open.get(index)) is None:
            return False
        if down:
            report.confirmed = True
        elif report.confirmed or now_s - report.at_s > LATE_S:
            del self._open[index]
        return down

    def waits(self, now_s: float) -> bool:
        """Some poll should soon agree, and hasn't yet: ask again."""
        reports = self._open.values() if self._open else ()
        return any(not one.confirmed and now_s - one.at_s <= LATE_S for one in reports)
