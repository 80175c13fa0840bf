"""Kinds of conditions in a hub: places, parts, hours, siblings, flapping, allowances."""

from __future__ import annotations

from dataclasses import replace

from hub.reading import Series
from rules.thing import Thing
from tests.rules_support import AQ, CORE, DOWN, OFFICE, PM, START, THINGS, Hub, S

SENSORS = [
    Thing(f"aq{n}", f"Sensor {n}", "sensor", "balige", "Balige", lat=2.3, lon=99.0)
    for n in range(4)
]
SERIES = [Series.of("environment", thing.id, sensor="pm") for thing in SENSORS]
PLACE = """
  - name: bad_air
    title: {id: "{value} dari {threshold} di {site}", en: "{value} of {threshold} at {site}"}
    when: {measurement: environment, field: pm25, above: 50}
    together: {at_least: 3, of: site}
    for: 1m
    notify: [dlh]
"""
STORM = """
  - name: storm
    title: {id: "badai", en: "storm"}
    when:
      all:
        - {measurement: environment, field: wind_ms, above: 10}
        - {measurement: environment, field: turbidity_ntu, above: 100}
    for: 1m
"""
FLAPS = """
  - name: flaps
    title: {id: "{name}", en: "{name}"}
    when: {measurement: device, field: up, equals: 0}
    flapping: {times: 3, within: 10m, quiet: 5m}
    notify: [kominfo]
"""


def test_one_alert_for_a_place_fires_when_enough_of_its_devices_hold() -> None:
    hub = Hub(PLACE, things=SENSORS)
    for second in range(0, 181, 10):
        hub.until(second)
        for number, series in enumerate(SERIES):
            hub.read(series, pm25=80.0 if second >= 20 * number else 10.0)
    [alert] = hub.watch.alerts()
    assert (alert.key, alert.device, alert.kind) == ("bad_air:site-balige", "site-balige", "site")
    assert (alert.state, alert.since_ns, alert.value) == ("firing", START + 40 * S, 4)
    assert alert.title["en"] == "4 of 3 at Balige"
    assert (alert.site, alert.site_name, alert.lat) == ("balige", "Balige", 2.3)
    assert "4 alat" in alert.detail["id"]
    hub.read(SERIES[0], pm25=1.0)
    assert hub.states() == {"bad_air:site-balige": "firing"}
    hub.read(SERIES[1], pm25=1.0)
    assert hub.states() == {"bad_air:site-balige": "resolved"}


def test_silent_members_neither_end_a_place_s_alert_nor_make_it_fire() -> None:
    hub = Hub(PLACE.replace("for: 1m", "for: 10m"), things=SENSORS)
    for second in range(0, 120, 10):
        hub.until(second)
        for series in SERIES[:3]:
            hub.read(series, pm25=80.0)
    for second in range(120, 1200, 10):
        hub.until(second)
        for series in SERIES[:2]:
            hub.read(series, pm25=80.0)
    [alert] = hub.watch.alerts()
    assert (alert.state, alert.data_state) == ("pending", "stale")


def test_a_silence_of_the_site_holds_for_the_place_s_alert() -> None:
    hub = Hub(PLACE.replace("for: 1m", "for: 0s"), things=SENSORS)
    hub.act("silence", matcher={"site": "balige"}, until_ns=START + 3600 * S)
    said = [t for series in SERIES for t in hub.read(series, pm25=80.0)]
    assert [(t.after, t.notify) for t in said] == [("firing", ())]


def test_conditions_on_several_series_of_a_device_hold_together() -> None:
    wind = Series.of("environment", "aq1", sensor="anemo")
    water = Series.of("environment", "aq1", sensor="optic")
    hub = Hub(STORM)
    for second in range(0, 90, 10):
        hub.until(second)
        hub.read(wind, wind_ms=12.0)
        hub.read(water, turbidity_ntu=20.0 if second < 20 else 200.0)
    assert hub.states() == {"storm:aq1": "firing"}
    [alert] = hub.watch.alerts()
    assert alert.since_ns == START + 20 * S
    assert "2 dari 2 syarat" in alert.detail["id"]
    hub.read(water, turbidity_ntu=20.0)
    assert hub.states() == {"storm:aq1": "resolved"}


