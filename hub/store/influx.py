"""Readings in InfluxDB 1.x, 2.x or 3; which it is, the server is asked.

A batch that was sent twice leaves the same points: equal (series, time) overwrites field by field.
Where the server refuses points, the batch is taken apart until each is either stored or rejected
with the server's own words.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hub.clock import now_ns
from hub.store.base import Batch, Labels, Shape, StoreRefused, Written
from hub.store.influx_answer import (
    Refusal,
    column_of,
    field_kinds,
    refusal,
    result,
    series_rows,
    trouble,
)
from hub.store.influx_wire import ClientWire, Wire, is_far, pack
from hub.store.influxql import identifier, to_influxql
from hub.store.lineprotocol import LineFormatter, Lines
from hub.store.query import Query, SeriesRows, check_strings

TOGETHER = 250
"""Readings formatted in one step; about a quarter of a millisecond."""
_VERSION = re.compile(r"v?(\d+)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted(Batch):
    """A batch ready to be sent; `body` holds all of `lines`."""

    lines: Lines
    body: bytes
    gzipped: bool


class InfluxStore:
    """One database (1.x, 3) or bucket (2.x) of the server at `url`.

    Give `token` (2.x, 3) or `username` and `password` (1.x; 2.x with a compatibility user), or
    neither. `way` is for servers that only look like InfluxDB: which of the two write paths to
    take, instead of the one that the version and credentials suggest. `compress` by gzip: None
    for a server that is not on this machine, where both would pay for what no line needs.
    """

    name = "influxdb"

    def __init__(
        self,
        url: str,
        database: str,
        labels: Labels | None = None,
        *,
        org: str = "",
        username: str = "",
        password: str = "",
        token: str = "",
        compress: bool | None = None,
        create_database: bool = True,
        timeout_s: float = 10.0,
        way: Literal["auto", "write", "client"] = "auto",
    ) -> None:
        self._url, self._database, self._org = url, database, org
        self._username, self._password, self._token = username, password, token
        self._compress, self._create, self._timeout_s, self._way = (
            is_far(url) if compress is None else compress,
            create_database,
            timeout_s,
            way,
        )
        self._formatter = LineFormatter(labels)
        self._opening = asyncio.Lock()
        self._wire: Wire | None = None
        self._writer: Wire | ClientWire | None = None
        self._kinds: dict[str, dict[str, type]] = {}
        self.version = ""
        """What the server says it is, once open: `1.6.7`, `v2.9.1`, `3.0.1`."""

    @property
    def labels(self) -> Labels:
        """Looked up when data leaves; may be replaced."""
        return self._formatter.labels

    @labels.setter
    def labels(self, labels: Labels) -> None:
        self._formatter.labels = labels

    async def open(self) -> None:
        """Find out the version; on 1.x make the database. Raises StoreDown, StoreRefused."""
        async with self._opening:
            if self._writer is not None:
                return
            wire = Wire(self._url, self._authorization(), self._timeout_s)
            try:
                self._writer = await self._meet(wire)
            except BaseException:
                await wire.close()
                raise
            self._wire = wire

    async def close(self) -> None:
        wire, writer = self._wire, self._writer
        self._wire = self._writer = None
        if wire is not None:
            await wire.close()
        if isinstance(writer, ClientWire):
            await writer.close()

    async def last_id(self, lane: str) -> int:
        """0: InfluxDB keeps none; what is sent twice is stored once."""
        return 0

    async def prepare(self, batch: Batch) -> Formatted:
        """Format and compress. In small steps, so that what is being sent gets on meanwhile."""
        lines = Lines()
        for begin in range(0, len(batch.readings), TOGETHER):
            self._formatter.format(batch.readings[begin : begin + TOGETHER], lines)
            await asyncio.sleep(0)
        body, gzipped = await asyncio.to_thread(pack, lines.lines, self._compress)
        return Formatted(
            batch.readings, batch.last_id, batch.lane, lines=lines, body=body, gzipped=gzipped
        )

    async def write(self, batch: Batch) -> Written:
        """Store a batch point by point. Raises StoreDown, StoreRefused."""
        if not isinstance(batch, Formatted):
            batch = await self.prepare(batch)
        rejected = dict(batch.lines.rejected)
        if batch.lines.lines:
            rejected.update(await self._send(batch))
        return Written(dict(sorted(rejected.items())))

    async def query(self, query: Query) -> list[SeriesRows]:
        """Answer a question. Raises BadQuery, StoreDown, StoreRefused."""
        statement = to_influxql(query)
        if query.stop_ns <= query.start_ns:
            return []
        fields = {column.field for column in query.columns}
        kinds = await self._field_kinds(query.measurement, fields)
        if fields.isdisjoint(kinds):
            return []
        check_strings(query, frozenset(name for name, kind in kinds.items() if kind is str))
        return series_rows(query, kinds, await self._ask(statement))

    async def shape(self, measurement: str) -> Shape:
        """What the server knows of a measurement, labels among its tags."""
        source = identifier(measurement)
        fields = field_kinds(await self._ask(f"SHOW FIELD KEYS FROM {source}"))
        tags = column_of(await self._ask(f"SHOW TAG KEYS FROM {source}"), "tagKey")
        return Shape(tuple(sorted(tags)), fields)

    async def measurements(self) -> list[str]:
        """The names of everything in the database."""
        return sorted(column_of(await self._ask("SHOW MEASUREMENTS"), "name"))

    async def devices(self, measurement: str, since_ns: int) -> list[str]:
        """All that ever had any: the server has them in its index, without their times."""
        values = f'SHOW TAG VALUES FROM {identifier(measurement)} WITH KEY = "device"'
        return sorted(column_of(await self._ask(values), "value"))

    async def trim(self, measurement: str, before_ns: int) -> int:
        """0: retention is the server's own work, set by `toba-hub influx setup`."""
        return 0

    async def _send(self, batch: Formatted) -> dict[int, str]:
        """Write lines, in parts where the server refuses; the refused readings and why."""
        lines = batch.lines
        rejected: dict[int, str] = {}
        parts: list[Sequence[int]] = [range(len(lines.lines))]
        whole = batch.body, batch.gzipped
        while parts:
            part = parts.pop()
            packed = whole
            if len(part) < len(lines.lines):
                packed = pack([lines.lines[n] for n in part], self._compress)
            refused = await self._post(*packed)
            if refused is None:
                continue
            bad = _blamed(refused, part)
            rejected.update({lines.indices[n]: reason for n, reason in bad.items()})
            rest = [n for n in part if n not in bad]
            if bad or not rest:
                parts += [rest] if rest else []
                continue
            first = [n for n in rest if not _suspected(refused, lines.indices[n], batch)]
            if not first or len(first) == len(rest):
                first = rest[: len(rest) // 2]
            # The earlier half goes first: on equal (series, time) the last write wins.
            known = set(first)
            parts += [[n for n in rest if n not in known], first]
        return rejected

    async def _post(self, body: bytes, gzipped: bool) -> Refusal | None:
        await self.open()
        assert self._writer is not None  # noqa: S101  # `open` sets it or raises
        answer = await self._writer.write(self._database, body, gzipped)
        return None if answer.stored else refusal(answer, self._url, now_ns())

    async def _field_kinds(self, measurement: str, fields: set[str]) -> dict[str, type]:
        """The types of a measurement's fields; asked again when one is not known yet."""
        known = self._kinds.get(measurement, {})
        if not fields <= known.keys():
            known = field_kinds(await self._ask(f"SHOW FIELD KEYS FROM {identifier(measurement)}"))
            self._kinds[measurement] = known
        return known

    async def _ask(self, statement: str) -> list[dict[str, object]]:
        await self.open()
        assert self._wire is not None  # noqa: S101  # `open` sets it or raises
        answer = await self._wire.query(self._database, statement)
        return [dict(series) for series in result(answer, self._url, now_ns())]

    async def _meet(self, wire: Wire) -> Wire | ClientWire:
        """Ask the server what it is; what to write through."""
        answer = await wire.get("/ping")
        if answer.status not in (200, 204):
            raise trouble(answer, self._url, now_ns())
        self.version = answer.headers.get("x-influxdb-version", "")
        major = _VERSION.match(self.version)
        if major is None and self._way == "auto":
            raise StoreRefused(f"{self._url} is no InfluxDB: /ping names no version")
        old = major is not None and major[1] == "1"
        if self._way == "client" or (self._way == "auto" and not old and self._token):
            return ClientWire(self._url, self._token, self._org, self._timeout_s)
        if old:
            await self._ensure_database(wire)
        return wire

    async def _ensure_database(self, wire: Wire) -> None:
        answer = await wire.query(self._database, "SHOW DATABASES")
        for series in result(answer, self._url, now_ns()):
            if [self._database] in series.get("values", []):
                return
        if not self._create:
            raise StoreRefused(
                f"{self._url} has no database {self._database!r}; "
                "make it with: toba-hub influx setup"
            )
        statement = f"CREATE DATABASE {identifier(self._database)}"
        result(await wire.query(self._database, statement), self._url, now_ns())

    def _authorization(self) -> str:
        if self._token:
            return f"Token {self._token}"
        if self._username:
            pair = f"{self._username}:{self._password}".encode()
            return f"Basic {b64encode(pair).decode()}"
        return ""


def _blamed(refused: Refusal, part: Sequence[int]) -> dict[int, str]:
    """The lines that are surely refused: named, the only one, or all of them by the count."""
    if refused.lines:
        return {part[n]: reason for n, reason in refused.lines.items() if 0 <= n < len(part)}
    if len(part) == 1 or (refused.dropped >= len(part) and not refused.too_large):
        return dict.fromkeys(part, refused.reason)
    return {}


def _suspected(refused: Refusal, index: int, batch: Batch) -> bool:
    """The server's words fit this reading."""
    if refused.suspect is None:
        return False
    measurement, name, kind = refused.suspect
    reading = batch.readings[index]
    return reading.series.measurement == measurement and isinstance(reading.fields.get(name), kind)
