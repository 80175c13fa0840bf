"""What collectors met that the inventory does not have: devices, and neighbours of its own devices.

    journal ─► engine ─► serve.db ─► Found.of(ledger, inventory) ─► board, API, `toba-hub proposals`
                                          └─► document: inventory YAML ready to keep

A device is answered by the inventory once that lists it, or by a person who dismisses it; proposed
again it only gets younger. Its words come from the network, so there are at most `MOST`. Neighbours
are judged by `edges.py`.
"""

from __future__ import annotations

import ipaddress
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from hub import discovery
from hub import edges as neighbours
from hub.api import Found as Answer
from hub.discovery import TO_FILL, slug
from hub.edges import Edge, Judged, Word
from hub.inventory import Inventory
from rules.act import Act

MOST = 20_000
"""Kept; beyond them the oldest go."""
LONGEST = 200
"""Characters of what somebody out there says."""
HEAD = "Found by the collectors of toba-hub; what is right belongs in the inventory."

SCHEMA = """
CREATE TABLE IF NOT EXISTS proposal (
  collector TEXT NOT NULL, device TEXT NOT NULL, first_ns INTEGER NOT NULL,
  last_ns INTEGER NOT NULL, facts BLOB NOT NULL, PRIMARY KEY (collector, device)
) STRICT;
CREATE INDEX IF NOT EXISTS proposal_last ON proposal (last_ns);
CREATE TABLE IF NOT EXISTS dismissed (
  key TEXT PRIMARY KEY, time_ns INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL
) STRICT;
"""
_KEEP = (
    "INSERT INTO proposal VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
    " SET last_ns = max(last_ns, excluded.last_ns), facts = excluded.facts"
)
_FORGET = (
    "DELETE FROM proposal WHERE rowid IN"
    " (SELECT rowid FROM proposal ORDER BY last_ns DESC, rowid DESC LIMIT -1 OFFSET ?)"
)
_LET_GO = (
    "DELETE FROM dismissed WHERE rowid IN"
    " (SELECT rowid FROM dismissed ORDER BY time_ns DESC, rowid DESC LIMIT -1 OFFSET ?)"
)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


class Proposed(NamedTuple):
    """A device as a record of the journal proposed it, and when it did first and last."""

    collector: str
    device: str
    facts: Mapping[str, Any]
    first_ns: int
    last_ns: int

    def said(self, fact: str) -> str:
        """A fact as one line; empty: nothing is said of it."""
        return plain(self.facts.get(fact, ""))

    @property
    def key(self) -> str:
        """Names the device, whichever collector met it."""
        return neighbours.key_of("device", self.device)

    @property
    def text(self) -> str:
        """All that is said, in one line."""
        return ", ".join(f"{name}: {said}" for name in self.facts if (said := self.said(name)))


class Dismissal(NamedTuple):
    """A person's word that what has this key is nothing for the inventory."""

    key: str
    time_ns: int
    who: str
    why: str


class Found(NamedTuple):
    """What the inventory does not have yet."""

    devices: list[Proposed]
    """The youngest first."""
    neighbours: list[Judged]
    """What a person should do first comes first."""
    dismissed: list[tuple[Proposed | Judged, Dismissal]]
    """In none of the others."""

    @classmethod
    def of(
        cls,
        proposed: Iterable[Proposed],
        edges: Iterable[Edge],
        inventory: Inventory,
        dismissals: Mapping[str, Dismissal],
    ) -> Found:
        """`dismissals` by key."""
        parents = {one.id: one.depends_on for one in inventory.devices.values()}
        devices = [one for one in proposed if one.device not in inventory.devices]
        wires = [one for one in neighbours.judged(edges, parents) if one.word is not Word.KNOWN]
        every: list[Proposed | Judged] = [*devices, *wires]
        return cls(
            [one for one in devices if one.key not in dismissals],
            [one for one in wires if one.key not in dismissals],
            [(one, dismissals[one.key]) for one in every if one.key in dismissals],
        )

    @property
    def listed(self) -> list[Proposed | Judged]:
        """Devices first."""
        return [*self.devices, *self.neighbours]

    def refusal(self, act: Act) -> str:
        """Why there is nothing to dismiss, or to take back; empty: there is."""
        if act.kind == "dismiss" and all(one.key != act.key for one in self.listed):
            return f"nothing that was found has the key {act.key!r}"
        if act.kind == "undismiss" and all(one.key != act.key for _, one in self.dismissed):
            return f"nothing that was dismissed has the key {act.key!r}"
        return ""


