"""Asks whether devices answer ICMP, by a helper process that alone may send packets.

poll, poll, poll ─► HelperPinger ─ one line ─► helper (scapy, CAP_NET_RAW)
                                 ◄─ a line each ─
run ─► every ten seconds: does the helper run (`hub`, part netprobe); when it dies, an event
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

from collectors.netprobe.client import HelperPinger, NotPermitted, Pinger, permission
from collectors.netprobe.config import NetprobeConfig, NetprobeSection
from hub.api import (
    Check,
    Collector,
    Emit,
    Event,
    Host,
    NeverWorks,
    Reading,
    Series,
    Target,
    TryAgain,
    Value,
)

TELL_S = 10.0
MOST_NEWS = 16
PART = "netprobe"
"""What the hub's own health calls the helper."""


class NetprobeCollector(Collector):
    """Round trip, jitter and loss of ICMP echo."""

    Config = NetprobeConfig
    Section = NetprobeSection
    config: NetprobeConfig

    def __init__(self, config: Any, host: Host) -> None:
        super().__init__(config, host)
        self._pinger: Pinger = HelperPinger(
            host,
            count=self.config.count,
            gap_s=self.config.gap_s,
            timeout_s=self.config.timeout_s,
            told=self._happened,
        )
        self._idle = ""
        """Why nothing is probed; empty: everything is."""
        self._news: asyncio.Queue[Event] = asyncio.Queue(MOST_NEWS)

    @classmethod
    async def diagnose(cls, config: Any, targets: Sequence[Target]) -> Sequence[Check]:
        """May the helper ping?"""
        if not targets:
            return []
        try:
            return [Check("good", "permission to ping", f"{await permission()} sockets")]
        except NotPermitted as error:
            return [Check("bad", "permission to ping", error.why, error.remedy)]
        except TryAgain as error:
            return [Check("bad", "permission to ping", str(error), "is scapy installed?")]

    async def start(self) -> None:
        """Start the helper; without the permission say so once and idle, so the rest works."""
        try:
            mode = await self._pinger.open()
            self.host.log.info("netprobe is ready", sockets=mode)
        except NotPermitted as error:
            self._idle = str(error)
            self.host.log.warning("netprobe idles: nothing is pinged", why=self._idle)
            if self.host.targets():
                self._say("netprobe_idle", self._idle)

    async def stop(self) -> None:
        """End the helper."""
        await self._pinger.close()

    async def run(self, emit: Emit) -> None:
        """Tell how the helper stands, for rules to watch, and what happened to it."""
        while True:
            if self.host.targets():
                self.host.tell(PART, {"probe_up": int(self._pinger.is_up)})
            try:
                async with asyncio.timeout(TELL_S):
                    emit(await self._news.get())
            except TimeoutError:
                pass

    def _happened(self, up: bool, why: str) -> None:
        self._say("netprobe_up" if up else "netprobe_down", why)

    def _say(self, name: str, text: str) -> None:
        if not self._news.full():  # nobody can read more of these than a few
            self._news.put_nowait(Event("hub", name, self.host.now_ns(), text))

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        """Ping one device. That it does not answer is a reading, not a failure."""
        if self._idle:
            return
        section = NetprobeSection.model_validate(target.section)
        address = await resolve(section.address or target.address)
        ping = await self._pinger.ping(address)
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


async def resolve(name: str) -> str:
    """An IPv4 address. Raises `NeverWorks` without one, `TryAgain` for a name not known now."""
    if not name:
        raise NeverWorks("has no address in the inventory: give it one, or remove collect.netprobe")
    try:
        given = ipaddress.ip_address(name)
    except ValueError:
        pass
    else:
        if given.version != 4:
            raise NeverWorks(f"{name}: netprobe speaks IPv4 only")
        return str(given)
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_RAW)
    except (OSError, UnicodeError) as error:
        raise TryAgain(f"can't resolve {name!r}: {error}") from None
    return str(found[0][4][0])
