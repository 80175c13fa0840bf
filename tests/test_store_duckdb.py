"""What only the embedded store promises: last ids, one transaction, one process, bounded reads."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest

from hub.reading import Reading, Series
from hub.store.base import Batch, StoreDown, StoreRefused, Written
from hub.store.duckdb import DuckStore
from hub.store.query import Column, Query

NOON = 1_760_000_000_000_000_000
SENSOR = Series.of("environment", "aq1", sensor="pm")
ALL = Query("environment", (Column("pm25"),), 0, NOON * 2, group_by=("device",))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DuckStore]:
    store = DuckStore(tmp_path / "hub.duckdb")
    await store.open()
    yield store
    await store.close()


def reading(offset: int, **fields: float | int | str) -> Reading:
    return Reading(SENSOR, NOON + offset, fields)


async def values(store: DuckStore, query: Query = ALL) -> list[object]:
    return [list(series.rows) for series in await store.query(query)]


async def test_a_batch_that_is_already_stored_is_skipped(store: DuckStore) -> None:
    await store.write(Batch([reading(0, pm25=1.0)], 10))
    await store.write(Batch([reading(0, pm25=2.0), reading(1, pm25=3.0)], 10))
    await store.write(Batch([reading(0, pm25=2.0)], 9))
    assert await values(store) == [[(NOON, (1.0,))]]


async def test_lanes_have_last_ids_of_their_own(store: DuckStore) -> None:
    await store.write(Batch([reading(10, pm25=1.0)], 10, "live"))
    await store.write(Batch([reading(5, pm25=2.0)], 3, "backlog"))
    assert (await store.last_id("live"), await store.last_id("backlog")) == (10, 3)
    assert await values(store) == [[(NOON + 5, (2.0,)), (NOON + 10, (1.0,))]]


async def test_a_batch_without_readings_still_moves_the_last_id(store: DuckStore) -> None:
    await store.write(Batch([], 77))
    assert await store.last_id("live") == 77


async def test_everything_is_found_again_after_closing(tmp_path: Path) -> None:
    path = tmp_path / "data" / "hub.duckdb"
    store = DuckStore(path)
    await store.write(Batch([reading(0, pm25=1.0), reading(1, pm25=2.0, text="ä")], 5))
    await store.close()
    again = DuckStore(path)
    await again.write(Batch([reading(0, pm25=9.0), reading(0, humidity=3.0)], 6))
    assert await values(again) == [[(NOON, (9.0,)), (NOON + 1, (2.0,))]]
    assert await again.last_id("live") == 6
    await again.close()


async def test_a_failed_write_leaves_nothing_behind_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path / "hub.duckdb", None):
        store = DuckStore(path)
        await store.write(Batch([reading(0, pm25=1.0)], 1))

        def fail(*_: object) -> None:
            raise duckdb.IOException("No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("hub.store.tables.Tables.set_last_id", fail)
            with pytest.raises(StoreDown, match="No space left"):
                await store.write(Batch([reading(1, pm25=2.0, new_field="x")], 2))
        assert await values(store) == [[(NOON, (1.0,))]]
        written = await store.write(Batch([reading(1, pm25=2.5, new_field=3)], 2))
        assert written.rejected == {}
        assert await values(store) == [[(NOON, (1.0,)), (NOON + 1, (2.5,))]]
        await store.close()


async def test_a_second_process_on_the_same_file_is_refused(
    store: DuckStore, tmp_path: Path
) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from hub.store.duckdb import DuckStore\n"
        "from hub.store.base import StoreRefused\n"
        "try: asyncio.run(DuckStore(pathlib.Path(sys.argv[1])).open())\n"
        "except StoreRefused as error: print(error)\n"
    )
    path = tmp_path / "hub.duckdb"
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    )
    assert str(path) in done.stdout
    assert "lock" in done.stdout


async def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "hub.duckdb"
    store = DuckStore(path)
    await store.open()
    await store.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE hub_format SET version = 99")
    newer = DuckStore(path)
    with pytest.raises(StoreRefused, match="format 99"):
        await newer.open()
    await newer.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hub.duckdb"
    path.write_text("this is no database, " * 1000)
    store = DuckStore(path)
    with pytest.raises(StoreRefused, match=r"hub\.duckdb"):
        await store.open()
    await store.close()


async def test_names_that_differ_only_in_case_stay_apart(store: DuckStore) -> None:
    upper = Series.of("Environment", "aq1")
    await store.write(
        Batch([Reading(upper, NOON, {"PM25": 1, "pm25": "text"}), reading(0, pm25=2.0, PM25=3)], 1)
    )
    both = (Column("PM25"), Column("pm25"))
    for measurement, expected in (("Environment", (1, "text")), ("environment", (3, 2.0))):
        [series] = await store.query(Query(measurement, both, 0, NOON * 2))
        assert series.rows == [(NOON, expected)]


async def test_a_column_may_be_called_like_the_stores_own(store: DuckStore) -> None:
    await store.write(Batch([reading(0, series=1, late=2, stored=3), reading(0, series=4)], 1))
    await store.write(Batch([reading(0, late=5)], 2))
    columns = (Column("series"), Column("late"), Column("stored"))
    [series] = await store.query(Query("environment", columns, 0, NOON * 2))
    assert series.rows == [(NOON, (4, 5, 3))]


async def test_a_query_that_takes_too_long_is_interrupted(tmp_path: Path) -> None:
    store = DuckStore(None, query_timeout_s=0.01)
    many = [reading(i, pm25=float(i)) for i in range(60_000)]
    await store.write(Batch(many, 1))
    query = Query(
        "environment",
        tuple(Column("pm25", "percentile", n, f"p{n}") for n in range(1, 60)),
        NOON,
        NOON + 60_000,
        window_ns=7,
    )
    with pytest.raises(StoreDown, match="longer than"):
        await store.query(query)
    await store.close()


async def test_readers_see_whole_batches_while_columns_are_added(store: DuckStore) -> None:
    query = Query("environment", (Column("pm25", "count"),), NOON, NOON * 2)
    seen: list[int] = []

    async def read() -> None:
        while not seen or seen[-1] < 2_000:
            rows = await store.query(query)
            seen.append(int(str(rows[0].rows[0][1][0])) if rows else 0)

    async def write() -> None:
        for batch in range(20):
            rows = [reading(batch * 100 + i, pm25=1.0, **{f"f{batch}": 1}) for i in range(100)]
            await store.write(Batch(rows, batch + 1))

    async with asyncio.timeout(60):
        await asyncio.gather(read(), write())
    assert seen == sorted(seen)
    assert all(count % 100 == 0 for count in seen)


async def test_a_folder_that_was_moved_away_is_missed_and_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = DuckStore(folder / "readings.duckdb")
    await store.open()
    await store.write(Batch([reading(1, pm25=1.0)], 1))
    await store.close()
    store = DuckStore(folder / "readings.duckdb")
    await store.open()
    store._close()  # as after a write that failed
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreRefused, match="can't open the store"):
        await store.write(Batch([reading(2, pm25=2.0)], 2))
    assert not folder.exists()
    (tmp_path / "elsewhere").rename(folder)
    assert await store.write(Batch([reading(2, pm25=2.0)], 2)) == Written()
    await store.close()


async def test_a_tier_of_rollups_is_written_under_the_series_of_the_readings(
    tmp_path: Path,
) -> None:
    """Also in a store of format 1, where each tier had series of its own."""
    path, tier = tmp_path / "hub.duckdb", "environment_5m"
    rows = Query(tier, (Column("pm25_sum"),), 0, NOON * 2, group_by=("sensor",))
    store = DuckStore(path)
    await store.write(Batch([reading(0, pm25=1.0)], 1))
    await store.write(Batch([reading(0, pm25_sum=1.0)], 0, "rollup", tier))
    assert await values(store, rows) == [[(NOON, (1.0,))]]
    await store.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE hub_format SET version = 1")
        key = SENSOR.key.replace("environment", tier)
        connection.execute("UPDATE hub_series SET key = ? WHERE measurement = ?", [key, tier])
    store = DuckStore(path)
    await store.write(Batch([reading(0, pm25_sum=2.0)], 0, "rollup", tier))
    assert await values(store, rows) == [[(NOON, (2.0,))]]
    assert await values(store) == [[(NOON, (1.0,))]]
    assert Series.known(key) is None
    await store.close()
