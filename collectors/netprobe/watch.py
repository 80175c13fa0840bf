"""The helper's ears on Ethernet: sweeps of a network, DHCP servers, streams that pass by.

sweep ─► ARP requests, a DHCPDISCOVER ─► Ear ─► Hearing ─► what was heard, told at its end
look  ─► a filter for the sender      ─► Ear ─► Looks   ─► told as soon as a stream was seen
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

from collectors.netprobe import arp, bpf, dhcp, ear
from collectors.netprobe.ear import Ear, Facts
from collectors.netprobe.hearing import Hearing
from collectors.netprobe.looks import Look, Looks
from collectors.netprobe.sweeps import DISCOVER, Question, Sweep, Sweeps

AT_ONCE = 128
"""Frames read before others get their turn."""
BURST = 64
MOST_ADDRESSES = 4096
MOST_FRAMES = 5000
"""Heard a second where streams pass by."""


class Lan(NamedTuple):
    """The ears on one network, and what this machine is there. Answers to us have an ear of their
    own, so that no storm of broadcasts drowns them."""

    arp: Ear
    arp_broadcast: Ear
    dhcp: Ear
    facts: Facts


@dataclass(frozen=True, slots=True)
class Ears:
    """All that could be opened, by interface, and why the rest could not."""

    lans: dict[str, Lan] = field(default_factory=dict)
    rtp: dict[str, Ear] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def ready(self) -> dict[str, Any]:
        """As the hub is told."""
        lans = {name: list(lan.facts) for name, lan in self.lans.items()}
        return {"lans": lans, "rtp": list(self.rtp), "unheard": self.refused}


class Making(Protocol):
    """How frames are made."""

    def request(self, facts: Facts) -> bytes:
        """An ARP request for any address, from that interface."""
        ...

    def discover(self, facts: Facts) -> bytes:
        """A DHCPDISCOVER."""
        ...


def open_ears(lans: Iterable[str], rtp: Iterable[str], opener: ear.Opener = socket.socket) -> Ears:
    """To be called while it is permitted."""
    ears = Ears()

    def attempt(name: str, open_: Callable[[], None]) -> None:
        there = {other for _, other in socket.if_nameindex()}
        try:
            open_()
        except PermissionError:
            ears.refused[name] = "no permission to hear frames"
        except OSError as error:
            missing = f"no such interface; there are {', '.join(sorted(there))}"
            ears.refused[name] = missing if name not in there else error.strerror or str(error)

    def open_lan(name: str) -> None:
        answers = Ear(name, ear.ARP, bpf.TO_US, opener=opener)
        broadcasts = Ear(name, ear.ARP, bpf.TO_OTHERS, opener=opener)
        offers = Ear(name, ear.IPV4, bpf.udp_to(dhcp.CLIENT), opener=opener)
        ears.lans[name] = Lan(answers, broadcasts, offers, answers.facts())

    def open_rtp(name: str) -> None:
        ears.rtp[name] = Ear(
            name, ear.ALL, bpf.NOTHING, promiscuous=True, most=MOST_FRAMES, opener=opener
        )

    for name in lans:
        attempt(name, partial(open_lan, name))
    for name in rtp:
        attempt(name, partial(open_rtp, name))
    return ears


class Unheard(Exception):
    """Nothing is heard on that interface: why."""

    def __init__(self, target: int, why: str) -> None:
        super().__init__(why)
        self.target = target


class Watch:
    """Orders in, frames out, frames in, results out; none of it waits."""

    def __init__(self, ears: Ears, making: Making, now: Callable[[], float]) -> None:
        self._ears = ears
        self._making = making
        self._now = now
        self._hearing = {name: Hearing() for name in ears.lans}
        self._requests = {name: making.request(lan.facts) for name, lan in ears.lans.items()}
        self._sweeps, self._looks = Sweeps(), Looks()
        self._hear: list[tuple[Ear, Callable[[], bool]]] = []
        for name, lan in ears.lans.items():
            for one in (lan.arp, lan.arp_broadcast):
                self._hear.append((one, partial(self._hear_arp, name, one)))
            self._hear.append((lan.dhcp, partial(self._hear_dhcp, name)))
        for name in ears.rtp:
            self._hear.append((ears.rtp[name], partial(self._hear_rtp, name)))

    def sweep(self, order: Mapping[str, Any]) -> None:
        """`{"sweep": 7, "interface", "networks", "seconds", "since_s", "dhcp"}`.

        Raises `Unheard`; KeyError, TypeError or ValueError for an order that can't be.
        """
        name, target = str(order["interface"]), int(order["sweep"])
        lan = self._ears.lans.get(name)
        if lan is None:
            raise self._unheard(target, name)
        addresses = _addresses(order["networks"])
        seconds, since_s = _span(order["seconds"]), float(order["since_s"])
        self._hearing[name].expect(addresses)
        sweep = Sweep(target, name, addresses, seconds, since_s, bool(order["dhcp"]))
        self._sweeps.add(sweep, self._now())

    def listen(self, order: Mapping[str, Any]) -> None:
        """`{"listen": 8, "interface", "source", "seconds"}`. Raises as `sweep` does."""
        name, target = str(order["interface"]), int(order["listen"])
        if name not in self._ears.rtp:
            raise self._unheard(target, name)
        source = int(ipaddress.IPv4Address(order["source"]))
        self._looks.add(Look(target, name, source, _span(order["seconds"])), self._now())

    def _unheard(self, target: int, name: str) -> Unheard:
        return Unheard(target, f"{name}: {self._ears.refused.get(name, 'is not watched')}")

    # the loop

    def register(self, waiting: selectors.BaseSelector) -> None:
        """Wait for what may be heard now; an ear that had its share rests until the next second."""
        now, known = self._now(), waiting.get_map()
        for one, hear in self._hear:
            rests_until = one.rests_until()
            if rests_until is not None and rests_until > now:
                if one.fileno() in known:
                    waiting.unregister(one)
            elif one.fileno() not in known:
                waiting.register(one, selectors.EVENT_READ, hear)

    def wait_s(self) -> float | None:
        """Seconds until something is to be done; None when nothing is under way."""
        now = self._now()
        rests = [one.rests_until() for one, _ in self._hear]
        times = [max(0.0, rest - now) for rest in rests if rest is not None]
        times += [wait for w in (self._sweeps, self._looks) if (wait := w.wait_s(now)) is not None]
        return min(times, default=None)

    def step(self) -> list[dict[str, Any]]:
        """Send what is due; what is to be told."""
        for question in self._sweeps.due(self._now(), BURST):
            self._ask(question)
        for name in self._looks.changed:
            self._ears.rtp[name].filter(bpf.sent_by(self._looks.sources(name)))
        self._looks.changed.clear()
        now = self._now()
        told = [self._swept(sweep, now) for sweep in self._sweeps.finished(now)]
        return told + [seen._asdict() for seen in self._looks.finished(now)]

    def _ask(self, question: Question) -> None:
        name = question.interface
        lan = self._ears.lans[name]
        if question.address == DISCOVER:
            lan.dhcp.send(self._making.discover(lan.facts))
        elif not self._hearing[name].claimed(question.address, question.unless_since):
            request = self._requests[name]
            if _text(question.address) == lan.facts.address:
                request = arp.probing(request)
            lan.arp.send(arp.asking(request, question.address))

    def _swept(self, sweep: Sweep, now: float) -> dict[str, Any]:
        hearing, since = self._hearing[sweep.interface], now - sweep.since_s
        lan = self._ears.lans[sweep.interface]
        return {
            "target": sweep.target,
            "hosts": [
                [_text(host.address), host.mac.hex(":"), round(host.age_s, 1)]
                for host in hearing.hosts(sweep.addresses, now, since)
            ],
            "servers": [
                [_text(s.server), s.mac.hex(":"), _text(s.address), round(s.age_s, 1)]
                for s in hearing.servers(now, since)
            ],
            "frames": lan.arp.counted() + lan.arp_broadcast.counted(),
        }

    # what is heard; True: go on

    def _hear_arp(self, name: str, one: Ear) -> bool:
        now, hearing = self._now(), self._hearing[name]
        for frame in one.frames(now, AT_ONCE):
            claim = arp.claim(frame)
            if claim is not None:
                hearing.claim(claim, now)
        return True

    def _hear_dhcp(self, name: str) -> bool:
        now, hearing = self._now(), self._hearing[name]
        for frame in self._ears.lans[name].dhcp.frames(now, AT_ONCE):
            offer = dhcp.offer(frame)
            if offer is not None:
                hearing.offer(offer, now)
        return True

    def _hear_rtp(self, name: str) -> bool:
        for frame in self._ears.rtp[name].frames(self._now(), AT_ONCE):
            self._looks.heard(name, frame)
        return True


def _addresses(networks: Iterable[str]) -> tuple[int, ...]:
    """Whom to ask in these networks: all hosts, this one too, whose address somebody may take."""
    found = dict.fromkeys(
        int(host)
        for text in networks
        for network in [ipaddress.IPv4Network(text)]
        if network.num_addresses <= MOST_ADDRESSES
        for host in network.hosts()
    )
    if not 0 < len(found) <= MOST_ADDRESSES:
        raise ValueError(f"{len(found)} addresses to ask; 1 to {MOST_ADDRESSES} are possible")
    return tuple(found)


def _span(seconds: Any) -> float:
    found = float(seconds)
    if not 0.05 <= found <= 300:
        raise ValueError(f"{found} seconds is no time to listen")
    return found


def _text(address: int) -> str:
    return str(ipaddress.IPv4Address(address))
