"""net-snmp's snmpd as an office's router, in a network namespace of its own.

    this machine                          namespace
    tps<pid> 10.79.n.1 ─── veth ─── mgmt0 10.79.n.2   snmpd
                                    ether1 ─── veth ─── lan0

The cable of `ether1` is pulled by shutting `lan0`. Everything is real: links, agent, traps, hub.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collectors.snmp.collector import SnmpCollector
from collectors.snmp.config import SnmpConfig
from hub.api import Target, TryAgain
from tests.collector_support import FakeHost
from tests.hub_support import Hub, running, wait_for
from tests.snmp_support import Poller, free_udp_port, real_snmpd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")

PASSWORD, SECRET = "pagi-di-balige", "malam-di-laguboti"
V3 = {
    "version": "3",
    "user": "toba",
    "auth": "sha256",
    "auth_password": PASSWORD,
    "priv": "aes128",
    "priv_password": SECRET,
}
V2C = {"version": "2c", "community": "opd-toba"}
LINK_DOWN, LINK_UP = ".1.3.6.1.6.3.1.1.5.3", ".1.3.6.1.6.3.1.1.5.4"
STATUS = ".1.3.6.1.2.1.2.2.1.8"


@dataclass
class Office:
    """The namespace, with its router."""

    name: str
    network: str
    folder: Path
    port: int

    @property
    def here(self) -> str:
        return f"{self.network}.1"

    @property
    def there(self) -> str:
        return f"{self.network}.2"

    def ip(self, words: str) -> None:
        subprocess.run(
            ["ip", "-n", self.name, *shlex.split(words)], check=True, capture_output=True
        )

    @contextmanager
    def agent(self, traps: str = "") -> Iterator[None]:
        """snmpd, which watches its links every second and sends traps as `traps` says."""
        words = f"createUser toba SHA-256 {PASSWORD} AES {SECRET}\nrouser toba priv\n"
        words += f"rocommunity opd-toba {self.network}.0/24\n"
        # Else a port that went away is listed for five minutes beside its successor.
        words += "interface_replace_old yes\n"
        if traps:
            columns = " ".join(f"-o .1.3.6.1.2.1.2.2.1.{n}" for n in (1, 7, 8))
            words += f"{traps}\ncreateUser _internal MD5 internal-password\nrouser _internal\n"
            words += f"iquerySecName _internal\n{_monitors(columns)}"
        with real_snmpd(
            self.folder,
            self.port,
            words,
            command=("ip", "netns", "exec", self.name),
            address=self.there,
        ):
            yield

    def pull_the_cable(self) -> None:
        self.ip("link set lan0 down")

    def plug_the_cable(self) -> None:
        self.ip("link set lan0 up")

    def deal_indexes_anew(self) -> None:
        """ether1 comes back under another ifIndex, as after a module was swapped."""
        self.ip("link del ether1")
        self.ip("link add spare1 type veth peer name spare2")
        self._make_ether1()

    def _make_ether1(self) -> None:
        self.ip("link add ether1 type veth peer name lan0")
        self.ip("link set ether1 up")
        self.ip("link set lan0 up")


def _monitors(columns: str) -> str:
    """What `linkUpDownNotifications yes` stands for, every second and without MIB files."""
    return (
        f"notificationEvent up {LINK_UP} {columns}\n"
        f"notificationEvent down {LINK_DOWN} {columns}\n"
        f'monitor -r 1 -e up "link up" {STATUS} == 1\n'
        f'monitor -r 1 -e down "link down" {STATUS} != 1\n'
    )


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    number = os.getpid()
    network = f"10.79.{number % 250 + 1}"
    here, name = f"tps{number}", f"tpn{number}"
    folder = tmp_path / "snmpd"
    folder.mkdir()
    made = Office(name, network, folder, free_udp_port())
    try:
        for command in (
            f"ip netns add {name}",
            f"ip link add {here} type veth peer name mgmt0 netns {name}",
            f"ip addr add {made.here}/24 dev {here}",
            f"ip link set {here} up",
        ):
            subprocess.run(shlex.split(command), check=True, capture_output=True)
        made.ip(f"addr add {made.there}/24 dev mgmt0")
        made.ip("link set mgmt0 up")
        made.ip("link set lo up")
        made._make_ether1()
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", here], check=False, capture_output=True)


# ---------------------------------------------------------------- polling


async def poller(office: Office, credential: Mapping[str, Any]) -> Poller:
    section = {"credential": "opd", "port": office.port, "uplinks": ["ether1"]}
    target = Target("r1", "router", office.there, section)
    host = FakeHost([target])
    settings = {"credentials": {"opd": credential}, "timeout_s": 1, "retries": 1}
    collector = SnmpCollector(SnmpConfig.model_validate(settings), host)
    await collector.start()
    return Poller(collector, target, host)


@pytest.mark.parametrize("credential", [V2C, V3], ids=["v2c", "v3 authPriv"])
async def test_a_router_is_polled_loses_its_agent_and_gets_it_back(
    office: Office, credential: Mapping[str, Any]
) -> None:
    asking = await poller(office, credential)
    try:
        with office.agent():
            assert set(await asking.ports("liveness", "traffic")) >= {"lo", "mgmt0", "ether1"}
        with pytest.raises(TryAgain):
            await asking.poll("liveness")
        assert asking.emit.readings[-1].fields == {"up": 0}
        with office.agent():
            assert (await asking.device("liveness"))["up"] == 1
            ports = await asking.ports("traffic")
            assert (ports["ether1"]["oper_up"], ports["ether1"]["uplink"]) == (1, 1)
    finally:
        await asking.collector.stop()


@pytest.mark.parametrize("credential", [V2C, V3], ids=["v2c", "v3 authPriv"])
async def test_a_port_that_got_another_index_keeps_its_series(
    office: Office, credential: Mapping[str, Any]
) -> None:
    asking = await poller(office, credential)
    try:
        with office.agent():
            before = {r.series for r in await asking.poll("traffic") if _is(r, "ether1")}
            known = asking.collector._devices["r1"].device
            old = {known.port_name(index): index for index in range(1, 100)}["ether1"]
            office.deal_indexes_anew()
            async with asyncio.timeout(60):  # snmpd itself keeps its table for some seconds
                while True:
                    ports = await asking.ports("traffic")
                    new = {known.port_name(index): index for index in range(1, 100)}["ether1"]
                    if new != old and "in_bps" in ports.get("ether1", {}):
                        break
                    await asyncio.sleep(0.3)
            after = {r.series for r in await asking.poll("traffic") if _is(r, "ether1")}
    finally:
        await asking.collector.stop()
    assert len(before) == 1
    assert before == after


def _is(reading: Any, ifname: str) -> bool:
    return dict(reading.series.tags).get("ifname") == ifname


# ---------------------------------------------------------------- the whole hub


@pytest.mark.parametrize("way", ["v2c trap", "v3 inform"])
def test_a_pulled_cable_is_an_alert_by_its_trap_and_over_when_it_is_plugged(
    office: Office, tmp_path: Path, way: str
) -> None:
    """Nothing but the trap can tell: ports are polled hourly, and the rule waits an hour."""
    port = free_udp_port()
    if way == "v2c trap":
        credential, sink = V2C, f"trap2sink {office.here}:{port} opd-toba"
    else:
        credential = V3
        sink = (
            f"trapsess -Ci -v 3 -u toba -l authPriv -a SHA-256 -A {PASSWORD} "
            f"-x AES -X {SECRET} {office.here}:{port}"
        )
    hourly = {tier: {"period_s": 3600} for tier in ("traffic", "health", "inventory")}
    snmp = {
        "credentials": {"opd": dict(credential)},
        "traps": {"host": office.here, "port": port},
        "tiers": hourly,
    }
    settings = with_library({"snmp": snmp}, {"link_down.for": "1h"})
    section = {"credential": "opd", "port": office.port, "uplinks": ["ether1"]}
    inventory = one_router(office, {"snmp": section})
    with running(tmp_path / "hub", settings, inventory) as hub, office.agent(sink):
        wait_for("ether1 is up", lambda: _oper_up(hub) == 1, 60)
        office.pull_the_cable()
        alert = wait_for("the alert", lambda: _firing(hub, "link_down"), 30)
        assert alert["key"] == "link_down:r1:ifname=ether1"
        said = [e for e in hub.get("/api/v1/events?device=r1") if e["name"] == "linkDown"]
        assert said[0]["text"].startswith("ether1: ifIndex")
        _keep_delay(hub, said[0]["time_ms"])
        office.plug_the_cable()
        wait_for("its end", lambda: not _firing(hub, "link_down"), 30)
        assert _oper_up(hub) == 1


def _keep_delay(hub: Hub, heard_ms: int) -> None:
    """For people (`pytest -s`), not for the test: from the trap's arrival to the alert."""
    fired = [one for one in hub.get("/api/v1/history?device=r1") if one["after"] == "firing"]
    print(f"trap to alert: {fired[0]['time_ms'] - heard_ms} ms")


