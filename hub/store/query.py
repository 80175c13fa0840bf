"""One question to a store, compiled to InfluxQL (`influxql.py`) or to DuckDB's SQL (`sql.py`).

The portable subset of InfluxQL that 1.x, 2.x and 3 all know: one measurement, aggregates of
fields, equality and membership on tags, `GROUP BY time(), tags`. Both stores must give the same
answer; these are the places where they would not, and what is done there:

percentile        nearest rank, as InfluxQL has it: the value at floor(n * N / 100 + 0.5) of n in
                  order, counted from 1; rank 0 is no value. Never interpolated.
equal timestamps  one series has one row per time. Raw rows of several series in one group are
                  ordered by time, then by the series' identity tags. `first` and `last` take the
                  greater value when series in one group tie (as InfluxQL 1.x does; unproved on 3).
empty windows     a window where no asked field has a value is absent. `fill` adds rows only to
                  series that have at least one. It is computed here (`rows.py`), not by the server,
                  so `previous` at the edge is the same everywhere: nothing before the first value
                  in the range, carried on from the last, and in the order of time even when
                  descending. A fill of more than MAX_BUCKETS rows is refused.
count             0, never null, in a row that exists, whatever the fill.
types             integer and float fields are told apart although InfluxDB's JSON prints 5.0 as 5.
                  `mean` is a float; `sum min max spread percentile first last` keep the field's
                  type. Truths are integers. Only `count first last` take strings; others raise
                  `BadQuery`. InfluxDB wraps integer sums and means at 2^63, DuckDB doesn't: ask
                  rates, not sums of raw counters. Float sums agree to rounding.
days of a zone    windows count from 1970-01-01 00:00 in `zone` (weeks begin on Thursday). The zone
                  is turned into an offset here, so servers without a zone database agree; a range
                  in which the zone's clock shifts by something other than whole windows is refused.
time of a row     with a window its start (the first may lie before `start_ns`); raw, the point's
                  own; an aggregate without a window has `start_ns`, selectors too. For the time of
                  the last value ask raw, `descending`, `limit=1`.
missing tags      a series without a tag has it as the empty string, in `where` and `group_by`.
tags and fields   a name in `where` means the tag, even if a field is called the same.
unknown names     a field or measurement that was never written is without values, no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hub.reading import Value

Aggregate = Literal["mean", "min", "max", "sum", "count", "first", "last", "percentile", "spread"]
Fill = Literal["none", "null", "previous", "zero"]

MAX_BUCKETS = 100_000
"""The most rows per series that `fill` may make."""
LATEST_NS = 2**63 - 2
"""The last time that InfluxDB can hold."""
STRING_AGGREGATES = frozenset({"count", "first", "last"})
"""What may be asked of a string field."""

_SECOND = 1_000_000_000
_WEEK_NS = 7 * 86_400 * _SECOND


class BadQuery(ValueError):
    """The question can't be asked: contradictory, or not answered alike by every store."""


@dataclass(frozen=True, slots=True)
class Column:
    """One result column: `name` is what it is called in the answer."""

    field: str
    aggregate: Aggregate | None = None
    """None: the raw values, every point; all columns of a query are raw, or none is."""
    argument: float | None = None
    """The N of percentile, above 0 and up to 100."""
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or (f"{self.aggregate}_{self.field}" if self.aggregate else self.field)


