"""One question to a store, compiled to InfluxQL or to DuckDB's SQL.

The portable subset of InfluxQL that 1.x, 2.x and 3 all know: one measurement, aggregates of
fields, equality and membership on tags, `GROUP BY time(), tags`, `fill()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hub.reading import Value

Aggregate = Literal["mean", "min", "max", "sum", "count", "first", "last", "percentile", "spread"]
Fill = Literal["none", "null", "previous", "zero"]


@dataclass(frozen=True, slots=True)
class Column:
    """One result column: `name` is what it is called in the answer."""

    field: str
    aggregate: Aggregate | None = None
    """None: the raw values, every point; all columns of a query are raw, or none is."""
    argument: float | None = None
    """The N of percentile."""
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


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """One answered series: `tags` are the `group_by` tags, `rows` (time_ns, value per column)."""

    tags: Mapping[str, str]
    rows: Sequence[tuple[int, tuple[Value | None, ...]]]
