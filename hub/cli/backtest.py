"""`toba-hub rules backtest`: how often rules would have fired, and how often with a change."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hub import configuration, rulebook, snapshot, supervisor
from hub.backtest.page import page
from hub.backtest.run import Report, run
from hub.backtest.tally import RuleTally
from hub.cli.common import DEFAULT, Settings, fail, out, plainly, table
from hub.clock import from_datetime, monotonic, now_ns, to_datetime
from hub.configuration import Configuration
from hub.dirty import Dirty
from hub.registry import declared
from hub.settings import Rules
from hub.store.base import StoreDown, StoreRefused
from hub.store.choose import open_store, open_tiers
from hub.store.duckdb import DuckStore
from hub.store.rolled import RolledStore
from hub.yamlfile import YamlFile
from rules import duration
from rules.rule import Rule

BARS = " ▁▂▃▄▅▆▇█"
MEMORY_MB = 1024


@plainly
def rules_backtest(
    since: Annotated[str, typer.Option(help="From when: 30d, 12h, or 2026-05-01.")] = "30d",
    until: Annotated[
        str, typer.Option(help="Up to when: 2d (ago), 2026-05-20; default: now.")
    ] = "",
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Try another value: pm25_unhealthy.when.above=50"),
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--rules", help="Try the rules of this file instead.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--rule", help="Only this rule; may be said again.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All rules, also those that no change touches.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="All numbers as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with charts to this file.")
    ] = None,
    settings: Settings = DEFAULT,
) -> None:
    """How often rules would have fired on the readings that are stored; with --set or --rules,
    the change beside what is in force today.

    The readings go through the same code that judges live. The hub may run meanwhile: then its
    embedded store is copied first. What came late pages nobody here either, and while the hub was
    down nobody counts as silent.

    ```
    toba-hub rules backtest --rule pm25_unhealthy --since 7d
    toba-hub rules backtest --set pm25_unhealthy.when.above=50 --html page.html
    toba-hub rules backtest --rules noise.yaml --since 2026-05-01
    ```
    """
    conf = configuration.load(settings)
    stop = _moment(until, conf) if until else now_ns()
    start = _moment(since, conf)
    if not 0 < start < stop:
        fail("nothing lies between --since and --until", 2)
    today, changed, touched = _sets(conf, change or [], file or [], only or [])
    if touched and not everything:
        # What is known as down explains the silence of others, so it decides who is called.
        today, changed = (
            [rule for rule in one if rule.name in touched or rule.means == "down"]
            for one in (today, changed)
        )
    gc.set_threshold(50_000, 20, 50)  # millions of small things, none of them in a circle
    began = monotonic()
    compared = changed if change or file else None
    try:
        report = asyncio.run(_run(conf, today, compared, start, stop, quiet=as_json))
    except (StoreDown, StoreRefused) as error:
        fail(str(error))
    names = sorted(touched) if touched and not everything else _names(report)
    if html is not None:
        titles = {rule.name: getattr(rule.title, conf.settings.language) for rule in changed}
        html.write_text(page(report, names, titles, conf.settings.zone), encoding="utf-8")
    if as_json:
        sys.stdout.write(json.dumps(report.plain(), ensure_ascii=False) + "\n")
        return
    _show(report, names, conf, monotonic() - began)
    if html is not None:
        out.print(f"wrote {html}", highlight=False)


def _moment(text: str, conf: Configuration) -> int:
    """A length of time before now, or a day or moment in the regency's time zone."""
    try:
        return now_ns() - duration.parse(text)
    except duration.DurationError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{text!r} is no time: write 30d, 12h, 2026-05-01 or 2026-05-01T06:00", 2)
    return from_datetime(found if found.tzinfo else found.replace(tzinfo=conf.settings.zone))


def _sets(
    conf: Configuration, changes: Sequence[str], files: Sequence[Path], only: Sequence[str]
) -> tuple[list[Rule], list[Rule], set[str]]:
    """Today's rules, the changed ones, and the names of those to look at (empty: all)."""
    pairs = [text.partition("=") for text in changes]
    if any(not middle or "." not in key for key, middle, _ in pairs):
        fail("a change is rule.key=value, such as pm25_unhealthy.when.above=50", 2)
    values = {key.strip(): yaml.safe_load(value) for key, _, value in pairs}
    given = conf.settings.rules
    changed = _read(conf, given.model_copy(update={"set": {**given.set, **values}}))
    new = _read(conf, Rules(library=False, files=list(files))) if files else []
    names = {rule.name for rule in new}
    changed = [rule for rule in changed if rule.name not in names] + new
    known = {rule.name for rule in (*conf.rules, *changed)}
    for name in only:
        if name not in known:
            fail(f"there is no rule {name!r}; there are: {', '.join(sorted(known))}", 2)
    return conf.rules, changed, set(only) or {key.split(".")[0] for key in values} | names


