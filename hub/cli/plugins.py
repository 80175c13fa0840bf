"""Verbs that collectors bring: entry points of `toba_hub.commands`, imported when used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from hub import clock, configuration
from hub.api import Target
from hub.cli.common import fail, plainly
from hub.problems import Misconfigured, Problem

GROUP = "toba_hub.commands"
DEVICES = "Devices"
"""Where `--help` lists them."""


class Installation:
    """`hub.api.Installation`, over the settings file."""

    def config(self, settings: Path, collector: str) -> Any:
        conf = configuration.load(settings)
        if collector not in conf.plugins:
            raise Misconfigured([Problem(str(settings), 0, "", f"no collector {collector!r}")])
        section = conf.settings.collectors.get(collector, {})
        return conf.plugins[collector].configure(section, conf.settings.folder)

    def targets(self, settings: Path, collector: str) -> Sequence[Target]:
        return configuration.load(settings).inventory.targets(collector)

    def now_ns(self) -> int:
        return clock.now_ns()


Command = Any
"""click's, which typer has inside itself or beside itself, as its version goes."""


class Verbs(TyperGroup):
    """The hub's own verbs, and behind them those of the installed collectors."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = super().list_commands(ctx)
        return own + sorted(set(_points()) - set(own))

    def get_command(self, ctx: Any, cmd_name: str) -> Command:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        point = _points().get(cmd_name)
        if point is None:
            return None
        ctx.obj = ctx.obj or Installation()
        verb = command(point)
        verb.rich_help_panel = DEVICES
        return verb


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def command(point: EntryPoint) -> Command:
    """What an entry point names, a function or a `typer.Typer`, as a verb that fails plainly."""
    try:
        found = point.load()
    except Exception as error:  # a plugin's import may fail in any way; the other verbs go on
        found = _broken(f"{point.name} can't be loaded from {point.value}: {error!r}")
    if isinstance(found, typer.Typer):
        for verb in found.registered_commands:
            verb.callback = plainly(verb.callback) if verb.callback else None
        group: Command = typer.main.get_group(found)
        group.name = point.name
        return group
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(point.name)(plainly(found))
    return typer.main.get_command(app)


def _broken(why: str) -> Any:
    def verb() -> None:
        fail(why)

    verb.__doc__ = why
    return verb
