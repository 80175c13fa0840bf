"""5 000 ICMP targets every 10 s, three probes each, beside fping, which stores and judges nothing.

Targets are addresses of 127.3.0.0/16, which the kernel answers. The value is the share of one
processor that the hub takes: both processes, rules and DuckDB on, and the probe helper. The peer is
fping asked for the same three probes to the same addresses, once each period while the hub rests.
How often each target was asked is counted in the store afterwards.

    TARGETS=500 make bench B=icmp        # fewer
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.bench.report import Options, Result, cpu_s, median, rss_mib, say
from tests.hub_support import Hub, wait_for

PERIOD_S = 10.0
PERIODS = 6
COUNT = 3
GAP_S = 0.2
NS = 1_000_000_000
SETTINGS: dict[str, Any] = {
    "inventory": ["inventory.yaml", "targets.csv"],
    "collectors": {
        "netprobe": {"count": COUNT, "gap_s": GAP_S, "tiers": {"ping": {"period_s": PERIOD_S}}},
        **{name: {"enabled": False} for name in ("mqtt", "snmp", "camera")},
    },
    "store": {"kind": "duckdb"},
    "rules": {"library": True},
}


def address(number: int) -> str:
    return f"127.3.{number // 250}.{number % 250 + 1}"


def run(folder: Path, options: Options) -> list[Result]:
    targets = int(os.environ.get("TARGETS", "5000"))
    rows = [f"t{n},router,balige,{address(n)},x" for n in range(targets)]
    head = "id,kind,site,address,collect.netprobe"
    (folder / "targets.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    hub = Hub(folder, SETTINGS, {"sites": [{"id": "balige", "name": "Balige"}]})
    hub.start()
    try:
        ours, began_ns, ended_ns = _measure(hub, targets)
        time.sleep(PERIOD_S / 2)  # the last of them reach the store
    finally:
        hub.stop()
    ours |= _asked(hub, targets, began_ns, ended_ns)
    peer = median(_fping(folder, targets) for _ in range(options.rounds)) / PERIOD_S
    return [
        Result(
            "icmp",
            sum(ours["cores"].values()),
            "cores",
            cpu_us=sum(ours["cores"].values()) * PERIOD_S / targets * 1e6,
            peer="fping",
            peer_value=peer,
            more=ours,
        )
    ]


def _measure(hub: Hub, targets: int) -> tuple[dict[str, Any], int, int]:
    processes = {name: hub.child(name) for name in ("ingest", "serve")}
    assert all(processes.values()), hub.log()
    processes["helper"] = wait_for("the helper", lambda: _helper(processes["ingest"]))
    wait_for("all targets to be asked", lambda: _up(hub) >= targets, 120)
    say(f"  {targets:,} targets answered once")
    pids = {name: pid for name, pid in processes.items() if pid}
    used = {name: cpu_s([pid]) for name, pid in pids.items()}
    began, began_ns = time.monotonic(), time.time_ns()
    time.sleep(PERIOD_S * PERIODS)
    lasted, ended_ns = time.monotonic() - began, time.time_ns()
    cores = {name: round((cpu_s([pid]) - used[name]) / lasted, 3) for name, pid in pids.items()}
    more = {
        "targets": targets,
        "cores": cores,
        "mib": {name: round(rss_mib(pid)) for name, pid in pids.items()},
        "dropped": hub.get("/api/v1/health")["drops"],
    }
    return more, began_ns, ended_ns


def _helper(ingest: int | None) -> int | None:
    for path in Path(f"/proc/{ingest}/task").glob("*/children"):
        for pid in path.read_text().split():
            return int(pid)
    return None


def _up(hub: Hub) -> int:
    polls: int = hub.get("/api/v1/health")["collectors"]["netprobe"]["readings"]
    return polls


def _asked(hub: Hub, targets: int, began_ns: int, ended_ns: int) -> dict[str, Any]:
    """What the store says of the measured time: lost probes, and the longest wait of any target."""
    sql = f"""
        with told as (
            select series, time as at_ns, loss_pct, rtt_ms, jitter_ms,
                   time - lag(time) over (partition by series order by time) gap
            from device)
        select count(*), count(distinct series), avg(loss_pct), median(rtt_ms), median(jitter_ms),
               max(gap), count(*) filter (gap >= {2 * PERIOD_S * NS:.0f})
        from told where at_ns between {began_ns} and {ended_ns}"""
    ((rows, asked, loss, rtt, jitter, gap, missed),) = hub.rows(sql)
    return {
        "polls": rows,
        "expected": round(targets * (ended_ns - began_ns) / NS / PERIOD_S),
        "never": targets - asked,
        "missed_periods": missed,
        "late_s": round(gap / NS - PERIOD_S, 2),
        "loss_pct": round(loss, 4),
        "rtt_ms": round(rtt, 3),
        "jitter_ms": round(jitter, 3),
    }


def _fping(folder: Path, targets: int) -> float:
    """Processor seconds that fping takes to ask all once."""
    program = shutil.which("fping")
    assert program, "fping is missing: sh tests/servers.sh"
    addresses = folder / "addresses.txt"
    addresses.write_text("\n".join(map(address, range(targets))), encoding="utf-8")
    words = ["-C", str(COUNT), "-p", f"{GAP_S * 1000:.0f}", "-i", "1", "-q", "-f", str(addresses)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([program, *words], check=False, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    answered = sum(" - " not in line for line in done.stderr.splitlines())
    assert answered >= targets * 0.99, done.stderr[-1000:]
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
