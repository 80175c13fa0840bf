"""Everything that a hub is told: settings, inventory, rules, held against the installed plugins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from hub import inventory_file, own, registry, rulebook, settings_file, yamlfile
from hub.inventory import Inventory
from hub.problems import Misconfigured, Problem, from_pydantic, nearest
from hub.registry import Plugin
from hub.settings import Settings
from rules import hours, recorders
from rules.hours import Calendars
from rules.model import THING_KEYS, Rule

OWN_FIELDS = {
    "alert": {"active", "severity", "state", "value", "text", "since_ms", "changed"},
    "hub": set(own.FIELDS),
    **{measurement: set(fields) for measurement, fields in recorders.FIELDS.items()},
}
"""What the hub itself measures, beside what the collectors promise."""
BLOT = "**********"


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was read, every part of it checked."""

    path: Path
    settings: Settings
    inventory: Inventory
    plugins: Mapping[str, Plugin]
    rules: list[Rule]
    rule_texts: Mapping[str, str]
    """The rule files by name, as they were read."""
    calendars: Calendars
    """The hours and holidays that rules may name."""

    def inventory_text(self) -> str:
        """As it was written, secrets blotted out: it goes to the journal, which can be exported."""
        text = "\n".join(
            path.read_text(encoding="utf-8", errors="replace") for path in self.settings.inventory
        )
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", BLOT, text)
        return text

    def _secrets(self) -> set[str]:
        """What devices' sections hold under keys whose models call them secret."""
        found: set[str] = set()
        for device in self.inventory.devices.values():
            for name, section in device.collect.items():
                for key, field in self.plugins[name].collector.Section.model_fields.items():
                    if "SecretStr" in str(field.annotation) and section.get(key):
                        found.add(str(section[key]))
        return found


def load(path: Path) -> Configuration:
    """Read everything, without touching the network. Raises `Misconfigured` with all problems."""
    found, problems = settings_file.read_leniently(path)
    plugins, broken, promises_known = registry.find_leniently()
    problems += broken
    tags = identity_tags(plugins.values()) if promises_known else None
    configs, wrong = _collector_configs(path, found, plugins)
    problems += wrong
    try:
        things = inventory_file.read(found.inventory, plugins, configs)
    except Misconfigured as error:
        problems += error.problems
        things = Inventory()
    rules: list[Rule] = []
    texts: dict[str, str] = {}
    calendars = hours.default(found.timezone)
    try:
        calendars = rulebook.read_calendars(found.regency_folder, found.timezone)
    except Misconfigured as error:
        problems += error.problems
    try:
        rules = rulebook.read(
            found.rules,
            declared=_declared(plugins.values()) if promises_known else None,
            tags=tags,
            teams=set(found.teams),
            settings_file=_again(path),
            texts=texts,
            calendars=calendars,
        )
    except Misconfigured as error:
        problems += error.problems
    problems += _maintenance(path, found, tags)
    if problems:
        raise Misconfigured(sorted(set(problems), key=lambda p: (p.file, p.line, p.key)))
    return Configuration(path, found, things, plugins, rules, texts, calendars)


def matchable(tags: Iterable[str]) -> set[str]:
    """What a silence may match by; `tags` are the series' identity tags."""
    return {*THING_KEYS, "rule", "severity", "key", "port", *tags}


def _declared(plugins: Iterable[Plugin]) -> dict[str, set[str]]:
    """Measurement → fields that rules may ask for."""
    return {**registry.declared(plugins), **OWN_FIELDS}


def _maintenance(path: Path, found: Settings, tags: set[str] | None) -> list[Problem]:
    """What is wrong with the planned windows beyond their shape. `tags`: None, nobody knows all."""
    problems, file, names = [], _again(path), set()
    known = matchable(tags or ())
    for index, window in enumerate(found.maintenance):
        at = found.written(("maintenance", index))
        if window.name in names:
            why = f"a window {window.name!r} stands before"
            problems.append(file.problem((*at, "name"), why, "give it a name of its own"))
        names.add(window.name)
        problems += [
            file.problem((*at, "match", key), "a window can't match by this", nearest(key, known))
            for key in window.match
            if tags is not None and key not in known
        ]
    return problems


def identity_tags(plugins: Iterable[Plugin]) -> set[str]:
    """Every tag that may tell one series from another."""
    return {"device", "rule", "part"} | {
        tag
        for plugin in plugins
        for spec in plugin.manifest.measurements.values()
        for tag in spec.tags
    }


def _collector_configs(
    path: Path, found: Settings, plugins: Mapping[str, Plugin]
) -> tuple[dict[str, BaseModel], list[Problem]]:
    """Each collector's own settings, checked by the collector's own model, and what is wrong."""
    file = _again(path)
    configs: dict[str, BaseModel] = {}
    problems = []
    for name in found.collectors.keys() - plugins.keys():
        message = f"no collector {name!r} is installed"
        problems.append(file.problem(("collectors", name), message, nearest(name, plugins)))
    for name, plugin in plugins.items():
        model, section = plugin.collector.Config, found.collectors.get(name, {})
        try:
            configs[name] = plugin.configure(section, found.folder)
        except ValidationError as error:
            at = ("collectors", name)
            problems += [file.problem(*wrong) for wrong in from_pydantic(error, model, at)]
        except Misconfigured as error:
            problems += error.problems
    return configs, problems


def _again(path: Path) -> yamlfile.YamlFile:
    """The settings file for its line numbers; a broken one was complained of already."""
    try:
        return yamlfile.read(path)
    except Misconfigured:
        return yamlfile.YamlFile(str(path), {})
