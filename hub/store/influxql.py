"""A `Query` as InfluxQL that 1.x, 2.x and 3 understand alike. Pure: text out.

`::field` and `::tag` keep a name from being taken for the other kind. Raw points are always asked
for series by series (`GROUP BY *`) and put together by `influx_answer.py`: the order of points
of several series at one time is the server's whim otherwise. Filling, order and limit of
aggregates are ours too (`rows.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.store.query import Column, Query

_UNITS = (
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("u", 1_000),
    ("ns", 1),
)


def identifier(name: str) -> str:
    """A name in double quotes."""
    return f'"{_escaped(name, chr(34))}"'


def literal(text: str) -> str:
    """A string in single quotes."""
    return f"'{_escaped(text, chr(39))}'"


def duration(length_ns: int) -> str:
    """A length of time in the largest unit that divides it: 3600000000000 is `1h`."""
    unit, size = next((unit, size) for unit, size in _UNITS if length_ns % size == 0)
    return f"{length_ns // size}{unit}"


def to_influxql(query: Query) -> str:
    """The statement whose answer `influx_answer.series_rows` understands. Raises `BadQuery`.

    Columns are named c0, c1 … in it.
    """
    query.check()
    columns = ", ".join(f"{_value(column)} AS c{n}" for n, column in enumerate(query.columns))
    conditions = [f"time >= {query.start_ns:d}", f"time < {query.stop_ns:d}"]
    conditions += [_membership(tag, wanted) for tag, wanted in query.where.items()]
    text = f"SELECT {columns} FROM {identifier(query.measurement)} WHERE {' AND '.join(conditions)}"  # noqa: S608  # escaped
    if query.raw:
        order = " ORDER BY time DESC" if query.descending else ""
        limit = f" LIMIT {query.limit:d}" if query.limit is not None else ""
        return f"{text} GROUP BY *{order}{limit}"
    groups = [identifier(tag) for tag in query.group_by]
    window = _window(query)
    if window:
        groups.insert(0, window)
    text += f" GROUP BY {', '.join(groups)}" if groups else ""
    return f"{text} fill(none)" if window else text


def _window(query: Query) -> str:
    """`time(…)`, or nothing. Offsets are always written as positive lengths.

    `first` and `last` without a window get one that is the whole range: without it 1.6 settles
    ties between series by whichever it happens to read first, with it by the greater value.
    """
    window_ns, offset_ns = query.window_ns, query.window_offset_ns()
    if window_ns is None:
        window_ns = query.stop_ns - query.start_ns
        if window_ns < 1 or not any(c.aggregate in ("first", "last") for c in query.columns):
            return ""
        offset_ns = query.start_ns % window_ns
    return f"time({duration(window_ns)}{f', {duration(offset_ns)}' if offset_ns else ''})"


def _value(column: Column) -> str:
    name = f"{identifier(column.field)}::field"
    match column.aggregate:
        case None:
            return name
        case "percentile":
            return f"percentile({name}, {column.argument:.15g})"
        case aggregate:
            return f"{aggregate}({name})"


def _membership(tag: str, wanted: str | Sequence[str]) -> str:
    values = [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))
    if not values:
        return "time < 0"  # nothing is stored before 1970, and every version knows this form
    name = f"{identifier(tag)}::tag"
    return f"({' OR '.join(f'{name} = {literal(value)}' for value in values)})"


def _escaped(text: str, quote: str) -> str:
    return text.replace("\\", "\\\\").replace(quote, "\\" + quote).replace("\n", "\\n")