def test_an_agent_that_is_gone_is_told_apart_from_a_router_that_is_gone(
    office: Office, tmp_path: Path
) -> None:
    quick = {"liveness": {"period_s": 1, "timeout_s": 1}}
    collectors = {
        "snmp": {"timeout_s": 0.3, "retries": 0, "tiers": quick},
        "netprobe": {"count": 1, "timeout_s": 0.5, "tiers": {"ping": {"period_s": 1}}},
    }
    settings = with_library(collectors, {"router_down.for": "4s", "snmp_down.for": "4s"})
    section = {"community": "opd-toba", "port": office.port}
    inventory = one_router(office, {"snmp": section, "netprobe": {}})
    with running(tmp_path / "hub", settings, inventory) as hub:
        with office.agent():
            wait_for("it to be up", lambda: _up(hub, "snmp") == _up(hub, "icmp") == 1)
        wait_for("SNMP alone is down", lambda: _firing(hub, "snmp_down"))
        assert not _firing(hub, "router_down")
        office.ip("link set mgmt0 down")
        wait_for("all of it is down", lambda: _firing(hub, "router_down"))
        wait_for("it is said once", lambda: not _firing(hub, "snmp_down"))


def with_library(collectors: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """Settings with the hub's own rules, some of their values changed."""
    teams = ("kominfo", "dlh", "bpbd", "perikanan", "dishub")
    return {
        "collectors": collectors,
        "rules": {"library": True, "set": dict(values)},
        "teams": {team: {"name": team} for team in teams},
    }


def one_router(office: Office, collect: Mapping[str, Any]) -> dict[str, Any]:
    device = {"id": "r1", "kind": "router", "site": "balige", "address": office.there}
    return {
        "sites": [{"id": "balige", "name": "Balige"}],
        "devices": [{**device, "collect": dict(collect)}],
    }


def _up(hub: Hub, probe: str) -> int | None:
    for one in hub.get("/api/v1/devices/r1")["readings"]:
        if one["field"] == "up" and probe in str(one):
            return int(one["value"])
    return None


def _oper_up(hub: Hub) -> int | None:
    for one in hub.get("/api/v1/devices/r1")["readings"]:
        if one["field"] == "oper_up" and "ether1" in str(one):
            return int(one["value"])
    return None


def _firing(hub: Hub, rule: str) -> Any:
    found = [a for a in hub.get("/api/v1/alerts") if a["rule"] == rule]
    return next((a for a in found if a["state"] == "firing"), None)
