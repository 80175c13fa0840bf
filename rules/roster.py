"""Which rules watch which series. Found once for each series and set of fields, then looked up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from hub.reading import Series, Value
from rules.index import EMPTY, Index
from rules.line import Derived, Line
from rules.question import Question
from rules.rule import Rule, When
from rules.thing import Thing, place
from rules.topology import Topology
from rules.track import DEAF, DEAF_TO_THE_PAST, Comparing, Joint, Missing, alert_key
from rules.when import THING_KEYS

Track = Comparing | Joint | Missing
T = TypeVar("T", bound=Track)


class Plan(NamedTuple):
    """Who must hear of a reading with these fields."""

    signs: tuple[Missing, ...]
    """For whom it is a sign of life."""
    lines: tuple[tuple[str, Line], ...]
    """By field, in the order of the fields."""
    late_after_ns: int
    """A reading that took longer than this to arrive is history."""
    deaf: int
    """And one with any of these flags."""


NOBODY = Plan((), (), 0, 0)

_THING_KEYS = frozenset(THING_KEYS)
_PLANS_A_SERIES = 64
_MOST_SHARED = 1000
BESIDE = "(beside)"
"""Instead of a rule's name: a line that others look at. No rule is called so."""
OWN = "hub"
"""The measurement of the hub's own health; no collector of devices can send it."""


