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
where its cursor stands. `supervisor.py` starts both and starts again what dies; `ingest.py` and
`serve.py` put each together.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import sqlite3
import sys
from pathlib import Path

from hub import configuration, logs, supervisor
from hub.configuration import Configuration
from hub.journal import Locked, OtherFormat
from hub.problems import Misconfigured
from hub.supervisor import CONFIG_ERROR, AlreadyRunning, Child, FolderLock
from hub.web.address import PortTaken, listen

log = logs.get("hub")

END_S = 20
"""Longer than the supervisor's own patience."""


# Neither process pays for what only the other one imports: that is half a second of each start.


async def run_ingest(conf: Configuration) -> None:
    """Collectors to journal, until cancelled."""
    from hub.ingest import Ingest

    ingest = Ingest(conf)
    asked: set[asyncio.Task[None]] = set()

    def reload() -> None:
        task = asyncio.create_task(ingest.in_force.reload_quietly(), name="reload")
        asked.add(task)
        task.add_done_callback(asked.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await ingest.run()


async def run_serve(conf: Configuration, *, field_socket: Path | None = None) -> None:
    """Journal to rules, store, people and board, until cancelled."""
    from hub.serve import serve

    await serve(conf, field_socket=field_socket)


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
        processes = children(conf.path, field_socket)
        # Ingest reads the files again and writes into the journal what is in force; serve reads it.
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGHUP, processes[0].signal, signal.SIGHUP
        )
        log.info(
            "starting",
            data=str(conf.settings.data),
            board=url,
            rules=len(conf.rules),
            devices=len(conf.inventory.devices),
        )
        return await supervisor.supervise(processes, stop)
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
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload begins in ingest
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
    except (Misconfigured, Locked, OtherFormat, PortTaken, AlreadyRunning) as error:
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
