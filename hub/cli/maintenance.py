"""`toba-hub maintenance`: plan windows in which matching alerts page nobody."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from hub import acts, configuration
from hub.cli.alerts import Who, Why, matcher_of, user
from hub.cli.common import DEFAULT, Settings, fail, group, out, plainly, table
from hub.clock import now_ns, to_datetime
from hub.plans import Plan, PlanError, Plans
from hub.problems import from_pydantic
from hub.windows import Window, begun, next_begin

maintenance = group("Planned work: windows in which matching alerts page nobody.")


@maintenance.command("add")
@plainly
def add(
    name: Annotated[str, typer.Argument(help="What it is, for example ups-porsea.")],
    match: Annotated[
        list[str], typer.Argument(help="device=…, kind=…, site=…, opd=…, rule=… (globs).")
    ],
    begins: Annotated[str, typer.Option("--from", help='Once: local, "2026-12-01 22:00".')] = "",
    until: Annotated[str, typer.Option(help="Once: its end.")] = "",
    weekly: Annotated[str, typer.Option(help='Every week: "sun 02:00".')] = "",
    cron: Annotated[
        str, typer.Option(help='As crontab: minute hour day month weekday, "0 3 1 * *".')
    ] = "",
    lasts: Annotated[str, typer.Option(help="Beside weekly or cron: 2h, 90m.")] = "",
    why: Why = "",
    who: Who = "",
    settings: Settings = DEFAULT,
) -> None:
    """Plan a window: once, every week or as cron says. For work that begins now there is
    `toba-hub silence --maintenance`.

    ```
    toba-hub maintenance add ups-porsea device=r-porsea --weekly "sun 02:00" --lasts 2h
    toba-hub maintenance add ups device=r-core --from "2026-12-01 22:00" --until "2026-12-02 02:00"
    ```
    """
    conf = configuration.load(settings)
    given: dict[str, Any] = {"name": name, "match": matcher_of(match), "why": why}
    said = {"from": begins, "until": until, "weekly": weekly, "cron": cron, "lasts": lasts}
    given |= {key: value for key, value in said.items() if value}
    try:
        window = Window.model_validate(given)
    except ValidationError as error:
        fail("; ".join(_words(*found) for found in from_pydantic(error, Window)), 2)
    strange = set(window.match) - configuration.matchable(acts.tags_of(conf))
    if strange:
        fail(f"a window can't match by {sorted(strange)[0]!r}", 2)
    if any(one.name == name for one in conf.settings.maintenance):
        fail(f"the settings have a window {name!r} already")
    if _over(window, conf):
        fail("this window is over already")
    try:
        Plans(conf.settings.data).add(Plan(window, who or user(), now_ns()))
    except PlanError as error:
        fail(str(error))
    for doubt in (acts.meets_nothing(window.match, conf), _endless(window, conf)):
        if doubt:
            sys.stderr.write(f"toba-hub: look: {doubt}; planned all the same\n")
    out.print(f"[green]planned[/]; {_when(window, conf)}")


@maintenance.command("list")
@plainly
def show(settings: Settings = DEFAULT) -> None:
    """List the windows of the settings and those that were planned here."""
    conf = configuration.load(settings)
    try:
        planned = Plans(conf.settings.data).list()
    except PlanError as error:
        fail(str(error))
    rows = [
        (
            one.window.name,
            " ".join(f"{key}={value}" for key, value in one.window.match.items()),
            _when(one.window, conf),
            one.who,
            one.window.why,
        )
        for one in [*(Plan(w, "settings") for w in conf.settings.maintenance), *planned]
    ]
    table(("name", "matches", "when", "who", "why"), rows)


@maintenance.command("remove")
@plainly
def remove(
    name: Annotated[str, typer.Argument(help="As `toba-hub maintenance list` shows it.")],
    settings: Settings = DEFAULT,
) -> None:
    """Forget a window. One that is on goes on until its end: `toba-hub unsilence` ends it now."""
    conf = configuration.load(settings)
    if any(one.name == name for one in conf.settings.maintenance):
        fail(f"{name!r} stands in {conf.path}: take it out there, then `toba-hub reload`")
    try:
        Plans(conf.settings.data).remove(name)
    except PlanError as error:
        fail(str(error))
    out.print(f"{name} is planned no more")


def _over(window: Window, conf: configuration.Configuration) -> bool:
    now, zone = now_ns(), conf.settings.timezone
    return begun(window, now, zone) is None and next_begin(window, now, zone) is None


def _endless(window: Window, conf: configuration.Configuration) -> str:
    """Why it would never end; empty: it will."""
    zone = conf.settings.timezone
    begin_ns = next_begin(window, now_ns(), zone)
    one = begun(window, begin_ns, zone) if begin_ns is not None else None
    again_ns = next_begin(window, begin_ns, zone) if begin_ns is not None else None
    if one is None or again_ns is None or again_ns > one.until_ns:
        return ""
    return "it is always on, the next time begins before one ends"


def _words(path: tuple[str | int, ...], message: str, remedy: str) -> str:
    where = ".".join(str(part) for part in path)
    return (f"{where}: " if where else "the window ") + message + (f" ({remedy})" if remedy else "")


def _when(window: Window, conf: configuration.Configuration) -> str:
    now, zone = now_ns(), conf.settings.timezone
    here = begun(window, now, zone)
    if here is not None:
        return f"on until {to_datetime(here.until_ns, conf.settings.zone):%Y-%m-%d %H:%M}"
    begin_ns = next_begin(window, now, zone)
    if begin_ns is None:
        return "over"
    return f"begins {to_datetime(begin_ns, conf.settings.zone):%Y-%m-%d %H:%M}"
