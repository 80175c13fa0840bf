"""One fsync a batch: whatever arrives while one batch is being synced is the next batch."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import Any

from hub import logs
from hub.api import TryAgain
from hub.health import Health
from hub.journal import Class, Journal
from hub.journal.writer import Draft

log = logs.get("journal")

_BATCH_BYTES = 8 * 1024 * 1024
_RETRY_S = 0.5


class Receipt:
    """Await it to know that the records are on disk; gives the first one's id.

    Shared by all who wait for a batch, so being cancelled yourself cancels nobody else.
    """

    __slots__ = ("_offset", "batch")

    def __init__(self, batch: asyncio.Future[int], offset: int) -> None:
        self.batch = batch
        """The fsync's future; watch it, never cancel it."""
        self._offset = offset

    def __await__(self) -> Generator[Any, None, int]:
        first = yield from asyncio.shield(self.batch).__await__()
        return first + self._offset

    def pending(self) -> bool:
        """True while it is not decided yet."""
        return not self.batch.done()

    def durable(self) -> bool:
        """True once the records are surely on disk."""
        return self.batch.done() and not self.batch.cancelled() and self.batch.exception() is None


class Committer:
    """Feeds the journal from the event loop; the fsync runs in a thread."""

    def __init__(self, journal: Journal, health: Health) -> None:
        self.journal = journal
        self._health = health
        self._drafts: list[Draft] = []
        self._bytes = 0
        self._batch: asyncio.Future[int] | None = None
        self._wake = asyncio.Event()
        self._closing = False

    def submit(self, drafts: Sequence[Draft], klass: int) -> Receipt:
        """Queue records. The receipt raises `TryAgain` when they can't be kept.

        A full class is refused at once: its source keeps the message, or the reading is
        dropped and counted by the caller. Acts have no quota here, only the disk.
        """
        loop = asyncio.get_running_loop()
        if klass != Class.ACT and not (self.journal.room(klass) and self._bytes < _BATCH_BYTES):
            refused: asyncio.Future[int] = loop.create_future()
            refused.set_exception(TryAgain(f"the journal has no room for {Class(klass).name}"))
            refused.exception()
            return Receipt(refused, 0)
        if self._batch is None:
            self._batch = loop.create_future()
        receipt = Receipt(self._batch, len(self._drafts))
        self._drafts += drafts
        self._bytes += sum(len(draft[3]) for draft in drafts)
        self._wake.set()
        return receipt

    def room(self, klass: int) -> bool:
        """False when a reading of that class would be refused now."""
        return self.journal.room(klass) and self._bytes < _BATCH_BYTES

    async def run(self) -> None:
        """Write batches until closed. Never cancel it: an append would go on in its thread."""
        while not self._closing or self._drafts:
            await self._wake.wait()
            await self._commit()

    def close(self) -> None:
        """Take what is queued to the disk, then end `run`."""
        self._closing = True
        self._wake.set()

    async def _commit(self) -> None:
        drafts, batch = self._drafts, self._batch
        self._drafts, self._batch, self._bytes = [], None, 0
        self._wake.clear()
        if batch is None:
            return
        try:
            first, last = await asyncio.to_thread(self.journal.append, drafts)
        except OSError as error:
            # Nobody was told that these are safe, and the file is as it was before: sources that
            # keep their messages send them again, polled readings are gone and counted.
            self._health.count("journal_errors")
            self._health.count("dropped", len(drafts), reason="journal_write_failed")
            log.error("the journal can't be written", error=str(error), records=len(drafts))
            batch.set_exception(TryAgain(f"the journal can't be written: {error.strerror}"))
            batch.exception()
            await asyncio.sleep(_RETRY_S)
            return
        self._health.count("journal_records", last - first + 1)
        self._health.count("journal_syncs")
        batch.set_result(first)
