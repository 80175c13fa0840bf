"""`toba-hub import`: years of old readings from files, paging nobody."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hub import configuration, supervisor, yamlfile
from hub.api import Misconfigured, TryAgain
from hub.cli.common import DEFAULT, Settings, fail, out, plainly, table
from hub.clock import now_ns, to_datetime
from hub.configuration import Configuration
from hub.importing import BadFile, BadRow, Mapped, Reader, Summary, rows
from hub.journal import Class, Kind
from hub.link import Link
from hub.problems import from_pydantic
from hub.reading import Reading
from hub.records import pack_readings
from hub.supervisor import FolderLock

PORTION = 500
"""Readings handed over at a time."""
SHOWN = 20
"""Bad rows that are listed."""
PAUSE_S = 2.0


@plainly
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="CSV, or JSON lines (.jsonl, .ndjson).")
    ],
    zone: Annotated[
        str, typer.Option(help="Of times that say none, such as Asia/Jakarta or UTC.")
    ] = "",
    mapping: Annotated[
        Path | None, typer.Option("--map", help="A YAML file that says which column is what.")
    ] = None,
    device: Annotated[str, typer.Option(help="Whose readings, if no column names it.")] = "",
    decimal: Annotated[str, typer.Option(help="The decimal sign: . or ,")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be imported; change nothing.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Import the good rows although there are bad ones.")
    ] = False,
    beyond_retention: Annotated[
        bool,
        typer.Option(
            "--beyond-retention", help="InfluxDB keeps readings for longer than the settings say."
        ),
    ] = False,
    settings: Settings = DEFAULT,
) -> None:
    """Bring in old readings, through the running hub or, without one, into its journal.

    Nobody is paged and nothing counts as alive: old readings are stored under their own time, and
    the 5-minute and hourly rows follow. The same file twice gives the same rows.

    **Wide CSV**: a header `time,device,pm25,temperature [°F],no2 [ppb]`; a unit in brackets is
    converted. **Long CSV**: `time,device,field,value` and perhaps `unit`. **JSON lines**:
    `{"time": …, "device": …, "pm25": 12.5}`. Other headers need a file for `--map`:

        time: Waktu
        time_format: "%d/%m/%Y %H:%M"
        device: Stasiun
        devices: {"Stasiun Balige": aq-balige}
        columns: {"PM2,5": pm25, Suhu: {field: temperature, unit: °F}}
        decimal: ","

    InfluxDB takes nothing that is older than it keeps readings (`store.retention.raw`, 30 days
    unless you say more), and no rollups of it follow: set that first. DuckDB takes all.

    Every file is read to its end first. If a row is bad, nothing is imported and each is named with
    its line, unless you say `--skip-bad`.

    ```
    toba-hub import years.csv --zone Asia/Jakarta --dry-run
    toba-hub import station.csv --device aq-balige --zone Asia/Jakarta
    toba-hub import dlh-*.csv --map columns.yaml
    ```
    """
    conf = configuration.load(settings)
    work = Work(conf, _mapped(mapping, device, decimal), _zone(zone))
    total = sum(map(work.look, files))
    work.show()
    if work.bad and not skip_bad and not dry_run:
        fail(f"{work.bad} bad row(s): nothing is imported; mend them, or say --skip-bad")
    if dry_run:
        out.print(f"dry run: {total} readings would be imported, {work.bad} bad row(s)")
        raise typer.Exit(1 if work.bad and not skip_bad else 0)
    if not total:
        fail("there is nothing to import")
    if work.beyond and not beyond_retention:
        fail(
            f"{work.beyond} of {total} readings are older than store.retention.raw "
            f"({conf.settings.store.retention.raw}): InfluxDB refuses them when it was told so, "
            "and nothing is imported. Set store.retention.raw to more, such as 5y, run "
            "`toba-hub influx setup` and import again; or say --beyond-retention if the database "
            "keeps them"
        )
    work.hand_over(files, total)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        fail(f"no time zone {name!r}: use a name such as Asia/Jakarta, Asia/Makassar or UTC", 2)


def _mapped(path: Path | None, device: str, decimal: str) -> Mapped:
    """The mapping of the file and the options. Raises `Misconfigured`."""
    mapped = Mapped()
    if path is not None:
        file = yamlfile.read(path)
        try:
            mapped = Mapped.model_validate(file.data or {})
        except ValidationError as error:
            raise Misconfigured(
                file.problem(*wrong) for wrong in from_pydantic(error, Mapped)
            ) from None
    if device:
        mapped = mapped.model_copy(update={"devices": {"": device}})
    if decimal:
        if decimal not in (".", ","):
            fail(f"--decimal is . or , and not {decimal!r}", 2)
        mapped = mapped.model_copy(update={"decimal": decimal})
    return mapped


def _kept_from_ns(conf: Configuration, now_ns: int) -> int:
    """What is older InfluxDB drops at once; DuckDB takes it, makes rollups of it, and then lets it
    go."""
    store = conf.settings.store
    raw_ns = store.retention.raw_ns
    return 0 if raw_ns is None or store.kind != "influxdb" else now_ns - raw_ns


class Taker(Protocol):
    """Where readings go."""

    def take(self, readings: Sequence[Reading]) -> None:
        """Returns when they are durable. Raises `TryAgain`."""
        ...

    def close(self) -> None: ...


class Work:
    """The files of one command."""

    def __init__(self, conf: Configuration, mapped: Mapped, zone: ZoneInfo | None) -> None:
        self._conf = conf
        self._mapped = mapped
        self._zone = zone
        self._now_ns = now_ns()
        self._summaries: dict[str, Summary] = {}
        self._first_bad: list[tuple[Path, BadRow]] = []
        self._ignored: dict[str, str] = {}
        self.bad = 0
        self.beyond = 0
        """Readings that are older than an InfluxDB keeps them."""
        self._kept_from_ns = _kept_from_ns(conf, self._now_ns)

    def _items(self, path: Path) -> Iterator[Reading | BadRow]:
        manifests = [plugin.manifest for plugin in self._conf.plugins.values()]
        try:
            reader = Reader(self._mapped, self._conf.inventory, manifests, self._zone, self._now_ns)
            for row in rows(path, self._mapped):
                try:
                    found = reader.read(row)
                except BadFile as error:
                    raise BadFile(f"{path}:{row.line}: {error}") from None
                if found is not None:
                    yield found
            self._ignored |= reader.ignored
        except BadFile as error:
            fail(str(error))

    def look(self, path: Path) -> int:
        """Read a file to its end; how many readings are in it."""
        good = 0
        with _bar() as bar:
            task = bar.add_task(f"reading {path.name}", total=None)
            for item in self._items(path):
                if isinstance(item, BadRow):
                    self.bad += 1
                    if len(self._first_bad) < SHOWN:
                        self._first_bad.append((path, item))
                    continue
                good += 1
                self.beyond += item.time_ns < self._kept_from_ns
                self._summaries.setdefault(item.series.device, Summary()).add(item)
                if good % PORTION == 0:
                    bar.update(task, completed=good)
        return good

    def show(self) -> None:
        """What the files hold, and what is wrong with them."""
        zone = ZoneInfo(self._conf.settings.timezone)
        if self._summaries:
            table(
                ("device", "readings", "from", "to", "fields"),
                [
                    (
                        device,
                        str(one.readings),
                        f"{to_datetime(one.first_ns, zone):%Y-%m-%d %H:%M}",
                        f"{to_datetime(one.last_ns, zone):%Y-%m-%d %H:%M}",
                        ", ".join(sorted(one.fields)),
                    )
                    for device, one in sorted(self._summaries.items())
                ],
            )
        known = {n.lower() for n in (self._mapped.time, self._mapped.device)} | _SPOKEN_FOR
        tags = set(self._mapped.tags.values())
        for column, why in self._ignored.items():
            if column.lower() not in known and column not in tags:
                out.print(
                    f"[yellow]ignored[/] column {escape(column)}: {escape(why)}", highlight=False
                )
        for path, bad in self._first_bad:
            sys.stderr.write(f"{path}:{bad.line}: {bad.reason}\n")
        if self.bad > len(self._first_bad):
            sys.stderr.write(f"and {self.bad - len(self._first_bad)} more bad rows\n")

    def hand_over(self, files: Sequence[Path], total: int) -> None:
        """Everything good to the hub, in portions."""
        online = supervisor.running(self._conf.settings.data) is not None
        taker: Taker = Online(self._conf) if online else Offline(self._conf)
        done = 0
        with closing(taker), _bar() as bar:
            task = bar.add_task("importing", total=total)
            for portion in self._portions(files):
                _insist(taker, portion, bar)
                done += len(portion)
                bar.update(task, completed=done)
        where = (
            "the running hub" if online else "the journal; they are stored when the hub is started"
        )
        out.print(f"[green]imported[/] {done} readings into {where}", highlight=False)

    def _portions(self, files: Sequence[Path]) -> Iterator[list[Reading]]:
        portion: list[Reading] = []
        for path in files:
            for item in self._items(path):
                if isinstance(item, Reading):
                    portion.append(item)
                if len(portion) == PORTION:
                    yield portion
                    portion = []
        if portion:
            yield portion


_SPOKEN_FOR = {
    *("time", "timestamp", "datetime", "ts", "date", "waktu", "tanggal"),
    *("device", "id", "station", "stasiun", "alat", "sensor"),
}
"""Columns that hold no field and need no word."""


def _insist(taker: Taker, portion: Sequence[Reading], bar: Progress) -> None:
    """Until it is durable: a hub that is busy or full is waited for, and said to be."""
    said = ""
    while True:
        try:
            taker.take(portion)
            return
        except TryAgain as error:
            if str(error) != said:
                said = str(error)
                bar.console.print(f"waiting: {escape(said)}", highlight=False)
        asyncio.run(asyncio.sleep(PAUSE_S))


class Online:
    """A hub that runs on the data folder."""

    def __init__(self, conf: Configuration) -> None:
        self._runner = asyncio.Runner()
        self._link = Link(conf.settings.ingest_socket)

    def take(self, readings: Sequence[Reading]) -> None:
        self._runner.run(self._link.take(readings))

    def close(self) -> None:
        self._runner.run(self._link.close())
        self._runner.close()


class Offline:
    """The journal itself, while no hub runs. Raises `AlreadyRunning`, `Locked`, OSError."""

    def __init__(self, conf: Configuration) -> None:
        from hub.ingest import open_journal  # half a second that no other verb should pay

        self._lock = FolderLock.take(conf.settings.data, "toba-hub import")
        try:
            self._journal = open_journal(conf.settings)
        except BaseException:
            self._lock.release()
            raise

    def take(self, readings: Sequence[Reading]) -> None:
        if not self._journal.room(Class.ACKNOWLEDGED):
            fail("the journal is full: start the hub, then import the same files again")
        payload = pack_readings("import", readings)
        self._journal.append([(now_ns(), Kind.READINGS, Class.ACKNOWLEDGED, payload)])

    def close(self) -> None:
        self._journal.close()
        self._lock.release()


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal,
    )
