"""The tables inside the embedded store, and which field and series is where in them.

    hub_format        version            of this layout; a newer one is refused, never guessed at
    hub_measurements  measurement, table_name
    hub_fields        measurement, field, column_name, type
    hub_series        id, measurement, key (rollups: of their readings), tags (JSON)
    hub_lanes         lane, last_id      written in the transaction of the batch it speaks of
    <table>      series, time (UTC ns), a column for each field ever seen

There is one row per (series, time) and no index: points arrive in order of time, so a new one is
known to be new by its series' latest time, and only late or repeated ones are looked for.
DuckDB's names ignore case and InfluxDB's don't, hence the catalogue between names and columns.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

import duckdb

from hub.reading import Series, Value
from hub.rollup import TIERS
from hub.store.base import StoreRefused
from hub.store.sql import SQL_TYPE, Slot, identifier

VERSION = 2
NEVER = -1
"""Before the time of any point."""
NOBODY = -1
"""The id of a series that a table does not have …"""
NOT_HERE = 2**63 - 1
"""… and its latest time there: none is later, so that who looks for new points looks twice."""
LATE = "hub_late"
"""The temporary table of points that may already be stored."""

MOST_LAYOUTS = 1000
ROWS = 10_000

_OURS = ("hub_format", "hub_measurements", "hub_fields", "hub_series", "hub_lanes", LATE)
_KINDS: dict[str, type] = {name: kind for kind, name in SQL_TYPE.items()}


class Layout(NamedTuple):
    """How the values of certain fields, all of them floats, become a row."""

    kinds: tuple[type, ...]
    arrange: Callable[[tuple[Value | None, ...]], tuple[Value | None, ...]]
    """Values in the order of the fields and a None behind them, to columns in order."""


@dataclass(slots=True)
class Names:
    """The series of a measurement, held once for its readings and their rollups; each has a place
    among them, by which the tables know it."""

    places: dict[str, int] = field(default_factory=dict)
    """By series key."""
    series: list[Series] = field(default_factory=list)
    of_device: dict[str, array[int]] = field(default_factory=dict)
    """The places of each device's series: of a network most questions ask for some devices."""
    tables: list[Table] = field(default_factory=list)
    """Whose series these are."""

    def place(self, series: Series) -> int:
        """Where it is; a new one is last."""
        place = self.places.get(series.key)
        if place is None:
            place = self.places[series.key] = len(self.series)
            self.series.append(series)
            self.of_device.setdefault(series.device, array("i")).append(place)
            for table in self.tables:
                table.make_room(place + 1)
        return place


