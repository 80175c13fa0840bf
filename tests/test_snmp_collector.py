"""The collector against the agent stub over real UDP, well-behaved and not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from collectors.snmp.collector import SnmpCollector
from collectors.snmp.config import SnmpSection
from firmware_stubs.router import RouterStub
from hub import manifest
from hub.api import NeverWorks, Quality, TryAgain
from tests.snmp_support import Poller, listening, polling

QUICK = {"timeout_s": 0.15, "retries": 1}
MANIFEST = Path(__file__).parents[1] / "collectors" / "snmp" / "manifest.toml"


class Clock:
    """The stub's time: minutes pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """One stub, one poller, and a hand on both clocks."""

    def __init__(self, stub: RouterStub, poller: Poller, clock: Clock) -> None:
        self.stub, self.poller, self.clock = stub, poller, clock
        assert stub.router is not None
        self.router = stub.router
        self._skipped_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._real = self._loop.time

    def skip(self, seconds: float) -> None:
        """Let that much time pass for the device and for the collector."""
        self.clock.now_s += seconds
        self._skipped_s += seconds
        self._loop.time = lambda: self._real() + self._skipped_s  # type: ignore[method-assign]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    clock = Clock()
    stub = RouterStub.office("r1", ports=12, seed=7, now=clock)
    async with listening(stub) as port, polling(port, uplinks=["ether1"], **QUICK) as poller:
        yield Bench(stub, poller, clock)


# ---------------------------------------------------------------- well-behaved


async def test_every_tier_emits_what_the_manifest_promises_and_nothing_else(bench: Bench) -> None:
    bench.router.port("ether2").alias = "lan"
    await bench.poller.poll("liveness", "traffic", "health", "inventory")
    bench.skip(60)
    await bench.poller.poll("liveness", "traffic", "health", "inventory")
    promised = manifest.load(MANIFEST).measurements
    given: dict[str, set[str]] = {}
    kinds = {"int": int, "float": float, "string": str}
    for reading in bench.poller.emit.readings:
        spec = promised[reading.series.measurement]
        assert {name for name, _ in reading.series.tags} == set(spec.tags)
        given.setdefault(reading.series.measurement, set()).update(reading.fields)
        for name, value in reading.fields.items():
            assert type(value) is kinds[spec.fields[name].type], name
    # What only some devices have is seen in the recordings.
    assert given == {
        "device": {"up", "uptime_s", "agent_ms", "cpu_pct", "mem_pct", "model", "profile"}
        | {
            "ports",
            "uplinks_missing",
            "restarts_day",
            "temperature_c",
            "voltage_v",
            "serial",
            "firmware",
        }
        | {"sys_descr", "sys_object_id", "sys_name"},
        "interface": set(promised["interface"].fields) - {"sessions", "told_down"},
    }


async def test_rates_are_the_load_that_the_router_had(bench: Bench) -> None:
    first = await bench.poller.ports("traffic")
    assert "in_bps" not in first["ether1"]
    begin = bench.clock.now_s
    bench.skip(60)
    found = await bench.poller.ports("traffic")
    assert len(found) == 12
    for port in bench.router.ports:
        seen, load = found[port.name], port.bps(port.in_bps, begin, begin + 60)
        assert seen["in_bps"] == pytest.approx(load, rel=1e-3)
        assert seen["util_pct"] == pytest.approx(
            100 * max(seen["in_bps"], seen["out_bps"]) / port.speed_bps
        )
        assert seen["in_octets"] == int(port.in_octets)
    assert [name for name, seen in found.items() if seen["uplink"]] == ["ether1"]


async def test_processor_and_memory_are_read(bench: Bench) -> None:
    bench.stub.fault("cpu_high", pct=97)
    bench.stub.fault("mem_high", pct=95)
    found = await bench.poller.device("health")
    assert found["cpu_pct"] == 97.0
    assert found["mem_pct"] == pytest.approx(95.0, abs=0.01)


async def test_a_link_that_goes_down_is_seen_at_the_next_poll(bench: Bench) -> None:
    await bench.poller.poll("traffic")
    bench.stub.fault("link_down", port="ether3")
    bench.skip(60)
    found = (await bench.poller.ports("traffic"))["ether3"]
    assert (found["oper_up"], found["admin_up"], found["in_bps"]) == (0, 1, 0.0)


async def test_a_full_line_is_full(bench: Bench) -> None:
    bench.stub.fault("traffic", port="ether1", share=0.97)
    await bench.poller.poll("traffic")
    bench.skip(60)
    assert (await bench.poller.ports("traffic"))["ether1"]["util_pct"] == pytest.approx(97, abs=0.1)


