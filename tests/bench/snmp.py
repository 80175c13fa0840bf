"""SNMP: processor time of a poll of one 48-port device, against Debian's snmp_exporter.

Both ask the same agent (a process of its own) for what `interface` needs: names, states, octets,
speed, errors and discards. Ours is the collector as the hub runs it, rates and readings included
(the traffic tier, and of the health tier what is about ports: the peer is not asked for processors
and sensors either); the peer's poll is one scrape. The value is milliseconds of processor time.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.bench.report import Options, Result, cpu_s, median, say
from tests.bench.snmp_spike import PORTS, StubProcess
from tests.hub_support import wait_for
from tests.mosquitto_support import free_port
from tests.snmp_support import polling

POLLS = 100
"""In one turn."""
HASTE = 2000.0
"""How much faster the agent's time runs than ours: between two polls of it some seconds pass, so
that rates are worked out as they are in the field."""
_IF_NAME = "1.3.6.1.2.1.31.1.1.1.1"
_COLUMNS = {
    "ifAdminStatus": ("1.3.6.1.2.1.2.2.1.7", "gauge"),
    "ifOperStatus": ("1.3.6.1.2.1.2.2.1.8", "gauge"),
    "ifInDiscards": ("1.3.6.1.2.1.2.2.1.13", "counter"),
    "ifInErrors": ("1.3.6.1.2.1.2.2.1.14", "counter"),
    "ifOutDiscards": ("1.3.6.1.2.1.2.2.1.19", "counter"),
    "ifOutErrors": ("1.3.6.1.2.1.2.2.1.20", "counter"),
    "ifHCInOctets": ("1.3.6.1.2.1.31.1.1.1.6", "counter"),
    "ifHCOutOctets": ("1.3.6.1.2.1.31.1.1.1.10", "counter"),
    "ifHighSpeed": ("1.3.6.1.2.1.31.1.1.1.15", "gauge"),
}


def run(folder: Path, options: Options) -> list[Result]:
    agent = StubProcess(HASTE)
    try:
        with snmp_exporter(folder) as (url, pid):
            return [asyncio.run(_measure(agent.port, url, pid, options))]
    finally:
        agent.close()


async def _measure(agent: int, url: str, pid: int, options: Options) -> Result:
    scrape = f"{url}/snmp?target=127.0.0.1:{agent}&module=ports"
    answer = await asyncio.to_thread(_get, scrape)
    assert answer.count("ifHCInOctets{") == PORTS, answer[:500]
    ours: list[float] = []
    theirs: list[float] = []
    async with polling(agent) as poller:
        found = await poller.ports("traffic", "health")
        assert len(found) == PORTS
        device = poller.collector.device("r1")
        assert device._table is not None
        for number in range(max(3, options.rounds)):
            used = time.process_time()
            for _ in range(POLLS):
                await poller.poll("traffic")
                await device._ports.faults(device._table, poller.emit)
                assert sum("in_bps" in r.fields for r in poller.emit.readings) >= PORTS - 1
                poller.emit.items.clear()
            ours.append((time.process_time() - used) / POLLS * 1e3)
            used = cpu_s([pid])
            for _ in range(POLLS):
                await asyncio.to_thread(_get, scrape)
            theirs.append((cpu_s([pid]) - used) / POLLS * 1e3)
            say(f"  round {number + 1}: ours {ours[-1]:.2f} ms, snmp_exporter {theirs[-1]:.2f} ms")
    return Result(
        "snmp",
        median(ours),
        "ms cpu/poll",
        cpu_us=median(ours) * 1e3,
        peer="snmp_exporter 0.21",
        peer_value=median(theirs),
        more={"ports": PORTS},
    )


@contextmanager
def snmp_exporter(folder: Path) -> Iterator[tuple[str, int]]:
    """Debian's exporter with a module of ours: its URL and process id."""
    assert shutil.which("prometheus-snmp-exporter"), (
        "prometheus-snmp-exporter is missing; as root: apt-get install prometheus-snmp-exporter"
    )
    index = {"labelname": "ifIndex", "type": "gauge"}
    name = {"labels": ["ifIndex"], "labelname": "ifName", "oid": _IF_NAME, "type": "DisplayString"}
    module = {
        "walk": [_IF_NAME, *(oid for oid, _ in _COLUMNS.values())],
        "get": ["1.3.6.1.2.1.1.3.0"],
        "metrics": [
            {"name": "sysUpTime", "oid": "1.3.6.1.2.1.1.3", "type": "gauge", "help": "uptime"},
            *(
                {"name": metric, "oid": oid, "type": kind, "help": metric, "indexes": [index],
                 "lookups": [name]}
                for metric, (oid, kind) in _COLUMNS.items()
            ),
        ],
        "version": 2,
        "max_repetitions": 25,
        "auth": {"community": "public"},
    }  # fmt: skip
    config = folder / "snmp.yml"
    config.write_text(yaml.safe_dump({"ports": module}), encoding="utf-8")
    port = free_port()
    with (folder / "exporter.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus-snmp-exporter", f"--config.file={config}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for("snmp_exporter to answer", lambda: _answers(url))
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _answers(url: str) -> bool:
    try:
        return bool(_get(url))
    except OSError:
        return False


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())