@dataclass(slots=True)
class Table:
    """One measurement. Readers may use what `publish` saw: committed columns and series."""

    measurement: str
    name: str
    slots: dict[str, Slot] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    """Field to its place in a row, series and time being 0 and 1."""
    names: Names = field(default_factory=Names)
    """Its own until it has a series."""
    ids: array[int] = field(default_factory=lambda: array("i"))
    """By place, what its series are called in the database; `NOBODY` where it has none …"""
    latest: array[int] = field(default_factory=lambda: array("q"))
    """… and the latest time that is stored; `NEVER`: nothing is; `NOT_HERE` where it has none."""
    admitted: array[int] = field(default_factory=lambda: array("i"))
    """The places of its series, in the order in which they came."""
    layouts: dict[tuple[str, ...], Layout] = field(default_factory=dict)
    """By the fields of a reading, where they need no second look."""
    tags: set[str] = field(default_factory=set)
    """The names of all tags of its series."""
    public_slots: dict[str, Slot] = field(default_factory=dict)
    public_series: int = 0
    public_until: int = NOBODY
    """The last id that readers may know of; ids grow."""

    @property
    def columns(self) -> list[str]:
        return ["series", "time", *(slot.column for slot in self.slots.values())]

    def join(self, names: Names) -> None:
        """Know series by their places there."""
        self.names = names
        names.tables.append(self)
        self.make_room(len(names.series))

    def make_room(self, places: int) -> None:
        """There are so many series now, of this table or of another."""
        more = places - len(self.ids)
        self.ids.extend([NOBODY] * more)
        self.latest.extend([NOT_HERE] * more)

    def place(self, key: str) -> int | None:
        """Where a series of this table is; None: it has none of that key."""
        place = self.names.places.get(key)
        return None if place is None or self.ids[place] == NOBODY else place

    def admit(self, number: int, series: Series) -> int:
        """One more series; its place."""
        place = self.names.place(series)
        self.ids[place], self.latest[place] = number, NEVER
        self.admitted.append(place)
        names = {name for name, _ in series.tags}
        if not names <= self.tags:
            self.tags |= names
            self.layouts.clear()  # a field may be called like one of them
        return place

    def lay_out(self, fields: Mapping[str, Value]) -> None:
        """Note how readings with these fields become rows, if they are floats."""
        names = tuple(fields)
        if (
            names in self.layouts
            or len(self.layouts) >= MOST_LAYOUTS
            or not self.tags.isdisjoint(names)
            or any(self.slots[name].kind is not float for name in names)
        ):
            return
        last = max(self.places[name] for name in names)
        column = {self.places[name]: index for index, name in enumerate(names)}
        order = [column.get(place, len(names)) for place in range(2, last + 1)]
        # `itemgetter` of one item gives no tuple.
        arrange = itemgetter(*order) if len(order) > 1 else lambda values: values[:1]
        self.layouts[names] = Layout((float,) * len(names), arrange)

    def publish(self) -> None:
        self.public_slots = dict(self.slots)
        self.public_series = len(self.admitted)
        if self.admitted:
            self.public_until = self.ids[self.admitted[-1]]

    def public(self, devices: Iterable[str] | None = None) -> Iterator[tuple[int, Series]]:
        """The series that readers may know of, with their ids; of these devices, or of all."""
        ids, series = self.ids, self.names.series
        if devices is None:
            return ((ids[at], series[at]) for at in islice(self.admitted, self.public_series))
        of_device, until = self.names.of_device, self.public_until
        places = (at for device in devices for at in of_device.get(device, ()))
        return ((ids[at], series[at]) for at in places if NOBODY < ids[at] <= until)

    def devices(self, since_ns: int) -> set[str]:
        """Those that have a point as young as that."""
        latest, series = self.latest, self.names.series
        return {series[at].device for at in self.admitted if latest[at] >= since_ns}

    def fresh(self) -> Iterator[tuple[int, Series]]:
        """Those that came since."""
        ids, series = self.ids, self.names.series
        return ((ids[at], series[at]) for at in self.admitted[self.public_series :])