def test_any_condition_is_enough_where_the_rule_says_any() -> None:
    hub = Hub(STORM.replace("all:", "any:").replace("for: 1m", "for: 0s"))
    hub.read(AQ, wind_ms=1.0)
    assert hub.states() == {}
    hub.read(AQ, turbidity_ntu=200.0)
    assert hub.states() == {"storm:aq1": "firing"}


def test_a_flapping_alert_calls_a_few_times_and_then_waits_for_quiet() -> None:
    hub = Hub(FLAPS)
    for second in range(0, 600, 20):
        hub.until(second)
        hub.read(CORE, up=second // 20 % 2)
    fired = [t for t in hub.said if t.after == "firing"]
    assert [t.why for t in fired] == ["", "", "flapping"]
    [alert] = hub.watch.alerts()
    assert (alert.state, alert.flapping) == ("firing", True)
    for second in range(600, 960, 20):
        hub.until(second)
        hub.read(CORE, up=1)
    assert [t.after for t in hub.said][-1] == "resolved"
    assert hub.said[-1].time_ns == START + 880 * S
    hub.read(CORE, up=0)
    assert hub.said[-1].why == "", "it begins anew"


def test_slow_comings_and_goings_are_no_flapping() -> None:
    hub = Hub(FLAPS)
    for second in range(0, 6000, 100):
        hub.until(second)
        hub.read(CORE, up=second // 300 % 2)
    assert not any(t.why == "flapping" for t in hub.said)
    off = Hub(FLAPS.replace("{times: 3, within: 10m, quiet: 5m}", "off"))
    for second in range(0, 600, 20):
        off.until(second)
        off.read(CORE, up=second // 20 % 2)
    assert len([t for t in off.said if t.after == "firing"]) == 15


def test_a_device_that_may_be_late_is_judged_by_its_own_time() -> None:
    slow = replace(THINGS[2], late_after_ns=3600 * S)
    hub = Hub(PM, things=(*THINGS[:2], slow))
    hub.read(AQ, pm25=80.0, age=1800)
    hub.until(70)
    fired = hub.said[-1]
    assert (fired.after, fired.since_ns) == ("firing", START - 1800 * S)
    hub.read(AQ, pm25=1.0, age=3700)
    assert hub.states() == {"pm:aq1:sensor=pm": "firing"}
    strict = Hub(PM)
    strict.read(AQ, pm25=80.0, age=1800)
    assert strict.states() == {}


def test_a_sibling_that_fell_silent_is_no_measure() -> None:
    rule = PM.replace("above: 55.4, clear_below: 45", "against: {sensor: reference}, above: 20")
    hub = Hub(rule.replace("    for: 1m\n", ""))
    reference = Series.of("environment", "aq1", sensor="reference")
    hub.read(AQ, pm25=80.0)
    hub.read(reference, pm25=20.0)
    assert hub.states() == {}, "until both were heard there is nothing to compare"
    hub.read(AQ, pm25=41.0, age=-1)
    [alert] = hub.watch.alerts()
    assert (alert.state, alert.value) == ("firing", 21.0)
    hub.until(400)
    hub.read(AQ, pm25=20.0)
    assert hub.states() == {"pm:aq1:sensor=pm": "firing"}, "the reference is six minutes old"
    hub.read(reference, pm25=20.0)
    hub.read(AQ, pm25=20.0, age=-1)
    assert hub.states() == {"pm:aq1:sensor=pm": "resolved"}


def test_outside_its_hours_an_alert_ends_and_an_absence_is_excused() -> None:
    # The test begins at six in the morning of a Wednesday.
    hours = 'only: {days: mon-fri, from: "06:10", to: "06:30"}'
    silent = f"""
  - name: silent
    title: {{id: "x", en: "x"}}
    when: {{measurement: device, absent: 5m, {hours}}}
    where: {{device: r-core}}
"""
    down = DOWN.replace("equals: 0", f"equals: 0, {hours}").replace("    means: down\n", "")
    hub = Hub(down, silent)
    for second in range(0, 2400, 10):
        hub.until(second)
        hub.read(OFFICE, up=0)
    seen = [(t.rule, t.device, t.after, t.time_ns // S - START // S) for t in hub.said]
    assert seen == [
        ("router_down", "r-dlh", "firing", 600),
        ("silent", "r-core", "firing", 900),
        ("silent", "r-core", "resolved", 1800),
        ("router_down", "r-dlh", "resolved", 1800),
    ]
