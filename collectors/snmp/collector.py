"""The plugin: devices by SNMP v2c, four tiers. What they read is in device.py."""

from __future__ import annotations

import socket
from typing import NamedTuple

from collectors.snmp.client import Address, Endpoint, NoAnswer, V2cSession, resolve
from collectors.snmp.config import SnmpConfig, SnmpSection
from collectors.snmp.device import Device
from collectors.snmp.reader import Reader
from hub.api import Collector, Emit, NeverWorks, Reading, Target, TryAgain


class _Known(NamedTuple):
    target: Target
    device: Device
    session: V2cSession


class SnmpCollector(Collector):
    """Polls routers and switches; one UDP socket for all of them."""

    Config = SnmpConfig
    Section = SnmpSection
    config: SnmpConfig

    async def start(self) -> None:
        self._endpoints: dict[int, Endpoint] = {}
        self._devices: dict[str, _Known] = {}
        await self._endpoint(socket.AF_INET)

    async def stop(self) -> None:
        for known in self._devices.values():
            known.session.close()
        for endpoint in self._endpoints.values():
            endpoint.close()
        self._endpoints.clear()
        self._devices.clear()

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        _, device, session = await self._known(target)
        read = device.tiers.get(tier)
        if read is None:
            raise NeverWorks(
                f"collector snmp has no tier {tier!r}; it has {', '.join(device.tiers)}"
            )
        try:
            await read(emit)
        except NoAnswer as error:
            emit(Reading(device.series, self.host.now_ns(), {"up": 0}))
            port = session.address[1]
            # A name may have moved to another address meanwhile; state is kept, it's one device.
            family, address = await self._resolve(target, port)
            session.move(await self._endpoint(family), address)
            raise TryAgain(
                f"{target.id}: no SNMP answer from {target.address} port {port} ({error}); "
                "is the agent on, is the community right, may this address ask?"
            ) from error

    async def _known(self, target: Target) -> _Known:
        """The state kept for this device; made anew when its place in the inventory changed."""
        known = self._devices.get(target.id)
        if known is not None and known.target == target:
            return known
        if known is not None:
            known.session.close()
        section = SnmpSection.model_validate(dict(target.section))
        family, address = await self._resolve(target, section.port)
        session = await self._session(family, address, section)
        limits = (self.config.max_repetitions, self.config.max_names, self.config.max_rows)
        device = Device(target.id, section, Reader(session, *limits), self.host)
        known = self._devices[target.id] = _Known(target, device, session)
        self._forget_the_gone()
        return known

    async def _resolve(self, target: Target, port: int) -> tuple[int, Address]:
        try:
            return await resolve(target.address, port)
        except OSError as error:
            why = f"{target.id}: address {target.address!r} can't be resolved ({error})"
            raise TryAgain(why) from error

    async def _session(self, family: int, address: Address, section: SnmpSection) -> V2cSession:
        return V2cSession(
            await self._endpoint(family),
            address,
            section.community.get_secret_value().encode(),
            section.timeout_s or self.config.timeout_s,
            self.config.retries if section.retries is None else section.retries,
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
        listed = {target.id for target in self.host.targets()}
        for gone in self._devices.keys() - listed:
            self._devices.pop(gone).session.close()
