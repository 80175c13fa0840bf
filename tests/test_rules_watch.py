"""The watch: what people are told, what they are spared, and that nothing depends on luck."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.reading import Quality, Reading, Series
from rules import saying
from rules.roster import Roster, Track
from rules.rule import Text
from rules.watch import Act, Thing, Transition, Watch
from tests.rules_support import (
    AQ,
    CORE,
    DOWN,
    MINUTE,
    OFFICE,
    PM,
    SILENT,
    START,
    THINGS,
    Hub,
    S,
    brief,
    rules,
)

PM_KEY = "pm:aq1:sensor=pm"
CORE_KEY = "router_down:r-core:probe=snmp"


def smoky() -> Hub:
    """A hub where PM2.5 fires since 60 s."""
    hub = Hub(PM)
    for second in range(0, 61, 10):
        hub.until(second)
        hub.read(AQ, pm25=80.0)
    return hub


# -- from reading to people ---------------------------------------------------------


def test_a_threshold_goes_through_pending_to_firing_and_resolves() -> None:
    hub = smoky()
    hub.read(AQ, pm25=50.0)
    hub.read(AQ, pm25=44.0)
    assert brief(hub.said) == [
        ("pm", "ok", "pending", ()),
        ("pm", "pending", "firing", ("dlh",)),
        ("pm", "firing", "resolved", ("dlh",)),
    ]
    fired = hub.said[1]
    assert fired.key == PM_KEY
    assert fired.tags == {"sensor": "pm"}
    assert fired.since_ns == START
    assert fired.time_ns == START + MINUTE
    assert fired.title == {"id": "PM 80 µg/m³ di Balige", "en": "PM 80 µg/m³ at Balige"}
    assert "55,4" in fired.detail["id"]
    assert "55.4" in fired.detail["en"]


def test_transitions_are_named_after_their_record() -> None:
    hub = Hub(PM, PM.replace("name: pm", "name: pm2"))
    first = hub.read(AQ, pm25=99.0)
    assert [t.id for t in first] == ["1-0", "1-1"]


def test_one_record_with_several_readings_names_no_transition_twice() -> None:
    watch = Watch(rules(PM), THINGS)
    two = Series.of("environment", "aq1", sensor="second")
    out = [
        t for s in (AQ, two) for t in watch.observe(7, [Reading(s, START, {"pm25": 99.0})], START)
    ]
    assert [t.id for t in out] == ["7-0", "7-1"]


def test_between_two_readings_the_clock_makes_it_fire() -> None:
    hub = Hub(PM)
    hub.read(AQ, pm25=80.0)
    hub.until(50)
    hub.read(AQ, pm25=80.0)
    assert brief(hub.until(60)) == [("pm", "pending", "firing", ("dlh",))]


def test_a_pending_alert_whose_readings_stopped_does_not_fire_by_itself() -> None:
    hub = Hub(PM.replace("for: 1m", "for: 30m"))
    for second in range(0, 301, 10):
        hub.until(second)
        hub.read(AQ, pm25=80.0)
    hub.until(900)
    assert hub.watch.alerts()[0].data_state == "stale"
    hub.until(7200)
    assert hub.states() == {PM_KEY: "pending"}
    assert hub.watch.alerts()[0].data_state == "no_data"
    hub.read(AQ, pm25=80.0)
    assert hub.states() == {PM_KEY: "pending"}, "half an hour of readings starts anew"
    assert hub.watch.alerts()[0].since_ns == hub.now


def test_missing_data_never_resolves() -> None:
    hub = smoky()
    said: list[tuple[str, str]] = []
    for _ in range(60):
        hub.until(hub.now / S - START / S + 60)
        [alert] = hub.watch.alerts()
        if (alert.state, alert.data_state) not in said[-1:]:
            said.append((alert.state, alert.data_state))
    assert said == [("firing", "ok"), ("firing", "stale"), ("firing", "no_data")]


def test_an_invented_device_pages_nobody_and_costs_no_memory() -> None:
    hub = Hub(PM, DOWN)
    for second in range(0, 121, 10):
        hub.until(second)
        hub.read(Series.of("environment", f"x{second}", sensor="pm"), pm25=500.0)
        hub.read(Series.of("environment", "ghost", sensor="pm"), pm25=500.0)
        hub.read(Series.of("device", "ghost", probe="snmp"), up=0, kind="router")
    assert hub.said == []
    assert hub.states() == {}
    assert hub.watch._roster.plans == {}
    assert hub.watch.snapshot()["tracks"] == []


def test_an_alert_of_a_device_that_was_never_listed_ends_at_the_next_start() -> None:
    hub = smoky()
    snapshot = hub.watch.snapshot() | {"things": ["r-core"]}
    watch = Watch.restore(hub.rules, THINGS[:1], snapshot)
    (ended,) = watch.tick(hub.id + 1, hub.now)
    assert (ended.key, ended.after) == (PM_KEY, "resolved")


def test_the_hub_s_own_health_is_judged_though_no_inventory_lists_it() -> None:
    hub = Hub(
        """
  - name: dropped
    title: {id: "Data hilang", en: "Readings are dropped"}
    when: {measurement: hub, field: dropped, above: 0}
