"""The whole hub on one page: the drawing, and how both processes are put together.

process "ingest"                                     process "serve"
device ─► collectors/<name> ─ emit ─► pipeline ─►  journal/  ─► engine  (rules/) ─► ledger: alerts,
          run by running.py          validate,     ordered │                         owed messages
                 ▲                   series        log,    ├─► forward ─► store/ ─► grafana/
                 └── durable receipt: acknowledge ◄ one    ├─► notify  ─► Telegram, mail, MQTT …
                                        fsync a batch      └─► web     ─► board, API, public page
                 ◄────── acts of people, hints, plugin routes: link.py (a local socket) ──────┘

The journal is the border: ingest writes it and acknowledges what is on disk; serve only reads it.
Each reader has a cursor of its own, so either process may be killed at any instruction and goes on
where its cursor stands. `supervisor.py` starts both and starts again what dies.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from hub import configuration, logs, rulebook, snapshot, supervisor
from hub.backend import HubBackend
from hub.clock import now_ns
from hub.configuration import Configuration
from hub.dirty import Dirty
from hub.engine import Engine
from hub.forward import Forwarder
from hub.gate import Gate
from hub.health import Health
from hub.ingest import Ingest
from hub.journal import Locked, TooNew
from hub.journal.files import identity
from hub.ledger import of_journal
from hub.link import Link
from hub.notify import channels, outbox
from hub.notify.notifier import Notifier
from hub.notify.routing import Router
from hub.problems import Misconfigured
from hub.rollups import Kept, Rollups
from hub.store.choose import open_store, open_tiers
from hub.store.duckdb import DuckStore
from hub.store.rolled import RolledStore
from hub.supervisor import CONFIG_ERROR, AlreadyRunning, Child, FolderLock
from hub.web.app import create_app
from hub.web.serving import PortTaken, listen, serve
from hub.web.tokens import Tokens
from rules.watch import Transition

log = logs.get("hub")

END_S = 20
"""Longer than the supervisor's own patience."""


async def run_ingest(conf: Configuration) -> None:
    """Collectors to journal, until cancelled."""
    ingest = Ingest(conf.settings, conf.inventory, conf.plugins)
    await ingest.run(conf.inventory_text(), conf.rules_text())


async def run_serve(conf: Configuration, *, field_socket: Path | None = None) -> None:
    """Journal to rules, store, people and board, until cancelled."""
    settings, data, health = conf.settings, conf.settings.data, Health()
    # The port first: whoever can't have it should hear so at once, before anything is opened.
    taken = listen(settings.web.host, settings.web.port)
    ledger = of_journal(data / "serve.db", identity(data / "journal"))
    outbox.create(ledger.db)
    link = Link(data / "ingest.sock")
    gate = Gate()
    store, dirty, rollups = _store(conf, ledger.db, gate, health)
    built = channels.build(settings.channels, channels.Tools(logs.get("notify")))
    notifier = Notifier(data / "serve.db", built, logs.get("notify"))
    backend = HubBackend(conf, ledger, link, store, health, notifier, field_socket)
    router = Router(
        settings.teams,
        {name: policy for name, (_, policy) in built.items()},
        backend.facts,
        language=settings.language,
        zone=settings.timezone,
        public_url=settings.web.public_url,
    )

    def owe(db: sqlite3.Connection, transitions: Sequence[Transition]) -> None:
        if transitions and outbox.owe(db, router.messages(transitions), now_ns()):
            asyncio.get_running_loop().call_soon(notifier.wake)

    engine = Engine(
        data / "journal",
        ledger,
        conf.rules,
        rulebook.things(conf.inventory),
        health,
        owe=owe,
        show=backend.live.observe,
        event=backend.event,
        changed=backend.change,
        now_ns=now_ns(),
    )
    forwarder = Forwarder(
        store,
        data / "journal",
        ledger,
        health,
        batch=settings.store.batch,
        linger_s=settings.store.linger_ms / 1000,
        parked=data / "parked.jsonl",
        now=now_ns,
        dirty=dirty,
        gate=gate,
    )
    backend.watch(engine, forwarder)
    app = create_app(
        backend,
        auth=settings.web.auth,
        tokens=Tokens(data / "tokens.json"),
        max_streams=settings.web.max_streams,
    )
    async with AsyncExitStack() as stack:
        stack.callback(ledger.close)
        stack.push_async_callback(store.close)
        stack.push_async_callback(link.close)
        embedded = store.readings if isinstance(store.readings, DuckStore) else None
        copies = snapshot.Snapshots(data / snapshot.LEDGER, embedded, gate)
        await stack.enter_async_context(snapshot.serving(data / snapshot.SOCKET, copies.take))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(forwarder.run(), name="forward")
        group.create_task(rollups.run(), name="rollups")
        group.create_task(engine.run(), name="engine")
        group.create_task(notifier.run(), name="notify")
        group.create_task(backend.run(), name="backend")
        group.create_task(serve(app, taken=taken), name="web")


