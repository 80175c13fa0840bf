"""Rules from YAML: plain data in, `Rule` out, and every mistake named by its key.

Nothing here reads files or knows lines: a `Problem` carries the path of keys to it, and whoever
loaded the file turns that into file and line. All problems are found in one go; the rules that
are good come back even when others are not.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from rules import duration
from rules.matching import Matcher
from rules.reader import Path, Problem, Reader
from rules.rule import (
    COMPARISONS,
    FUNCTIONS,
    LANGUAGES,
    SEVERITIES,
    Beside,
    Comparison,
    Function,
    Rule,
    Text,
    When,
    Window,
)

__all__ = ["PLACEHOLDERS", "Problem", "Rule", "Text", "When", "Window", "parse_rules"]

PLACEHOLDERS = (
    *("device", "name", "kind", "site", "opd"),
    *("ifname", "sensor", "probe", "part"),
    *("value", "threshold", "clear", "unit"),
)
"""What a title or an advice may ask for in braces."""

RULE_KEYS = (
    *("name", "title", "when", "where", "for", "at_once_if", "keep_firing", "severity"),
    *("notify", "advice", "unit", "means"),
)
WHEN_KEYS = (
    *("measurement", "field", *COMPARISONS, "clear_below", "clear_above", *FUNCTIONS),
    *("absent", "only_if", "beside", "unless_beside", "quality"),
)
THING_KEYS = ("device", "kind", "site", "opd", "collector")
"""Keys of `where` that the inventory answers. `port` (uplink, other) is asked of interfaces;
any other key is an identity tag of the series."""
WHERE_KEYS = (*THING_KEYS, "port")

SHORTEST_WINDOW = duration.SECOND
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TEAM = re.compile(r"[a-z0-9][a-z0-9_-]*")


def parse_rules(
    data: object,
    source: str = "",
    declared: Mapping[str, Collection[str]] | None = None,
    *,
    tags: Collection[str] | None = None,
    teams: Collection[str] | None = None,
    taken: Mapping[str, str] | None = None,
) -> tuple[list[Rule], list[Problem]]:
    """The rules of one file and everything wrong with it.

    `data` is the file's content as YAML gives it (`{"rules": [...]}`), `source` its name.
    `declared` (measurement → fields that some manifest promises), `tags` (identity tags) and
    `teams` are checked against when given. `taken` names rules of other files: name → file.
    """
    return _RuleReader(source, declared, tags, teams, dict(taken or {})).file(data)


class _RuleReader(Reader):
    """Walks one file of rules, collecting problems."""

    def __init__(
        self,
        source: str,
        declared: Mapping[str, Collection[str]] | None,
        tags: Collection[str] | None,
        teams: Collection[str] | None,
        taken: dict[str, str],
    ) -> None:
        super().__init__()
        self.source = source
        self.declared = declared
        self.tags = tags
        self.teams = teams
        self.taken = taken

    # -- the file and one rule ------------------------------------------------

    def file(self, data: object) -> tuple[list[Rule], list[Problem]]:
        top = self.mapping(data, (), "a file of rules")
        if top is None:
            return [], self.problems
        self.known_keys(top, ("rules",), ())
        items = top.get("rules")
        if not isinstance(items, list):
            what = "`rules` is missing" if items is None else "`rules` is no list"
            self.complain(("rules",), what, "write `rules:` and each rule below it as `- name: …`")
            return [], self.problems
        rules = [self.rule(item, ("rules", index)) for index, item in enumerate(items)]
        return [rule for rule in rules if rule is not None], self.problems

    def rule(self, data: object, path: Path) -> Rule | None:
        before = len(self.problems)
        raw = self.mapping(data, path, "a rule")
        if raw is None:
            return None
        self.known_keys(raw, RULE_KEYS, path)
        name = self.name(raw, path)
        when = self.when(raw, path)
        rule = Rule(
            name=name,
            title=self.text(raw, "title", path, when, needed=True),
            when=when,
            where=self.where(raw, path, when),
            for_ns=self.duration(raw, "for", path),
            at_once_if=self.at_once_if(raw, path, when),
            keep_firing_ns=self.duration(raw, "keep_firing", path),
            severity=self.choice(raw, "severity", SEVERITIES, path, default="warning"),
            notify=self.notify(raw, path),
            advice=self.text(raw, "advice", path, when, needed=False),
            unit=self.words(raw, "unit", path),
            means="down" if self.choice(raw, "means", ("down",), path, default="") else "",
            source=self.source,
        )
        return rule if len(self.problems) == before else None

    def name(self, raw: Mapping[str, Any], path: Path) -> str:
        name = raw.get("name")
        here = (*path, "name")
        if name is None:
            self.complain(here, "the rule has no name", "give it one, such as pm25_unhealthy")
            return ""
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self.complain(
                here,
                f"{name!r} is no name for a rule",
                "use small letters, digits and _, starting with a letter",
            )
            return str(name)
        if name in self.taken:
            self.complain(
                here,
                f"the name {name} is used twice (also in {self.taken[name]})",
                "give one of them another name",
            )
        self.taken[name] = self.source or "this file"
        return name

    # -- when -------------------------------------------------------------------

    def when(self, raw: Mapping[str, Any], path: Path) -> When:
        here = (*path, "when")
        if "when" not in raw:
            self.complain(here, "the rule has no condition", "add `when: {measurement: …, …}`")
            return When("")
        data = self.mapping(raw["when"], here, "a condition")
        if data is None:
            return When("")
        self.known_keys(data, WHEN_KEYS, here)
        measurement = self.words(data, "measurement", here, needed=True)
        absent = "absent" in data
        field = self.words(data, "field", here, needed=not absent)
        only_if = self.only_if(data, here)
        self.declared_fields(measurement, field, [name for name, _ in only_if], here)
        good_only = self.choice(data, "quality", ("good", "any"), here, default="any") == "good"
        if absent:
            return self.absence(data, here, When(measurement, field, only_if=only_if))
        comparison, threshold = self.comparison(data, here)
        return When(
            measurement=measurement,
            field=field,
            comparison=comparison,
            threshold=threshold,
            clear=self.clear(data, here, comparison, threshold),
            window=self.window(data, here),
            only_if=only_if,
            beside=(
                *self.beside(data, "beside", here, measurement),
                *self.beside(data, "unless_beside", here, measurement),
            ),
            good_only=good_only,
        )

    def absence(self, data: Mapping[str, Any], path: Path, when: When) -> When:
        spare = (*COMPARISONS, "clear_below", "clear_above", *FUNCTIONS, "quality")
        spare += ("beside", "unless_beside")
        for key in data:
            if key in spare:
                self.complain(
                    (*path, key),
                    f"`{key}` and `absent` don't go together: silence has no value",
                    f"drop `{key}`, or make it a rule of its own",
                )
        absent_ns = self.duration(data, "absent", path)
        if absent_ns <= 0 and not self.has_problem((*path, "absent")):
            self.complain((*path, "absent"), "`absent` must be longer than 0", "such as 15m")
        return When(when.measurement, when.field, only_if=when.only_if, absent_ns=absent_ns)

    def comparison(self, data: Mapping[str, Any], path: Path) -> tuple[Comparison, float]:
        found = [key for key in COMPARISONS if key in data]
        if len(found) == 1:
            key = found[0]
            return key, self.number(data[key], (*path, key))
        if found:
            both = " and ".join(f"`{key}`" for key in found)
            self.complain((*path, found[1]), f"{both} in one condition", "make it two rules")
        else:
            self.complain(
                path,
                "the condition compares with nothing",
                "add `above:`, `below:`, `equals:`, `not_equals:` or `absent:`",
            )
        return "above", math.nan

    def clear(
        self, data: Mapping[str, Any], path: Path, comparison: Comparison, threshold: float
    ) -> float | None:
        level: float | None = None
        right = {"above": "clear_below", "below": "clear_above"}.get(comparison)
        for key in ("clear_below", "clear_above"):
            if key not in data:
                continue
            here = (*path, key)
            if key != right:
                remedy = f"use `{right}`" if right else f"drop `{key}`"
                self.complain(here, f"`{key}` doesn't go with `{comparison}`", remedy)
                continue
            level = self.number(data[key], here)
            wrong = level > threshold if key == "clear_below" else level < threshold
            if wrong:
                side = "at most" if key == "clear_below" else "at least"
                self.complain(
                    here,
                    f"{level:g} lies on the wrong side of the threshold {threshold:g}: "
                    "the alert would end while it still holds",
                    f"make it {side} {threshold:g}",
                )
        return level

    def window(self, data: Mapping[str, Any], path: Path) -> Window | None:
        found: list[Function] = [key for key in FUNCTIONS if key in data]
        if not found:
            return None
        if len(found) > 1:
            both = " and ".join(f"`{key}`" for key in found)
            self.complain((*path, found[1]), f"{both} in one condition", "make it two rules")
        length_ns = self.duration(data, found[0], path)
        if length_ns < SHORTEST_WINDOW and not self.has_problem((*path, found[0])):
            self.complain((*path, found[0]), "a window is at least 1s long", "such as 1h")
        return Window(found[0], length_ns)

    def at_once_if(
        self, raw: Mapping[str, Any], path: Path, when: When
    ) -> tuple[tuple[str, float], ...]:
        here = (*path, "at_once_if")
        if "at_once_if" in raw and "for" not in raw:
            self.complain(here, "`at_once_if` without `for`: it is at once anyway", "drop it")
        if "at_once_if" in raw and when.is_absence:
            self.complain(here, "`at_once_if` needs a reading, an absence has none", "drop it")
        pairs = self.companions(raw, "at_once_if", path)
        self.declared_fields(when.measurement, "", [name for name, _ in pairs], path, "at_once_if")
        return pairs

    def only_if(self, data: Mapping[str, Any], path: Path) -> tuple[tuple[str, float], ...]:
        return self.companions(data, "only_if", path)

    def beside(
        self, data: Mapping[str, Any], key: str, path: Path, measurement: str
    ) -> tuple[Beside, ...]:
        """`{probe: icmp, up: 1}`: text is a tag of the other series, a number its field's value."""
        if key not in data:
            return ()
        here = (*path, key)
        pairs = self.mapping(data[key], here, f"`{key}`") or {}
        tags = tuple(sorted((k, v) for k, v in pairs.items() if isinstance(v, str)))
        fields = {k: v for k, v in pairs.items() if not isinstance(v, str)}
        if len(fields) != 1 or not tags:
            what = f"`{key}` needs the tags of another series and one field with a number"
            self.complain(here, what, "such as {probe: icmp, up: 1}")
            return ()
        for tag, _ in tags:
            if self.tags is not None and tag not in self.tags:
                self.unknown((*here, tag), "tag", tag, self.tags)
        ((field, value),) = fields.items()
        self.declared_fields(measurement, "", [str(field)], path, key)
        number = self.number(value, (*here, field))
        return (Beside(tags, str(field), number, key == "beside"),)

    def companions(
        self, data: Mapping[str, Any], key: str, path: Path
    ) -> tuple[tuple[str, float], ...]:
        """Fields of the same reading, with the values that they must have."""
        if key not in data:
            return ()
        here = (*path, key)
        pairs = self.mapping(data[key], here, f"`{key}`")
        if pairs is None:
            return ()
        return tuple(
            sorted((str(key), self.number(value, (*here, key))) for key, value in pairs.items())
        )

    def declared_fields(
        self,
        measurement: str,
        field: str,
        companions: Sequence[str],
        path: Path,
        key: str = "only_if",
    ) -> None:
        if self.declared is None or not measurement:
            return
        if measurement not in self.declared:
            if key != "only_if":
                return  # said of the condition itself
            self.unknown((*path, "measurement"), "measurement", measurement, self.declared)
            return
        fields = self.declared[measurement]
        if field and field not in fields:
            self.unknown((*path, "field"), f"field of {measurement}", field, fields)
        for name in companions:
            if name not in fields:
                self.unknown((*path, key, name), f"field of {measurement}", name, fields)

    # -- the rest of a rule -----------------------------------------------------

    def where(self, raw: Mapping[str, Any], path: Path, when: When) -> Matcher:
        here = (*path, "where")
        data = {} if "where" not in raw else self.mapping(raw["where"], here, "`where`") or {}
        patterns: dict[str, tuple[str, ...]] = {}
        for key, value in data.items():
            self.where_key(key, (*here, key))
            values = value if isinstance(value, list) else [value]
            if not values or not all(
                isinstance(v, str | int | float) and not isinstance(v, bool) and v != ""
                for v in values
            ):
                self.complain(
                    (*here, key),
                    f"`{key}` needs a name, a list of names or a glob, not {value!r}",
                    "such as router, [aq1, aq2] or aq-*; put yes, no and on in quotes",
                )
                continue
            patterns[key] = tuple(str(v) for v in values)
        if when.is_absence and not any(key in THING_KEYS for key in patterns):
            self.complain(
                here,
                "an absence must say from whom something is expected",
                "add `where:` with kind, device, site, opd or collector",
            )
        return Matcher(patterns)

    def where_key(self, key: str, path: Path) -> None:
        if key in WHERE_KEYS:
            return
        if self.tags is not None:
            if key not in self.tags:
                self.unknown(path, "key of `where`", key, (*WHERE_KEYS, *self.tags))
        elif near := get_close_matches(key, WHERE_KEYS, 1, 0.8):
            self.complain(path, f"unknown key `{key}`", f"did you mean `{near[0]}`?")
        elif not _WORD.fullmatch(key):
            self.complain(path, f"{key!r} is no tag", "a tag is letters, digits and _")

    def notify(self, raw: Mapping[str, Any], path: Path) -> tuple[str, ...]:
        here = (*path, "notify")
        value = raw.get("notify", [])
        names = value if isinstance(value, list) else [value]
        for index, name in enumerate(names):
            if not isinstance(name, str) or not _TEAM.fullmatch(name):
                self.complain((*here, index), f"{name!r} is no team", "such as [dlh, bpbd]")
            elif self.teams is not None and name not in self.teams:
                self.unknown((*here, index), "team", name, self.teams)
        return tuple(dict.fromkeys(str(name) for name in names))

    def text(
        self, raw: Mapping[str, Any], key: str, path: Path, when: When, *, needed: bool
    ) -> Text:
        here = (*path, key)
        if key not in raw:
            if needed:
                self.complain(here, f"the rule has no {key}", f'add `{key}: {{id: "…", en: "…"}}`')
            return Text()
        data = self.mapping(raw[key], here, f"`{key}`", 'write {id: "…", en: "…"}')
        if data is None:
            return Text()
        self.known_keys(data, LANGUAGES, here)
        for language in LANGUAGES:
            value = data.get(language)
            if not isinstance(value, str) or not value.strip():
                name = {"id": "Bahasa Indonesia", "en": "English"}[language]
                self.complain((*here, language), f"{key} is missing in {name}", "add it")
            else:
                self.placeholders(value, (*here, language), when)
        return Text(*(str(data.get(language, "")).strip() for language in LANGUAGES))

    def placeholders(self, value: str, path: Path, when: When) -> None:
        try:
            parts = list(string.Formatter().parse(value))
        except ValueError as error:
            self.complain(path, f"braces don't match: {error}", "write {{ for a plain brace")
            return
        for _, name, form, conversion in parts:
            if name is None:
                continue
            if form or conversion:
                self.complain(
                    path, f"{{{name}}} with a format", f"write {{{name}}}: it is formatted already"
                )
            if name not in PLACEHOLDERS:
                self.unknown(path, "placeholder", name, PLACEHOLDERS)
            elif name == "clear" and when.clear is None:
                self.complain(path, "{clear} without a clear level", "add one, or drop {clear}")