"""
    )
    hub.read(Series.of("hub", "hub", part="ingest"), dropped=1)
    assert brief(hub.said) == [("dropped", "ok", "firing", ())]


def test_text_nan_and_infinity_change_nothing() -> None:
    hub = smoky()
    for value in ("0", float("nan"), float("inf"), float("-inf"), 1e301):
        hub.read(AQ, pm25=value)
    hub.read(AQ, other=1)
    assert hub.states() == {PM_KEY: "firing"}


def test_what_was_resolved_stays_on_the_board_for_an_hour() -> None:
    hub = smoky()
    hub.read(AQ, pm25=20.0)
    assert hub.states() == {PM_KEY: "resolved"}
    hub.until(3700)
    assert hub.states() == {}


# -- late, retained, doubted ---------------------------------------------------------


def test_retained_and_late_readings_page_nobody_and_resolve_nothing() -> None:
    hub = smoky()
    hub.until(70)
    hub.read(AQ, pm25=1.0, quality=Quality.RETAINED)
    hub.read(AQ, pm25=1.0, quality=Quality.LATE)
    hub.read(AQ, pm25=1.0, age=600)
    hub.read(AQ, pm25=1.0, age=30)
    assert hub.states() == {PM_KEY: "firing"}, "neither flagged, nor old, nor out of order"
    hub.read(AQ, pm25=1.0)
    assert hub.states() == {PM_KEY: "resolved"}


def test_a_clock_of_the_next_century_does_not_lock_a_series() -> None:
    hub = Hub(PM)
    hub.read(AQ, pm25=80.0, age=-3e9)
    hub.until(10)
    hub.read(AQ, pm25=20.0)
    assert hub.states() == {}


def test_doubted_readings_count_unless_the_rule_asks_for_good_ones() -> None:
    hub = Hub(PM, PM.replace("name: pm", "name: good").replace("above", "quality: good, above"))
    hub.read(AQ, pm25=80.0, quality=Quality.STUCK)
    assert hub.states() == {PM_KEY: "pending"}
    assert hub.watch.alerts()[0].data_state == "suspect"


# -- absence ---------------------------------------------------------


def test_a_sensor_never_heard_fires_too() -> None:
    hub = Hub(SILENT)
    assert hub.until(290) == []
    [fired] = hub.until(310)
    assert (fired.key, fired.after, fired.data_state) == ("silent:aq1", "firing", "no_data")
    assert fired.title["id"] == "Sensor Balige diam 5 menit"


def test_a_retained_message_is_no_sign_of_life() -> None:
    hub = Hub(SILENT)
    for second in range(0, 320, 10):
        hub.until(second)
        hub.read(AQ, pm25=1.0, quality=Quality.RETAINED)
    assert hub.states() == {"silent:aq1": "firing"}


def test_a_sign_of_life_ends_a_silence_and_says_how_long_it_was() -> None:
    hub = Hub(SILENT)
    hub.read(AQ, pm25=1.0)
    hub.until(400)
    [ended] = hub.read(AQ, pm25=1.0)
    assert (ended.after, ended.value) == ("resolved", 400.0)
    assert ended.since_ns == START


def test_the_hub_s_own_outage_is_no_device_s_silence() -> None:
    hub = Hub(SILENT)
    hub.read(AQ, pm25=1.0)
    hub.until(10)
    hub.until(3600, every=3590)
    assert hub.states() == {}
    hub.until(3600 + 290)
    assert hub.states() == {}
    hub.until(3600 + 310)
    assert hub.states() == {"silent:aq1": "firing"}


# -- people ---------------------------------------------------------


def test_an_acknowledgement_names_who_and_why_and_ends_with_the_alert() -> None:
    hub = smoky()
    [t] = hub.act("acknowledge", who="siti", why="ke lokasi", key=PM_KEY)
    assert (t.before, t.after, t.who, t.why) == ("firing", "acknowledged", "siti", "ke lokasi")
    assert t.notify == ()
    [alert] = hub.watch.alerts()
    assert (alert.acknowledged_by, alert.comment) == ("siti", "ke lokasi")
    hub.read(AQ, pm25=1.0)
    hub.until(70)
    hub.read(AQ, pm25=80.0)
    assert hub.watch.alerts()[0].acknowledged_by == ""


def test_what_is_silenced_fires_without_a_word_and_speaks_when_the_silence_ends() -> None:
    hub = Hub(PM)
    hub.act("silence", matcher={"site": "bali*", "rule": ["pm"]}, until_ns=START + 300 * S)
    for second in range(0, 400, 10):
        hub.until(second)
        hub.read(AQ, pm25=80.0)
        if second == 100:
            [alert] = hub.watch.alerts()
            assert (alert.silenced_by, alert.silenced_until) == ("siti", START + 300 * S)
    assert brief(hub.said) == [
        ("pm", "ok", "pending", ()),
        ("pm", "pending", "firing", ()),
        ("pm", "firing", "firing", ("dlh",)),
    ]
    assert hub.said[2].why == "no longer silenced"
    assert hub.said[2].time_ns == START + 300 * S


def test_what_began_and_ended_in_silence_is_never_spoken_of() -> None:
    hub = Hub(PM)
    hub.act("maintenance", matcher={"device": "aq1"}, until_ns=START + 3600 * S)
    for second in range(0, 100, 10):
        hub.until(second)
        hub.read(AQ, pm25=80.0 if second < 90 else 1.0)
    assert [t.notify for t in hub.said] == [(), (), ()]


def test_a_silence_can_be_taken_back_by_id_or_matcher() -> None:
    for undo in ({"key": "1"}, {"matcher": {"device": "aq1"}}):
        hub = Hub(PM)
        hub.act("silence", matcher={"device": "aq1"}, until_ns=START + 3600 * S)
        assert [s.id for s in hub.watch.silences()] == ["1"]
        hub.act("unsilence", **undo)
        assert hub.watch.silences() == []


def test_acts_that_make_no_sense_say_so_and_change_nothing() -> None:
    nonsense = [
        Act("shout", "siti"),
        Act("acknowledge", "siti"),
        Act("acknowledge", "", key="x"),
        Act("silence", "siti", until_ns=START),
        Act("silence", "siti", matcher={"device": "aq1"}),
        Act("silence", "siti", matcher={"device": []}, until_ns=START),
        Act("unsilence", "siti"),
    ]
    hub = smoky()
    before = hub.watch.snapshot()
    for act in nonsense:
        assert act.problem()
        assert hub.watch.act(hub.id, hub.now, act) == []
    assert hub.watch.snapshot() == before
    assert hub.act("acknowledge", key="no:such") == []


# -- one cause, one message ---------------------------------------------------------


def cut_off(first: Series, second: Series) -> Hub:
    """Core and office die and the sensor falls silent."""
    hub = Hub(DOWN, SILENT)
    for series in (first, second):
        hub.read(series, up=1)
    hub.read(AQ, pm25=1.0)
    for second_ in range(10, 400, 10):
        hub.until(second_)
        hub.read(first, up=0)
        hub.read(second, up=0)
    return hub


def test_one_dead_router_is_one_message_and_names_what_it_explains() -> None:
    hub = cut_off(CORE, OFFICE)
    assert [(t.device, t.cause) for t in hub.said if t.notify] == [("r-core", "")]
    causes = {alert.device: (alert.cause, alert.drags) for alert in hub.watch.alerts()}
    assert causes == {
        "r-core": ("", 1),
        "r-dlh": (CORE_KEY, 1),
        "aq1": ("router_down:r-dlh:probe=snmp", 0),
    }
    assert {a.device: a.data_state for a in hub.watch.alerts()}["aq1"] == "source_down"


def test_what_comes_back_with_its_cause_is_never_spoken_of() -> None:
    hub = cut_off(CORE, OFFICE)
    hub.until(400)
    for series in (CORE, OFFICE):
        hub.read(series, up=1)
    hub.until(460)
    hub.read(AQ, pm25=1.0)
    hub.until(700)
    assert {t.device for t in hub.said if t.notify} == {"r-core"}


def test_what_stays_dead_after_its_cause_is_over_is_told_after_a_pause() -> None:
    hub = cut_off(CORE, OFFICE)
    hub.until(400)
    for series in (CORE, OFFICE):
        hub.read(series, up=1)
    said = [t for t in hub.until(700) if t.notify]
    assert [(t.rule, t.before, t.after, t.why) for t in said] == [
        ("silent", "firing", "firing", "its cause is over")
    ]
    assert said[0].time_ns >= START + 510 * S


def test_a_parent_that_is_about_to_fire_already_explains() -> None:
    hub = Hub(DOWN.replace("severity: critical", "for: 2m\n    severity: critical"), SILENT)
    hub.read(CORE, up=1)
    hub.read(AQ, pm25=1.0)
    for second in range(10, 600, 10):
        hub.until(second)
        hub.read(CORE, up=0 if second >= 250 else 1)
    assert [t.rule for t in hub.said if t.notify] == ["router_down"]


def test_a_reading_that_arrived_is_not_explained_by_a_dead_router() -> None:
    hub = Hub(DOWN, PM)
    hub.read(CORE, up=0)
    for second in range(10, 120, 10):
        hub.until(second)
        hub.read(AQ, pm25=80.0)
    assert [t.rule for t in hub.said if t.notify] == ["router_down", "pm"]


# -- reload ---------------------------------------------------------


def reloaded(hub: Hub, *texts: str, things: tuple[Thing, ...] = THINGS) -> Hub:
    again = Hub(*texts, things=things)
    again.watch = Watch.restore(again.rules, things, hub.watch.snapshot())
    again.id, again.now = hub.id, hub.now
    return again


def test_a_rule_with_new_texts_keeps_its_alerts() -> None:
    hub = reloaded(smoky(), PM.replace("at {site}", "near {site}").replace("[dlh]", "[bpbd]"))
    assert hub.until(70) == []
    [alert] = hub.watch.alerts()
    assert (alert.state, alert.title["en"]) == ("firing", "PM 80 µg/m³ near Balige")
    assert brief(hub.read(AQ, pm25=1.0)) == [("pm", "firing", "resolved", ("bpbd",))]


def test_a_rule_with_another_meaning_closes_its_alerts_and_begins_anew() -> None:
    hub = reloaded(smoky(), PM.replace("55.4", "70"))
    [closed] = hub.until(70)
    assert (closed.before, closed.after, closed.why) == (
        *("firing", "resolved"),
        "the rule was changed",
    )
    assert closed.notify == ("dlh",)
    assert closed.key == PM_KEY
    assert brief(hub.read(AQ, pm25=80.0)) == [("pm", "ok", "pending", ())]


def test_removed_rules_and_devices_close_their_alerts() -> None:
    [closed] = reloaded(smoky(), SILENT).until(70)
    assert closed.why == "the rule was removed"
    [closed] = reloaded(smoky(), PM, things=THINGS[:2]).until(70)
    assert closed.why == "the device was removed"


def test_a_closing_that_was_not_said_yet_survives_another_restart() -> None:
    hub = reloaded(reloaded(smoky(), SILENT), SILENT)
    assert [t.why for t in hub.until(70)] == ["the rule was removed"]
    assert hub.until(80) == []


def variant(name: str, condition: str, more: str = "", *, base: str = "pm25") -> str:
    """A rule about the air with another condition."""
    measurement = "device" if base == "up" else "environment"
    return f"""
  - name: {name}
    title: {{id: "x {{value}}", en: "y {{value}}"}}
    when: {{measurement: {measurement}, {condition}}}
    notify: [dlh]
    {more}
