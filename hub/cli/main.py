"""`toba-hub`: every verb of the command line. Each is a few lines over the module that does it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from hub import __version__, configuration, logs, oversights
from hub import app as hub_app
from hub.cli.alerts import ack, acts_done, alerts, oncall, silence, silences, unsilence
from hub.cli.backtest import rules_backtest
from hub.cli.common import DEFAULT, Settings, fail, out, plainly
from hub.cli.discover import discover
from hub.cli.groups import grafana, notify, rules, token
from hub.cli.importing import import_
from hub.cli.journal import journal
from hub.cli.maintenance import maintenance
from hub.cli.plugins import DEVICES, Verbs
from hub.cli.proposals import dismiss, proposals_, undismiss
from hub.cli.reload import reload
from hub.cli.report import report
from hub.cli.store import backup, influx, restore
from hub.cli.topology import topology
from hub.problems import folded
from hub.web.address import PortTaken

cli = typer.Typer(
    cls=Verbs,
    help="Sensor and network-monitoring hub of a regency: collect, keep, judge, show.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
rules.command("backtest")(rules_backtest)

RUNNING = "The hub"
ALERTS = "Alerts and people"
DATA = "Data"


@cli.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Say the version and end.")] = False,
) -> None:
    if show:
        out.print(f"toba-hub {__version__}")
        raise typer.Exit


@cli.command(rich_help_panel=RUNNING)
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
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
    regency: Annotated[
        str, typer.Option(help="Of the hub (toba, teluk-biru), or a folder of your own.")
    ] = "toba",
    story: Annotated[
        str, typer.Option(help="Instead of faults: `day`, a day in the field with its sensors.")
    ] = "",
    speed: Annotated[
        float, typer.Option(help="How many times faster a story goes by.", min=1, max=120)
    ] = 60,
) -> None:
    """Simulate a whole regency and run the hub on it; open the board in a browser.

    No device, broker or database is needed: routers, sensors and cameras are simulated over their
    real protocols on this machine. After some seconds a scripted fault raises an alert and clears
    it again. Ctrl-C ends everything.

    `--regency teluk-biru` is an invented one: another time zone, other offices and limits, a rule
    of its own, and all of it a folder of data (`hub/regency/teluk-biru`) that you may copy.

    `--story day --speed 60` tells a day in 24 minutes, with the rules as they are: smoke over
    Balige leads the ISPU through four classes, a probe sticks, a buoy falls silent, and oxygen at
    the fish cages falls to what killed them in 2025. What each team was told is listed at the end.

    ```
    toba-hub demo
    toba-hub demo --store influxdb --port 8081
    toba-hub demo --seconds 40 --json
    ```
    """
    from hub.demo import play
    from hub.demo.field import NoField
    from hub.demo.settings import NoRegency
    from hub.demo.story import STORIES

    if store not in ("duckdb", "influxdb"):
        fail(f"no store {store!r}: use duckdb or influxdb", 2)
    if story and regency != "toba":
        fail("--story is told of toba's sensors: leave --regency out", 2)
    if story and story not in STORIES:
        fail(f"no story {story!r}: there is {', '.join(STORIES)}", 2)
    level = "debug" if verbose else "info"
    logs.set_up(level)
    options = play.Options(
        store=store,
        host=host,
        port=port,
        seconds=seconds,
        folder=data,
        level=level,
        regency=regency,
        story=story,
        speed=speed,
    )
    try:
        summary = asyncio.run(play.run(options))
    except (NoField, NoRegency, play.NoStore) as error:
        fail(str(error))
    except PortTaken as error:
        fail(str(error).replace("web.port", "--port").replace("web.host", "--host"))
    if as_json:
        sys.stdout.write(json.dumps(summary) + "\n")
        return
    for one in summary.get("told", ()):
        out.print("{at}  {channel:<14} {state:<9} {title}".format(**one), markup=False)


@cli.command(rich_help_panel=RUNNING)
@plainly
def run(settings: Settings = DEFAULT) -> None:
    """Run the hub: collectors, journal, rules, store, board.

    ```
    toba-hub run -s /etc/toba/toba-hub.yaml
    ```
    """
    raise typer.Exit(hub_app.run(settings))


@cli.command(rich_help_panel=RUNNING)
@plainly
def check(settings: Settings = DEFAULT) -> None:
    """Find every mistake in settings, inventory and rules at once, without touching the network.

    What is no mistake but looks like one (`look`) is named, too: two devices of which the same is
    asked, rules about what no device is.

    ```
    toba-hub check && toba-hub reload
    ```
    """
    conf = configuration.load(settings)
    for line in folded(oversights.find(conf)):
        out.print(f"[yellow]look[/] {escape(line)}")
    devices = len(conf.inventory.devices)
    out.print(
        f"[green]good[/]: {devices} devices, {len(conf.rules)} rules, "
        f"{len(conf.plugins)} collectors ({', '.join(conf.plugins)})"
    )


@cli.command(rich_help_panel=RUNNING)
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


@cli.command(rich_help_panel=RUNNING)
@plainly
def secrets(folder: Annotated[Path, typer.Argument(help="Where .env goes.")] = Path()) -> None:
    """Make random passwords for docker compose; what is there already is kept.

    ```
    toba-hub secrets && docker compose up -d
    ```
    """
    from hub.deploy import secrets as making

    for line in making.write(folder):
        out.print(line)


@cli.command("new-collector", rich_help_panel=DEVICES)
def new_collector(
    name: Annotated[str, typer.Argument(help="A noun, for example weather.")],
    folder: Annotated[Path, typer.Option(help="Where the plugin's folder goes.")] = Path(
        "collectors"
    ),
) -> None:
    """Start a collector plugin: a folder with everything that one needs, tests passing.

    ```
    toba-hub new-collector weather
    ```
    """
    from hub import scaffold

    try:
        for path in scaffold.write(name, folder):
            out.print(f"wrote {path}")
    except scaffold.Refused as error:
        fail(str(error))
    out.print("Next: read hub/api.py, then collector.py; `pip install -e .` makes it known.")


for panel, verbs in (
    (RUNNING, {"reload": reload}),
    (ALERTS, {"alerts": alerts, "ack": ack, "silence": silence, "silences": silences}),
    (ALERTS, {"unsilence": unsilence, "acts": acts_done, "oncall": oncall, "report": report}),
    (DEVICES, {"discover": discover, "proposals": proposals_, "topology": topology}),
    (DEVICES, {"dismiss": dismiss, "undismiss": undismiss}),
    (DATA, {"import": import_, "backup": backup, "restore": restore}),
):
    for name, verb in verbs.items():
        cli.command(name, rich_help_panel=panel)(verb)
for panel, groups in (
    (ALERTS, {"rules": rules, "maintenance": maintenance, "notify": notify}),
    (DATA, {"journal": journal, "influx": influx, "grafana": grafana}),
    (RUNNING, {"token": token}),
):
    for name, group in groups.items():
        cli.add_typer(group, name=name, rich_help_panel=panel)
