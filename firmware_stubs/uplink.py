"""One MQTT connection that several simulated devices share; it comes back by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiomqtt

log = logging.getLogger(__name__)

RETRY_S = 1.0


class Uplink:
    """Publishes with QoS 1 over MQTT 3.1.1, the version that mqtt_as on the boards speaks."""

    def __init__(self, host: str, port: int, client_id: str) -> None:
        self._host = host
        self._port = port
        self._client_id = client_id
        self._client: aiomqtt.Client | None = None
        self.connected = asyncio.Event()

    async def run(self, on_connect: Callable[[], Awaitable[None]]) -> None:
        """Stay connected until cancelled; `on_connect` is called after every connect."""
        told = False
        while True:
            try:
                client = aiomqtt.Client(
                    self._host,
                    self._port,
                    identifier=self._client_id,
                    protocol=aiomqtt.ProtocolVersion.V311,
                    clean_session=True,
                    timeout=5,
                )
                async with client:
                    self._client = client
                    self.connected.set()
                    told = False
                    await on_connect()
                    async for (
                        _
                    ) in client.messages:  # nothing is subscribed: this ends with the link
                        pass
            except aiomqtt.MqttError as error:
                if not told:
                    log.warning("no broker at %s:%s: %s", self._host, self._port, error)
                    told = True
            finally:
                self._client = None
                self.connected.clear()
            await asyncio.sleep(RETRY_S)

    async def publish(self, topic: str, payload: str, *, retain: bool = False) -> bool:
        """True when the broker has acknowledged."""
        client = self._client
        if client is None:
            return False
        try:
            await client.publish(topic, payload, qos=1, retain=retain)
        except aiomqtt.MqttError:
            return False
        return True