"""


PARTS = """
  - name: parts
    title: {id: "x {value}", en: "y {value}"}
    when:
      WORD:
        - {measurement: environment, field: pm25, above: 45}
        - {measurement: environment, field: rain_mm, max: 5m, above: 20, where: {sensor: pm}}
        - {measurement: environment, field: pm25, count: 10m, above: 2}
    for: 1m
"""
NEW_KINDS = (
    variant("p95", "field: pm25, p95: 5m, above: 40, clear_below: 25", "for: 30s"),
    variant("rate", "field: pm25, rate: 5m, per: 1m, above: 5"),
    variant("few", "field: pm25, count: 5m, below: 3", "for: 1m"),
    variant("many", "field: rain_mm, count: 5m, above: 4", "keep_firing: 30s"),
    variant(
        *("changes", "field: up, changes: 10m, above: 2"),
        "flapping: {times: 2, within: 1h, quiet: 5m}",
        base="up",
    ),
    variant("flaps", "field: up, equals: 0", "flapping: {times: 2, within: 2h}", base="up"),
    variant("yesterday", "field: pm25, against: yesterday, above: 10"),
    variant("trend", "field: pm25, mean: 5m, against: yesterday, as: percent, above: 10"),
    variant("sibling", "field: up, against: {probe: icmp}, below: 0", "for: 20s", base="up"),
    variant("computed", 'expression: "max(pm25, 1) * 2 - 30 > 50 or pm25 < 0"', "for: 30s"),
    variant("hours", 'field: pm25, above: 45, only: {from: "06:10", to: "06:40"}'),
    variant(
        "morning", 'absent: 4m, outside: {from: "07:00", to: "08:00"}', "where: {kind: sensor}"
    ),
    variant("place", "field: up, equals: 0", "together: {at_least: 2, of: site}", base="up"),
    variant(
        *("office", "field: up, mean: 2m, below: 0.6"),
        "together: {at_least: 2, of: opd}\n    for: 1m\n    keep_firing: 30s",
        base="up",
    ),
    PARTS.replace("WORD", "all"),
    PARTS.replace("WORD", "any").replace("name: parts", "name: some"),
)

NOISE = """
  - name: pm_spike
    title: {id: "PM {value}", en: "PM {value}"}
    when: {measurement: environment, field: pm25, above: 80}
    where: {device: [aq1, aq2]}
