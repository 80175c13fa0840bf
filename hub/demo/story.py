"""`toba-hub demo --story day --speed 60`: a day in the field in 24 minutes, and what was told.

    sensors of the regency ─ as in `firmware_stubs/story.py` ─► broker ─► the hub, its own rules
    `clock.simulate` ─► field, ingest and serve live through the same day, `speed` times faster

Routers and cameras stay at home: what they are asked takes its time whatever the clock says. Rules
keep the values of the library; each team has a channel of its own, so that it is seen who is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from hub import clock
from hub.api import TryAgain
from hub.clock import NS, from_datetime, now_ns, to_datetime
from hub.link import Link

Ask = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
STORIES = ("day",)
ZONE = ZoneInfo("Asia/Jakarta")
START_S = 15
"""True seconds before midnight: about what the hub needs to start."""
SUBSCRIBE_S = 2.0
"""The collectors run; the MQTT one needs a moment to subscribe."""
INTERVAL_S = 300
"""Of the day, between two reports of a node."""

PATIENT = {"rules_behind.when.above": 3600, "store_away.when.above": 18_000}
"""What the hub expects of itself does not get any faster."""

TEAMS = {
    "dlh": ("Dinas Lingkungan Hidup", "id"),
    "perikanan": ("Dinas Ketahanan Pangan dan Perikanan", "id"),
    "bpbd": ("BPBD", "id"),
    "dishub": ("Dinas Perhubungan", "id"),
    "kominfo": ("Kominfo, with guests from abroad", "en"),
}
"""Name and language."""


def begin(speed: float) -> int:
    """Pretend that it is shortly before yesterday's midnight in the regency; that time."""
    today = to_datetime(now_ns(), ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    began_ns = from_datetime(today - timedelta(days=1)) - round(START_S * speed) * NS
    clock.simulate(speed, began_ns)
    return began_ns


async def tell(field: Ask, ingest: Path) -> None:
    """Let the story begin when the hub listens."""
    link = Link(ingest)
    try:
        while True:
            await asyncio.sleep(1.0)
            with contextlib.suppress(TryAgain):
                if (await link.health())["collectors"]:
                    break
    finally:
        await link.close()
    await asyncio.sleep(SUBSCRIBE_S)
    await field({"begin": True})


def sensors_only(inventory: Path) -> dict[str, Any]:
    """The inventory without what is no sensor."""
    whole: dict[str, Any] = yaml.safe_load(inventory.read_text("utf-8"))
    sensors = [
        {name: value for name, value in device.items() if name != "depends_on"}
        for device in whole["devices"]
        if device["kind"] == "sensor"
    ]
    return {**whole, "devices": sensors}


def staff() -> dict[str, Any]:
    """Teams with a channel and a language each, for the settings."""
    channel = {"type": "log", "wait_s": 3, "critical_wait_s": 1}
    return {
        "channels": {f"log-{team}": channel for team in TEAMS},
        "teams": {
            team: {"name": name, "language": language, "channels": [f"log-{team}"]}
            for team, (name, language) in TEAMS.items()
        },
    }


def collectors(broker: Mapping[str, Any]) -> dict[str, Any]:
    """For the settings: what listens to sensors, without a canary among their messages."""
    return {"mqtt": {"brokers": [{**broker, "canary_s": 0}]}, "camera": {"broker": broker}}


def told(ledger: sqlite3.Connection) -> list[dict[str, Any]]:
    """What every team was told, in order: time in the zone, channel, language and title."""
    rows = ledger.execute("SELECT message FROM owed ORDER BY seq")
    messages: Iterable[Mapping[str, Any]] = (json.loads(text) for (text,) in rows)
    return [
        {
            "at": _clock(one["time_ns"]),
            "channel": one["channel"],
            "state": one["state"],
            "rule": one["rule"],
            "device": one["device"],
            "language": one["language"],
            "title": one["titles"].get(one["language"], ""),
        }
        for one in messages
    ]


def _clock(time_ns: int) -> str:
    moment: datetime = to_datetime(time_ns, ZONE)
    return f"{moment:%d %H:%M}"
