"""What is no mistake in a configuration, and yet looks like one: `toba-hub check` names it, and
nothing is refused for it.

- two devices of which a collector would ask the very same;
- a rule of the regency's own about what no device of the inventory is: it can never fire.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath

from hub import inventory_file, rulebook, yamlfile
from hub.configuration import OWN_FIELDS, Configuration
from hub.problems import Path, Problem, nearest
from rules.matching import Matcher
from rules.model import THING_KEYS
from rules.rule import Rule
from rules.thing import Thing

Attributes = Mapping[str, str | tuple[str, ...]]


def find(conf: Configuration) -> list[Problem]:
    """All of them, in the order of the files."""
    found = [*_asked_alike(conf), *_about_nobody(conf)]
    return sorted(found, key=lambda one: (one.file, one.line, one.key))


def _asked_alike(conf: Configuration) -> Iterator[Problem]:
    first: dict[tuple[str, str, str], str] = {}
    alike: dict[str, tuple[str, str, str]] = {}
    for device in conf.inventory.devices.values():
        for collector, section in device.collect.items():
            asked = collector, device.address, json.dumps(section, sort_keys=True, default=str)
            other = first.setdefault(asked, device.id)
            if device.address and other != device.id:
                alike.setdefault(device.id, (collector, device.address, other))
    places = inventory_file.places(conf.settings.inventory, alike.keys())
    for id, (collector, address, other) in alike.items():
        file, line = places[id]
        why = f"{collector} asks {address} the same for {other}"
        remedy = "two devices with one address? each needs its own, or another port"
        yield Problem(file, line, f"{id}.address", why, remedy)


def _about_nobody(conf: Configuration) -> Iterator[Problem]:
    things = rulebook.things(conf.inventory)
    known = [thing.attributes() for thing in things]
    values = {key: _values(things, key) for key in THING_KEYS}
    for rule in conf.rules:
        if not known or rule.when.measurement in OWN_FIELDS or _comes_with_the_hub(rule):
            continue
        wrong = list(_of_no_device(rule, values))
        about = rule.where.only(frozenset(THING_KEYS))
        if not wrong and not any(about.matches(attributes) for attributes in known):
            wrong = [((), "no device is all of this", "each part alone has some")]
        if wrong:
            file, index = _written(rule)
            for at, why, remedy in wrong:
                yield file.problem(("rules", index, "where", *at), why, remedy)


def _of_no_device(
    rule: Rule, values: Mapping[str, frozenset[str]]
) -> Iterator[tuple[Path, str, str]]:
    for key, patterns in rule.where.patterns:
        for pattern in patterns if key in values else ():
            one = Matcher({key: pattern})
            if not pattern.startswith("!") and not any(one.matches({key: v}) for v in values[key]):
                yield (key,), f"no device has the {key} {pattern!r}", nearest(pattern, values[key])


def _values(things: list[Thing], key: str) -> frozenset[str]:
    found: set[str] = set()
    for thing in things:
        value: str | tuple[str, ...] = thing.attributes()[key]
        found.update((value,) if isinstance(value, str) else value)
    return frozenset(found - {""})


def _comes_with_the_hub(rule: Rule) -> bool:
    """It is written for any regency."""
    return FilePath(rule.source).parent == rulebook.LIBRARY


def _written(rule: Rule) -> tuple[yamlfile.YamlFile, int]:
    """Its file, and its number in there."""
    file = yamlfile.read(FilePath(rule.source))
    names = [one.get("name") for one in file.data["rules"]]
    return file, names.index(rule.name)
