"""Loss, round trip and jitter over a line whose faults are known: a bridge of our own, since these
kernels have no netem. What the hub says is held against what the bridge truly did."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest

from collectors.netprobe.collector import NetprobeCollector
from collectors.netprobe.config import NetprobeConfig
from hub.api import Target
from tests.collector_support import FakeHost, RecordingEmit
from tests.lan_support import run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")

TARGETS = 20
PROBES = 20


@dataclass
class Line:
    """This machine at one end, a host with many addresses at the other, the bridge between."""

    prefix: str
    process: subprocess.Popen[str]

    def at(self, number: int) -> str:
        return f"{self.prefix}.{number + 10}"

    def truth(self) -> dict[str, list[float | None]]:
        """By address: what it held each probe back, milliseconds, in their order; None: dropped."""
        said, _ = self.process.communicate(timeout=10)
        found: dict[str, list[float | None]] = {}
        for target, _, held in sorted(json.loads(said), key=lambda one: one[1]):
            found.setdefault(target, []).append(held)
        return found


@contextmanager
def line(*faults: str) -> Iterator[Line]:
    pid = os.getpid()
    here, middle, far = f"tpd{pid}", f"tpm{pid}", f"tpf{pid}"
    prefix = f"10.84.{pid % 250 + 1}"
    process = None
    try:
        run(f"ip netns add {middle}")
        run(f"ip netns add {far}")
        run(f"ip link add {here} type veth peer name left netns {middle}")
        run(f"ip -n {middle} link add right type veth peer name eth0 netns {far}")
        run(f"ip addr add {prefix}.1/24 dev {here}")
        for number in range(TARGETS):
            run(f"ip -n {far} addr add {prefix}.{number + 10}/24 dev eth0")
        for command in (f"link set {here}", f"-n {middle} link set left"):
            run(f"ip {command} up")
        for command in (f"-n {middle} link set right", f"-n {far} link set eth0"):
            run(f"ip {command} up")
        words = ["ip", "netns", "exec", middle, sys.executable, "-m", "tests.lossy_bridge"]
        process = subprocess.Popen(
            [*words, "left", "right", *faults],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Line(prefix, process)
    finally:
        if process is not None:
            process.kill()
            process.communicate()
        for name in (middle, far):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


async def measured(made: Line) -> dict[str, dict[str, float]]:
    """What the hub says of each address, `PROBES` probes each."""
    targets = [Target(made.at(n), "router", made.at(n), {}) for n in range(TARGETS)]
    host, emit = FakeHost(targets), RecordingEmit()
    config = NetprobeConfig(count=PROBES, gap_s=0.03, timeout_s=1.0)
    collector = NetprobeCollector(config, host)
    await collector.start()
    try:
        await asyncio.gather(*(collector.poll(target, "ping", emit) for target in targets))
    finally:
        await collector.stop()
    return {r.series.device: {k: float(v) for k, v in r.fields.items()} for r in emit.readings}


async def test_loss_round_trip_and_jitter_are_those_of_the_line() -> None:
    with line("--delay-ms=40", "--jitter-ms=20", "--loss=0.1", "--seed=7") as made:
        said = await measured(made)
        truth = made.truth()
    assert len(said) == len(truth) == TARGETS
    lost = sum(held is None for probes in truth.values() for held in probes)
    assert sum(map(len, truth.values())) == TARGETS * PROBES
    assert 50 < lost < 110  # the seed's own; 19 % of 400 are 76
    # Each probe that was dropped, and no other, is lost.
    assert {address: one["loss_pct"] for address, one in said.items()} == {
        address: 100 * sum(held is None for held in probes) / PROBES
        for address, probes in truth.items()
    }
    steps = []
    for address, probes in truth.items():
        trips = [held for held in probes if held is not None]
        assert said[address]["rtt_ms"] == pytest.approx(statistics.median(trips), rel=0.05)
        steps.append(statistics.fmean(abs(b - a) for a, b in pairwise(trips)))
    jitter = statistics.fmean(one["jitter_ms"] for one in said.values())
    assert jitter == pytest.approx(statistics.fmean(steps), rel=0.05)
