"""The demo's embedded MQTT broker (amqtt, MQTT 3.1.1), for machines that have none.

A demo's broker, not an example for real use. Read in amqtt 0.12 and worked around here:

- a session counts as anonymous, and is then not persistent, when the anonymous plugin let it in:
  `OpenDoor` lets everybody in without calling them anonymous;
- what waited for an absent client is delivered with the retain flag set, against
  [MQTT-3.3.1-9], and the hub rightly trusts no retained message: `_Amqtt` clears it;
- port 0 is reported as 0: the listening socket is ours, amqtt gets the connections.

Not worked around: a message in flight when its subscriber vanishes, or not acknowledged for 5 s, is
dropped. At-least-once through a crash needs a real broker (mosquitto).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

# amqtt carries annotations but no py.typed, so mypy takes it for untyped.
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.plugins.base import BaseAuthPlugin  # type: ignore[import-untyped]

LISTENER = "default"
STOP_S = 3.0


class OpenDoor(BaseAuthPlugin):  # type: ignore[misc]
    """Everybody may come in; it listens on loopback only."""

    async def authenticate(self, *, session: Any) -> bool | None:
        return True

    @dataclass
    class Config:
        """It has nothing to set."""


class _Amqtt(Broker):  # type: ignore[misc]
    async def _publish_session_retained_messages(self, session: Any) -> None:
        handler = self._get_handler(session)
        if handler is None:
            return
        waiting = []
        while not session.retained_messages.empty():
            kept = session.retained_messages.get_nowait()
            waiting.append(handler.mqtt_publish(kept.topic, kept.data, kept.qos, retain=False))
        await asyncio.gather(*waiting, return_exceptions=True)


class EmbeddedBroker:
    """A broker on loopback; `start` gives its port."""

    def __init__(self) -> None:
        self._broker: Any = None
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Raises `OSError` when the port is taken."""
        for noisy in ("amqtt", "transitions"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        self._broker = _Amqtt(
            {
                "listeners": {LISTENER: {"type": "external"}},
                "plugins": {"firmware_stubs.broker.OpenDoor": {}},
            }
        )
        await self._broker.start()
        try:
            self._server = await asyncio.start_server(self._connected, host, port)
        except OSError:
            await self._broker.shutdown()
            raise
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Give up after a while: amqtt can wait for ever for a client that is half connected."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_S):
                    await self._broker.shutdown()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._broker.stream_connected(reader, writer, LISTENER)
        finally:
            writer.close()
