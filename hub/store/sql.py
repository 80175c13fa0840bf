"""A `Query` as DuckDB's SQL. Pure: names are quoted, numbers formatted.

Which series are meant, and to which group each belongs, is worked out before (`duckdb.py`)
and handed over as two lists of equal length, so site, opd and kind are looked up when asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hub.store.query import Column, Query

SQL_TYPE = {float: "DOUBLE", int: "BIGINT", str: "VARCHAR"}


class Slot(NamedTuple):
    """Where a field's values are: a column of its measurement's table, and their type."""

    column: str
    kind: type


def identifier(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def to_sql(query: Query, table: str, slots: Mapping[str, Slot], *, merged: bool) -> str:
    """A statement whose rows are (group number, time_ns, a value per column), ascending in time.

    Its parameters: `$series` and `$groups`, lists of integers (series ids, and the number of the
    group each belongs to, series in the order in which ties are settled). `merged`: some group
    has more than one series.
    """
    fields = dict.fromkeys(column.field for column in query.columns)
    known = [identifier(slots[name].column) for name in fields if name in slots]
    some_value = " OR ".join(f"{name} IS NOT NULL" for name in known) or "false"
    source = (
        f"(SELECT unnest($series::INTEGER[]) AS series, unnest($groups::INTEGER[]) AS grp,"
        f" generate_subscripts($series::INTEGER[], 1) AS rank) AS chosen"
        f" JOIN {identifier(table)} AS point USING (series)"
        f" WHERE time >= {query.start_ns:d} AND time < {query.stop_ns:d} AND ({some_value})"
    )
    if query.raw:
        return _raw(query, slots, source)
    values = ", ".join(_aggregate(column, slots, merged) for column in query.columns)
    bucket = f"{query.start_ns:d}"
    if query.window_ns is not None:
        # The offset is taken from a whole window, so the remainder is never negative.
        ahead = query.window_ns - query.window_offset_ns()
        bucket = f"time - (time + {ahead:d}) % {query.window_ns:d}"
    return f"SELECT grp, {bucket} AS bucket, {values} FROM {source} GROUP BY 1, 2 ORDER BY 1, 2"  # noqa: S608


def _raw(query: Query, slots: Mapping[str, Slot], source: str) -> str:
    values = ", ".join(_raw_value(column, slots) for column in query.columns)
    order = f"time {'DESC' if query.descending else 'ASC'}, rank"
    limit = (
        f" QUALIFY row_number() OVER (PARTITION BY grp ORDER BY {order}) <= {query.limit:d}"
        if query.limit is not None
        else ""
    )
    return f"SELECT grp, time, {values} FROM {source}{limit} ORDER BY grp, {order}"  # noqa: S608


def _raw_value(column: Column, slots: Mapping[str, Slot]) -> str:
    return identifier(slots[column.field].column) if column.field in slots else "NULL"


def _aggregate(column: Column, slots: Mapping[str, Slot], merged: bool) -> str:
    if column.field not in slots:
        return "NULL"
    name = identifier(slots[column.field].column)
    match column.aggregate:
        case "count":
            return f"nullif(count({name}), 0)"
        case "mean":
            return f"avg({name})"
        case "spread":
            return f"max({name}) - min({name})"
        case "first" if merged:
            return f"first({name} ORDER BY time, {name} DESC) FILTER ({name} IS NOT NULL)"
        case "last" if merged:
            return f"last({name} ORDER BY time, {name}) FILTER ({name} IS NOT NULL)"
        case "first":
            return f"arg_min({name}, time)"
        case "last":
            return f"arg_max({name}, time)"
        case "percentile":
            rank = f"floor(count({name}) * {column.argument!r}::DOUBLE / 100 + 0.5)::BIGINT"
            return f"list_sort(list({name}) FILTER ({name} IS NOT NULL))[{rank}]"
        case _:
            return f"{column.aggregate}({name})"
