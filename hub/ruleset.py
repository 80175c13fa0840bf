"""The rules and devices in force, as the journal keeps them: a CONFIG record.

    files ─► Configuration ─► RuleSet ─ pack ─► CONFIG record ─ unpack ─► RuleSet ─► engine

The engine judges by what the record says, not by what the files say today: so folding the journal
anew gives the same alerts. A reload that changed neither rules nor devices is noted too, by the
digest alone: for those who must look at the other settings again.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from hub import rulebook
from hub.configuration import Configuration
from hub.records import pack_map, unpack_map
from rules.hours import Calendars
from rules.rule import Rule
from rules.thing import Thing

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_LISTS = ("parents", "collectors", "uplinks", "cut_off")


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All that decides which alerts come of which readings."""

    rules: Sequence[Rule]
    things: Sequence[Thing]
    payload: bytes = b""
    """The record that brought it; empty: none did."""
    sha256: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What the rule files say, by their names: `{"rules": [...]}`."""
    calendars: Mapping[str, Any] = field(default_factory=dict)
    """`Calendars.plain`: the hours and holidays that rules name."""


def of(conf: Configuration) -> RuleSet:
    """What a configuration puts in force."""
    things = rulebook.things(conf.inventory)
    calendars = conf.calendars.plain()
    given = conf.settings.rules
    # Read already: parsing YAML would hold up the fold for longer than all the rest.
    data = {name: rulebook.in_force(text, given) for name, text in conf.rule_texts.items()}
    packed = _pack(
        {
            "calendars": calendars,
            "rules": dict(conf.rule_texts),
            "data": data,
            "set": given.set,
            "disable": given.disable,
            "things": [asdict(thing) for thing in things],
            "inventory": conf.inventory_text(),
        }
    )
    digest = hashlib.sha256(packed).hexdigest()
    payload = pack_map({"sha256": digest, "packed": zlib.compress(packed)})
    return RuleSet(conf.rules, things, payload, digest, data, calendars)


def unchanged(sha256: str) -> bytes:
    """The record of a reload after which the same set is in force."""
    return pack_map({"sha256": sha256})


def digest(payload: bytes) -> str:
    """Which set a record puts in force. Raises msgspec.DecodeError for what is no such record."""
    return str(unpack_map(payload).get("sha256", ""))


def unpack(payload: bytes, before: RuleSet | None = None) -> RuleSet:
    """The set of a record; `before` where it is the same.

    Raises `Misconfigured` when this version of the hub refuses the rules, and ValueError for what
    is no such record.
    """
    said = unpack_map(payload)
    sha256 = str(said.get("sha256", ""))
    if before is not None and before.sha256 == sha256:
        return before
    if "packed" not in said:
        raise ValueError(f"the rule set {sha256[:12]} is not in its record")
    try:
        held: Mapping[str, Any] = _unpack(zlib.decompress(said["packed"]))
        rules = list(_rules(held, before or RuleSet((), ())))
        alike: dict[str | tuple[str, ...], Any] = {}
        things = [_thing(plain, alike) for plain in held["things"]]
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"the rule set {sha256[:12]} can't be read: {error!r}") from error
    return RuleSet(rules, things, payload, sha256, held["data"], held.get("calendars", {}))


def _rules(held: Mapping[str, Any], before: RuleSet) -> Iterator[Rule]:
    """The rules of the files; those that say what they said before are taken from there."""
    plain = held.get("calendars", {})
    calendars = Calendars.read(plain)
    known = _known(before) if before.calendars == plain else {}
    for file, data in held["data"].items():
        same: dict[int, Rule] = {}
        for number, said in enumerate(data["rules"]):
            said_before, rule = known.get((file, said["name"]), (None, None))
            if rule is not None and said_before == said:
                same[number] = rule
        yield from rulebook.reread(data, file, calendars, same)


def _known(before: RuleSet) -> dict[tuple[str, str], tuple[Any, Rule]]:
    """By file and name: what a rule is said to be, and the rule."""
    said = {(file, one["name"]): one for file, data in before.data.items() for one in data["rules"]}
    rules = {(rule.source, rule.name): rule for rule in before.rules}
    return {key: (said[key], rule) for key, rule in rules.items() if key in said}


def _thing(plain: Mapping[str, Any], alike: dict[str | tuple[str, ...], Any]) -> Thing:
    """What things have `alike`, they share."""
    values: dict[str, Any] = {key: tuple(v) if key in _LISTS else v for key, v in plain.items()}
    for key, value in values.items():
        if isinstance(value, str | tuple):
            values[key] = alike.setdefault(value, value)
    return Thing(**values)
