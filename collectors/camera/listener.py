"""Messages over MQTT: heartbeats, and what Frigate tells. A lost one does no harm, so nothing is
kept for us at the broker: what we hear is live, or it is retained and then no sign of life."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable, Mapping
from typing import NoReturn

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY

from collectors.camera.config import Broker
from hub.api import Host

Hear = Callable[[str, bytes, bool], None]
"""topic, payload, retained"""


async def listen(
    broker: Broker,
    tls: ssl.SSLContext | None,
    host: Host,
    topics: Mapping[str, Hear],
) -> NoReturn:
    """Connect, subscribe, hand over, for ever; one line when it breaks, one when it is back."""
    up: bool | None = None
    tries = 0

    def connected() -> None:
        nonlocal up, tries
        if not up:
            host.log.info("broker is up", broker=broker.name, address=_address(broker))
        up, tries = True, 0

    while True:
        try:
            await _once(broker, tls, topics, connected)
        except (aiomqtt.MqttError, OSError) as error:
            if up is not False:
                host.log.warning(
                    "broker is down",
                    broker=broker.name,
                    address=_address(broker),
                    reason=str(error) or repr(error),
                )
            up = False
            host.count("reconnects")
            await asyncio.sleep(random.uniform(0, min(broker.reconnect_max_s, 0.5 * 2.0**tries)))
            tries = min(tries + 1, 16)


async def _once(
    broker: Broker,
    tls: ssl.SSLContext | None,
    topics: Mapping[str, Hear],
    connected: Callable[[], None],
) -> None:
    mqtt5 = broker.protocol == 5
    async with aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=broker.client_id,
        username=broker.username,
        password=broker.password.get_secret_value() if broker.password else None,
        protocol=aiomqtt.ProtocolVersion.V5 if mqtt5 else aiomqtt.ProtocolVersion.V311,
        clean_session=None if mqtt5 else True,
        clean_start=True if mqtt5 else MQTT_CLEAN_START_FIRST_ONLY,
        keepalive=broker.keepalive_s,
        tls_context=tls,
        max_queued_incoming_messages=10_000,
    ) as client:
        await client.subscribe([(topic, 1) for topic in topics])
        connected()
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            for topic, hear in topics.items():
                if message.topic.matches(topic):
                    hear(message.topic.value, payload, bool(message.retain))


def _address(broker: Broker) -> str:
    return f"{broker.host}:{broker.port}"
