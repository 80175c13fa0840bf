"""What `toba-hub discover` makes of what it heard, pure: ids, the file, and what changed.

    addresses asked ─► collectors' `search` ─► Found ─► held against what is known ─► Changes
                                                                        └─► new ones as YAML

A device is known by its address; one that left its address and answers at another one under the
same name has moved. Of an address that was not asked, nothing is concluded.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import yaml

from hub.api import BadItem, Found

TO_FILL = "to-fill"
"""Id of the site that stands in for those that a person has to write."""
MOST = 1 << 16
"""Addresses that are asked without being told twice."""
TELLING = 160
"""Characters of a model that are kept."""
BETWEEN = " | "


class Words(NamedTuple):
    """What a device says of itself; an entry keeps it as its note, so that names may be edited."""

    name: str
    model: str

    @property
    def note(self) -> str:
        return f"{self.name}{BETWEEN}{self.model}"

    @classmethod
    def of(cls, note: str) -> Words | None:
        """None for a note that a search didn't write."""
        name, between, model = note.partition(BETWEEN)
        return cls(name, model) if between else None


@dataclass(frozen=True, slots=True)
class Known:
    """A device that is in the inventory, or in a file that an earlier search wrote."""

    id: str
    address: str
    said: Words | None = None
    """Its own words at an earlier search; None where a person wrote the entry."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One device that answered, at one or more addresses, to one or more collectors."""

    id: str
    found: Found
    collect: Mapping[str, Mapping[str, Any]]
    others: tuple[str, ...] = ()
    """Further addresses of it that answered."""

    @property
    def says(self) -> Words:
        """What an entry keeps of it."""
        name = " ".join(self.found.name.replace("|", "/").split())
        model = " ".join(self.found.model.split())  # YAML folds line breaks of many kinds
        return Words(name, model[:TELLING].strip())


@dataclass(frozen=True, slots=True)
class Change:
    """A known device that is not as it was."""

    known: Known
    was: str
    now: str


@dataclass(slots=True)
class Changes:
    """What a search found, against what is known."""

    new: list[Thing] = field(default_factory=list)
    same: list[Known] = field(default_factory=list)
    gone: list[Known] = field(default_factory=list)
    """Asked, and nobody answered."""
    moved: list[Change] = field(default_factory=list)
    renamed: list[Change] = field(default_factory=list)
    altered: list[Change] = field(default_factory=list)
    """Another model, or another version of it."""
    refused: list[Found] = field(default_factory=list)


def hosts(blocks: Iterable[str], most: int | None = MOST) -> list[str]:
    """The addresses of `10.12.0.0/24`, `10.12.1.7` …, each once. Raises `BadItem`."""
    found: dict[str, None] = {}
    total = 0
    for block in blocks:
        try:
            network = ipaddress.ip_network(block, strict=False)
        except ValueError as error:
            raise BadItem(f"{block!r} is no address block ({error}); write 10.12.0.0/24") from None
        total += network.num_addresses
        if most is not None and total > most:
            raise BadItem(
                f"{total:,} addresses are more than {most:,}, which takes long and looks like an "
                "attack; ask for smaller blocks, or add --yes"
            )
        found |= dict.fromkeys(map(str, network.hosts()))
    return list(found)


def things(answers: Mapping[str, Sequence[Found]], taken: Iterable[Known]) -> list[Thing]:
    """Devices of all answers, given by collector, with ids that no known device has."""
    merged: dict[str, tuple[Found, dict[str, Mapping[str, Any]]]] = {}
    for collector, founds in answers.items():
        for found in founds:
            if not found.refusal:
                first, collect = merged.setdefault(found.address, (found, {}))
                collect[collector] = found.section
                merged[found.address] = _fuller(first, found), collect
    by_address = {known.address: known.id for known in taken}
    ordered = sorted(merged.values(), key=lambda m: ipaddress.ip_address(m[0].address).packed)
    made: list[Thing] = []
    for found, collect in ordered:
        twin = next((n for n, thing in enumerate(made) if _same(thing, found)), None)
        if twin is None:
            made.append(Thing(by_address.get(found.address, ""), found, collect))
        elif found.address in by_address:
            # The address that is known stays the one that is polled.
            thing = made[twin]
            others = (*thing.others, thing.found.address)
            made[twin] = Thing(by_address[found.address], found, collect, others)
        else:
            made[twin] = replace(made[twin], others=(*made[twin].others, found.address))
    return _with_ids(made, {known.id for known in taken})


