"""`toba-hub snmp …`: what would be collected of a device and why, and which profiles there are."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from collectors.snmp import catalogue
from collectors.snmp.config import SnmpConfig, SnmpSection
from collectors.snmp.oids import dotted
from collectors.snmp.profile import FACTS
from collectors.snmp.tryout import Began, Tried, examine, unit
from hub.api import Installation, NeverWorks, Target

snmp = typer.Typer(
    help="Try an SNMP device before it is in the inventory; list the device profiles.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
SETTINGS = Path("toba-hub.yaml")

Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        "-s",
        envvar="TOBA_SETTINGS",
        help=f"The settings file, for credentials, own profiles and the inventory.  [{SETTINGS}]",
    ),
]


@snmp.command("try")
def try_out(
    ctx: typer.Context,
    host: Annotated[str, typer.Argument(help="Address or name, or a device of the inventory.")],
    community: Annotated[
        str | None,
        typer.Option(
            "--community", "-c", envvar="TOBA_SNMP_COMMUNITY", help="For version 1 or 2c."
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", help="1 or 2c; version 3 needs --credential.")
    ] = None,
    credential: Annotated[
        str | None, typer.Option(help="A group of collectors.snmp.credentials in the settings.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="If not 161.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds, for one request.")] = None,
    profile: Annotated[str | None, typer.Option(help="Read it by this profile.")] = None,
    profiles: Annotated[
        Path | None, typer.Option(help="A folder of profiles beside the built-in ones.")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds between two looks, for rates; 0: no rates.")
    ] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    settings: Settings = None,
) -> None:
    """Read a device once, as the hub would: show what is collected of it and why, and what isn't.

    Which profile it gets and by what; each value with its identifier, or why it is absent; ports
    with their rates; neighbours. Nothing is written anywhere.

    Ends with 1 when the device does not answer, denies everything, or is slower than the hub waits.

    ```
    toba-hub snmp try 10.12.1.7 -c public
    toba-hub snmp try r-dlh                              # as the inventory and settings say
    toba-hub snmp try 10.12.1.7 --credential kantor --wait 10
    ```
    """
    config, targets = _configured(ctx, settings)
    if profiles is not None:
        config = config.model_copy(update={"profiles": profiles})
        catalogue.read(profiles)
    listed = next((target for target in targets if target.id == host), None)
    section: dict[str, Any] = dict(listed.section) if listed is not None else {}
    told = {
        "community": community,
        "version": version,
        "credential": credential,
        "port": port,
        "timeout_s": timeout,
        "profile": profile,
    }
    section |= {key: value for key, value in told.items() if value is not None}
    _check(section, config)
    address = listed.address if listed is not None else host
    others = [target for target in targets if target is not listed]
    with _watching(address) as began:
        tried = asyncio.run(
            examine(address, section, config, others=others, pause_s=max(0.0, wait), began=began)
        )
    if profile is not None:
        tried.why = "the option --profile says so"
    if as_json:
        sys.stdout.write(json.dumps(tried.as_json(), ensure_ascii=False) + "\n")
    else:
        show(tried, _console())


@contextmanager
def _watching(address: str) -> Iterator[Began]:
    """Signs of life on stderr: a clock where somebody watches, else a line for each step."""
    console = Console(stderr=True)
    if not console.is_terminal:

        def line(what: str, most_s: float) -> None:
            sys.stderr.write(f"asking {address}: {what} (at most {most_s:g} s)\n")
            sys.stderr.flush()

        yield line
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:

        def clock(what: str, most_s: float) -> None:
            for task in bar.task_ids:
                bar.remove_task(task)
            bar.add_task(f"asking {escape(address)}: {what}, at most {most_s:g} s", total=None)

        yield clock


@snmp.command("profiles")
def list_profiles(
    ctx: typer.Context,
    profiles: Annotated[
        Path | None, typer.Option(help="A folder of profiles beside the built-in ones.")
    ] = None,
    settings: Settings = None,
) -> None:
    """List the device profiles, by what each is chosen and what it inherits."""
    config, _ = _configured(ctx, settings)
    known = catalogue.read(profiles or config.profiles)
    table = Table("profile", "for", "chosen by", "inherits", box=None)
    for name, device in sorted(known.devices.items()):
        ways = [_way(match.sys_object_id, match.sys_descr) for match in known.matches(name)]
        _row(table, name, device.title, "\n".join(ways), ", ".join(device.chain[1:]))
    _console().print(table)


def _console() -> Console:
    """Wide where nobody watches: what is cut can't be searched or copied."""
    return Console(width=None if sys.stdout.isatty() else 240)


def _way(prefix: bytes | None, descr: str) -> str:
    said = [f"sysObjectID {dotted(prefix)}"] if prefix is not None else ["an instance of its own"]
    return " and ".join(said + ([f"sysDescr {descr}"] if descr else []))


