"""Old readings from files: CSV (a column for each field, or a row for each value) and JSON lines.

    file ─► rows ─► Reader (pure: mapping, zones, units, manifest) ─► readings, or why a row is bad

A reading that is imported is late: it is stored under its own time, with quality `LATE`, so rules
and liveness don't hear of it. The same file twice gives the same series and times, which stores
keep once.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from hub.clock import from_datetime
from hub.inventory import Inventory
from hub.manifest import Manifest
from hub.pipeline import Checker
from hub.problems import nearest
from hub.reading import BadSeries, Quality, Reading, Series, Value
from hub.units import MOLAR_MASS, Conversion, conversion

TIMES = ("time", "timestamp", "datetime", "ts", "date", "waktu", "tanggal")
DEVICES = ("device", "id", "station", "stasiun", "alat")
FIELD_NAMES = ("field", "parameter")
VALUES = ("value", "nilai")
UNITS = ("unit", "satuan")
MISSING = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
"""Cells that say that there is no value."""
_WITH_UNIT = re.compile(r"(.+?)\s*[\[(](.*)[\])]\s*")
_PER_SECOND = {1e11: 1, 1e14: 10**3, 1e17: 10**6, 1e20: 10**9}
"""Unix times below: in seconds, milliseconds, microseconds, nanoseconds."""


class Column(BaseModel, extra="forbid"):
    """What a column holds."""

    field: str
    unit: str = ""
    """Empty: the field's own."""


class Mapped(BaseModel, extra="forbid"):
    """How a file is to be read: all of it may be left out where the headers say it."""

    measurement: str = "environment"
    time: str = ""
    """The column of the time; default: the first of time, timestamp, datetime, ts, date, waktu."""
    time_format: str = ""
    """As of strptime, such as `%d/%m/%Y %H:%M`; default: ISO 8601 or a Unix time."""
    device: str = ""
    """The column of the device; default: device, id, station, stasiun or alat."""
    devices: dict[str, str] = {}
    """What the file calls a device → its id in the inventory; `""` where no column names it."""
    tags: dict[str, str] = {}
    """Identity tag → column, such as {sensor: Probe}; `sensor` is found by its own name."""
    columns: dict[str, Column | str] = {}
    """Column (or, in a long file, name of the parameter) → field."""
    field: str = ""
    """In a long file: the column that names the field; default: field or parameter."""
    value: str = ""
    unit: str = ""
    delimiter: str = ""
    """Default: whichever of , ; and tab the header has most of."""
    decimal: str = "."


class Row(NamedTuple):
    """One line of the file."""

    line: int
    cells: Mapping[str, Any]


class BadRow(NamedTuple):
    """Why a line is not imported, or not all of it."""

    line: int
    reason: str


class BadFile(Exception):
    """The file as a whole can't be read like this; the message says what to do."""


@dataclass(slots=True)
class Summary:
    """What a file holds for one device."""

    readings: int = 0
    first_ns: int = 0
    last_ns: int = 0
    fields: set[str] = field(default_factory=set)

    def add(self, reading: Reading) -> None:
        self.first_ns = min(self.first_ns or reading.time_ns, reading.time_ns)
        self.last_ns = max(self.last_ns, reading.time_ns)
        self.readings += 1
        self.fields |= reading.fields.keys()


def rows(path: Path, mapped: Mapped) -> Iterator[Row]:
    """The file line by line. Raises `BadFile`, OSError."""
    try:
        if path.suffix.lower() in (".jsonl", ".ndjson", ".json"):
            yield from _json_rows(path)
        else:
            yield from _csv_rows(path, mapped)
    except UnicodeDecodeError as error:
        raise BadFile(f"{path}: is no UTF-8 text ({error.reason}); save it as UTF-8") from None


def _csv_rows(path: Path, mapped: Mapped) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as text:
        head = text.readline()
        text.seek(0)
        delimiter = mapped.delimiter or max(",;\t", key=head.count)
        reader = csv.reader(text, delimiter=delimiter)
        header = [name.strip() for name in next(reader, [])]
        if len(header) < 2:
            raise BadFile(f"{path}:1: a header with at least two columns is needed")
        doubled = {name for name in header if name and header.count(name) > 1}
        if doubled:
            raise BadFile(f"{path}:1: the column {sorted(doubled)[0]!r} is there twice")
        try:
            for cells in reader:
                if cells:
                    found = dict(itertools.zip_longest(header, cells[: len(header)], fillvalue=""))
                    yield Row(reader.line_num, found)
        except csv.Error as error:
            raise BadFile(f"{path}:{reader.line_num}: is no CSV: {error}") from None


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as text:
        for number, line in enumerate(text, 1):
            if not line.strip():
                continue
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                said = None
            yield Row(number, _flat(said) if isinstance(said, dict) else {})


