"""What the collectors found that the inventory does not have: list it, dismiss what is nothing."""

from __future__ import annotations

import sys
from datetime import tzinfo
from pathlib import Path
from typing import Annotated

import typer

from hub import configuration, proposals
from hub.cli.alerts import Who, Why, act_on, user
from hub.cli.common import DEFAULT, Settings, fail, ledger_of, out, plainly, table
from hub.clock import to_datetime
from hub.configuration import Configuration
from hub.edges import Edge
from hub.proposals import Found, plain
from rules.act import Act


@plainly
def proposals_(
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="As an inventory file, ready to keep.")
    ] = False,
    dismissed: Annotated[
        bool, typer.Option("--dismissed", help="What was dismissed, by whom and why.")
    ] = False,
    site: Annotated[str, typer.Option(help="Of the inventory, for all new devices.")] = "",
    opd: Annotated[str, typer.Option(help="The office, likewise.")] = "",
    settings: Settings = DEFAULT,
) -> None:
    """List devices and neighbours that collectors met and the inventory does not have yet.

    Sensors that publish without being listed, what a discovery announces, and neighbours that
    routers and switches name by LLDP and CDP. `--yaml > found.yaml` makes an inventory file of
    the devices; neighbours stand there as remarks (`toba-hub topology` draws them). Take over
    what is right, then `toba-hub reload`: what the inventory has is no longer listed. What will
    never belong there: `toba-hub dismiss KEY --why "the neighbour's printer"`.
    """
    conf = configuration.load(settings)
    for name, known in ((site, conf.inventory.sites), (opd, conf.inventory.opds)):
        if name and name not in known:
            fail(f"the inventory has no {name!r}; it has {', '.join(sorted(known)) or 'none'}", 2)
    found = _found(conf)
    if as_yaml:
        sys.stdout.write(proposals.document(found, conf.inventory, site, opd))
        return
    if dismissed:
        _list_dismissed(found, conf)
        return
    if not found.listed:
        sys.stdout.write("nothing that the inventory does not have\n")
        return
    zone = conf.settings.zone
    rows = [(one.key, _when(one.last_ns, zone), one.collector, one.text) for one in found.devices]
    rows += [
        (one.key, _when(one.edge.seen_ns, zone), one.edge.by, _wire(one.edge))
        for one in found.neighbours
    ]
    table(("key", "last", "by", "says"), rows)


@plainly
def dismiss(
    key: Annotated[str, typer.Argument(help="As `toba-hub proposals` lists it.")],
    why: Why = "",
    who: Who = "",
    settings: Settings = DEFAULT,
) -> None:
    """Say that something found is nothing for the inventory: it is listed no more."""
    _judge("dismiss", key, who, why, settings)


@plainly
def undismiss(
    key: Annotated[str, typer.Argument(help="As `toba-hub proposals --dismissed` lists it.")],
    why: Why = "",
    who: Who = "",
    settings: Settings = DEFAULT,
) -> None:
    """Have something that was dismissed listed again."""
    _judge("undismiss", key, who, why, settings)


def _judge(kind: str, key: str, who: str, why: str, settings: Path) -> None:
    conf = configuration.load(settings)
    act = Act(kind, who or user(), why, key)
    wrong = act.problem() or _found(conf).refusal(act)
    if wrong:
        fail(f"{wrong}; `toba-hub proposals` lists what there is")
    record = act_on(conf, kind=kind, key=key, who=act.who, why=why)
    out.print(f"[green]done[/], record {record} of the journal")


def _list_dismissed(found: Found, conf: Configuration) -> None:
    rows = [
        (said.key, _when(said.time_ns, conf.settings.zone), said.who, said.why)
        for said in {one.key: one for _, one in found.dismissed}.values()
    ]
    table(("key", "when", "who", "why"), rows)


def _when(time_ns: int, zone: tzinfo) -> str:
    return f"{to_datetime(time_ns, zone):%Y-%m-%d %H:%M}"


def _wire(edge: Edge) -> str:
    return f"port {plain(edge.port)}: {plain(edge.neighbour or edge.name)}"


def _found(conf: Configuration) -> Found:
    with ledger_of(conf) as ledger:
        return ledger.found(conf.inventory)
