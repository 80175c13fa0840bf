"""Neighbours that devices tell of become advice to the person who keeps the inventory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from hub.api import Proposal
from hub.cli.main import cli
from hub.edges import BELIEVED, Edge, Word, edge_of, judged
from hub.journal import Class, Kind
from hub.outcome import Outcome
from hub.records import pack_proposal
from tests.rules_support import SILENT, START, rules
from tests.test_engine import World, fold

PARENTS: dict[str, list[str]] = {
    "core": [], "r1": ["core"], "r2": [], "sw": ["r1"], "cam": ["sw"]
}  # fmt: skip


def edge(device: str, neighbour: str, *, uplink: bool = True, seen_ns: int = START) -> Edge:
    return Edge(device, "ether1", neighbour.upper(), "lldp", neighbour, uplink, seen_ns)


@pytest.mark.parametrize(
    ("device", "neighbour", "uplink", "word"),
    [
        ("r1", "core", True, Word.KNOWN),
        ("core", "r1", False, Word.KNOWN),
        ("cam", "core", True, Word.KNOWN),  # by way of others
        ("r2", "core", True, Word.NEW),
        ("r2", "r1", False, Word.BESIDE),
        ("core", "sw", True, Word.CIRCLE),
        ("r1", "", True, Word.STRANGER),
        ("r1", "gone", True, Word.STRANGER),
    ],
)
def test_what_the_inventory_says_to_an_edge(
    device: str, neighbour: str, uplink: bool, word: Word
) -> None:
    (found,) = judged([edge(device, neighbour, uplink=uplink)], PARENTS)
    assert found.word is word


def test_a_circle_is_named_in_full() -> None:
    (found,) = judged([edge("core", "sw")], PARENTS)
    assert sorted(found.circle[1:]) == ["core", "r1", "sw"]
    assert found.circle[0] == found.circle[-1]


def test_what_is_to_be_done_comes_first_and_what_is_long_gone_not_at_all() -> None:
    old = edge("r2", "r1", seen_ns=START - BELIEVED)
    edges = [edge("r1", "core"), old, edge("r2", "core"), edge("stranger", "core")]
    assert [(one.edge.device, one.word) for one in judged(edges, PARENTS)] == [
        ("r2", Word.NEW), ("r1", Word.KNOWN)
    ]  # fmt: skip


def test_only_an_edge_with_a_name_is_one() -> None:
    facts = {"by": "lldp", "port": "ether1", "name": "CORE", "neighbour": "core"}
    assert edge_of(Proposal("edge", "r1", facts), 7) == Edge(
        "r1", "ether1", "CORE", "lldp", "core", False, 7
    )
    assert edge_of(Proposal("edge", "r1", {"port": "ether1"}), 7) is None
    assert edge_of(Proposal("device", "r1", facts), 7) is None


async def test_a_told_edge_gets_from_the_journal_to_the_person(tmp_path: Path) -> None:
    """Through the engine into the ledger; once, however often it was told; then as advice."""
    data = tmp_path / "data"
    world = World(data)
    for by in range(3):
        facts = {"by": "lldp", "port": "ether1", "name": "Inti", "neighbour": "core",
                 "depends_on": "core"}  # fmt: skip
        payload = pack_proposal("snmp", Proposal("edge", "r2", facts))
        world.journal.append([(START + by, Kind.PROPOSAL, Class.POLLED, payload)])
    engine = world.engine(rules(SILENT))
    await fold(engine, world.records())
    engine._commit(Outcome(), keep=True)
    assert [one.seen_ns for one in world.ledger.edges()] == [START + 2]
    world.ledger.close()
    world.journal.close()

    device = {"kind": "router", "site": "s", "address": "10.0.0.1"}
    inventory = {
        "sites": [{"id": "s", "name": "Balige"}],
        "devices": [
            {**device, "id": id_, "name": id_.upper(), "depends_on": needs}
            for id_, needs in PARENTS.items()
        ],
    }
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    settings = tmp_path / "toba-hub.yaml"
    settings.write_text(yaml.safe_dump({"data": str(data), "rules": {"library": False}}))
    said = await asyncio.to_thread(CliRunner().invoke, cli, ["topology", "-s", str(settings)])
    assert said.exit_code == 0, said.output
    assert "core CORE (3 routers)" in said.output
    assert "r2 should depend on core: add it to its `depends_on` (port ether1, LLDP" in said.output
