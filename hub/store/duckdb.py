"""The embedded store: one DuckDB file, one writing thread, one reading thread.

A batch and its last id are one transaction, so a batch that is sent again after a crash is known
by its id and skipped. DuckDB lets one process in; a second one is refused by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import duckdb

from hub.reading import Series, Value
from hub.store.base import (
    LABEL_NAMES,
    Batch,
    Labels,
    NoLabels,
    Shape,
    StoreDown,
    StoreRefused,
    Written,
)
from hub.store.merging import Part, Sorting
from hub.store.query import Query, SeriesRows, check_strings
from hub.store.rows import arrange
from hub.store.sql import identifier, to_sql
from hub.store.tables import LATE, Table, Tables

T = TypeVar("T")

COPY = "hub_copy"
TRIM_ROWS = 50_000
"""Deleting so many takes some milliseconds."""


class DuckStore:
    """Readings in `path` (None: in memory). `threads` and `memory_mb` bound what DuckDB takes."""

    name = "duckdb"

    def __init__(
        self,
        path: Path | None,
        labels: Labels | None = None,
        *,
        threads: int = 2,
        memory_mb: int = 256,
        query_timeout_s: float = 30.0,
    ) -> None:
        self._path = path
        self.labels = labels or NoLabels()
        """Asked at every query; may be replaced."""
        self._limits: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": f"{memory_mb}MB",
        }
        self._query_timeout_s = query_timeout_s
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._tables: Tables | None = None
        self._made_folder = False
        self._writer = ThreadPoolExecutor(1, "duckdb-write")
        self._reader = ThreadPoolExecutor(1, "duckdb-read")

    async def open(self) -> None:
        """Open or make the file. Raises StoreRefused (held by another process, newer format)."""
        await self._in(self._writer, self._opened)

    async def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        await self._in(self._reader, lambda: None)
        await self._in(self._writer, self._close)
        self._writer.shutdown()
        self._reader.shutdown()

    async def prepare(self, batch: Batch) -> Batch:
        return batch

    async def write(self, batch: Batch) -> Written:
        """Store a batch and its last id in one transaction; one already stored is skipped."""
        return await self._in(self._writer, lambda: self._write(batch))

    async def last_id(self, lane: str) -> int:
        """The last journal id of that lane that is stored."""
        return await self._in(self._writer, lambda: self._opened().last_id(lane))

    async def query(self, query: Query) -> list[SeriesRows]:
        """Answer a question. Raises BadQuery, StoreDown (also after `query_timeout_s`)."""
        query.check()
        if query.stop_ns <= query.start_ns:
            return []
        await self._in(self._writer, self._opened) if self._connection is None else None
        connection = self._connection
        assert connection is not None  # noqa: S101  # `_opened` raises or sets it
        cursor = connection.cursor()
        answer = asyncio.ensure_future(self._in(self._reader, lambda: self._query(cursor, query)))
        try:
            async with asyncio.timeout(self._query_timeout_s):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise StoreDown(f"DuckDB took longer than {self._query_timeout_s:g} s") from None
        finally:
            if not answer.done():
                cursor.interrupt()

    async def shape(self, measurement: str) -> Shape:
        """What is stored of a measurement. Labels are no tags here."""
        return await self._in(self._writer, lambda: _shape(self._opened(), measurement))

    async def measurements(self) -> list[str]:
        """The names of everything that was ever written."""
        return await self._in(self._writer, lambda: sorted(self._opened().by_measurement))

    async def devices(self, measurement: str, since_ns: int) -> list[str]:
        """Those whose last reading is as young; no row is looked at."""
        return await self._in(self._writer, lambda: _devices(self._opened(), measurement, since_ns))

    async def trim(self, measurement: str, before_ns: int) -> int:
        """Delete the oldest rows before a time, at most `TRIM_ROWS` and some: what a batch can
        wait for. Return how many."""
        return await self._in(self._writer, lambda: self._trim(measurement, before_ns))

    async def snapshot(self, path: Path) -> Callable[[], Awaitable[None]]:
        """Fix what a copy will hold, now; what is returned writes it to `path`, while writes and
        questions go on. Both raise StoreDown."""
        cursor = await self._in(self._writer, lambda: self._begin_copy(path))
        thread = ThreadPoolExecutor(1, "duckdb-copy")

        async def copy() -> None:
            try:
                await self._in(thread, lambda: _copy(cursor))
            finally:
                thread.shutdown(wait=False)

        return copy

    async def checkpoint(self) -> None:
        """Fold the write-ahead log into the file, so that the room of deleted rows is used again.
        Left for later when somebody reads."""
        await self._in(self._writer, self._checkpoint)

    async def _in(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(thread, work)
        except duckdb.Error as error:
            raise StoreDown(f"DuckDB: {error}") from error

    def _opened(self) -> Tables:
        """In the writing thread: the tables, the file being opened first where it is not."""
        if self._tables is None:
            if self._path is not None and not self._made_folder:
                # Once: where the folder was moved away later, an empty one in its place would
                # take new readings and hide all that was stored before.
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._made_folder = True
            try:
                self._connection = duckdb.connect(
                    str(self._path or ":memory:"), config=self._limits
                )
            except duckdb.IOException as error:
                raise StoreRefused(f"can't open the store {self._path}: {error}") from error
            self._tables = Tables(self._connection)
        return self._tables

    def _close(self) -> None:
        connection, self._connection, self._tables = self._connection, None, None
        if connection is not None:
            connection.close()

    def _write(self, batch: Batch) -> Written:
        tables = self._opened()
        connection = self._connection
        assert connection is not None  # noqa: S101  # `_opened` sets both
        if 0 < batch.last_id <= tables.last_id(batch.lane):
            return Written()
        sorting = Sorting(tables, batch.into)
        connection.begin()
        try:
            sorting.add(batch.readings)
            tables.store_series(part.table for part in sorting.parts.values())
            for part in sorting.parts.values():
                _store(connection, part)
            if batch.last_id:
                tables.set_last_id(batch.lane, batch.last_id)
            connection.commit()
        except BaseException:
            self._forget()
            raise
        tables.publish()
        return Written(sorting.rejected)

    def _begin_copy(self, path: Path) -> duckdb.DuckDBPyConnection:
        self._opened()
        assert self._connection is not None  # noqa: S101  # `_opened` sets it
        cursor = self._connection.cursor()
        cursor.execute(f"ATTACH '{str(path).replace(chr(39), chr(39) * 2)}' AS {COPY}")
        cursor.begin()
        # A transaction sees the database as it is when it first reads.
        cursor.execute("SELECT * FROM hub_format").fetchall()
        return cursor

    def _trim(self, measurement: str, before_ns: int) -> int:
        table = self._opened().by_measurement.get(measurement)
        connection = self._connection
        assert connection is not None  # noqa: S101  # `_opened` sets it
        if table is None:
            return 0
        name = identifier(table.name)
        row = connection.execute(
            f"SELECT max(time) FROM (SELECT time FROM {name} WHERE time < {before_ns:d}"  # noqa: S608
            f" ORDER BY time LIMIT {TRIM_ROWS:d})"
        ).fetchone()
        if row is None or row[0] is None:
            return 0
        deleted = connection.execute(f"DELETE FROM {name} WHERE time <= {row[0]:d}").fetchone()  # noqa: S608
        return int(deleted[0]) if deleted else 0

    def _checkpoint(self) -> None:
        self._opened()
        assert self._connection is not None  # noqa: S101  # `_opened` sets it
        with suppress(duckdb.TransactionException):
            self._connection.execute("CHECKPOINT")

    def _forget(self) -> None:
        """After a failed write: memory is ahead of the file, and DuckDB may have shut itself.

        A file is opened anew by the next call; what is only in memory is rolled back.
        """
        connection = self._connection
        assert connection is not None  # noqa: S101  # a write was under way
        if self._path is not None:
            self._close()
            return
        connection.rollback()
        self._tables = Tables(connection)

    def _query(self, cursor: duckdb.DuckDBPyConnection, query: Query) -> list[SeriesRows]:
        tables = self._tables
        table = tables.by_measurement.get(query.measurement) if tables else None
        if table is None:
            return []
        slots = table.public_slots
        check_strings(query, frozenset(name for name, slot in slots.items() if slot.kind is str))
        groups = _groups(query, table, self.labels)
        if not groups or all(column.field not in slots for column in query.columns):
            return []
        keys = list(groups)
        chosen = sorted(
            (_identity(series), number, index)
            for index, members in enumerate(groups.values())
            for number, series in members
        )
        sql = to_sql(query, table.name, slots, merged=len(chosen) > len(groups))
        rows = cursor.execute(
            sql,
            {"series": [number for _, number, _ in chosen], "groups": [g for _, _, g in chosen]},
        ).fetchall()
        found: list[tuple[tuple[str, ...], list[tuple[int, tuple[Value | None, ...]]]]] = [
            (keys[index], [(row[1], row[2:]) for row in part])
            for index, part in groupby(rows, key=lambda row: row[0])
        ]
        if not query.raw:
            return arrange(query, found)
        return [
            SeriesRows(dict(zip(query.group_by, key, strict=True)), part)
            for key, part in sorted(found)
        ]


def _copy(cursor: duckdb.DuckDBPyConnection) -> None:
    """Copy what the cursor's transaction sees into the attached file."""
    try:
        row = cursor.execute("SELECT current_database()").fetchone()
        assert row is not None  # noqa: S101  # a question of one row
        cursor.execute(f"COPY FROM DATABASE {identifier(row[0])} TO {COPY}")
        cursor.commit()
    except duckdb.Error:
        with suppress(duckdb.Error):
            cursor.rollback()
        raise
    finally:
        with suppress(duckdb.Error):
            cursor.execute(f"DETACH {COPY}")
        cursor.close()


