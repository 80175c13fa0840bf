"""SNMP v1: no GetBulk, no Counter64, and one missing name spoils the whole answer.

A page is made of single GetNexts. Where a Get is answered noSuchName, the name that error-index
points at is left out and the rest asked again; the agent's other names don't suffer, and what was
missing is not asked for again until ports are looked for anew (a walk). 64-bit counters look
missing to the callers, who then take the 32-bit ones. Source: RFC 1157 §4.1, RFC 3584 §4.2.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from collectors.snmp.client import CommunitySession, NoAnswer, Query, Reply
from collectors.snmp.codec import GET, GET_NEXT, NO_SUCH_NAME, V1, Absent, VarBind, pdu_request
from collectors.snmp.oids import Oid

MOST_MISSING = 4096
"""Names remembered as missing, per agent."""


class V1Session(CommunitySession):
    """SNMP v1 behind the same four methods."""

    version = V1
    _missing: frozenset[Oid] = frozenset()

    async def get(self, oids: Sequence[Oid]) -> Reply:
        left = [name for name in oids if name not in self._missing]
        missing: set[Oid] = set()
        reply = Reply(0, 0, [], 0.0)
        while left:
            reply = await self.ask(pdu_request(GET, left))
            if reply.error_status != NO_SUCH_NAME or not 1 <= reply.error_index <= len(left):
                break
            missing.add(left.pop(reply.error_index - 1))
            reply = Reply(0, 0, [], reply.seconds)
        if len(self._missing) < MOST_MISSING:
            self._missing |= missing
        if reply.error_status or len(reply.varbinds) != len(left):
            return reply
        return reply._replace(varbinds=_in_order(oids, left, reply.varbinds))

    async def send(self, query: Query) -> Reply:
        return await self.get(query.oids)

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        """So many GetNexts, one after the other; fewer when one of them fails."""
        self._missing = frozenset()
        rows: list[VarBind] = []
        seconds = 0.0
        while len(rows) < max_repetitions:
            try:
                reply = await self.ask(pdu_request(GET_NEXT, [after]))
            except NoAnswer:
                # The next page begins where it was lost, and says so.
                if rows:
                    break
                raise
            seconds += reply.seconds
            if reply.error_status == NO_SUCH_NAME:
                rows.append((after, Absent.END_OF_MIB_VIEW))
                break
            if reply.error_status or len(reply.varbinds) != 1:
                if rows:
                    break
                return reply
            name, _ = reply.varbinds[0]
            rows += reply.varbinds
            if name == after:
                break
            after = name
        return Reply(0, 0, rows, seconds)


def _in_order(oids: Sequence[Oid], left: Sequence[Oid], found: Sequence[VarBind]) -> list[VarBind]:
    """What came, and noSuchInstance for what was left out, in the order that was asked."""
    answers = dict(zip(left, found, strict=True))
    return [answers.get(name, (name, Absent.NO_SUCH_INSTANCE)) for name in oids]