"""
MEAN = """
  - name: pm_mean
    title: {id: "PM {value}", en: "PM {value}"}
    when: {measurement: environment, field: pm25, mean: 5m, above: 50}
    where: {site: balige}
"""
SETS = (
    (PM, SILENT, DOWN),
    (PM.replace("{site}", "{name}"), SILENT, DOWN, NOISE),
    (PM.replace("55.4", "70"), MEAN),
    (MEAN, NOISE, SILENT.replace("sensor", "[sensor, router]")),
    (NOISE, *NEW_KINDS),
    (*reversed(NEW_KINDS), DOWN),
)
INVENTORIES = (
    THINGS,
    THINGS[:2],
    (*THINGS[:2], Thing("aq1", "Moved", "sensor", "porsea", "Porsea")),
    (*THINGS, Thing("aq2", "New", "sensor", "balige", "Balige")),
)


@given(
    values=st.lists(st.sampled_from([None, 10.0, 50.0, 60.0, 90.0]), min_size=40, max_size=60),
    sets=st.lists(st.tuples(st.sampled_from(SETS), st.sampled_from(INVENTORIES)), max_size=3),
)
@example([90.0] * 45, [(SETS[4], INVENTORIES[0]), (SETS[4], INVENTORIES[1])])
@example([90.0] * 45, [(SETS[4], INVENTORIES[2]), (SETS[5], INVENTORIES[1])])
@settings(max_examples=40, deadline=None)
def test_a_reload_is_what_a_restart_with_other_files_would_be(
    values: list[float | None], sets: list[tuple[tuple[str, ...], tuple[Thing, ...]]]
) -> None:
    alive = Watch(rules(*SETS[0]), THINGS)
    again = Watch(rules(*SETS[0]), THINGS)
    changes = dict(zip((10, 20, 30), sets, strict=False))
    said: tuple[list[Transition], list[Transition]] = ([], [])
    for minute, value in enumerate(values):
        now = START + minute * MINUTE
        if minute in changes:
            texts, things = changes[minute]
            said[0].extend(alive.tick(3 * minute, now))
            said[0].extend(alive.reload(3 * minute, now, rules(*texts), things))
            said[0].extend(alive.tick(3 * minute, now))
            said[1].extend(again.tick(3 * minute, now))
            again = Watch.restore(rules(*texts), things, again.snapshot())
            said[1].extend(again.tick(3 * minute, now))
        for number, watch in enumerate((alive, again)):
            if value is not None:
                up = Reading(CORE, now, {"up": int(value < 60)})
                found = watch.observe(3 * minute + 1, [Reading(AQ, now, {"pm25": value}), up], now)
                said[number].extend(found)
            said[number].extend(watch.tick(3 * minute + 2, now + 10 * S))
    assert said[0] == said[1]
    assert alive.alerts() == again.alerts()


def test_a_new_thing_is_expected_from_the_reload_on() -> None:
    hub = Hub(SILENT)
    for second in range(0, 1000, 10):
        hub.until(second)
        hub.read(AQ, pm25=1.0)
    new = Thing("aq2", "Sensor Baru", "sensor")
    again = reloaded(hub, SILENT, things=(*THINGS, new))
    for second in range(1000, 1310, 10):
        again.until(second)
        again.read(AQ, pm25=1.0)
    assert again.states() == {"silent:aq2": "firing"}
    assert again.watch.alerts()[0].since_ns == START + 1000 * S


def test_a_snapshot_of_another_version_is_refused() -> None:
    snapshot = {**Hub(PM).watch.snapshot(), "version": 99}
    with pytest.raises(ValueError, match="99"):
        Watch.restore(rules(PM), THINGS, snapshot)


# -- the clock ---------------------------------------------------------


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    hub = Hub(PM, SILENT)
    hub.until(7200, every=30)
    hub.read(AQ, pm25=1.0)
    hub.now = START
    for second in range(10, 100, 10):
        hub.until(second)
        hub.read(AQ, pm25=80.0)
    assert hub.states() == {PM_KEY: "firing", "silent:aq1": "resolved"}
    hub.until(600)
    assert hub.states()["silent:aq1"] == "firing"


# -- determinism: a property over everything at once -----------------------------

EVERYTHING = (
    DOWN,
    PM,
    SILENT,
    PM.replace("name: pm", "name: hour").replace("above", "mean: 10m, above"),
    PM.replace("name: pm", "name: sticky").replace("for: 1m", "keep_firing: 2m"),
    PM.replace("name: pm", "name: rain")
    .replace("pm25", "rain_mm")
    .replace("above", "sum: 5m, above"),
    DOWN.replace("name: router_down", "name: deaf")
    .replace("equals: 0", "equals: 0, beside: {probe: icmp, up: 1}")
    .replace("severity", "for: 1m\n    severity"),
    DOWN.replace("name: router_down", "name: dead").replace(
        "equals: 0", "equals: 0, unless_beside: {probe: icmp, up: 1}"
    ),
    *NEW_KINDS,
)
PING = Series.of("device", "r-core", probe="icmp")

gaps = st.one_of(st.integers(0, 120), st.integers(100, 4000), st.integers(-5000, -1))
inputs = st.one_of(
    st.tuples(st.just("tick"), gaps),
    st.tuples(
        st.just("read"),
        gaps,
        st.sampled_from([AQ, CORE, PING, OFFICE, Series.of("environment", "aq9", sensor="x")]),
        st.sampled_from(["pm25", "up", "rain_mm"]),
        st.sampled_from([0, 1, 30.0, 50.0, 80.0, float("nan")]),
        st.sampled_from([0, 0, 0, 20, 200, 900, -20, -900]),
        st.sampled_from([0, 0, 0, 0, int(Quality.LATE), int(Quality.STUCK)]),
    ),
    st.tuples(
        st.just("act"),
        gaps,
        st.sampled_from(["acknowledge", "unacknowledge", "silence", "unsilence"]),
        st.sampled_from([PM_KEY, CORE_KEY, "silent:aq1", ""]),
        st.integers(1, 2000),
    ),
)


def play(watch: Watch, number: int, now: int, one: Any) -> list[Transition]:
    if one[0] == "tick":
        return watch.tick(number, now)
    if one[0] == "read":
        _, _, series, field, value, age, quality = one
        reading = Reading(series, now - age * S, {field: value}, quality)
        return watch.observe(number, [reading], now)
    _, _, kind, key, length = one
    matcher = {"device": "*"} if key == "" else {"key": key}
    act = Act(kind, "siti", "why", key, matcher, until_ns=now + length * S)
    return watch.act(number, now, act)


def likely(seed: int) -> list[Any]:
    """Hours in which devices keep their moods for a while: chance alone rarely gets there."""
    dice, script = Random(seed), []
    mood = {AQ: 20.0, CORE: 1, PING: 1, OFFICE: 1}
    for _ in range(600):
        gap = dice.choice([0, 1, 5, 10, 10, 20, 30])
        if dice.random() < 0.01:
            gap = dice.choice([70, 400, -30, -900])
        if dice.random() < 0.04:
            series = dice.choice(list(mood))
            mood[series] = dice.choice([20.0, 50.0, 80.0, None] if series is AQ else [0, 0, 1])
        if dice.random() < 0.02:
            kind = dice.choice(["acknowledge", "unacknowledge", "silence", "silence", "unsilence"])
            key = dice.choice([PM_KEY, CORE_KEY, "silent:aq1", ""])
            script.append(("act", gap, kind, key, dice.randrange(30, 600)))
        elif dice.random() < 0.5:
            script.append(("tick", gap))
        else:
            series = dice.choice(list(mood))
            if (value := mood[series]) is not None:
                field = dice.choice(["pm25", "rain_mm"]) if series is AQ else "up"
                age = dice.choice([0, 0, 2, 40])
                script.append(("read", gap, series, field, value, age, 0))
    return script


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_likely_day_with_many_restarts_is_as_one_without(seed: int) -> None:
    script = likely(seed)
    same_either_way(script, set(Random(seed).sample(range(len(script)), 30)))


@settings(max_examples=100, deadline=None)
@given(st.lists(inputs, max_size=60), st.sets(st.integers(0, 59), max_size=8))
def test_a_restart_anywhere_gives_the_same_transitions(script: list[Any], cuts: set[int]) -> None:
    same_either_way(script, cuts)


@contextmanager
def unworded() -> Iterator[None]:
    """Instead of its words, what an alert's words are made of: to find these takes four fifths of
    such a test's time. That they follow from it alone, tests/test_rules_text.py shows."""

    def texts(track: Track, thing: Thing, value: float | None) -> tuple[Text, Text]:
        return Text(track.rule.name, thing.id), Text(str(track.tags), str(value))

    with (
        patch.object(saying, "texts", texts),
        patch.object(saying, "detail", lambda rule, value: Text(rule.name, str(value))),
    ):
        yield


