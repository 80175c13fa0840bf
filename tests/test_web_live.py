"""The fold behind the board: last values, a bounded past, states."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.clock import NS
from hub.reading import Quality, Reading, Series
from hub.web import states
from hub.web.live import LiveState, Ring
from tests.web_support import NOW, FakeBackend, small_inventory


@given(
    steps=st.lists(st.tuples(st.integers(0, 7), st.floats(-1e6, 1e6)), max_size=80),
    size=st.integers(1, 9),
)
def test_a_ring_keeps_what_a_plain_list_would(steps: list[tuple[int, float]], size: int) -> None:
    ring, model, started, now = Ring(size, 3), deque[tuple[int, float]](maxlen=size), 0, 0
    for step, value in steps:
        now += step
        ring.add(now, value)
        if model and now - started < 3:
            model[-1] = (now, value)
        else:
            started = now
            model.append((now, value))
    assert ring.points() == list(model)
    assert ring.tail(2) == list(model)[-2:]
    assert ring.points(now) == [point for point in model if point[0] >= now]


def reading(time_ns: int, value: float, quality: int = 0, sensor: str = "a") -> Reading:
    return Reading(
        Series.of("environment", "aq-1", sensor=sensor), time_ns, {"pm25": value}, quality
    )


def test_a_late_reading_does_not_replace_a_newer_value() -> None:
    live = LiveState()
    live.observe([reading(NOW, 10.0)], NOW)
    live.observe([reading(NOW - 60 * NS, 99.0)], NOW + NS)
    (one,) = live.find("aq-1", "environment", "pm25")
    assert one.fields["pm25"] == 10.0
    assert live.devices["aq-1"].heard_ns == NOW + NS


@pytest.mark.parametrize("quality", [Quality.RETAINED, Quality.LATE])
def test_a_retained_or_late_message_is_no_sign_of_life(quality: Quality) -> None:
    live = LiveState()
    live.observe([reading(NOW, 10.0, quality)], NOW)
    assert live.find("aq-1", "environment", "pm25")[0].fields["pm25"] == 10.0
    assert live.devices["aq-1"].heard_ns == 0
    assert live.newest_ns == 0


def test_a_probe_that_says_down_is_news_but_no_sign_of_life() -> None:
    live = LiveState()
    live.observe([Reading(Series.of("device", "r-dlh", probe="icmp"), NOW, {"up": 0})], NOW)
    assert live.devices["r-dlh"].heard_ns == 0
    assert states.device_state(live.devices["r-dlh"], [], NOW) == "down"


def test_what_the_hub_writes_about_a_device_does_not_make_it_alive() -> None:
    live = LiveState()
    live.observe([Reading(Series.of("alert", "aq-1", rule="x"), NOW, {"active": 1})], NOW)
    assert not live.devices


def test_memory_is_bounded_in_series_and_rings_and_says_what_it_left_out() -> None:
    live = LiveState(max_series=3, max_rings=2, points=5, step_s=0)
    for number in range(10):
        for name in "abcdef":
            live.observe([reading(NOW + number * NS, float(number), sensor=name)], NOW)
    assert (live.series_count, live.ring_count, live.left_out) == (3, 2, 30)
    found = live.find("aq-1", "environment", "pm25")
    assert [len(one.rings["pm25"].points()) if one.rings else 0 for one in found] == [5, 5, 0]
    assert found[2].fields["pm25"] == 9.0


def test_text_values_are_kept_but_have_no_past() -> None:
    live = LiveState()
    series = Series.of("interface", "r-dlh", ifname="ether1")
    live.observe([Reading(series, NOW, {"alias": "ke NOC", "in_bps": 4.0})], NOW)
    (one,) = live.find("r-dlh", "interface", "alias")
    assert one.fields["alias"] == "ke NOC"
    assert list(one.rings) == ["in_bps"]


def test_a_device_that_is_silent_for_much_longer_than_usual_has_no_data() -> None:
    backend = FakeBackend()
    for _ in range(10):
        backend.time_ns += 60 * NS
        backend.observe("environment", "aq-1", {"pm25": 5.0}, sensor="a")
    live, last = backend.live.devices["aq-1"], backend.time_ns
    assert states.device_state(live, [], last + 239 * NS) == "ok"
    assert states.device_state(live, [], last + 241 * NS) == "no_data"
    assert states.device_state(None, [], last) == "no_data"


def test_one_probe_that_reaches_a_device_is_enough_but_only_while_it_still_speaks() -> None:
    backend = FakeBackend()
    backend.observe("device", "r-dlh", {"up": 1}, probe="snmp")
    backend.observe("device", "r-dlh", {"up": 0}, probe="icmp")
    live = backend.live.devices["r-dlh"]
    assert states.device_state(live, [], backend.time_ns) == "ok"
    backend.time_ns += 91 * NS
    backend.observe("device", "r-dlh", {"up": 0}, probe="icmp")
    assert states.device_state(live, [], backend.time_ns) == "down"


@pytest.mark.parametrize(
    ("severity", "state", "expected"),
    [
        ("critical", "firing", "critical"),
        ("warning", "acknowledged", "warning"),
        ("critical", "pending", "ok"),
        ("info", "firing", "ok"),
    ],
)
def test_alerts_colour_their_device(severity: str, state: str, expected: str) -> None:
    backend = FakeBackend()
    backend.observe("environment", "aq-1", {"pm25": 5.0}, sensor="a")
    alert = backend.fire("pm25", "aq-1", severity, state=state)
    assert states.device_state(backend.live.devices["aq-1"], [alert], NOW) == expected


def test_the_way_up_and_everything_behind_end_at_a_circle() -> None:
    inventory = small_inventory()
    assert states.upstream_chain("cam-1", inventory) == ["r-dishub", "r-core"]
    children = states.dependents(inventory)
    assert states.downstream("r-core", children) == {"r-dlh", "r-dishub", "cam-1", "aq-1"}
    circle = {"a": ["b"], "b": ["a", "c"]}
    assert states.downstream("a", circle) == {"b", "c"}


def test_an_index_is_shown_but_is_no_sign_of_life() -> None:
    live = LiveState()
    live.observe([Reading(Series.of("air_index", "aq-1"), NOW, {"ispu": 74})], NOW)
    assert live.devices["aq-1"].heard_ns == 0
    (found,) = live.find("aq-1", "air_index", "ispu")
    assert found.fields == {"ispu": 74}
