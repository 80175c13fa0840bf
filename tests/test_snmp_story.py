"""Random lives of a device against an oracle that knows what really went over each port.

Polls come at any distance; between them the device reboots, its uptime wraps, counters of 32 bits
wrap, counters are cleared, indexes are dealt anew, ports go and come. Whatever happens, a rate is
right or absent, always under the right name, and present when nothing happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.snmp import catalogue
from collectors.snmp import oids as o
from collectors.snmp.client import Query, Reply
from collectors.snmp.codec import Absent, Value, VarBind
from collectors.snmp.config import SnmpSection
from collectors.snmp.device import Device
from collectors.snmp.oids import Oid, arcs, cell
from collectors.snmp.reader import Reader
from hub.api import Quality
from tests.collector_support import FakeHost, RecordingEmit

TICKS = 100
WRAP32, WRAP64 = 1 << 32, 1 << 64
MEGABIT = 1_000_000


@dataclass
class TruePort:
    """What really is; octets since the beginning of time, never reset."""

    name: str
    index: int
    wide: bool
    mbit: int
    load: int
    """Octets a second, both ways; at most line rate."""
    true: int = 0
    base: int = 0
    """What the counter showed when `true` was `origin`."""
    origin: int = 0
    cleared_at: int = 0
    """ifCounterDiscontinuityTime."""
    present: bool = True

    @property
    def counter(self) -> int:
        return (self.base + self.true - self.origin) % (WRAP64 if self.wide else WRAP32)

    def clear(self, ticks: int) -> None:
        self.base, self.origin, self.cleared_at = 0, self.true, ticks


@dataclass
class World:
    """The device, and the agent's four methods (`Session`)."""

    ports: list[TruePort]
    ticks: int
    """True uptime, not wrapped."""
    at_s: float = 1000.0
    reboots: int = 0
    clears: dict[str, int] = field(default_factory=dict)

    def run(self, seconds: float) -> None:
        ticks = round(seconds * TICKS)
        self.at_s += ticks / TICKS
        self.ticks += ticks
        for port in self.ports:
            port.true += port.load * ticks // TICKS

    def reboot(self, up_s: float, order: Sequence[int]) -> None:
        """Half a minute off, then up for that long; indexes are dealt anew."""
        self.at_s += 30.0
        self.ticks = 0
        self.reboots += 1
        for port in self.ports:
            port.clear(0)
        self.deal(order)
        self.run(up_s)

    def deal(self, order: Sequence[int]) -> None:
        indexes = sorted(port.index for port in self.ports)
        for port, place in zip(self.ports, order, strict=False):
            port.index = indexes[place % len(indexes)]
        taken: set[int] = set()
        for port in self.ports:
            while port.index in taken:
                port.index += 1
            taken.add(port.index)

    def values(self) -> dict[Oid, Value]:
        found: dict[Oid, Value] = {o.SYS_UPTIME: self.ticks % WRAP32}
        found[o.IF_NUMBER] = sum(port.present for port in self.ports)
        for port in self.ports:
            if not port.present:
                continue
            columns: dict[Oid, Value] = {
                o.IF_NAME: port.name.encode(),
                o.IF_DESCR: port.name.encode(),
                o.IF_TYPE: 6,
                o.IF_ADMIN_STATUS: 1,
                o.IF_OPER_STATUS: 1,
                o.IF_SPEED: min(port.mbit * MEGABIT, WRAP32 - 1),
                o.IF_HIGH_SPEED: port.mbit,
                o.IF_DISCONTINUITY: port.cleared_at % WRAP32,
            }
            if port.wide:
                columns |= {o.IF_HC_IN_OCTETS: port.counter, o.IF_HC_OUT_OCTETS: port.counter}
            else:
                columns |= {o.IF_IN_OCTETS: port.counter, o.IF_OUT_OCTETS: port.counter}
            found |= {cell(column, port.index): value for column, value in columns.items()}
        return found

    async def get(self, oids: Sequence[Oid]) -> Reply:
        values = self.values()
        rows: list[VarBind] = [(name, values.get(name, Absent.NO_SUCH_INSTANCE)) for name in oids]
        return Reply(0, 0, rows, 0.001)

    async def send(self, query: Query) -> Reply:
        return await self.get(query.oids)

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        values, beyond = self.values(), arcs(after)
        behind = sorted((key, name) for name in values if (key := arcs(name)) > beyond)
        rows: list[VarBind] = [(name, values[name]) for _, name in behind[:max_repetitions]]
        if len(rows) < max_repetitions:
            rows.append((rows[-1][0] if rows else after, Absent.END_OF_MIB_VIEW))
        return Reply(0, 0, rows, 0.001)

    def close(self) -> None:
        pass


@dataclass
class Seen:
    """What the oracle remembers of the last poll that read a port."""

    true: int
    counter: int
    ticks: int
    at_s: float
    reboots: int
    clears: int
    dealt: int


