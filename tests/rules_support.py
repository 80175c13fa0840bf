"""What the tests of the rules share: times, rules from short YAML, and a hub with only a clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from hub.reading import Reading, Series
from rules.model import parse_rules
from rules.rule import Rule
from rules.watch import Act, Thing, Transition, Watch

S = 1_000_000_000
MINUTE = 60 * S
START = 1_700_002_800 * S

THINGS = (
    Thing("r-core", "Router Inti", "router", "balige", "Balige", "kominfo", "Dinas Kominfo"),
    Thing("r-dlh", "Router DLH", "router", "balige", "Balige", "dlh", "DLH", parents=("r-core",)),
    Thing("aq1", "Sensor Balige", "sensor", "balige", "Balige", "dlh", "DLH", parents=("r-dlh",)),
)

DOWN = """
  - name: router_down
    title: {id: "{name} putus", en: "{name} is down"}
    when: {measurement: device, field: up, equals: 0}
    where: {kind: router}
    severity: critical
    notify: [kominfo]
    means: down
"""
PM = """
  - name: pm
    title: {id: "PM {value} {unit} di {site}", en: "PM {value} {unit} at {site}"}
    when: {measurement: environment, field: pm25, above: 55.4, clear_below: 45}
    for: 1m
    notify: [dlh]
    unit: µg/m³
"""
SILENT = """
  - name: silent
    title: {id: "{name} diam {value}", en: "{name} silent for {value}"}
    when: {measurement: environment, absent: 5m}
    where: {kind: sensor}
    notify: [dlh]
"""


def rules(*texts: str) -> list[Rule]:
    found, problems = parse_rules(yaml.safe_load("rules:\n" + "".join(texts)), "test.yaml")
    assert problems == []
    return found


class Hub:
    """Feeds a watch with ticks every ten seconds, and with what a test says in between."""

    def __init__(self, *texts: str, things: Iterable[Thing] = THINGS) -> None:
        self.rules = rules(*texts)
        self.things = tuple(things)
        self.watch = Watch(self.rules, self.things)
        self.id = 0
        self.now = START
        self.said: list[Transition] = []

    def until(self, seconds: float, every: float = 10) -> list[Transition]:
        """Let time pass up to so many seconds after the start; what was said meanwhile."""
        found: list[Transition] = []
        while self.now < START + seconds * S:
            self.now = min(self.now + round(every * S), START + round(seconds * S))
            self.id += 1
            found += self.watch.tick(self.id, self.now)
        self.said += found
        return found

    def read(
        self, series: Series, *, age: float = 0, quality: int = 0, **fields: Any
    ) -> list[Transition]:
        """A reading that is so many seconds old."""
        self.id += 1
        reading = Reading(series, self.now - round(age * S), fields, quality)
        found = self.watch.observe(self.id, [reading], self.now)
        self.said += found
        return found

    def act(self, kind: str, who: str = "siti", **values: Any) -> list[Transition]:
        self.id += 1
        found = self.watch.act(self.id, self.now, Act(kind, who, **values))
        self.said += found
        return found

    def states(self) -> dict[str, str]:
        return {alert.key: alert.state for alert in self.watch.alerts()}


AQ = Series.of("environment", "aq1", sensor="pm")
CORE = Series.of("device", "r-core", probe="snmp")
OFFICE = Series.of("device", "r-dlh", probe="snmp")


def brief(transitions: Iterable[Transition]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [(t.rule, t.before, t.after, t.notify) for t in transitions]
