"""`rules explain`: what holds an alert back, in facts and in two languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from hub.reading import Quality
from rules.explain import Explanation
from tests.rules_support import (
    AQ,
    CORE,
    DOWN,
    OFFICE,
    PM,
    SILENT,
    START,
    THINGS,
    Hub,
    S,
    rules,
)

AQ1 = THINGS[-1]

MEAN = """
  - name: pm_hour
    title: {id: "PM {value} di {site}", en: "PM {value} at {site}"}
    when: {measurement: environment, field: pm25, mean: 1h, above: 55, quality: good}
    where: {kind: sensor}
"""


def explained(hub: Hub, rule: str, device: str = "aq1") -> Explanation:
    [found] = hub.watch.explain(device, rule)
    return found


def test_a_value_under_the_limit_is_said_beside_it() -> None:
    hub = Hub(PM)
    hub.until(10)
    hub.read(AQ, pm25=20)
    found = explained(hub, "pm")
    assert (found.state, found.last, found.threshold, found.holds) == ("ok", 20, 55.4, False)
    assert found.why["en"][0] == "PM2.5 20 µg/m³ (limit: above 55.4 µg/m³)"
    assert "the condition does not hold" in found.why["en"]
    assert "syarat tidak terpenuhi" in found.why["id"]
    assert found.why["en"][-1] == "would tell: dlh"


def test_a_pending_alert_says_how_long_it_still_waits() -> None:
    hub = Hub(PM)
    hub.read(AQ, pm25=80)
    hub.until(20)
    hub.read(AQ, pm25=80)
    found = explained(hub, "pm")
    assert (found.state, found.due_s) == ("pending", 40)
    assert "waiting: true for 20 seconds, fires in 40 seconds if it stays true" in found.why["en"]


def test_a_window_says_how_far_it_is_spanned_and_doubted_data_that_it_counts_for_nothing() -> None:
    hub = Hub(MEAN)
    for minute in range(11):
        hub.until(60 * minute)
        hub.read(AQ, pm25=80)
    hub.until(610)
    hub.read(AQ, pm25=500, quality=int(Quality.SPIKE))
    found = explained(hub, "pm_hour")
    assert (found.window_s, found.spanned_s, found.holds) == (3600, 600, None)
    assert "readings have spanned 10 minutes of the window of 1 hour" in found.why["en"]
    assert found.quality == ("spike",)
    assert "its quality is doubted (spike), so it counts for nothing" in found.why["en"]


def test_old_data_a_silence_and_a_cause_are_named() -> None:
    hub = Hub(PM, SILENT, DOWN)
    hub.read(AQ, pm25=80)
    hub.until(60)
    hub.read(AQ, pm25=80)
    hub.read(CORE, up=0)
    hub.act("silence", matcher={"rule": "pm"}, until_ns=START + 3600 * S)
    hub.until(1200)
    pm, silent = explained(hub, "pm"), explained(hub, "silent")
    assert pm.data_state == "source_down"
    assert any(line.startswith("the data is stale") for line in pm.why["en"])
    assert "silenced by siti for another 40 minutes" in pm.why["en"]
    assert silent.cause == "router_down:r-core:probe=snmp"
    assert (
        "akibat dari router_down:r-core:probe=snmp: tidak diberitahukan sendiri" in silent.why["id"]
    )


def test_since_when_and_of_what_maintenance_is_told() -> None:
    hub = Hub(PM)
    hub.read(AQ, pm25=80)
    hub.act("maintenance", why="ganti kipas", matcher={"device": "aq1"}, until_ns=START + 600 * S)
    hub.until(60)
    hub.read(AQ, pm25=80)
    found = explained(hub, "pm")
    assert (found.state, found.since_ns) == ("firing", START)
    assert (found.silence, found.silenced_why) == ("maintenance", "ganti kipas")
    assert "in maintenance, says siti, for another 9 minutes: ganti kipas" in found.why["en"]
    assert "dalam pemeliharaan menurut siti, masih 9 menit: ganti kipas" in found.why["id"]
    assert (found.severity, found.unit, found.comparison) == ("warning", "µg/m³", "above")
    assert found.for_s == 60


def test_a_rule_whose_data_never_came_says_so() -> None:
    hub = Hub(MEAN, DOWN)
    hub.read(OFFICE, up=1)
    [found] = hub.watch.explain("aq1")
    assert (found.rule, found.key, found.data_state) == ("pm_hour", "", "no_data")
    assert found.title == {"id": "PM – di Balige", "en": "PM – at Balige"}
    assert found.why == {
        "id": ["belum pernah ada data dari perangkat ini: PM2.5 (environment.pm25)"],
        "en": ["no reading ever came from this device: PM2.5 (environment.pm25)"],
    }
    assert [one.key for one in hub.watch.explain("r-dlh")] == ["router_down:r-dlh:probe=snmp"]


def test_it_says_what_people_wait_for_before_they_are_told() -> None:
    hub = Hub(SILENT, DOWN)
    hub.read(AQ, pm25=1.0)
    hub.until(310)
    [found] = hub.watch.explain("aq1", "silent")
    assert found.waits == "asked"
    assert "what it depends on is being asked before anybody is told" in found.why["en"]
    hub.read(CORE, up=0)
    hub.until(320)
    hub.read(CORE, up=1)
    hub.until(330)
    [found] = hub.watch.explain("aq1", "silent")
    assert found.waits == "after"
    assert (
        "penyebabnya sudah pulih; ia masih diberi 4 menit 50 detik untuk pulih sendiri"
        in (found.why["id"])
    )


def test_it_looks_at_no_other_device_and_each_alert_once_also_after_a_reload() -> None:
    hub = Hub(PM, SILENT)
    hub.read(AQ, pm25=80)
    others = tuple(replace(AQ1, id=f"other{n}") for n in range(3))
    for _ in range(2):
        hub.watch.reload(hub.id, hub.now, rules(PM, SILENT), (*THINGS, *others))
    asked = Asked(hub.watch._roster.tracks)
    hub.watch._tracks = hub.watch._roster.tracks = asked
    keys = ["pm:aq1:sensor=pm", "silent:aq1"]
    assert [one.key for one in hub.watch.explain("aq1")] == keys
    assert sorted(asked.keys_asked) == keys
    assert [one.key for one in hub.watch.explain("other1")] == ["silent:other1"]


class Asked(dict[str, Any]):
    """Tracks, and which were looked at."""

    def __init__(self, tracks: Mapping[str, Any]) -> None:
        super().__init__(tracks)
        self.keys_asked: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.keys_asked.append(key)
        return super().__getitem__(key)

    def values(self) -> NoReturn:
        raise AssertionError("all tracks were looked through")