def _read(conf: Configuration, given: Rules) -> list[Rule]:
    """Rules by other settings, checked as those in force are."""
    return rulebook.read(
        given,
        declared={**declared(conf.plugins.values()), **configuration.OWN_FIELDS},
        tags=configuration.identity_tags(conf.plugins.values()),
        teams=set(conf.settings.teams),
        settings_file=YamlFile("--set", {}),
    )


async def _run(
    conf: Configuration,
    today: Sequence[Rule],
    changed: Sequence[Rule] | None,
    start: int,
    stop: int,
    *,
    quiet: bool,
) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task("copying the store", total=1.0)
        async with _history(conf) as store:
            return await run(
                store,
                rulebook.things(conf.inventory),
                today,
                changed,
                start,
                stop,
                progress=lambda what, done: bar.update(task, description=what, completed=done),
            )


@asynccontextmanager
async def _history(conf: Configuration) -> AsyncIterator[RolledStore]:
    """The store with its rollups, as of now. An embedded one is a running hub's own, so a copy is
    made of it; which rollups are finished stands in a copy of the hub's ledger."""
    data, settings = conf.settings.data, conf.settings.store
    embedded = settings.kind == "duckdb"
    path = settings.path or data / snapshot.READINGS
    with tempfile.TemporaryDirectory(
        prefix=".backtest-", dir=data if data.is_dir() else None
    ) as name:
        folder = Path(name)
        if supervisor.running(data) is not None:
            await snapshot.ask(data, folder, readings=embedded)
            path = folder / snapshot.READINGS
        elif (data / snapshot.LEDGER).exists():
            snapshot.copy_ledger(data / snapshot.LEDGER, folder / snapshot.LEDGER)
        if embedded and not path.exists():
            fail(f"no readings are stored yet: there is no {path}")
        with closing(sqlite3.connect(folder / snapshot.LEDGER, isolation_level=None)) as ledger:
            store = RolledStore(
                DuckStore(path, conf.inventory, memory_mb=MEMORY_MB, query_timeout_s=600)
                if embedded
                else open_store(settings, data, conf.inventory),
                open_tiers(settings),
                Dirty(ledger),
                raw_kept_ns=settings.retention.raw_ns,
                now=now_ns,
            )
            try:
                await store.open()
                yield store
            finally:
                await store.close()


def _names(report: Report) -> list[str]:
    return sorted({*report.before, *(report.after or {})})


def _show(report: Report, names: Sequence[str], conf: Configuration, took_s: float) -> None:
    zone = conf.settings.zone
    begin, end = (to_datetime(t, zone) for t in (report.start_ns, report.stop_ns))
    rows: list[Sequence[str]] = []
    for name in names:
        before, after = report.before.get(name), (report.after or {}).get(name)
        rows.append(_row(name, "now", before))
        if report.after is not None:
            rows.append(_row("", "then", after))
    out.print(f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}", highlight=False)
    if report.after is not None:
        out.print("now: the rules in force; then: with the change", highlight=False)
    table(("rule", "", "fired", "for", "flaps", "devices", "calls", "by day"), rows)
    calls = "calls: beginnings and ends that a team hears of; what a known cause explains is none"
    out.print(calls, highlight=False)
    for name in names:
        _devices(name, report)
    out.print(
        f"{report.readings:,} readings of {report.series:,} series, {report.fed:,} of them could "
        f"matter; {took_s:.1f} s",
        highlight=False,
    )


def _row(name: str, which: str, tally: RuleTally | None) -> Sequence[str]:
    if tally is None:
        return (name, which, "–", "", "", "", "", "")
    calls = ", ".join(f"{team} {number}" for team, number in sorted(tally.told.items()))
    return (
        name,
        which,
        str(tally.fired),
        _span(tally.firing_s),
        str(tally.flaps),
        str(len(tally.devices)),
        calls or "nobody",
        _bars(tally.days),
    )


def _span(seconds: float) -> str:
    return duration.text(round(seconds / 60) * duration.MINUTE) if seconds >= 60 else "0"


def _bars(days: Sequence[int]) -> str:
    most = max(days, default=0)
    return "".join(BARS[-(-8 * number // most)] if most else BARS[0] for number in days)


def _devices(name: str, report: Report, most: int = 5) -> None:
    """The devices on which a rule fired most, before and after."""
    after: Mapping[str, RuleTally] = report.after if report.after is not None else report.before
    sets = [one[name].devices if name in one else {} for one in (report.before, after)]
    fired = {
        device: tuple(one[device].fired if device in one else 0 for one in sets)
        for device in sorted({*sets[0], *sets[1]})
    }
    worst = sorted(fired, key=lambda device: (-max(fired[device]), device))[:most]
    if worst:
        words = [
            f"{device} {fired[device][0]}"
            + (f" → {fired[device][1]}" if report.after is not None else "")
            for device in worst
        ]
        more = f" and {len(fired) - most} more" if len(fired) > most else ""
        out.print(f"  {name}: {', '.join(words)}{more}", highlight=False)
