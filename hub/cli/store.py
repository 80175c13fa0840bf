"""The verbs about what is kept: backup, restore, influx setup."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from hub import backup as copying
from hub import configuration
from hub import influx_setup as setting_up
from hub.cli.common import DEFAULT, Settings, fail, group, out, plainly
from hub.clock import to_datetime
from hub.settings import MIB
from hub.snapshot import READINGS
from hub.store.base import StoreDown, StoreRefused

influx = group("InfluxDB: make what the hub needs there.")


@influx.command("setup")
@plainly
def influx_setup(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    username: Annotated[
        str, typer.Option(help="1.x: an administrator; default store.username.")
    ] = "",
    password: Annotated[
        str, typer.Option(envvar="INFLUX_ADMIN_PASSWORD", help="Its password.")
    ] = "",
    token: Annotated[
        str, typer.Option(envvar="INFLUX_ADMIN_TOKEN", help="2.x, 3: an administrator's token.")
    ] = "",
    settings: Settings = DEFAULT,
) -> None:
    """Make databases or buckets with their retention, and Grafana's user who may only read.

    Shows what is missing, asks, and does it. What is there already stays; run it as often as you
    like. Needs an administrator; the hub itself afterwards does not.

    ```
    INFLUX_ADMIN_PASSWORD=… toba-hub influx setup --username admin     # 1.x
    INFLUX_ADMIN_TOKEN=… toba-hub influx setup                         # 2.x and 3
    ```
    """
    conf = configuration.load(settings)
    store = conf.settings.store
    if store.kind != "influxdb":
        fail("store.kind is duckdb, which needs no setting up: the hub cleans it by itself")
    admin = setting_up.Login(username, password)
    if not username:
        admin = setting_up.Login(store.username, store.password.get_secret_value())
    known = token or store.token.get_secret_value()
    wanted = setting_up.Wanted.of(conf.settings)
    try:
        asyncio.run(_set_up(store.url, known, admin, wanted, ask=not yes))
    except (StoreDown, StoreRefused) as error:
        fail(str(error))


async def _set_up(
    url: str, token: str, admin: setting_up.Login, wanted: setting_up.Wanted, *, ask: bool
) -> None:
    server = setting_up.Server(url, token=token, admin=admin)
    try:
        plan = await setting_up.plan(server, wanted)
        out.print(f"{plan.server}:", highlight=False)
        for note in plan.notes:
            out.print(f"  [yellow]note[/] {escape(note)}", highlight=False)
        for step in plan.steps:
            mark = "[red]DELETES[/] " if step.loses else ""
            out.print(f"  {mark}{escape(step.what)}", highlight=False)
        if not plan.steps:
            out.print("nothing to do: everything is as the settings say")
            return
        if ask and not typer.confirm("do that?"):
            raise typer.Exit(1)
        for step in plan.steps:
            await step.do()
            out.print(f"[green]done[/] {escape(step.what)}", highlight=False)
    finally:
        await server.close()


class _Shown:
    """A bar for `backup.Progress`; only where a person looks."""

    def __init__(self) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
            console=out,
            transient=True,
        )
        self._task = self.bar.add_task("", total=None)

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar.update(self._task, description=what, completed=done, total=total or None)


@plainly
def backup(
    file: Annotated[Path, typer.Argument(help="Where the backup goes, for example hub.tar.")],
    readings: Annotated[
        bool, typer.Option(help="With the readings in the embedded store (DuckDB).")
    ] = True,
    settings: Settings = DEFAULT,
) -> None:
    """Copy the data folder into one file, while the hub runs or not.

    Journal, alerts, owed messages, tokens, settings, inventory, own rules, and the embedded
    store's readings. Readings in InfluxDB are backed up with its own tools. The file holds the
    secrets that stand in the settings.

    ```
    toba-hub backup /mnt/usb/hub.tar
    ```
    """
    conf = configuration.load(settings)
    if not file.parent.is_dir():
        fail(f"there is no folder {file.parent}")
    shown = _Shown()
    try:
        with shown.bar:
            size = copying.write(conf, file, readings=readings, progress=shown)
    except (copying.Refused, OSError) as error:
        fail(str(error))
    out.print(f"[green]wrote[/] {file}, {size / MIB:.1f} MiB", highlight=False)
    if conf.settings.store.kind == "influxdb":
        out.print("Readings are in InfluxDB: back them up with its own tools.")


@plainly
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `toba-hub backup` wrote.")],
    folder: Annotated[Path, typer.Argument(help="The new data folder, empty or not there.")],
) -> None:
    """Unpack a backup into a new data folder; a hub started on it goes on where it was.

    ```
    toba-hub restore hub.tar /srv/toba-data
    ```
    """
    shown = _Shown()
    try:
        with shown.bar:
            made = copying.restore(file, folder, shown)
    except (copying.Refused, OSError) as error:
        fail(str(error))
    when = f"{to_datetime(made['made_ns']):%Y-%m-%d %H:%M} UTC"
    out.print(f"[green]restored[/] {folder}, as it was on {when}", highlight=False)
    out.print(f"Settings of then: {folder / copying.CONFIGURATION}. Set: data: {folder.resolve()}")
    if READINGS not in made["sums"]:
        out.print("The backup holds no readings of an embedded store.")
