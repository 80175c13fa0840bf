"""The regency's routers: SNMP agents on loopback, each with the ports that its place would have."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from firmware_stubs.physics import Physics, bump
from firmware_stubs.router import RouterStub
from firmware_stubs.snmp_model import Port, Router, is_modem

RETUNE_S = 5.0
"""How often loads follow the hour of the day."""
FLAP_S = 3.0
"""A flapping link changes its mind so often."""
LAN_PORTS = 4


class Medium:
    """What an uplink's name tells: its speed and how much an office gets through it, in bit/s."""

    def __init__(self, speed: float, low: float, high: float, descr: str) -> None:
        self.speed = round(speed)
        self.low = low
        self.high = high
        self.descr = descr


MEDIA = {
    "sfp": Medium(10e9, 350e6, 550e6, "RouterOS CCR2004-16G-2S+"),
    "wlan": Medium(300e6, 6e6, 30e6, "RouterOS RBLHGG-60ad"),
    "lte": Medium(50e6, 2e6, 8e6, "RouterOS LtAP LTE6"),
    "ether": Medium(1e9, 8e6, 60e6, "RouterOS RB5009UG+S+"),
}


def medium_of(ifname: str) -> Medium:
    """The medium of an interface, by how its name begins."""
    for head, medium in MEDIA.items():
        if ifname.startswith(head):
            return medium
    return MEDIA["ether"]


def office_hours(hour: float) -> float:
    """Share of the mean load: offices work from eight to four."""
    return 0.35 + 0.95 * bump(hour, 10.5, 2.6) + 0.75 * bump(hour, 14, 2.2)


def make_router(device: Mapping[str, Any], seed: int, now_s: float) -> Router:
    """A router with its uplinks and four LAN ports, of plausible size and load."""
    rng = random.Random(f"{seed}/{device['id']}")
    uplinks = device["collect"]["snmp"].get("uplinks") or ["ether1"]
    medium = medium_of(uplinks[0])
    down = rng.uniform(medium.low, medium.high)
    ports = [
        Port(name, medium_of(name).speed, in_bps=down, out_bps=down / 5, alias="uplink")
        for name in uplinks
    ]
    lans = [f"ether{number}" for number in range(1, 20) if f"ether{number}" not in uplinks]
    shares = [rng.uniform(0.2, 1.0) for _ in range(LAN_PORTS)]
    for name, share in zip(lans, shares, strict=False):
        part = down * share / sum(shares)
        ports.append(Port(name, in_bps=part / 5, out_bps=part, alias="lan"))
    ports[-1].oper_up = False  # most routers have a free port; nobody may be alarmed by it
    for port in ports:
        port.phase = rng.uniform(0, 6.28)
        port.in_octets, port.out_octets = rng.uniform(1e9, 1e13), rng.uniform(1e9, 1e13)
    return Router(
        str(device.get("name") or device["id"]),
        ports,
        now_s=now_s,
        booted_s=now_s - rng.uniform(3, 90) * 86_400,
        descr=medium.descr,
        location=str(device["site"]),
        cpu_pct=rng.uniform(6, 30),
        mem_pct=rng.uniform(25, 60),
    )


