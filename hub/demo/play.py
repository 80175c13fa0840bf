"""The demo from its start to its end. See the drawing in `hub/demo/__init__.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hub import app, configuration, fieldlink, logs, supervisor
from hub.clock import now_ns
from hub.configuration import Configuration
from hub.demo import story as stories
from hub.demo import summary
from hub.demo.field import FieldProcess, NoField, start_field
from hub.demo.settings import at_home, folder_of, settings_for
from hub.store.base import StoreDown, StoreRefused
from hub.store.influx import InfluxStore
from hub.web.address import listen

log = logs.get("demo")


class NoStore(Exception):
    """The store that was asked for does not answer."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo is to be, as the command line says."""

    store: str = "duckdb"
    """duckdb or influxdb."""
    host: str = "127.0.0.1"
    port: int = 8080
    seconds: float | None = None
    """It ends by itself after so long; None: with Ctrl-C."""
    folder: Path | None = None
    """Everything is kept there; None: in a folder that goes with it."""
    level: str = "info"
    regency: str = "toba"
    story: str = ""
    """One of `story.STORIES` instead of scripted faults."""
    speed: float = 60.0
    """How many times faster a story lets the clock of all processes run, this one's too."""


async def run(options: Options) -> dict[str, Any]:
    """Run the demo until it ends; what was found in the store then.

    Raises `PortTaken`, `NoStore`, `NoField`, `NoRegency`, `Misconfigured`, `AlreadyRunning`.
    """
    os.umask(supervisor.PRIVATE)
    listen(options.host, options.port).close()
    await _reach(_store(options.store))
    stop = asyncio.Event()
    supervisor.on_signals(stop)
    began = stories.begin(options.speed) if options.story else now_ns()
    with _folder(options.folder) as folder:
        async with prepared(Path(folder), options) as (field, conf):
            drops = await _hub(options, field, conf, stop)
            found = await summary.of(conf, began, drops)
            return {**found, "told": summary.told(conf)} if options.story else found


def _folder(chosen: Path | None) -> contextlib.AbstractContextManager[Path | str]:
    if chosen:
        return contextlib.nullcontext(chosen)
    return tempfile.TemporaryDirectory(prefix="toba-demo-", ignore_cleanup_errors=True)


@contextlib.asynccontextmanager
async def prepared(
    folder: Path, options: Options
) -> AsyncIterator[tuple[FieldProcess, Configuration]]:
    """The field running, settings and inventory written and checked."""
    folder.mkdir(parents=True, exist_ok=True)
    home = folder_of(options.regency)
    given = home / "inventory.yaml"
    if options.story:
        sensors = folder / "sensors.yaml"
        sensors.write_text(_yaml(stories.sensors_only(given)), "utf-8")
        given = sensors
    field = await start_field(given, told=options.story)
    try:
        (folder / "inventory.yaml").write_text(_yaml(field.addresses["inventory"]), "utf-8")
        settings = settings_for(
            field.addresses,
            store=_store(options.store),
            host=options.host,
            port=options.port,
            level=options.level,
            story=options.story,
        )
        path = folder / "toba-hub.yaml"
        text = "# Written by `toba-hub demo`.\n" + _yaml(at_home(settings, home))
        path.write_text(text, "utf-8")
        yield field, configuration.load(path)
    finally:
        await field.stop()


def _store(kind: str) -> dict[str, Any]:
    chosen = {"kind": kind, "linger_ms": 200}
    if kind == "influxdb":
        url = os.environ.get("INFLUX_URL", "http://127.0.0.1:8086")
        chosen |= {"database": "toba_demo", "url": url}
    return chosen


async def _reach(chosen: dict[str, Any]) -> None:
    """Before anything is started: is there a store to write to? Raises `NoStore`."""
    if chosen["kind"] != "influxdb":
        return
    store = InfluxStore(chosen["url"], chosen["database"])
    try:
        await store.open()
    except (StoreDown, StoreRefused) as error:
        remedy = "start InfluxDB, name another by INFLUX_URL, or leave out which store"
        raise NoStore(f"{error} ({remedy})") from None
    finally:
        await store.close()


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False, width=100)


async def _hub(
    options: Options, field: FieldProcess, conf: Configuration, stop: asyncio.Event
) -> dict[str, int]:
    """Both processes on that field until `stop` is set; what they had dropped by then."""
    data = conf.settings.data
    url = f"http://{options.host}:{options.port}"
    lock = supervisor.FolderLock.take(data, url)
    socket = data / "field.sock"
    server = await fieldlink.listen(socket, field.ask)
    log.info("the board is at", url=url, store=options.store, data=str(conf.path.parent))
    drops: dict[str, int] = {}
    tasks = []
    if options.seconds is not None:
        tasks.append(asyncio.create_task(_end(stop, options.seconds, conf, drops)))
    if options.story:
        tasks.append(asyncio.create_task(stories.tell(field.ask, conf.settings.ingest_socket)))
    try:
        code = await supervisor.supervise(app.children(conf.path, socket), stop)
    finally:
        for task in tasks:
            task.cancel()
        server.close()
        lock.release()
    if code:
        raise NoField(f"a process of the hub ended with exit code {code}")
    return drops


async def _end(
    stop: asyncio.Event, seconds: float, conf: Configuration, drops: dict[str, int]
) -> None:
    """Set `stop` in time, having asked for what was dropped while somebody can still tell."""
    await asyncio.sleep(seconds)
    drops |= await summary.dropped(conf)
    stop.set()
