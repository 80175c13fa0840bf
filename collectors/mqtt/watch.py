"""What a broker's messages become, one by one, for `toba-hub mqtt watch`; nothing is stored.

The real `Delivery` reads them, with a hub around it that only remembers. Devices are never
answered: a watcher asks nobody for a rebirth.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiomqtt

from collectors.mqtt.config import Broker
from collectors.mqtt.delivery import Delivery
from collectors.mqtt.devices import Devices
from collectors.mqtt.topics import Template
from hub.api import (
    Content,
    Event,
    Item,
    Log,
    Message,
    Proposal,
    Quality,
    Reading,
    Receipt,
    Redelivery,
    Target,
    TryAgain,
)

STRANGERS = 10_000
"""Devices outside the inventory that are shown."""


class Heard(NamedTuple):
    """A message as the broker sent it."""

    topic: str
    payload: bytes
    retain: bool
    qos: int = 0
    duplicate: bool = False
    packet_id: int | None = None


class Refusal(NamedTuple):
    reason: str
    detail: str


@dataclass(slots=True)
class Seen:
    """A message and what became of it."""

    topic: str
    payload: bytes
    retained: bool
    received_ns: int
    parser: str = ""
    """Empty: no template matches."""
    items: list[Content] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs; values have the units of the collector's manifest."""
        return {
            "topic": self.topic,
            "parser": self.parser,
            "retained": self.retained,
            "bytes": len(self.payload),
            "received_ns": self.received_ns,
            "readings": [_reading(item) for item in self.items if isinstance(item, Reading)],
            "events": [
                {"device": item.device, "name": item.name, "text": item.text}
                for item in self.items
                if isinstance(item, Event)
            ],
            "proposals": [
                {"device": item.device, **item.facts}
                for item in self.items
                if isinstance(item, Proposal)
            ],
            "refused": [one._asdict() for one in self.refused],
        }


def flags(quality: int) -> list[str]:
    """The names of what is doubted: CLOCK, LATE, RETAINED …"""
    return [str(flag.name) for flag in Quality if flag and quality & flag]


def _reading(item: Reading) -> dict[str, Any]:
    return {
        "measurement": item.series.measurement,
        "tags": dict(item.series.tags),
        "time_ns": item.time_ns,
        "fields": dict(item.fields),
        "quality": flags(item.quality),
    }


class Watcher:
    """Reads messages as the hub would."""

    def __init__(self, broker: Broker, by_topic: Mapping[str, str], log: Log) -> None:
        self._items: list[Content] = []
        self._host = _Host(log)
        devices = Devices(by_topic, STRANGERS)
        self._delivery = Delivery(broker, devices, self._host, self._emit)

    def look(self, message: Heard, received_ns: int) -> Seen:
        """Must be called inside an event loop, as the hub calls its delivery."""
        seen = Seen(message.topic, message.payload, message.retain, received_ns)
        self._items = seen.items
        self._host.refused = seen.refused
        self._delivery.take([message], received_ns)
        seen.parser = self._delivery.convention_of(message.topic)
        return seen

    def _emit(self, *items: Item) -> Receipt:
        for item in items:
            self._items += item.items if isinstance(item, Message) else [item]
        done: Any = _Done(asyncio.get_running_loop())
        return done  # type: ignore[no-any-return]


class _Done:
    """A receipt of nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.batch: asyncio.Future[None] = loop.create_future()
        self.batch.set_result(None)


class _Host:
    """The hub, as far as reading needs it."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.refused: list[Refusal] = []

    def now_ns(self) -> int:
        return 0

    def targets(self) -> Sequence[Target]:
        return ()

    def addresses(self) -> Mapping[str, str]:
        return {}

    def count(self, what: str, number: int = 1) -> None: ...

    def tell(self, part: str, numbers: Mapping[str, int]) -> None: ...

    def refuse(self, reason: str, detail: str = "", device: str = "") -> None:
        self.refused.append(Refusal(reason, detail))

    def taken(self, redelivery: Redelivery) -> Receipt | None:
        return None

    def recall(self) -> Mapping[str, Any]:
        return {}

    async def keep(self, facts: Mapping[str, Any]) -> None: ...


def filter_of(topic: str) -> str:
    """A template, or a plain MQTT filter, as what is subscribed to."""
    return Template(topic, device=False).filter


async def listen(
    broker: Broker, filters: Sequence[str], client_id: str
) -> AsyncGenerator[Heard, None]:
    """Messages of a broker, beside any hub: a session of its own that leaves nothing behind.

    Raises `TryAgain` when the broker can't be reached or hangs up, `NeverWorks` for bad TLS.
    """
    tls = broker.tls.context() if broker.tls else None
    protocol = aiomqtt.ProtocolVersion.V311 if broker.protocol == 4 else aiomqtt.ProtocolVersion.V5
    where = f"broker {broker.name} ({broker.host}:{broker.port})"
    try:
        async with aiomqtt.Client(
            broker.host,
            broker.port,
            identifier=client_id,
            username=broker.username,
            password=broker.password.get_secret_value() if broker.password else None,
            protocol=protocol,
            clean_session=True if broker.protocol == 4 else None,
            keepalive=broker.keepalive_s,
            timeout=broker.connect_timeout_s,
            tls_context=tls,
        ) as client:
            granted: Sequence[Any] = await client.subscribe([(one, 0) for one in filters])
            for one, code in zip(filters, granted, strict=False):
                if (code if isinstance(code, int) else code.value) >= 0x80:
                    raise TryAgain(f"{where}: subscribing to {one!r} was refused by its ACL")
            async for message in client.messages:
                if isinstance(message.payload, bytes):
                    yield Heard(str(message.topic), message.payload, bool(message.retain))
    except (aiomqtt.MqttError, OSError) as error:
        raise TryAgain(f"{where}: {error or repr(error)}") from error