def _configured(ctx: typer.Context, settings: Path | None) -> tuple[SnmpConfig, list[Target]]:
    """The settings' own part and inventory, where there is a settings file."""
    path = settings or SETTINGS
    if settings is None and not path.exists():
        return SnmpConfig(), []
    here: Installation = ctx.obj
    return here.config(path, "snmp"), list(here.targets(path, "snmp"))


def _check(section: Mapping[str, Any], config: SnmpConfig) -> None:
    """Raises `NeverWorks` with what is wrong about the options."""
    try:
        SnmpSection.model_validate(section, context={"config": config})
    except ValidationError as error:
        wrong = []
        for item in error.errors(include_url=False, include_input=False):
            option = "/".join(f"--{part}".removesuffix("_s") for part in item["loc"]) or "options"
            remedy = item.get("ctx", {}).get("remedy", "")
            if item["loc"] == ("version",):
                remedy = "version 3 needs --credential, a group in the settings"
            wrong.append(f"{option}: {item['msg']}" + (f" ({remedy})" if remedy else ""))
        raise NeverWorks("; ".join(wrong)) from None


# ---------------------------------------------------------------- for people


def show(tried: Tried, console: Console) -> None:
    """All that was found, then what wasn't."""
    device = tried.device
    name = device.get("sys_name") or tried.address
    descr = device.get("sys_descr", "no sysDescr")
    console.print(f"[bold]{escape(name)}[/] at {escape(tried.address)}: {escape(descr)}")
    if "uptime_s" in device:
        answer = f", answered in {device['agent_ms']:.1f} ms" if "agent_ms" in device else ""
        console.print(f"up for {_duration(device['uptime_s'])}{answer}")
    chosen = f"({tried.title}): {tried.why}"
    console.print(f"profile [bold]{escape(tried.profile)}[/] {escape(chosen)}")
    for fact in FACTS:
        if device.get(fact):
            console.print(f"{fact}: {escape(device[fact])}")
    _values(tried, console)
    _ports(tried, console)
    if tried.neighbours:
        console.print("\n[bold]neighbours[/]")
        table = Table("port", "neighbour", "its port", "address", "by", "what", box=None)
        for one in tried.neighbours:
            keys = ("port", "name", "far_port", "address", "by", "what")
            _row(table, *(str(one.get(key, ""))[:60] for key in keys))
        console.print(table)
    _absent(tried, console)
    for note in tried.notes:
        console.print(f"[yellow]look[/] {escape(note)}")


def _row(table: Table, *cells: str) -> None:
    """What devices say is text, whatever brackets are in it."""
    table.add_row(*map(escape, cells))


def _values(tried: Tried, console: Console) -> None:
    console.print("\n[bold]values[/]")
    table = Table("field", "part", "value", "identifier", "as it came", box=None)
    given = [one for one in tried.told if one.value is not None and not one.why]
    single = {one.field for one in given if not one.sensor}
    folded = {
        f"device.{key}": value
        for key, value in tried.device.items()
        if not isinstance(value, str) and key not in ("up", "agent_ms", "uptime_s", "refused")
    }
    for name in sorted(folded.keys() - single):
        _row(table, name, "", _amount(name, folded[name]), "", "made of its parts")
    for one in sorted(given, key=lambda one: (one.sensor, one.field)):
        _row(table, one.field, one.sensor, _amount(one.field, one.value), one.oid, one.raw)
    console.print(table if table.row_count else "none")


def _absent(tried: Tried, console: Console) -> None:
    missing = [one for one in tried.told if one.value is None or one.why]
    if not missing:
        return
    console.print("\n[bold]looked for, not collected[/]")
    table = Table("field or table", "part", "identifier", "as it came", "why", box=None)
    for one in missing:
        _row(table, one.field, one.sensor, one.oid, one.raw, one.why)
    console.print(table)


def _ports(tried: Tried, console: Console) -> None:
    console.print(f"\n[bold]ports[/] ({len(tried.ports)})")
    table = Table("name", "alias", "admin", "oper", "speed", "in", "out", box=None)
    for name, port in tried.ports.items():
        if "sessions" in port:
            states: Iterable[str] = ("", f"{port['sessions']} sessions")
        else:
            states = (_state(port.get("admin_up")), _state(port.get("oper_up")))
        bits = (_bits(port.get(key)) for key in ("speed_bps", "in_bps", "out_bps"))
        _row(table, name, str(port.get("alias", "")), *states, *bits)
    console.print(table if table.row_count else "none")


def _state(up: int | None) -> str:
    return {None: "", 1: "up", 0: "down"}[up]


def _bits(bps: float | None) -> str:
    if bps is None:
        return ""
    for step, word in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if bps >= step:
            return f"{bps / step:.3g} {word}"
    return f"{bps:.0f} bit/s"


def _amount(name: str, value: float | None) -> str:
    return "" if value is None else f"{value:.6g} {unit(name)}".rstrip()


def _duration(seconds: float) -> str:
    days, rest = divmod(int(seconds), 86_400)
    hours, rest = divmod(rest, 3600)
    return f"{days} d {hours} h" if days else f"{hours} h {rest // 60} min"
