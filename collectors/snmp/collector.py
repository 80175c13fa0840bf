"""The plugin: devices by SNMP v1, v2c and v3, four tiers. What they read is in device.py.

agent ◄─ poll ─ session (v1, v2c, v3) ─► Device ─► readings, events
agent ── trap ─► traps/ ─► event, and a hint that comes back as a poll
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

from collectors.snmp import catalogue
from collectors.snmp import search as searching
from collectors.snmp.client import Address, Denied, Endpoint, NoAnswer, Refused, resolve
from collectors.snmp.config import SnmpConfig, SnmpSection
from collectors.snmp.device import Device
from collectors.snmp.directory import Directory
from collectors.snmp.reader import Reader
from collectors.snmp.sessions import RealSession, open_session
from collectors.snmp.traps.listener import listen
from collectors.snmp.traps.names import LINK_DOWN, if_index
from collectors.snmp.traps.receiver import Told
from collectors.snmp.v3 import V3Session
from hub.api import (
    Collector,
    Emit,
    Found,
    NeverWorks,
    Reading,
    Search,
    Target,
    TryAgain,
)

LIVENESS = "liveness"


class _Known(NamedTuple):
    target: Target
    device: Device
    session: RealSession
    credential: str
    """Its name; empty when the device's section says how to ask."""

    @property
    def doubt(self) -> str:
        """What else may be wrong when nothing answers."""
        name = f" {self.credential}" if self.credential else ""
        if isinstance(self.session, V3Session):
            return f"does it speak version 3 (credential{name})"
        return f"is the community{f' (credential{name})' if name else ''} right"

    def refusal(self, error: Refused) -> str:
        """What the agent has against us, and what to mend."""
        mend = f"mend credential {self.credential or 'its section'} or the agent's users"
        if isinstance(error, Denied):
            return (
                f"the agent denies {self.session.asker} these objects (authorizationError): "
                f"does it want a higher security level, or has that user no view? {mend}"
            )
        return f"{error}; {mend}"


class SnmpCollector(Collector):
    """Polls routers and switches; one UDP socket for all of them."""

    Config = SnmpConfig
    Section = SnmpSection
    config: SnmpConfig

    async def start(self) -> None:
        self._endpoints: dict[int, Endpoint] = {}
        self._devices: dict[str, _Known] = {}
        self._sections: dict[str, SnmpSection] = {}
        """By what is written in the inventory."""
        self._directory = Directory(
            self.host.targets,
            lambda: ((k.device.id, k.device.name) for k in self._devices.values()),
        )
        self._catalogue = catalogue.read(self.config.profiles)
        await self._endpoint(socket.AF_INET)

    async def stop(self) -> None:
        for known in self._devices.values():
            known.session.close()
        for endpoint in self._endpoints.values():
            endpoint.close()
        self._endpoints.clear()
        self._devices.clear()

    @classmethod
    def search(cls, config: SnmpConfig, search: Search) -> AsyncIterator[tuple[str, Found | None]]:
        return searching.search(config, search)

    async def run(self, emit: Emit) -> None:
        """Listen to traps, where the settings say so, until cancelled."""
        if self.config.traps is not None:
            await listen(self.config.traps, self.config, self.host, emit, self._heard)

    def _heard(self, told: Told) -> str:
        """A trap came: what the polls should know, and what they know of the port."""
        known = self._devices.get(told.device)
        index = if_index(told.notification.varbinds)
        if known is None or index is None:
            return ""
        if told.notification.trap == LINK_DOWN:
            known.device.told_down(index)
        return known.device.port_name(index)

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        known = await self._known(target)
        device, session = known.device, known.session
        read = device.tiers.get(tier)
        if read is None:
            raise NeverWorks(
                f"collector snmp has no tier {tier!r}; it has {', '.join(device.tiers)}"
            )
        try:
            called = device.name
            await read(emit)
            if device.name != called:
                self._directory.called(device.id, called, device.name)
        except Refused as error:
            # It is there, and says so: not down, but nothing can be read.
            emit(Reading(device.series, self.host.now_ns(), {"up": 1, "refused": 1}))
            device.refused = True
            raise TryAgain(f"{target.id}: {known.refusal(error)}") from error
        except NoAnswer as error:
            emit(Reading(device.series, self.host.now_ns(), {"up": 0}))
            port = session.address[1]
            # A name may have moved to another address meanwhile; state is kept, it's one device.
            family, address = await self._resolve(target, port)
            session.move(await self._endpoint(family), address)
            raise TryAgain(
                f"{target.id}: no SNMP answer from {target.address} port {port} ({error}); "
                f"is the agent on, {known.doubt}, may this address ask?"
            ) from error
        if tier == LIVENESS and (isinstance(session, V3Session) or device.refused):
            device.refused = False
            emit(Reading(device.series, self.host.now_ns(), {"refused": 0}))

    def device(self, id: str) -> Device:
        """The state of a device that was polled. Raises `KeyError`."""
        return self._devices[id].device

    async def retarget(self) -> None:
        """Sessions of what is gone are closed; others are made anew where something changed."""
        self._forget_the_gone()

    async def _known(self, target: Target) -> _Known:
        """The state kept for this device; made anew when its place in the inventory changed."""
        known = self._devices.get(target.id)
        if known is not None and known.target == target:
            return known
        if known is not None:
            known.session.close()
        section = self._section(target)
        session = await self._session(target, section)
        limits = (self.config.max_repetitions, self.config.max_names, self.config.max_rows)
        reader = Reader(session, *limits)
        who = self._directory.who
        device = Device(target.id, section, reader, self.host, self._catalogue, who)
        known = _Known(target, device, session, section.credential)
        self._devices[target.id] = known
        self._forget_the_gone()
        return known

    def _section(self, target: Target) -> SnmpSection:
        """What the inventory says of how to ask it; one object for all that are asked alike."""
        text = repr(sorted(target.section.items()))
        found = self._sections.get(text)
        if found is None:
            if len(self._sections) > len(self._devices):  # of before they were changed
                self._sections.clear()
            found = self._sections[text] = SnmpSection.model_validate(dict(target.section))
        return found

    async def _resolve(self, target: Target, port: int) -> tuple[int, Address]:
        try:
            return await resolve(target.address, port)
        except OSError as error:
            why = f"{target.id}: address {target.address!r} can't be resolved ({error})"
            raise TryAgain(why) from error

    async def _session(self, target: Target, section: SnmpSection) -> RealSession:
        try:
            credential = section.asks_as(self.config)
        except KeyError as error:
            raise NeverWorks(
                f"{target.id}: no credential {section.credential!r} in the settings "
                "(collectors.snmp.credentials)"
            ) from error
        family, address = await self._resolve(target, section.port)
        return open_session(
            await self._endpoint(family),
            address,
            credential,
            section.timeout_s or self.config.timeout_s,
            self.config.retries if section.retries is None else section.retries,
            self.host.count,
        )

    async def _endpoint(self, family: int) -> Endpoint:
        if family not in self._endpoints:
            try:
                self._endpoints[family] = await Endpoint.open(
                    family, lambda reason: self.host.count(f"ignored_{reason}")
                )
            except OSError as error:
                raise TryAgain(f"no UDP socket for SNMP: {error}") from error
        return self._endpoints[family]

    def _forget_the_gone(self) -> None:
        if len(self._devices) <= len(self.host.targets()):
            return  # looking at all of them for each new one would take a fleet's first minutes
        listed = {target.id for target in self.host.targets()}
        for gone in self._devices.keys() - listed:
            self._devices.pop(gone).session.close()
