"""Reads rows of many ports from one agent, in requests of a size that the agent can bear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Generic, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from collectors.snmp.client import NoAnswer, Query, Reply, Session
from collectors.snmp.codec import TOO_BIG, Absent, Value
from collectors.snmp.manners import Size
from collectors.snmp.oids import SYS_UPTIME, Oid, dotted, shared
from collectors.snmp.rates import TICKS, UPTIME_MODULUS, Restart, uptime_passed
from collectors.snmp.walk import MAX_ROWS, Walk, alive, allowed, walk

FIRST_ROWS = 10
FIRST_NAMES = 22
MOST_STEPS = 8
"""Sizes of request whose encoded forms are kept: devices of a kind settle at the same one."""

MOST_TOLD = 3
"""Skipped objects that are named."""

Row = TypeVar("Row")


class Page(Generic[Row]):
    """Rows that came in one PDU, with the sysUpTime of that PDU; or one row that came in several,
    with the sysUpTime of the last one."""

    __slots__ = ("_before", "_passed", "at_s", "lags", "rows", "ticks")

    def __init__(
        self,
        ticks: int | None,
        at_s: float,
        rows: Sequence[tuple[Row, Sequence[Value]]],
        lags: Sequence[int] = (),
    ) -> None:
        self.ticks = ticks
        """None when the agent has no sysUpTime."""
        self.at_s = at_s
        """Our monotonic clock at the answer."""
        self.rows = rows
        self.lags = lags
        """How many ticks before `uptime` each value of the row was read; empty: all in one PDU."""
        self._before: tuple[int, float] | None = None
        self._passed: float | Restart = Restart.NO_TIME

    @property
    def uptime(self) -> int:
        """In ticks; of an agent without sysUpTime our own clock."""
        return _uptime(self.ticks, self.at_s)

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
        """What the agent refused even when asked alone; see `told_of_skipped`."""
        self._rows = Size(min(FIRST_ROWS, max_repetitions), max_repetitions)
        self._names = Size(min(FIRST_NAMES, max_names), max_names)
        self._max_rows = max_rows

    def told_of_skipped(self) -> str:
        """One line about what was skipped since it was asked for last; empty: nothing."""
        more = " and more" if len(self.skipped) > MOST_TOLD else ""
        told = ", ".join(self.skipped[:MOST_TOLD]) + more
        self.skipped.clear()
        return f"the agent can't answer for some objects: {told}" if told else ""

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
        """All rows of a plan. A row that is too much for one request is read in several. What the
        agent refuses even when asked alone is skipped, with a reason in `skipped`; nothing may be
        concluded from its absence. Raises `NoAnswer`."""
        at = 0
        loop = asyncio.get_running_loop()
        while at < len(plan.rows):
            shape = plan.shape
            step = (self._names.value - 1) // shape.width
            if step <= 1:
                page = await self._read_one(plan, at)
                if page is not None:
                    yield page
                at += 1
                continue
            query = shape.query(at, step)
            reply = await self._send(query)
            if isinstance(reply, _Fault):
                self._failed(step * shape.width)
                continue
            rows = plan.rows[at : at + step]
            names = shape.names[at : at + step]
            yield _page(query, reply, zip(rows, names, strict=True), loop.time())
            if len(rows) == step:
                self._names.worked()
            at += step

    async def _read_one(self, plan: Plan[Row], at: int) -> Page[Row] | None:
        """One row, in as many requests as the agent needs; None when it gave nothing of it."""
        names = plan.shape.names[at]
        parts = _Parts(len(names))
        most = max(1, min(len(names), self._names.value - 1))
        done, all_well = 0, True
        while done < len(names):
            asked = names[done : done + most]
            whole = len(asked) == len(names)
            query = plan.shape.query(at, 1) if whole else Query((SYS_UPTIME, *asked))
            reply = await self._send(query)
            if not isinstance(reply, _Fault):
                parts.add(done, _values(query, reply), asyncio.get_running_loop().time())
            else:
                all_well = False
                if len(asked) > 1 and not reply.silence:
                    if reply.too_much:
                        self._failed(len(asked))
                    most = len(asked) // 2
                    continue
                self.skipped.append(f"{reply.why} at {dotted(asked[0])}")
                if reply.too_much and not done:
                    break  # what takes not one name takes none of the others
            done += len(asked)
        if all_well:
            self._names.worked()
        return parts.page(plan.rows[at])

    def _failed(self, names: int) -> None:
        """So many were too much. Half of them is not, perhaps, and sysUpTime before them."""
        self._names.failed(names + 2)

    async def _send(self, query: Query) -> Reply | _Fault:
        """The complete answer, or what was wrong with it. Raises `NoAnswer`."""
        try:
            reply = await self.session.send(query)
        except NoAnswer:
            await alive(self.session)
            return _Fault("no answer", silence=True)
        await allowed(self.session, reply)
        if reply.error_status:
            return _Fault(reply.error, too_much=reply.error_status == TOO_BIG)
        if len(reply.varbinds) != len(query.oids):
            came = f"{len(reply.varbinds)} values for {len(query.oids)} names"
            return _Fault(came, too_much=True)
        return reply


class _Fault(NamedTuple):
    """What was wrong with an answer to several names."""

    why: str
    too_much: bool = False
    """It was the number of names: worth remembering. Else one of them may be to blame."""
    silence: bool = False
    """Each more question about it would cost a time-out."""


class _Parts:
    """One row that comes in several PDUs, each with a sysUpTime of its own."""

    def __init__(self, width: int) -> None:
        self._values: list[Value] = [Absent.UNREADABLE] * width
        self._uptimes = [0] * width
        self._last: tuple[int | None, float] | None = None
        """sysUpTime and our clock, at the last answer."""

    def add(self, at: int, values: Sequence[Value], at_s: float) -> None:
        """sysUpTime, and the row's values from `at` on."""
        ticks = _ticks(values[0])
        uptime = _uptime(ticks, at_s)
        if self._last is not None:
            passed = uptime_passed(_uptime(*self._last), uptime, at_s - self._last[1])
            if passed is Restart.REBOOT:  # what came before it is of another life
                self._values[:at] = [Absent.UNREADABLE] * at
        self._last = ticks, at_s
        end = at + len(values) - 1
        self._values[at:end] = values[1:]
        self._uptimes[at:end] = [uptime] * (end - at)

    def page(self, row: Row) -> Page[Row] | None:
        """What came; None: nothing."""
        if self._last is None:
            return None
        ticks, at_s = self._last
        now = _uptime(ticks, at_s)
        lags = [_lag(uptime, now) for uptime in self._uptimes]
        return Page(ticks, at_s, [(row, self._values)], lags if any(lags) else ())


def _page(
    query: Query, reply: Reply, rows: Iterable[tuple[Row, tuple[Oid, ...]]], at_s: float
) -> Page[Row]:
    values = _values(query, reply)
    found: list[tuple[Row, Sequence[Value]]] = []
    at = 1
    for row, names in rows:
        end = at + len(names)
        found.append((row, values[at:end]))
        at = end
    return Page(_ticks(values[0]), at_s, found)


def _values(query: Query, reply: Reply) -> list[Value]:
    """As they were asked for, sysUpTime first."""
    return [
        value if name == asked else Absent.UNREADABLE
        for (name, value), asked in zip(reply.varbinds, query.oids, strict=True)
    ]


def _ticks(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _uptime(ticks: int | None, at_s: float) -> int:
    """In ticks; of an agent without sysUpTime our own clock."""
    return int(at_s * TICKS) % UPTIME_MODULUS if ticks is None else ticks


def _lag(before: int, now: int) -> int:
    """Ticks from one uptime to the other, over a wrap too; below zero when they overtook."""
    half = UPTIME_MODULUS >> 1
    return (now - before + half) % UPTIME_MODULUS - half
