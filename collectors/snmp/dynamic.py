"""Ports that come and go with people's sessions (`<pppoe-siti>`): counted and summed, by kind.

Each of them as a series of its own would make hundreds that nobody looks at and that never end.
Which there are is walked for at every poll (ifName); a change of them is no reason for more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collectors.snmp import oids as o
from collectors.snmp.codec import Value
from collectors.snmp.oids import Oid, cell
from collectors.snmp.parse import number, text
from collectors.snmp.rates import Drop, Look, rates
from collectors.snmp.reader import Plan, Reader
from hub.api import Reading, Series

MOST = 2000
"""Sessions beyond are counted, their traffic is left out of the sum."""


@dataclass(slots=True, eq=False)
class Session:
    """One dynamic port, as long as its index holds that name."""

    label: Value
    series: Series
    """Of its kind."""
    cells: tuple[Oid, ...]
    look: Look | None = None


@dataclass(slots=True)
class Sessions:
    """All dynamic ports of a device."""

    by_name: dict[str, Session] = field(default_factory=dict)
    kinds: dict[Series, int] = field(default_factory=dict)
    """How many there are of each kind; a kind that was seen stays, at 0."""
    plan: Plan[Session] = field(default_factory=Plan)


NONE = Sessions()
"""Of most devices, and never changed."""


def kind_of(pattern: re.Pattern[str] | None, name: str) -> str:
    """`pppoe-*` for `<pppoe-siti>`; empty for a port like others."""
    found = pattern.search(name) if pattern is not None else None
    if found is None:
        return ""
    return f"{found[1] if found.groups() else 'session'}-*"


def split(
    pattern: re.Pattern[str] | None, names: Mapping[int, Value]
) -> tuple[dict[int, Value], dict[int, Value]]:
    """Ports like others, and dynamic ones."""
    if pattern is None:
        return dict(names), {}
    dynamic = {index: name for index, name in names.items() if pattern.search(text(name))}
    return {index: name for index, name in names.items() if index not in dynamic}, dynamic


def taken(
    device: str,
    pattern: re.Pattern[str] | None,
    dynamic: Mapping[int, Value],
    before: Sessions | None,
) -> Sessions:
    """Today's sessions; one that was there before goes on where it was."""
    known = before.by_name if before is not None else {}
    if not dynamic and not (before and before.kinds):
        return NONE
    found = Sessions(kinds=dict.fromkeys(before.kinds, 0) if before is not None else {})
    for index, label in dynamic.items():
        name = text(label)
        series = Series.of("interface", device, ifname=kind_of(pattern, name))
        found.kinds[series] = found.kinds.get(series, 0) + 1
        cells = tuple(
            cell(column, index) for column in (o.IF_NAME, o.IF_HC_IN_OCTETS, o.IF_HC_OUT_OCTETS)
        )
        same = known.get(name)
        if len(found.by_name) < MOST:
            look = same.look if same is not None and same.cells == cells else None
            found.by_name[name] = Session(label, series, cells, look)
    sessions = found.by_name.values()
    found.plan = Plan(sessions, [session.cells for session in sessions])
    return found


async def read(reader: Reader, sessions: Sessions, now_ns: int) -> list[Reading]:
    """A reading a kind. A session that just went is left out of the sum. Raises `NoAnswer`."""
    sums: dict[Series, list[tuple[float, float]]] = {series: [] for series in sessions.kinds}
    async for page in reader.read(sessions.plan):
        for session, values in page.rows:
            if values[0] != session.label:
                continue
            look = Look(page.uptime, page.at_s, (number(values[1]), number(values[2])))
            found = rates(session.look, look)
            if found.drop is not Drop.TOO_SOON:
                session.look = look
            received, sent = found.values
            if received is not None and sent is not None:
                sums[session.series].append((received * 8, sent * 8))
    return [_reading(series, n, sums[series], now_ns) for series, n in sessions.kinds.items()]


def _reading(
    series: Series, count: int, bps: Sequence[tuple[float, float]], now_ns: int
) -> Reading:
    fields: dict[str, float | int | str] = {"sessions": count}
    if bps or not count:
        fields["in_bps"] = sum((received for received, _ in bps), 0.0)
        fields["out_bps"] = sum((sent for _, sent in bps), 0.0)
    return Reading(series, now_ns, fields)


async def names_now(reader: Reader) -> dict[int, Value] | None:
    """ifName by index; None when the walk has no proof of its end. Raises `NoAnswer`."""
    walk = await reader.walk(o.IF_NAME)
    if not walk.complete:
        return None
    found: dict[int, Value] = {}
    for name, value in walk.rows:
        index = o.index_of(o.IF_NAME, name)
        if index is not None:
            found[index] = value
    return found