async def test_errors_are_counted_per_second(bench: Bench) -> None:
    bench.stub.fault("errors", port="ether4", per_second=5.0)
    await bench.poller.poll("health")
    bench.skip(300)
    found = await bench.poller.ports("health")
    assert found["ether4"]["in_errors_ps"] == pytest.approx(5.0, rel=1e-2)
    assert found["ether5"]["in_errors_ps"] == 0.0


async def test_a_speed_of_the_inventory_is_believed_over_the_agents() -> None:
    stub = RouterStub.office("r1", ports=2)
    async with listening(stub) as port, polling(port, speed={"ether1": 20_000_000}) as poller:
        found = await poller.ports("traffic")
        assert found["ether1"]["speed_bps"] == 20_000_000
        assert found["ether2"]["speed_bps"] == 1_000_000_000


async def test_an_uplink_that_is_no_port_is_said_once(bench: Bench) -> None:
    async with polling(await _port_of(bench), uplinks=["wan9"]) as poller:
        await poller.poll("traffic", "inventory")
        warnings = poller.host.log.events("warning")
    assert [w for w in warnings if "wan9" in w] == warnings
    assert len(warnings) == 1
    assert "ether1, ether2" in warnings[0]


async def _port_of(bench: Bench) -> int:
    return int(bench.poller.target.section["port"])


async def test_a_prepared_poll_of_many_ports_takes_few_requests(bench: Bench) -> None:
    await bench.poller.poll("traffic")
    before = bench.stub.requests
    bench.skip(60)
    await bench.poller.poll("traffic")
    assert bench.stub.requests - before <= 3


# ---------------------------------------------------------------- restarts


async def test_a_reboot_is_an_event_and_makes_no_spike(bench: Bench) -> None:
    await bench.poller.poll("liveness", "traffic")
    bench.skip(60)
    bench.stub.fault("reboot")
    bench.skip(30)
    found = await bench.poller.ports("traffic")
    assert all("in_bps" not in seen for seen in found.values())
    await bench.poller.poll("liveness")
    (event,) = bench.poller.emit.events
    assert (event.device, event.name) == ("r1", "reboot")
    assert event.fields["uptime_s"] == pytest.approx(30)
    assert bench.poller.host.counts["intervals_dropped_reboot"] == 12
    bench.skip(60)
    assert all("in_bps" in seen for seen in (await bench.poller.ports("traffic")).values())
    assert len(bench.poller.emit.events) == 1


async def test_a_reboot_after_which_the_uptime_overtook_the_old_one_is_seen(bench: Bench) -> None:
    bench.router.booted_s = bench.clock.now_s - 400
    await bench.poller.poll("liveness")
    bench.stub.fault("reboot")
    bench.skip(3600)
    await bench.poller.poll("liveness")
    assert [event.name for event in bench.poller.emit.events] == ["reboot"]


async def test_how_many_ports_are_shown_and_uplinks_missing_is_told() -> None:
    stub = RouterStub.office("r1", ports=12, seed=7)
    async with listening(stub) as port, polling(port, uplinks=["ether1", "wan"], **QUICK) as poller:
        seen = await poller.device("health")
    assert (seen["ports"], seen["uplinks_missing"]) == (12, 1)


@pytest.mark.parametrize("fault", [{"name": "too_big", "names": 0}, {"name": "stuck"}])
async def test_an_agent_that_answers_and_shows_nothing_has_no_ports(
    fault: dict[str, Any],
) -> None:
    stub = RouterStub.office("r1", ports=12, seed=7)
    stub.fault(**fault)
    async with listening(stub) as port, polling(port, uplinks=["ether1"], **QUICK) as poller:
        seen = await poller.device("health")
    assert (seen["ports"], seen["uplinks_missing"]) == (0, 1)


async def test_restarts_of_the_last_day_are_counted(bench: Bench) -> None:
    assert (await bench.poller.device("liveness"))["restarts_day"] == 0
    for count in (1, 2):
        bench.skip(3600)
        bench.stub.fault("reboot")
        bench.skip(30 * count)
        assert (await bench.poller.device("liveness"))["restarts_day"] == count
    bench.skip(86_400 - 3600)
    assert (await bench.poller.device("liveness"))["restarts_day"] == 1
    bench.skip(3700)
    assert (await bench.poller.device("liveness"))["restarts_day"] == 0


async def test_uptime_that_wraps_is_no_reboot(bench: Bench) -> None:
    bench.router.booted_s = bench.clock.now_s - ((1 << 32) / 100 - 30)
    await bench.poller.poll("liveness", "traffic")
    bench.skip(60)
    found = await bench.poller.device("liveness")
    assert found["uptime_s"] == pytest.approx((1 << 32) / 100 + 30, abs=1)
    assert (await bench.poller.ports("traffic"))["ether1"]["in_bps"] > 0
    assert bench.poller.emit.events == []


