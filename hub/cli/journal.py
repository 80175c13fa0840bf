"""The journal's verbs: how full, how whole, what is in it. They only read, beside a running hub."""

from __future__ import annotations

import sys
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hub import configuration
from hub.cli.common import DEFAULT, Settings, fail, group, out, plainly, table
from hub.clock import to_datetime
from hub.journal import Class, Kind, Lost, Reader, Record
from hub.journal.survey import Status, status, verify
from hub.settings import MIB
from hub.settings import Journal as Quotas

journal = group("The log of everything: how full, how whole, what is in it.")

KindName = Enum("KindName", {kind.name: kind.name.lower() for kind in Kind})  # type: ignore[misc]  # made of the names
ClassName = Enum("ClassName", {klass.name: klass.name.lower() for klass in Class})  # type: ignore[misc]  # made of the names


def _folder(settings: Path) -> tuple[Path, Quotas]:
    given = configuration.load(settings).settings
    return given.data / "journal", given.journal


@journal.command("status")
@plainly
def journal_status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    settings: Settings = DEFAULT,
) -> None:
    """How much the journal holds, of which class, and how far each reader is."""
    folder, given = _folder(settings)
    found = status(folder)
    if found is None:
        fail(f"there is no journal in {folder} yet")
    quotas = [given.acknowledged_mib, given.polled_mib, given.acts_mib]
    if as_json:
        sys.stdout.write(_status_json(folder, found, quotas) + "\n")
        return
    ids = f"ids {found.first_id} to {found.last_id}"
    out.print(f"{folder}: {found.segments} segments, {found.bytes / MIB:.1f} MiB, {ids}")
    if found.thinned:
        out.print(f"{found.thinned} segments were thinned: the oldest polled readings are dropped")
    for name in found.aside:
        out.print(f"{name} was set aside: nothing in it could be read", highlight=False)
    sizes = [
        (klass.name.lower(), f"{size / MIB:.1f}", f"{quota} ({size / MIB / quota:.0%})")
        for klass, size, quota in zip(Class, found.held, quotas, strict=True)
    ]
    table(("class", "MiB", "of"), sizes)
    lags = []
    for lag in found.cursors:
        late = "its next record is gone" if lag.seconds is None else f"{lag.seconds:.1f} s"
        lags.append((lag.name, str(lag.done_id), f"{lag.records} records", late))
    table(("reader", "is done up to", "behind by", ""), lags)


def _status_json(folder: Path, found: Status, quotas: list[int]) -> str:
    said = {
        **found._asdict(),
        "folder": str(folder),
        "last_time": to_datetime(found.last_ns).isoformat(),
        "held": {klass.name.lower(): size for klass, size in zip(Class, found.held, strict=True)},
        "quotas": {
            klass.name.lower(): quota * MIB for klass, quota in zip(Class, quotas, strict=True)
        },
        "cursors": {
            lag.name: {"done_id": lag.done_id, "records": lag.records, "seconds": lag.seconds}
            for lag in found.cursors
        },
    }
    del said["last_ns"]
    return msgspec.json.encode(said).decode()


@journal.command("verify")
@plainly
def journal_verify(settings: Settings = DEFAULT) -> None:
    """Read every record and its checksum; name by id and time what is spoiled or missing."""
    folder, _ = _folder(settings)
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("reading")

        def progress(records: int, record_id: int, end: int) -> None:
            bar.update(task, completed=record_id, total=end, description=f"{records} records read")

        found = verify(folder, progress)
    if found is None:
        fail(f"there is no journal in {folder} yet")
    for lost in found.dropped:
        _tell("dropped", lost)
    for lost in found.damage:
        _tell("[red]LOST[/]", lost)
    for odd in found.odd:
        out.print(f"odd: {odd}", highlight=False, markup=False)
    classes = ", ".join(f"{found.by_class[klass]} {klass.name.lower()}" for klass in Class)
    out.print(f"{found.records} good records ({classes}){_span(found.first, found.last)}")
    if found.damage or found.odd:
        raise typer.Exit(1)


def _tell(word: str, lost: Lost) -> None:
    out.print(f"{word} {lost}", highlight=False, soft_wrap=True)


def _span(first: Record | None, last: Record | None) -> str:
    if first is None or last is None:
        return ""
    begin, end = (f"{to_datetime(r.time_ns):%Y-%m-%d %H:%M:%S}" for r in (first, last))
    return f", ids {first.id} to {last.id}, received from {begin} to {end} UTC"


@journal.command("export")
@plainly
def journal_export(
    after: Annotated[int, typer.Option(min=0, help="Begin behind this id.")] = 0,
    until: Annotated[int | None, typer.Option(help="End with this id.")] = None,
    kind: Annotated[
        list[KindName] | None, typer.Option(help="Only this kind; may be given again.")
    ] = None,
    klass: Annotated[
        list[ClassName] | None, typer.Option("--class", help="Only this class; as above.")
    ] = None,
    settings: Settings = DEFAULT,
) -> None:
    """Print records as JSON lines: id, time, kind, class and what they hold.

    What is missing is told on stderr, by id and time.

    ```
    toba-hub journal export --kind act > acts.jsonl
    toba-hub journal export --after 120000 --until 120500
    ```
    """
    folder, _ = _folder(settings)
    if status(folder) is None:
        fail(f"there is no journal in {folder} yet")
    kinds = {one.value for one in kind or ()}
    classes = {one.value for one in klass or ()}
    reader = Reader(folder, after)
    try:
        while (records := reader.read()) and (until is None or records[0].id <= until):
            for lost in reader.lost:
                if lost.last_id > after and lost.reason != "freed":
                    sys.stderr.write(f"missing: {lost}\n")
            reader.lost.clear()
            for record in records:
                if until is not None and record.id > until:
                    return
                line = _line(record)
                if (not kinds or line["kind"] in kinds) and (
                    not classes or line["class"] in classes
                ):
                    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    finally:
        reader.close()


def _line(record: Record) -> dict[str, Any]:
    line: dict[str, Any] = {
        "id": record.id,
        "time": to_datetime(record.time_ns).isoformat(),
        "kind": _word(Kind, record.kind),
        "class": _word(Class, record.klass),
    }
    if record.payload:
        try:
            line["payload"] = msgspec.msgpack.decode(record.payload)
        except (msgspec.DecodeError, ValueError) as error:
            line["unreadable"] = str(error)
    return line


def _word(names: type[IntEnum], number: int) -> str:
    """A number's name; of a newer hub's the number itself."""
    return names(number).name.lower() if number in {n.value for n in names} else str(number)
