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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub import serveside
from hub.api import TryAgain
from hub.gate import Gate
from hub.store.duckdb import DuckStore

LEDGER = "serve.db"
READINGS = "readings.duckdb"
PAUSE_S = 30.0
"""How long a write under way is waited for: one to a store that is away goes on for ever."""


class Snapshots:
    """Makes the copies. `store` is None where readings are elsewhere (InfluxDB)."""

    def __init__(self, ledger: Path, store: DuckStore | None, gate: Gate) -> None:
        self._ledger = ledger
        self._store = store
        self._gate = gate

    async def answer(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """`take` for who asks over the socket."""
        await self.take(Path(said["folder"]), bool(said["readings"]))
        return {}

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


async def ask(data: Path, folder: Path, readings: bool) -> None:
    """Have a running hub write the copies into `folder`. Raises TryAgain."""
    said = {"folder": str(folder.resolve()), "readings": readings}
    await serveside.ask(data, "snapshot", said)
