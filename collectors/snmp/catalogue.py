"""All device profiles: the ones in `profiles/`, the user's own folder, and which one a device gets.

device ─ sysObjectID, sysDescr, some instances ─► the match with the longest prefix and most
                                                   confirmations ─► its profile, and why
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from collectors.snmp.codec import Value
from collectors.snmp.convert import words
from collectors.snmp.oids import BadOid, Oid, arcs, dotted, oid
from collectors.snmp.parse import text
from collectors.snmp.profile import Match, Number, Profile, Table, Text
from hub.api import Misconfigured, Problem, read_yaml

OWN_FOLDER = Path(__file__).parent / "profiles"
BASE = "generic"
"""What a device has that nothing else is known of."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceProfile:
    """A profile with all that it inherits, nearest first; shared by all devices that have it."""

    name: str
    title: str
    chain: tuple[str, ...]
    """This profile and the ones it inherits from, in the order in which they are asked."""
    facts: Mapping[str, tuple[Text, ...]]
    values: Mapping[str, tuple[Number, ...]]
    """By field; the first that gives a number is taken."""
    tables: Mapping[str, Table]
    sessions: re.Pattern[str] | None


class Chosen(NamedTuple):
    """A device's profile, and why it is this one."""

    profile: DeviceProfile
    why: str


_chosen = lru_cache(maxsize=1024)(Chosen)
"""One for all devices that are alike."""


class Identity(NamedTuple):
    """What a device says of itself."""

    sys_object_id: str
    sys_descr: str
    answers: Mapping[Oid, Value]
    """What it gave for `Catalogue.questions`; absent ones are left out."""


class Catalogue:
    """The profiles in force, ready to be chosen from."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = dict(profiles)
        self.devices = {name: _resolved(name, self._profiles) for name in self._profiles}
        asked = [match.answers for profile in profiles.values() for match in profile.match]
        self.questions: tuple[Oid, ...] = tuple({one.oid: 1 for one in asked if one is not None})
        """Instances that tell devices apart whose sysObjectID doesn't."""

    def matches(self, name: str) -> list[Match]:
        """By what a profile is chosen."""
        return list(self._profiles[name].match)

    def choose(self, identity: Identity) -> Chosen:
        """The profile for a device; `generic` when no other knows it."""
        best: tuple[tuple[int, int], str, str] | None = None
        unconfirmed: list[str] = []
        for name, profile in self._profiles.items():
            for match in profile.match:
                found = _fits(match, identity)
                if isinstance(found, str):
                    unconfirmed += [f"{name}: {found}"] if found else []
                elif best is None or found.rank > best[0]:
                    best = found.rank, name, found.why
        if best is not None:
            return _chosen(self.devices[best[1]], best[2])
        said = identity.sys_object_id or "none"
        why = f"no profile knows sysObjectID {said}" + "".join(f"; {one}" for one in unconfirmed)
        return _chosen(self.devices[BASE], why)


class _Fit(NamedTuple):
    rank: tuple[int, int]
    """Length of the prefix, number of confirmations."""
    why: str


def _fits(match: Match, identity: Identity) -> _Fit | str:
    """How well it fits, or why it nearly did; empty when it is about quite another device."""
    length = 0
    why: list[str] = []
    if match.sys_object_id is not None:
        try:
            given = oid(identity.sys_object_id)
        except BadOid:
            return ""
        if not given.startswith(match.sys_object_id):
            return ""
        length = len(arcs(match.sys_object_id))
        why.append(
            f"sysObjectID {identity.sys_object_id} begins with {dotted(match.sys_object_id)}"
        )
    if match.answers is not None:
        said = words(match.answers, identity.answers.get(match.answers.oid))
        if not said:
            return ""
        why.append(f"{dotted(match.answers.oid)} says {said!r}")
    if match.sys_descr:
        if not re.search(match.sys_descr, identity.sys_descr):
            descr = identity.sys_descr[:60]
            return f"{why[0]}, but sysDescr {descr!r} has no {match.sys_descr!r}"
        why.append(f"sysDescr has {match.sys_descr!r}")
    return _Fit((length, len(why)), ", ".join(why))


def identity_of(object_id: Value, descr: Value, answers: Mapping[Oid, Value]) -> Identity:
    """From values as they were polled."""
    return Identity(text(object_id), " ".join(text(descr).split()), answers)


def read(own: Path | None = None) -> Catalogue:
    """The built-in profiles and those of a folder; of two with one name the folder's is in force.

    Raises `Misconfigured` with every mistake's file, line and key.
    """
    return _built_in() if own is None else Catalogue(_read([OWN_FOLDER, own]))


@cache
def _built_in() -> Catalogue:
    return Catalogue(_read([OWN_FOLDER]))


def _read(folders: Iterable[Path]) -> dict[str, Profile]:
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for folder in folders:
        if not folder.is_dir():
            problems.append(Problem(str(folder), 0, "", "is no folder of device profiles"))
        files |= {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    profiles: dict[str, Profile] = {}
    for name, path in files.items():
        try:
            profiles[name] = read_yaml(path, Profile, {"profiles": files.keys()})
        except Misconfigured as error:
            problems += error.problems
    if not problems:
        problems += _circles(profiles, files)
    if problems:
        raise Misconfigured(problems)
    return profiles


def _circles(profiles: Mapping[str, Profile], files: Mapping[str, Path]) -> list[Problem]:
    found = []
    for name in profiles:
        ahead, seen = [*profiles[name].inherits], set[str]()
        while ahead:
            parent = ahead.pop()
            if parent == name:
                found.append(Problem(str(files[name]), 0, "inherits", f"{name} inherits itself"))
                break
            if parent not in seen:
                seen.add(parent)
                ahead += profiles[parent].inherits
    return found


def _chain(name: str, profiles: Mapping[str, Profile]) -> list[str]:
    """Itself, then each parent with its own parents; a shared ancestor once, as late as may be."""
    found = [name]
    for parent in profiles[name].inherits:
        for one in _chain(parent, profiles):
            if one in found:
                found.remove(one)
            found.append(one)
    return found


def _resolved(name: str, profiles: Mapping[str, Profile]) -> DeviceProfile:
    chain = _chain(name, profiles)
    facts: dict[str, tuple[Text, ...]] = {}
    values: dict[str, tuple[Number, ...]] = {}
    tables: dict[str, Table] = {}
    without: set[str] = set()
    sessions = ""
    for one in chain:
        profile = profiles[one]
        for fact, sources in profile.facts.items():
            facts[fact] = facts.get(fact, ()) + tuple(sources)
        for number in profile.values:
            field = number.field or ""
            values[field] = (*values.get(field, ()), number)
        for key, table in profile.tables.items():
            if key not in without:
                tables.setdefault(key, table)
        without |= set(profile.without)
        sessions = sessions or profile.sessions
    pattern = re.compile(sessions) if sessions else None
    return DeviceProfile(name, profiles[name].title, tuple(chain), facts, values, tables, pattern)
