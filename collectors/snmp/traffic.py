"""What ports carry: states, octets, errors and discards, and their rates. See rates.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from collectors.snmp.codec import Absent, Value
from collectors.snmp.parse import UP, number
from collectors.snmp.rates import TICKS, UPTIME_MODULUS, Drop, Look, Rates, rates
from collectors.snmp.reader import Page, Reader
from collectors.snmp.table import Port, Table, is_there
from hub.api import Emit, Host, Quality, Reading
from hub.api import Value as Field

SHORTEST_FRAME_BITS = 672
"""The least that one Ethernet frame takes on the line (64 octets, preamble, gap): bounds errors."""
SawUptime = Callable[[int, float, Emit], Awaitable[None]]
"""Told of each sysUpTime (ticks, our clock, emit) that came with counters."""


class PortReader:
    """Reads the ports of one device."""

    def __init__(self, reader: Reader, host: Host) -> None:
        self._reader = reader
        self._host = host

    async def traffic(self, table: Table, emit: Emit, saw_uptime: SawUptime) -> set[str]:
        """Emit page by page; gives the ports whose index has another name, or none, by now."""
        moved: set[str] = set()
        async for page in self._reader.read(table.traffic):
            if page.ticks is not None:
                await saw_uptime(page.ticks, page.at_s, emit)
            now_ns = self._host.now_ns()
            readings = []
            for port, values in page.rows:
                if values[0] == port.label:
                    readings.append(self._traffic_reading(port, values, page, now_ns))
                elif values[0] is not Absent.UNREADABLE:
                    moved.add(port.name)
            if readings:
                emit(*readings)
        return moved

    def _traffic_reading(
        self, port: Port, values: Sequence[Value], page: Page[Port], now_ns: int
    ) -> Reading:
        _, oper, admin, in_octets, out_octets, polled_speed = values[:6]
        speed = port.speed(number(polled_speed))
        line_rate = port.line_rate(speed)
        look = _look(page, values[3:5], values[6:], bits=64 if port.wide else 32)
        found = rates(port.traffic, look, None if line_rate is None else line_rate / 8)
        if found.drop is not Drop.TOO_SOON:
            port.traffic = look
        fields: dict[str, Field] = {"uplink": port.uplink}
        for name, status in (("oper_up", oper), ("admin_up", admin)):
            if is_there(status):
                fields[name] = int(status == UP)
        if speed is not None:
            fields["speed_bps"] = speed
        for name, octets in (("in_octets", in_octets), ("out_octets", out_octets)):
            if isinstance(octets, int):
                fields[name] = octets & (1 << 63) - 1
        bps = [None if rate is None else rate * 8 for rate in found.values]
        for name, rate in zip(("in_bps", "out_bps"), bps, strict=True):
            if rate is not None:
                fields[name] = rate
        known = [rate for rate in bps if rate is not None]
        if line_rate and known:
            fields["util_pct"] = 100.0 * max(known) / line_rate
        return Reading(port.series, now_ns, fields, self._doubt(found))

    def _doubt(self, found: Rates) -> int:
        """Count what was dropped; flag what is implausible or can't be known."""
        if found.drop not in (None, Drop.FIRST, Drop.TOO_SOON):
            self._host.count(f"intervals_dropped_{found.drop.name.lower()}")
        doubted = found.drop is Drop.IMPLAUSIBLE or found.ambiguous
        return int(Quality.RATE) if doubted else 0

    async def faults(self, table: Table, emit: Emit) -> None:
        """Errors and discards of every port. Raises `NoAnswer`."""
        async for page in self._reader.read(table.faults):
            now_ns = self._host.now_ns()
            readings = [
                reading
                for port, values in page.rows
                if values[0] == port.label
                and (reading := self._fault_reading(port, values, page, now_ns))
            ]
            if readings:
                emit(*readings)

    def _fault_reading(
        self, port: Port, values: Sequence[Value], page: Page[Port], now_ns: int
    ) -> Reading | None:
        look = _look(page, values[1:5], values[5:], bits=32)
        line_rate = port.line_rate(port.speed(port.if_speed))
        fastest = None if line_rate is None else line_rate / SHORTEST_FRAME_BITS
        found = rates(port.faults, look, fastest)
        if found.drop is not Drop.TOO_SOON:
            port.faults = look
        fields: dict[str, Field] = {}
        names = ("in_errors_ps", "out_errors_ps", "in_discards_ps", "out_discards_ps")
        for name, rate in zip(names, found.values, strict=True):
            if rate is not None:
                fields[name] = rate
        if port.alias:
            fields["alias"] = port.alias
        if not fields:
            return None
        return Reading(port.series, now_ns, fields, self._doubt(found))


def _look(
    page: Page[Port], counters: Sequence[Value], discontinuity: Sequence[Value], bits: int
) -> Look:
    """Counters as they came; an agent without sysUpTime is measured by our own clock."""
    ticks = page.ticks
    if ticks is None:
        ticks = int(page.at_s * TICKS) % UPTIME_MODULUS
    return Look(
        ticks,
        page.at_s,
        tuple(number(value) for value in counters),
        bits,
        number(discontinuity[0]) if discontinuity else None,
    )