class Tables:
    """The catalogue, in memory and in the database. Everything it adds joins the transaction.

    After a rollback it must be made anew: memory is then ahead of the database.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._series = 0
        """How many ids of series are taken."""
        self._names: dict[str, Names] = {}
        """By the measurement of the series, which a rollup's table is not called by."""
        self.by_measurement: dict[str, Table] = {}
        self._prepare()
        self._load()

    def table(self, measurement: str) -> Table:
        """The table of a measurement, made if it is new."""
        found = self.by_measurement.get(measurement)
        if found is not None:
            return found
        taken = [*_OURS, *(table.name for table in self.by_measurement.values())]
        table = Table(measurement, _free_name(measurement, taken))
        self._connection.execute(
            f"CREATE TABLE {identifier(table.name)} (series INTEGER, time BIGINT)"
        )
        self._connection.execute(
            "INSERT INTO hub_measurements VALUES (?, ?)", [measurement, table.name]
        )
        self.by_measurement[measurement] = table
        return table

    def add_field(self, table: Table, name: str, kind: type) -> None:
        """A column for a field seen for the first time; its type is `kind` for ever."""
        column = _free_name(name, table.columns)
        self._connection.execute(
            f"ALTER TABLE {identifier(table.name)} ADD COLUMN {identifier(column)} {SQL_TYPE[kind]}"
        )
        self._connection.execute(
            "INSERT INTO hub_fields VALUES (?, ?, ?, ?)",
            [table.measurement, name, column, SQL_TYPE[kind]],
        )
        _place(table, name, Slot(column, kind))

    def add_series(self, table: Table, series: Series) -> int:
        """The place of a series seen for the first time; `store_series` puts it into the
        database."""
        return self._admit(table, self._series, series)

    def _admit(self, table: Table, number: int, series: Series) -> int:
        if not table.admitted:
            table.join(self._names.setdefault(series.measurement, Names()))
        self._series = max(self._series, number + 1)
        return table.admit(number, series)

    def store_series(self, tables: Iterable[Table]) -> None:
        """Write down the series added since the last `publish`."""
        rows = [
            (number, table.measurement, series.key, json.dumps(dict(series.tags)))
            for table in tables
            for number, series in table.fresh()
        ]
        if rows:
            with self._connection.appender("hub_series") as appender:
                appender.append_rows(rows)

    def last_id(self, lane: str) -> int:
        row = self._connection.execute(
            "SELECT last_id FROM hub_lanes WHERE lane = ?", [lane]
        ).fetchone()
        return int(row[0]) if row else 0

    def set_last_id(self, lane: str, last_id: int) -> None:
        self._connection.execute("DELETE FROM hub_lanes WHERE lane = ?", [lane])
        self._connection.execute("INSERT INTO hub_lanes VALUES (?, ?)", [lane, last_id])

    def publish(self) -> None:
        """To be called after the commit: readers may now see what was added."""
        for table in self.by_measurement.values():
            table.publish()

    def _prepare(self) -> None:
        run = self._connection.execute
        run("CREATE TABLE IF NOT EXISTS hub_format (version INTEGER)")
        row = run("SELECT version FROM hub_format").fetchone()
        if row is not None and row[0] > VERSION:
            raise StoreRefused(
                f"the store has format {row[0]}, this hub knows formats up to {VERSION}: "
                "start a newer toba-hub, or name another data folder"
            )
        if row is None:
            run("INSERT INTO hub_format VALUES (?)", [VERSION])
        elif row[0] < VERSION:
            self._give_rollups_the_keys_of_readings()
            run("UPDATE hub_format SET version = ?", [VERSION])
        run("CREATE TABLE IF NOT EXISTS hub_measurements (measurement VARCHAR, table_name VARCHAR)")
        run(
            "CREATE TABLE IF NOT EXISTS hub_fields"
            " (measurement VARCHAR, field VARCHAR, column_name VARCHAR, type VARCHAR)"
        )
        run(
            "CREATE TABLE IF NOT EXISTS hub_series"
            " (id INTEGER, measurement VARCHAR, key VARCHAR, tags VARCHAR)"
        )
        run("CREATE TABLE IF NOT EXISTS hub_lanes (lane VARCHAR, last_id BIGINT)")

    def _give_rollups_the_keys_of_readings(self) -> None:
        """In format 1 their series began with the name of the tier: `environment_5m,device=…`."""
        for tier in TIERS:
            self._connection.execute(
                "UPDATE hub_series SET key ="
                " m.measurement || substr(key, length(m.measurement) + ?)"
                " FROM hub_measurements m WHERE hub_series.measurement = m.measurement || ?"
                " AND starts_with(key, hub_series.measurement || ',')",
                [len(tier.suffix) + 2, f"_{tier.suffix}"],
            )

    def _load(self) -> None:
        for measurement, name in self._rows("SELECT measurement, table_name FROM hub_measurements"):
            self.by_measurement[measurement] = Table(measurement, name)
        for measurement, name, column, sql_type in self._rows(
            "SELECT measurement, field, column_name, type FROM hub_fields ORDER BY rowid"
        ):
            _place(self.by_measurement[measurement], name, Slot(column, _KINDS[sql_type]))
        for number, measurement, key in self._rows(
            "SELECT id, measurement, key FROM hub_series ORDER BY id"
        ):
            self._admit(self.by_measurement[measurement], number, Series.parse(key))
        for table in self.by_measurement.values():
            places = {number: place for place, number in enumerate(table.ids)}
            for number, time_ns in self._rows(
                f"SELECT series, max(time) FROM {identifier(table.name)} GROUP BY series"  # noqa: S608  # quoted
            ):
                table.latest[places[number]] = time_ns
        self.publish()

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """Some at a time: a network may have a million series."""
        answer = self._connection.execute(sql)
        while rows := answer.fetchmany(ROWS):
            yield from rows


def _place(table: Table, name: str, slot: Slot) -> None:
    table.places[name] = len(table.slots) + 2
    table.slots[name] = slot


def _free_name(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, or with a number behind it if another name differs from it only in case."""
    lower = {name.lower() for name in taken}
    name, number = wanted, 2
    while name.lower() in lower:
        name, number = f"{wanted}_{number}", number + 1
    return name
