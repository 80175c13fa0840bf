"""Reads rows of many ports from one agent, in requests of a size that the agent can bear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Generic, TypeVar

from collectors.snmp.client import NoAnswer, Query, Reply, Session
from collectors.snmp.codec import Absent, Value
from collectors.snmp.manners import Size
from collectors.snmp.oids import SYS_UPTIME, Oid, dotted
from collectors.snmp.rates import TICKS, UPTIME_MODULUS, Restart, uptime_passed
from collectors.snmp.walk import MAX_ROWS, Walk, alive, walk

FIRST_ROWS = 10
FIRST_NAMES = 22

Row = TypeVar("Row")


class Page(Generic[Row]):
    """Rows that came in one PDU, with the sysUpTime of that PDU."""

    __slots__ = ("_before", "_passed", "at_s", "rows", "ticks")

    def __init__(
        self, ticks: int | None, at_s: float, rows: Sequence[tuple[Row, Sequence[Value]]]
    ) -> None:
        self.ticks = ticks
        """None when the agent has no sysUpTime."""
        self.at_s = at_s
        """Our monotonic clock at the answer."""
        self.rows = rows
        self._before: tuple[int, float] | None = None
        self._passed: float | Restart = Restart.NO_TIME

    @property
    def uptime(self) -> int:
        """In ticks; of an agent without sysUpTime our own clock."""
        return int(self.at_s * TICKS) % UPTIME_MODULUS if self.ticks is None else self.ticks

    def since(self, ticks: int, at_s: float) -> float | Restart:
        """Seconds of the device's uptime since an earlier page (see `uptime_passed`). Nearly all
        rows of a page were read together before, so the last answer is kept."""
        if self._before != (ticks, at_s):
            self._before = ticks, at_s
            self._passed = uptime_passed(ticks, self.uptime, self.at_s - at_s)
        return self._passed


class Plan(Generic[Row]):
    """Which instances belong to which row; keeps the encoded requests for as long as it lives."""

    def __init__(self, rows: Sequence[tuple[Row, tuple[Oid, ...]]]) -> None:
        self.rows = [(row, _shared(oids)) for row, oids in rows]
        self.width = max((len(oids) for _, oids in rows), default=1)
        self._queries: dict[int, Query] = {}
        self._step = 0

    def query(self, at: int, step: int) -> Query:
        """The Get of `step` rows from row `at` on, sysUpTime first."""
        if step != self._step:
            self._queries.clear()
            self._step = step
        found = self._queries.get(at)
        if found is None:
            parts = [names for _, names in self.rows[at : at + step]]
            found = self._queries[at] = _query(tuple(chain((SYS_UPTIME,), *parts)))
        return found


@lru_cache(maxsize=65_536)
def _shared(oids: tuple[Oid, ...]) -> tuple[Oid, ...]:
    """The same tuple for the same names: in a fleet most devices have the same columns and indexes.

    What falls out of the cache is only held twice.
    """
    return oids


@lru_cache(maxsize=4096)
def _query(oids: tuple[Oid, ...]) -> Query:
    """The same query, so that it is encoded once for all devices of its shape."""
    return Query(oids)


class Reader:
    """One agent, and what is known of how much it can be asked."""

    def __init__(
        self, session: Session, max_repetitions: int, max_names: int, max_rows: int = MAX_ROWS
    ) -> None:
        self.session = session
        self.skipped: list[str] = []
        """What the agent refused even when asked alone, for the log; the caller clears it."""
        self._rows = Size(min(FIRST_ROWS, max_repetitions), max_repetitions)
        self._names = Size(min(FIRST_NAMES, max_names), max_names)
        self._max_rows = max_rows

    async def walk(self, root: Oid) -> Walk:
        """A subtree. Raises `NoAnswer`."""
        return await walk(self.session, root, self._rows, self._max_rows)

    async def scalars(self, *oids: Oid) -> dict[Oid, Value]:
        """A few instances; those that the agent doesn't have are left out. Raises `NoAnswer`."""
        reply = await self.session.get(oids)
        if reply.error_status:
            return {}
        asked = set(oids)
        return {
            name: value
            for name, value in reply.varbinds
            if name in asked and not isinstance(value, Absent)
        }

    async def read(self, plan: Plan[Row]) -> AsyncIterator[Page[Row]]:
        """All rows of a plan. A row that the agent can't answer alone is skipped, with a reason
        in `skipped`; nothing may be concluded from its absence. Raises `NoAnswer`."""
        at = 0
        loop = asyncio.get_running_loop()
        while at < len(plan.rows):
            step = max(1, (self._names.value - 1) // plan.width)
            query = plan.query(at, step)
            reply, fault = await self._send(query)
            if reply is not None:
                rows = plan.rows[at : at + step]
                yield _page(query, reply, rows, loop.time())
                if len(rows) == step:
                    self._names.worked()
                at += step
            elif step > 1:
                self._names.failed(step * plan.width + 1)
            else:
                self.skipped.append(f"{fault} at {dotted(query.oids[1])}")
                at += 1

    async def _send(self, query: Query) -> tuple[Reply | None, str]:
        """The complete answer, or None and what was wrong with it. Raises `NoAnswer`."""
        try:
            reply = await self.session.send(query)
        except NoAnswer:
            await alive(self.session)
            return None, "no answer"
        if reply.error_status:
            return None, reply.error
        if len(reply.varbinds) != len(query.oids):
            return None, f"{len(reply.varbinds)} values for {len(query.oids)} names"
        return reply, ""


def _page(
    query: Query, reply: Reply, rows: Sequence[tuple[Row, tuple[Oid, ...]]], at_s: float
) -> Page[Row]:
    values: list[Value] = [
        value if name == asked else Absent.UNREADABLE
        for (name, value), asked in zip(reply.varbinds, query.oids, strict=True)
    ]
    ticks = values[0] if isinstance(values[0], int) else None
    found: list[tuple[Row, Sequence[Value]]] = []
    at = 1
    for row, names in rows:
        end = at + len(names)
        found.append((row, values[at:end]))
        at = end
    return Page(ticks, at_s, found)