@unworded()
def same_either_way(script: list[Any], cuts: set[int]) -> None:
    """Play it with and without restarts at these steps; each alert's transitions form a chain."""
    found = rules(*EVERYTHING)
    straight, resumed = Watch(found, THINGS), Watch(found, THINGS)
    now, state = START, {}
    for number, one in enumerate(script):
        now += one[1] * S
        if number in cuts:
            packed = msgspec.msgpack.encode(resumed.snapshot())
            resumed = Watch.restore(found, THINGS, msgspec.msgpack.decode(packed))
        said = play(straight, number, now, one)
        assert said == play(resumed, number, now, one)
        assert straight.alerts() == resumed.alerts()
        for t in said:
            assert state.get(t.key, "ok") == t.before
            state[t.key] = t.after
    assert {a.key: a.state for a in straight.alerts() if a.state != "resolved"} == {
        key: word for key, word in state.items() if word not in ("ok", "resolved")
    }


def test_what_is_beside_survives_a_restart() -> None:
    found = rules(
        DOWN.replace("name: router_down", "name: deaf").replace(
            "equals: 0", "equals: 0, beside: {probe: icmp, up: 1}"
        )
    )
    watch = Watch(found, THINGS)
    watch.observe(1, [Reading(CORE, START, {"up": 1}), Reading(PING, START, {"up": 1})], START)
    packed = msgspec.msgpack.encode(watch.snapshot())
    watch = Watch.restore(found, THINGS, msgspec.msgpack.decode(packed))
    (said,) = watch.observe(2, [Reading(CORE, START + S, {"up": 0})], START + S)
    assert (said.rule, said.after) == ("deaf", "firing")


def test_series_that_no_rule_watches_share_their_plans_until_one_is_watched() -> None:
    roster = Hub(PM).watch._roster
    roster = Roster(roster.rules, [Thing("a", kind="sensor"), Thing("b", kind="sensor")], 0)
    noise = [Series.of("environment", device, sensor="n") for device in ("a", "b")]
    for series in noise:
        roster.meet(series, {"noise_dba": 1.0})
    assert roster.plans[noise[0].key] is roster.plans[noise[1].key]
    assert roster.meet(noise[0], {"pm25": 1.0}).lines
    assert ("pm25",) not in roster.plans[noise[1].key]
    assert set(roster.plans[noise[0].key]) == {("noise_dba",), ("pm25",)}
