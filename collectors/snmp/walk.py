"""Walks that prove their end.

A walk is complete only when the agent showed what comes after the subtree: endOfMibView, or an
identifier beyond it. An error, an empty reply, an identifier that doesn't increase, too many
rows or silence cut it, with a reason; then nothing may be concluded from what is not there.
"""

from __future__ import annotations

from typing import NamedTuple

from collectors.snmp.client import Denied, NoAnswer, Reply, Session
from collectors.snmp.codec import AUTHORIZATION_ERROR, Absent, VarBind
from collectors.snmp.manners import Size
from collectors.snmp.oids import SYS_UPTIME, BadOid, Oid, arcs

MAX_ROWS = 10_000


class Walk(NamedTuple):
    """The rows of a subtree, in order."""

    rows: list[VarBind]
    complete: bool
    reason: str = ""
    """Why it was cut; empty when complete."""


class Trail:
    """The pure half: takes pages, keeps rows, knows when to stop."""

    def __init__(self, root: Oid, max_rows: int = MAX_ROWS) -> None:
        self.rows: list[VarBind] = []
        self.after = root
        self.result: Walk | None = None
        self._root = root
        self._max_rows = max_rows
        self._last = arcs(root)

    def take(self, page: list[VarBind]) -> None:
        """Follow one page; a short one is not the end."""
        for name, value in page:
            if value is Absent.END_OF_MIB_VIEW:
                return self._end(complete=True)
            try:
                here = arcs(name)
            except BadOid as error:
                return self.cut(f"unreadable identifier ({error})")
            if here <= self._last:
                return self.cut(f"identifier not increasing after row {len(self.rows)}")
            if not name.startswith(self._root):
                return self._end(complete=True)
            if len(self.rows) >= self._max_rows:
                return self.cut(f"more than {self._max_rows} rows")
            self.rows.append((name, value))
            self.after, self._last = name, here
        return None

    def cut(self, reason: str) -> None:
        """Stop without proof."""
        self._end(complete=False, reason=reason)

    def _end(self, *, complete: bool, reason: str = "") -> None:
        self.result = Walk(self.rows, complete, reason)


async def walk(session: Session, root: Oid, size: Size, max_rows: int = MAX_ROWS) -> Walk:
    """Walk a subtree page by page, halving `size` (rows a page) where the agent stumbles.

    Raises `NoAnswer` when the agent answers nothing at all any more, `Denied` when it may not.
    """
    trail = Trail(root, max_rows)
    while trail.result is None:
        asked = size.value
        try:
            reply = await session.bulk(trail.after, asked)
        except NoAnswer:
            await alive(session)
            _stumbled(trail, size, asked, "no answer")
            continue
        await allowed(session, reply)
        if reply.error_status:
            _stumbled(trail, size, asked, reply.error)
        elif not reply.varbinds:
            _stumbled(trail, size, asked, "empty reply")
        else:
            trail.take(reply.varbinds)
            if len(reply.varbinds) >= asked:
                size.worked()
    return trail.result


def _stumbled(trail: Trail, size: Size, asked: int, what: str) -> None:
    if not size.failed(asked):
        trail.cut(f"{what} after row {len(trail.rows)}, asking for one row")


async def alive(session: Session) -> Reply:
    """The cheapest question. It tells a request that was too much from an agent that is gone.

    Raises `NoAnswer` for the latter.
    """
    return await session.get([SYS_UPTIME])


async def allowed(session: Session, reply: Reply) -> None:
    """Some agents say authorizationError for one object, all say it for a user without rights.

    Raises `Denied` for the latter.
    """
    if reply.error_status != AUTHORIZATION_ERROR:
        return
    if (await alive(session)).error_status == AUTHORIZATION_ERROR:
        raise Denied(f"every object is denied ({reply.error})")
