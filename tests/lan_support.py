"""A network of real kernels: hosts in namespaces of their own, behind a bridge.

this machine                    namespace "switch"            namespaces
tpl<pid> 10.8x.n.1 ── veth ──── br0 ──── veth ──────────────── eth0 of each host
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.netprobe.collector import NetprobeCollector
from collectors.netprobe.config import NetprobeConfig
from hub.api import Target
from tests.collector_support import FakeHost, RecordingEmit

SWEEP_S = 0.3


def run(words: str) -> None:
    done = subprocess.run(shlex.split(words), check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{words}: {done.stderr}"


@dataclass
class Machine:
    """A host on the network."""

    namespace: str
    address: str = ""

    def ip(self, words: str) -> None:
        run(f"ip -n {self.namespace} {words}")

    def mac(self, mac: str) -> None:
        self.ip(f"link set eth0 address {mac}")

    def take(self, address: str) -> None:
        """Have one more address."""
        self.ip(f"addr add {address}/24 dev eth0")

    def exec(self, *words: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.namespace, *words)

    def unplug(self) -> None:
        self.ip("link set eth0 down")

    def plug(self) -> None:
        self.ip("link set eth0 up")


@dataclass
class Lan:
    """The bridge, the hosts, and this machine's interface on it."""

    interface: str
    prefix: str
    switch: str
    hosts: list[str] = field(default_factory=list)

    @property
    def own(self) -> str:
        return self.at(1)

    @property
    def network(self) -> str:
        """Part of it: a sweep of 30 addresses is quick."""
        return f"{self.prefix}.0/27"

    def at(self, number: int) -> str:
        return f"{self.prefix}.{number}"

    def connect(self) -> None:
        """Make this machine's interface."""
        run(f"ip link add {self.interface} type veth peer name up0 netns {self.switch}")
        run(f"ip -n {self.switch} link set up0 master br0 up")
        run(f"ip addr add {self.own}/24 dev {self.interface}")
        run(f"ip link set {self.interface} up")

    def add(self, number: int, mac: str = "") -> Machine:
        """One more host, with that last part of its address (0: none)."""
        name = f"{self.switch}-{len(self.hosts)}"
        port = f"p{len(self.hosts)}"
        self.hosts.append(name)
        run(f"ip netns add {name}")
        run(f"ip -n {self.switch} link add {port} type veth peer name eth0 netns {name}")
        run(f"ip -n {self.switch} link set {port} master br0 up")
        machine = Machine(name, self.at(number) if number else "")
        if mac:
            machine.mac(mac)
        if number:
            machine.take(self.at(number))
        machine.ip("link set lo up")
        machine.plug()
        return machine


@contextmanager
def lan(number: int) -> Iterator[Lan]:
    """A network 10.8<number>.x.0/24 until the block ends."""
    pid = os.getpid()
    made = Lan(f"tpl{number}{pid}"[:15], f"10.8{number}.{pid % 250 + 1}", f"tpw{number}{pid}")
    try:
        run(f"ip netns add {made.switch}")
        run(f"ip -n {made.switch} link add br0 type bridge")
        run(f"ip -n {made.switch} link set br0 up")
        made.connect()
        yield made
    finally:
        for name in (*made.hosts, made.switch):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", made.interface], check=False, capture_output=True)


@contextmanager
def dnsmasq(machine: Machine, folder: Path, offers: str) -> Iterator[None]:
    """A real DHCP server on that host; `offers` as in dhcp-range."""
    log = folder / f"{machine.namespace}.log"
    words = machine.exec(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping",
        "--interface=eth0", f"--dhcp-range={offers}", "--log-dhcp", f"--log-facility={log}",
        f"--dhcp-leasefile={folder / machine.namespace}.leases", "--user=root",
    )  # fmt: skip
    server = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        yield
    finally:
        server.terminate()
        _, said = server.communicate(timeout=10)
        assert server.returncode == 0, said


class Watching:
    """The collector, watching a network (and streams) by the real helper."""

    def __init__(
        self,
        targets: Sequence[Target],
        listed: dict[str, str],
        *,
        kept: Mapping[str, Any] | None = None,
        period_s: float = 0.5,
        listen_s: float = 2.0,
    ) -> None:
        tiers = {"lan": {"period_s": period_s}}
        config = {"sweep_s": SWEEP_S, "listen_s": listen_s, "tiers": tiers}
        self.host = FakeHost(targets, listed=listed, kept=kept or {})
        self.emit = RecordingEmit()
        self.collector = NetprobeCollector(NetprobeConfig.model_validate(config), self.host)

    async def __aenter__(self) -> Watching:
        await self.collector.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.collector.stop()

    async def poll(self, tier: str, number: int = 0, times: int = 1) -> dict[str, object]:
        """What the newest reading says after so many polls of that target."""
        for _ in range(times):
            await self.collector.poll(self.host.devices[number], tier, self.emit)
        return dict(self.emit.readings[-1].fields)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(event.name, event.text) for event in self.emit.events]

    def news(self) -> list[tuple[str, str]]:
        """What was told since this was asked last."""
        told = self.told
        self.emit.items = [i for i in self.emit.items if i not in self.emit.events]
        return told


@contextmanager
def flood(machine: Machine) -> Iterator[subprocess.Popen[bytes]]:
    """That host sends invented ARP claims and DHCP offers as fast as it can, until the block ends;
    the process says on a line that it has begun."""
    words = machine.exec(sys.executable, "-m", "tests.lan_flood")
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)
