"""Random stories of one router against an oracle: what is said of a port is right, or not said."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.snmp import catalogue, codec
from collectors.snmp import oids as o
from collectors.snmp.client import Query, Reply
from collectors.snmp.codec import Absent
from collectors.snmp.config import SnmpSection
from collectors.snmp.device import Device
from collectors.snmp.oids import Oid, cell
from collectors.snmp.rates import TICKS, UPTIME_MODULUS
from collectors.snmp.reader import Reader
from firmware_stubs.snmp_agent import answer
from firmware_stubs.snmp_model import Port, Router
from hub.api import Reading
from tests.collector_support import FakeHost, RecordingEmit
from tests.virtual_time import VirtualLoop, run

CATALOGUE = catalogue.read()
WRAP_S = UPTIME_MODULUS / TICKS
PORTS = 6
NARROW = frozenset({"ether1", "ether2"})
"""Ports of 100 Mbit/s whose octets have 32 bits only."""


class MibSession:
    """`Session` straight into the agent, without a network between."""

    def __init__(self, router: Router) -> None:
        self.router = router

    async def get(self, oids: Sequence[Oid]) -> Reply:
        return self._ask(codec.request(codec.GET, b"public", oids))

    async def send(self, query: Query) -> Reply:
        return await self.get(query.oids)

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        asked = codec.request(codec.GET_BULK, b"public", [after], max_repetitions=max_repetitions)
        return self._ask(asked)

    def close(self) -> None:
        pass

    def _ask(self, asked: codec.Request) -> Reply:
        message = codec.decode(answer(self.router.mib, codec.decode(asked.datagram(1 << 24))))
        lacking = {
            cell(column, index)
            for index, port in enumerate(self.router.ports, 1)
            if port.name in NARROW
            for column in (o.IF_HC_IN_OCTETS, o.IF_HC_OUT_OCTETS)
        }
        rows = [
            (name, Absent.NO_SUCH_INSTANCE if name in lacking else value)
            for name, value in message.varbinds
        ]
        return Reply(message.error_status, message.error_index, rows, 0.001)


class Step(NamedTuple):
    what: Literal["pass", "gap", "reboot", "clear", "reshuffle"]
    seconds: int
    share: float
    """Of its speed that each port carries."""
    seed: int


class Story:
    """One router, the collector's state of it, and the truth."""

    def __init__(self, uptime_s: float, octets: int) -> None:
        ports = [
            Port(
                f"ether{n}",
                speed_bps=100_000_000 if f"ether{n}" in NARROW else 1_000_000_000,
                in_octets=float(octets),
                out_octets=float(octets),
            )
            for n in range(1, PORTS + 1)
        ]
        self.router = Router("r1", ports, now_s=1e9, booted_s=1e9 - uptime_s)
        self.emit = RecordingEmit()
        self.session = MibSession(self.router)
        reader = Reader(self.session, 40, 50)
        self.device = Device("r1", SnmpSection(), reader, FakeHost(), CATALOGUE)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.clock = loop.clock

    def let(self, seconds: float) -> None:
        """Time passes, for the router and for us."""
        self.router.advance(self.router.now_s + seconds)
        self.clock.now += seconds

    def live(self, step: Step) -> None:
        """What the step says happens."""
        for port in self.router.ports:
            port.forced_bps = port.speed_bps * step.share
        if step.what == "reshuffle":
            self.router.ports = random.Random(step.seed).sample(self.router.ports, PORTS)
            self.router.__post_init__()
        self.let(step.seconds / 2)
        if step.what == "reboot":
            self.router.reboot()
        elif step.what == "clear":
            for port in self.router.ports:
                port.in_octets = port.out_octets = 0.0
        self.let(step.seconds / 2)

    async def poll(self) -> dict[str, Reading]:
        before = len(self.emit.items)
        await self.device.traffic(self.emit)
        found = [item for item in self.emit.items[before:] if isinstance(item, Reading)]
        return {
            reading.series.tag("ifname"): reading
            for reading in found
            if reading.series.measurement == "interface" and "in_octets" in reading.fields
        }

    def judge(self, step: Step, readings: dict[str, Reading], *, baseline: bool) -> None:
        """Against the truth; `baseline`: nothing happened in the step before."""
        assert set(readings) == {f"ether{n}" for n in range(1, PORTS + 1)}, "a port is missing"
        for port in self.router.ports:
            reading = readings[port.name]
            rate = reading.fields.get("in_bps")
            if rate is not None:
                assert 0 <= rate <= 1.1 * port.speed_bps
            if step.what in ("pass", "gap", "reshuffle") and not reading.quality:
                # A 32-bit counter that may have wrapped twice is flagged, and not judged here.
                assert rate in (None, pytest.approx(port.speed_bps * step.share, rel=1e-3, abs=16))
                if step.what != "reshuffle" and baseline:
                    assert rate is not None, f"no rate of {port.name} though nothing happened"


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(["pass", "pass", "gap", "reboot", "clear", "reshuffle"]),
        st.integers(20, 900),
        st.floats(0, 0.9),
        st.integers(0, 1000),
    ).map(lambda s: s._replace(seconds=s.seconds * 200) if s.what == "gap" else s),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(steps, st.one_of(st.floats(10, 1e6), st.floats(WRAP_S - 5000, WRAP_S - 1)),
       st.integers(0, (1 << 33)))  # fmt: skip
def test_what_is_said_of_a_port_is_right_or_not_said(
    story: list[Step], uptime_s: float, octets: int
) -> None:
    async def tell() -> None:
        told = Story(uptime_s, octets)
        await told.poll()
        baseline = True
        for step in story:
            told.live(step)
            told.judge(step, await told.poll(), baseline=baseline)
            baseline = step.what in ("pass", "gap")

    run(tell())


@pytest.mark.parametrize("what", ["reboot", "clear", "reshuffle"])
def test_after_an_interval_that_was_dropped_the_next_one_counts_again(what: str) -> None:
    async def tell() -> None:
        told = Story(1e6, 1 << 40)
        await told.poll()
        told.live(Step(what, 60, 0.5, 3))  # type: ignore[arg-type]
        first = await told.poll()
        told.live(Step("pass", 60, 0.25, 0))
        then = await told.poll()
        if what != "reshuffle":
            assert not any("in_bps" in reading.fields for name, reading in first.items()
                           if name not in NARROW)  # fmt: skip
        for port in told.router.ports:
            assert then[port.name].fields["in_bps"] == pytest.approx(port.speed_bps / 4, rel=1e-3)

    run(tell())


@pytest.mark.parametrize("names", [2, 3, 5])
def test_rates_are_exact_though_no_row_fits_a_request_and_each_takes_its_time(names: int) -> None:
    """Counters that come in several PDUs are each divided by the uptime of their own."""
    delays = random.Random(names)

    async def tell() -> None:
        told = Story(1e6, 1 << 40)
        session = told.session

        async def slowly(query: Query) -> Reply:
            told.let(delays.uniform(0.05, 3.0))
            if len(query.oids) > names:
                return Reply(codec.TOO_BIG, 0, [], 0.001)
            return await session.get(query.oids)

        session.send = slowly  # type: ignore[method-assign]
        step = Step("pass", 60, 0.25, 0)
        told.live(step)
        await told.poll()
        for _ in range(3):
            told.live(step)
            told.judge(step, await told.poll(), baseline=True)

    run(tell())
