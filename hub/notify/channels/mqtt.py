"""Alert states on an MQTT broker, retained: who subscribes later still learns what is on.

Topic `<prefix>/{device}/{rule}`, followed by the values of the series' further tags (ifname,
sensor …), so that two alerts of one rule on one device stay apart. Subscribe to `<prefix>/#`.
QoS 1: `send` returns when the broker has acknowledged.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import aiomqtt
import msgspec
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import BeforeValidator, Field, FilePath, SecretStr

from hub.network import said
from hub.notify.channels.base import NeverWorks, Policy, Tools, TryAgain
from hub.notify.channels.webhook import payload
from hub.notify.message import Message

_REFUSED = {1, 4, 5, 132, 134, 135, 144}
"""Protocol version, user name or password, authorization, topic name: CONNACK codes of MQTT 3.1.1
and reason codes of MQTT 5."""


class MqttConfig(Policy, frozen=True):
    type: Literal["mqtt"]
    audience: Literal["machine"] = "machine"
    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    """Default: 1883, with tls 8883."""
    tls: bool = False
    ca_file: FilePath | None = None
    username: str = ""
    password: SecretStr | None = None
    version: Annotated[Literal["5", "3.1.1"], BeforeValidator(str)] = "5"
    """With 5 a broker says when its access list refuses the topic; with 3.1.1 it can't, and the
    message counts as sent."""
    prefix: str = Field(default="toba/v1/alerts", pattern=r"^[^#+\s/][^#+\s]*[^#+\s/]$")

    def build(self, name: str, tools: Tools) -> MqttChannel:
        return MqttChannel(name, self)


class MqttChannel:
    """Connects for each message: alerts are rare, and a connection kept can be dead unseen."""

    def __init__(self, name: str, config: MqttConfig) -> None:
        self.name = name
        self._config = config

    async def send(self, message: Message) -> None:
        config = self._config
        place = f"MQTT broker {config.host}"
        try:
            async with _connected(self._client()) as client:
                reasons = _reasons(client)
                await client.publish(
                    topic(config.prefix, message),
                    msgspec.json.encode(state(message)),
                    qos=1,
                    retain=bool(message.transition),  # a notice is no state of anything
                    timeout=config.timeout_s,
                )
            _accept(place, reasons)
        except aiomqtt.MqttCodeError as error:
            code = getattr(error.rc, "value", error.rc)
            kind = NeverWorks if code in _REFUSED else TryAgain
            raise kind(f"{place}: {said(error)}") from None
        except (aiomqtt.MqttError, OSError) as error:
            raise TryAgain(f"{place}: {said(error)}") from None

    async def close(self) -> None:
        pass

    def _client(self) -> aiomqtt.Client:
        config = self._config
        version = aiomqtt.ProtocolVersion.V5 if config.version == "5" else None
        return aiomqtt.Client(
            config.host,
            config.port or (8883 if config.tls else 1883),
            username=config.username or None,
            password=config.password.get_secret_value() if config.password else None,
            protocol=version or aiomqtt.ProtocolVersion.V311,
            tls_context=ssl.create_default_context(cafile=config.ca_file) if config.tls else None,
            timeout=config.timeout_s,
        )


@asynccontextmanager
async def _connected(client: aiomqtt.Client) -> AsyncIterator[aiomqtt.Client]:
    """`async with client`, and put away what aiomqtt 2.5 leaves behind when that fails.

    Without a CONNACK, or cancelled while it waits for one, it keeps socket and reader for ever;
    and asyncio complains of exceptions that lie in its futures unread.
    """
    try:
        async with client:
            yield client
    finally:
        client._client.on_disconnect = None  # aiomqtt's stumbles over a wait that was cancelled
        client._client.disconnect()
        for future in (client._connected, client._disconnected):
            if future.done() and not future.cancelled():
                future.exception()


def _reasons(client: aiomqtt.Client) -> list[ReasonCode]:
    """Collects the reasons in the broker's PUBACKs, which aiomqtt 2.5 doesn't hand on."""
    paho, found = client._client, []
    inner: Any = paho.on_publish

    def listen(client: Any, userdata: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        found.append(reason)
        inner(client, userdata, mid, reason, properties)

    paho.on_publish = listen
    return found


def _accept(place: str, reasons: list[ReasonCode]) -> None:
    """A PUBACK with a reason from 128 on is a refusal (MQTT 5, 3.4.2.1): nothing was kept."""
    for reason in reasons:
        if reason.value >= 128:
            kind = NeverWorks if reason.value in _REFUSED else TryAgain
            raise kind(f"{place} refused the message: {reason}")


def topic(prefix: str, message: Message) -> str:
    """Where this alert's state is kept."""
    further = [
        value for tag, value in sorted(message.tags.items()) if tag not in ("device", "rule")
    ]
    return "/".join([prefix, *(_level(part) for part in (message.device, message.rule, *further))])


def state(message: Message) -> dict[str, Any]:
    """The webhook's body, and `active` as the integer 0 or 1."""
    return {"active": int(message.state in ("firing", "acknowledged")), **payload(message)}


def _level(text: str) -> str:
    """Text as one level of a topic; `/`, `+`, `#` and control characters have their own meaning."""
    return re.sub(r"[/+#\x00-\x1f\x7f]", "_", text) or "_"
