"""`toba-hub topology`: what depends on what, and what the network itself says of that."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from hub import configuration, edges
from hub.cli.common import DEFAULT, Settings, fail, ledger_of, out, plainly
from hub.clock import to_datetime
from hub.edges import Judged, Word
from hub.inventory import Device, Inventory
from hub.problems import nearest
from rules.text import counted
from rules.topology import Topology

DO = {
    Word.NEW: "{device} should depend on {other}: add it to its `depends_on`",
    Word.CIRCLE: "{device} names an uplink to {other}, but that would be a circle: {circle}; "
    "look at the uplinks of both",
    Word.BESIDE: "{device} and {other} are neighbours: if the port is an uplink, name it under "
    "`uplinks`, or write who depends on whom",
    Word.STRANGER: "{device} has a neighbour that the inventory doesn't know: {name}",
    Word.KNOWN: "{device} and {other}: as the inventory says",
}


@plainly
def topology(
    settings: Settings = DEFAULT,
    under: Annotated[
        str, typer.Argument(metavar="[DEVICE]", help="Only this one and what depends on it.")
    ] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Neighbours that the inventory knows already, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what depends on what, and which dependencies LLDP and CDP propose.

    One dead parent is one message, so the tree decides who is told of what. Routers and switches
    that are polled by SNMP tell the hub their neighbours; what the inventory lacks stands below the
    tree with what to do. Nothing is taken over by itself.

    ```
    toba-hub topology
    toba-hub topology r-core                            # it, and what depends on it
    ```
    """
    conf = configuration.load(settings)
    parents = {one.id: one.depends_on for one in conf.inventory.devices.values()}
    if under and under not in parents:
        remedy = nearest(under, parents)
        fail(f"no device {under!r} in the inventory{f' ({remedy})' if remedy else ''}", 2)
    told: list[edges.Edge] = []
    if conf.settings.ledger_file.exists():
        with ledger_of(conf) as ledger:
            told = ledger.edges()
    found = [
        one
        for one in edges.judged(told, parents)
        if (everything or one.word is not Word.KNOWN) and under in ("", one.edge.device)
    ]
    if as_json:
        proposed = [
            one.edge._asdict() | {"word": one.word, "circle": [*one.circle]} for one in found
        ]
        sys.stdout.write(json.dumps({"depends_on": parents, "proposed": proposed}) + "\n")
        return
    for line in drawn(conf.inventory, Topology(parents), under):
        out.print(line, highlight=False, markup=False)
    for one in found:
        seen = f"{to_datetime(one.edge.seen_ns, conf.settings.zone):%d %b %H:%M}"
        where = f"port {one.edge.port}, {one.edge.by.upper()}, {seen}"
        out.print(f"{advice(one)} ({where})", highlight=False, markup=False)
    if not told:
        out.print("no neighbours are known: no device has told of any yet", highlight=False)


def advice(one: Judged) -> str:
    """What a person should do about an edge."""
    edge = one.edge
    return DO[one.word].format(
        device=edge.device, other=edge.neighbour, name=edge.name, circle=" → ".join(one.circle)
    )


def drawn(inventory: Inventory, topology: Topology, under: str = "") -> Iterator[str]:
    """A tree for each device that needs nobody, or for one; each device stands in it once."""
    devices = inventory.devices
    roots = [one.id for one in devices.values() if not one.depends_on]
    # Those that nothing depends on come last: they are no trees.
    roots.sort(key=lambda id_: not topology.children(id_))
    seen: set[str] = set()
    stack = [("", "", id_) for id_ in reversed([under] if under else roots)]
    while stack:
        bough, indent, id_ = stack.pop()
        if id_ in seen:
            continue
        seen.add(id_)
        yield bough + _line(devices[id_], topology, devices)
        children = [one for one in topology.children(id_) if one not in seen]
        for number, child in enumerate(reversed(children)):
            last, deeper = ("└── ", "    ") if number == 0 else ("├── ", "│   ")
            below = indent + deeper
            stack.append((indent + last, below, child))


def _line(one: Device, topology: Topology, devices: Mapping[str, Device]) -> str:
    kinds: dict[str, int] = {}
    for id_ in topology.descendants(one.id):
        kinds[devices[id_].kind] = kinds.get(devices[id_].kind, 0) + 1
    behind = f" ({counted(sorted(kinds.items()), 'en')})" if kinds else ""
    return f"{one.id} {one.name}{behind}"
