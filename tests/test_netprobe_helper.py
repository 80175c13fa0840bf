"""The real helper process, on loopback and in network namespaces, with and without permission."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collectors.netprobe import diagnose
from collectors.netprobe.client import PROGRAM, HelperProber, NotPermitted, permission
from collectors.netprobe.collector import NetprobeCollector
from collectors.netprobe.config import NetprobeConfig
from hub.api import Target, TryAgain
from hub.manifest import load
from tests.collector_support import FakeHost, RecordingEmit, until

FOLDER = Path(__file__).parents[1] / "collectors" / "netprobe"
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")
RESTS = "netprobe rests: no device of the inventory asks for it"
UNPRIVILEGED = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", *PROGRAM)


def in_a_namespace(*setup: str, program: tuple[str, ...] = PROGRAM) -> tuple[str, ...]:
    """A program in a network of its own, prepared by these commands."""
    last = f'exec {shlex.join(program)} "$@"'
    return ("unshare", "-n", "sh", "-c", "; ".join((*setup, last)), "sh")


@asynccontextmanager
async def helper(
    program: tuple[str, ...] = PROGRAM, timeout_s: float = 0.5
) -> AsyncIterator[HelperProber]:
    prober = HelperProber(FakeHost(), count=3, gap_s=0.01, timeout_s=timeout_s, program=program)
    await prober.open()
    try:
        yield prober
    finally:
        await prober.close()


@asynccontextmanager
async def streaming(collector: NetprobeCollector, emit: RecordingEmit) -> AsyncIterator[None]:
    """Its stream runs meanwhile."""
    task = asyncio.create_task(collector.run(emit))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@root
async def test_loopback_answers_with_a_round_trip_and_no_loss() -> None:
    async with helper() as prober:
        ping = await prober.ping("127.0.0.1")
        assert (ping.sent, ping.lost, ping.why) == (3, 0, "")
        assert ping.rtt_ms is not None
        assert ping.jitter_ms is not None
        assert 0 < ping.rtt_ms < 500


@root
async def test_a_thousand_targets_are_asked_at_once() -> None:
    async with helper(timeout_s=5) as prober:
        began = asyncio.get_running_loop().time()
        pings = await asyncio.gather(
            *(prober.ping(f"127.9.{n // 250}.{n % 250}") for n in range(1000))
        )
        assert sum(ping.lost for ping in pings) == 0
        assert asyncio.get_running_loop().time() - began < 5


@root
async def test_the_helper_keeps_no_privilege_but_its_sockets() -> None:
    async with helper((*PROGRAM, "--lan=lo", "--rtp=lo")) as prober:
        assert prober._process is not None
        assert prober.ready is not None
        assert (prober.ready.addresses, prober.ready.unheard) == ({"lo": "127.0.0.1"}, {})
        status = Path(f"/proc/{prober._process.pid}/status").read_text()
        told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert told["Uid"].split() == ["65534"] * 4
        assert {int(told[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb", "Bnd")} == {0}
        assert told["NoNewPrivs"] == "1"
        assert (await prober.ping("127.0.0.1")).lost == 0


@root
async def test_where_everybody_may_ping_no_capability_is_needed() -> None:
    program = in_a_namespace(
        "ip link set lo up",
        "sysctl -qw net.ipv4.ping_group_range='0 2147483647'",
        program=UNPRIVILEGED,
    )
    prober = HelperProber(FakeHost(), count=2, gap_s=0.01, timeout_s=0.5, program=program)
    try:
        assert (await prober.open()).mode == "datagram"
        assert (await prober.ping("127.0.0.1")).lost == 0
    finally:
        await prober.close()


@root
async def test_the_doctor_is_told_whether_it_may_ping_and_what_to_do() -> None:
    router = Target("r1", "router", "127.0.0.1", {})
    (check,) = await NetprobeCollector.diagnose(NetprobeConfig(), [router])
    assert (check.level, check.found) == ("good", "raw sockets")
    assert await NetprobeCollector.diagnose(NetprobeConfig(), []) == []
    forbidden = in_a_namespace("sysctl -qw net.ipv4.ping_group_range='1 0'", program=UNPRIVILEGED)
    with pytest.raises(NotPermitted) as refused:
        await permission(program=forbidden)
    everybody = "sysctl -qw net.ipv4.ping_group_range='0 2147483647'"
    pings_only = in_a_namespace(everybody, program=UNPRIVILEGED)
    watched = Target("r1", "router", "127.0.0.1", {"interface": "lo", "rtp": "lo"})
    ping, hearing = await diagnose.examine([watched], pings_only)
    assert (ping.level, ping.found) == ("good", "datagram sockets")
    assert (hearing.level, hearing.found) == ("bad", "no permission to hear frames")
    assert "CAP_NET_RAW" in hearing.remedy
    assert refused.value.why
    assert "ping_group_range" in refused.value.remedy or "CAP_NET_RAW" in refused.value.remedy


@root
async def test_without_any_permission_the_remedy_is_named_once_and_the_rest_goes_on() -> None:
    host, emit = FakeHost([Target("r1", "router", "127.0.0.1", {})]), RecordingEmit()
    collector = NetprobeCollector(NetprobeConfig(), host)
    forbidden = in_a_namespace("sysctl -qw net.ipv4.ping_group_range='1 0'", program=UNPRIVILEGED)
    collector._prober = HelperProber(host, count=1, gap_s=0, timeout_s=1, program=forbidden)
    await collector.start()
    async with streaming(collector, emit):
        for _ in range(3):
            await collector.poll(host.devices[0], "ping", emit)
        await until(lambda: emit.events)
    assert host.log.events() == ["netprobe idles: nothing is pinged"]
    assert host.told == {"netprobe": {"probe_up": 0}}
    (event,) = emit.events
    assert event.name == "netprobe_idle"
    for remedy in ("AmbientCapabilities", "cap_add", "ping_group_range"):
        assert remedy in event.text
    assert emit.readings == []
    await collector.stop()


@root
async def test_the_helper_rests_until_a_device_asks_for_it_and_when_none_does_any_more() -> None:
    wanted = Target("r1", "router", "127.0.0.1", {})
    host, emit = FakeHost([Target("r2", "router", "127.0.0.1", {"ping": False})]), RecordingEmit()
    collector = NetprobeCollector(NetprobeConfig(count=1), host)

    def pid() -> int | None:
        assert isinstance(collector._prober, HelperProber)
        return collector._prober._process and collector._prober._process.pid

    try:
        await collector.start()
        async with streaming(collector, emit):
            await asyncio.sleep(0)
            assert pid() is None
        assert (host.log.events(), host.told) == ([RESTS], {})
        host.devices = [wanted]
        await collector.retarget()
        poll = asyncio.create_task(collector.poll(wanted, "ping", emit))  # before `run` comes
        async with streaming(collector, emit):
            await poll
            await until(lambda: host.told == {"netprobe": {"probe_up": 1}})
            assert emit.readings[0].fields["up"] == 1
            before = pid()
            assert before is not None
        host.devices = []
        await collector.retarget()
        async with streaming(collector, emit):
            await asyncio.sleep(0)
            assert pid() is None
        assert not Path(f"/proc/{before}").exists()
        assert host.log.events() == [RESTS, "netprobe is ready", RESTS]
    finally:
        await collector.stop()


@root
async def test_no_route_and_no_answer_are_full_loss_and_the_reason_is_told() -> None:
    program = in_a_namespace(
        "ip link set lo up",
        "ip link add v0 type veth peer name v1",
        "ip addr add 10.77.0.1/24 dev v0",
        "ip link set v0 up",
        "ip link set v1 up",
    )
    async with helper(program) as prober:
        away, silent, here = await asyncio.gather(
            *(prober.ping(a) for a in ("203.0.113.5", "10.77.0.9", "10.77.0.1"))
        )
        assert (away.lost, away.rtt_ms) == (3, None)
        assert "nreachable" in away.why
        assert (silent.lost, silent.rtt_ms) == (3, None)
        assert here.lost == 0


@pytest.fixture
def two_namespaces() -> Iterator[tuple[str, str]]:
    """A hub's network and an office's behind a router that knows no further way."""
    hub, office = f"tph{os.getpid()}", f"tpo{os.getpid()}"
    commands = [
        f"ip netns add {hub}",
        f"ip netns add {office}",
        f"ip -n {hub} link add up0 type veth peer name down0 netns {office}",
        f"ip -n {hub} addr add 10.78.0.1/24 dev up0",
        f"ip -n {office} addr add 10.78.0.2/24 dev down0",
        f"ip -n {hub} link set up0 up",
        f"ip -n {office} link set down0 up",
        f"ip -n {office} link set lo up",
        f"ip -n {hub} route add default via 10.78.0.2",
        f"ip netns exec {office} sysctl -qw net.ipv4.ip_forward=1",
    ]
    try:
        for command in commands:
            subprocess.run(shlex.split(command), check=True, capture_output=True)
        yield hub, office
    finally:
        for name in (hub, office):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@root
async def test_a_cut_uplink_is_loss_and_its_repair_is_seen(two_namespaces: tuple[str, str]) -> None:
    hub, office = two_namespaces
    async with helper(("ip", "netns", "exec", hub, *PROGRAM)) as prober:
        assert (await prober.ping("10.78.0.2")).lost == 0
        link = ["ip", "-n", office, "link", "set", "down0"]
        await asyncio.to_thread(subprocess.run, [*link, "down"], check=True)
        assert (await prober.ping("10.78.0.2")).lost == 3
        await asyncio.to_thread(subprocess.run, [*link, "up"], check=True)
        for _ in range(20):
            if (await prober.ping("10.78.0.2")).lost == 0:
                return
        raise AssertionError("the repaired link was not seen")


@root
async def test_a_router_that_knows_no_way_is_quoted(two_namespaces: tuple[str, str]) -> None:
    hub, _ = two_namespaces
    async with helper(("ip", "netns", "exec", hub, *PROGRAM)) as prober:
        ping = await prober.ping("203.0.113.5")
        assert ping.lost == 3
        assert ping.why == "network-unreachable says 10.78.0.2"


@root
async def test_a_helper_that_dies_is_started_again_and_nobody_waits_in_vain() -> None:
    host, emit = FakeHost([Target("r1", "router", "240.0.0.1", {})]), RecordingEmit()
    collector = NetprobeCollector(NetprobeConfig(count=1, timeout_s=5), host)
    await collector.start()
    prober = collector._prober
    assert isinstance(prober, HelperProber)
    try:
        async with streaming(collector, emit):
            assert prober._process is not None
            waiting = asyncio.ensure_future(collector.poll(host.devices[0], "ping", emit))
            await asyncio.sleep(0)
            assert host.told == {"netprobe": {"probe_up": 1}}
            os.kill(prober._process.pid, signal.SIGKILL)
            with pytest.raises(TryAgain):
                await waiting
            await until(lambda: emit.events)
            await until(lambda: host.told == {"netprobe": {"probe_up": 0}})
            await until(lambda: len(emit.events) == 2, within_s=30)
            assert (await prober.ping("127.0.0.1")).lost == 0
    finally:
        await collector.stop()
    assert host.counts["helper_restarts"] == 1
    assert [event.name for event in emit.events] == ["netprobe_down", "netprobe_up"]
    assert "signal 9" in emit.events[0].text


async def test_a_helper_that_talks_nonsense_is_refused_and_does_not_start() -> None:
    nonsense = (sys.executable, "-c", "print('hello')")
    prober = HelperProber(FakeHost(), count=1, gap_s=0, timeout_s=0.1, program=nonsense)
    with pytest.raises(TryAgain, match="does not start"):
        await prober.open()


async def test_nonsense_after_the_start_is_counted_and_the_rest_is_taken() -> None:
    script = (
        "import sys, json\n"
        "print(json.dumps({'ready': 'raw'}), flush=True)\n"
        "sys.stdin.readline()\n"
        "print('rubbish')\nprint('[1]')\nprint(json.dumps({'target': 1, 'sent': 'x'}))\n"
        "print(json.dumps({'refused': 'too much'}))\n"
        "said = {'target': 1, 'sent': 3, 'lost': 0, 'rtt_ms': 2.5, 'jitter_ms': None, 'why': ''}\n"
        "print(json.dumps(said), flush=True)\n"
        "sys.stdin.read()\n"
    )
    host = FakeHost()
    prober = HelperProber(
        host, count=3, gap_s=0, timeout_s=2, program=(sys.executable, "-c", script)
    )
    await prober.open()
    try:
        assert (await prober.ping("127.0.0.1")).rtt_ms == 2.5
        assert [reason for reason, _, _ in host.refused] == [
            "helper_answer", "helper_answer", "helper_answer", "helper_order",
        ]  # fmt: skip
    finally:
        await prober.close()


async def test_a_helper_without_permission_is_told_from_one_that_breaks() -> None:
    script = 'print(\'{"error": "no permission", "remedy": "do this"}\')'
    prober = HelperProber(
        FakeHost(), count=1, gap_s=0, timeout_s=1, program=(sys.executable, "-c", script)
    )
    with pytest.raises(NotPermitted, match="no permission: do this"):
        await prober.open()


@root
def test_a_hub_that_is_gone_before_the_helper_is_ready_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            PROGRAM, stdin=subprocess.DEVNULL, stdout=write, stderr=subprocess.PIPE, timeout=30
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@root
async def test_a_device_that_is_away_is_a_reading_and_no_failure() -> None:
    targets = [
        Target("r1", "router", "localhost", {}),
        Target("r2", "router", "10.0.0.1", {"address": "240.0.0.1"}),
    ]
    host, emit = FakeHost(targets), RecordingEmit()
    config = NetprobeConfig(count=2, gap_s=0.01, timeout_s=0.3)
    collector = NetprobeCollector(config, host)
    await collector.start()
    try:
        await asyncio.gather(*(collector.poll(target, "ping", emit) for target in targets))
    finally:
        with contextlib.suppress(TryAgain):
            await collector.stop()
    found = {reading.series.key: reading.fields for reading in emit.readings}
    alive = found["device,device=r1,probe=icmp"]
    assert (alive["up"], alive["loss_pct"]) == (1, 0.0)
    assert found["device,device=r2,probe=icmp"] == {"up": 0, "loss_pct": 100.0}
    promised = load(FOLDER / "manifest.toml").measurements["device"].fields
    types = {"float": float, "int": int}
    for fields in found.values():
        assert all(type(v) is types[promised[k].type] for k, v in fields.items())