async def test_ports_keep_their_series_when_indexes_are_reshuffled() -> None:
    """ifIndex 1..4 are dealt anew; names, and with them the series, stay."""
    clock = Clock()
    one = RouterStub.office("r1", ports=4, seed=7, now=clock)
    assert one.router is not None
    async with listening(one) as port, polling(port, **QUICK) as poller:
        before = await poller.ports("traffic")
        one.router.ports = list(reversed(one.router.ports))
        one.router.__post_init__()
        one.mib = one.router.mib
        after = await poller.ports("traffic")
        assert after.keys() == before.keys()
        for name, seen in after.items():
            assert seen["in_octets"] == before[name]["in_octets"]
        assert any("ports moved" in said for said in poller.host.log.events("warning"))


async def test_a_port_that_appears_is_found_without_waiting_for_the_inventory() -> None:
    clock = Clock()
    stub = RouterStub.office("r1", ports=3, now=clock)
    assert stub.router is not None
    async with listening(stub) as port, polling(port, **QUICK) as poller:
        bench = Bench(stub, poller, clock)
        await poller.poll("liveness", "traffic")
        bigger = RouterStub.office("r1", ports=4, now=clock)
        stub.mib, stub.router = bigger.mib, bigger.router
        bench.skip(61)
        await poller.poll("liveness")
        assert "ether4" in await poller.ports("traffic")


async def test_a_port_that_went_away_is_forgotten_and_walked_for_once() -> None:
    clock = Clock()
    stub = RouterStub.office("r1", ports=4, now=clock)
    async with listening(stub) as port, polling(port, **QUICK) as poller:
        assert "ether4" in await poller.ports("traffic")
        smaller = RouterStub.office("r1", ports=3, now=clock)
        stub.mib, stub.router = smaller.mib, smaller.router
        assert "ether4" not in await poller.ports("traffic")
        before = stub.requests
        await poller.poll("traffic")
        assert stub.requests - before <= 2


# ---------------------------------------------------------------- trouble


async def test_a_dead_router_is_down_and_tried_again(bench: Bench) -> None:
    bench.stub.fault("dead")
    for tier in ("liveness", "traffic", "health", "inventory"):
        with pytest.raises(TryAgain, match=r"r1: no SNMP answer from 127\.0\.0\.1 port"):
            await bench.poller.poll(tier)
    assert [reading.fields for reading in bench.poller.emit.readings] == [{"up": 0}] * 4
    bench.stub.clear("dead")
    assert (await bench.poller.device("liveness"))["up"] == 1


async def test_a_router_that_dies_between_polls_is_given_up_quickly(bench: Bench) -> None:
    await bench.poller.poll("traffic")
    bench.stub.fault("dead")
    before = bench.stub.requests
    with pytest.raises(TryAgain):
        await bench.poller.poll("traffic")
    assert bench.stub.requests - before == 4  # one poll and one cheap question, each sent twice


async def test_the_wrong_community_reads_as_no_answer_and_is_never_shown(bench: Bench) -> None:
    async with polling(await _port_of(bench), community="s3cret", **QUICK) as poller:
        with pytest.raises(TryAgain) as caught:
            await poller.poll("liveness")
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(SnmpSection(community="s3cret"))


async def test_a_slow_agent_is_waited_for_and_its_delay_told(bench: Bench) -> None:
    bench.stub.fault("slow", seconds=0.08)
    assert (await bench.poller.device("liveness"))["agent_ms"] >= 80


async def test_an_answer_to_the_first_sending_counts_though_a_second_went_out(bench: Bench) -> None:
    bench.stub.fault("slow", seconds=0.2)
    found = await bench.poller.device("liveness")
    assert found["up"] == 1
    assert "agent_ms" not in found


async def test_too_big_is_met_by_asking_for_less_and_remembered(bench: Bench) -> None:
    bench.stub.fault("too_big", names=10)
    assert len(await bench.poller.ports("traffic")) == 12
    bench.stub.largest_request = 0
    assert len(await bench.poller.ports("traffic")) == 12
    assert bench.stub.largest_request <= 10


async def test_short_bulk_replies_lose_no_port(bench: Bench) -> None:
    bench.stub.fault("short", rows=2)
    assert len(await bench.poller.ports("traffic")) == 12


