"""`toba-hub`: every verb of the command line. Each is a few lines over the module that does it."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hub import __version__, configuration, logs, supervisor
from hub import app as hub_app
from hub.cli_common import DEFAULT, Settings, fail, out, plainly
from hub.cli_groups import grafana, notify, rules, token
from hub.cli_journal import journal
from hub.cli_store import backup, influx, restore
from hub.clock import NS, now_ns
from hub.link import Link

cli = typer.Typer(
    help="Sensor and network-monitoring hub of a regency: collect, keep, judge, show.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
cli.add_typer(grafana, name="grafana")
cli.add_typer(journal, name="journal")
cli.add_typer(notify, name="notify")
cli.add_typer(rules, name="rules")
cli.add_typer(token, name="token")
cli.add_typer(influx, name="influx")
cli.command()(backup)
cli.command()(restore)


@cli.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Say the version and end.")] = False,
) -> None:
    if show:
        out.print(f"toba-hub {__version__}")
        raise typer.Exit


@cli.command()
@plainly
def demo(
    store: Annotated[
        str, typer.Option(help="duckdb (inside the hub) or influxdb (on 8086).")
    ] = "duckdb",
    port: Annotated[int, typer.Option(help="Of the board.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    seconds: Annotated[float | None, typer.Option(help="End by itself after this long.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end.")] = False,
    data: Annotated[Path | None, typer.Option(help="Keep everything in this folder.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Simulate a whole regency and run the hub on it; open the board in a browser.

    No device, broker or database is needed: routers, sensors and cameras are simulated over their
    real protocols on this machine. After some seconds a scripted fault raises an alert and clears
    it again. Ctrl-C ends everything.
    """
    from hub import demo as play

    if store not in ("duckdb", "influxdb"):
        fail(f"no store {store!r}: use duckdb or influxdb", 2)
    logs.set_up("debug" if verbose else "info")
    try:
        summary = asyncio.run(
            play.run(
                store=store,
                host=host,
                port=port,
                seconds=seconds,
                folder=data,
                level="debug" if verbose else "info",
            )
        )
    except play.NoField as error:
        fail(str(error))
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")


@cli.command()
@plainly
def run(settings: Settings = DEFAULT) -> None:
    """Run the hub: collectors, journal, rules, store, board."""
    raise typer.Exit(hub_app.run(settings))


@cli.command()
@plainly
def check(settings: Settings = DEFAULT) -> None:
    """Find every mistake in settings, inventory and rules at once, without touching the network."""
    conf = configuration.load(settings)
    devices = len(conf.inventory.devices)
    out.print(
        f"[green]good[/]: {devices} devices, {len(conf.rules)} rules, "
        f"{len(conf.plugins)} collectors ({', '.join(conf.plugins)})"
    )


@cli.command()
@plainly
def doctor(settings: Settings = DEFAULT) -> None:
    """Look at what the hub needs around it: disk, store, brokers, rights; say what to mend."""
    from hub import doctor as look

    conf = configuration.load(settings)
    logs.set_up("error")
    findings = asyncio.run(look.examine(conf))
    table = Table("", "what", "found", "remedy", box=None)
    marks = {"good": "[green]good[/]", "warn": "[yellow]look[/]", "bad": "[red]BAD[/]"}
    for finding in findings:
        table.add_row(marks[finding.level], finding.what, finding.found, finding.remedy)
    out.print(table)
    if any(finding.level == "bad" for finding in findings):
        raise typer.Exit(1)


@cli.command()
@plainly
def ack(
    key: Annotated[str, typer.Argument(help="The alert's key, as `toba-hub alerts` lists it.")],
    why: Annotated[str, typer.Option("--why", "-m", help="A comment for the others.")] = "",
    who: Annotated[str, typer.Option(help="Your name.")] = "",
    settings: Settings = DEFAULT,
) -> None:
    """Acknowledge an alert: somebody works on it."""
    conf = configuration.load(settings)
    if key not in _open_alerts(conf):
        fail(f"no open alert has the key {key!r}; `toba-hub alerts` lists them")
    _act(conf, kind="acknowledge", key=key, who=who or getpass.getuser(), why=why)


@cli.command()
@plainly
def silence(
    match: Annotated[list[str], typer.Argument(help="device=…, rule=…, site=…, opd=… (globs).")],
    hours: Annotated[float, typer.Option(help="How long.")] = 1.0,
    why: Annotated[str, typer.Option("--why", "-m", help="A comment for the others.")] = "",
    who: Annotated[str, typer.Option(help="Your name.")] = "",
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="Planned work: shown and reported as such.")
    ] = False,
    settings: Settings = DEFAULT,
) -> None:
    """Let matching alerts page nobody for a while; they are still shown."""
    pairs = [part.partition("=") for part in match]
    if any(not middle or not value for _, middle, value in pairs):
        fail("a matcher is key=value, for example device=r-dlh", 2)
    until_ns = now_ns() + int(hours * 3600) * NS
    _act(
        configuration.load(settings),
        kind="maintenance" if maintenance else "silence",
        who=who or getpass.getuser(),
        why=why,
        matcher={name: value for name, _, value in pairs},
        until_ns=until_ns,
    )


@cli.command()
@plainly
def alerts(settings: Settings = DEFAULT) -> None:
    """List the open alerts with their keys."""
    conf = configuration.load(settings)
    table = Table("key", "state", "severity", "since", "what", box=None)
    for key, last in _open_alerts(conf).items():
        age_s = (now_ns() - last["since_ns"]) // NS
        title = last["title"].get(conf.settings.language, "")
        table.add_row(key, last["after"], str(last["severity"]), f"{age_s} s", title)
    out.print(table)


def _open_alerts(conf: configuration.Configuration) -> dict[str, dict[str, Any]]:
    """The last transition of each alert that is not over, by key."""
    from hub.ledger import Ledger

    path = conf.settings.data / "serve.db"
    if not path.exists():
        fail(f"no hub has run on {conf.settings.data} yet")
    ledger = Ledger(path)
    try:
        return ledger.open_alerts()
    finally:
        ledger.close()


def _act(conf: configuration.Configuration, **act: Any) -> None:
    """Write an act into the journal of the running hub."""

    async def hand_over() -> int:
        link = Link(conf.settings.data / "ingest.sock")
        try:
            return await link.act(act)
        finally:
            await link.close()

    if supervisor.running(conf.settings.data) is None:
        fail(f"no hub is running on {conf.settings.data}; start it with `toba-hub run`")
    record = asyncio.run(hand_over())
    out.print(f"[green]done[/], record {record} of the journal")


@cli.command()
def secrets(folder: Annotated[Path, typer.Argument(help="Where .env goes.")] = Path()) -> None:
    """Make random passwords for docker compose; what is there already is kept."""
    from hub.deploy import secrets as making

    for line in making.write(folder):
        out.print(line)


@cli.command("new-collector")
def new_collector(
    name: Annotated[str, typer.Argument(help="A noun, for example weather.")],
    folder: Annotated[Path, typer.Option(help="Where the plugin's folder goes.")] = Path(
        "collectors"
    ),
) -> None:
    """Start a collector plugin: a folder with everything that one needs, tests passing."""
    from hub import scaffold

    try:
        for path in scaffold.write(name, folder):
            out.print(f"wrote {path}")
    except scaffold.Refused as error:
        fail(str(error))
    out.print("Next: read hub/api.py, then collector.py; `pip install -e .` makes it known.")


def main() -> None:
    """Entry point of the command."""
    cli()
