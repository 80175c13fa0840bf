"""One device over time: what its four tiers read, what they conclude, what they emit.

liveness   uptime, answer time; has the device restarted, has its list of ports changed?
traffic    states, octets and their rates
health     processor, memory, errors and discards
inventory  names, texts, and the list of ports itself
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from collectors.snmp import oids as o
from collectors.snmp.codec import Value
from collectors.snmp.config import SnmpSection
from collectors.snmp.health import read_health
from collectors.snmp.parse import number, text
from collectors.snmp.rates import TICKS, Restart, unwrapped_uptime_s, uptime_passed
from collectors.snmp.reader import Reader
from collectors.snmp.table import Table, discover, is_there
from collectors.snmp.traffic import PortReader
from hub.api import Emit, Event, Host, Reading, Series
from hub.api import Value as Field

REDISCOVERY_S = 60.0
"""A device whose list of ports changes all the time is not walked more often than this."""
_WATCHED = (o.SYS_UPTIME, o.ENGINE_TIME, o.HR_SYSTEM_UPTIME, o.IF_NUMBER, o.IF_TABLE_LAST_CHANGE)


class Device:
    """State of one device between polls; tiers may run side by side."""

    def __init__(self, id: str, section: SnmpSection, reader: Reader, host: Host) -> None:
        self.id = id
        self.series = Series.of("device", id, probe="snmp")
        self.tiers: Mapping[str, Callable[[Emit], Awaitable[None]]] = {
            "liveness": self.liveness,
            "traffic": self.traffic,
            "health": self.health,
            "inventory": self.inventory,
        }
        self._section = section
        self._reader = reader
        self._host = host
        self._ports = PortReader(reader, host)
        self._table: Table | None = None
        self._stale = False
        self._discovered_at = float("-inf")
        self._discovering = asyncio.Lock()
        self._uptime: tuple[int, float] | None = None
        self._host_uptime: tuple[int, float] | None = None
        self._shape: tuple[Value, Value] | None = None
        self._unmatched: set[str] = set()
        """Ports that the agent lists under one name and answers for under another."""
        self._told: set[str] = set()

    # ------------------------------------------------------------ tiers

    async def liveness(self, emit: Emit) -> None:
        """The cheapest poll. Raises `NoAnswer`."""
        reply = await self._reader.session.get(_WATCHED)
        at_s = _now_s()
        found = {name: value for name, value in reply.varbinds if is_there(value)}
        fields: dict[str, Field] = {"up": 1}
        if reply.attempts == 1:
            fields["agent_ms"] = reply.seconds * 1000
        host_ticks = number(found.get(o.HR_SYSTEM_UPTIME))
        ticks = number(found.get(o.SYS_UPTIME))
        ticks = host_ticks if ticks is None else ticks
        if ticks is not None:
            fields["uptime_s"] = unwrapped_uptime_s(ticks, number(found.get(o.ENGINE_TIME)))
            await self._saw_uptime(ticks, at_s, emit)
        if host_ticks is not None:
            self._host_uptime = host_ticks, at_s
        shape = found.get(o.IF_NUMBER), found.get(o.IF_TABLE_LAST_CHANGE)
        if self._shape not in (None, shape):
            self._stale = True
        self._shape = shape
        emit(Reading(self.series, self._host.now_ns(), fields))

    async def traffic(self, emit: Emit) -> None:
        """States, octets and rates of every port. Raises `NoAnswer`."""
        table = await self._current_table(emit)
        moved = await self._ports.traffic(table, emit, self._saw_uptime)
        if moved - self._unmatched:
            self._say(f"ports moved or went away: {', '.join(sorted(moved)[:5])}")
            table = await self._discover(emit)
            # What a fresh list can't mend either is a fault of the agent; don't walk for it again.
            self._unmatched = await self._ports.traffic(table, emit, self._saw_uptime)
        self._tell_skipped()

    async def health(self, emit: Emit) -> None:
        """Processor, memory, errors and discards. Raises `NoAnswer`."""
        table = await self._current_table(emit)
        await read_health(self._reader, table, self.series, self._host, emit)
        await self._ports.faults(table, emit)
        self._tell_skipped()

    async def inventory(self, emit: Emit) -> None:
        """Who the device says it is, and its ports anew. Raises `NoAnswer`."""
        found = await self._reader.scalars(o.SYS_DESCR, o.SYS_OBJECT_ID, o.SYS_NAME, o.SYS_LOCATION)
        named = {
            "sys_descr": o.SYS_DESCR,
            "sys_object_id": o.SYS_OBJECT_ID,
            "sys_name": o.SYS_NAME,
            "sys_location": o.SYS_LOCATION,
        }
        fields: dict[str, Field] = {
            key: said for key, name in named.items() if (said := text(found.get(name)))
        }
        if fields:
            emit(Reading(self.series, self._host.now_ns(), fields))
        self._unmatched = set()
        await self._discover(emit)

    # ------------------------------------------------------------ restarts and ports

    async def _saw_uptime(self, ticks: int, at_s: float, emit: Emit) -> None:
        """Compare with the last sysUpTime; a restart is an event and makes the ports stale."""
        before, self._uptime = self._uptime, (ticks, at_s)
        if before is None:
            return
        if uptime_passed(before[0], ticks, at_s - before[1]) is not Restart.REBOOT:
            return
        self._stale = True
        host_before, self._host_uptime = self._host_uptime, None
        name, what = "reboot", "the device restarted"
        if host_before is not None:
            found = await self._reader.scalars(o.HR_SYSTEM_UPTIME)
            host_ticks = number(found.get(o.HR_SYSTEM_UPTIME))
            passed = host_ticks is not None and uptime_passed(
                host_before[0], host_ticks, _now_s() - host_before[1]
            )
            if isinstance(passed, float):
                name, what = "agent_restart", "the SNMP agent restarted, its host did not"
        emit(
            Event(
                self.id,
                name,
                self._host.now_ns(),
                f"{what}: uptime fell from {before[0] / TICKS:.0f} s to {ticks / TICKS:.0f} s",
                {"uptime_s": ticks / TICKS, "uptime_before_s": before[0] / TICKS},
            )
        )

    async def _current_table(self, emit: Emit) -> Table:
        waited = _now_s() - self._discovered_at
        if self._table is None or (self._stale and waited >= REDISCOVERY_S):
            return await self._discover(emit)
        return self._table

    async def _discover(self, emit: Emit) -> Table:
        """Look for ports, processors and memory; one tier at a time, the others wait for it."""
        started = _now_s()
        async with self._discovering:
            if self._table is not None and self._discovered_at >= started:
                return self._table
            self._stale = False
            table = await discover(self._reader, self.id, self._section, self._table)
            self._table, self._discovered_at = table, _now_s()
        for note in table.notes:
            self._say(note)
        now_ns = self._host.now_ns()
        aliases = [Reading(p.series, now_ns, {"alias": p.alias}) for p in table.ports if p.alias]
        if aliases:
            emit(*aliases)
        return table

    # ------------------------------------------------------------ telling

    def _tell_skipped(self) -> None:
        for reason in self._reader.skipped:
            self._host.count("rows_skipped")
            self._say(f"the agent can't answer for one port: {reason}")
        self._reader.skipped.clear()

    def _say(self, what: str) -> None:
        """Once per device and text, not once a poll."""
        if what not in self._told and len(self._told) < 50:
            self._told.add(what)
            self._host.log.warning(what, device=self.id)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
