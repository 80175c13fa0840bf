"""A fleet: 10 000 routers of 24 ports a minute, forwarded to DuckDB; processor, memory, lateness.

Routers are addresses of 127.1.0.0/16 behind one fast UDP stub, a process of its own, which also
keeps the truth: how long each router waited for its next traffic poll. All tiers run at the periods
that the hub comes with. The value is the share of one processor that the hub's two processes take
with the largest fleet; memory is measured at every size, and its growth is what a device costs.

    FLEET=100,200 FLEET_PERIODS=1 make bench B=fleet     # a small one; else 1000,5000,10000 and 2

Of each size the measured time begins a minute before five minutes of the clock are over, so rollups
of all ports are computed in it, and memory holds what they leave behind.

The hub's own rules run, too. Nothing of the stub's processor time is counted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.fleet_agent import PORT_BPS, address
from tests.bench.report import Options, Result, cpu_s, say
from tests.hub_support import Hub, wait_for

PORTS = 24
PERIOD_S = 60.0
BUCKET_S = 300.0
"""Rollups are computed when so much of the clock is over."""
BEFORE_S = 60.0
"""So long before that the measured time begins."""
LATE_S = 5.0
"""A poll that much later than its period is late; a period is missed when there was none in it."""
SIZES = "1000,5000,10000"


@dataclass
class Turn:
    """What one size of fleet gave."""

    devices: int
    cores: dict[str, float]
    """Share of one processor, by process."""
    rss_kib: dict[str, int]
    peak_kib: int
    """The most that each ever took, added."""
    agent: dict[str, Any]
    health: dict[str, Any] = field(default_factory=dict)
    files: int = 0
    """Open in the ingest process."""
    stored: dict[str, Any] = field(default_factory=dict)

    @property
    def memory_kib(self) -> int:
        return sum(self.rss_kib.values())

    @property
    def late_s(self) -> float:
        """By how much the longest wait of any router was longer than the period."""
        return max(0.0, float(self.agent["longest_gap_s"]) - PERIOD_S)


def run(folder: Path, options: Options) -> list[Result]:
    sizes = sorted(int(size) for size in os.environ.get("FLEET", SIZES).split(","))
    periods = int(os.environ.get("FLEET_PERIODS", "2"))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    say(f"  open files: this shell allows {limit:,}; the hub needs one UDP socket for all routers")
    turns = [_turn(folder / str(size), size, periods) for size in sizes]
    largest = turns[-1]
    more: dict[str, object] = {
        "devices": largest.devices,
        "ports": PORTS,
        "cores": {name: round(share, 3) for name, share in largest.cores.items()},
        "peak_mib": {turn.devices: round(turn.peak_kib / 1024) for turn in turns},
        "late_s": round(largest.late_s, 2),
        "missed_periods": largest.stored["missed"],
        "open_files": f"{largest.files} of {limit}",
        "mib": {turn.devices: round(turn.memory_kib / 1024) for turn in turns},
        "stored_rates": largest.stored["rows"],
        "worst_rate_off_pct": largest.stored["worst_rate_pct"],
        "dropped": largest.health["drops"],
    }
    return [
        Result("fleet", sum(largest.cores.values()), "cores", more=more),
        *(
            Result(
                "fleet memory",
                (b.memory_kib - a.memory_kib) / (b.devices - a.devices),
                "KiB/device",
                more={
                    "from": a.devices,
                    "to": b.devices,
                    **{
                        name: round((b.rss_kib[name] - a.rss_kib[name]) / (b.devices - a.devices))
                        for name in b.rss_kib
                    },
                },
            )
            for a, b in pairwise(turns)
        ),
    ]


def _turn(folder: Path, devices: int, periods: int) -> Turn:
    with fleet_agent(devices) as agent:
        settings = {
            "inventory": ["inventory.yaml", "routers.csv"],
            "collectors": {"snmp": {}},
            "store": {"kind": "duckdb"},
            "rules": {"library": True},
        }
        place = {"sites": [{"id": "balige", "name": "Balige"}]}
        folder.mkdir(parents=True)
        rows = [f"r{n},router,balige,{address(n)},{agent.port}" for n in range(1, devices + 1)]
        head = "id,kind,site,address,collect.snmp.port"
        (folder / "routers.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
        hub = Hub(folder, settings, place)
        hub.start()
        try:
            turn = _measure(hub, agent, devices, periods)
        finally:
            hub.stop()
    turn.stored = _stored(hub)
    say(
        f"  {devices:,} routers: {sum(turn.cores.values()):.2f} cores, "
        f"{turn.memory_kib / 1024:,.0f} MiB, worst poll {turn.late_s:.2f} s late, "
        f"{turn.stored['missed']} of {devices * periods:,} periods missed"
    )
    return turn


def _measure(hub: Hub, agent: FleetAgent, devices: int, periods: int) -> Turn:
    pids = {name: hub.child(name) for name in ("ingest", "serve")}
    assert all(pids.values()), hub.log()
    # First every router is looked at and asked twice, and its errors once.
    began = time.monotonic()
    wait_for("all routers to be asked", lambda: agent.report()["fewest_polls"] >= 2, 600)
    health_s = max(0.0, min(300.0, devices * 0.02) + 5 - (time.monotonic() - began))
    say(f"  {devices:,} routers are asked {time.monotonic() - began:.0f} s after the hub's start")
    time.sleep(health_s)
    bucket_s = -(time.time() + BEFORE_S) % BUCKET_S
    say(f"  … {bucket_s:.0f} s more, so that the measured time holds the making of rollups")
    time.sleep(bucket_s)
    agent.mark()
    used = {name: cpu_s([pid]) for name, pid in pids.items() if pid}
    began = time.monotonic()
    for second in range(round(periods * PERIOD_S)):
        time.sleep(max(0.0, began + second + 1 - time.monotonic()))
        if second % 30 == 29:
            say(f"  … {second + 1} s of {periods * PERIOD_S:.0f}")
    lasted = time.monotonic() - began
    report = agent.report()
    return Turn(
        devices,
        {name: (cpu_s([pid]) - used[name]) / lasted for name, pid in pids.items() if pid},
        {name: _kib(pid, "VmRSS") for name, pid in pids.items() if pid},
        sum(_kib(pid, "VmHWM") for pid in pids.values() if pid),
        report,
        hub.get("/api/v1/health"),
        len(list(Path(f"/proc/{pids['ingest']}/fd").iterdir())),
    )


def _stored(hub: Hub) -> dict[str, Any]:
    """What came out at the other end, from the first rate of each router on: rows, periods without
    one, and by how much the worst rate differs from what the port carried."""
    (table,) = hub.rows("SELECT table_name FROM hub_measurements WHERE measurement = 'interface'")[
        0
    ]
    column = dict(
        hub.rows("SELECT field, column_name FROM hub_fields WHERE measurement = 'interface'")
    )
    rates = (
        f'SELECT r.time, r.series, r."{column["in_bps"]}" AS bps,'
        " CAST(json_extract_string(s.tags, '$.ifname')[6:] AS INTEGER) AS port"
        f' FROM "{table}" r JOIN hub_series s ON s.id = r.series WHERE bps IS NOT NULL'
    )
    ((rows, worst),) = hub.rows(
        f"SELECT count(*), max(abs(bps / (port * {PORT_BPS}) - 1)) FROM ({rates})"
    )
    ((missed,),) = hub.rows(
        "SELECT coalesce(sum(greatest(round(gap) - 1, 0)), 0) FROM (SELECT (time - lag(time) OVER"
        f" (PARTITION BY series ORDER BY time)) / {PERIOD_S * 1e9} AS gap"
        f" FROM ({rates}) WHERE port = 1)"
    )
    return {"rows": rows, "missed": int(missed), "worst_rate_pct": round(worst * 100, 2)}


def _kib(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {what} of {pid}")


class FleetAgent:
    """The stub's process and the line to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = int(self._line())

    def mark(self) -> None:
        """Count from now on."""
        self._ask("mark")

    def report(self) -> dict[str, Any]:
        """What came since `mark`."""
        return self._ask("report")

    def _ask(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def fleet_agent(devices: int) -> AbstractContextManager[FleetAgent]:
    """So many routers on loopback, until the block ends."""
    return started("tests.bench.fleet_agent", devices, PORTS)


@contextmanager
def started(module: str, *numbers: float) -> Iterator[FleetAgent]:
    """A module that plays devices in a process of its own, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield FleetAgent(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
