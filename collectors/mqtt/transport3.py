"""MQTT 3.1.1 by aiomqtt, for brokers that speak nothing newer; the same seam as `transport5`.

aiomqtt offers no acknowledgement of its own, so paho's manual one underneath is used
(`manual_ack_set`, `ack`), and paho's callback, which alone tells the DUP flag.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import aiomqtt
from paho.mqtt.client import Client as Paho
from paho.mqtt.client import MQTTMessage

from collectors.mqtt.canary import Canary
from collectors.mqtt.config import Broker
from collectors.mqtt.delivery import Acknowledger, Delivery, Publish
from collectors.mqtt.link import HungUp, Link
from hub.api import Host, TryAgain

REFUSED = 0x80
"""What SUBACK says instead of a granted QoS (MQTT 3.1.1, 3.9.3)."""
MAX_WAITING = 20_000
"""MQTT 3.1.1 has no receive maximum: with more unacknowledged messages we hang up, and the broker
keeps them."""


class PublishedMessage(NamedTuple):
    """A PUBLISH as `Delivery` takes it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    duplicate: bool
    packet_id: int | None


async def serve(
    broker: Broker,
    tls: ssl.SSLContext | None,
    delivery: Delivery,
    link: Link,
    canary: Canary,
    host: Host,
) -> None:
    """Connect, subscribe and take messages until it breaks. Raises `TryAgain` with the reason."""
    client = _client(broker, tls)
    inbox = _Inbox(client._client, delivery, link, canary, host)  # see the module's docstring
    delivery.connected()  # what the session kept comes before `async with` is through
    try:
        async with client:
            await _subscribe(client, broker, canary)
            delivery.connected()
            link.up()
            delivery.publish = inbox.publish
            await _until_over(
                inbox.ended,
                _disconnected(client),
                _send_canaries(client, canary, broker, inbox.acknowledger),
            )
    except aiomqtt.MqttError as error:
        raise _why(error, broker) from error
    except (OSError, ssl.SSLError) as error:
        raise TryAgain(str(error) or repr(error)) from error
    finally:
        delivery.publish = None
        inbox.acknowledger.close()
        canary.ended()


def _client(broker: Broker, tls: ssl.SSLContext | None) -> aiomqtt.Client:
    return aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=broker.client_id,
        username=broker.username,
        password=broker.password.get_secret_value() if broker.password else None,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=False,
        keepalive=broker.keepalive_s,
        timeout=broker.connect_timeout_s,
        tls_context=tls,
        max_queued_incoming_messages=1,
    )


class _Inbox:
    """What a connection brings goes to the delivery, and is acknowledged when that is safe."""

    def __init__(
        self, paho: Paho, delivery: Delivery, link: Link, canary: Canary, host: Host
    ) -> None:
        self._paho, self._delivery, self._link = paho, delivery, link
        self._canary, self._host = canary, host
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when we can't go on."""
        self.acknowledger = Acknowledger(self._send, self._fail)
        paho.manual_ack_set(True)
        paho.on_message = self._take

    def publish(self, topic: str, payload: bytes) -> None:
        self._paho.publish(topic, payload)

    def _take(self, _client: Paho, _userdata: Any, incoming: MQTTMessage) -> None:
        self._host.count("messages")
        self._host.count("bytes", len(incoming.payload))
        message = PublishedMessage(
            incoming._topic.decode(errors="replace"),  # a topic of bad UTF-8 matches no template
            bytes(incoming.payload),
            incoming.qos,
            incoming.retain,
            incoming.dup,
            incoming.mid if incoming.qos else None,
        )
        before = self._delivery.take((message,), self._host.now_ns())
        self._canary.heard()
        if incoming.qos:
            self.acknowledger.add([message], before)
        if self.acknowledger.waiting > MAX_WAITING:
            self.acknowledger.close()
            self._fail(TryAgain(f"{MAX_WAITING} messages wait for the journal"))

    def _send(self, messages: Sequence[Publish]) -> None:
        for message in messages:
            if message.packet_id:
                self._paho.ack(message.packet_id, 1)
        self._link.progress()

    def _fail(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()


async def _subscribe(client: aiomqtt.Client, broker: Broker, canary: Canary) -> None:
    """To all of it in one packet. Raises `TryAgain` for what is not granted."""
    filters = [(one, 1) for one in broker.filters]
    if canary.wanted:
        filters.append((canary.topic, 1))
    if broker.dropped_topic:
        filters.append((broker.dropped_topic, 0))
    _check_granted(await client.subscribe(filters), broker, canary)


async def _until_over(ended: asyncio.Future[None], *work: Coroutine[Any, Any, None]) -> None:
    """Wait for the broker's end or for ours."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        done, _ = await asyncio.wait((ended, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _send_canaries(
    client: aiomqtt.Client, canary: Canary, broker: Broker, acknowledger: Acknowledger
) -> None:
    """Raises `TryAgain` when the broker is deaf."""
    while canary.wanted:
        payload = canary.next(acknowledger.waiting)
        if payload is not None:
            await client.publish(canary.topic, payload, qos=1)
        await asyncio.sleep(broker.canary_s)
    await asyncio.Event().wait()


async def _disconnected(client: aiomqtt.Client) -> None:
    """Raises `MqttError` at the disconnect; no message ever comes this way."""
    async for _ in client.messages:
        pass


def _check_granted(granted: Any, broker: Broker, canary: Canary) -> None:
    codes = [code if isinstance(code, int) else code.value for code in granted]
    if canary.wanted and max(codes[len(broker.filters) :][:1], default=0) >= REFUSED:
        canary.refused("subscribing was not granted")
    for one, code in zip(broker.filters, codes, strict=False):
        if code >= REFUSED:
            raise TryAgain(
                f"subscribing to {one!r} was refused; allow client {broker.client_id!r} to read it"
            )


def _why(error: aiomqtt.MqttError, broker: Broker) -> TryAgain:
    text = str(error) or repr(error)
    if "uthorized" in text or "user name or password" in text.lower():
        return TryAgain(
            f"the broker refused {broker.client_id!r}: {text}; check username, password and ACL"
        )
    ended = error.__cause__  # aiomqtt: how the connection ended that it was reading from
    if not isinstance(ended, aiomqtt.MqttCodeError):
        return TryAgain(text)
    if "eep alive" in str(ended):
        return TryAgain(f"no sign of life for {broker.keepalive_s} s")
    return HungUp()
