"""From a store's bare answer to `SeriesRows`: empty windows, order and limit. Pure.

Done here once and not by each server, because servers differ in it (see `query.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hub.reading import Value
from hub.store.query import Query, SeriesRows

Row = tuple[int, tuple[Value | None, ...]]


def arrange(
    query: Query, groups: Iterable[tuple[tuple[str, ...], Sequence[Row]]]
) -> list[SeriesRows]:
    """The answer to a query of aggregates, sorted by tags.

    `groups`: the values of the `group_by` tags, and the rows that have a value, ascending in time.
    """
    answer = []
    for tags, rows in sorted(groups, key=lambda group: group[0]):
        found = [row for row in rows if any(value is not None for value in row[1])]
        if not found:
            continue
        if query.window_ns is None:
            found = [(query.start_ns, found[0][1])]
        elif query.fill != "none":
            found = list(_filled(query, found))
        shaped = [(time_ns, _counted(query, values)) for time_ns, values in found]
        if query.descending:
            shaped.reverse()
        answer.append(
            SeriesRows(dict(zip(query.group_by, tags, strict=True)), shaped[: query.limit])
        )
    return answer


def _filled(query: Query, rows: Sequence[Row]) -> Iterator[Row]:
    """A row for each window of the range, in order of time."""
    window = query.window_ns or 1
    first = query.start_ns - (query.start_ns - query.window_offset_ns()) % window
    known = dict(rows)
    last: tuple[Value | None, ...] = (None,) * len(query.columns)
    for start_ns in range(first, query.stop_ns, window):
        values = known.get(start_ns, (None,) * len(query.columns))
        if query.fill == "previous":
            values = last = tuple(
                old if value is None and column.aggregate != "count" else value
                for value, old, column in zip(values, last, query.columns, strict=True)
            )
        elif query.fill == "zero":
            values = tuple(0 if value is None else value for value in values)
        yield start_ns, values


def _counted(query: Query, values: tuple[Value | None, ...]) -> tuple[Value | None, ...]:
    if None not in values:
        return values
    return tuple(
        0 if value is None and column.aggregate == "count" else value
        for value, column in zip(values, query.columns, strict=True)
    )