class Routers:
    """All of them; faults by the router's id."""

    def __init__(self, devices: Sequence[Mapping[str, Any]], physics: Physics) -> None:
        self.ports: dict[str, int] = {}
        """UDP port by router, once started."""
        self._devices = devices
        self._physics = physics
        self._stubs: dict[str, RouterStub] = {}
        self._uplink: dict[str, str] = {}
        self._usual: dict[str, list[tuple[Port, float, float]]] = {}
        self._dead: set[str] = set()
        self._unreachable: set[str] = set()
        self._flapping: dict[str, bool] = {}

    async def start(self, host: str) -> None:
        """Raises `OSError` when a socket can't be had."""
        clock = asyncio.get_running_loop().time
        for device in self._devices:
            name = device["id"]
            router = make_router(device, self._physics.seed, clock())
            community = device["collect"]["snmp"].get("community", "public")
            stub = RouterStub(router.mib, router, community, clock)
            self._stubs[name] = stub
            self._uplink[name] = router.ports[0].name
            self._usual[name] = [(port, port.in_bps, port.out_bps) for port in router.ports]
            self.ports[name] = await stub.start(host)

    async def stop(self) -> None:
        for stub in self._stubs.values():
            stub.stop()

    async def run(self, now: Callable[[], int]) -> None:
        """Let loads follow the day and links flap, until cancelled."""
        loop = asyncio.get_running_loop()
        retune = loop.time()
        while True:
            if loop.time() >= retune:
                retune = loop.time() + RETUNE_S
                self._retune(office_hours(self._physics.hour(now())), loop.time())
            for name, down in self._flapping.items():
                self._flapping[name] = not down
                self._link(name, up=down)
            await asyncio.sleep(min(FLAP_S, RETUNE_S))

    def dead(self, name: str, active: bool) -> None:
        """Power off; or on again, after which uptime and counters begin at zero."""
        if active:
            self._dead.add(name)
        else:
            self._dead.discard(name)
            self._stubs[name].fault("reboot")
        self._hush(name)

    def unreachable(self, name: str, active: bool) -> None:
        """The way there is broken; the router itself goes on."""
        (self._unreachable.add if active else self._unreachable.discard)(name)
        self._hush(name)

    def flap(self, name: str, active: bool) -> None:
        """Its uplink goes down at once, then up and down."""
        if active:
            self._flapping[name] = True
            self._link(name, up=False)
        else:
            self._flapping.pop(name, None)
            self._link(name, up=True)

    def busy(self, name: str, active: bool) -> None:
        """Its processors are at 97 %."""
        self._switch(name, "cpu_high", active)

    def full(self, name: str, active: bool) -> None:
        """Its uplink carries 97 % of its speed."""
        self._switch(name, "traffic", active, port=self._uplink[name])

    def state(self) -> dict[str, dict[str, Any]]:
        """What is true of each router now, to compare with what was polled.

        `requests`: SNMP messages that came; `uptime_s`; `cpu_pct`, the mean of its processors;
        `mem_pct`; `temperature_c`, `voltage_v`; `modems`, RSRP in dBm by ifName; `interfaces` by
        ifName with `oper_up` (0/1), `speed_bps`, `in_octets` and `out_octets` (octets since boot,
        exact).
        """
        clock = asyncio.get_running_loop().time
        return {name: _state(stub, clock()) for name, stub in self._stubs.items()}

    def _hush(self, name: str) -> None:
        self._switch(name, "dead", name in self._dead or name in self._unreachable)

    def _link(self, name: str, *, up: bool) -> None:
        self._switch(name, "link_down", not up, port=self._uplink[name])

    def _switch(self, name: str, fault: str, active: bool, **words: Any) -> None:
        stub = self._stubs[name]
        (stub.fault if active else stub.clear)(fault, **words)

    def _retune(self, share: float, clock_s: float) -> None:
        for name, ports in self._usual.items():
            router = self._stubs[name].router
            if router is None:
                continue
            router.advance(clock_s)
            for port, down, up in ports:
                port.in_bps, port.out_bps = down * share, up * share


def _state(stub: RouterStub, clock_s: float) -> dict[str, Any]:
    router = stub.router
    if router is None:
        return {"requests": stub.requests}
    router.advance(clock_s)
    return {
        "requests": stub.requests,
        "uptime_s": router.uptime_s,
        "cpu_pct": fmean(router.load_pct(number) for number in range(1, router.processors + 1)),
        "mem_pct": router.mem_pct if router.forced_mem_pct is None else router.forced_mem_pct,
        "temperature_c": router.temperature_c,
        "voltage_v": router.voltage_v,
        "modems": {port.name: router.rsrp_dbm for port in router.ports if is_modem(port)},
        "interfaces": {
            port.name: {
                "oper_up": int(port.admin_up and port.oper_up),
                "speed_bps": port.speed_bps,
                "in_octets": int(port.in_octets),
                "out_octets": int(port.out_octets),
            }
            for port in router.ports
        },
    }
