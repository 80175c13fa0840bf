"""Prometheus Alertmanager, API v2 (POST /api/v2/alerts; its OpenAPI is in api/v2/openapi.yaml).

Alertmanager thinks an alert over when its `endsAt` has passed: so what is on is posted again
(`repeat`) long before, also after a restart of either side, and what is over is posted once with
the time when it was. The labels are what makes two posts one alert: only what never changes while
it lasts stands there, all else is an annotation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec
from pydantic import Field, SecretStr, field_validator

from hub.clock import NS, to_datetime
from hub.network import said
from hub.notify.channels.base import Policy, Tools, TryAgain
from hub.notify.channels.webhook import judge
from hub.notify.message import Message, in_language, map_link

REPEATS = 3
"""So often an alert is posted again before it would be thought over."""
AT_ONCE = 500
_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")


class AlertmanagerConfig(Policy, frozen=True):
    type: Literal["alertmanager"]
    audience: Literal["machine"] = "machine"
    url: str
    """`http://host:9093`, with its `--web.route-prefix` if it has one."""
    username: str = ""
    password: SecretStr | None = None
    hold_s: float = Field(default=300, ge=30, le=86_400)
    """How long Alertmanager goes on believing an alert of which it hears nothing more."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Further labels of every alert."""

    @field_validator("url")
    @classmethod
    def _has_host(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://… or https://… with a host name")
        if parts.username or parts.password:
            raise ValueError("must hold no password: use username and password")
        if parts.path.rstrip("/").endswith(("/api/v2", "/api/v2/alerts")):
            raise ValueError("must end before /api/v2")
        return value.rstrip("/")

    @field_validator("labels")
    @classmethod
    def _are_labels(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name):
                raise ValueError(f"{name!r} is no label name: letters, digits and _")
        return value

    def build(self, name: str, tools: Tools) -> AlertmanagerChannel:
        return AlertmanagerChannel(name, self, tools)


class AlertmanagerChannel:
    def __init__(self, name: str, config: AlertmanagerConfig, tools: Tools) -> None:
        self.name = name
        self.repeat_s = config.hold_s / REPEATS
        self._config = config
        self._now_ns = tools.now_ns
        self._place = urlsplit(config.url).hostname or ""
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> None:
        await self._post([message])

    async def repeat(self, messages: Sequence[Message]) -> None:
        for first in range(0, len(messages), AT_ONCE):
            await self._post(messages[first : first + AT_ONCE])

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, messages: Sequence[Message]) -> None:
        now_ns, config = self._now_ns(), self._config
        body = [posted(one, now_ns, config.hold_s, config.labels) for one in messages]
        try:
            async with self._open().post(
                f"{config.url}/api/v2/alerts",
                data=msgspec.json.encode(body),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                judge(self._place, response, now_ns)
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgain(f"{self._place}: {said(error)}") from None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            config, auth = self._config, None
            if config.username and config.password is not None:
                auth = aiohttp.BasicAuth(config.username, config.password.get_secret_value())
            timeout = aiohttp.ClientTimeout(total=config.timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout, auth=auth)
        return self._session


def posted(m: Message, now_ns: int, hold_s: float, labels: dict[str, str]) -> dict[str, Any]:
    """One `postableAlert`. A trial is over at once."""
    over = m.state in ("resolved", "trial")
    ends_ns = m.time_ns if over else now_ns + round(hold_s * NS)
    alert = {
        "labels": {**_labels(m), **labels},
        "annotations": _annotations(m),
        "startsAt": _time(m.since_ns),
        # One that ends before it began is refused.
        "endsAt": _time(max(ends_ns, m.since_ns + NS // 1000)),
    }
    return {**alert, "generatorURL": m.link} if m.link else alert


def _labels(m: Message) -> dict[str, str]:
    known = {
        **{_NO_LABEL.sub("_", tag): value for tag, value in m.tags.items()},
        "alertname": m.rule,
        "device": m.device,
        "severity": m.severity,
        "site": m.facts.site,
        "opd": m.facts.opd,
        "kecamatan": m.facts.kecamatan,
    }
    return {name: value for name, value in known.items() if value}


def _annotations(m: Message) -> dict[str, str]:
    facts = m.facts
    located = facts.lat is not None and facts.lon is not None
    known = {
        "summary": in_language(m.titles, m.language) or m.title,
        "description": in_language(m.details, m.language) or m.text,
        "advice": in_language(m.advices, m.language),
        "name": facts.name,
        "value": "" if m.value is None else f"{m.value:g}",
        "threshold": "" if facts.threshold is None else f"{facts.threshold:g}",
        "unit": facts.unit,
        "map": map_link(facts.lat, facts.lon) if located else "",  # type: ignore[arg-type]
        "key": m.key,
    }
    return {name: value for name, value in known.items() if value}


def _time(time_ns: int) -> str:
    return to_datetime(time_ns).isoformat(timespec="milliseconds").replace("+00:00", "Z")
