"""Asks whether devices answer ICMP, who is on a network, and whether streams flow, by a helper
process that alone may send and hear packets.

tier ping ─► HelperProber ─ one line ─► helper (scapy, CAP_NET_RAW) ─► loss, round trip, jitter
tier lan  ─► a sweep      ─►                                        ─► Lan (lan.py) ─► findings
tier rtp  ─► a look       ─►                                        ─► flowing or not
run       ─► every ten seconds: does the helper run (`hub`, part netprobe); when it dies, an event

As long as no device asks for any of this, there is no helper: it rests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

from collectors.netprobe import diagnose
from collectors.netprobe.client import PROGRAM, Flowing, HelperProber, NotPermitted, Prober
from collectors.netprobe.config import NetprobeConfig, NetprobeSection
from collectors.netprobe.lans import Lans
from collectors.netprobe.names import resolve
from hub.api import (
    Check,
    Collector,
    Emit,
    Event,
    Host,
    Phrase,
    Reading,
    Series,
    Target,
    Value,
)

TELL_S = 10.0
MOST_NEWS = 16
TIERS = ("ping", "lan", "rtp")
PART = "netprobe"
"""What the hub's own health calls the helper."""


class NetprobeCollector(Collector):
    """Round trip, jitter and loss of ICMP echo; strangers on a network; streams that flow."""

    Config = NetprobeConfig
    Section = NetprobeSection
    config: NetprobeConfig
    program: ClassVar[Sequence[str]] = PROGRAM
    """How the helper is started."""

    def __init__(self, config: Any, host: Host) -> None:
        super().__init__(config, host)
        self._prober: Prober = HelperProber(
            host,
            count=self.config.count,
            gap_s=self.config.gap_s,
            timeout_s=self.config.timeout_s,
            told=self._happened,
            program=self.program,
        )
        self._idle = ""
        """Why nothing is probed; empty: everything is."""
        self._begun = False
        """The helper was started, or may not be."""
        self._tried = asyncio.Event()
        """That was tried: until then whoever polls waits for it."""
        self._news: asyncio.Queue[Event] = asyncio.Queue(MOST_NEWS)
        self._sections: dict[str, NetprobeSection] = {}
        self._lans = Lans(host, self._prober, self.config)
        self._flowing: dict[str, bool] = {}
        """What was last seen of each device's stream."""

    @classmethod
    async def diagnose(cls, config: Any, targets: Sequence[Target]) -> Sequence[Check]:
        """May the helper ping, and hear what it should?"""
        return await diagnose.examine(targets, cls.program) if targets else []

    async def start(self) -> None:
        """Start the helper, if anybody wants it."""
        self._lans.recall()
        await self._listen()
        if self._wanted():
            await self._begin()
        else:
            self._rest()

    async def _begin(self) -> None:
        """Start the helper; without the permission say so once and idle, so the rest works."""
        self._idle = ""
        try:
            ready = await self._prober.open()
            self.host.log.info("netprobe is ready", sockets=ready.mode)
            for interface, why in ready.unheard.items():
                self.host.log.warning("netprobe can't hear", interface=interface, why=why)
                at = {"interface": interface, "why": why}
                self._say("netprobe_unheard", Phrase("nothing is heard on {interface}: {why}", at))
        except NotPermitted as error:
            self._idle = str(error)
            self.host.log.warning("netprobe idles: nothing is pinged", why=self._idle)
            self._say(
                "netprobe_idle",
                Phrase("{why}: {remedy}", {"why": error.why, "remedy": error.remedy}),
            )
        finally:
            self._tried.set()
        self._begun = True

    def _rest(self) -> None:
        self.host.log.info("netprobe rests: no device of the inventory asks for it")

    async def stop(self) -> None:
        """End the helper."""
        await self._prober.close()

    async def retarget(self) -> None:
        """Other devices: perhaps other interfaces, too; perhaps the first, or none any more."""
        await self._listen()
        if self._wanted():
            if not self._begun:
                self._tried.clear()  # `run` comes next, and begins
        elif self._begun:
            self._begun = False
            await self._prober.close()
            self.host.tell(PART, {"probe_up": 1})  # nothing is missing: an alert must not stay
            self._rest()

    async def _listen(self) -> None:
        """Have the helper hear what the inventory names."""
        targets = self.host.targets()
        self._sections = {t.id: NetprobeSection.model_validate(t.section) for t in targets}
        self._lans.keep(self._sections)
        for gone in self._flowing.keys() - self._sections.keys():
            del self._flowing[gone]
        lans, rtp = diagnose.interfaces(self._sections.values())
        await self._prober.watch(lans, rtp)

    async def run(self, emit: Emit) -> None:
        """Tell how the helper stands, for rules to watch, and what happened to it. It is started
        here when a reload brought the first device that wants it."""
        if self._wanted() and not self._begun:
            await self._begin()
        while True:
            if self._begun:
                self.host.tell(PART, {"probe_up": int(self._prober.ready is not None)})
            try:
                async with asyncio.timeout(TELL_S):
                    emit(await self._news.get())
            except TimeoutError:
                pass

    def _happened(self, up: bool, why: Phrase) -> None:
        self._say("netprobe_up" if up else "netprobe_down", why)

    def _say(self, name: str, said: Phrase) -> None:
        if not self._news.full():  # nobody can read more of these than a few
            self._news.put_nowait(Event.saying("hub", name, self.host.now_ns(), said))

    def needs(self, target: Target, tier: str) -> bool:
        """Not every device stands for a network or has a stream, and some are not pinged."""
        return not self._idle and self._asks(target, tier)

    def _wanted(self) -> bool:
        return any(self._asks(target, tier) for target in self.host.targets() for tier in TIERS)

    def _asks(self, target: Target, tier: str) -> bool:
        section = self._sections[target.id]
        if tier == "lan":
            return bool(section.interface)
        if tier == "rtp":
            return bool(section.rtp)
        return section.ping and bool(target.address or section.address or not section.interface)

    def proves(self, target: Target, tier: str) -> bool:
        """The others look at a whole network, or at what others fetch."""
        return tier == "ping"

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        """One look at one device. That it does not answer is a reading, not a failure."""
        await self._tried.wait()
        if not self.needs(target, tier):
            return
        section = self._sections[target.id]
        if tier == "lan":
            await self._lans.sweep(target, section, self._sections, emit)
        elif tier == "rtp":
            await self._look(target, section, emit)
        else:
            await self._ping(target, section, emit)

    async def _ping(self, target: Target, section: NetprobeSection, emit: Emit) -> None:
        address = await resolve(section.address or target.address)
        ping = await self._prober.ping(address)
        fields: dict[str, Value] = {
            "up": int(ping.lost < ping.sent),
            "loss_pct": 100.0 * ping.lost / ping.sent,
        }
        if ping.rtt_ms is not None:
            fields["rtt_ms"] = float(ping.rtt_ms)
        if ping.jitter_ms is not None:
            fields["jitter_ms"] = float(ping.jitter_ms)
        self.host.count("probes", ping.sent)
        self.host.count("probes_lost", ping.lost)
        emit(Reading(Series.of("device", target.id, probe="icmp"), self.host.now_ns(), fields))

    async def _look(self, target: Target, section: NetprobeSection, emit: Emit) -> None:
        address = await resolve(section.address or target.address)
        seen = await self._prober.listen(section.rtp, address, self.config.listen_s)
        now_ns = self.host.now_ns()
        emit(Reading(Series.of("rtp", target.id), now_ns, {"flowing": int(seen.flowing)}))
        if self._flowing.get(target.id, True) is not seen.flowing:
            name = "rtp_flows" if seen.flowing else "rtp_stopped"
            emit(Event.saying(target.id, name, now_ns, self._words(address, section, seen)))
        self._flowing[target.id] = seen.flowing

    def _words(self, address: str, section: NetprobeSection, seen: Flowing) -> Phrase:
        of: dict[str, Value] = {"address": address, "interface": section.rtp}
        if seen.flowing:
            return Phrase("a stream of {address} passes by on {interface}", of)
        of["seconds"] = self.config.listen_s
        if not seen.frames:
            return Phrase("nothing from {address} passed by on {interface} for {seconds} s", of)
        of["frames"] = seen.frames
        return Phrase(
            "{frames} packets, but no RTP, from {address} passed by on {interface} for {seconds} s",
            of,
        )
