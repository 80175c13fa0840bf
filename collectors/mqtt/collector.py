"""Listens to every configured broker, each on a connection of its own.

broker ─ PUBLISH ─► transport5 | transport3 ─► Delivery ─► parse ─► emit
       ◄─ PUBACK ──────────────────────────── Acknowledger ◄─ receipt (on disk)
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from collectors.mqtt import diagnose, transport3, transport5
from collectors.mqtt.backoff import Backoff
from collectors.mqtt.canary import Canary
from collectors.mqtt.config import Broker, MqttConfig, MqttSection
from collectors.mqtt.delivery import Delivery
from collectors.mqtt.devices import Devices
from collectors.mqtt.link import Link
from collectors.mqtt.losses import Losses
from hub.api import Check, Collector, Emit, Host, Target, TryAgain

TELL_S = 10.0


class MqttCollector(Collector):
    """Environment sensors over MQTT 5 and 3.1.1."""

    Config = MqttConfig
    Section = MqttSection
    config: MqttConfig

    def __init__(self, config: Any, host: Host) -> None:
        super().__init__(config, host)
        self._tls: dict[str, ssl.SSLContext | None] = {}

    async def start(self) -> None:
        """Load certificates. Raises `NeverWorks` naming the file that can't be used."""
        for broker in self.config.brokers:
            self._tls[broker.name] = broker.tls.context() if broker.tls else None

    @classmethod
    async def diagnose(cls, config: Any, targets: Sequence[Target]) -> Sequence[Check]:
        """Every broker: does it let us in, does it lose messages?"""
        if not _wanted(config, targets):
            return []
        found = await asyncio.gather(*(diagnose.examine(broker) for broker in config.brokers))
        return [check for checks in found for check in checks]

    async def run(self, emit: Emit) -> None:
        """Listen until cancelled; a broker that is away troubles no other."""
        if not _wanted(self.config, self.host.targets()):
            self.host.log.info("mqtt rests: neither settings nor inventory name it")
            await asyncio.Event().wait()
        names = {
            target.section.get("topic_id") or target.id: target.id for target in self.host.targets()
        }
        devices = Devices(names, self.config.max_unknown_devices)
        async with asyncio.TaskGroup() as group:
            for broker in self.config.brokers:
                canary, losses = Canary(broker, self.host), Losses(broker, self.host)
                pauses = Backoff(longest_s=broker.reconnect_max_s)
                link = Link(broker.name, f"{broker.host}:{broker.port}", self.host, pauses)
                delivery = Delivery(broker, devices, self.host, emit)
                delivery.private[canary.topic] = canary.back
                if broker.dropped_topic:
                    delivery.private[broker.dropped_topic] = losses.told
                name = f"mqtt:{broker.name}"
                group.create_task(self._listen(broker, delivery, link, canary), name=name)
                group.create_task(self._tell(broker, link, canary, losses), name=f"{name} health")

    async def _listen(self, broker: Broker, delivery: Delivery, link: Link, canary: Canary) -> None:
        serve = transport5.serve if broker.protocol == 5 else transport3.serve
        while True:
            try:
                await serve(broker, self._tls.get(broker.name), delivery, link, canary, self.host)
            except TryAgain as error:
                await asyncio.sleep(link.down(error))

    async def _tell(self, broker: Broker, link: Link, canary: Canary, losses: Losses) -> None:
        """How the broker stands, for rules to watch."""
        while True:
            await asyncio.sleep(TELL_S)
            numbers = {"broker_up": int(link.is_up), "broker_deaf": int(canary.deaf)}
            self.host.tell(f"broker {broker.name}", {**numbers, **losses.numbers()})


def _wanted(config: MqttConfig, targets: Sequence[Target]) -> bool:
    """A regency without sensors needs no broker; one that is set up is listened to in any case: it
    may know sensors that the inventory does not."""
    return bool(targets or config.model_fields_set)
