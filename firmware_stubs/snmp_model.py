"""A made-up router: ports whose traffic varies with time, uptime, processor and memory.

No clock of its own: `advance(now_s)` moves it. Octets are the exact integral of each port's load,
so a poller that computes rates correctly must find `Port.bps` averaged over its interval.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from collectors.snmp import codec
from collectors.snmp import oids as o
from collectors.snmp.oids import Oid, cell, oid
from firmware_stubs.snmp_mib import Encoded, Mib

_WAVES = ((0.45, 600.0), (0.25, 47.0))
"""Share of the mean and period in seconds of a load's two waves; together below 1."""
ETHERNET = 6
USUAL_RSRP = -98
MAIN_MEMORY = 65536
"""RouterOS has its RAM at this index of hrStorageTable."""


@dataclass(slots=True, eq=False)
class Port:
    """One interface. Loads are means in bit/s; `phase` sets ports apart."""

    name: str
    speed_bps: int = 1_000_000_000
    in_bps: float = 20e6
    out_bps: float = 5e6
    alias: str = ""
    phase: float = 0.0
    admin_up: bool = True
    oper_up: bool = True
    in_octets: float = 0.0
    out_octets: float = 0.0
    in_errors: float = 0.0
    errors_ps: float = 0.0
    forced_bps: float | None = None
    changed_at_s: float | None = None

    def bps(self, mean: float, since_s: float, until_s: float) -> float:
        """Mean load in bit/s between two times, from a long-term mean."""
        if not (self.admin_up and self.oper_up):
            return 0.0
        if self.forced_bps is not None:
            return self.forced_bps
        span = until_s - since_s
        if span <= 0:
            return mean
        swing = 0.0
        for share, period in _WAVES:
            turn = math.tau / period
            swing += (
                share
                * (math.cos(turn * since_s + self.phase) - math.cos(turn * until_s + self.phase))
                / (turn * span)
            )
        return min(mean * (1 + swing), float(self.speed_bps))

    def advance(self, since_s: float, until_s: float) -> None:
        span = until_s - since_s
        self.in_octets += self.bps(self.in_bps, since_s, until_s) * span / 8
        self.out_octets += self.bps(self.out_bps, since_s, until_s) * span / 8
        self.in_errors += self.errors_ps * span


@dataclass(slots=True, eq=False)
class Router:
    """Everything that one router's agent tells."""

    name: str
    ports: Sequence[Port]
    now_s: float = 0.0
    booted_s: float = 0.0
    descr: str = "RouterOS RB5009UG+S+"
    object_id: str = "1.3.6.1.4.1.14988.1"
    location: str = ""
    processors: int = 4
    cpu_pct: float = 14.0
    memory_bytes: int = 1 << 30
    mem_pct: float = 38.0
    forced_cpu_pct: float | None = None
    forced_mem_pct: float | None = None
    table_changed_s: float = 0.0
    mib: Mib = field(init=False)

    def __post_init__(self) -> None:
        self.mib = Mib(_values(self))

    def port(self, name: str) -> Port:
        """Raises `KeyError` with the names there are."""
        for port in self.ports:
            if port.name == name:
                return port
        raise KeyError(f"{self.name} has no port {name!r}; it has {[p.name for p in self.ports]}")

    def advance(self, now_s: float) -> None:
        """Let time pass until `now_s`; earlier times are taken as now."""
        if now_s > self.now_s:
            for port in self.ports:
                port.advance(self.now_s, now_s)
            self.now_s = now_s

    def reboot(self) -> None:
        """Uptime and counters begin at zero, now."""
        self.booted_s = self.now_s
        for port in self.ports:
            port.in_octets = port.out_octets = port.in_errors = 0.0
            port.changed_at_s = None

    def set_link(self, name: str, *, up: bool) -> None:
        """Plug or unplug a port. Raises `KeyError`."""
        port = self.port(name)
        if port.oper_up != up:
            port.oper_up = up
            port.changed_at_s = self.now_s

    @property
    def uptime_s(self) -> float:
        return self.now_s - self.booted_s

    def load_pct(self, processor: int) -> int:
        """hrProcessorLoad of one processor."""
        if self.forced_cpu_pct is not None:
            return round(self.forced_cpu_pct)
        wave = math.sin(self.now_s / 41 + processor) * 0.4
        return round(min(100.0, self.cpu_pct * (1 + wave)))

    @property
    def temperature_c(self) -> float:
        """Inside the case: warmer when the processors are busy."""
        busy = sum(self.load_pct(n) for n in range(1, self.processors + 1)) / self.processors
        return 31.0 + 0.2 * busy + 1.5 * math.sin(self.now_s / 613)

    @property
    def voltage_v(self) -> float:
        """What the adapter gives."""
        return 24.1 + 0.2 * math.sin(self.now_s / 97)

    @property
    def rsrp_dbm(self) -> float:
        """Of its LTE modem."""
        return USUAL_RSRP + self.fading_db

    @property
    def fading_db(self) -> float:
        """How much better than usual all of the modem's numbers are now."""
        return 3 * math.sin(self.now_s / 211)


