"""What ports carry: states, octets, errors and discards, and their rates. See rates.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from collectors.snmp.codec import Absent, Value
from collectors.snmp.parse import UP, number
from collectors.snmp.rates import Drop, Look, Rates, rates
from collectors.snmp.reader import Page, Reader
from collectors.snmp.table import Port, Table, is_there
from collectors.snmp.told import ToldDown
from hub.api import Emit, Host, Quality, Reading
from hub.api import Value as Field

SHORTEST_FRAME_BITS = 672
"""The least that one Ethernet frame takes on the line (64 octets, preamble, gap): bounds errors."""
SIGNED = (1 << 63) - 1
"""Stores keep 64-bit integers with a sign, so raw counters are kept modulo 2^63."""
_DOUBTED = int(Quality.RATE)
_FAULTS = ("in_errors_ps", "out_errors_ps", "in_discards_ps", "out_discards_ps")
SawUptime = Callable[[int, float, Emit], Awaitable[None]]
"""Told of each sysUpTime (ticks, our clock, emit) that came with counters."""


class PortReader:
    """Reads the ports of one device."""

    __slots__ = ("_host", "_reader", "told")

    def __init__(self, reader: Reader, host: Host) -> None:
        self._reader = reader
        self._host = host
        self.told = ToldDown()

    async def traffic(self, table: Table, emit: Emit, saw_uptime: SawUptime) -> set[str]:
        """Gives the ports whose index has another name, or none, by now. Raises `NoAnswer`, and
        emits what came before."""
        moved: set[str] = set()
        readings: list[Reading] = []
        try:
            async for page in self._reader.read(table.traffic):
                if page.ticks is not None:
                    await saw_uptime(page.ticks, page.at_s, emit)
                now_ns = self._host.now_ns()
                for port, values in page.rows:
                    if values[0] == port.label:
                        readings.append(self._traffic_reading(port, values, page, now_ns))
                    elif values[0] is not Absent.UNREADABLE:
                        moved.add(port.name)
        finally:
            if readings:
                emit(*readings)
        return moved

    def _traffic_reading(
        self, port: Port, values: Sequence[Value], page: Page[Port], now_ns: int
    ) -> Reading:
        oper, admin, in_octets, out_octets, polled_speed = values[1:6]
        port.saw_speed(polled_speed)
        facts, (_, speed, line_rate) = port.facts, port.speed
        look = _look(page, values, slice(3, 5), 6, 64 if facts.wide else 32)
        found = _rates(port.traffic, look, page, line_rate and line_rate / 8)
        if found.drop is not Drop.TOO_SOON:
            port.traffic = look.packed()
        fields: dict[str, Field] = {"uplink": facts.uplink}
        if is_there(oper):
            fields["oper_up"] = 1 if oper == UP else 0
            if self.told and self.told.agrees(port.index, oper != UP, page.at_s):
                fields["told_down"] = 1
        if is_there(admin):
            fields["admin_up"] = 1 if admin == UP else 0
        if speed is not None:
            fields["speed_bps"] = speed
        if isinstance(in_octets, int):
            fields["in_octets"] = in_octets & SIGNED
        if isinstance(out_octets, int):
            fields["out_octets"] = out_octets & SIGNED
        in_rate, out_rate = found.values
        if in_rate is not None:
            fields["in_bps"] = in_rate * 8
        if out_rate is not None:
            fields["out_bps"] = out_rate * 8
        if line_rate and (in_rate is not None or out_rate is not None):
            fields["util_pct"] = 800.0 * max(in_rate or 0.0, out_rate or 0.0) / line_rate
        return Reading(port.series, now_ns, fields, self._doubt(found))

    async def faults(self, table: Table, emit: Emit) -> None:
        """Errors and discards of every port. Raises `NoAnswer`, and emits what came before."""
        readings: list[Reading] = []
        try:
            async for page in self._reader.read(table.faults):
                now_ns = self._host.now_ns()
                for port, values in page.rows:
                    if values[0] == port.label:
                        fields, quality = self._faults(port, values, page)
                        if fields:
                            readings.append(Reading(port.series, now_ns, fields, quality))
        finally:
            if readings:
                emit(*readings)

    def _faults(
        self, port: Port, values: Sequence[Value], page: Page[Port]
    ) -> tuple[dict[str, Field], int]:
        look = _look(page, values, slice(1, 5), 5, 32)
        line_rate = port.speed.line_rate
        found = _rates(port.faults, look, page, line_rate and line_rate / SHORTEST_FRAME_BITS)
        if found.drop is not Drop.TOO_SOON:
            port.faults = look.packed()
        fields: dict[str, Field] = {
            name: rate for name, rate in zip(_FAULTS, found.values, strict=True) if rate is not None
        }
        if port.alias:
            fields["alias"] = port.alias
        return fields, self._doubt(found)

    def _doubt(self, found: Rates) -> int:
        """Count what was dropped; flag what is implausible or can't be known."""
        drop = found.drop
        if drop is None:
            return _DOUBTED if found.ambiguous else 0
        if drop is not Drop.FIRST and drop is not Drop.TOO_SOON:
            self._host.count(f"intervals_dropped_{drop.name.lower()}")
        return _DOUBTED if drop is Drop.IMPLAUSIBLE else 0


def _rates(kept: bytes | None, now: Look, page: Page[Port], fastest: float | None) -> Rates:
    """As `rates`, the time between being worked out once for all rows of a page."""
    before = None if kept is None else Look.unpacked(kept)
    passed = None if before is None else page.since(before.ticks, before.at_s)
    return rates(before, now, fastest, passed)


def _look(
    page: Page[Port], values: Sequence[Value], counters: slice, discontinuity: int, bits: int
) -> Look:
    """Counters as they came, of a row that may have ifCounterDiscontinuityTime at its end."""
    return Look(
        page.uptime,
        page.at_s,
        tuple([value if isinstance(value, int) else None for value in values[counters]]),
        bits,
        number(values[discontinuity]) if len(values) > discontinuity else None,
        tuple(page.lags[counters]),
    )