class Oracle:
    """Polls the device after each chapter and holds what comes out against the truth."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.host = FakeHost()
        self.device = Device(
            "r1",
            SnmpSection(),
            Reader(world, 40, 50),
            self.host,
            catalogue.read(),
        )
        self.seen: dict[str, Seen] = {}
        self.dealt = 0

    async def poll(self, *tiers: str) -> None:
        loop: Any = asyncio.get_running_loop()
        loop.time = lambda: self.world.at_s
        emit = RecordingEmit()
        try:
            for tier in tiers:
                await self.device.tiers[tier](emit)
        finally:
            del loop.time
        readings = {r.series.tag("ifname"): r for r in emit.readings if "in_octets" in r.fields}
        present = {port.name for port in self.world.ports if port.present}
        # A port that is new is found when the agent says so, and after a minute.
        assert present & self.seen.keys() <= readings.keys() <= present
        for port in self.world.ports:
            if port.name in readings:
                self.check(port, dict(readings[port.name].fields), readings[port.name].quality)
                before = self.seen.get(port.name)
                if before is not None and abs(self.world.ticks - before.ticks) < TICKS:
                    continue  # too soon: the next rate is over both intervals
                self.seen[port.name] = Seen(
                    port.true,
                    port.counter,
                    self.world.ticks,
                    self.world.at_s,
                    self.world.reboots,
                    self.world.clears.get(port.name, 0),
                    self.dealt,
                )
            else:
                self.seen.pop(port.name, None)

    def check(self, port: TruePort, fields: dict[str, Any], quality: int) -> None:
        """Right, or absent for a reason."""
        assert fields["in_octets"] == port.counter % (1 << 63), "another port's counter"
        before = self.seen.get(port.name)
        rate = fields.get("in_bps")
        if rate is not None:
            assert 0 <= rate <= 1.1 * port.mbit * MEGABIT
        if before is None:
            assert rate is None, "a first look has no rate"
            return
        seconds = (self.world.ticks - before.ticks) / TICKS
        if before.reboots != self.world.reboots:
            # Shortly before the 497 days are over nobody can tell a reboot from the wrap.
            wrapped_s = (self.world.ticks - before.ticks) % WRAP32 / TICKS
            elapsed_s = self.world.at_s - before.at_s
            alike = abs(wrapped_s - elapsed_s) <= elapsed_s * 0.1 + 5.0
            if before.ticks > self.world.ticks + 10 * TICKS and not alike:
                assert rate is None, "counters of two lives of the device"
            return
        if before.clears != self.world.clears.get(port.name, 0):
            assert rate is None, "ifCounterDiscontinuityTime changed"
            return
        if port.wide and port.counter < before.counter:
            assert rate is None, "64 bits don't wrap in a lifetime, so this was a reset"
            return
        octets = port.true - before.true
        if rate is None:
            calm = before.dealt == self.dealt and seconds >= 1
            assert not calm, "nothing happened, and there is no rate"
        elif port.wide or octets < WRAP32:
            # Rounded to whole octets and hundredths of a second.
            assert abs(rate - octets * 8 / seconds) <= 8 + 1e-6 * rate
        else:
            assert quality & Quality.RATE, "it may have wrapped more than once"


chapters = st.one_of(
    st.tuples(st.just("run"), st.floats(1, 300)),
    st.tuples(st.just("run"), st.floats(1, 86_400)),
    st.tuples(st.just("soon"), st.floats(0, 1)),
    st.tuples(st.just("reboot"), st.floats(0, 4000), st.permutations(range(4))),
    st.tuples(st.just("deal"), st.floats(1, 120), st.permutations(range(4))),
    st.tuples(st.just("clear"), st.floats(1, 300), st.integers(0, 3)),
    st.tuples(st.just("toggle"), st.floats(1, 300), st.integers(0, 3)),
)
ports = st.tuples(
    st.booleans(),
    st.sampled_from([10, 100, 1000, 10_000]),
    st.floats(0, 1),
    st.integers(0, WRAP64 - 1),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(ports, min_size=4, max_size=4),
    st.integers(0, 50_000_000) | st.integers(WRAP32 - 100_000, WRAP32 - 1),
    st.lists(chapters, min_size=1, max_size=10),
    st.booleans(),
)
@example(
    [(False, 10, 0.0, 0)] * 4,
    4_294_945_527,
    [("deal", 120.0, [1, 0, 2, 3]), ("reboot", 597.0, [1, 0, 2, 3])],
    False,
)
def test_a_rate_is_right_or_absent_and_under_the_right_name_whatever_happens(
    described: list[tuple[bool, int, float, int]],
    ticks: int,
    story: list[tuple[Any, ...]],
    with_liveness: bool,
) -> None:
    world = World([], ticks)
    for number, (wide, mbit, share, start) in enumerate(described):
        load = int(mbit * MEGABIT / 8 * share)
        base = start % (WRAP64 if wide else WRAP32)
        world.ports.append(TruePort(f"ether{number}", number + 1, wide, mbit, load, base=base))
    asyncio.run(live(world, story, ["liveness", "traffic"] if with_liveness else ["traffic"]))


async def live(world: World, story: list[tuple[Any, ...]], tiers: list[str]) -> None:
    oracle = Oracle(world)
    await oracle.poll(*tiers)
    for what, seconds, *more in story:
        if what == "reboot":
            world.reboot(seconds, more[0])
        else:
            world.run(seconds)
        if what == "deal":
            world.deal(more[0])
            oracle.dealt += 1
        elif what == "clear":
            port = world.ports[more[0]]
            port.clear(world.ticks)
            world.clears[port.name] = world.clears.get(port.name, 0) + 1
        elif what == "toggle":
            world.ports[more[0]].present = not world.ports[more[0]].present
            oracle.dealt += 1
        await oracle.poll(*tiers)