def plain(said: Any) -> str:
    """Text of the network on one line."""
    text = "".join(char if char.isprintable() else " " for char in str(said))
    return " ".join(text.split())[:LONGEST]


def keep(db: sqlite3.Connection, proposed: Iterable[Proposed]) -> None:
    """In the caller's transaction; keeping the same ones again changes nothing."""
    rows = [
        (one.collector, one.device, one.first_ns, one.last_ns, _pack(one.facts)) for one in proposed
    ]
    if rows:
        db.executemany(_KEEP, rows)
        db.execute(_FORGET, (MOST,))


def judge(db: sqlite3.Connection, act: Act, time_ns: int) -> None:
    """In the caller's transaction: what a person did, once for each act and in their order."""
    if act.kind == "dismiss":
        said = act.key, time_ns, act.who, act.why
        db.execute("INSERT OR REPLACE INTO dismissed VALUES (?, ?, ?, ?)", said)
        db.execute(_LET_GO, (MOST,))
    elif act.kind == "undismiss":
        db.execute("DELETE FROM dismissed WHERE key = ?", (act.key,))


def dismissals(db: sqlite3.Connection) -> dict[str, Dismissal]:
    """By key."""
    rows = db.execute("SELECT key, time_ns, who, why FROM dismissed")
    return {row[0]: Dismissal(*row) for row in rows}


def kept(db: sqlite3.Connection) -> list[Proposed]:
    """The youngest first."""
    rows = db.execute(
        "SELECT collector, device, facts, first_ns, last_ns FROM proposal"
        " ORDER BY last_ns DESC, device, collector"
    )
    return [
        Proposed(collector, device, _unpack(facts), first_ns, last_ns)
        for collector, device, facts, first_ns, last_ns in rows
    ]


def document(found: Found, inventory: Inventory, site: str = "", opd: str = "") -> str:
    """A file to stand beside that inventory: the devices that are proposed, and remarks on edges.

    It reads without mistakes as it is. A device is at `site` and of `opd`, else where it says, if
    the inventory has that; else at its only site, or at one that is to be filled in.
    """
    only = next(iter(inventory.sites)) if len(inventory.sites) == 1 else TO_FILL
    lines: list[str] = []
    for thing, said in _things(found.devices):
        at = site or (said.said("site") if said.said("site") in inventory.sites else only)
        of = opd or (said.said("opd") if said.said("opd") in inventory.opds else "")
        lines += discovery.entries([thing], at, of)
    text = f"# {HEAD}\n"
    if any(f"site: {TO_FILL}" in line for line in lines) and TO_FILL not in inventory.sites:
        text += f"sites:\n  - {{id: {TO_FILL}, name: Belum diisi}}\n"
    text += "\n".join(["devices:", *lines, ""]) if lines else ""
    if found.neighbours:
        text += "\n# Neighbours; depends_on goes into the entry that is there already.\n"
        text += "".join(f"#   {_remark(one)}\n" for one in found.neighbours)
    return text


def _things(devices: Iterable[Proposed]) -> list[tuple[discovery.Thing, Proposed]]:
    """Entries with ids that the inventory can have, each once, and what they are made of."""
    things: dict[str, tuple[discovery.Thing, Proposed]] = {}
    for one in devices:
        id = slug(one.device)
        if id in things:  # two collectors heard of it
            thing, first = things[id]
            collect = {**thing.collect, one.collector: {}}
            things[id] = discovery.Thing(id, thing.found, collect), first
        elif id:
            model = " ".join(filter(None, map(one.said, ("manufacturer", "model", "firmware"))))
            name = one.said("name") or one.device
            answer = Answer("", name, "sensor", model or one.text, one.said("place"))
            things[id] = discovery.Thing(id, answer, {one.collector: {}}), one
    return list(things.values())


def _remark(one: Judged) -> str:
    edge = one.edge
    wire = f"({plain(edge.by)}, port {plain(edge.port)})"
    match one.word:
        case Word.NEW:
            return f"{edge.device}: depends_on: [{edge.neighbour}]   {wire}"
        case Word.STRANGER:
            name = plain(edge.name)
            look = f"; toba-hub discover {name}" if _is_address(name) else ""
            return f"{edge.device}: has a neighbour that is not there: {name}   {wire}{look}"
        case Word.CIRCLE:
            way = " → ".join(one.circle)
            return f"{edge.device}: an uplink to {edge.neighbour} would be a circle: {way}   {wire}"
        case _:
            return f"{edge.device} and {edge.neighbour} are neighbours   {wire}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
