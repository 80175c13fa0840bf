"""Settings under `collectors.camera` and a camera's section in the inventory."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from collectors.camera import picture, rtsp, wire
from collectors.camera.auth import Login
from hub.api import NeverWorks

TIERS = Literal["rtsp", "stream", "play", "onvif", "snapshot"]
WEB = ("http", "https")


def wrong(message: str, remedy: str) -> PydanticCustomError:
    """A mistake with its remedy; what was given is not repeated, it may be a secret."""
    return PydanticCustomError("camera", "{message}", {"message": message, "remedy": remedy})


class Tls(BaseModel, extra="forbid"):
    """Encryption to the broker. An empty section trusts the machine's own authorities."""

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify_host: bool = True

    def context(self) -> ssl.SSLContext:
        """Raises `NeverWorks` naming the files."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(f) for f in (self.ca_file, self.cert_file, self.key_file) if f)
            raise NeverWorks(f"tls: {files}: {error}") from error
        context.check_hostname = self.verify_host
        return context


class Broker(BaseModel, extra="forbid"):
    """Where cameras publish their heartbeats."""

    name: str = "main"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    protocol: Literal[4, 5] = 5
    """5 = MQTT 5, 4 = MQTT 3.1.1."""
    client_id: str = Field(default="toba-hub-camera", min_length=1, max_length=64)
    username: str | None = None
    password: SecretStr | None = None
    tls: Tls | None = None
    keepalive_s: Annotated[int, Field(ge=5, le=3600)] = 30
    reconnect_max_s: Annotated[float, Field(ge=0.5, le=600)] = 30
    topic: str = "toba/v1/{opd}/{site}/{device}/status"
    """Levels in braces match anything; `{device}` is the camera's id."""

    frigate: str = Field(default="frigate", pattern=r"^[^+#]+$")
    """Frigate's topic_prefix; listened to when a camera has a name there."""

    @property
    def pattern(self) -> str:
        """What to subscribe to for heartbeats."""
        levels = self.topic.split("/")
        return "/".join("+" if level.startswith("{") else level for level in levels)

    def device(self, topic: str) -> str:
        """Whose heartbeat it is."""
        return topic.split("/")[self.topic.split("/").index("{device}")]

    @field_validator("topic")
    @classmethod
    def _topic(cls, text: str) -> str:
        levels = text.split("/")
        if levels.count("{device}") != 1 or any("#" in level for level in levels):
            raise ValueError("needs one level {device}, and no #")
        return text

    @model_validator(mode="after")
    def _password_has_user(self) -> Self:
        if self.password and not self.username:
            raise ValueError("password needs username beside it")
        return self


class TierChange(BaseModel, extra="forbid"):
    period_s: Annotated[float, Field(gt=0)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None


class Credential(BaseModel, extra="forbid"):
    """How the hub logs in at a group of cameras; a user who may only watch is enough."""

    username: str = Field(min_length=1, max_length=64)
    password: SecretStr

    def login(self) -> Login:
        return Login(self.username, self.password.get_secret_value())


class CameraConfig(BaseModel, extra="forbid"):
    """`collectors.camera`."""

    broker: Broker | None = Field(default_factory=Broker)
    """null: no heartbeats over MQTT."""
    heartbeat_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """Expected time between two heartbeats; three missing ones are a fault."""
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 5.0
    """For each question to a camera, from the first packet to the answer's end."""
    credentials: dict[str, Credential] = {}
    """By name; `default` is for cameras that name none."""
    ca_file: Path | None = None
    """Authorities of the cameras' certificates, beside the machine's own."""
    blurred_below: Annotated[float, Field(ge=0, le=1)] = picture.BLURRED
    """Snapshots of less `sharpness` are blurred; 0: none is."""
    tiers: dict[TIERS, TierChange] = {}


class CameraSection(BaseModel, extra="forbid"):
    """`collect: {camera: …}` of a device. Each proof is asked where its key stands."""

    rtsp: str | None = None
    """`rtsp://host:554/path`: OPTIONS and, more seldom, DESCRIBE."""
    play: bool = False
    """Fetch two seconds of that stream, seldom: do pictures come, and how many a second?"""
    tcp: Annotated[int, Field(ge=1, le=65535)] | None = None
    """A port of the device's address that must let us connect; where there is no RTSP."""
    web: str | None = None
    """`http://host` for ONVIF, snapshot and events; the device's address when it isn't given."""
    onvif: bool = False
    """Ask its clock by GetSystemDateAndTime."""
    events: Literal["hikvision", "dahua"] | None = None
    """Stay on the camera's event stream: alertStream, eventManager."""
    frigate: str = ""
    """The camera's name in Frigate, whose word on its pictures a second is heard over MQTT."""
    snapshot: str = Field(default="", max_length=256, pattern=r"^(/[!-~]*)?$")
    """Path of a JPEG on `web`, such as `/ISAPI/Streaming/channels/101/picture`."""
    credential: str = ""
    """Of the settings' `credentials`; else `default`, if there is one."""
    verify_certificate: bool = True
    """false: also believe a certificate that nobody signed, as most cameras have."""
    maintenance: bool = False
    """Somebody works on it: state MAINTENANCE, and nobody asks it."""
    heartbeat: bool | None = None
    """true: silence from the start is a fault; false: none are expected; null: from the first."""
    heartbeat_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """Expected time between two heartbeats, where it is not the settings' one."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Configured pictures a second; under half of them the camera is degraded."""
    heartbeat_token: SecretStr | None = Field(default=None, min_length=16, max_length=128)
    """For `POST /api/v1/heartbeat/<token>`."""

    @field_validator("rtsp")
    @classmethod
    def _rtsp_url(cls, url: str | None) -> str | None:
        if url is not None:
            _checked(url, rtsp.SCHEMES)
        return url

    @model_validator(mode="after")
    def _plays_something(self) -> Self:
        if self.play and self.rtsp is None:
            raise wrong(
                "play without rtsp", "say which stream: rtsp: rtsp://10.12.8.201:554/stream1"
            )
        return self

    @field_validator("web")
    @classmethod
    def _web_url(cls, url: str | None) -> str | None:
        if url is not None and _checked(url, WEB).path != "/":
            raise wrong("web is the root of the camera's web server", "such as http://10.12.8.201")
        return url

    @field_validator("credential")
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        """Held against the settings where the hub hands them over (`check`, start)."""
        config = info.context.get("config") if info.context else None
        if name and isinstance(config, CameraConfig) and name not in config.credentials:
            known = ", ".join(sorted(config.credentials)) or "none"
            remedy = f"settings, collectors.camera.credentials; known there: {known}"
            raise wrong(f"no credential {name!r}", remedy)
        return name


def _checked(url: str, schemes: tuple[str, ...]) -> wire.Door:
    try:
        return wire.door(url, schemes)
    except ValueError as error:
        usual = "rtsp://10.12.8.201:554/stream1" if "rtsp" in schemes else "http://10.12.8.201"
        remedy = f"such as {usual}; user and password stand in the settings' credentials"
        raise wrong(str(error), remedy) from None
