"""A thousand devices under the real runner and the real collector, some of them dead or mad.

The network is a fake of the session's four methods, so that minutes pass in virtual time; what real
datagrams do to the real sessions is in test_snmp_misbehaving.py.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from collectors.snmp import codec
from collectors.snmp.client import NoAnswer, Query, Reply
from collectors.snmp.collector import SnmpCollector
from collectors.snmp.config import SnmpConfig, SnmpSection
from collectors.snmp.oids import Oid
from firmware_stubs.snmp_agent import answer
from firmware_stubs.snmp_model import office_router
from hub import registry
from hub.api import Emit, Target
from hub.health import Health
from hub.host import TargetHost
from hub.redelivery import Window
from hub.running import Runner
from tests.collector_support import MemoryLog
from tests.virtual_time import keep_schedules_by_it, monotonic, run

DEVICES, DEAD, MAD = 1000, 100, 50
ROUTER = office_router("r", ports=2)
ROUND_TRIP_S = 0.004
_ANSWERS: dict[bytes, Reply] = {}


class Session:
    """A router that answers."""

    address = ("10.0.0.1", 161)

    async def get(self, oids: Sequence[Oid]) -> Reply:
        return await self._ask(codec.pdu_request(codec.GET, oids))

    async def send(self, query: Query) -> Reply:
        return await self._ask(query.pdu)

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        return await self._ask(codec.pdu_request(codec.GET_BULK, [after], 0, max_repetitions))

    def close(self) -> None:
        pass

    def move(self, *where: object) -> None:
        pass

    async def _ask(self, pdu: codec.Request) -> Reply:
        await asyncio.sleep(ROUND_TRIP_S)
        key = pdu.head + pdu.tail
        if key not in _ANSWERS:
            asked = codec.wrapped(codec.wrapper(codec.V2C, b"public"), pdu).datagram(1 << 24)
            message = codec.decode(answer(ROUTER.mib, codec.decode(asked)))
            _ANSWERS[key] = Reply(message.error_status, 0, message.varbinds, ROUND_TRIP_S)
        return _ANSWERS[key]


class Dead(Session):
    """Three sendings of two seconds, and nothing."""

    async def _ask(self, pdu: codec.Request) -> Reply:
        await asyncio.sleep(6.4)
        raise NoAnswer("no answer to 3 requests")


class Mad(Session):
    """Answers, each in its own way, what can't be used."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def _ask(self, pdu: codec.Request) -> Reply:
        reply = await super()._ask(pdu)
        return [
            reply._replace(varbinds=[]),
            reply._replace(varbinds=reply.varbinds[:1]),
            reply._replace(error_status=codec.GEN_ERR, error_index=1),
            reply._replace(error_status=codec.TOO_BIG, varbinds=[]),
            reply._replace(varbinds=[(b"\x2b\x06\x01", b"\xff")] * len(reply.varbinds)),
        ][self._number % 5]


class Watched(SnmpCollector):
    """Notes when each device was polled; sessions are the fakes above."""

    def __init__(self, config: SnmpConfig, host: TargetHost) -> None:
        super().__init__(config, host)
        self.asked: defaultdict[tuple[str, str], list[float]] = defaultdict(list)

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        self.asked[target.id, tier].append(monotonic())
        await super().poll(target, tier, emit)

    async def _session(self, target: Target, section: SnmpSection) -> Any:
        number = int(target.id[1:])
        if number < DEAD:
            return Dead()
        return Mad(number) if number < DEAD + MAD else Session()

    async def _resolve(self, target: Target, port: int) -> Any:
        return socket.AF_INET, (target.address, port)


@pytest.fixture(autouse=True)
def virtual(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_schedules_by_it(monkeypatch)


def test_of_a_thousand_devices_a_hundred_dead_and_fifty_mad_delay_nobody_and_are_named() -> None:
    async def story() -> tuple[Watched, Runner, MemoryLog, Health]:
        log, health, own = MemoryLog(), Health(), None
        targets = [Target(f"r{n}", "router", "10.0.0.1", {}) for n in range(DEVICES)]
        host = TargetHost(log, Window(), health, "snmp", lambda: 0, targets, own, own)  # type: ignore[arg-type]
        collector = Watched(SnmpConfig(), host)
        pipeline: Any = type("P", (), {"emit": staticmethod(lambda *items, **more: None)})
        runner = Runner(registry.find()["snmp"], collector, host, pipeline)
        task = asyncio.create_task(runner.run())
        await asyncio.sleep(331)
        down = set(runner.down())
        task.cancel()
        await asyncio.wait({task})
        assert down >= {f"r{n}" for n in range(DEAD)}
        assert down <= {f"r{n}" for n in range(DEAD + MAD)}
        return collector, runner, log, health

    collector, _, log, health = run(story())
    for number in range(DEAD + MAD, DEVICES):
        for tier, period in (("liveness", 30), ("traffic", 60), ("health", 300)):
            times = collector.asked[f"r{number}", tier]
            gaps = {round(b - a, 3) for a, b in itertools.pairwise(times)}
            assert gaps == {period}, f"r{number} {tier} was polled at {times}"
    named = {values["device"] for _, event, values in log.lines if event == "does not answer"}
    assert named >= {f"r{n}" for n in range(DEAD)}
    for number in range(DEAD):
        assert len(collector.asked[f"r{number}", "liveness"]) >= 10, "the cheap probe goes on"
        others = sum(len(collector.asked[f"r{number}", t]) for t in ("traffic", "health"))
        assert others <= 3, "the dear questions wait until it answers"
    assert health.by("collector_crashes", "collector") == {}
