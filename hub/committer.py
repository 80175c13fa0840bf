"""One fsync a batch: whatever arrives while one batch is being synced is the next batch."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hub import logs
from hub.api import TryAgain
from hub.health import Health
from hub.journal import Class, Journal, Kind
from hub.journal.writer import Draft
from hub.records import join_readings

log = logs.get("journal")

_BATCH_BYTES = 8 * 1024 * 1024
_RETRY_S = 0.5
_SHEAF = 64
"""Messages in one record at most, each of `_SMALL` bytes at most."""
_SMALL = 1024


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


class Sheaf:
    """A record in the making. Sensors' messages share one, since readers pay by the record."""

    __slots__ = ("_kind", "_klass", "payloads", "time_ns")

    def __init__(self, time_ns: int, kind: int, klass: int, payload: bytes) -> None:
        self.time_ns = time_ns
        """When the last message came: none in it is from the future."""
        self._kind = kind
        self._klass = klass
        self.payloads = [payload]

    def draft(self) -> Draft:
        return self.time_ns, self._kind, self._klass, join_readings(self.payloads)


class Committer:
    """Feeds the journal from the event loop; the fsync runs in a thread."""

    def __init__(self, journal: Journal, health: Health) -> None:
        self.journal = journal
        self._health = health
        self._sheaves: list[Sheaf] = []
        self._open: Sheaf | None = None
        """The last one, while it takes more messages."""
        self._bytes = 0
        self.trouble = ""
        """Why the journal can't be written at the moment; empty: it can."""
        # A thread of its own: in the shared pool an fsync would queue behind slow name look-ups.
        self._thread = ThreadPoolExecutor(1, "journal")
        self._batch: asyncio.Future[int] | None = None
        self._wake = asyncio.Event()
        self._closing = False

    def submit(self, drafts: Sequence[Draft], klass: int) -> Receipt:
        """Queue records. The receipt raises `TryAgain` when they can't be kept.

        A full class is refused at once: its source keeps the message, or the reading is
        dropped and counted by the caller. Acts have no quota here, only the disk.
        """
        if self._closing:
            return _refused("the hub is ending")
        if klass != Class.ACT and not self.room(klass):
            return _refused(f"the journal has no room for {Class(klass).name}")
        batch = self._batch
        if batch is None:
            batch = self._batch = asyncio.get_running_loop().create_future()
            self._wake.set()
        offset = -1
        for draft in drafts:
            self._bind(draft)
            if offset < 0:
                offset = len(self._sheaves) - 1
        return Receipt(batch, offset)

    def _bind(self, draft: Draft) -> None:
        """Put a record behind the others, or a message into the record that is still open."""
        time_ns, kind, klass, payload = draft
        self._bytes += len(payload)
        joins = kind == Kind.READINGS and klass == Class.ACKNOWLEDGED and len(payload) <= _SMALL
        if joins and self._open is not None:
            self._open.payloads.append(payload)
            self._open.time_ns = time_ns
            if len(self._open.payloads) == _SHEAF:
                self._open = None
            return
        sheaf = Sheaf(time_ns, kind, klass, payload)
        self._sheaves.append(sheaf)
        self._open = sheaf if joins else None

    def room(self, klass: int) -> bool:
        """False when a reading of that class would be refused now."""
        return self.journal.room(klass) and self._bytes < _BATCH_BYTES

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
        self._wake.set()

    async def _commit(self) -> None:
        batch, drafts = self._batch, [sheaf.draft() for sheaf in self._sheaves]
        self._sheaves, self._open, self._batch, self._bytes = [], None, None, 0
        self._wake.clear()
        if batch is None:
            return
        loop = asyncio.get_running_loop()
        try:
            first, last = await loop.run_in_executor(self._thread, self.journal.append, drafts)
        except OSError as error:
            self._failed(drafts, error)
            _refuse(batch, self.trouble)
            # While ending there is no time to wait for space.
            await asyncio.sleep(0 if self._closing else _RETRY_S)
            return
        except BaseException:
            # A bug, or our own cancellation: nobody may wait for ever, and nobody acknowledges.
            _refuse(batch, "the journal's writer ended")
            raise
        if self.trouble:
            log.info("the journal is written again")
            self.trouble = ""
        self._health.count("journal_records", last - first + 1)
        self._health.count("journal_syncs")
        batch.set_result(first)

    def _failed(self, drafts: Sequence[Draft], error: OSError) -> None:
        """Nobody was told that these are safe, and the file is as it was before: sources that
        keep their messages send them again, what was polled is gone and counted."""
        gone = sum(klass == Class.POLLED for _, _, klass, _ in drafts)
        self._health.count("journal_errors")
        if gone:
            self._health.count("dropped", gone, reason="journal_write_failed")
        if not self.trouble:
            log.error("the journal can't be written; nothing is acknowledged", error=str(error))
        self.trouble = f"the journal can't be written: {error.strerror or error}"


def _refused(why: str) -> Receipt:
    """A receipt that was decided at once."""
    batch: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    _refuse(batch, why)
    return Receipt(batch, 0)


def _refuse(batch: asyncio.Future[int], why: str) -> None:
    if not batch.done():
        batch.set_exception(TryAgain(why))
        batch.exception()  # it is no mistake to let it go unseen