@pytest.mark.parametrize(
    ("fault", "words", "reason"),
    [
        ("stuck", {}, "not increasing"),
        ("gen_err", {"oid": "1.3.6.1.2.1.31.1.1.1.1.7"}, "genErr"),
        ("empty", {}, "empty reply"),
    ],
)
async def test_no_port_is_forgotten_because_of_an_unproved_walk(
    bench: Bench, fault: str, words: dict[str, str], reason: str
) -> None:
    known = await bench.poller.ports("traffic")
    bench.stub.fault(fault, **words)
    bench.skip(601)
    before = bench.stub.requests
    await bench.poller.poll("inventory")
    assert bench.stub.requests - before < 200
    assert any(reason in said for said in bench.poller.host.log.events("warning"))
    bench.stub.clear()
    bench.skip(61)
    assert (await bench.poller.ports("traffic")).keys() == known.keys()


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        ("cut", "ignored_malformed"),
        ("wrong_id", "ignored_unasked"),
        ("other_port", "ignored_wrong_source"),
    ],
)
async def test_answers_that_can_not_be_trusted_are_no_answers(
    bench: Bench, fault: str, counted: str
) -> None:
    bench.stub.fault(fault)
    with pytest.raises(TryAgain):
        await bench.poller.poll("liveness")
    assert bench.poller.host.counts[counted] == 2
    bench.stub.clear()
    assert (await bench.poller.device("liveness"))["up"] == 1


async def test_an_implausible_jump_is_dropped_and_the_reading_doubted(bench: Bench) -> None:
    await bench.poller.poll("traffic")
    bench.router.port("ether1").in_octets += 1e15
    bench.skip(60)
    (reading,) = [
        r
        for r in await bench.poller.poll("traffic")
        if r.series.measurement == "interface" and r.series.tag("ifname") == "ether1"
    ]
    assert "in_bps" not in reading.fields
    assert reading.quality == Quality.RATE


async def test_an_address_that_can_not_be_resolved_is_tried_again(bench: Bench) -> None:
    async with polling(161) as poller:
        object.__setattr__(poller.target, "address", "no-such-host.invalid")
        with pytest.raises(TryAgain, match="can't be resolved"):
            await poller.poll("liveness")


async def test_an_unknown_tier_never_works(bench: Bench) -> None:
    with pytest.raises(NeverWorks, match="no tier 'weekly'"):
        await bench.poller.poll("weekly")


async def test_one_dead_router_delays_no_other(bench: Bench) -> None:
    dead = RouterStub.office("dead")
    dead.fault("dead")
    async with listening(dead) as port, polling(port, timeout_s=5.0) as stuck:
        waiting = asyncio.create_task(stuck.poll("liveness"))
        await bench.poller.poll("liveness", "traffic", "health")
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_no_more_than_two_requests_are_in_flight_at_one_device(bench: Bench) -> None:
    bench.stub.fault("slow", seconds=0.05)
    before = bench.stub.requests
    polls = [asyncio.create_task(bench.poller.poll("liveness")) for _ in range(6)]
    while bench.stub.requests == before:
        await asyncio.sleep(0)
    assert bench.stub.requests - before <= 2
    await asyncio.gather(*polls)


async def test_a_device_that_left_the_inventory_is_forgotten(bench: Bench) -> None:
    collector = bench.poller.collector
    await bench.poller.poll("liveness")
    moved = type(bench.poller.target)("r2", "router", "127.0.0.1", bench.poller.target.section)
    bench.poller.host.devices = [moved]
    await collector.poll(moved, "liveness", bench.poller.emit)
    assert set(collector._devices) == {"r2"}


@pytest.mark.parametrize(
    "section",
    [{"port": 0}, {"version": "3"}, {"communtiy": "x"}, {"speed": {"ether1": -1}}, {"retries": 99}],
)
def test_a_wrong_section_is_refused_without_the_network(section: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SnmpCollector.Section.model_validate(section)


async def test_devices_of_one_shape_share_a_request_and_each_keeps_its_community() -> None:
    one, two = RouterStub.office("one"), RouterStub.office("two", community="rahasia")
    async with listening(one) as port, polling(port, **QUICK) as first:
        assert len(await first.ports("traffic")) == 5
        async with listening(two) as port2, polling(port2, community="rahasia", **QUICK) as second:
            assert len(await second.ports("traffic")) == 5


async def test_a_router_that_dies_in_the_middle_of_a_poll_loses_nothing_that_it_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asyncio.timeout(30):
        stub = RouterStub.office("large", ports=40)
        async with listening(stub) as port, polling(port, **QUICK) as poller:
            await poller.ports("traffic")
            before = len(poller.emit.items)
            honest, asked = stub._reply, stub.requests

            def reply(message: Any) -> bytes:
                if stub.requests - asked >= 2:
                    stub.fault("dead")
                return honest(message)

            monkeypatch.setattr(stub, "_reply", reply)
            with pytest.raises(TryAgain, match="no SNMP answer"):
                await poller.poll("traffic")
            said = {r.series.tag("ifname") for r in poller.emit.items[before:]}  # type: ignore[union-attr]
            assert 5 < len(said) < 40
