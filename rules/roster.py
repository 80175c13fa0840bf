"""Which rules watch which series. Found once for each series and set of fields, then looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hub.reading import Series, Value
from rules.line import Line
from rules.matching import Matcher
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


class Index:
    """The rules on one field. Those that name their devices are found by device, and those that
    say the same of whom they are about are asked once: a series is met without asking each rule."""

    __slots__ = ("_of_device", "_where")

    def __init__(self) -> None:
        self._of_device: dict[str, list[Rule]] = {}
        self._where: dict[Matcher, list[Rule]] = {}

    def add(self, rule: Rule) -> None:
        names = rule.where.names("device")
        for name in names:
            self._of_device.setdefault(name, []).append(rule)
        if not names:
            self._where.setdefault(rule.where, []).append(rule)

    def about(self, device: str, attributes: Mapping[str, Any]) -> Iterator[Rule]:
        """The rules that are about a series of that device with these attributes."""
        for where, rules in self._where.items():
            if where.matches(attributes):
                yield from rules
        for rule in self._of_device.get(device, ()):
            if rule.where.matches(attributes):
                yield rule


EMPTY = Index()

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
        self._comparing: dict[tuple[str, str], Index] = {}
        self._missing: dict[tuple[str, str], Index] = {}
        for rule in self.rules:
            when = rule.when
            indexes = self._missing if when.is_absence else self._comparing
            indexes.setdefault((when.measurement, when.field), Index()).add(rule)
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

    def about(self, thing: Thing) -> Iterator[Rule]:
        """The rules that name the thing, as far as the inventory can tell: which series it has is
        not known before they are heard."""
        if thing.id in self.things:
            attributes = thing.attributes()
            for rule in self.rules:
                who = rule.where.only(_THING_KEYS)
                if who and who.matches(attributes):
                    yield rule

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
            for rule in self._missing.get(of_field, EMPTY).about(series.device, attributes):
                expected = self.tracks.get(alert_key(rule.name, series.device))
                if isinstance(expected, Missing):
                    signs.append(expected)
            for rule in self._comparing.get(of_field, EMPTY).about(series.device, attributes):
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

    def adopt(self, before: Roster) -> list[tuple[Track, str]]:
        """Go on with the tracks of another roster whose rule means the same and still covers them.

        The others come back, each with why it ended. Plans are found anew as series are met.
        """
        meanings = {rule.name: rule.meaning() for rule in before.rules}
        rules = {rule.name: rule for rule in self.rules}
        same = {name for name, rule in rules.items() if meanings.get(name) == rule.meaning()}
        moved = {id for id in before.things if self.things.get(id) != before.things[id]}
        moved |= self.things.keys() - before.things.keys()
        ended: list[tuple[Track, str]] = []
        for track in before.tracks.values():
            name, device = track.rule.name, track.device
            if name in same and (device not in moved or self._covers(rules[name], track)):
                track.rule = rules[name]
                self.tracks[track.key] = track
            else:
                gone = device in before.things and device not in self.things
                why = why_gone(rules.get(name), same=name in same, device_gone=gone)
                ended.append((track, why))
        left = {id(track) for track, _ in ended}
        kept = [t for t in self.tracks.values() if isinstance(t, Comparing)]
        looked_at = {id(line) for track in kept for line in (track.line, *track.witnesses)}
        for of_line, line in before.lines.items():
            if id(line) in looked_at:
                line.forget(left)
                self.lines[of_line] = line
        return ended

    def _covers(self, rule: Rule, track: Track) -> bool:
        if isinstance(track, Missing):
            return track.key in self.tracks
        series = Series.parse(track.series_key)
        if not self.judges(series.measurement, series.device):
            return False
        return rule.where.matches(self.attributes(series.device, series.tags))


def why_gone(rule: Rule | None, *, same: bool, device_gone: bool) -> str:
    """Why a reload closes an alert."""
    if device_gone:
        return "the device was removed"
    if rule is None:
        return "the rule was removed"
    return "the rule no longer covers it" if same else "the rule was changed"
