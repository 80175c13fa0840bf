"""A thousand routers, of which a hundred are silent and fifty answer garbage: who waits for whom?

The hub's runner and the collector are the real ones; the network is a queue, so that six minutes
pass in seconds of virtual time, and every poll's time is exact.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import deque
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from collectors.snmp import client, collector
from collectors.snmp.client import Address
from hub.api import Target
from hub.health import Health
from hub.host import TargetHost
from hub.redelivery import Window
from hub.registry import find
from hub.running import Runner
from tests.bench import fleet_agent
from tests.bench.fleet_agent import Fleet
from tests.collector_support import MemoryLog
from tests.virtual_time import keep_schedules_by_it, monotonic, run

DEVICES, SILENT, GARBAGE = 1000, 100, 50
GOOD = DEVICES - SILENT - GARBAGE
PERIOD_S = 60.0
SECONDS = 360.0
ANSWER_S = 0.03


class Network:
    """A socket to a thousand agents. The last ones of them misbehave."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._queue: deque[tuple[bytes, Address]] = deque()
        self._dice = random.Random(1)
        # Something that the event loop can watch; nothing ever comes there.
        self._here, self._there = socket.socketpair()
        self.readable: Any = None

    def fileno(self) -> int:
        return self._here.fileno()

    def close(self) -> None:
        self._here.close()
        self._there.close()

    def sendto(self, data: bytes, address: Address) -> None:
        number = int(address[0].removeprefix("agent-"))
        if number > GOOD + GARBAGE:
            return
        if number > GOOD:
            reply = self._dice.randbytes(self._dice.randrange(200))
        else:
            reply = bytes(self._fleet.reply(data, number) or b"")
        asyncio.get_running_loop().call_later(ANSWER_S, self._arrive, reply, address)

    def _arrive(self, reply: bytes, address: Address) -> None:
        self._queue.append((reply, address))
        self.readable()

    def recvfrom(self, size: int) -> tuple[bytes, Address]:
        if not self._queue:
            raise BlockingIOError
        return self._queue.popleft()


class Watched(Fleet):
    """Remembers when each router was asked for its traffic."""

    def __init__(self) -> None:
        super().__init__(DEVICES, 4)
        self.times: dict[int, list[float]] = {number: [] for number in range(1, GOOD + 1)}

    def _note(self, number: int, now: float) -> None:
        super()._note(number, now)
        self.times[number].append(now)


async def six_minutes(monkeypatch: pytest.MonkeyPatch) -> tuple[Watched, Health, list[str]]:
    """What the agents saw, what the hub counted, and which devices it calls down."""
    fleet = Watched()
    network = Network(fleet)

    async def opened(family: int = 0, count: Any = None) -> client.Endpoint:
        endpoint = client.Endpoint(network, count)  # type: ignore[arg-type]
        network.readable = endpoint._readable
        return endpoint

    async def resolved(host: str, port: int) -> tuple[int, Address]:
        return socket.AF_INET, (host, port)

    monkeypatch.setattr(client.Endpoint, "open", opened)
    monkeypatch.setattr(collector, "resolve", resolved)
    targets = [
        Target(f"r{number}", "router", f"agent-{number}", {}) for number in range(1, DEVICES + 1)
    ]
    health, plugins = Health(), find()
    plugin = plugins["snmp"]
    own: Any = None
    host = TargetHost(MemoryLog(), Window(), health, "snmp", lambda: 0, targets, own, own)
    polling = plugin.collector(plugin.configure({}, plugin.folder), host)
    pipeline: Any = type("P", (), {"emit": staticmethod(lambda *items, **more: None)})
    runner = Runner(plugin, polling, host, pipeline)
    task = asyncio.create_task(runner.run())
    await asyncio.sleep(SECONDS)
    down = runner.down()
    task.cancel()
    await asyncio.wait({task})
    return fleet, health, down


def test_the_others_periods_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_schedules_by_it(monkeypatch)
    monkeypatch.setattr(fleet_agent, "time", SimpleNamespace(monotonic=monotonic))
    fleet, health, down = run(six_minutes(monkeypatch))
    for number, times in fleet.times.items():
        # The first poll looks for ports; every later one stands exactly in its period.
        assert len(times) >= SECONDS // PERIOD_S - 1, f"r{number} was polled {len(times)} times"
        late = max(b - a for a, b in pairwise(times)) - PERIOD_S
        assert late < 1.0, f"r{number} was polled {late:.2f} s late"
    assert set(down) == {f"r{number}" for number in range(GOOD + 1, DEVICES + 1)}
    counted = {name: number for name, labels, number, _ in health.lines()}
    assert counted["collector_ignored_malformed"] > 0
    assert "collector_crashes" not in counted
