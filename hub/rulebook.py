"""Brings the rule files together: the library, the regency's own, and single values changed."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

from hub import yamlfile
from hub.inventory import Device, Inventory
from hub.problems import Misconfigured, Path, Problem, dotted, nearest
from hub.settings import Rules as RuleSettings
from hub.yamlfile import YamlFile
from rules import duration, hours
from rules.hours import Calendars
from rules.model import Rule, parse_rules
from rules.thing import Thing

LIBRARY = FilePath(str(files("rules"))) / "library"


def read(
    settings: RuleSettings,
    *,
    declared: Mapping[str, Collection[str]] | None,
    tags: Collection[str] | None,
    teams: Collection[str],
    settings_file: YamlFile | None = None,
    texts: dict[str, str] | None = None,
    calendars: Calendars | None = None,
) -> list[Rule]:
    """Every rule in force. Raises `Misconfigured` with all problems of all files.

    `declared` and `tags` are checked against when given. `texts` takes each file's text by its
    name, exactly as it was read.
    """
    problems: list[Problem] = []
    rules: list[Rule] = []
    changes = _changes(settings.set)
    known: set[str] = set()
    disabled = set(settings.disable)
    blame = settings_file or YamlFile("settings", {})
    for path in paths(settings):
        try:
            file = yamlfile.read(path)
        except Misconfigured as error:
            problems += error.problems
            continue
        if texts is not None:
            texts[file.name] = file.text
        problems += file.problems
        known |= {str(rule.get("name")) for rule in _rules_of(file.data)}
        problems += [
            blame.problem(("rules", "set", key), "leads to no value of that rule")
            for key in _apply(file.data, changes)
        ]
        taken = {rule.name: rule.source for rule in rules}
        # The library names teams that a regency need not have; its own rules must mean somebody.
        known_teams = None if path.parent == LIBRARY else teams or None
        found, wrong = parse_rules(
            file.data,
            str(path),
            declared,
            tags=tags,
            teams=known_teams,
            taken=taken,
            calendars=calendars,
        )
        rules += [rule for rule in found if rule.name not in disabled]
        for where, message, *remedy in wrong:
            name = _name_at(file.data, where)
            key = _changed_at(name, where, changes)
            if key:
                problems.append(blame.problem(("rules", "set", key), message, *remedy))
            elif name not in disabled:
                # What the settings have changed may go ill with what they have not.
                too = [f"change {name}.{dotted(where[2:])} too"] if name in changes else []
                problems.append(file.problem(where, message, "; ".join([*remedy, *too])))
    problems += _unknown(known, settings, blame)
    yamlfile.raise_if(problems)
    return rules


def in_force(text: str, settings: RuleSettings) -> dict[str, Any]:
    """The data of a file's text that `read` found good, as the settings change it, without the
    rules they disable."""
    data = yamlfile.plain(text)
    _apply(data, _changes(settings.set))
    return {"rules": [one for one in _rules_of(data) if one.get("name") not in settings.disable]}


def reread(
    data: Any, name: str, calendars: Calendars | None, same: Mapping[int, Rule]
) -> list[Rule]:
    """The rules of what `in_force` gave; those in `same` (by index) are known.

    Raises `Misconfigured` where this version of the hub finds otherwise.
    """
    rules, wrong = parse_rules(data, name, calendars=calendars, same=same)
    if wrong:
        file = YamlFile(name, data)
        raise Misconfigured([file.problem(where, *message) for where, *message in wrong])
    return rules


def read_calendars(regency: FilePath, zone: str) -> Calendars:
    """`calendar.yaml` of the regency's folder: hours and holidays that rules may name.

    Raises `Misconfigured`.
    """
    path = regency / "calendar.yaml"
    if not path.is_file():
        return hours.default(zone)
    file = yamlfile.read(path)
    found, wrong = hours.read(file.data, zone)
    yamlfile.raise_if([*file.problems, *(file.problem(*problem) for problem in wrong)])
    return found


def paths(settings: RuleSettings) -> list[FilePath]:
    """The rule files in the order in which they are read; tests beside them are left out."""
    found: list[FilePath] = []
    if settings.library:
        found += _folder(LIBRARY)
    for path in settings.files:
        found += _folder(path) if path.is_dir() else [path]
    return found


def folders(settings: RuleSettings | None) -> list[FilePath]:
    """Where rule files and their cases stand: the library, and beside the regency's own."""
    if settings is None:
        return [LIBRARY]
    own = {path if path.is_dir() else path.parent for path in settings.files}
    return [*([LIBRARY] if settings.library else []), *sorted(own)]


