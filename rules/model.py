"""Rules from YAML: plain data in, `Rule` out, and every mistake named by its key.

Nothing here reads files or knows lines: a `Problem` carries the path of keys to it, and whoever
loaded the file turns that into file and line. All problems are found in one go; the rules that
are good come back even when others are not.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping
from typing import Any

from rules.alert import DAMPED, Flapping
from rules.hours import Calendars
from rules.matching import Matcher
from rules.reader import Path, Problem
from rules.rule import LANGUAGES, SEVERITIES, Rule, Text, Together, When
from rules.when import THING_KEYS, WhenReader

__all__ = ["THING_KEYS", "Problem", "Rule", "parse_rules"]

PLACEHOLDERS = (
    *("device", "name", "kind", "site", "opd"),
    *("ifname", "sensor", "probe", "part"),
    *("value", "threshold", "clear", "unit", "cut_off"),
)
"""What a title or an advice may ask for in braces."""

RULE_KEYS = (
    *("name", "title", "when", "where", "for", "at_once_if", "keep_firing", "severity"),
    *("notify", "advice", "unit", "means", "flapping", "together"),
)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_TEAM = re.compile(r"[a-z0-9][a-z0-9_-]*")


def parse_rules(
    data: object,
    source: str = "",
    declared: Mapping[str, Collection[str]] | None = None,
    *,
    tags: Collection[str] | None = None,
    teams: Collection[str] | None = None,
    taken: Mapping[str, str] | None = None,
    calendars: Calendars | None = None,
    same: Mapping[int, Rule] | None = None,
) -> tuple[list[Rule], list[Problem]]:
    """The rules of one file and everything wrong with it.

    `data` is the file's content as YAML gives it (`{"rules": [...]}`), `source` its name.
    `declared` (measurement → fields that some manifest promises), `tags` (identity tags) and
    `teams` are checked against when given. `taken` names rules of other files: name → file.
    `calendars` are those that `only` and `outside` may name. `same` are the rules that need not be
    read again, by their number in the file.
    """
    reader = _RuleReader(source, declared, tags, teams, dict(taken or {}), calendars)
    return reader.file(data, same or {})


class _RuleReader(WhenReader):
    """Walks one file of rules, collecting problems."""

    def __init__(
        self,
        source: str,
        declared: Mapping[str, Collection[str]] | None,
        tags: Collection[str] | None,
        teams: Collection[str] | None,
        taken: dict[str, str],
        calendars: Calendars | None,
    ) -> None:
        super().__init__(declared, tags, calendars)
        self.source = source
        self.teams = teams
        self.taken = taken

    # -- the file and one rule ------------------------------------------------

    def file(self, data: object, same: Mapping[int, Rule]) -> tuple[list[Rule], list[Problem]]:
        top = self.mapping({"rules": None} if data is None else data, (), "a file of rules")
        if top is None:
            return [], self.problems
        self.known_keys(top, ("rules",), ())
        items = top.get("rules", "")
        if items is None:
            return [], self.problems  # all of it is commented out
        if not isinstance(items, list):
            what = "`rules` is no list" if "rules" in top else "`rules` is missing"
            self.complain(("rules",), what, "write `rules:` and each rule below it as `- name: …`")
            return [], self.problems
        rules = [
            same.get(index) or self.rule(item, ("rules", index)) for index, item in enumerate(items)
        ]
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
            flapping=self.flapping(raw, path),
            together=self.together(raw, path, when),
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

    # -- the rest of a rule -----------------------------------------------------

    def where(self, raw: Mapping[str, Any], path: Path, when: When) -> Matcher:
        found = self.matcher(raw, path)
        if when.is_absence and not found.only(frozenset(THING_KEYS)):
            self.complain(
                (*path, "where"),
                "an absence must say from whom something is expected",
                "add `where:` with kind, device, site, opd or collector",
            )
        return found

    def at_once_if(
        self, raw: Mapping[str, Any], path: Path, when: When
    ) -> tuple[tuple[str, float], ...]:
        here = (*path, "at_once_if")
        if "at_once_if" in raw and "for" not in raw:
            self.complain(here, "`at_once_if` without `for`: it is at once anyway", "drop it")
        if "at_once_if" in raw and (when.is_absence or when.parts or "together" in raw):
            self.complain(here, "`at_once_if` needs one reading to look at", "drop it")
        pairs = self.companions(raw, "at_once_if", path)
        self.declared_fields(when.measurement, [name for name, _ in pairs], here)
        return pairs

    def flapping(self, raw: Mapping[str, Any], path: Path) -> Flapping | None:
        """`off`, or some of its values; the others stay."""
        here, value = (*path, "flapping"), raw.get("flapping", {})
        if value is False or value == "off":
            return None
        remedy = "write off, or such as {times: 5, within: 1h, quiet: 15m}"
        data = self.mapping(value, here, "`flapping`", remedy)
        if data is None:
            return None
        self.known_keys(data, ("times", "within", "quiet"), here)
        times, within_ns, quiet_ns = DAMPED
        if "times" in data:
            times = self.whole(data["times"], (*here, "times"), 2, 100)
        if "within" in data:
            within_ns = self.duration(data, "within", here)
        if "quiet" in data:
            quiet_ns = self.duration(data, "quiet", here)
        return Flapping(times, within_ns, quiet_ns)

    def together(self, raw: Mapping[str, Any], path: Path, when: When) -> Together | None:
        if "together" not in raw:
            return None
        here = (*path, "together")
        data = self.mapping(raw["together"], here, "`together`", "write {at_least: 3, of: site}")
        if data is None:
            return None
        self.known_keys(data, ("at_least", "of"), here)
        if when.is_absence or when.parts:
            self.complain(here, "`together` takes one comparison", "drop it, or simplify `when`")
        at_least = self.whole(data.get("at_least"), (*here, "at_least"), 2, 1000)
        of = self.choice(data, "of", ("site", "opd"), here, default="site")
        return Together(at_least, "site" if of == "site" else "opd")

    def whole(self, value: object, path: Path, least: int, most: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.complain(path, f"{value!r} is no whole number from {least} to {most}", f"say {least}")
        return least

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
