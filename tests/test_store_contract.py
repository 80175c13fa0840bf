"""What every store promises, run on DuckDB and on a real InfluxDB 1.6."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from hub.reading import Reading, Series, Value
from hub.store.base import Batch, Store
from hub.store.duckdb import DuckStore
from hub.store.influx import InfluxStore
from hub.store.query import BadQuery, Column, Query
from tests.influx_support import influxd

NOON = 1_760_000_040_000_000_000
"""A full minute."""
MINUTE = 60_000_000_000
_databases = count()
_ids = count(1)


@dataclass
class Places:
    """Labels by device, as an inventory has them."""

    by_device: dict[str, dict[str, str]] = field(default_factory=dict)
    generation: int = 0

    def labels(self, series: Series) -> Mapping[str, str]:
        return self.by_device.get(series.device, {})


@pytest.fixture(scope="module")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with influxd(tmp_path_factory.mktemp("contract")) as url:
        yield url


@pytest.fixture
def places() -> Places:
    return Places()


@pytest.fixture(params=["duckdb", "influxdb"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, places: Places
) -> AsyncIterator[Store]:
    made: DuckStore | InfluxStore
    if request.param == "duckdb":
        made = DuckStore(tmp_path / "hub.duckdb", places)
    else:
        url = request.getfixturevalue("influx_url")
        made = InfluxStore(url, f"contract{next(_databases)}", places)
    await made.open()
    yield made
    await made.close()


async def send(store: Store, *readings: Reading) -> Mapping[int, str]:
    return (await store.write(Batch(readings, next(_ids)))).rejected


async def rows(
    store: Store, measurement: str, *columns: Column | str, **rest: object
) -> list[tuple[dict[str, str], list[tuple[int, tuple[Value | None, ...]]]]]:
    asked = tuple(Column(column) if isinstance(column, str) else column for column in columns)
    query = Query(measurement, asked, **{"start_ns": 0, "stop_ns": 2**62, **rest})  # type: ignore[arg-type]
    return [(dict(found.tags), list(found.rows)) for found in await store.query(query)]


def kinds(found: list[tuple[int, tuple[Value | None, ...]]]) -> list[list[type]]:
    return [[type(value) for value in values] for _, values in found]


NASTY = (
    "plain",
    "comma,space equals=",
    "quote\" and 'apostrophe'",
    "back\\slash",
    "Ruang Rapat Ѳ 湖 🌧 e\u0301",
    "/^(slash|regex).*$/",
    "hash#",
    " leading and trailing ",
    "percent%s {brace} $dollar :: --",
)


@pytest.mark.parametrize("text", NASTY)
async def test_names_and_texts_come_back_as_they_were_sent(store: Store, text: str) -> None:
    tag, name = f"t {text}", f"f {text}"
    series = Series.of(text, "aq1", sensor=text, **{tag: "value"})
    assert await send(store, Reading(series, NOON, {name: text, "n": 7})) == {}
    [(tags, found)] = await rows(
        store, text, name, "n", group_by=("sensor", tag), where={"sensor": text, tag: ["value"]}
    )
    assert tags == {"sensor": text, tag: "value"}
    assert found == [(NOON, (text, 7))]


@pytest.mark.parametrize("text", ["back\\,comma", "back\\ space", "back\\=equals", "a\\\\ b"])
async def test_tags_may_have_backslashes_before_separators(store: Store, text: str) -> None:
    series = Series.of("device", "r1", port=text, **{text: "x"})
    assert Series.parse(series.key) is series
    await send(store, Reading(series, NOON, {"n": 7}))
    found = await rows(store, "device", "n", group_by=("port", text), where={"port": text})
    assert found == [({"port": text, text: "x"}, [(NOON, (7,))])]


@pytest.mark.parametrize("text", ["", "\\", "a\\", '"', '\\"', "line\nbreak", "tab\t", "\\n", "'"])
async def test_texts_as_values_come_back_as_they_were_sent(store: Store, text: str) -> None:
    series = Series.of("alert", "r1")
    assert await send(store, Reading(series, NOON, {"text": text})) == {}
    assert await rows(store, "alert", "text") == [({}, [(NOON, (text,))])]


@pytest.mark.parametrize(
    "value",
    [
        0.1,
        -0.5,
        5.0,
        0.0,
        1e16,
        1e300,
        5e-324,
        1.7976931348623157e308,
        2**53,
        2**63 - 1,
        -(2**63),
        0,
    ],
)
async def test_numbers_come_back_with_their_type_and_every_digit(
    store: Store, value: Value
) -> None:
    series = Series.of("device", "r1")
    assert await send(store, Reading(series, NOON, {"v": value})) == {}
    [(_, found)] = await rows(store, "device", "v")
    assert repr(found[0][1][0]) == repr(value)


async def test_times_are_exact_to_the_nanosecond(store: Store) -> None:
    series = Series.of("device", "r1")
    times = [0, 1, NOON, NOON + 1, NOON + 2, 2**62 - 1]
    assert await send(store, *(Reading(series, t, {"v": t % 7}) for t in times)) == {}
    [(_, found)] = await rows(store, "device", "v")
    assert [time_ns for time_ns, _ in found] == times


async def test_start_is_inclusive_and_stop_exclusive(store: Store) -> None:
    series = Series.of("device", "r1")
    await send(store, *(Reading(series, NOON + i, {"v": i}) for i in range(5)))
    [(_, found)] = await rows(store, "device", "v", start_ns=NOON + 1, stop_ns=NOON + 3)
    assert found == [(NOON + 1, (1,)), (NOON + 2, (2,))]
    assert await rows(store, "device", "v", start_ns=NOON + 3, stop_ns=NOON + 3) == []


async def test_the_last_write_wins_field_by_field(store: Store) -> None:
    series = Series.of("environment", "aq1")
    await send(
        store,
        Reading(series, NOON, {"pm25": 1.0, "pm10": 2.0}),
        Reading(series, NOON + 1, {"pm25": 5.0}),
        Reading(series, NOON, {"pm25": 3.0, "rh": 4.0}),
        Reading(series, NOON + 1, {"pm25": 6.0}),
    )
    await send(store, Reading(series, NOON, {"pm10": 9.0}))
    [(_, found)] = await rows(store, "environment", "pm25", "pm10", "rh")
    assert found == [(NOON, (3.0, 9.0, 4.0)), (NOON + 1, (6.0, None, None))]


async def test_readings_out_of_order_are_put_in_order(store: Store) -> None:
    series = Series.of("environment", "aq1")
    for offsets in ((5, 3, 9), (4, 1, 12), (7, 11, 0, 12)):
        await send(store, *(Reading(series, NOON + i, {"v": i}) for i in offsets))
    [(_, found)] = await rows(store, "environment", "v")
    assert found == [(NOON + i, (i,)) for i in (0, 1, 3, 4, 5, 7, 9, 11, 12)]


async def test_a_batch_sent_again_changes_nothing(store: Store) -> None:
    all_series = [Series.of("environment", f"aq{n}", sensor="pm") for n in range(5)]
    batch = [
        Reading(all_series[i % 5], NOON + i // 10, {"v": float(i), "state": f"s{i}"}, i % 3)
        for i in range(200)
    ]
    await send(store, *batch)
    asked = ("v", "state", "quality")
    before = await rows(store, "environment", *asked, group_by=("device", "sensor"))
    assert sum(len(found) for _, found in before) == 100
    await send(store, *batch)
    await send(store, *batch[100:150])
    after = await rows(store, "environment", *asked, group_by=("device", "sensor"))
    assert after == before


async def test_a_value_of_another_type_is_rejected_and_the_rest_is_stored(store: Store) -> None:
    series = Series.of("device", "r1")
    other = Series.of("interface", "r1", ifname="ether1")
    await send(store, Reading(series, NOON, {"v": 1.0, "n": 1, "text": "x"}))
    rejected = await send(
        store,
        Reading(series, NOON + 1, {"v": 1.0}),
        Reading(series, NOON + 2, {"v": "text"}),
        Reading(other, NOON + 2, {"v": "text"}),
        Reading(series, NOON + 3, {"v": 2}),
        Reading(series, NOON + 4, {"n": 2.0}),
        Reading(series, NOON + 5, {"n": 2, "text": 3}),
        Reading(series, NOON + 6, {"n": 3}),
        Reading(series, NOON + 7, {"v": "text"}),
    )
    assert sorted(rejected) == [1, 3, 4, 5, 7]
    assert "v" in rejected[1]
    assert "string" in rejected[1]
    assert "float" in rejected[1]
    [(_, found)] = await rows(store, "device", "v", "n", "text")
    assert found == [
        (NOON, (1.0, 1, "x")),
        (NOON + 1, (1.0, None, None)),
        (NOON + 6, (None, 3, None)),
    ]
    assert await rows(store, "interface", "v") == [({}, [(NOON + 2, ("text",))])]


BAD: list[tuple[Reading, str]] = [
    (Reading(Series.of("device", "r1"), NOON, {"v": float("nan")}), "nan"),
    (Reading(Series.of("device", "r1"), NOON, {"ok": 1.0, "v": float("-inf")}), "inf"),
    (Reading(Series.of("device", "r1"), NOON, {"v": 2**63}), "64 bits"),
    (Reading(Series.of("device", "r1"), NOON, {}), "no fields"),
    (Reading(Series.of("device", "r1"), -1, {"v": 1}), "1970"),
    (Reading(Series.of("device", "r1"), 2**63 - 1, {"v": 1}), "2262"),
    (Reading(Series.of("device", "r1"), NOON, {"time": 1}), "time"),
    (Reading(Series.of("device", "r1"), NOON, {"quality": 1}), "quality"),
    (Reading(Series.of("device", "r1"), NOON, {"site": "x"}), "site"),
    (Reading(Series.of("device", "r1"), NOON, {"device": "x"}), "both a tag and a field"),
    (Reading(Series.of("device", "r1"), NOON, {"": 1}), "name a field"),
    (Reading(Series.of("device", "r1"), NOON, {"v\n": 1}), "name a field"),
    (Reading(Series.of("device", "r1"), NOON, {"v": "\ud800"}), "surrogate"),
    (Reading(Series.of("device", "r1"), NOON, {"a\\,b": 1}), "backslash"),
    (Reading(Series.of("#device", "r1"), NOON, {"v": 1}), "comment"),
    (Reading(Series.of("a\\ b", "r1"), NOON, {"v": 1}), "backslash"),
    (Reading(Series.of("device", "r1", time="x"), NOON, {"v": 1}), "time"),
    (Reading(Series.of("device", "r1"), NOON, {"v": None}), "NoneType"),  # type: ignore[dict-item]
]


async def test_what_no_store_can_hold_is_rejected_with_its_reason(store: Store) -> None:
    good = Reading(Series.of("device", "r2"), NOON, {"x": 1.5})
    rejected = await send(store, good, *(reading for reading, _ in BAD), good)
    assert sorted(rejected) == list(range(1, len(BAD) + 1))
    for index, (_, words) in enumerate(BAD):
        assert words in rejected[index + 1]
    assert await rows(store, "device", "x", "ok", "v") == [({}, [(NOON, (1.5, None, None))])]


async def test_truths_are_stored_as_integers(store: Store) -> None:
    series = Series.of("device", "r1")
    assert (
        await send(store, Reading(series, NOON, {"up": True}), Reading(series, NOON + 1, {"up": 0}))
        == {}
    )
    [(_, found)] = await rows(store, "device", "up")
    assert found == [(NOON, (1,)), (NOON + 1, (0,))]
    assert kinds(found) == [[int], [int]]


async def test_quality_is_a_field_only_where_something_is_doubted(store: Store) -> None:
    series = Series.of("environment", "aq1")
    await send(store, Reading(series, NOON, {"v": 1}, 5), Reading(series, NOON + 1, {"v": 2}, 0))
    [(_, found)] = await rows(store, "environment", "v", "quality")
    assert found == [(NOON, (1, 5)), (NOON + 1, (2, None))]


async def test_labels_are_added_when_data_leaves(store: Store, places: Places) -> None:
    places.by_device = {"r1": {"site": "balige", "kind": "router"}, "r2": {"site": "laguboti"}}
    for device in ("r1", "r2", "r3"):
        await send(store, Reading(Series.of("device", device), NOON, {"v": 1}))
    mean = Column("v", "sum")
    found = await rows(store, "device", mean, group_by=("site", "kind"))
    assert [tags for tags, _ in found] == [
        {"site": "", "kind": ""},
        {"site": "balige", "kind": "router"},
        {"site": "laguboti", "kind": ""},
    ]
    found = await rows(store, "device", "v", group_by=("device",), where={"site": "balige"})
    assert found == [({"device": "r1"}, [(NOON, (1,))])]
    found = await rows(store, "device", "v", group_by=("device",), where={"kind": ""})
    assert [tags["device"] for tags, _ in found] == ["r2", "r3"]


async def test_a_renamed_site_is_used_from_then_on(store: Store, places: Places) -> None:
    places.by_device = {"r1": {"site": "old"}}
    series = Series.of("device", "r1")
    await send(store, Reading(series, NOON, {"v": 1}))
    places.by_device = {"r1": {"site": "new"}}
    places.generation += 1
    await send(store, Reading(series, NOON + 1, {"v": 2}))
    [(tags, found)] = await rows(
        store, "device", "v", start_ns=NOON + 1, group_by=("site",), where={"site": "new"}
    )
    assert (tags, found) == ({"site": "new"}, [(NOON + 1, (2,))])
    [(_, both)] = await rows(store, "device", "v", group_by=("device",))
    assert both == [(NOON, (1,)), (NOON + 1, (2,))]


async def test_membership_matches_any_of_the_values_and_an_empty_one_nothing(store: Store) -> None:
    for device in ("a", "b|c", "b", "a'b"):
        await send(store, Reading(Series.of("device", device), NOON, {"v": 1}))
    for wanted, expected in (
        (["a", "b|c"], ["a", "b|c"]),
        (["a'b", "nobody"], ["a'b"]),
        ("b", ["b"]),
        ([], []),
        ("", []),
    ):
        found = await rows(store, "device", "v", group_by=("device",), where={"device": wanted})
        assert [tags["device"] for tags, _ in found] == expected


async def test_what_was_never_written_is_empty_and_no_error(store: Store) -> None:
    assert await rows(store, "nowhere", "v") == []
    await send(store, Reading(Series.of("device", "r1"), NOON, {"v": 1}))
    assert await rows(store, "device", "nothing") == []
    assert await rows(store, "device", Column("nothing", "count")) == []
    found = await rows(store, "device", "v", "nothing", group_by=("nobody",))
    assert found == [({"nobody": ""}, [(NOON, (1, None))])]


async def test_a_field_is_never_taken_for_a_tag(store: Store) -> None:
    await send(store, Reading(Series.of("alert", "r1"), NOON, {"state": "firing", "v": 1}))
    assert await rows(store, "alert", "v", where={"state": "firing"}) == []
    assert await rows(store, "alert", "v", where={"state": ""}) == [({}, [(NOON, (1,))])]
    assert await rows(store, "alert", "device", "v") == [({}, [(NOON, (None, 1))])]
    assert await rows(store, "alert", Column("v", "sum"), group_by=("state",)) == [
        ({"state": ""}, [(0, (1,))])
    ]


async def test_aggregates_keep_the_type_of_their_field(store: Store) -> None:
    series = Series.of("device", "r1")
    await send(
        store,
        *(Reading(series, NOON + i, {"f": float(i), "n": i, "s": f"t{i}"}) for i in range(1, 5)),
    )
    for name, expected in (
        ("f", (2.5, 10.0, 1.0, 4.0, 3.0, 4, 1.0, 4.0, 2.0)),
        ("n", (2.5, 10, 1, 4, 3, 4, 1, 4, 2)),
    ):
        columns = [
            Column(name, aggregate)  # type: ignore[arg-type]
            for aggregate in ("mean", "sum", "min", "max", "spread", "count", "first", "last")
        ]
        columns.append(Column(name, "percentile", 50))
        [(_, found)] = await rows(store, "device", *columns)
        assert [repr(value) for value in found[0][1]] == [repr(value) for value in expected]
    text = [Column("s", "count"), Column("s", "first"), Column("s", "last")]
    assert await rows(store, "device", *text) == [({}, [(0, (4, "t1", "t4"))])]


@pytest.mark.parametrize("aggregate", ["mean", "sum", "min", "max", "spread", "percentile"])
async def test_a_number_of_a_text_is_a_bad_query(store: Store, aggregate: str) -> None:
    await send(store, Reading(Series.of("device", "r1"), NOON, {"s": "text"}))
    argument = 50 if aggregate == "percentile" else None
    with pytest.raises(BadQuery, match="holds text"):
        await rows(store, "device", Column("s", aggregate, argument))  # type: ignore[arg-type]


async def test_percentiles_are_of_nearest_rank(store: Store) -> None:
    series = Series.of("device", "r1")
    await send(store, *(Reading(series, NOON + i, {"v": (i * 7) % 10}) for i in range(10)))
    for argument, expected in ((5, 0), (50, 4), (54.9, 4), (55, 5), (99.9, 9), (100, 9)):
        [(_, found)] = await rows(store, "device", Column("v", "percentile", argument))
        assert found == [(0, (expected,))]
    assert await rows(store, "device", Column("v", "percentile", 4)) == []


async def test_series_that_tie_at_one_time_give_the_greater_value(store: Store) -> None:
    for device, value in (("a", 3), ("b", 9), ("c", 1)):
        await send(store, Reading(Series.of("device", device), NOON, {"v": value}))
    columns = (Column("v", "first"), Column("v", "last"))
    assert await rows(store, "device", *columns) == [({}, [(0, (9, 9))])]
    [(_, found)] = await rows(store, "device", "v")
    assert found == [(NOON, (3,)), (NOON, (9,)), (NOON, (1,))]
    [(_, found)] = await rows(store, "device", "v", descending=True, limit=2)
    assert found == [(NOON, (3,)), (NOON, (9,))]


async def test_the_last_points_of_each_series_are_found_backwards(store: Store) -> None:
    for device in ("a", "b"):
        series = Series.of("device", device)
        await send(store, *(Reading(series, NOON + i, {"v": i}) for i in range(10)))
    found = await rows(store, "device", "v", group_by=("device",), descending=True, limit=2)
    expected = [(NOON + 9, (9,)), (NOON + 8, (8,))]
    assert found == [({"device": "a"}, expected), ({"device": "b"}, expected)]


async def filled(store: Store, fill: str, **rest: object) -> list[tuple[Value | None, ...]]:
    """Windows of a minute from a minute before the first point to two after the last."""
    [(_, found)] = await rows(
        store,
        "device",
        Column("v", "mean"),
        Column("v", "count"),
        start_ns=NOON - MINUTE + 1,
        stop_ns=NOON + 5 * MINUTE,
        window_ns=MINUTE,
        fill=fill,
        **rest,
    )
    minutes = [(time_ns - NOON) // MINUTE for time_ns, _ in found]
    return [(minute, *values) for minute, (_, values) in zip(minutes, found, strict=True)]


async def test_empty_windows_are_filled_as_asked(store: Store) -> None:
    series = Series.of("device", "r1")
    await send(store, *(Reading(series, NOON + m * MINUTE, {"v": float(m + 1)}) for m in (0, 2)))
    assert await filled(store, "none") == [(0, 1.0, 1), (2, 3.0, 1)]
    assert await filled(store, "null") == [
        (-1, None, 0), (0, 1.0, 1), (1, None, 0), (2, 3.0, 1), (3, None, 0), (4, None, 0),
    ]  # fmt: skip
    assert await filled(store, "zero") == [
        (-1, 0, 0), (0, 1.0, 1), (1, 0, 0), (2, 3.0, 1), (3, 0, 0), (4, 0, 0),
    ]  # fmt: skip
    previous = [
        (-1, None, 0), (0, 1.0, 1), (1, 1.0, 0), (2, 3.0, 1), (3, 3.0, 0), (4, 3.0, 0),
    ]  # fmt: skip
    assert await filled(store, "previous") == previous
    assert await filled(store, "previous", descending=True) == previous[::-1]
    assert await filled(store, "previous", descending=True, limit=2) == previous[:-3:-1]


async def test_days_begin_at_the_zones_midnight(store: Store) -> None:
    series = Series.of("environment", "rain")
    midnight = 1_759_942_800_000_000_000  # 2025-10-09 00:00 in Jakarta, 17:00 UTC the day before
    day = 86_400_000_000_000
    for offset in (-1, 0, day - 1, day):
        await send(store, Reading(series, midnight + offset, {"rain_mm": 1.0}))
    [(_, found)] = await rows(
        store,
        "environment",
        Column("rain_mm", "sum"),
        start_ns=midnight - day,
        stop_ns=midnight + 2 * day,
        window_ns=day,
        zone="Asia/Jakarta",
    )
    assert found == [(midnight - day, (1.0,)), (midnight, (2.0,)), (midnight + day, (1.0,))]


async def test_a_batch_without_an_id_is_written_each_time(store: Store) -> None:
    series = Series.of("device", "r1")
    for value in (1, 2):
        await store.write(Batch([Reading(series, NOON, {"v": value})], 0, "rollup"))
    assert await rows(store, "device", "v") == [({}, [(NOON, (2,))])]


async def test_no_device_is_left_out_that_has_young_readings(store: Store) -> None:
    old, young = Series.of("device", "old"), Series.of("device", "young", port="x y")
    await send(store, Reading(old, NOON, {"v": 1}), Reading(young, NOON, {"v": 1}))
    await send(store, Reading(young, NOON + 60, {"v": 2}))
    assert await store.devices("device", NOON) == ["old", "young"]
    assert "young" in await store.devices("device", NOON + 60)
    assert await store.devices("nowhere", NOON) == []


async def test_the_shape_of_a_measurement_is_known(store: Store) -> None:
    await send(
        store,
        Reading(Series.of("device", "r1"), NOON, {"v": 1, "f": 2.0}),
        Reading(Series.of("device", "r1", port="x y"), NOON, {"text": "words"}),
    )
    shape = await store.shape("device")
    assert shape.tags == ("device", "port")
    assert dict(shape.fields) == {"v": int, "f": float, "text": str}
    assert shape.numbers() == ["f", "v"]
    assert "device" in await store.measurements()
    nothing = await store.shape("nowhere")
    assert (nothing.tags, dict(nothing.fields)) == ((), {})
