"""One fsync a batch: whatever arrives while one batch is being synced is the next batch.

While the disk takes nothing, the batch is tried again with growing pauses and the same bytes; the
event loop goes on meanwhile, so that keep-alives are answered. Receipts stay pending: nobody
acknowledges, nobody is told that it failed, and when there is space again all that waits is
written. What waits is bounded. Beyond that new records are refused: a source that keeps its
messages sends them again, polled readings are dropped and counted by the caller. A receipt fails
when its records were refused at once, or when the hub ends and a last attempt failed too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple

from hub import logs
from hub.api import Redelivery, TryAgain
from hub.health import Health
from hub.journal import Class, Journal, Kind
from hub.journal.writer import Draft
from hub.records import Sheaf, Wire

log = logs.get("journal")

_BATCH_BYTES = 8 * 1024 * 1024
_ACT_BYTES = 1024 * 1024
"""Acts and ticks may wait in this much more."""
_DRAFT_BYTES = 128
"""What a waiting record costs beside its payload."""
RETRY_S = (0.25, 5.0)
"""First and longest pause while the journal can't be written."""
_SHEAF = 64
"""Messages in one record at most."""


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


class Hand(NamedTuple):
    """A small message, to share a record with others."""

    collector: str
    readings: Sequence[Wire]
    message: Redelivery
    time_ns: int
    size: int
    """Bytes it came as."""


class Committer:
    """Feeds the journal from the event loop; the fsync runs in a thread."""

    def __init__(self, journal: Journal, health: Health) -> None:
        self.journal = journal
        self._health = health
        self._queue: list[Draft | Sheaf] = []
        self._open: Sheaf | None = None
        """The last one in the queue, while it takes more messages."""
        self._bytes = 0
        self.trouble = ""
        """Why the journal can't be written at the moment; empty: it can."""
        # A thread of its own: in the shared pool an fsync would queue behind slow name look-ups.
        self._thread = ThreadPoolExecutor(1, "journal")
        self._batch: asyncio.Future[int] | None = None
        self._wake = asyncio.Event()
        self._ending = asyncio.Event()
        self._closing = False

    def submit(self, drafts: Iterable[Draft | Hand], klass: int) -> Receipt:
        """Queue records. The receipt raises `TryAgain` when they can't be kept.

        A full class is refused at once: its source keeps the message, or the reading is
        dropped and counted by the caller.
        """
        if self._closing:
            return _refused("the hub is ending")
        if not self.room(klass):
            return _refused(f"the journal has no room for {Class(klass).name}")
        batch = self._batch
        if batch is None:
            batch = self._batch = asyncio.get_running_loop().create_future()
            self._wake.set()
        offset = -1
        for draft in drafts:
            if isinstance(draft, Hand):
                self._bind(draft)
            else:
                self._queue.append(draft)
                self._open = None
                self._bytes += len(draft[3]) + _DRAFT_BYTES
            if offset < 0:
                offset = len(self._queue) - 1
        return Receipt(batch, offset)

    def _bind(self, hand: Hand) -> None:
        """Put a message into the record that is still open, or into a new one."""
        collector, readings, message, time_ns, size = hand
        sheaf = self._open
        if sheaf is None or sheaf.count == _SHEAF or sheaf.collector != collector:
            sheaf = self._open = Sheaf(collector)
            self._queue.append(sheaf)
        sheaf.add(readings, message, time_ns)
        self._bytes += size + _DRAFT_BYTES

    def room(self, klass: int) -> bool:
        """False when a record of that class would be refused now."""
        limit = _BATCH_BYTES + (_ACT_BYTES if klass == Class.ACT else 0)
        return self._bytes < limit and self.journal.room(klass)

    async def run(self) -> None:
        """Write batches until closed. Never cancel it: an append would go on in its thread."""
        try:
            while not self._closing or self._batch is not None:
                await self._wake.wait()
                await self._commit()
        finally:
            self._closing = True
            self._thread.shutdown(wait=False)

    def close(self) -> None:
        """Take what is queued to the disk, then end `run`; what comes later is refused."""
        self._closing = True
        self._ending.set()
        self._wake.set()

    async def _commit(self) -> None:
        batch, drafts = self._batch, [_draft(queued) for queued in self._queue]
        self._queue, self._open, self._batch, self._bytes = [], None, None, 0
        self._wake.clear()
        if batch is None:
            return
        try:
            found = await self._append(drafts)
        except BaseException:
            # A bug, or our own cancellation: nobody may wait for ever, and nobody acknowledges.
            _refuse(batch, "the journal's writer ended")
            raise
        if found is None:
            gone = sum(klass == Class.POLLED for _, _, klass, _ in drafts)
            if gone:
                self._health.count("dropped", gone, reason="journal_write_failed")
            _refuse(batch, self.trouble)
            return
        first, last = found
        self._health.count("journal_records", last - first + 1)
        self._health.count("journal_syncs")
        batch.set_result(first)

    async def _append(self, drafts: Sequence[Draft]) -> tuple[int, int] | None:
        """First and last id; None if the hub ends before there is space."""
        loop = asyncio.get_running_loop()
        pause = RETRY_S[0]
        while True:
            last_attempt = self._closing
            try:
                found = await loop.run_in_executor(self._thread, self.journal.append, drafts)
            except OSError as error:
                self._failed(error)
            else:
                if self.trouble:
                    log.info("the journal is written again")
                    self.trouble = ""
                return found
            if last_attempt:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ending.wait()
            pause = min(pause * 2, RETRY_S[1])

    def _failed(self, error: OSError) -> None:
        """The file is as it was before, and nobody was told that these records are safe."""
        self._health.count("journal_errors")
        if not self.trouble:
            log.error("the journal can't be written; nothing is acknowledged", error=str(error))
        self.trouble = f"the journal can't be written: {error.strerror or error}"


def _draft(queued: Draft | Sheaf) -> Draft:
    if isinstance(queued, Sheaf):
        return queued.time_ns, Kind.READINGS, Class.ACKNOWLEDGED, queued.pack()
    return queued


def on_disk() -> Receipt:
    """A receipt for what was found in the journal."""
    batch: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    batch.set_result(0)
    return Receipt(batch, 0)


def _refused(why: str) -> Receipt:
    """A receipt that was decided at once."""
    batch: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _refuse(batch, why)
    return Receipt(batch, 0)


def _refuse(batch: asyncio.Future[int], why: str) -> None:
    if not batch.done():
        batch.set_exception(TryAgain(why))
        batch.exception()  # it is no mistake to let it go unseen
