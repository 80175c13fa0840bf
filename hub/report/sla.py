"""Availability, counted: spans of time in, nanoseconds out. Pure; the regency is not known here.

Every instant of the asked time has exactly one fate, the first of these that holds:

    ABSENT        it was not in the inventory
    MAINTENANCE   planned work was announced, or the port or camera was shut on purpose
    UNKNOWN       the hub did not listen
    UP            something of it answered
    UPSTREAM      it was down or silent, and so was something that it depends on
    DOWN          it was asked and did not answer
    UNKNOWN       nothing was heard of it

Availability is UP / (UP + DOWN): what is unknown, planned or somebody else's fault is shown beside
it and never counted as down, and never as up either. The parts add up to the asked time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import NamedTuple

Stretch = tuple[int, int]
"""Start inclusive, stop exclusive, nanoseconds."""


class Fate(IntEnum):
    ABSENT = 0
    MAINTENANCE = 1
    UNKNOWN = 2
    UP = 3
    UPSTREAM = 4
    DOWN = 5


class Piece(NamedTuple):
    """One fate from `since_ns` to `until_ns`; neighbours differ."""

    since_ns: int
    until_ns: int
    fate: Fate


class Outage(NamedTuple):
    """Down until it was seen up again. What of it was unknown, planned or caused upstream is not
    in `down_ns` and does not make two of one."""

    since_ns: int
    until_ns: int
    """The end of its last stretch of DOWN."""
    down_ns: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one thing; each a list of stretches in any order."""

    watched: Sequence[Stretch]
    heard: Sequence[Stretch]
    """When the hub listened."""
    maintenance: Sequence[Stretch] = ()
    up: Sequence[Stretch] = ()
    down: Sequence[Stretch] = ()
    shut: Sequence[Stretch] = ()
    upstream: Sequence[Stretch] = ()
    """When something that it depends on was down."""


def fates(evidence: Evidence, asked: Stretch) -> list[Piece]:
    """What became of each instant of the asked time."""
    e = evidence
    layers = (e.watched, e.heard, e.maintenance, e.up, e.down, e.shut, e.upstream)
    return _joined((since, until, _fate(*on)) for since, until, on in _sweep(layers, asked))


def _fate(
    watched: bool,
    heard: bool,
    maintenance: bool,
    up: bool,
    down: bool,
    shut: bool,
    upstream: bool,
) -> Fate:
    if not watched:
        return Fate.ABSENT
    if maintenance or (shut and not up):
        return Fate.MAINTENANCE
    if not heard:
        return Fate.UNKNOWN
    if up:
        return Fate.UP
    if upstream:
        return Fate.UPSTREAM
    return Fate.DOWN if down else Fate.UNKNOWN


def down_stretches(evidence: Evidence, asked: Stretch) -> list[Stretch]:
    """When it did not answer, whoever's fault that was and planned or not: what depends on it
    could not be reached then."""
    e = evidence
    found = _sweep((e.heard, e.up, e.down), asked)
    return [(since, until) for since, until, on in found if on[0] and on[2] and not on[1]]


_BEST_FIRST = (Fate.UP, Fate.DOWN, Fate.UPSTREAM, Fate.UNKNOWN, Fate.MAINTENANCE, Fate.ABSENT)


def together(ways: Sequence[Sequence[Piece]], asked: Stretch) -> list[Piece]:
    """The fate of what is reached by any of several ways: up while one of them is; down when one
    is known to be down and none is up."""
    layers = [
        [(p.since_ns, p.until_ns) for way in ways for p in way if p.fate is fate]
        for fate in _BEST_FIRST
    ]
    return _joined(
        (since, until, next((f for f, is_on in zip(_BEST_FIRST, on, strict=True) if is_on), None))
        for since, until, on in _sweep(layers, asked)
    )


def cut(pieces: Iterable[Piece], asked: Stretch) -> list[Piece]:
    """The pieces within the asked time."""
    start, stop = asked
    return [
        Piece(max(p.since_ns, start), min(p.until_ns, stop), p.fate)
        for p in pieces
        if p.since_ns < stop and p.until_ns > start
    ]


def outages(pieces: Iterable[Piece]) -> list[Outage]:
    """Every outage, in order. One that began before the pieces do, counts too."""
    found: list[Outage] = []
    going = False
    for since, until, fate in pieces:
        if fate is Fate.UP:
            going = False
        elif fate is Fate.DOWN:
            if going:
                last = found[-1]
                found[-1] = Outage(last.since_ns, until, last.down_ns + until - since)
            else:
                found.append(Outage(since, until, until - since))
            going = True
    return found


