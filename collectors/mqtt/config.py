"""Settings under `collectors.mqtt`; checked without touching the network."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from collectors.mqtt.conventions import CONVENTIONS
from collectors.mqtt.fields import CANONICAL
from collectors.mqtt.parse import PARSERS
from collectors.mqtt.topics import Template, widest
from hub.api import NeverWorks


class Conversion(BaseModel, extra="forbid"):
    """How a field of a payload becomes one of ours: `value * scale + offset`."""

    field: str
    scale: float = Field(default=1.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)

    @field_validator("field")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in CANONICAL:
            raise ValueError(f"{name!r} is none of {', '.join(sorted(CANONICAL))}")
        return name


class Topic(BaseModel, extra="forbid"):
    """Messages of one shape: where they come from and how they are read."""

    template: str
    """`toba/v1/{opd}/{site}/{device}/telemetry`; `{device}` must be there, `{sensor}` may. Where
    the convention names devices itself (SenML, Sparkplug …) `{device}` may be missing."""
    parser: str = "telemetry"
    """`telemetry` and `status` are the project's own; the README lists the conventions."""
    fields: dict[str, Conversion | str] = {}
    """Names in the payload that the common table does not know, or knows differently."""

    @field_validator("parser")
    @classmethod
    def _parser(cls, name: str) -> str:
        if name not in PARSERS and name not in CONVENTIONS:
            raise ValueError(f"{name!r} is none of {', '.join([*PARSERS, *CONVENTIONS])}")
        return name

    @field_validator("template")
    @classmethod
    def _template(cls, text: str) -> str:
        return Template(text, device=False).text

    @model_validator(mode="after")
    def _names_device(self) -> Self:
        convention = CONVENTIONS.get(self.parser)
        if convention is None or not convention.names_devices:
            Template(self.template)
        return self

    @property
    def filter(self) -> str:
        """The template as an MQTT filter."""
        return Template(self.template, device=False).filter

    @field_validator("fields")
    @classmethod
    def _fields(cls, fields: dict[str, Conversion | str]) -> dict[str, Conversion | str]:
        return {
            name: Conversion(field=to) if isinstance(to, str) else to for name, to in fields.items()
        }

    def conversions(self) -> dict[str, Conversion]:
        """`fields` with every short form written out."""
        return {
            name: Conversion(field=to) if isinstance(to, str) else to
            for name, to in self.fields.items()
        }


class Tls(BaseModel, extra="forbid"):
    """Encryption to the broker. An empty section trusts the machine's own authorities."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify_host: bool = True
    """False accepts a certificate made for another name (still signed by `ca_file`)."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if self.key_file and not self.cert_file:
            raise ValueError("key_file needs cert_file beside it")
        return self

    def context(self) -> ssl.SSLContext:
        """Raises `NeverWorks` naming the file that can't be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise NeverWorks(f"tls.ca_file {self.ca_file}: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.verify_host
        if self.cert_file:
            try:
                context.load_cert_chain(self.cert_file, self.key_file)
            except (OSError, ssl.SSLError) as error:
                raise NeverWorks(f"tls.cert_file {self.cert_file}: {error}") from error
        return context


def _own_topics() -> list[Topic]:
    return [
        Topic(template="toba/v1/{opd}/{site}/{device}/telemetry", parser="telemetry"),
        Topic(template="toba/v1/{opd}/{site}/{device}/status", parser="status"),
    ]


class Broker(BaseModel, extra="forbid"):
    """One broker and the session that we keep there."""

    name: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    protocol: Literal[4, 5] = 5
    """5 = MQTT 5; 4 = MQTT 3.1.1, for brokers that speak nothing newer."""
    client_id: str = Field(default="toba-hub", min_length=1, max_length=64)
    """Fixed, since the broker keeps what we have not acknowledged under this name."""
    username: str | None = None
    password: SecretStr | None = None
    tls: Tls | None = None
    keepalive_s: Annotated[int, Field(ge=2, le=3600)] = 30
    connect_timeout_s: Annotated[float, Field(gt=0, le=120)] = 10
    reconnect_max_s: Annotated[float, Field(ge=0.5, le=600)] = 30
    """Longest pause between two tries; the real one is drawn below it."""
    session_expiry_s: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] = 7 * 86_400
    """How long the broker keeps messages for us while we are away (MQTT 5)."""
    receive_maximum: Annotated[int, Field(ge=1, le=65535)] = 10_000
    """Messages that may wait for their receipt; then the broker holds the rest (MQTT 5)."""
    max_payload_bytes: Annotated[int, Field(ge=64, le=1 << 20)] = 64 * 1024
    canary_s: Annotated[float, Field(ge=0, le=3600)] = 30
    """A message to ourselves this often; without any in that time the broker is deaf. 0: none."""
    canary_topic: str = Field(default="toba/v1/hub/canary", pattern=r"^[^+#]{1,200}$")
    """Its topic, with our client_id behind it; we must be allowed to write and read it."""
    dropped_topic: str = Field(
        default="$SYS/broker/publish/messages/dropped", pattern=r"^[^+#]{0,200}$"
    )
    """Where the broker tells how many messages it has thrown away; empty: it is not asked."""
    topics: list[Topic] = Field(default_factory=_own_topics, min_length=1)

    @property
    def filters(self) -> list[str]:
        """What is subscribed to for `topics`."""
        return widest(topic.filter for topic in self.topics)

    @model_validator(mode="after")
    def _password_has_user(self) -> Self:
        if self.password and not self.username:
            raise ValueError("password needs username beside it")
        return self


class MqttConfig(BaseModel, extra="forbid"):
    """Brokers to listen to."""

    brokers: list[Broker] = Field(default_factory=lambda: [Broker()])
    max_unknown_devices: Annotated[int, Field(ge=0, le=100_000)] = 500
    """Devices outside the inventory that are stored and proposed; more are refused."""

    @field_validator("brokers")
    @classmethod
    def _apart(cls, brokers: list[Broker]) -> list[Broker]:
        names = [broker.name for broker in brokers]
        if len(set(names)) < len(names):
            raise ValueError("two brokers have the same name")
        sessions = [(broker.host, broker.port, broker.client_id) for broker in brokers]
        if len(set(sessions)) < len(sessions):
            raise ValueError(
                "two entries share host, port and client_id: they would end each other"
            )
        return brokers


class MqttSection(BaseModel, extra="forbid"):
    """A sensor's section in the inventory; empty: its id is the topic's `{device}` level."""

    topic_id: str = ""
    """The `{device}` level of its topics, when that is not the id in the inventory."""
