"""The networks that are watched: a sweep by the helper, judged, told."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from collectors.netprobe.client import Prober, Ready
from collectors.netprobe.config import MOST_ADDRESSES, NetprobeConfig, NetprobeSection
from collectors.netprobe.lan import Expected, Lan, Memory
from collectors.netprobe.names import Book
from hub.api import Emit, Event, Host, Proposal, Reading, Receipt, Series, Target, TryAgain, Value

PERIOD_S = 60.0
"""As the manifest has it."""
PERIODS_BACK = 2
"""What was heard during so many still counts."""


@dataclass(slots=True)
class _Watched:
    lan: Lan = field(default_factory=Lan)
    swept_ns: int = 0
    told: Memory = field(default_factory=Memory)
    """What it remembers of sweeps whose findings are on disk."""


class Lans:
    """Each device with an `interface` stands for a network."""

    def __init__(self, host: Host, prober: Prober, config: NetprobeConfig) -> None:
        self._host, self._prober, self._config = host, prober, config
        self._watched: dict[str, _Watched] = {}
        self._kept: Mapping[str, Any] = {}
        """What the host keeps."""
        self._unkept = False
        """It said that it can't."""
        self._book = Book()
        change = config.tiers.get("lan")
        self._period_s = (change and change.period_s) or PERIOD_S

    def recall(self) -> None:
        """Go on with what was known before the hub was restarted."""
        self._kept = self._host.recall()
        for device, facts in self._kept.items():
            try:
                known = Memory.model_validate(facts)
            except ValidationError as error:
                self._host.log.error("forgets the MACs of a network", device=device, why=str(error))
            else:
                self._watched[device] = _Watched(Lan(known), told=known)

    def keep(self, devices: Mapping[str, NetprobeSection]) -> None:
        """Forget what is not among these."""
        for gone in self._watched.keys() - devices.keys():
            del self._watched[gone]

    async def sweep(
        self,
        target: Target,
        section: NetprobeSection,
        sections: Mapping[str, NetprobeSection],
        emit: Emit,
    ) -> None:
        """Ask a network who is there, and tell what is wrong with that. Raises `TryAgain`."""
        ready = await self._prober.stands()
        order = {
            "networks": _networks(section, ready),
            "seconds": self._config.sweep_s,
            "since_s": self._period_s * PERIODS_BACK,
            "dhcp": section.dhcp_servers is not None,
        }
        heard = await self._prober.sweep(section.interface, order)
        expected = await self._expected(section, sections, ready)
        watched = self._watched.setdefault(target.id, _Watched())
        judged = watched.lan.judge(heard, expected, self._config.sweep_s)
        now_ns = self._host.now_ns()
        fields: dict[str, Value] = dict(judged.numbers)
        if watched.swept_ns:
            fields["arp_per_s"] = heard.frames / max(1.0, (now_ns - watched.swept_ns) / 1e9)
        watched.swept_ns = now_ns
        told = emit(
            Reading(Series.of("lan", target.id), now_ns, fields),
            *(Event.saying(target.id, told.name, now_ns, told.said) for told in judged.told),
            *(
                Proposal("device", who.address, {**who._asdict(), "via": "arp", "lan": target.id})
                for who in judged.strangers
            ),
        )
        await self._remember(watched, told)

    async def _remember(self, watched: _Watched, told: Receipt) -> None:
        """Keep what was learned, once it is certain that people hear of what moved."""
        known = watched.lan.memory()
        if known != watched.told:
            await told
            watched.told = known
        kept = {device: one.told.model_dump() for device, one in self._watched.items()}
        if kept == self._kept:
            return
        try:
            await self._host.keep(kept)
            self._kept, self._unkept = kept, False
        except TryAgain as error:  # the next sweep does
            if not self._unkept:
                self._unkept = True
                self._host.log.warning("MACs would be forgotten by a restart", why=str(error))

    async def _expected(
        self, section: NetprobeSection, sections: Mapping[str, NetprobeSection], ready: Ready
    ) -> Expected:
        listed = dict(self._host.addresses())
        listed |= {one.address: id for id, one in sections.items() if one.address}
        names = await self._book.look_up([name for name in listed if not _is_ip(name)])
        listed |= {address: listed[name] for name, address in names.items() if name in listed}
        return Expected(
            listed=listed,
            macs={id: frozenset(one.mac) for id, one in sections.items() if one.mac},
            guests=section.guests,
            servers=(
                None if section.dhcp_servers is None else frozenset(map(str, section.dhcp_servers))
            ),
            own=ready.addresses.get(section.interface, ""),
        )


def _networks(section: NetprobeSection, ready: Ready) -> list[str]:
    """What is swept: what the section names, or else the interface's own network."""
    if section.sweep:
        return [str(network) for network in section.sweep]
    own = ready.networks.get(section.interface, "")
    if not own:
        if section.interface in ready.networks:
            raise TryAgain(
                f"{section.interface} has no IPv4 address here: say what to sweep, "
                "such as sweep: [10.12.1.0/24]"
            )
        return ["127.0.0.1/32"]  # the helper says why it does not hear there
    if ipaddress.IPv4Network(own).num_addresses > MOST_ADDRESSES:
        raise TryAgain(
            f"the network of {section.interface}, {own}, has over {MOST_ADDRESSES} addresses: "
            "name the parts that matter, such as sweep: [10.12.1.0/24]"
        )
    return [own]


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