@dataclass(frozen=True, slots=True)
class Figures:
    """How one thing did, nanoseconds; the first six add up to the asked time."""

    up_ns: int = 0
    down_ns: int = 0
    unknown_ns: int = 0
    maintenance_ns: int = 0
    upstream_ns: int = 0
    absent_ns: int = 0
    outages: int = 0
    longest_ns: int = 0
    longest_since_ns: int = 0

    @property
    def availability(self) -> float | None:
        """Percent, as it is; None: nothing is known."""
        known = self.up_ns + self.down_ns
        return 100 * self.up_ns / known if known else None

    @property
    def hundredths(self) -> int | None:
        """Of a percent, cut and not rounded: 10000 only if it was never down."""
        known = self.up_ns + self.down_ns
        return 10_000 * self.up_ns // known if known else None

    @property
    def mttr_ns(self) -> int | None:
        """Mean time to repair: down time by outage."""
        return self.down_ns // self.outages if self.outages else None

    @property
    def mtbf_ns(self) -> int | None:
        """Mean time between failures: up time by outage."""
        return self.up_ns // self.outages if self.outages else None

    def meets(self, target: float) -> bool | None:
        """Is the target (percent) reached? None: nothing is known."""
        found = self.availability
        return None if found is None else found >= target


def figures(pieces: Sequence[Piece]) -> Figures:
    """Add up pieces that are in order."""
    sums = dict.fromkeys(Fate, 0)
    for since, until, fate in pieces:
        sums[fate] += until - since
    gone = outages(pieces)
    longest = max(gone, key=lambda outage: outage.down_ns, default=Outage(0, 0, 0))
    return Figures(
        up_ns=sums[Fate.UP],
        down_ns=sums[Fate.DOWN],
        unknown_ns=sums[Fate.UNKNOWN],
        maintenance_ns=sums[Fate.MAINTENANCE],
        upstream_ns=sums[Fate.UPSTREAM],
        absent_ns=sums[Fate.ABSENT],
        outages=len(gone),
        longest_ns=longest.down_ns,
        longest_since_ns=longest.since_ns,
    )


def total(parts: Iterable[Figures]) -> Figures:
    """Many things as one: times and outages add up, the longest outage is the longest of any."""
    every = list(parts)
    worst = max(every, key=lambda one: one.longest_ns, default=Figures())
    return Figures(
        up_ns=sum(one.up_ns for one in every),
        down_ns=sum(one.down_ns for one in every),
        unknown_ns=sum(one.unknown_ns for one in every),
        maintenance_ns=sum(one.maintenance_ns for one in every),
        upstream_ns=sum(one.upstream_ns for one in every),
        absent_ns=sum(one.absent_ns for one in every),
        outages=sum(one.outages for one in every),
        longest_ns=worst.longest_ns,
        longest_since_ns=worst.longest_since_ns,
    )


def longest(stretches: Sequence[Stretch], watched: Sequence[Stretch], asked: Stretch) -> Stretch:
    """The longest time that the stretches cover without a break, as far as it was watched and is
    asked for; (0, 0): none."""
    found, here = (0, 0), (0, 0)
    for since, until, on in _sweep((stretches, watched), asked):
        if all(on):
            here = (here[0] if here[1] == since else since, until)
            found = max(found, here, key=lambda one: one[1] - one[0])
    return found


def _sweep(
    layers: Sequence[Sequence[Stretch]], asked: Stretch
) -> Iterator[tuple[int, int, list[bool]]]:
    """The asked time in parts, each with the layers that cover it."""
    start, stop = asked
    if stop <= start:
        return
    edges = [
        edge
        for number, layer in enumerate(layers)
        for since, until in layer
        if max(since, start) < min(until, stop)
        for edge in ((max(since, start), number, 1), (min(until, stop), number, -1))
    ]
    edges += [(start, 0, 0), (stop, 0, 0)]
    depth = [0] * len(layers)
    here = start
    for time_ns, together_ in groupby(sorted(edges), key=lambda edge: edge[0]):
        if time_ns > here:
            yield here, time_ns, [one > 0 for one in depth]
        for _, number, step in together_:
            depth[number] += step
        here = time_ns


def _joined(parts: Iterable[tuple[int, int, Fate | None]]) -> list[Piece]:
    """Neighbours of one fate as one; None is absent."""
    found: list[Piece] = []
    for since, until, fate in parts:
        fate = Fate.ABSENT if fate is None else fate
        if found and found[-1].fate is fate:
            found[-1] = Piece(found[-1].since_ns, until, fate)
        else:
            found.append(Piece(since, until, fate))
    return found
