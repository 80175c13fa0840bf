"""2 000 cameras whose cheap proofs (OPTIONS, DESCRIBE with Digest, ONVIF) are asked each 30 s.

One stub, a process of its own, plays all of them on addresses of 127.2.0.0/16 and keeps the truth:
how long each camera waited for its next question of a kind. The value is the share of one processor
that the hub's two processes take, rules and DuckDB on; the stub's is not counted.

    CAMERAS=200 make bench B=cameras        # a smaller fleet
"""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.bench.camera_agent import KINDS, address
from tests.bench.fleet import FleetAgent, started
from tests.bench.report import Options, Result, cpu_s, rss_mib, say
from tests.hub_support import Hub, wait_for

PERIOD_S = 30.0
PERIODS = 3
SETTINGS: dict[str, Any] = {
    "inventory": ["inventory.yaml", "cameras.csv"],
    "collectors": {
        "camera": {
            "broker": None,
            "credentials": {"default": {"username": "hub", "password": "bench"}},
            "tiers": {tier: {"period_s": PERIOD_S} for tier in ("rtsp", "stream", "onvif")},
        },
        **{name: {"enabled": False} for name in ("mqtt", "snmp", "netprobe")},
    },
    "store": {"kind": "duckdb"},
    "rules": {"library": True},
}


def run(folder: Path, options: Options) -> list[Result]:
    cameras = int(os.environ.get("CAMERAS", "2000"))
    with camera_agent(cameras) as agent:
        rows = [
            f"c{n},camera,balige,{address(n)},rtsp://{address(n)}:{agent.port}/s,"
            f"http://{address(n)}:{agent.port},true"
            for n in range(1, cameras + 1)
        ]
        head = "id,kind,site,address,collect.camera.rtsp,collect.camera.web,collect.camera.onvif"
        (folder / "cameras.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
        hub = Hub(folder, SETTINGS, {"sites": [{"id": "balige", "name": "Balige"}]})
        hub.start()
        try:
            return [_measure(hub, agent, cameras)]
        finally:
            hub.stop()


def _measure(hub: Hub, agent: FleetAgent, cameras: int) -> Result:
    pids = {name: hub.child(name) for name in ("ingest", "serve")}
    assert all(pids.values()), hub.log()
    wait_for("all cameras to be asked", lambda: not sum(agent.report()["never"].values()), 300)
    say(f"  {cameras:,} cameras were asked everything once")
    time.sleep(PERIOD_S)
    agent.mark()
    used = {name: cpu_s([pid]) for name, pid in pids.items() if pid}
    began = time.monotonic()
    time.sleep(PERIOD_S * PERIODS)
    lasted = time.monotonic() - began
    cores = {name: (cpu_s([pid]) - used[name]) / lasted for name, pid in pids.items() if pid}
    report = agent.report()
    asked = sum(report["asked"].values())
    longest = max(report["longest_gap_s"].values())
    more: dict[str, object] = {
        "cameras": cameras,
        "cores": {name: round(share, 3) for name, share in cores.items()},
        "asked": asked,
        "expected": cameras * len(KINDS) * PERIODS,
        "missed_periods": sum(report["missed"].values()),
        "late_s": round(longest - PERIOD_S, 2),
        "mib": {name: round(rss_mib(pid)) for name, pid in pids.items() if pid},
        "dropped": hub.get("/api/v1/health")["drops"],
    }
    ingest_us = cores["ingest"] * lasted / asked * 1e6
    return Result("cameras", sum(cores.values()), "cores", cpu_us=ingest_us, more=more)


def camera_agent(cameras: int) -> AbstractContextManager[FleetAgent]:
    """So many cameras on loopback, until the block ends."""
    return started("tests.bench.camera_agent", cameras, PERIOD_S)