def _flat(said: Mapping[str, Any]) -> dict[str, Any]:
    """Values may stand in an object of their own, `fields` or `m`."""
    inner = {name: part for name, part in said.items() if name in ("fields", "m")}
    found = {name: part for name, part in said.items() if name not in inner}
    for part in inner.values():
        found |= part if isinstance(part, dict) else {}
    return found


class _Target(NamedTuple):
    """What becomes of a column's value."""

    field: str
    convert: Conversion
    raw: tuple[str, Conversion] | None
    """A gas in ppb is kept beside its concentration."""


class Reader:
    """Turns rows of one file into readings. Time is a parameter."""

    def __init__(
        self,
        mapped: Mapped,
        inventory: Inventory,
        manifests: Sequence[Manifest],
        zone: ZoneInfo | None,
        now_ns: int,
    ) -> None:
        """`zone`: of times that say none. Raises `BadFile` for a mapping that can't work."""
        self._mapped = mapped
        self._devices = inventory.devices
        self._zone = zone
        self._now_ns = now_ns
        named = [m for m in manifests if mapped.measurement in m.measurements]
        if not named:
            known = sorted({name for m in manifests for name in m.measurements})
            raise BadFile(
                f"no measurement {mapped.measurement!r}; {nearest(mapped.measurement, known)}"
            )
        # Several collectors may promise the same measurement: the one with most fields of it.
        manifest = max(named, key=lambda m: len(m.measurements[mapped.measurement].fields))
        self._spec = manifest.measurements[mapped.measurement]
        self._checker = Checker(manifest)
        self._targets: dict[tuple[str, str], _Target | str] = {}
        self.ignored: dict[str, str] = {}
        """Columns that hold no field, and why."""

    def read(self, row: Row) -> Reading | BadRow | None:
        """The reading of a row, or why there is none; None: the row has no values.

        Raises `BadFile` for what would be wrong with every row.
        """
        cells = row.cells
        if not cells:
            return BadRow(row.line, "is no JSON object")
        try:
            time_ns = self._time(self._cell(cells, self._mapped.time, TIMES, "time"))
            series = self._series(cells)
            fields = self._fields(cells)
        except ValueError as error:
            return BadRow(row.line, str(error))
        if not fields:
            return None
        reading, refused = self._checker.check(
            Reading(series, time_ns, fields, int(Quality.LATE)), self._now_ns
        )
        if reading is None or refused:
            return BadRow(row.line, f"{refused[0].reason}: {refused[0].detail}")
        return reading

    def _cell(self, cells: Mapping[str, Any], named: str, usual: Sequence[str], what: str) -> Any:
        if named:
            if named not in cells:
                raise BadFile(f"no column {named!r} for the {what}; there are: {_names(cells)}")
            return cells[named]
        lower = {name.lower(): name for name in cells}
        for name in usual:
            if name in lower:
                return cells[lower[name]]
        raise BadFile(
            f"no column for the {what}: name it {usual[0]!r}, or say `{what}: <column>` in a "
            f"--map file; there are: {_names(cells)}"
        )

    def _time(self, cell: Any) -> int:
        text = str(cell).strip()
        try:
            if self._mapped.time_format:
                moment = datetime.strptime(text, self._mapped.time_format)  # noqa: DTZ007  # see below
            elif re.fullmatch(r"\d+(\.\d+)?", text):
                return _unix(text)
            else:
                moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            wanted = self._mapped.time_format or "ISO 8601 or a Unix time"
            raise ValueError(f"{text[:40]!r} is no time ({wanted})") from None
        if moment.tzinfo is None:
            if self._zone is None:
                raise BadFile(
                    f"the time {text!r} says no time zone: give --zone, such as --zone Asia/Jakarta"
                )
            moment = moment.replace(tzinfo=self._zone)
        return from_datetime(moment.astimezone(UTC))

    def _series(self, cells: Mapping[str, Any]) -> Series:
        mapped = self._mapped
        if set(mapped.devices) == {""}:
            name = ""
        else:
            name = str(self._cell(cells, mapped.device, DEVICES, "device")).strip()
        device = mapped.devices.get(name, name)
        if device not in self._devices:
            raise ValueError(
                f"no device {device!r} in the inventory; {nearest(device, self._devices)}"
            )
        tags = {tag: str(cells.get(column, "")).strip() for tag, column in mapped.tags.items()}
        if "sensor" in cells and "sensor" in self._spec.tags:
            tags.setdefault("sensor", str(cells["sensor"]).strip())
        try:
            return Series.of(mapped.measurement, device, **tags)
        except BadSeries as error:
            raise ValueError(str(error)) from None

    def _fields(self, cells: Mapping[str, Any]) -> dict[str, Value]:
        lower = {name.lower(): name for name in cells}
        name = self._mapped.field or next((lower[n] for n in FIELD_NAMES if n in lower), "")
        if name:
            value = self._cell(cells, self._mapped.value, VALUES, "value")
            unit = self._mapped.unit or next((lower[n] for n in UNITS if n in lower), "")
            target = self._target(str(cells.get(name, "")).strip(), str(cells.get(unit, "") or ""))
            if isinstance(target, str):
                raise ValueError(target)
            return self._values([(target, value)])
        found = []
        for column, value in cells.items():
            target = self._target(column, "")
            if isinstance(target, str):
                self.ignored.setdefault(column, target)
            else:
                found.append((target, value))
        return self._values(found)

    def _values(self, found: Sequence[tuple[_Target, Any]]) -> dict[str, Value]:
        fields: dict[str, Value] = {}
        for target, cell in found:
            number = self._number(cell, target.field)
            if number is not None:
                fields[target.field] = target.convert(number)
                if target.raw is not None:
                    fields[target.raw[0]] = target.raw[1](number)
        return fields

    def _number(self, cell: Any, name: str) -> float | None:
        if isinstance(cell, float):
            return cell
        text = "" if cell is None else str(cell).strip()
        if text.lower() in MISSING:
            return None
        if self._mapped.decimal == "," and isinstance(cell, str):
            text = text.replace(".", "").replace(",", ".")
        try:
            return float(text)
        except ValueError:
            comma = (
                ": with a decimal comma say --decimal ," if re.fullmatch(r"-?\d+,\d+", text) else ""
            )
            raise ValueError(f"{name}: {text[:40]!r} is no number{comma}") from None

    def _target(self, column: str, unit: str) -> _Target | str:
        """Where a column or parameter goes; a text says why nowhere."""
        known = self._targets.get((column, unit))
        if known is None:
            known = self._targets[column, unit] = self._find(column, unit)
        return known

    def _find(self, column: str, unit: str) -> _Target | str:
        given = self._mapped.columns.get(column)
        if given is not None:
            name, said = (given, "") if isinstance(given, str) else (given.field, given.unit)
        else:
            match = _WITH_UNIT.fullmatch(column)
            name, said = match.groups() if match else (column, "")
            name = name.strip().lower().replace("pm2.5", "pm25").replace(" ", "_")
        spec = self._spec.fields.get(name)
        if spec is None or spec.type == "string":
            if given is not None:
                raise BadFile(
                    f"columns.{column}: no field {name!r}; {nearest(name, self._spec.fields)}"
                )
            return f"no field {name!r}; {nearest(name, self._spec.fields)}"
        try:
            convert = conversion(unit or said, spec.unit, name)
            raw = f"{name}_ppb"
            if (unit or said) in ("ppb", "ppm") and name in MOLAR_MASS and raw in self._spec.fields:
                return _Target(name, convert, (raw, conversion(unit or said, "ppb")))
        except ValueError as error:
            raise BadFile(f"{column}: {error}") from None
        return _Target(name, convert, None)


def _unix(text: str) -> int:
    whole, _, part = text.partition(".")
    per_second = next((per for most, per in _PER_SECOND.items() if float(text) < most), 10**9)
    nanoseconds = int(whole) * 10**9 // per_second
    return nanoseconds + (int(part[:9].ljust(9, "0")) if part and per_second == 1 else 0)


def _names(cells: Mapping[str, Any]) -> str:
    return ", ".join(repr(name) for name in list(cells)[:20])
