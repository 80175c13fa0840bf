"""Doubts at ingest: what is believed, what is flagged, and that nothing is ever changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.clock import NS
from hub.doubt import LATELY_NS, Doubts, Field, Neighbours, Place
from hub.inventory_file import from_data
from hub.manifest import FieldSpec, load
from hub.reading import Quality, Series

MINUTE = 60 * NS
START = 1_790_000_000 * NS
MANIFEST = load(Path(__file__).parents[1] / "collectors" / "mqtt" / "manifest.toml")


def spec(**limits: float) -> FieldSpec:
    return FieldSpec(type="float", **limits)  # type: ignore[arg-type]  # all limits are floats


def flags(field: Field, values: list[float], every_ns: int = MINUTE) -> list[int]:
    return [field.feed(START + n * every_ns, value) for n, value in enumerate(values)]


def test_a_change_that_is_too_quick_is_flagged_by_the_minute() -> None:
    assert flags(Field(spec(rate=5)), [20, 25, 31, 30]) == [0, 0, Quality.RATE, 0]
    ten_minutes = flags(Field(spec(rate=5)), [20, 69, 120], 10 * MINUTE)
    assert ten_minutes == [0, 0, Quality.RATE]
    seconds = flags(Field(spec(rate=5)), [20, 24, 14], NS)
    assert seconds == [0, 0, Quality.RATE], "less than a minute counts as one"


def test_a_stuck_probe_is_suspect_within_its_window_and_free_again_when_it_moves() -> None:
    found = flags(Field(spec(stuck_s=3600)), [7.0] * 65 + [7.1, 7.0])
    assert found[:60] == [0] * 60
    assert found[60:65] == [Quality.STUCK] * 5
    assert found[65:] == [0, 0]


def test_one_reading_a_long_time_ago_is_not_stuck() -> None:
    assert flags(Field(spec(stuck_s=60)), [7.0] * 5, 10 * MINUTE) == [0, 0, 0, 0, Quality.STUCK]


def test_a_spike_is_flagged_and_a_new_level_is_believed_at_the_third() -> None:
    steady = [10.0, 11.0, 10.0, 11.0, 10.0]
    assert flags(Field(spec(spike=50)), [*steady, 200, 11]) == [0] * 5 + [Quality.SPIKE, 0]
    level = flags(Field(spec(spike=50)), [*steady, 200, 201, 202, 203, 10])
    assert level[5:] == [Quality.SPIKE, Quality.SPIKE, 0, 0, 0]


def test_a_value_unlike_its_neighbours_is_flagged_and_does_not_accuse_them() -> None:
    together = Neighbours()
    a, b, c = (Field(spec(neighbour=50), Place(name, together)) for name in "abc")
    assert [one.feed(START, 20.0) for one in (a, b)] == [0, 0], "two say nothing of each other"
    assert c.feed(START + NS, 300.0) == Quality.NEIGHBOUR
    assert [one.feed(START + 20 * NS, 21.0) for one in (a, b)] == [0, 0]
    assert c.feed(START + 60 * NS, 25.0) == 0
    later = START + 3 * 3600 * NS
    assert c.feed(later, 300.0) == 0, "neighbours that fell silent say nothing"


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefg"), st.integers(0, 900), st.integers(0, 12)),
        min_size=1,
        max_size=60,
    )
)
def test_many_neighbours_are_compared_as_one_by_one(said: list[tuple[str, int, int]]) -> None:
    together, known, now = Neighbours(), {}, START
    for device, after_s, value in said:
        now += after_s * NS
        others = [v for d, (at, v) in known.items() if d != device and now - at <= LATELY_NS]
        unlike = sum(abs(value - other) > 3 for other in others)
        expected = Quality.NEIGHBOUR if len(others) >= 2 and 2 * unlike > len(others) else 0
        assert together.compare(device, now, value, 3) == expected
        known[device] = now, value


def test_a_time_that_does_not_go_on_is_not_judged() -> None:
    field = Field(spec(rate=1))
    assert field.feed(START, 1.0) == 0
    assert field.feed(START, 100.0) == 0
    assert field.feed(START - MINUTE, 100.0) == 0


def inventory(**more: Any) -> Any:
    devices = [
        {"id": f"aq{n}", "kind": "sensor", "site": "s", "collect": {"mqtt": {}}, **more}
        for n in (1, 2)
    ]
    return from_data({"sites": [{"id": "s", "name": "S"}], "devices": devices})


def key(device: str = "aq1") -> str:
    return Series.of("environment", device, sensor="pm").key


def test_calibration_runs_out_on_its_day() -> None:
    doubts = Doubts(MANIFEST, inventory(calibrated="2026-03-01", calibrate_days=10))
    before = 1_773_187_200 * NS - 1  # 2026-03-11 00:00 UTC
    assert doubts.of(key(), before, {"pm25": 1.0}, 0) == 0
    assert doubts.of(key(), before + 1, {"pm25": 2.0}, 0) == Quality.CALIBRATION
    doubts.know(inventory(calibrated=date(2026, 3, 10)))
    assert doubts.of(key(), before + 2, {"pm25": 1.0}, 0) == 0
    doubts.know(inventory())
    assert doubts.of(key(), before * 2, {"pm25": 1.0}, 0) == 0


@pytest.mark.parametrize("quality", [Quality.LATE, Quality.RETAINED, Quality.RANGE])
def test_what_is_late_or_no_value_teaches_nothing(quality: Quality) -> None:
    doubts = Doubts(MANIFEST, inventory())
    assert doubts.of(key(), START, {"temperature": 20.0}, 0) == 0
    assert doubts.of(key(), START + MINUTE, {"temperature": 84.0}, int(quality)) == quality
    assert doubts.of(key(), START + 2 * MINUTE, {"temperature": 20.0}, 0) == 0


def test_a_field_that_declares_nothing_is_never_doubted() -> None:
    doubts = Doubts(MANIFEST, inventory())
    for n in range(2_000):
        at = START + n * MINUTE
        assert doubts.of(key(), at, {"rain_mm": 0.0, "wind_ms": float(n % 2 * 50)}, 0) == 0


values = st.lists(st.integers(0, 4000).map(lambda tenths: tenths / 10), min_size=1, max_size=80)


@settings(deadline=None)
@given(values, st.integers(1, 120))
def test_the_short_way_says_what_the_long_way_would(readings: list[float], every_s: int) -> None:
    """`Doubts.of` passes over what lies in the believable band; asking anyway is the same."""
    short = Doubts(MANIFEST, inventory())
    long = Field(MANIFEST.measurements["environment"].fields["pm25"])
    for n, value in enumerate(readings):
        at = START + n * every_s * NS
        assert short.of(key(), at, {"pm25": value}, 0) == long.feed(at, value)
