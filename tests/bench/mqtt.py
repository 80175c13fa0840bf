"""MQTT QoS 1 into the journal, through five rules and on to DuckDB; against mosquitto_sub.

2 000 series, three-field JSON; each message meets five rules, one of them a window, and 1 % cross.
The publisher goes as fast as the slowest part of the hub lets it, so no backlog grows. The value is
the messages a second by which the slowest of acknowledging, folding and storing came forward.
The peer keeps nothing: `mosquitto_sub -q 1` with a session of its own on the same broker.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.bench.loaded import Loaded, loaded_hub
from tests.bench.publisher import Publisher
from tests.bench.report import Options, Result, cpu_s, median, say
from tests.hub_support import wait_for
from tests.mosquitto_support import Mosquitto

WARM_S = 3.0
AHEAD = 20_000
"""Messages that the publisher may be ahead of what its consumer has taken."""
QUIET = "log_type none\n"
"""Or the broker writes a line for each packet."""


class Round(NamedTuple):
    """What one turn gave."""

    rate: float
    cpu_us: dict[str, float]
    """Processor time per message, by process."""
    backlog: int = 0
    """By how much the slowest reader fell behind while measured, records."""


def run(folder: Path, options: Options) -> list[Result]:
    broker = Mosquitto(folder / "broker", QUIET)
    broker.start()
    ours: list[Round] = []
    theirs: list[Round] = []
    try:
        with (
            loaded_hub(folder / "hub", broker) as hub,
            mosquitto_sub(folder, broker.port) as (taken, pid),
        ):
            to_hub = Publisher(broker.port, "toba")
            to_peer = Publisher(broker.port, "peer")
            for number in range(options.rounds):
                ours.append(round_of_hub(hub, to_hub, options.seconds))
                say(f"  round {number + 1}, hub: {_text(ours[-1])}")
                theirs.append(round_of_peer(taken, pid, to_peer, options.seconds))
                say(f"  round {number + 1}, mosquitto_sub: {_text(theirs[-1])}")
            refused = hub.hub.get("/api/v1/health")["drops"]
            to_hub.close()
            to_peer.close()
    finally:
        broker.stop()
    cpu = {name: median(r.cpu_us[name] for r in ours) for name in ours[0].cpu_us}
    return [
        Result(
            "mqtt",
            median(r.rate for r in ours),
            "msg/s",
            cpu_us=median(sum(r.cpu_us.values()) for r in ours),
            peer="mosquitto_sub -q 1",
            peer_value=median(r.rate for r in theirs),
            more={
                "cpu_us_ingest": round(cpu["ingest"], 1),
                "cpu_us_serve": round(cpu["serve"], 1),
                "peer_cpu_us": round(median(r.cpu_us["mosquitto_sub"] for r in theirs), 1),
                "backlog_growth": max(r.backlog for r in ours),
                "drops": refused,
                "rates": [round(r.rate) for r in ours],
            },
        )
    ]


def round_of_hub(hub: Loaded, publisher: Publisher, seconds: float) -> Round:
    base = hub.durable() - publisher.sent

    def may_send(sent: int) -> bool:
        return sent - (hub.durable() - base) < AHEAD and hub.keeps_up()

    publisher.pump(WARM_S, may_send)
    cpu, before, began = hub.cpu(), hub.progress(), time.monotonic()
    publisher.pump(seconds, may_send)
    after, lasted, used = hub.progress(), time.monotonic() - began, hub.cpu()
    came = {part: after[part] - before[part] for part in after}
    done = {"ingest": came["durable"], "serve": min(came.values())}
    publisher.drain()
    hub.settle()
    return Round(
        min(came.values()) / lasted,
        {name: (used[name] - cpu[name]) / done[name] * 1e6 for name in used},
        came["durable"] - min(came.values()),
    )


def round_of_peer(
    taken: Callable[[], int], pid: int, publisher: Publisher, seconds: float
) -> Round:
    base = taken() - publisher.sent

    def may_send(sent: int) -> bool:
        return sent - (taken() - base) < AHEAD

    publisher.pump(WARM_S, may_send)
    cpu, before, began = cpu_s([pid]), taken(), time.monotonic()
    publisher.pump(seconds, may_send)
    came, lasted, used = taken() - before, time.monotonic() - began, cpu_s([pid]) - cpu
    publisher.drain()
    return Round(came / lasted, {"mosquitto_sub": used / came * 1e6})


@contextmanager
def mosquitto_sub(folder: Path, port: int) -> Iterator[tuple[Callable[[], int], int]]:
    """A running subscriber: how many messages it took so far, and its process id.

    It writes one letter and a line end for each into a file, whose size says how many.
    """
    out = folder / "taken"
    with out.open("wb") as file:
        process = subprocess.Popen(
            ["mosquitto_sub", "-p", str(port), "-q", "1", "-c", "-i", "peer", "-F", "x",
             "-t", "peer/v1/+/+/+/telemetry"],
            stdout=file,
        )  # fmt: skip
    probe = Publisher(port, "peer")

    def heard() -> bool:
        probe.send()
        return out.stat().st_size > 0

    try:
        wait_for("mosquitto_sub to hear something", heard)
        probe.drain()
        probe.close()
        yield lambda: out.stat().st_size // 2, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _text(found: Round) -> str:
    cpu = ", ".join(f"{name} {value:.1f} µs" for name, value in found.cpu_us.items())
    return f"{found.rate:,.0f} msg/s; {cpu}; backlog {found.backlog:+d}"
