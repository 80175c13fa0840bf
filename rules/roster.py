"""Which rules watch which series. Found once for each series and set of fields, then looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hub.reading import Series, Value
from rules.line import Line
from rules.model import THING_KEYS
from rules.rule import Beside, Rule
from rules.thing import Thing
from rules.topology import Topology
from rules.track import Comparing, Missing, alert_key, is_picky

Track = Comparing | Missing


class Plan(NamedTuple):
    """Who must hear of a reading with these fields."""

    signs: tuple[Missing, ...]
    """For whom it is a sign of life."""
    lines: tuple[tuple[str, Line], ...]
    """By field, in the order of the fields."""


NOBODY = Plan((), ())

_THING_KEYS = frozenset(THING_KEYS)
_PLANS_A_SERIES = 64
BESIDE = "(beside)"
"""Instead of a rule's name: a line that rules on other series look at. No rule is called so."""
OWN = "hub"
"""The measurement of the hub's own health; no collector of devices can send it."""


class Roster:
    """Rules and things in, tracks out. A rule costs nothing to readings that it does not meet."""

    def __init__(self, rules: Sequence[Rule], things: Iterable[Thing]) -> None:
        self.rules = tuple(rules)
        self.things = {thing.id: thing for thing in things}
        self.topology = Topology({thing.id: thing.parents for thing in self.things.values()})
        self.tracks: dict[str, Track] = {}
        self.plans: dict[str, dict[tuple[str, ...], Plan]] = {}
        """By series key and names of the fields that come together."""
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Those names, each combination once: thousands of series have the same."""
        self.lines: dict[tuple[str, str, str], Line] = {}
        """By series key, field, and the rule that has a line of its own."""
        self._comparing: dict[tuple[str, str], list[Rule]] = {}
        self._missing: dict[tuple[str, str], list[Rule]] = {}
        for rule in self.rules:
            when = rule.when
            index = self._missing if when.is_absence else self._comparing
            index.setdefault((when.measurement, when.field), []).append(rule)
            if when.is_absence:
                self._expect(rule)

    def _expect(self, rule: Rule) -> None:
        """An absence watches all that the inventory lists, heard of or not."""
        who = rule.where.only(_THING_KEYS)
        for thing in self.things.values():
            if who.matches(thing.attributes()):
                track = Missing(rule, thing.id)
                self.tracks[track.key] = track

    def thing(self, device: str) -> Thing:
        """What the inventory says; a device that it doesn't know is just its id."""
        return self.things.get(device) or Thing(device)

    def attributes(self, device: str, tags: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """All that `where` may ask of a series."""
        thing = self.thing(device)
        attributes: dict[str, Any] = {**dict(tags), **thing.attributes()}
        if "ifname" in attributes:
            attributes["port"] = "uplink" if attributes["ifname"] in thing.uplinks else "other"
        return attributes

    def judges(self, measurement: str, device: str) -> bool:
        """Only what the inventory lists meets rules: else whoever may publish could page people
        with invented devices."""
        return device in self.things or measurement == OWN

    def meet(self, series: Series, fields: Mapping[str, Value]) -> Plan:
        """Who watches these fields of this series."""
        if not self.judges(series.measurement, series.device):
            return NOBODY  # and nothing is kept: there may be any number of invented devices
        attributes = self.attributes(series.device, series.tags)
        signs: list[Missing] = []
        lines: dict[Line, str] = {}
        for field in ("", *fields):
            of_field = (series.measurement, field)
            for rule in self._missing.get(of_field, ()):
                expected = self.tracks.get(alert_key(rule.name, series.device))
                if isinstance(expected, Missing) and rule.where.matches(attributes):
                    signs.append(expected)
            for rule in self._comparing.get(of_field, ()):
                if rule.where.matches(attributes):
                    lines[self.comparison(rule, series).line] = field
            witness = self.lines.get((series.key, field, BESIDE))
            if witness is not None:
                lines[witness] = field
        plans = self.plans.setdefault(series.key, {})
        if len(plans) >= _PLANS_A_SERIES:
            plans.clear()
        plan = NOBODY
        if signs or lines:
            plan = Plan(tuple(signs), tuple((field, line) for line, field in lines.items()))
        names = tuple(fields)
        plans[self._names.setdefault(names, names)] = plan
        return plan

    def comparison(self, rule: Rule, series: Series) -> Comparing:
        """The track of that rule on that series."""
        tags = tuple(pair for pair in series.tags if pair[0] != "device")
        key = alert_key(rule.name, series.device, tags)
        track = self.tracks.get(key)
        if not isinstance(track, Comparing):
            of_line = series.key, rule.when.field, rule.name if is_picky(rule) else ""
            line = self.lines.get(of_line)
            if line is None:
                line = self.lines[of_line] = Line()
            witnesses = tuple(self._witness(series, beside) for beside in rule.when.beside)
            track = Comparing(rule, series.device, tags, series.key, line, witnesses)
            self.tracks[key] = track
        return track

    def _witness(self, series: Series, beside: Beside) -> Line:
        """The line of what is beside that series."""
        other = Series.of(series.measurement, series.device, **dict(beside.tags)).key
        line = self.lines.get((other, beside.field, BESIDE))
        if line is None:
            line = self.lines[other, beside.field, BESIDE] = Line()
            self.plans.pop(other, None)  # it may have been met before
        return line

    def find(self, rule: Rule, device: str, series_key: str) -> Track | None:
        """The track of that rule, if the rule still is about that series or device."""
        if rule.when.is_absence or not series_key:
            return None if series_key else self.tracks.get(alert_key(rule.name, device))
        series = Series.parse(series_key)
        if not self.judges(series.measurement, device):
            return None
        if rule.where.matches(self.attributes(device, series.tags)):
            return self.comparison(rule, series)
        return None