def _folder(folder: FilePath) -> list[FilePath]:
    return sorted(p for p in folder.glob("*.yaml") if not p.stem.endswith("_test"))


def things(inventory: Inventory) -> list[Thing]:
    """The inventory as rules see it."""
    found = []
    for device in inventory.devices.values():
        site, opd = inventory.sites.get(device.site), inventory.opds.get(device.opd)
        found.append(
            Thing(
                id=device.id,
                name=device.title,
                kind=device.kind,
                site=device.site,
                site_name=site.name if site else device.site,
                opd=device.opd,
                opd_name=opd.name if opd else device.opd,
                lat=device.lat if device.lat is not None else site.lat if site else None,
                lon=device.lon if device.lon is not None else site.lon if site else None,
                parents=tuple(device.depends_on),
                collectors=tuple(device.collect),
                uplinks=_uplinks(device),
                reference=device.reference,
                noise_zone=device.noise_zone,
                late_after_ns=duration.parse(device.late_after or 0),
            )
        )
    return found


def _uplinks(device: Device) -> tuple[str, ...]:
    """The ports that any collector's section marks as uplinks."""
    marked = [section.get("uplinks") for section in device.collect.values()]
    return tuple(str(port) for ports in marked if isinstance(ports, list) for port in ports)


_Changes = dict[str, list[tuple[list[str], Any]]]


def _changes(settings: Mapping[str, Any]) -> _Changes:
    """{"pm25.when.above": 50} as {"pm25": [(["when", "above"], 50)]}."""
    found: _Changes = {}
    for key, value in settings.items():
        rule, *path = key.split(".")
        found.setdefault(rule, []).append((path, value))
    return found


def _rules_of(data: Any) -> list[dict[str, Any]]:
    rules = data.get("rules") if isinstance(data, dict) else None
    return [rule for rule in rules if isinstance(rule, dict)] if isinstance(rules, list) else []


def _apply(data: Any, changes: _Changes) -> list[str]:
    """Change values in place; the keys of the settings that lead nowhere."""
    astray = []
    for rule in _rules_of(data):
        name = str(rule.get("name"))
        for way, value in changes.get(name, []):
            if not _put(rule, way, value):
                astray.append(".".join([name, *way]))
    return astray


def _put(rule: dict[str, Any], way: list[str], value: Any) -> bool:
    """Put a value at its place in a rule; False where there is no such place."""
    here: Any = rule
    for part in way[:-1]:
        here = here.setdefault(part, {})
        if not isinstance(here, dict):
            return False
    if way:
        here[way[-1]] = copy.deepcopy(value)
    return bool(way)


def _name_at(data: Any, where: Path) -> str:
    """The name of the rule that a problem's path leads to."""
    try:
        return str(data["rules"][where[1]]["name"])
    except (LookupError, TypeError):
        return ""


def _changed_at(rule: str, where: Path, changes: _Changes) -> str:
    """The settings' key that put the mistake there; empty: it stands in the rule's own file."""
    for way, _ in changes.get(rule, []):
        if tuple(way) == where[2 : 2 + len(way)]:
            return ".".join([rule, *way])
    return ""


def _unknown(known: set[str], settings: RuleSettings, file: YamlFile) -> list[Problem]:
    """Settings that speak of rules which are not there."""
    problems = [
        file.problem(("rules", "set", key), f"no rule {key.split('.')[0]!r}", nearest(key, known))
        for key in settings.set
        if key.split(".")[0] not in known
    ]
    return problems + [
        file.problem(("rules", "disable", index), f"no rule {name!r}", nearest(name, known))
        for index, name in enumerate(settings.disable)
        if name not in known
    ]
