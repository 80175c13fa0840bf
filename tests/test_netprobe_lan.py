"""Networks that are watched, with real kernels, real ARP and a real DHCP server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.netprobe.client import HelperProber
from collectors.netprobe.collector import NetprobeCollector
from collectors.netprobe.config import NetprobeConfig
from collectors.netprobe.hearing import MOST_SERVERS
from hub.api import Target, TryAgain
from tests.bench.report import rss_mib
from tests.collector_support import until
from tests.hub_support import running, wait_for
from tests.lan_support import Lan, Machine, Watching, dnsmasq, flood, lan, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")

MOVED = "02:00:00:00:00:aa"
GATEWAY, ONE, TWO = "02:00:00:00:00:02", "02:00:00:00:00:07", "02:00:00:00:00:77"


@pytest.fixture(scope="module")
def network() -> Iterator[Lan]:
    with lan(1) as made:
        yield made


@pytest.fixture(scope="module")
def gateway(network: Lan) -> Machine:
    return network.add(2, GATEWAY)


@pytest.fixture(scope="module")
def one(network: Lan) -> Machine:
    return network.add(0, ONE)


@pytest.fixture(scope="module")
def two(network: Lan) -> Machine:
    return network.add(0, TWO)


def watching(
    network: Lan, listed: dict[int, str], kept: Mapping[str, Any] | None = None, **section: object
) -> Watching:
    """The network of the gateway, where these are listed. `kept`: what was known before."""
    said = {"interface": network.interface, "sweep": network.network, **section}
    known = {network.at(number): device for number, device in listed.items()}
    return Watching([Target("gw", "router", network.at(2), said)], known, kept=kept)


async def test_an_unlisted_device_is_told_and_forgotten_when_it_has_gone(
    network: Lan, gateway: Machine, one: Machine
) -> None:
    one.take(network.at(7))
    async with watching(network, {2: "gw"}) as watch:
        found = await watch.poll("lan")
        assert (found["hosts"], found["unknown"]) == (2, 1)
        assert watch.news() == [
            ("unknown_device", f"{network.at(7)} answers with {ONE} and is not in the inventory")
        ]
        (stranger,) = watch.emit.proposals
        assert (stranger.device, stranger.facts["mac"]) == (network.at(7), ONE)
        assert (await watch.poll("lan"))["unknown"] == 1
        assert watch.news() == []
        one.ip("addr flush dev eth0")
        await watch.poll("lan", times=6)
        assert watch.news() == [("unknown_device_over", f"{network.at(7)}: no longer")]
        assert watch.emit.readings[-1].fields["unknown"] == 0


async def test_guests_and_listed_devices_are_nobodys_business(
    network: Lan, gateway: Machine, one: Machine, two: Machine
) -> None:
    one.take(network.at(17))
    two.take(network.at(7))
    guests = f"{network.prefix}.16/28"
    async with watching(network, {2: "gw", 7: "cam"}, guests=guests) as watch:
        found = await watch.poll("lan")
    one.ip("addr flush dev eth0")
    two.ip("addr flush dev eth0")
    assert (found["hosts"], found["unknown"], watch.told) == (3, 0, [])


async def test_two_kernels_with_one_address_are_a_duplicate_and_a_moved_one_is_not(
    network: Lan, gateway: Machine, one: Machine, two: Machine
) -> None:
    one.take(network.at(9))
    async with watching(network, {2: "gw", 9: "cam"}) as watch:
        assert (await watch.poll("lan"))["duplicates"] == 0
        two.take(network.at(9))
        found = await watch.poll("lan")
        assert (found["duplicates"], found["moved"]) == (1, 0)
        assert watch.news() == [
            ("duplicate_address", f"{network.at(9)} (cam) is claimed by {ONE} and {TWO}")
        ]
        one.ip("addr flush dev eth0")
        found = await watch.poll("lan", times=4)
        assert (found["duplicates"], found["moved"]) == (0, 1)
        assert watch.news() == [
            ("mac_moved", f"cam ({network.at(9)}) answers with {TWO}; before it was {ONE}"),
            ("duplicate_address_over", f"{network.at(9)}: no longer"),
        ]
    two.ip("addr flush dev eth0")


async def test_what_moves_while_the_hub_is_down_is_noticed_once_it_was_told_before(
    network: Lan, gateway: Machine, one: Machine, two: Machine
) -> None:
    one.take(network.at(9))
    listed = {2: "gw", 9: "cam"}
    async with watching(network, listed) as watch:
        watch.host.full = True
        await watch.poll("lan", times=2)
        why = {"why": "the disk is full"}
        assert watch.host.log.lines[1:] == [
            ("warning", "MACs would be forgotten by a restart", why)
        ]
        watch.host.full = False
        await watch.poll("lan")
    kept = watch.host.kept
    assert kept["gw"]["macs"] == {network.at(2): GATEWAY, network.at(9): ONE}
    one.ip("addr flush dev eth0")
    two.take(network.at(9))
    told = ("mac_moved", f"cam ({network.at(9)}) answers with {TWO}; before it was {ONE}")
    for written in (False, True):
        # What was told was lost at first, so what was learned may not be kept: it is told again.
        async with watching(network, listed, kept) as watch:
            watch.emit.hold()
            poll = asyncio.create_task(watch.poll("lan"))
            await until(lambda w=watch: w.told == [told])
            if written:
                watch.emit.sync()
                await poll
                assert watch.host.kept["gw"]["macs"][network.at(9)] == TWO
                continue
            watch.emit.fail(TryAgain("the disk is full"))
            with pytest.raises(TryAgain):
                await poll
            assert watch.host.kept == kept
    two.ip("addr flush dev eth0")


async def test_a_mac_that_is_not_the_inventorys_is_told_from_the_first_look_on(
    network: Lan, gateway: Machine
) -> None:
    async with watching(network, {2: "gw"}, mac=TWO) as watch:
        assert (await watch.poll("lan"))["moved"] == 1
        assert watch.news() == [
            ("mac_moved", f"gw ({network.at(2)}) answers with {GATEWAY}, not {TWO}")
        ]


async def test_who_takes_the_hubs_own_address_is_found(
    network: Lan, gateway: Machine, one: Machine
) -> None:
    one.take(network.own)
    async with watching(network, {2: "gw"}) as watch:
        assert (await watch.poll("lan"))["duplicates"] == 1
    one.ip("addr flush dev eth0")
    assert watch.told == [
        (
            "duplicate_address",
            f"{network.own} (the hub itself) is claimed by this machine and {ONE}",
        )
    ]


async def test_a_second_dhcp_server_is_a_rogue_and_the_first_is_not(
    network: Lan, gateway: Machine, one: Machine, tmp_path: Path
) -> None:
    one.take(network.at(9))
    offers = f"{network.at(40)},{network.at(50)},2m"
    async with watching(network, {2: "gw", 9: "x"}, dhcp_servers=network.at(2)) as watch:
        assert (await watch.poll("lan"))["dhcp_servers"] == 0
        with dnsmasq(gateway, tmp_path, offers):
            for _ in range(40):
                found = await watch.poll("lan")
                if found["dhcp_servers"]:
                    break
            assert (found["rogue_dhcp"], found["dhcp_servers"], watch.told) == (0, 1, [])
            with dnsmasq(one, tmp_path, f"{network.at(60)},{network.at(60)},2m"):
                for _ in range(40):
                    if (await watch.poll("lan"))["rogue_dhcp"]:
                        break
                assert watch.news() == [
                    (
                        "rogue_dhcp",
                        f"DHCP server {network.at(9)} ({ONE}) hands out addresses such as "
                        f"{network.at(60)} and is not among dhcp_servers",
                    )
                ]
            found = await watch.poll("lan", times=7)
            assert (found["rogue_dhcp"], found["dhcp_servers"]) == (0, 1)
            assert [name for name, _ in watch.news()] == ["rogue_dhcp_over"]
    one.ip("addr flush dev eth0")


async def test_a_storm_of_claims_and_offers_takes_no_memory_and_stops_nothing(
    network: Lan, gateway: Machine, one: Machine
) -> None:
    async with watching(network, {2: "gw"}, dhcp_servers=network.at(2)) as watch:
        prober = watch.collector._prober
        assert isinstance(prober, HelperProber)
        assert prober._process is not None
        await watch.poll("lan")
        before = rss_mib(prober._process.pid)
        with flood(one):
            found = await watch.poll("lan", times=6)
            assert (await watch.poll("ping"))["loss_pct"] == 0
        grown = rss_mib(prober._process.pid) - before
    assert found["hosts"] >= 1
    assert 0 < found["rogue_dhcp"] <= MOST_SERVERS * 3  # those of the turns before count still
    assert found["arp_per_s"] > 2000  # what the kernel dropped for us is counted, too
    assert len(watch.told) < 200
    assert grown < 8


async def test_an_interface_that_goes_is_named_and_heard_again_when_it_is_back() -> None:
    with lan(2) as made:
        gateway = made.add(2, GATEWAY)
        async with watching(made, {2: "gw"}) as watch:
            assert (await watch.poll("lan"))["hosts"] == 1
            gateway.unplug()
            run(f"ip link set {made.interface} down")
            assert (await watch.poll("lan", times=4))["hosts"] == 0
            run(f"ip link set {made.interface} up")
            gateway.plug()
            for _ in range(40):
                if (await watch.poll("lan"))["hosts"]:
                    break
            assert watch.emit.readings[-1].fields["hosts"] == 1  # by the same helper
            assert watch.host.counts["helper_restarts"] == 0
            run(f"ip link del {made.interface}")
            why = ""
            for _ in range(200):
                with pytest.raises(TryAgain) as caught:
                    await watch.poll("lan")
                why = str(caught.value)
                if "no such interface" in why:
                    break
                await asyncio.sleep(0.1)
            assert why.startswith(f"{made.interface}: no such interface; there are ")
            made.connect()
            with contextlib.suppress(TryAgain):  # it hears of the interface by being asked
                await watch.poll("lan")
            for _ in range(200):
                with contextlib.suppress(TryAgain):
                    if (await watch.poll("lan"))["hosts"] == 1:
                        break
                await asyncio.sleep(0.1)
            assert watch.emit.readings[-1].fields["hosts"] == 1


async def test_the_doctor_says_what_can_be_heard_and_what_not(network: Lan) -> None:
    targets = [
        Target("gw", "router", "127.0.0.1", {"interface": network.interface}),
        Target("cam", "camera", "127.0.0.1", {"rtp": "eth99"}),
    ]
    ping, lan_, rtp = await NetprobeCollector.diagnose(NetprobeConfig(), targets)
    assert (ping.level, lan_.level, rtp.level) == ("good", "good", "bad")
    assert lan_.what == f"hearing on {network.interface}"
    assert lan_.found == f"{network.prefix}.0/24"
    assert rtp.found.startswith("no such interface; there are ")
    assert network.interface in rtp.found
    assert "ip link" in rtp.remedy


async def test_another_interface_in_the_inventory_is_heard_without_a_word(
    network: Lan, gateway: Machine
) -> None:
    async with watching(network, {2: "gw"}) as watch:
        watch.host.devices = [Target("gw", "router", network.at(2), {})]
        await watch.collector.retarget()
        assert (await watch.poll("ping"))["loss_pct"] == 0
        section = {"interface": network.interface, "sweep": network.network}
        watch.host.devices = [Target("gw", "router", network.at(2), section)]
        await watch.collector.retarget()
        assert (await watch.poll("lan"))["hosts"] == 1
        assert watch.host.counts["helper_restarts"] == 0


def test_a_stranger_and_a_rogue_server_reach_people(
    network: Lan, gateway: Machine, one: Machine, tmp_path: Path
) -> None:
    one.take(network.at(9))
    tiers = {"lan": {"period_s": 1}, "ping": {"period_s": 5}}
    collectors = {"netprobe": {"sweep_s": 0.4, "tiers": tiers}}
    settings = {
        "collectors": {**{n: {"enabled": False} for n in ("mqtt", "snmp", "camera")}, **collectors},
        "rules": {"library": True, "set": {"unknown_device.for": "1s"}},
    }
    section = {"interface": network.interface, "sweep": [network.network]}
    section |= {"dhcp_servers": [network.at(2)]}
    router = {"id": "gw", "name": "Router", "kind": "router", "site": "balige"}
    router |= {"address": network.at(2), "collect": {"netprobe": section}}
    balige = {"sites": [{"id": "balige", "name": "Balige"}]}
    with (
        dnsmasq(one, tmp_path, f"{network.at(60)},{network.at(60)},2m"),
        running(tmp_path / "hub", settings, {**balige, "devices": []}) as hub,
    ):

        def list_(*devices: object) -> None:
            listed = {**balige, "devices": list(devices)}
            (hub.folder / "inventory.yaml").write_text(yaml.safe_dump(listed), encoding="utf-8")
            assert hub.process is not None
            hub.process.send_signal(signal.SIGHUP)

        wait_for("the helper to rest", lambda: "netprobe rests" in hub.log())
        assert "netprobe is ready" not in hub.log()
        list_(router)  # the first device that asks for it

        def alerts() -> dict[str, str]:
            return {a["rule"]: a["title"]["en"] for a in hub.get("/api/v1/alerts")}

        wait_for("both alerts", lambda: {"unknown_device", "rogue_dhcp"} <= alerts().keys())
        titles = alerts()
        events = hub.get("/api/v1/events")
        # Listed is listed, whoever asks it; a reload is enough.
        server = {"id": "srv", "kind": "server", "site": "balige", "address": network.at(9)}
        list_(router, server)
        wait_for("the stranger to be known", lambda: alerts().keys() == {"rogue_dhcp"})
        hub.stop()
        gateway.mac(MOVED)
        hub.start()
        wait_for("what moved meanwhile to be told", lambda: "mac_moved" in alerts())
        gateway.mac(GATEWAY)
    one.ip("addr flush dev eth0")
    assert titles["rogue_dhcp"] == "A rogue DHCP server on the network of Router (Balige)"
    assert titles["unknown_device"] == "Unknown devices on the network of Router: 1 (Balige)"
    told = {event["name"]: event["text"] for event in events if event["device"] == "gw"}
    assert f"{network.at(9)} answers with {ONE}" in told["unknown_device"]
    assert f"DHCP server {network.at(9)} ({ONE})" in told["rogue_dhcp"]
