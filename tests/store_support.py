"""Answers of stores held against each other."""

from __future__ import annotations

import pytest

from hub.store.query import Query, SeriesRows


def same(query: Query, ours: list[SeriesRows], theirs: list[SeriesRows]) -> None:
    """Equal to the last digit and type; only what is summed up may differ by rounding."""
    assert [found.tags for found in ours] == [found.tags for found in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert [time_ns for time_ns, _ in one.rows] == [time_ns for time_ns, _ in other.rows]
        for (_, here), (_, there) in zip(one.rows, other.rows, strict=True):
            for column, a, b in zip(query.columns, here, there, strict=True):
                assert type(a) is type(b), (column, a, b)
                if column.aggregate in ("mean", "sum") and isinstance(a, float):
                    assert a == pytest.approx(b, rel=1e-9, abs=1e-6)
                else:
                    assert a == b, column
