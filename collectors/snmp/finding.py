"""Finds what a profile asks for in a device, for `sensors.py` to poll.

walk the tables' rows ─► judge their conditions ─► read labels and numbers ─► keep the cells
                                                                             that gave a value
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from collectors.snmp.catalogue import DeviceProfile
from collectors.snmp.codec import Absent, Value
from collectors.snmp.convert import figure, holds, words
from collectors.snmp.oids import Oid, arcs, dotted, from_arcs, shared
from collectors.snmp.parse import text
from collectors.snmp.profile import PARTS, Number, Table
from collectors.snmp.reader import Plan, Reader
from collectors.snmp.sensors import Item, Row, Sensors
from hub.api import Series


class Told(NamedTuple):
    """One thing that was looked for, for people who ask why."""

    field: str
    sensor: str
    oid: str
    raw: str
    value: float | None
    why: str
    """Why there is no value, or why it isn't used; empty when it is."""


async def cells(reader: Reader, wanted: Iterable[Oid]) -> dict[Oid, Value]:
    """Instances that the agent gave an answer for, absent ones too. Raises `NoAnswer`."""
    found: dict[Oid, Value] = {}
    asked = dict.fromkeys(wanted)
    async for page in reader.read(Plan(asked, [(oid,) for oid in asked])):
        for oid, (value,) in page.rows:
            found[oid] = value
    return found


async def find(
    reader: Reader,
    device: Series,
    profile: DeviceProfile,
    before: Sensors | None = None,
    told: list[Told] | None = None,
) -> Sensors:
    """Look for all that the profile asks for. Raises `NoAnswer`.

    A table whose walk has no proof of its end loses nothing: its rows of before stay.
    """
    told = [] if told is None else told
    sensors = Sensors()
    own = await cells(reader, (c for ns in profile.values.values() for n in ns for c in n.columns))
    for name, numbers in profile.values.items():
        _take_own(sensors, device, name, numbers, own, told)
    walked = await _walk(reader, profile, before, sensors, told)
    kept = await _judge(reader, profile, walked)
    await _take_rows(reader, device, profile, walked, kept, sensors, told)
    for key, table in profile.tables.items():
        if table.live:
            sensors.live.append(table)
            for number in table.values:
                for name in number.fold:
                    sensors.folded.setdefault(name, key)
    ordered = sorted(sensors.rows, key=lambda row: len(row.cells))
    sensors.plan = _plan([row for row in ordered if not row.often])
    sensors.often = _plan([row for row in ordered if row.often])
    return sensors


def _plan(rows: Sequence[Row]) -> Plan[Row]:
    return Plan(rows, [row.cells for row in rows])


def _take_own(
    sensors: Sensors,
    device: Series,
    name: str,
    numbers: Sequence[Number],
    given: Mapping[Oid, Value],
    told: list[Told],
) -> None:
    """The first of several sources that gives a number."""
    taken = ""
    for number in numbers:
        columns = number.columns
        values = [given.get(oid) for oid in columns]
        value = figure(number, values)
        why = why_none(number, values) if value is None else ""
        if value is not None and taken:
            why = f"not used: {taken} answers"
        elif value is not None:
            taken = dotted(columns[0])
            item = Item(number, 0, len(columns))
            sensors.rows.append(Row("", device, None, "", columns, (item,)))
            sensors.folded[name] = ""
        told.append(Told(name, "", dotted(columns[0]), _shown(values), value, why))


async def _walk(
    reader: Reader,
    profile: DeviceProfile,
    before: Sensors | None,
    sensors: Sensors,
    told: list[Told],
) -> dict[str, dict[Oid, Value]]:
    """By table: the rows' indexes (encoded) and what stands in the walked column."""
    found: dict[str, dict[Oid, Value]] = {}
    columns: dict[Oid, dict[Oid, Value] | None] = {}
    for key, table in profile.tables.items():
        if table.live:
            continue
        if table.rows not in columns:
            walk = await reader.walk(table.rows)
            if walk.complete:
                columns[table.rows] = {n[len(table.rows) :]: v for n, v in walk.rows}
            else:
                columns[table.rows] = None
                sensors.notes.append(f"walk of {key} ({dotted(table.rows)}) was cut: {walk.reason}")
        rows = columns[table.rows]
        if rows is None:
            _keep(key, table, before, sensors)
        elif rows:
            found[key] = rows
        else:
            told.append(Told(key, "", dotted(table.rows), "", None, "the agent has no such rows"))
    return found


def _keep(key: str, table: Table, before: Sensors | None, sensors: Sensors) -> None:
    if before is None:
        return
    sensors.rows += [row for row in before.rows if row.table == key]
    for number in table.values:
        for name in number.fold:
            if before.folded.get(name) == key:
                sensors.folded.setdefault(name, key)