def is_modem(port: Port) -> bool:
    """RouterOS names LTE modems so."""
    return port.name.startswith("lte")


def office_router(
    name: str, *, ports: int = 5, seed: int = 0, location: str = "", now_s: float = 0.0
) -> Router:
    """An office's router: `ether1` is the uplink, the others sum up to about its load."""
    rng = random.Random(f"{seed}/{name}")
    office = rng.uniform(4e6, 40e6)
    made = [Port("ether1", in_bps=office, out_bps=office / 4, alias="uplink")]
    shares = [rng.uniform(0.2, 1.0) for _ in range(ports - 1)]
    for number, share in enumerate(shares, 2):
        down = office * share / sum(shares)
        made.append(
            Port(f"ether{number}", in_bps=down / 4, out_bps=down, alias=f"lan {number - 1}")
        )
    for port in made:
        port.phase = rng.uniform(0, math.tau)
        port.in_octets, port.out_octets = rng.uniform(1e9, 1e13), rng.uniform(1e9, 1e13)
    return Router(
        name,
        made,
        now_s=now_s,
        booted_s=now_s - rng.uniform(3, 90) * 86_400,
        location=location,
        cpu_pct=rng.uniform(6, 30),
        mem_pct=rng.uniform(25, 60),
    )


# ---------------------------------------------------------------- as an agent tells it


def _ticks(seconds: float) -> Encoded:
    return codec.integer(int(max(0.0, seconds) * 100) % (1 << 32), codec.TIME_TICKS)


def _counter32(number: float) -> Encoded:
    return codec.integer(int(number) % (1 << 32), codec.COUNTER32)


def _counter64(number: float) -> Encoded:
    return codec.integer(int(number) % (1 << 64), codec.COUNTER64)


def _text(words: str) -> Encoded:
    return codec.tlv(codec.OCTETS, words.encode())


def _status(up: bool) -> Encoded:
    return codec.integer(1 if up else 2)


_Values = dict[Oid, Encoded | Callable[[], Encoded]]


def _values(router: Router) -> _Values:
    values: _Values = {
        o.SYS_DESCR: _text(router.descr),
        o.SYS_OBJECT_ID: codec.tlv(codec.OBJECT_ID, oid(router.object_id)),
        o.SYS_UPTIME: lambda: _ticks(router.uptime_s),
        o.SYS_NAME: _text(router.name),
        o.SYS_LOCATION: _text(router.location),
        o.IF_NUMBER: codec.integer(len(router.ports)),
        o.IF_TABLE_LAST_CHANGE: lambda: _ticks(router.table_changed_s),
        o.HR_SYSTEM_UPTIME: lambda: _ticks(router.uptime_s),
        o.ENGINE_TIME: lambda: codec.integer(int(router.uptime_s)),
        **_memory(router),
        **_board(router),
    }
    for index, port in enumerate(router.ports, 1):
        values.update(_port_values(router, port, index))
    for number in range(1, router.processors + 1):
        values[cell(o.HR_PROCESSOR_LOAD, number)] = lambda n=number: codec.integer(  # type: ignore[misc]
            router.load_pct(n)
        )
    return values


