"""One MQTT connection that several simulated devices share; it comes back by itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiomqtt

log = logging.getLogger(__name__)

RETRY_S = 1.0
TIMEOUT_S = 5.0


class Uplink:
    """Publishes with QoS 1 over MQTT 3.1.1, the version that mqtt_as on the boards speaks."""

    def __init__(self, host: str, port: int, client_id: str) -> None:
        self._host = host
        self._port = port
        self._client_id = client_id
        self._client: aiomqtt.Client | None = None
        self._closing = asyncio.Event()
        self.connected = asyncio.Event()

    def close(self) -> None:
        """Let `run` end by itself. Cancelled while it connects, aiomqtt would leave its socket."""
        self._closing.set()

    async def run(self, on_connect: Callable[[], Awaitable[None]]) -> None:
        """Stay connected until closed; `on_connect` is called after every connect."""
        told = False
        while not self._closing.is_set():
            try:
                async with self._new_client() as client:
                    self._client = client
                    self.connected.set()
                    told = False
                    await on_connect()
                    await self._closed_or_lost(client)
            except aiomqtt.MqttError as error:
                if not told and not self._closing.is_set():
                    log.warning("no broker at %s:%s: %s", self._host, self._port, error)
                    told = True
            finally:
                self._client = None
                self.connected.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._closing.wait()

    def _new_client(self) -> aiomqtt.Client:
        return aiomqtt.Client(
            self._host,
            self._port,
            identifier=self._client_id,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            timeout=TIMEOUT_S,
        )

    async def _closed_or_lost(self, client: aiomqtt.Client) -> None:
        """Raises `MqttError` when the connection is lost."""

        async def lost() -> None:
            async for _ in client.messages:
                pass  # nothing is subscribed: this ends, by an error, with the link

        waits = {asyncio.create_task(lost()), asyncio.create_task(self._closing.wait())}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

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