async def _judge(
    reader: Reader, profile: DeviceProfile, walked: Mapping[str, Mapping[Oid, Value]]
) -> dict[str, list[Oid]]:
    """The rows whose conditions hold."""
    asked: dict[Oid, Value] = {}
    for key, rows in walked.items():
        table = profile.tables[key]
        asked.update({table.rows + index: value for index, value in rows.items()})
    conditions = {
        key: [*table.where, *table.where_any, *(w for n in table.values for w in n.where)]
        for key, table in profile.tables.items()
    }
    wanted = (
        condition.oid + index
        for key, rows in walked.items()
        for condition in conditions[key]
        for index in rows
    )
    asked |= await cells(reader, [oid for oid in wanted if oid not in asked])
    kept = {}
    for key, rows in walked.items():
        table = profile.tables[key]
        kept[key] = [
            index
            for index in rows
            if all(holds(c, asked.get(c.oid + index)) for c in table.where)
            and (
                not table.where_any
                or any(holds(c, asked.get(c.oid + index)) for c in table.where_any)
            )
            and any(_applies(number, index, asked) for number in table.values)
        ]
    return kept


def _applies(number: Number, index: Oid, given: Mapping[Oid, Value]) -> bool:
    return all(holds(condition, given.get(condition.oid + index)) for condition in number.where)


async def _take_rows(
    reader: Reader,
    device: Series,
    profile: DeviceProfile,
    walked: Mapping[str, Mapping[Oid, Value]],
    kept: Mapping[str, Sequence[Oid]],
    sensors: Sensors,
    told: list[Told],
) -> None:
    """Read labels and numbers of the rows, keep the cells that gave something."""
    wanted: list[Oid] = []
    for key, indexes in kept.items():
        table = profile.tables[key]
        if len(indexes) > table.most:
            sensors.notes.append(f"only the first {table.most} of {len(indexes)} {key} are polled")
        if not indexes:
            why = f"none of its {len(walked[key])} rows is what is asked for"
            told.append(Told(key, "", dotted(table.rows), "", None, why))
        for index in indexes[: table.most]:
            wanted += [label.oid + _label_index(table, index) for label in table.label]
            for number in table.values:
                wanted += [c.oid + index for c in number.where]
                wanted += [column + index for column in number.columns]
    given = await cells(reader, wanted)
    names: dict[str, str] = {}
    for key, indexes in kept.items():
        table = profile.tables[key]
        for index in indexes[: table.most]:
            row = _row(key, table, index, device, given, names, told)
            if row is not None:
                sensors.rows.append(row)
                for item in row.items:
                    for name in item.number.fold:
                        sensors.folded.setdefault(name, key)


def _row(
    key: str,
    table: Table,
    index: Oid,
    device: Series,
    given: Mapping[Oid, Value],
    names: dict[str, str],
    told: list[Told],
) -> Row | None:
    """The row as it will be polled; None when it gives no number now."""
    label, said = None, ""
    for candidate in table.label:
        said = words(candidate, given.get(candidate.oid + _label_index(table, index)))
        if said:
            label = candidate
            break
    where = ".".join(map(str, index_arcs(index)))
    title = table.title.format(label=said or f"{key} {where}", index=where)
    # Two parts of one name keep apart by their index; one part of several tables is one series.
    if names.setdefault(f"{key}/{title}", where) != where:
        title = f"{title} #{where}"
    cells_of: list[Oid] = [] if label is None else [label.oid + _label_index(table, index)]
    items: list[Item] = []
    for number in table.values:
        if not _applies(number, index, given):
            continue
        columns = tuple(column + index for column in number.columns)
        values = [given.get(oid) for oid in columns]
        value = figure(number, values) if number.ram is None else _ram(values)
        name = number.field or next(iter(number.fold))
        why = why_none(number, values) if value is None else ""
        told.append(Told(name, title, dotted(columns[0]), _shown(values), value, why))
        if value is not None:
            items.append(Item(number, len(cells_of), len(cells_of) + len(columns)))
            cells_of += columns
    if not items:
        return None
    series = Series.of(PARTS, device.device, sensor=title.rstrip("\\"))
    return Row(key, series, label, shared(said), shared(tuple(cells_of)), tuple(items))


def _ram(values: Sequence[Value]) -> float | None:
    units, size, used = (value if isinstance(value, int) else None for value in values[:3])
    return 100.0 * used / size if units and size and used is not None else None


def index_arcs(index: Oid) -> tuple[int, ...]:
    """The sub-identifiers of an index, which by itself is no object identifier."""
    return arcs(b"\x2b" + index)[2:]


def _label_index(table: Table, index: Oid) -> Oid:
    if not table.index_arcs:
        return index
    return from_arcs((1, 3, *index_arcs(index)[: table.index_arcs]))[1:]


def why_none(number: Number, values: Sequence[Value]) -> str:
    """Why there is no number, for people."""
    for value in values:
        if value is None:
            return "no answer"
        if isinstance(value, Absent):
            return {
                Absent.NO_SUCH_OBJECT: "noSuchObject",
                Absent.NO_SUCH_INSTANCE: "noSuchInstance",
                Absent.END_OF_MIB_VIEW: "endOfMibView",
                Absent.UNREADABLE: "the agent's value can't be read",
            }[value]
    if number.between != Number.model_fields["between"].default:
        low, high = number.between
        return f"stands for none, or is outside {low:g} to {high:g}"
    return "stands for none"


def _shown(values: Sequence[Value]) -> str:
    said = [text(v) if isinstance(v, bytes) else v for v in values if not isinstance(v, Absent)]
    return " / ".join(str(value) for value in said if value is not None)
