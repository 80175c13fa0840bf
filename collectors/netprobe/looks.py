"""Whose streams are looked for now: the helper's book-keeping. Pure, time is given.

A look at a sender ends as soon as a stream of it was seen, or when its time is over. So each costs
a handful of frames, however many pass by: the kernel is asked for frames of those senders only that
are being looked for.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from collectors.netprobe import rtp
from collectors.netprobe.rtp import Flow


class Look(NamedTuple):
    """What was asked for."""

    target: int
    """The asker's own number for it."""
    interface: str
    source: int
    """IPv4 as a number."""
    seconds: float


class Seen(NamedTuple):
    """What became of a look."""

    target: int
    flowing: bool
    frames: int
    """Of any kind that the sender's were; 0: nothing of it passed by at all."""


@dataclass(slots=True)
class _Looking:
    look: Look
    until: float
    flow: Flow = field(default_factory=Flow)


class Looks:
    """All looks under way, by interface."""

    def __init__(self) -> None:
        self._looking: dict[str, dict[int, list[_Looking]]] = defaultdict(dict)
        self._done: list[Seen] = []
        self.changed: set[str] = set()
        """Interfaces on which others are looked for than before; who reads it empties it."""

    def add(self, look: Look, now: float) -> None:
        """Start one."""
        senders = self._looking[look.interface]
        senders.setdefault(look.source, []).append(_Looking(look, now + look.seconds))
        self.changed.add(look.interface)

    def sources(self, interface: str) -> list[int]:
        """Whose frames are of interest there."""
        return list(self._looking[interface])

    def heard(self, interface: str, frame: bytes) -> None:
        """A frame passed by."""
        source = rtp.source(frame)
        looking = self._looking[interface].get(source)
        if looking is not None and any(one.flow.heard(frame) for one in looking):
            self._end(interface, source, flowing=True)

    def finished(self, now: float) -> list[Seen]:
        """Give up what took too long; all that ended since the last call."""
        for interface, senders in self._looking.items():
            late = [s for s, looking in senders.items() if any(o.until <= now for o in looking)]
            for source in late:
                self._end(interface, source, flowing=False, by=now)
        done, self._done = self._done, []
        return done

    def wait_s(self, now: float) -> float | None:
        """Seconds until something is to be done; None when nothing is under way."""
        times = [
            one.until
            for senders in self._looking.values()
            for looking in senders.values()
            for one in looking
        ]
        return max(0.0, min(times) - now) if times else None

    def _end(self, interface: str, source: int, *, flowing: bool, by: float = inf) -> None:
        """End the looks at a sender whose time is over by then."""
        looking = self._looking[interface].pop(source)
        self._done += [
            Seen(one.look.target, flowing, one.flow.frames) for one in looking if one.until <= by
        ]
        left = [one for one in looking if one.until > by]
        if left:
            self._looking[interface][source] = left
        else:
            self.changed.add(interface)