class Roster:
    """Rules and things in, tracks out. A rule costs nothing to readings that it does not meet."""

    def __init__(self, rules: Sequence[Rule], things: Iterable[Thing], late_after_ns: int) -> None:
        self.rules = tuple(rules)
        self._ranks = {
            (rule.name, part): (number, part)
            for number, rule in enumerate(self.rules)
            for part in range(-1, len(rule.when.parts))
        }
        """Once for all that is asked because of that (part of a) rule."""
        self.things = {thing.id: thing for thing in things}
        self.topology = Topology({thing.id: thing.parents for thing in self.things.values()})
        self._count_cut_off()
        self.tracks: dict[str, Track] = {}
        self._keys: dict[str, list[str]] = {}
        """Their keys by device: people ask for one device's again and again, of a million."""
        self.plans: dict[str, dict[tuple[str, ...], Plan]] = {}
        """By series key and names of the fields that come together."""
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        """Those names, each combination once: thousands of series have the same."""
        self._unwatched: dict[tuple[tuple[str, ...], ...], dict[tuple[str, ...], Plan]] = {}
        """By all names that were met: the plans of series that no rule watches, which most are."""
        self.lines: dict[tuple[str, str, str], Line] = {}
        """By series key, field, and the rule that has a line of its own."""
        self.late_after_ns = late_after_ns
        self._places = {where.id: where for where in _places(self.things.values())}
        """Sites and offices, which may have alerts of their own."""
        self._asked: dict[tuple[str, str], Index] = {}
        """By measurement and (of an expression: first) field."""
        self._missing: dict[tuple[str, str], Index] = {}
        for rule in self.rules:
            if rule.when.is_absence:
                of_field = rule.when.measurement, rule.when.field
                self._missing.setdefault(of_field, Index()).add(rule)
                self._expect(rule)
            for part, when in enumerate(rule.when.parts):
                self._index(rule, part, when)
            if not rule.when.is_absence and not rule.when.parts:
                self._index(rule, -1, rule.when)

    def _count_cut_off(self) -> None:
        """Tell each thing what it drags along."""
        for id_, thing in self.things.items():
            needing = self.topology.descendants(id_) if self.topology.children(id_) else ()
            kinds = Counter(self.things[one].kind for one in needing if one in self.things)
            if kinds:
                kinds[thing.kind] += 1
            cut_off = tuple(sorted(kinds.items()))
            if cut_off != thing.cut_off:
                self.things[id_] = replace(thing, cut_off=cut_off)

    def _index(self, rule: Rule, part: int, when: When) -> None:
        field = when.expression.fields[0] if when.expression else when.field
        self._asked.setdefault((when.measurement, field), Index()).add(rule, part)

    def _expect(self, rule: Rule) -> None:
        """An absence watches all that the inventory lists, heard of or not."""
        who = rule.where.only(_THING_KEYS)
        for thing in self.things.values():
            if who.matches(thing.attributes()):
                self.add(Missing(rule, thing.id))

    def add(self, track: T) -> T:
        """Keep a track, in the place of one that has its key."""
        if track.key not in self.tracks:
            self._keys.setdefault(track.device, []).append(track.key)
        self.tracks[track.key] = track
        return track

    def tracks_of(self, device: str) -> Iterator[Track]:
        """All that are about that device or place."""
        return (self.tracks[key] for key in self._keys.get(device, ()))

    def thing(self, device: str) -> Thing:
        """What the inventory says; a device that it doesn't know is just its id."""
        return self.things.get(device) or self._places.get(device) or Thing(device)

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

    def rank(self, rule: Rule, part: int) -> tuple[int, int]:
        """Its number among the rules, and the part's among the rule's."""
        return self._ranks[rule.name, part]

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
            for rule, _ in self._missing.get(of_field, EMPTY).about(series.device, attributes):
                expected = self.tracks.get(alert_key(rule.name, series.device))
                if isinstance(expected, Missing):
                    signs.append(expected)
            for rule, part in self._asked.get(of_field, EMPTY).about(series.device, attributes):
                when = rule.when.parts[part] if part >= 0 else rule.when
                if when.expression and not fields.keys() >= set(when.expression.fields):
                    continue
                question = None
                if when.where.matches(attributes):
                    question = self._question(rule, part, series)
                if question is not None:
                    lines[question.line] = field
            witness = self.lines.get((series.key, field, BESIDE))
            if witness is not None:
                lines[witness] = field
        plan = NOBODY
        if signs or lines:
            by_field = tuple((field, line) for line, field in lines.items())
            allowed_ns = self.thing(series.device).late_after_ns
            deaf = DEAF_TO_THE_PAST if allowed_ns else DEAF
            plan = Plan(tuple(signs), by_field, allowed_ns or self.late_after_ns, deaf)
        self._plan(series.key, tuple(fields), plan)
        return plan

    def _plan(self, key: str, names: tuple[str, ...], plan: Plan) -> None:
        """Keep a plan of a series beside those it has; series that nobody watches share theirs."""
        plans = self.plans.get(key, {})
        if len(plans) >= _PLANS_A_SERIES:
            plans = {}
        plans = {**plans, self._names.setdefault(names, names): plan}
        if all(known is NOBODY for known in plans.values()):
            if len(self._unwatched) >= _MOST_SHARED:
                self._unwatched.clear()
            plans = self._unwatched.setdefault(tuple(plans), plans)
        self.plans[key] = plans

    # -- tracks and what they ask -------------------------------------------------------

    def _question(self, rule: Rule, part: int, series: Series) -> Question | None:
        """What that part of the rule asks of that series; None: it is no member of any place."""
        if not rule.is_joint:
            return self._comparing(rule, series).question
        device = series.device
        if rule.together:
            device = place(self.thing(device), rule.together.of).id
        if not device:
            return None
        track = self.joint(rule, device)
        member = series.device if rule.together else str(part)
        found = next((q for q in track.asked(member) if q.series_key == series.key), None)
        if found is None:
            when = rule.when.parts[part] if part >= 0 else rule.when
            found = self._ask(rule, part, when, series, track)
            track.ask(member, found)
        return found

    def _comparing(self, rule: Rule, series: Series) -> Comparing:
        """The track of that rule on that series."""
        tags = series.inner
        key = alert_key(rule.name, series.device, tags)
        track = self.tracks.get(key)
        if not isinstance(track, Comparing):
            track = self.add(Comparing(rule, series.device, tags, series.key))
            track.ask(self._ask(rule, -1, rule.when, series, track))
        return track

    def joint(self, rule: Rule, device: str) -> Joint:
        """The track of a rule that takes several series together."""
        key = alert_key(rule.name, device)
        track = self.tracks.get(key)
        if not isinstance(track, Joint):
            track = self.add(Joint(rule, device))
        return track

    def _ask(
        self, rule: Rule, part: int, when: When, series: Series, owner: Comparing | Joint
    ) -> Question:
        own = "" if not when.needs_own_line else rule.name if part < 0 else f"{rule.name}/{part}"
        key = series.key, when.field, own
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Derived(when.expression) if when.expression else Line()
        beside = tuple(
            self._beside(Series.of(series.measurement, series.device, **dict(one.tags)), one.field)
            for one in when.beside
        )
        rank, other = self.rank(rule, part), self._sibling(when, series)
        return Question(when, series.key, line, owner, rank, beside, other)

    def _sibling(self, when: When, series: Series) -> Line | None:
        """The line of the series that differs from this one in the tags of `against`."""
        if when.against is None or not when.against.sibling:
            return None
        tags = {**dict(series.tags), **dict(when.against.sibling)}
        other = Series.make(series.measurement, tuple(sorted(tags.items())))
        return self._beside(other, when.field)

    def _beside(self, other: Series, field: str) -> Line:
        """A line that conditions on other series look at."""
        key = other.key, field, BESIDE
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line()
            self.plans.pop(other.key, None)  # it may have been met before
        return line

    def find(self, rule: Rule, device: str, series_key: str) -> Track | None:
        """The track of that rule, if the rule still is about that series or device."""
        if rule.when.is_absence or rule.is_joint:
            return None if series_key else self.tracks.get(alert_key(rule.name, device))
        series = Series.parse(series_key)
        if not self.judges(series.measurement, device):
            return None
        if rule.where.matches(self.attributes(device, series.tags)):
            return self._comparing(rule, series)
        return None

    def find_question(self, rule: Rule, part: int, series_key: str) -> Question | None:
        """As `find`, for one of several series of a joint alert."""
        series = Series.parse(series_key)
        when = rule.when.parts[part] if part >= 0 else rule.when
        if not self.judges(series.measurement, series.device):
            return None
        attributes = self.attributes(series.device, series.tags)
        if rule.where.matches(attributes) and when.where.matches(attributes):
            return self._question(rule, part, series)
        return None


def _places(things: Iterable[Thing]) -> Iterator[Thing]:
    """The sites and offices of things, each as the first thing there knows it."""
    met: set[tuple[str, str]] = set()
    for thing in things:
        for of, id_ in (("site", thing.site), ("opd", thing.opd)):
            if id_ and (of, id_) not in met:
                met.add((of, id_))
                yield place(thing, of)
