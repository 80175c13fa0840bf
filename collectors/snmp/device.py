"""One device over time: what its four tiers read, what they conclude, what they emit.

liveness   uptime, answer time; has the device restarted, has its list of ports changed?
traffic    states, octets and their rates
health     what the device's profile asks for, errors and discards
inventory  names, texts, neighbours, and the list of ports and parts itself
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from collectors.snmp import dynamic, neighbours, sensors
from collectors.snmp import oids as o
from collectors.snmp.catalogue import Catalogue, Chosen
from collectors.snmp.client import Turns
from collectors.snmp.codec import Value
from collectors.snmp.config import SnmpSection
from collectors.snmp.finding import Told
from collectors.snmp.neighbours import Who
from collectors.snmp.parse import number
from collectors.snmp.rates import TICKS, Restart, unwrapped_uptime_s, uptime_passed
from collectors.snmp.reader import Reader
from collectors.snmp.table import NoSuchProfile, Table, discover, is_there, recounted
from collectors.snmp.traffic import PortReader
from collectors.snmp.walk import allowed
from hub.api import Emit, Event, Hint, Host, NeverWorks, Phrase, Reading, Series
from hub.api import Value as Field

REBOOTED = Phrase("the device restarted: uptime fell from {before} s to {after} s")
AGENT_RESTARTED = Phrase(
    "the SNMP agent restarted, its host did not: uptime fell from {before} s to {after} s"
)
DAY_S = 86_400.0
REDISCOVERY_S = 60.0
"""A device whose list of ports changes all the time is not walked more often than this."""
UNPROVED_MOST_S = 3600.0
"""A list of ports whose end was not proved is looked for again after two minutes, four, eight …"""
FRESH_S = 600.0
"""At the start of a hub all tiers come soon one after the other: a list of ports that another one
has just made is good enough for the inventory."""
_NONE: frozenset[str] = frozenset()
"""One for all devices: of most of them nothing of that kind is to be told."""
_WATCHED = (o.SYS_UPTIME, o.ENGINE_TIME, o.HR_SYSTEM_UPTIME, o.IF_NUMBER, o.IF_TABLE_LAST_CHANGE)


class Device:
    """State of one device between polls; tiers may run side by side."""

    def __init__(
        self,
        id: str,
        section: SnmpSection,
        reader: Reader,
        host: Host,
        catalogue: Catalogue,
        who: Who = lambda name, address: "",
    ) -> None:
        self.id = id
        self.name = ""
        """What it calls itself (sysName), once that is known."""
        self.refused = False
        """It is there, and does not take us for somebody who may ask."""
        self.series = Series.of("device", id, probe="snmp")
        self._section = section
        self._reader = reader
        self._host = host
        self.told: list[Told] | None = None
        """When somebody wants to know: everything that is looked for, found or not."""
        self._catalogue = catalogue
        self._who = who
        self._proposed = _NONE
        self._ports = PortReader(reader, host)
        self._table: Table | None = None
        self._stale = False
        self._sessions_stale = False
        self._discovered_at = float("-inf")
        self._look_again_s = REDISCOVERY_S
        self._discovering = Turns(1)
        self._uptime: tuple[int, float] | None = None
        self._host_uptime: tuple[int, float] | None = None
        self._shape: tuple[Value, Value] | None = None
        self._restarts: list[float] = []
        """When, by our monotonic clock; of the last day."""
        self._unmatched = _NONE
        """Ports that the agent lists under one name and answers for under another."""
        self._told = _NONE

    @property
    def tiers(self) -> Mapping[str, Callable[[Emit], Awaitable[None]]]:
        """What is read, by tier."""
        return {
            "liveness": self.liveness,
            "traffic": self.traffic,
            "health": self.health,
            "inventory": self.inventory,
        }

    @property
    def chosen(self) -> Chosen | None:
        """Its profile and why, once it answered."""
        return self._table.chosen if self._table is not None else None

    # ------------------------------------------------------------ tiers

    async def liveness(self, emit: Emit) -> None:
        """The cheapest poll. Raises `NoAnswer`."""
        reply = await self._reader.session.get(_WATCHED)
        await allowed(self._reader.session, reply)
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
            self._ports_changed()
        self._shape = shape
        if ticks is not None:
            fields["restarts_day"] = self._restarts_since(at_s - DAY_S)
        if self._table is not None:
            fields |= await sensors.read_often(self._reader, self._table.sensors)
        emit(Reading(self.series, self._host.now_ns(), fields))

    async def traffic(self, emit: Emit) -> None:
        """States, octets and rates of every port. Raises `NoAnswer`."""
        table = await self._current_table(emit)
        moved = await self._ports.traffic(table, emit, self._saw_uptime)
        if moved - self._unmatched:
            self._say(f"ports moved or went away: {', '.join(sorted(moved)[:5])}")
            table = await self._discover(emit)
            # What a fresh list can't mend either is a fault of the agent; don't walk for it again.
            self._unmatched = frozenset(await self._ports.traffic(table, emit, self._saw_uptime))
        if table.sessions.kinds or self._sessions_stale:
            await self._read_sessions(table, emit)
        if self._ports.told.waits(_now_s()):
            emit(Hint(self.id, "a trap said that a port is down, its table not yet", "traffic"))
        self._tell_skipped()

    async def health(self, emit: Emit) -> None:
        """What the profile asks for, errors and discards. Raises `NoAnswer`."""
        table = await self._current_table(emit)
        known = {"ports": len(table.ports), "uplinks_missing": table.missing}
        readings, moved = await sensors.read(
            self._reader, table.sensors, self.series, self._host.now_ns(), known
        )
        if readings:
            emit(*readings)
        self._stale = self._stale or moved
        await self._ports.faults(table, emit)
        self._tell_skipped()

    async def inventory(self, emit: Emit) -> None:
        """Who the device says it is, its ports, parts and neighbours anew. Raises `NoAnswer`."""
        self._unmatched = _NONE
        table = self._table
        if table is None or self._stale or _now_s() - self._discovered_at >= FRESH_S:
            table = await self._discover(emit)
        self.name = table.facts.get("sys_name", "")
        if table.facts:
            emit(Reading(self.series, self._host.now_ns(), dict(table.facts)))
        await self._meet_neighbours(table, emit)

    async def _meet_neighbours(self, table: Table, emit: Emit) -> None:
        """Propose an edge for each neighbour that wasn't there before."""
        ports = {port.index: port.name for port in table.ports}
        found, notes = await neighbours.find(self._reader, ports)
        for note in notes:
            self._say(note)
        edges = neighbours.proposals(self.id, found, self._section.uplinks, self._who)
        fresh = [edge for edge in edges if repr(edge) not in self._proposed]
        self._proposed = frozenset(map(repr, edges)) or _NONE
        if fresh:
            emit(*fresh)

    # ------------------------------------------------------------ traps

    def told_down(self, index: int) -> None:
        """A trap says that this port went down; the next traffic poll tells whether it did."""
        self._ports.told.tell(index, _now_s())

    def port_name(self, index: int) -> str:
        """As far as is known; empty: not."""
        ports = self._table.ports if self._table else ()
        return next((port.name for port in ports if port.index == index), "")

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
        name, what = "reboot", REBOOTED
        if host_before is not None:
            found = await self._reader.scalars(o.HR_SYSTEM_UPTIME)
            host_ticks = number(found.get(o.HR_SYSTEM_UPTIME))
            passed = host_ticks is not None and uptime_passed(
                host_before[0], host_ticks, _now_s() - host_before[1]
            )
            if isinstance(passed, float):
                name, what = "agent_restart", AGENT_RESTARTED
        if name == "reboot":
            self._restarts.append(at_s)
        emit(
            Event.saying(
                self.id,
                name,
                self._host.now_ns(),
                what._replace(
                    values={"before": round(before[0] / TICKS), "after": round(ticks / TICKS)}
                ),
                fields={"uptime_s": ticks / TICKS, "uptime_before_s": before[0] / TICKS},
            )
        )

    def _restarts_since(self, since_s: float) -> int:
        self._restarts = [at_s for at_s in self._restarts if at_s > since_s]
        return len(self._restarts)

    def _ports_changed(self) -> None:
        """Where sessions come and go as ports, that alone is no reason to walk everything."""
        if self._table is not None and self._table.chosen.profile.sessions is not None:
            self._sessions_stale = True
        else:
            self._stale = True

    async def _read_sessions(self, table: Table, emit: Emit) -> None:
        """One walk tells which there are now; anything else that changed makes all stale."""
        self._sessions_stale = False
        names = await dynamic.names_now(self._reader)
        if names is not None and not recounted(self.id, table, names):
            self._stale = True
        readings = await dynamic.read(self._reader, table.sessions, self._host.now_ns())
        if readings:
            emit(*readings)

    async def _current_table(self, emit: Emit) -> Table:
        waited = _now_s() - self._discovered_at
        if self._table is None or (self._stale and waited >= self._look_again_s):
            return await self._discover(emit)
        return self._table

    async def _discover(self, emit: Emit) -> Table:
        """Look for ports, processors and memory; one tier at a time, the others wait for it."""
        started = _now_s()
        async with self._discovering:
            if self._table is not None and self._discovered_at >= started:
                return self._table
            self._stale = False
            try:
                table = await discover(
                    self._reader, self.id, self._section, self._catalogue, self._table, self.told
                )
            except NoSuchProfile as error:
                raise NeverWorks(f"{self.id}: {error}") from None
            self._table, self._discovered_at = table, _now_s()
            self._stale = self._stale or not table.proved
            longer = min(2 * self._look_again_s, UNPROVED_MOST_S)
            self._look_again_s = REDISCOVERY_S if table.proved else longer
        for note in table.notes:
            self._say(note)
        now_ns = self._host.now_ns()
        aliases = [Reading(p.series, now_ns, {"alias": p.alias}) for p in table.ports if p.alias]
        if aliases:
            emit(*aliases)
        return table

    # ------------------------------------------------------------ telling

    def _tell_skipped(self) -> None:
        number = len(self._reader.skipped)
        if number:
            self._host.count("objects_skipped", number)
            self._say(self._reader.told_of_skipped())

    def _say(self, what: str) -> None:
        """Once per device and text, not once a poll."""
        if what not in self._told and len(self._told) < 50:
            self._told |= {what}
            self._host.log.warning(what, device=self.id)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
