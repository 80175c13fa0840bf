"""What the network itself says of what depends on what, held against the inventory. Pure.

    LLDP, CDP ─► Proposal "edge" ─► journal ─► engine ─► ledger ─► judged() ─► `toba-hub topology`

Nothing is taken over by itself: an edge decides who is told of what, so a person writes it down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import quote

from hub.api import Proposal
from rules.duration import DAY
from rules.topology import Topology, find_cycle

BELIEVED = 7 * DAY
"""What a device has not told again for so long after its last word is no neighbour any more."""


class Edge(NamedTuple):
    """One neighbour behind one port of a device of the inventory."""

    device: str
    port: str
    name: str
    """What the neighbour calls itself, or its address."""
    by: str
    """lldp or cdp."""
    neighbour: str
    """Its id in the inventory; empty: nobody knows it there."""
    uplink: bool
    """The port is one of the device's uplinks: it needs what stands behind it."""
    seen_ns: int


class Word(StrEnum):
    """What the inventory says to an edge."""

    KNOWN = "known"
    """One depends on the other already, directly or by way of others."""
    NEW = "new"
    """The device should depend on its neighbour, and doesn't."""
    CIRCLE = "circle"
    """It should, but then things would depend on themselves."""
    BESIDE = "beside"
    """They stand side by side: which of them needs the other can't be told."""
    STRANGER = "stranger"
    """The neighbour is not in the inventory."""


class Judged(NamedTuple):
    edge: Edge
    word: Word
    circle: Sequence[str] = ()
    """The way round, its first name repeated."""

    @property
    def key(self) -> str:
        """Names this statement: with another word it is another one."""
        return key_of(self.word, *self.edge[:3])


def key_of(*parts: str) -> str:
    """One text of several that come from the network, without spaces, quotes and colons of theirs:
    `stranger:r-dlh:ether4:10.0.0.9`."""
    return ":".join(quote(part, safe="/") for part in parts)


def edge_of(proposal: Proposal, time_ns: int) -> Edge | None:
    """The edge of a proposal that came at that time; None: it proposes something else."""
    facts = {key: str(value) for key, value in proposal.facts.items()}
    name = facts.get("name") or facts.get("address", "")
    if proposal.kind != "edge" or not name:
        return None
    return Edge(
        proposal.device,
        facts.get("port", ""),
        name,
        facts.get("by", ""),
        facts.get("neighbour", ""),
        "depends_on" in facts,
        time_ns,
    )


def judged(edges: Iterable[Edge], parents: Mapping[str, Sequence[str]]) -> list[Judged]:
    """What there is to say to each, what a person should do first. `parents`: the inventory's
    `depends_on` of every device."""
    topology, told = Topology(parents), [edge for edge in edges if edge.device in parents]
    newest: dict[str, int] = {}
    for edge in told:
        newest[edge.device] = max(edge.seen_ns, newest.get(edge.device, 0))
    found = [
        _judged(edge, topology, parents)
        for edge in told
        if edge.seen_ns > newest[edge.device] - BELIEVED
    ]
    order = list(Word)
    order.sort(key=lambda word: word is Word.KNOWN)
    return sorted(found, key=lambda one: (order.index(one.word), *one.edge))


def _judged(edge: Edge, topology: Topology, parents: Mapping[str, Sequence[str]]) -> Judged:
    device, other = edge.device, edge.neighbour
    if other not in parents:
        return Judged(edge, Word.STRANGER)
    if other in topology.ancestors(device):
        return Judged(edge, Word.KNOWN)
    if device in topology.ancestors(other):
        if not edge.uplink:
            return Judged(edge, Word.KNOWN)
        circle = find_cycle({**parents, device: [*parents[device], other]})
        return Judged(edge, Word.CIRCLE, circle or ())
    return Judged(edge, Word.NEW if edge.uplink else Word.BESIDE)
