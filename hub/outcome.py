"""What folding a stretch of the journal comes to: all of it is kept in one transaction of the
ledger, or the stretch is folded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hub.edges import Edge
from hub.presence import Presence
from hub.proposals import Proposed
from hub.reading import Reading
from rules.act import Act
from rules.watch import Transition


class Acted(NamedTuple):
    """What a person did, under the id of its record."""

    id: int
    time_ns: int
    act: Act


@dataclass(slots=True)
class Outcome:
    """News, in the order of the journal; empty: nothing that anybody must hear of."""

    transitions: list[Transition] = field(default_factory=list)
    points: list[Reading] = field(default_factory=list)
    """For the store: how alerts stand, and what was made of readings."""
    acts: list[Acted] = field(default_factory=list)
    proposed: list[Proposed] = field(default_factory=list)
    """Devices that somebody told of."""

    def __bool__(self) -> bool:
        return bool(self.transitions or self.points or self.acts or self.proposed)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state after a record: a restart folds on from there."""

    last_id: int
    state: Any
    """Of the rules, as plain data or packed (`msgspec.Raw`)."""
    rule_set: bytes = b""
    """The record of the rule set it belongs to; empty: the same as in the snapshot before."""
    presence: Presence | None = None
    """Tell it (`Presence.told`) when this is kept."""
    edges: Sequence[Edge] = ()
    """Neighbours that were told of since the snapshot before."""
