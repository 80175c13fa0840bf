"""`toba-hub proposals`: what the collectors found that the inventory does not have."""

from __future__ import annotations

import sys
from datetime import tzinfo
from pathlib import Path
from typing import Annotated

import typer

from hub import configuration, proposals
from hub.cli.common import DEFAULT, Settings, fail, plainly, table
from hub.clock import to_datetime
from hub.configuration import Configuration
from hub.edges import Edge
from hub.ledger import Ledger
from hub.proposals import Found, plain


@plainly
def proposals_(
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="As an inventory file, ready to keep.")
    ] = False,
    site: Annotated[str, typer.Option(help="Of the inventory, for all new devices.")] = "",
    opd: Annotated[str, typer.Option(help="The office, likewise.")] = "",
    settings: Settings = DEFAULT,
) -> None:
    """List devices and neighbours that collectors met and the inventory does not have yet.

    Sensors that publish without being listed, what a discovery announces, and neighbours that
    routers and switches name by LLDP and CDP. `--yaml > found.yaml` makes an inventory file of
    the devices; neighbours stand there as remarks (`toba-hub topology` draws them). Take over
    what is right, then `toba-hub reload`: what the inventory has is no longer listed.
    """
    conf = configuration.load(settings)
    for name, known in ((site, conf.inventory.sites), (opd, conf.inventory.opds)):
        if name and name not in known:
            fail(f"the inventory has no {name!r}; it has {', '.join(sorted(known)) or 'none'}", 2)
    found = _found(conf)
    if as_yaml:
        sys.stdout.write(proposals.document(found, conf.inventory, site, opd))
        return
    if not any(found):
        sys.stdout.write("nothing that the inventory does not have\n")
        return
    zone = conf.settings.zone
    rows = [
        (_when(one.last_ns, zone), "device", one.device, one.collector, one.text)
        for one in found.devices
    ] + [
        (
            _when(one.edge.seen_ns, zone),
            str(one.word),
            one.edge.device,
            one.edge.by,
            _wire(one.edge),
        )
        for one in found.neighbours
    ]
    table(("last", "what", "device", "by", "says"), rows)


def _when(time_ns: int, zone: tzinfo) -> str:
    return f"{to_datetime(time_ns, zone):%Y-%m-%d %H:%M}"


def _wire(edge: Edge) -> str:
    return f"port {plain(edge.port)}: {plain(edge.neighbour or edge.name)}"


def _found(conf: Configuration) -> Found:
    path: Path = conf.settings.data / "serve.db"
    if not path.exists():
        fail(f"no hub has run on {conf.settings.data} yet")
    ledger = Ledger(path)
    try:
        return Found.of(ledger.proposals(), ledger.edges(), conf.inventory)
    finally:
        ledger.close()