@dataclass(frozen=True, slots=True)
class Query:
    """`start_ns` inclusive, `stop_ns` exclusive, UTC nanoseconds."""

    measurement: str
    columns: tuple[Column, ...]
    start_ns: int
    stop_ns: int
    where: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """Tag = value, or tag one of values; an empty sequence matches nothing."""
    group_by: tuple[str, ...] = ()
    window_ns: int | None = None
    """Buckets of this length, aligned to `zone`'s midnight; None: one value over it all."""
    zone: str = "UTC"
    """IANA name: days of `Asia/Jakarta` start at 17:00 UTC."""
    fill: Fill = "none"
    descending: bool = False
    limit: int | None = None
    """Rows per series."""

    @property
    def raw(self) -> bool:
        """Every point is asked for, not an aggregate."""
        return self.columns[0].aggregate is None

    def check(self) -> Query:
        """The query itself. Raises `BadQuery` naming what is wrong with it."""
        trouble = _trouble(self)
        if trouble:
            raise BadQuery(f"query of {self.measurement!r}: {trouble}")
        return self

    def window_offset_ns(self) -> int:
        """Where windows begin, counted from the epoch: 0 <= offset < window. Raises `BadQuery`."""
        if self.window_ns is None or self.zone == "UTC":
            return 0
        try:
            zone = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadQuery(f"{self.zone!r} is no IANA time zone") from None
        offset = -_zone_offset_ns(zone, self.start_ns) % self.window_ns
        step = max(_WEEK_NS, (self.stop_ns - self.start_ns) // 2_000)
        for time_ns in (*range(self.start_ns, self.stop_ns, step), self.stop_ns - 1):
            if -_zone_offset_ns(zone, time_ns) % self.window_ns != offset:
                raise BadQuery(
                    f"the clock of {self.zone} shifts within the asked range; "
                    "ask for each side of the shift by itself, or for windows of an hour or less"
                )
        return offset


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """One answered series: `tags` are the `group_by` tags, `rows` (time_ns, value per column)."""

    tags: Mapping[str, str]
    rows: Sequence[tuple[int, tuple[Value | None, ...]]]


def check_strings(query: Query, strings: frozenset[str]) -> None:
    """Raises `BadQuery` when a number is asked of one of the fields that hold `strings`."""
    for column in query.columns:
        if column.field in strings and column.aggregate not in (None, *STRING_AGGREGATES):
            raise BadQuery(
                f"query of {query.measurement!r}: {column.aggregate} of {column.field!r}, "
                "which holds text; ask for count, first or last"
            )


def _trouble(query: Query) -> str:
    labels = [column.label for column in query.columns]
    if not query.measurement:
        return "no measurement is named"
    if not query.columns:
        return "no column is asked for"
    if len(set(labels)) < len(labels):
        return f"two columns have the same name among {', '.join(labels)}"
    if len(set(query.group_by)) < len(query.group_by):
        return "group_by names a tag twice"
    if any(not name or name == "time" for name in (*query.group_by, *query.where)):
        return "a tag can't be called 'time' or nothing"
    if any(not column.field or column.field == "time" for column in query.columns):
        return "a field can't be called 'time' or nothing"
    if not 0 <= query.start_ns <= LATEST_NS or not 0 <= query.stop_ns <= LATEST_NS:
        return "times must lie between 1970 and 2262"
    if query.limit is not None and query.limit < 1:
        return f"limit {query.limit} is less than 1"
    return _column_trouble(query) or _window_trouble(query)


def _column_trouble(query: Query) -> str:
    if any((column.aggregate is None) != query.raw for column in query.columns):
        return "raw values and aggregates can't be mixed"
    for column in query.columns:
        if column.aggregate == "percentile":
            if column.argument is None or not 0 < column.argument <= 100:
                return f"percentile of {column.field!r} needs a number above 0 and up to 100"
        elif column.argument is not None:
            return f"{column.aggregate or 'a raw value'} takes no argument"
    return ""


def _window_trouble(query: Query) -> str:
    if query.window_ns is None:
        return "fill needs a window" if query.fill != "none" else ""
    if query.raw:
        return "raw values can't be put into windows; name an aggregate"
    if query.window_ns < 1:
        return f"a window of {query.window_ns} ns"
    if (
        query.fill != "none" and (query.stop_ns - query.start_ns) // query.window_ns > MAX_BUCKETS
    ):  # refused here, before a server is asked for them
        return f"fill would make more than {MAX_BUCKETS} rows; ask for longer windows"
    return ""


def _zone_offset_ns(zone: ZoneInfo, time_ns: int) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time_ns // _SECOND)
    shift = moment.astimezone(zone).utcoffset() or timedelta()
    return round(shift.total_seconds()) * _SECOND
