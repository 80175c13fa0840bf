"""One process of the hub with its end built in.

    python -m tests.chaos.child ingest|serve SETTINGS [--crash POINT:N] [--mutant NAME]

Runs what `hub.app` runs. `--chaos FOLDER` is where hits are noted, repetitions counted, and where
a file named `outage` makes the store fail.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from struct import Struct
from typing import Any

import hub.app
import hub.engine
import hub.ingest
import hub.serve
from hub.api import Redelivery
from hub.committer import Receipt
from hub.redelivery import Window
from hub.settings import Store as StoreSettings
from hub.store.base import Batch, Labels, Store, StoreDown, Written
from hub.store.choose import open_store
from tests.chaos import mutants, points

WITNESS = "witness"
"""A cursor of the harness: the journal is not freed before it was collected."""
SNAPSHOT_S = 0.5
COUNTS = Struct("<QQQ")
"""Messages marked as duplicates that came, those of them that were known, and writes that the
store refused."""


@dataclass(frozen=True)
class Orders:
    """What one process is started with."""

    process: str
    settings: Path
    chaos: Path
    """The harness' own folder."""
    crash: str = ""
    """See `points.Trap`; empty: it lives until it is killed."""
    mutant: str = ""


def obey(orders: Orders) -> int:
    """Patch this process and be the hub."""
    if orders.mutant:
        mutants.install(orders.mutant)
    if orders.crash:
        points.install(points.Trap(orders.crash, orders.chaos / "hits"))
    hub.ingest.CURSORS = (*hub.ingest.CURSORS, WITNESS)  # type: ignore[assignment]
    hub.engine.SNAPSHOT_S = SNAPSHOT_S
    counts = Counts(orders.chaos)
    _count_duplicates(counts)
    _let_the_store_fail(orders.chaos / "outage", counts)
    sys.argv = ["hub.app", orders.process, str(orders.settings)]
    return hub.app.main()


def forked(orders: Orders, life: Connection, log: Path) -> None:
    """Entry of a process of multiprocessing's fork server, which has everything imported.

    `life` becomes the standard input, as under the hub's own supervisor: when the harness ends
    in whatever way, so does this process.
    """
    os.dup2(life.fileno(), 0)
    sys.stdin = os.fdopen(0, closefd=False)
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    random.seed()
    code = obey(orders)
    sys.stderr.flush()
    os._exit(code)


class Counts:
    """In mapped memory, which outlives `kill -9`."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"{os.getpid()}.counts"
        path.write_bytes(bytes(COUNTS.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), COUNTS.size)
        self._came = self._known = self._refused = 0

    def add(self, *, came: int = 0, known: int = 0, refused: int = 0) -> None:
        self._came += came
        self._known += known
        self._refused += refused
        COUNTS.pack_into(self._map, 0, self._came, self._known, self._refused)


def _count_duplicates(counts: Counts) -> None:
    taken = Window.taken

    def takes(self: Window, message: Redelivery) -> Receipt | None:
        found = taken(self, message)
        counts.add(came=1, known=found is not None)
        return found

    Window.taken = takes  # type: ignore[method-assign]


class Flaky:
    """A store that is down while a file exists. Its last write before that was done, and the
    answer lost."""

    def __init__(self, store: Store, outage: Path, counts: Counts) -> None:
        self._store = store
        self._outage = outage
        self._counts = counts
        self._down = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, batch: Batch) -> Written:
        try:
            return await self._write(batch)
        except StoreDown:
            self._counts.add(refused=1)
            raise

    async def _write(self, batch: Batch) -> Written:
        down = self._outage.exists()
        if down and self._down:
            raise StoreDown("the harness has cut the line")
        written = await self._store.write(batch)
        self._down = down
        if down:
            raise StoreDown("the harness has cut the line before the answer came")
        return written


def _let_the_store_fail(outage: Path, counts: Counts) -> None:
    def opens(settings: StoreSettings, data: Path, labels: Labels) -> Any:
        return Flaky(open_store(settings, data, labels), outage, counts)

    hub.serve.open_store = opens  # type: ignore[attr-defined]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.child", description=__doc__)
    parser.add_argument("process", choices=["ingest", "serve"])
    parser.add_argument("settings", type=Path)
    parser.add_argument("--crash", default="", metavar="POINT:N")
    parser.add_argument("--mutant", default="", help="+".join(mutants.MUTANTS))
    parser.add_argument("--chaos", type=Path)
    given = parser.parse_args()
    chaos = given.chaos or given.settings.parent
    return obey(Orders(given.process, given.settings, chaos, given.crash, given.mutant))


if __name__ == "__main__":
    sys.exit(main())
