"""A batch sorted into rows that are new and rows that may already be there.

A point later than everything stored of its series is new and is only appended. A point at a
series' latest time in the same batch joins that row here, in memory. Everything else is late or
sent again and is merged by (series, time) in the database: the last write wins per field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hub.reading import Reading, Value
from hub.store.checks import (
    INT_MAX,
    INT_MIN,
    QUALITY,
    TIME_MAX,
    conflict,
    field_trouble,
    reading_trouble,
    series_trouble,
    value_trouble,
)
from hub.store.tables import Table, Tables

Row = list[Any]


@dataclass(slots=True)
class Part:
    """What a batch holds for one measurement."""

    table: Table
    fresh: list[Row] = field(default_factory=list)
    newest: dict[int, Row] = field(default_factory=dict)
    """By its series' place, the row in `fresh` at its latest time."""
    late: dict[tuple[int, int], Row] = field(default_factory=dict)

    def rows(self, found: Sequence[Row]) -> list[Row]:
        """Rows as long as the table is wide: a batch may have added columns midway."""
        width = len(self.table.slots) + 2
        for row in found:
            if len(row) < width:
                row.extend([None] * (width - len(row)))
        return list(found)


class Sorting:
    """One batch being sorted; new tables, columns and series are made on the way."""

    def __init__(self, tables: Tables, into: str = "") -> None:
        self._tables = tables
        self._into = into
        self.parts: dict[str, Part] = {}
        self.rejected: dict[int, str] = {}

    def add(self, readings: Sequence[Reading]) -> None:
        """Sort a batch, and note which readings are rejected and why.

        Nearly all are new, of a known series, and only finite floats: these become rows at once.
        """
        parts = self.parts
        for index, reading in enumerate(readings):
            series, time_ns, fields, quality = reading
            part = parts.get(series.measurement)
            if part is not None and not quality:
                table = part.table
                layout = table.layouts.get(tuple(fields))
                place = table.names.places.get(series.key)
                if layout is not None and place is not None:
                    values = tuple(fields.values())
                    new = table.latest[place] < time_ns <= TIME_MAX
                    if new and tuple(map(type, values)) == layout.kinds and _finite(values):
                        table.latest[place] = time_ns
                        row = [table.ids[place], time_ns, *layout.arrange((*values, None))]
                        part.fresh.append(row)
                        part.newest[place] = row
                        continue
            trouble = self._add(reading)
            if trouble:
                self.rejected[index] = trouble

    def _add(self, reading: Reading) -> str:
        """Any other reading: what is wrong with it, or nothing."""
        series = reading.series
        trouble = reading_trouble(reading)
        part = self.parts.get(series.measurement)
        if not trouble and (part is None or part.table.place(series.key) is None):
            trouble = series_trouble(series)
        if trouble:
            return trouble
        if part is None:
            table = self._tables.table(self._into or series.measurement)
            part = self.parts[series.measurement] = Part(table)
        values: dict[str, Value] = {}
        trouble = self._values(part.table, reading, values)
        if not trouble:
            self._put(part, reading, values)
            part.table.lay_out(reading.fields)
        return trouble

    def _values(self, table: Table, reading: Reading, values: dict[str, Value]) -> str:
        """The reading's values as they are stored, or why they can't be."""
        slots = table.slots
        for name, value in reading.fields.items():
            kind = type(value)
            if kind is bool:
                value, kind = int(value), int
            slot = slots.get(name)
            if slot is None or kind is not slot.kind:
                trouble = field_trouble(name) or value_trouble(name, value)
                if not trouble and slot is not None:
                    trouble = conflict(name, table.measurement, value, slot.kind)
                if trouble:
                    return trouble
            elif kind is float:
                if value - value != 0.0:  # type: ignore[operator]  # NaN or infinite
                    return value_trouble(name, value)
            elif kind is int:
                if not INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
                    return value_trouble(name, value)
            elif not value.isascii():  # type: ignore[union-attr]
                trouble = value_trouble(name, value)
                if trouble:
                    return trouble
            values[name] = value
        if reading.quality:
            values[QUALITY] = int(reading.quality)
        return ""

    def _put(self, part: Part, reading: Reading, values: dict[str, Value]) -> None:
        table, time_ns = part.table, reading.time_ns
        for name, value in values.items():
            if name not in table.slots:
                self._tables.add_field(table, name, type(value))
        place = table.place(reading.series.key)
        if place is None:
            place = self._tables.add_series(table, reading.series)
        number, latest = table.ids[place], table.latest[place]
        row: Row | None
        if time_ns > latest:
            table.latest[place] = time_ns
            row = _empty(table, number, time_ns)
            part.fresh.append(row)
            part.newest[place] = row
        else:
            row = part.newest.get(place) if time_ns == latest else None
            row = row or part.late.get((number, time_ns))
            if row is None:
                row = part.late[number, time_ns] = _empty(table, number, time_ns)
        places = table.places
        if len(row) < len(places) + 2:
            row.extend([None] * (len(places) + 2 - len(row)))
        for name, value in values.items():
            row[places[name]] = value


def _finite(values: tuple[Any, ...]) -> bool:
    """Their sum tells: it is finite only if all of them are."""
    total = sum(values)
    return bool(total - total == 0.0)


def _empty(table: Table, number: int, time_ns: int) -> Row:
    row: Row = [None] * (len(table.places) + 2)
    row[0], row[1] = number, time_ns
    return row
