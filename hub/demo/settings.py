"""What the demo's hub is told to be: settings that show everything within a minute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hub.demo import story as stories

FRAME: dict[str, Any] = {
    "regency": "toba",
    "language": "id",
    "inventory": ["inventory.yaml"],
    "data": "data",
}
STAFF: dict[str, Any] = {
    "channels": {"ruang-kendali": {"type": "log", "wait_s": 3, "critical_wait_s": 1}},
    "people": {
        name.split()[0].lower(): {"name": name, "channels": ["ruang-kendali"]}
        for name in ("Andi Siregar", "Budi Manurung", "Rina Simanjuntak", "Tiur Hutapea")
    },
    "teams": {
        team: {"name": name, "channels": ["ruang-kendali"], **({"rota": rota} if rota else {})}
        for team, name, rota in (
            ("kominfo", "Dinas Kominfo", {"people": ["budi", "rina"]}),
            ("dlh", "Dinas Lingkungan Hidup", {"people": ["andi", "tiur"]}),
            ("bpbd", "BPBD", None),
            ("perikanan", "Dinas Ketahanan Pangan dan Perikanan", None),
            ("dishub", "Dinas Perhubungan", None),
        )
    },
}
"""The people are invented."""

QUICK: dict[str, Any] = {
    "router_down.for": "5s",
    "link_down.for": "5s",
    "cpu_high.for": "10s",
    "traffic_high.for": "10s",
    "pm25_unhealthy.when.mean": "10s",
    "pm25_unhealthy.for": "3s",
    "dissolved_oxygen_low.for": "5s",
    "dissolved_oxygen_critical.for": "5s",
    "lake_level_high.when.mean": "10s",
    "lake_level_high.for": "5s",
    "lake_level_critical.when.mean": "10s",
    "lake_level_critical.for": "5s",
    "sensor_silent.when.absent": "20s",
    "camera_silent.when.absent": "25s",
    "camera_degraded.for": "5s",
}
"""Rule values that a demo changes: minutes become seconds."""


class NoRegency(Exception):
    """When there is no folder of that name."""


def settings_for(
    addresses: Mapping[str, Any],
    *,
    store: Mapping[str, Any],
    host: str,
    port: int,
    level: str,
    story: str = "",
) -> dict[str, Any]:
    """The demo's settings: quick periods and short `for`, so that a minute shows everything; a
    story has a clock for that, and the rules as they are."""
    broker = {"name": "demo", **addresses["broker"], "protocol": 4}
    return {
        **FRAME,
        **(stories.staff() if story else STAFF),
        "log": {"level": level},
        "web": {"host": host, "port": port, "auth": "demo"},
        "store": dict(store),
        "rules": {"set": stories.PATIENT if story else QUICK},
        "collectors": stories.collectors(broker) if story else _quick(broker),
    }


def _quick(broker: Mapping[str, Any]) -> dict[str, Any]:
    """Collectors that look every few seconds."""
    return {
        "mqtt": {"brokers": [broker]},
        "camera": {
            "broker": broker,
            "credentials": {"default": {"username": "hub", "password": "demo"}},
            "tiers": {
                "rtsp": {"period_s": 10},
                "stream": {"period_s": 10},
                "onvif": {"period_s": 30},
                "snapshot": {"period_s": 10},
            },
        },
        "snmp": {
            "timeout_s": 1.0,
            "retries": 1,
            "tiers": {
                "liveness": {"period_s": 4},
                "traffic": {"period_s": 5},
                "health": {"period_s": 10},
            },
        },
    }


def folder_of(regency: str) -> Path:
    """One that comes with the hub, or a folder of one's own. Raises `NoRegency` naming what there
    is."""
    ours = Path(__file__).parents[1] / "regency"
    for folder in (ours / regency, Path(regency)):
        if (folder / "inventory.yaml").is_file() and (folder / "regency.yaml").is_file():
            return folder.resolve()
    names = ", ".join(sorted(path.parent.name for path in ours.glob("*/regency.yaml")))
    raise NoRegency(
        f"no regency {regency!r}: there is {names}, or a folder of yours with regency.yaml and "
        "inventory.yaml"
    )


def at_home(settings: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """The demo's settings with those of the regency's `settings.yaml`: zone, teams, rules of its
    own and other values for those of the library."""
    path = home / "settings.yaml"
    own = (yaml.safe_load(path.read_text("utf-8")) or {}) if path.is_file() else {}
    rules = {**settings.get("rules", {}), **own.get("rules", {})}
    changed = {**settings.get("rules", {}).get("set", {}), **rules.get("set", {})}
    left_out = rules.get("disable", [])
    rules["set"] = {k: v for k, v in changed.items() if k.partition(".")[0] not in left_out}
    rules["files"] = [str(home / file) for file in rules.get("files", [])]
    return {**settings, **own, "regency": str(home), "rules": rules}
