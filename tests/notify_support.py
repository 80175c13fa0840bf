"""Helpers of the notification tests: transitions, messages, a log that remembers, an HTTP stub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from hub.clock import NS, monotonic
from hub.notify.channels.base import Tools
from hub.notify.message import Facts, Message, make
from hub.notify.words import Language
from rules.transition import Transition
from tests.http_support import serving

ZONE = "Asia/Jakarta"
NOON = 1_795_323_900 * NS
"""Sunday 22 November 2026, 12.05 WIB."""
MINUTE = 60 * NS
HOUR = 60 * MINUTE


def change(**changes: Any) -> Transition:
    """A transition as the rules make it."""
    usual: dict[str, Any] = {
        "id": "7-0",
        "time_ns": NOON,
        "key": "pm25_unhealthy,device=aq1",
        "rule": "pm25_unhealthy",
        "device": "aq1",
        "tags": {"device": "aq1", "sensor": "pm"},
        "before": "pending",
        "after": "firing",
        "severity": "warning",
        "value": 62.34,
        "who": "",
        "why": "",
        "title": {"id": "PM2.5 tidak sehat di Balige", "en": "PM2.5 unhealthy at Balige"},
        "advice": {"id": "Kurangi kegiatan di luar.", "en": "Stay indoors."},
        "notify": ("dlh",),
        "cause": "",
        "since_ns": NOON,
        "detail": {
            "id": "pm25 62,34 µg/m³ (batas: di atas 55,4 µg/m³)",
            "en": "pm25 62.34 µg/m³ (limit: above 55.4 µg/m³)",
        },
    }
    return Transition(**{**usual, **changes})


FACTS = Facts(
    name="Sensor Udara Balige",
    kind="sensor",
    opd="Dinas Lingkungan Hidup",
    site="Balige",
    kecamatan="Balige",
    unit="µg/m³",
    threshold=55.4,
)


def message(channel: str = "hook", *, language: Language = "id", **changes: Any) -> Message:
    """A message about `change(**changes)`."""
    return make(change(**changes), channel, FACTS, language=language, zone=ZONE)


def numbered(
    number: int, channel: str = "hook", *, resolved: bool = False, alert: str = ""
) -> Message:
    """The `number`th message, of an alert of its own unless `alert` names one."""
    return message(
        channel,
        id=f"{number}-0",
        key=alert or f"rule,device=d{number}",
        after="resolved" if resolved else "firing",
        time_ns=NOON + number * MINUTE,
    )


class Lines:
    """A log that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []

    def _tell(self, level: str, event: str, values: dict[str, Any]) -> None:
        self.told.append((level, event, values))

    def debug(self, event: str, **values: Any) -> None:
        self._tell("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        self._tell("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._tell("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._tell("error", event, values)


def tools() -> Tools:
    return Tools(Lines(), lambda: NOON)


@dataclass
class Asked:
    """One request that the stub got."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Stub:
    """An HTTP server on loopback that answers what it is told to."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[web.Response] = field(default_factory=list)
    """Given in this order, then `usual()` for ever."""
    usual: Callable[[], web.Response] = lambda: web.Response(status=204)
    hang: asyncio.Event | None = None
    """While set to an event, no answer before it."""

    async def _handle(self, request: web.Request) -> web.Response:
        self.asked.append(Asked(request.path, request.headers, await request.read()))
        if self.hang is not None:
            await self.hang.wait()
        return self.answers.pop(0) if self.answers else self.usual()


@asynccontextmanager
async def http_stub() -> AsyncIterator[Stub]:
    stub = Stub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub._handle)
    async with serving(app, shutdown_s=0.1) as stub.url:
        try:
            yield stub
        finally:
            if stub.hang is not None:
                stub.hang.set()


async def until(check: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a real server or task, with a deadline."""
    deadline = monotonic() + seconds
    while not check():
        assert monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
