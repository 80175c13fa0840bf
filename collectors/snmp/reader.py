"""Reads rows of many ports from one agent, in requests of a size that the agent can bear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from collectors.snmp.client import NoAnswer, Query, Reply, Session
from collectors.snmp.codec import Absent, Value
from collectors.snmp.manners import Size
from collectors.snmp.oids import SYS_UPTIME, Oid, dotted, shared
from collectors.snmp.rates import TICKS, UPTIME_MODULUS, Restart, uptime_passed
from collectors.snmp.walk import MAX_ROWS, Walk, alive, walk

FIRST_ROWS = 10
FIRST_NAMES = 22
MOST_STEPS = 8
"""Sizes of request whose encoded forms are kept: devices of a kind settle at the same one."""

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


class Shape:
    """The instances of all rows of a plan. In a fleet most devices have the same columns and
    indexes: what is known of these, and encoded, is kept once for all of them."""

    __slots__ = ("__weakref__", "_queries", "names", "width")

    def __init__(self, names: tuple[tuple[Oid, ...], ...]) -> None:
        self.names = tuple(map(shared, names))
        self.width = max(map(len, names), default=1)
        self._queries: dict[int, dict[int, Query]] = {}
        """By the number of rows, then by the first one."""

    def query(self, at: int, step: int) -> Query:
        """The Get of `step` rows from row `at` on, sysUpTime first."""
        of_step = self._queries.get(step)
        if of_step is None:
            if len(self._queries) >= MOST_STEPS:
                self._queries.clear()
            of_step = self._queries[step] = {}
        found = of_step.get(at)
        if found is None:
            parts = self.names[at : at + step]
            found = of_step[at] = Query(tuple(chain((SYS_UPTIME,), *parts)))
        return found


_shapes: WeakValueDictionary[tuple[tuple[Oid, ...], ...], Shape] = WeakValueDictionary()


@lru_cache(maxsize=256)
def _shape(names: tuple[tuple[Oid, ...], ...]) -> Shape:
    """The same shape for the same names, as long as any plan has it; and for a while longer, since
    devices of a kind are discovered one after the other."""
    found = _shapes.get(names)
    if found is None:
        found = _shapes[names] = Shape(names)
    return found


class Plan(Generic[Row]):
    """Which instances belong to which row."""

    __slots__ = ("rows", "shape")

    def __init__(self, rows: Iterable[Row] = (), instances: Iterable[tuple[Oid, ...]] = ()) -> None:
        """As many of the one as of the other."""
        self.rows = tuple(rows)
        self.shape = _shape(tuple(instances))


class Reader:
    """One agent, and what is known of how much it can be asked."""

    __slots__ = ("_max_rows", "_names", "_rows", "session", "skipped")

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
            shape = plan.shape
            step = max(1, (self._names.value - 1) // shape.width)
            query = shape.query(at, step)
            reply, fault = await self._send(query)
            if reply is not None:
                rows = plan.rows[at : at + step]
                names = shape.names[at : at + step]
                yield _page(query, reply, zip(rows, names, strict=True), loop.time())
                if len(rows) == step:
                    self._names.worked()
                at += step
            elif step > 1:
                self._names.failed(step * shape.width + 1)
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
    query: Query, reply: Reply, rows: Iterable[tuple[Row, tuple[Oid, ...]]], at_s: float
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