def _shape(tables: Tables, measurement: str) -> Shape:
    table = tables.by_measurement.get(measurement)
    if table is None:
        return Shape()
    fields = {name: slot.kind for name, slot in table.public_slots.items()}
    return Shape(tuple(sorted(table.tags)), fields)


def _devices(tables: Tables, measurement: str, since_ns: int) -> list[str]:
    table = tables.by_measurement.get(measurement)
    return sorted(table.devices(since_ns)) if table is not None else []


def _store(connection: duckdb.DuckDBPyConnection, part: Part) -> None:
    """Append a measurement's new rows, then merge the late and repeated ones."""
    table = identifier(part.table.name)
    if part.fresh:
        with connection.appender(table) as appender:
            appender.append_rows(part.rows(part.fresh))
    if not part.late:
        return
    # Names are quoted and times are integers: nothing of a reading's text gets into a statement.
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {LATE} AS SELECT * FROM {table} LIMIT 0")  # noqa: S608
    with connection.appender(LATE) as appender:
        appender.append_rows(part.rows(list(part.late.values())))
    times = [time_ns for _, time_ns in part.late]
    names = [identifier(name) for name in part.table.columns]
    sets = ", ".join(f"{name} = coalesce(late.{name}, stored.{name})" for name in names[2:])
    connection.execute(
        f"MERGE INTO {table} AS stored USING {LATE} AS late"  # noqa: S608
        f" ON stored.series = late.series AND stored.time = late.time"
        f" AND stored.time BETWEEN {min(times):d} AND {max(times):d}"
        f" WHEN MATCHED THEN UPDATE SET {sets}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(names)})"
        f" VALUES ({', '.join(f'late.{name}' for name in names)})"
    )
    connection.execute(f"DROP TABLE {LATE}")


def _groups(
    query: Query, table: Table, labels: Labels
) -> dict[tuple[str, ...], list[tuple[int, Series]]]:
    """The series that are meant, by their `group_by` tags."""
    where = {
        tag: frozenset([wanted] if isinstance(wanted, str) else wanted)
        for tag, wanted in query.where.items()
    }
    devices = where.get("device")
    groups: dict[tuple[str, ...], list[tuple[int, Series]]] = {}
    labelled = not set(LABEL_NAMES).isdisjoint((*where, *query.group_by))
    for number, series in table.public(devices):
        tags = dict(series.tags)
        if labelled:
            tags = {**labels.labels(series), **tags}
        if all(tags.get(tag, "") in wanted for tag, wanted in where.items()):
            key = tuple(tags.get(tag, "") for tag in query.group_by)
            groups.setdefault(key, []).append((number, series))
    return groups


def _identity(series: Series) -> Sequence[tuple[str, str]]:
    """What settles ties between series at equal times."""
    return tuple(pair for pair in series.tags if pair[0] not in LABEL_NAMES)