def _store(
    conf: Configuration, db: sqlite3.Connection, gate: Gate, health: Health
) -> tuple[RolledStore, Dirty | None, Rollups]:
    """The store of the settings with what keeps its rollups; nothing is opened yet."""
    settings, keep = conf.settings.store, conf.settings.store.retention
    dirty = Dirty(db)
    if not settings.rollups:
        dirty.stop()
    store = RolledStore(
        open_store(settings, conf.settings.data, conf.inventory),
        open_tiers(settings),
        dirty,
        raw_kept_ns=keep.raw_ns,
        now=now_ns,
    )
    kept = Kept(keep.raw_ns, keep.five_minutes_ns, keep.hourly_ns)
    rollups = Rollups(store, dirty, gate, health, kept=kept, now=now_ns, compute=settings.rollups)
    return store, dirty if settings.rollups else None, rollups


def run(path: Path, *, field_socket: Path | None = None) -> int:
    """`toba-hub run`: both processes under one supervisor; the exit code."""
    os.umask(supervisor.PRIVATE)
    conf = configuration.load(path)
    logs.set_up(conf.settings.log.level, json=conf.settings.log.json_lines)
    return asyncio.run(_run(conf, field_socket))


async def _run(conf: Configuration, field_socket: Path | None) -> int:
    web = conf.settings.web
    url = f"http://{web.host}:{web.port}"
    lock = FolderLock.take(conf.settings.data, url)
    try:
        listen(web.host, web.port).close()
        stop = asyncio.Event()
        supervisor.on_signals(stop)
        log.info(
            "starting",
            data=str(conf.settings.data),
            board=url,
            rules=len(conf.rules),
            devices=len(conf.inventory.devices),
        )
        return await supervisor.supervise(children(conf.path, field_socket), stop)
    finally:
        lock.release()


def children(path: Path, field_socket: Path | None = None) -> list[Child]:
    """Ingest first, serve second; they end in the other order."""
    extra = ["--field", str(field_socket)] if field_socket else []
    return [
        Child("ingest", ["-m", "hub.app", "ingest", str(path)]),
        Child("serve", ["-m", "hub.app", "serve", str(path), *extra]),
    ]


def _spare_the_garbage_collector() -> None:
    """Look for cycles rarely: what a reading makes is freed by its reference count, and thousands
    of readings a second alive at a time would have everything that lives long searched, too."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _until_stopped(conf: Configuration, process: str, field: Path | None) -> None:
    """Run one process until a signal comes or the supervisor is gone."""
    _spare_the_garbage_collector()
    stop = asyncio.Event()
    supervisor.on_signals(stop)
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _orphaned, stop)
    work = asyncio.create_task(
        run_ingest(conf) if process == "ingest" else run_serve(conf, field_socket=field)
    )
    ending = asyncio.create_task(stop.wait())
    await asyncio.wait({work, ending}, return_when=asyncio.FIRST_COMPLETED)
    # Whatever hangs on the way out, a process without a supervisor must not stay for ever.
    signal.alarm(END_S)
    loop.remove_reader(sys.stdin.fileno())
    ending.cancel()
    if not work.done():
        work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        log.info("ended")


def _orphaned(stop: asyncio.Event) -> None:
    """End when the supervisor's end of our standard input is closed."""
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def main() -> int:
    """Entry of the child processes; people use `toba-hub run`."""
    parser = argparse.ArgumentParser(prog="python -m hub.app")
    parser.add_argument("process", choices=["ingest", "serve"])
    parser.add_argument("settings", type=Path)
    parser.add_argument("--field", type=Path)
    given = parser.parse_args()
    os.umask(supervisor.PRIVATE)
    try:
        conf = configuration.load(given.settings)
        log_settings = conf.settings.log
        logs.set_up(log_settings.level, json=log_settings.json_lines, process=given.process)
        asyncio.run(_until_stopped(conf, given.process, given.field))
    except (Misconfigured, Locked, TooNew, PortTaken, AlreadyRunning) as error:
        sys.stderr.write(f"toba-hub {given.process}: {error}\n")
        return CONFIG_ERROR
    except PermissionError as error:
        sys.stderr.write(f"toba-hub {given.process}: {supervisor.forbidden(error)}\n")
        return CONFIG_ERROR
    except (OSError, sqlite3.Error) as error:
        # A full or broken disk may be mended while we are started again and again.
        sys.stderr.write(f"toba-hub {given.process}: {error}\n")
        return 1
    except KeyboardInterrupt:  # before the signals are ours
        return supervisor.INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