def _fuller(one: Found, two: Found) -> Found:
    """What the first left open, the second may tell."""
    return replace(
        one,
        name=one.name or two.name,
        kind=one.kind if one.kind != "other" else two.kind,
        model=one.model or two.model,
        place=one.place or two.place,
        addresses=one.addresses | two.addresses,
    )


def _same(thing: Thing, found: Found) -> bool:
    """Each lists the other's address among its own, under the same name."""
    one = thing.found
    return (
        one.name == found.name and found.address in one.addresses and one.address in found.addresses
    )


def _with_ids(made: Sequence[Thing], taken: Collection[str]) -> list[Thing]:
    """An id is the name; where several have it (or it is empty), with the address behind it."""
    plain = Counter(slug(thing.found.name) for thing in made if not thing.id)
    used = set(taken)
    named = []
    for thing in made:
        if not thing.id:
            id = slug(thing.found.name)
            if not id or plain[id] > 1 or id in used:
                tail = slug(thing.found.address.replace(".", "-"))
                id = f"{(id or thing.found.kind)[: 62 - len(tail)]}-{tail}"
            used.add(id)
            thing = replace(thing, id=id)
        named.append(thing)
    return named


def slug(name: str) -> str:
    """A name as an id may be: `Router DLH (lantai 2)` becomes router-dlh-lantai-2."""
    plain = re.sub(r"[^a-z0-9_.]+", "-", name.lower())
    return plain.strip("-_.")[:63].rstrip("-_.")


def compare(
    found: Sequence[Thing], known: Sequence[Known], asked: Collection[str], refused: Sequence[Found]
) -> Changes:
    """What is new, gone, moved or different. A refusal is an answer: nobody is gone for it."""
    changes = Changes(refused=list(refused))
    at = {address: thing for thing in found for address in (thing.found.address, *thing.others)}
    fresh = {thing.id: thing for thing in found}
    quiet: list[Known] = []
    for device in known:
        thing = at.get(device.address)
        if thing is None:
            if device.address in asked and all(device.address != f.address for f in refused):
                quiet.append(device)
            continue
        fresh.pop(thing.id, None)
        was, now = device.said or thing.says, thing.says
        if now.name != was.name:
            changes.renamed.append(Change(device, was.name, now.name))
        elif now.model != was.model:
            changes.altered.append(Change(device, was.model, now.model))
        else:
            changes.same.append(device)
    for device in quiet:
        there = [thing for thing in fresh.values() if _is(device, thing)]
        rivals = [other for other in quiet if there and _is(other, there[0])]
        # A name that several have, such as the maker's own, tells nothing.
        if len(there) == len(rivals) == 1:
            del fresh[there[0].id]
            changes.moved.append(Change(device, device.address, there[0].found.address))
        else:
            changes.gone.append(device)
    changes.new = list(fresh.values())
    return changes


def _is(device: Known, thing: Thing) -> bool:
    """Found at another address, does it bear the name of one that left its own?"""
    name = thing.says.name
    return bool(name) and (name == device.said.name if device.said else slug(name) == device.id)


# ---------------------------------------------------------------- the file


def document(made: Sequence[Thing], head: str, site: str, opd: str, *, with_site: bool) -> str:
    """An inventory file of these devices. `site` is `TO_FILL` where nobody said; then the file
    brings that site itself (`with_site`), so that it can be read at once."""
    lines = [f"# {line}" for line in head.splitlines()]
    if with_site:
        lines += ["sites:", f"  - {{id: {TO_FILL}, name: Belum diisi}}"]
    return "\n".join([*lines, "devices:", *entries(made, site, opd)]) + "\n"


def entries(made: Sequence[Thing], site: str, opd: str) -> list[str]:
    """Lines of the list under `devices:`."""
    lines: list[str] = []
    for thing in made:
        device = {
            "id": thing.id,
            "name": thing.found.name or thing.id,
            "kind": thing.found.kind,
            "site": site,
            **({"opd": opd} if opd else {}),
            **({"address": thing.found.address} if thing.found.address else {}),
            "note": thing.says.note,
            "collect": {name: dict(section) for name, section in thing.collect.items()},
        }
        text = yaml.safe_dump(device, sort_keys=False, allow_unicode=True, width=1000)
        for number, line in enumerate(text.rstrip("\n").split("\n")):
            if line == f"site: {TO_FILL}":
                place = " ".join(thing.found.place.split())
                line += "   # TO FILL" + (f"; it says it stands in: {place}" if place else "")
            elif line.startswith("address: ") and thing.others:
                line += f"   # also {', '.join(thing.others)}"
            lines.append(("  - " if number == 0 else "    ") + line)
    return lines
