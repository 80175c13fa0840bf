"""Hubs with one promise broken. The harness must find each of them guilty, or it proves nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from hub.committer import Committer, Hand, Receipt
from hub.engine import Engine
from hub.journal.files import Mark
from hub.journal.writer import Draft
from hub.redelivery import Window
from hub.store.base import Batch, Written
from hub.store.duckdb import DuckStore


def install(names: str) -> None:
    """Break it in this process; several ways at once are joined by `+`."""
    for name in names.split("+"):
        MUTANTS[name]()


def _ack_before_fsync() -> None:
    """A receipt is done as soon as the records are queued."""
    submit = Committer.submit

    def submits(self: Committer, drafts: Iterable[Draft | Hand], klass: int) -> Receipt:
        submit(self, drafts, klass).batch.add_done_callback(lambda done: done.exception())
        early: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        early.set_result(0)
        return Receipt(early, 0)

    Committer.submit = submits  # type: ignore[method-assign]


def _no_fsync() -> None:
    """Nothing is ever synced; only what a power cut would take shows it."""
    os.fdatasync = os.fsync = lambda handle: None  # type: ignore[assignment]


def _no_fsync_at_start() -> None:
    """What the process before wrote and did not sync is taken for durable."""
    fsync = os.fsync

    def syncs(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().suffix != ".seg":
            fsync(handle)

    os.fsync = syncs  # type: ignore[assignment]


def _no_redelivery() -> None:
    """A message that comes again is always a new one."""

    Window.taken = lambda self, message: None  # type: ignore[method-assign]


def _write_behind() -> None:
    """The store says that it has a batch when it has the one before."""
    write = DuckStore.write
    held: list[Batch] = []

    async def writes(self: DuckStore, batch: Batch) -> Written:
        held.append(batch)
        return Written() if len(held) == 1 else await write(self, held.pop(0))

    DuckStore.write = writes  # type: ignore[method-assign]


def _skip_tail() -> None:
    """The engine begins at the journal's end instead of folding on from its snapshot."""
    run = Engine.run

    async def runs(self: Engine) -> None:
        if self.fold.last_id:
            self.fold.last_id = max(self.fold.last_id, Mark(self._folder, write=False).get())
        await run(self)

    Engine.run = runs  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "ack_before_fsync": _ack_before_fsync,
    "no_fsync": _no_fsync,
    "no_fsync_at_start": _no_fsync_at_start,
    "no_redelivery": _no_redelivery,
    "write_behind": _write_behind,
    "skip_tail": _skip_tail,
}
