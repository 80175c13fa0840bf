"""`toba-hub reload`: a running hub goes on with what the files say now."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hub import settings_file, supervisor
from hub.cli.common import DEFAULT, Settings, fail, out, plainly
from hub.link import Link
from hub.reload import Changes


@plainly
def reload(
    settings: Settings = DEFAULT,
    remove_many: Annotated[
        bool, typer.Option("--remove-many", help="It is meant that most devices go.")
    ] = False,
) -> None:
    """Have a running hub take over rules, devices, teams and channels as the files say now.

    Everything is checked first: with any mistake the files are refused whole and the hub goes on
    as before. Alerts keep their state where their rule still means the same; those of rules that
    went away are closed and say so. New rules learn from the store what their windows look back
    to, and their alerts say that. What needs a restart is named. SIGHUP does the same. Files by
    which most of the devices would be gone are refused, too: they look cut off.
    """
    given = settings_file.read(settings)
    if supervisor.running(given.data) is None:
        fail(f"no hub is running on {given.data}; start it with `toba-hub run`")
    changes = asyncio.run(_ask(given.ingest_socket, remove_many))
    for line in changes.lines():
        out.print(line, highlight=False, markup=False)
    out.print("[green]reloaded[/]" if changes else "[green]nothing has changed[/]")


async def _ask(socket: Path, remove_many: bool) -> Changes:
    link = Link(socket)
    try:
        return await link.reload(remove_many=remove_many)
    finally:
        await link.close()
