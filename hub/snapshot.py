"""What only the serve process can copy: serve.db and readings.duckdb, both of one moment.

`toba-hub backup` asks for it over a local socket, since DuckDB admits one process. The gate is
closed for the moment in which both are fixed: no batch and no rollup is half in one and half in the
other. So in the copies, as in life, an alert's point is in serve.db or in the store, a bucket's
mark is there or its rollup is, and a batch that the store has is not written again. DuckDB's copy
is then written from a transaction that began in that moment, while the hub works on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from hub import logs
from hub.api import TryAgain
from hub.gate import Gate
from hub.store.base import StoreDown, StoreRefused
from hub.store.duckdb import DuckStore

log = logs.get("snapshot")

SOCKET = "serve.sock"
LEDGER = "serve.db"
READINGS = "readings.duckdb"
PAUSE_S = 30.0
"""How long a write under way is waited for: one to a store that is away goes on for ever."""

Take = Callable[[Path, bool], Awaitable[None]]


class Snapshots:
    """Makes the copies. `store` is None where readings are elsewhere (InfluxDB)."""

    def __init__(self, ledger: Path, store: DuckStore | None, gate: Gate) -> None:
        self._ledger = ledger
        self._store = store
        self._gate = gate

    async def take(self, folder: Path, readings: bool) -> None:
        """Write the copies into an existing folder. Raises TryAgain, StoreDown, sqlite3.Error."""
        store = self._store if readings else None
        try:
            async with asyncio.timeout(PAUSE_S) as limit, self._gate.closed():
                limit.reschedule(None)
                copy = await store.snapshot(folder / READINGS) if store else None
                await asyncio.to_thread(copy_ledger, self._ledger, folder / LEDGER)
        except TimeoutError:
            raise TryAgain(
                f"a write to the store has not ended for {PAUSE_S:g} s; see toba-hub doctor"
            ) from None
        if copy is not None:
            await copy()


def copy_ledger(source: Path, target: Path) -> None:
    """SQLite's own backup: one moment of a database that others write. Raises sqlite3.Error."""
    reading, writing = sqlite3.connect(source), sqlite3.connect(target)
    try:
        reading.backup(writing)
    finally:
        writing.close()
        reading.close()


@asynccontextmanager
async def serving(path: Path, take: Take) -> AsyncIterator[None]:
    """Answer `ask` on a socket that only this user may open."""

    async def snapshot(request: web.Request) -> web.Response:
        try:
            said = await request.json()
            await take(Path(said["folder"]), bool(said["readings"]))
        except (TryAgain, StoreDown, StoreRefused, sqlite3.Error, OSError) as error:
            log.error("no snapshot", why=str(error))
            return web.json_response({"error": str(error)}, status=503)
        except (ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": repr(error)}, status=400)
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/snapshot", snapshot)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    path.unlink(missing_ok=True)
    await web.UnixSite(runner, str(path)).start()
    path.chmod(0o600)
    try:
        yield
    finally:
        await runner.cleanup()


async def ask(path: Path, folder: Path, readings: bool) -> None:
    """Have a running hub write the copies into `folder`. Raises TryAgain."""
    body: Mapping[str, Any] = {"folder": str(folder.resolve()), "readings": readings}
    connector = aiohttp.UnixConnector(str(path))
    # Copying takes as long as it takes; a process that dies closes the socket.
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        try:
            async with session.post("http://serve/snapshot", json=body) as response:
                answer = await response.json()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TryAgain(f"the serve process does not answer: {error}") from None
    if "error" in answer:
        raise TryAgain(f"the hub can't copy its databases: {answer['error']}")
