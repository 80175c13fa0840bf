"""What a profile asks for, found once by walks (`finding.py`) and then polled instance by instance.

Cells are read by Get, each row with its label; rows are folded into the device's own numbers. A row
whose label changed is another part by now: nothing of it is taken, and the caller is told to look
again. Live tables (stations of an access point) have no rows that last: they are walked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from collectors.snmp.codec import Absent, Value
from collectors.snmp.convert import figure, storage, words
from collectors.snmp.oids import HR_STORAGE_RAM, Oid
from collectors.snmp.parse import Storage, mem_pct
from collectors.snmp.profile import Number, Table, Text, typed
from collectors.snmp.reader import Plan, Reader
from hub.api import Reading, Series
from hub.api import Value as Field

LIVE_ROWS = 1000
"""More stations than this in one table are not folded."""

_FOLDS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "max": max,
    "min": min,
    "sum": sum,
    "count": len,
}


class Item(NamedTuple):
    """A number of a row: its cells are `cells[first:last]`."""

    number: Number
    first: int
    last: int


@dataclass(slots=True, eq=False)
class Row:
    """A part of the device as it is polled, or one number of the device itself."""

    table: str
    series: Series
    label: Text | None
    """Its cell comes first and must still say `said`."""
    said: str
    cells: tuple[Oid, ...]
    items: tuple[Item, ...]

    @property
    def often(self) -> bool:
        return self.items[0].number.often


@dataclass(slots=True)
class Sensors:
    """Everything that a profile found in a device."""

    rows: list[Row] = field(default_factory=list)
    plan: Plan[Row] = field(default_factory=Plan)
    often: Plan[Row] = field(default_factory=Plan)
    """Numbers of the device that are read with its liveness."""
    live: list[Table] = field(default_factory=list)
    folded: dict[str, str] = field(default_factory=dict)
    """Which table makes which field of the device, where no number of its own does."""
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Poll:
    """What one poll found so far."""

    fields: dict[Series, dict[str, Field]] = field(default_factory=dict)
    folds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    memory: dict[str, list[Storage]] = field(default_factory=dict)
    moved: bool = False


async def read(
    reader: Reader, sensors: Sensors, device: Series, now_ns: int, known: Mapping[str, Field]
) -> tuple[list[Reading], bool]:
    """The readings, the device's own first, `known` among its fields, and whether the list of parts
    is out of date.

    Raises `NoAnswer`.
    """
    poll = _Poll({device: dict(known)})
    async for page in reader.read(sensors.plan):
        for row, values in page.rows:
            _take(row, values, sensors, poll)
    for table in sensors.live:
        await _take_live(reader, table, poll)
    own = poll.fields[device]
    for (name, how), numbers in poll.folds.items():
        if numbers or how == "count":
            _put(own, name, float(_FOLDS[how](numbers)))
    for name, rows in poll.memory.items():
        used = mem_pct(rows)
        if used is not None:
            _put(own, name, used)
    found = [Reading(series, now_ns, fields) for series, fields in poll.fields.items() if fields]
    return found, poll.moved


async def read_often(reader: Reader, sensors: Sensors) -> dict[str, Field]:
    """Fields of the device that are read with its liveness. Raises `NoAnswer`."""
    fields: dict[str, Field] = {}
    async for page in reader.read(sensors.often):
        for row, values in page.rows:
            (item,) = row.items
            value = figure(item.number, values)
            if value is not None and item.number.field is not None:
                _put(fields, item.number.field, value)
    return fields


def _take(row: Row, values: Sequence[Value], sensors: Sensors, poll: _Poll) -> None:
    if row.label is not None and words(row.label, values[0]) != row.said:
        poll.moved = poll.moved or values[0] is not Absent.UNREADABLE
        return
    for number, first, last in row.items:
        given = values[first:last]
        if isinstance(given[0], Absent) and given[0] is not Absent.UNREADABLE:
            poll.moved = True
            continue
        if number.ram is not None:
            kept = storage(number, given, HR_STORAGE_RAM, row.said)
            for name in number.fold if kept is not None else ():
                if kept is not None and sensors.folded.get(name) == row.table:
                    poll.memory.setdefault(name, []).append(kept)
            continue
        value = figure(number, given)
        if value is None:
            continue
        if number.field is not None:
            _put(poll.fields.setdefault(row.series, {}), number.field, value)
        for name, how in number.fold.items():
            if sensors.folded.get(name) == row.table:
                poll.folds.setdefault((name, how), []).append(value)


def _put(fields: dict[str, Field], name: str, value: float) -> None:
    fields[name.partition(".")[2]] = typed(name, value)


async def _take_live(reader: Reader, table: Table, poll: _Poll) -> None:
    """Fold what is there now; a walk without proof of its end tells nothing."""
    walk = await reader.walk(table.rows)
    if not walk.complete or len(walk.rows) > LIVE_ROWS:
        return
    for number in table.values:
        numbers = [figure(number, [value]) for _, value in walk.rows]
        for name, how in number.fold.items():
            kept = poll.folds.setdefault((name, how), [])
            kept += [one for one in numbers if one is not None]