def _memory(router: Router) -> _Values:
    def used() -> Encoded:
        share = router.mem_pct if router.forced_mem_pct is None else router.forced_mem_pct
        return codec.integer(int(router.memory_bytes / 1024 * share / 100))

    ram = codec.tlv(codec.OBJECT_ID, oid(o.HR_STORAGE_RAM))
    return {
        cell(o.HR_STORAGE_TYPE, MAIN_MEMORY): ram,
        cell(o.HR_STORAGE_DESCR, MAIN_MEMORY): _text("main memory"),
        cell(o.HR_STORAGE_UNITS, MAIN_MEMORY): codec.integer(1024),
        cell(o.HR_STORAGE_SIZE, MAIN_MEMORY): codec.integer(router.memory_bytes // 1024),
        cell(o.HR_STORAGE_USED, MAIN_MEMORY): used,
    }


def _board(router: Router) -> _Values:
    """What RouterOS tells of its board, and of its LTE modems."""
    values: _Values = {
        _mikrotik("3.8.0"): lambda: codec.integer(round(router.voltage_v * 10)),
        _mikrotik("3.10.0"): lambda: codec.integer(round(router.temperature_c * 10)),
        _mikrotik("4.4.0"): _text("7.16.2"),
        _mikrotik("7.3.0"): _text(f"{crc32(router.name.encode()):08X}"),
    }
    for index, port in enumerate(router.ports, 1):
        if is_modem(port):
            values |= {
                _mikrotik(f"16.1.1.2.{index}"): lambda: _modem(router, -68),
                _mikrotik(f"16.1.1.3.{index}"): lambda: _modem(router, -11),
                _mikrotik(f"16.1.1.4.{index}"): lambda: _modem(router, USUAL_RSRP),
                _mikrotik(f"16.1.1.7.{index}"): lambda: _modem(router, 12),
            }
    return values


def _modem(router: Router, usual: int) -> Encoded:
    """RSSI, RSRQ, RSRP and SINR go up and down together."""
    return codec.integer(round(usual + router.fading_db))


def _mikrotik(tail: str) -> Oid:
    return oid(f"1.3.6.1.4.1.14988.1.1.{tail}")


def _port_values(router: Router, port: Port, index: int) -> _Values:
    def last_change() -> Encoded:
        return _ticks(0 if port.changed_at_s is None else port.changed_at_s - router.booted_s)

    columns: dict[Oid, Encoded | Callable[[], Encoded]] = {
        o.IF_INDEX: codec.integer(index),
        o.IF_DESCR: _text(port.name),
        o.IF_TYPE: codec.integer(ETHERNET),
        o.IF_SPEED: codec.integer(min(port.speed_bps, 0xFFFFFFFF), codec.GAUGE32),
        o.IF_ADMIN_STATUS: lambda: _status(port.admin_up),
        o.IF_OPER_STATUS: lambda: _status(port.admin_up and port.oper_up),
        o.IF_LAST_CHANGE: last_change,
        o.IF_IN_OCTETS: lambda: _counter32(port.in_octets),
        o.IF_IN_DISCARDS: _counter32(0),
        o.IF_IN_ERRORS: lambda: _counter32(port.in_errors),
        o.IF_OUT_OCTETS: lambda: _counter32(port.out_octets),
        o.IF_OUT_DISCARDS: _counter32(0),
        o.IF_OUT_ERRORS: _counter32(0),
        o.IF_NAME: _text(port.name),
        o.IF_HC_IN_OCTETS: lambda: _counter64(port.in_octets),
        o.IF_HC_OUT_OCTETS: lambda: _counter64(port.out_octets),
        o.IF_HIGH_SPEED: codec.integer(port.speed_bps // 1_000_000, codec.GAUGE32),
        o.IF_ALIAS: _text(port.alias),
        o.IF_DISCONTINUITY: _ticks(0),
    }
    return {cell(column, index): value for column, value in columns.items()}
