"""Drives the fold over the journal: its state is snapshot + tail.

    journal ─► Fold ─► Outcome: transitions, points, acts ─► ledger, with what is owed for them,
                │                                            in one transaction, ids from the record
                └─► snapshot, now and then ──────────────►   likewise; then the cursor

Started again, it loads the snapshot and folds on from there: the same records give the same
transitions with the same ids, and the ledger takes each once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from hub import logs
from hub.clock import NS, monotonic
from hub.decoded import Decoded
from hub.fold import Fold
from hub.health import Health
from hub.journal import Reader, Record
from hub.journal.files import Cursor
from hub.ledger import Ledger
from hub.outcome import Outcome
from hub.reading import Reading
from rules.recorders import Recorders
from rules.rule import Rule
from rules.thing import Thing
from rules.watch import Transition

log = logs.get("engine")

POLL_S = 0.02
READ_BYTES = 256 * 1024
SNAPSHOT_S = 10.0
SNAPSHOT_SHARE = 200
"""Nothing is folded while the state is kept; of the time that may be one part in so many."""
PRIME = 5_000
"""Records before the cursor that are shown on the board after a restart."""
SAID_AT_ONCE = 20
"""Lines of the log for the transitions of one commit; thousands at once are not read by anybody."""
STALE_NS = 600 * NS
"""Without any state of before, alerts older than this at the start are told to nobody."""
RETRY_S = 1.0


class Telling(Protocol):
    """Who must hear of it; everything in the transaction that stores the transitions."""

    def owe(self, db: sqlite3.Connection, transitions: Sequence[Transition]) -> object: ...

    def wants(self, db: sqlite3.Connection, now_ns: int) -> bool:
        """Whether `tick` would do anything at that time of the journal."""
        ...

    def tick(self, db: sqlite3.Connection, now_ns: int) -> object:
        """What time alone brings: escalations, reminders, hand-overs."""
        ...


class Engine:
    """One reader of the journal for the rules and the board."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        rules: Sequence[Rule],
        things: Sequence[Thing],
        health: Health,
        *,
        telling: Telling,
        show: Callable[[Sequence[Reading], int], None],
        event: Callable[[dict[str, Any]], None],
        changed: Callable[[], None],
        configured: Callable[[], None] = lambda: None,
        now_ns: int = 0,
        decoded: Decoded | None = None,
        recorders: Recorders | None = None,
    ) -> None:
        """`changed` is called after each stretch of records; `now_ns` is when the process started.
        The others are the fold's."""
        self._folder = folder
        self._ledger = ledger
        self._health = health
        self._telling = telling
        self._changed = changed
        self._cursor = Cursor(folder, "engine")
        self.fold = Fold(
            ledger,
            rules,
            things,
            health,
            show=show,
            event=event,
            configured=configured,
            decoded=decoded,
            recorders=recorders,
        )
        self.trouble = ""
        """Why nothing is folded at the moment; empty: all is well."""
        self._tell_from_ns = 0 if self.fold.last_id else now_ns - STALE_NS
        self._kept_id = self.fold.last_id
        self._kept_at = monotonic()
        self._keeping_s = 0.0
        """How long the last snapshot took."""
        self._asked_ns = 0
        """The newest tick at which nothing more was to be told."""
        self._reader: Reader | None = None
        self._owing = False
        """True while what was folded is not committed: the fold is ahead of the ledger."""

    def backlog(self) -> int:
        """Records that are durable and not folded yet."""
        return self._reader.backlog() if self._reader else 0

    def behind_ns(self, now_ns: int) -> int:
        """How old the last folded record is, while there are more to fold."""
        last_ns = self.fold.last_ns
        return max(0, now_ns - last_ns) if last_ns and self.backlog() else 0

    def durable_id(self) -> int:
        """The newest id on disk, as the journal's mark says just now."""
        return self._reader.next_id - 1 + self._reader.backlog() if self._reader else 0

    async def run(self) -> None:
        """Until cancelled; keeps the state once more at the end."""
        self._reader = Reader(self._folder, max(0, self.fold.last_id - PRIME))
        try:
            while True:
                records = self._reader.read(READ_BYTES)
                if not records:
                    if self._keep_now():
                        await self._insist(Outcome(), keep=True)
                    await asyncio.sleep(POLL_S)
                    continue
                self._lost(self._reader)
                await self._take(records)
                self._changed()
                await asyncio.sleep(0)
        finally:
            self._reader.close()
            if not self._owing:
                with suppress(sqlite3.Error):  # what is not kept is folded again
                    self._commit(Outcome(), keep=True)

    async def _take(self, records: Sequence[Record]) -> None:
        self._owing = True
        out = Outcome()
        for record in records:
            self.fold.take(record, out, repeat=record.id > self._kept_id)
        await self._insist(out, keep=self._keep_now())

    def _keep_now(self) -> bool:
        """Is it time for a snapshot? The more there is to keep, the rarer."""
        pause = max(SNAPSHOT_S, SNAPSHOT_SHARE * self._keeping_s)
        return monotonic() - self._kept_at > pause

    async def _insist(self, out: Outcome, *, keep: bool) -> None:
        """Commit, however long the disk refuses. Nothing more is folded meanwhile."""
        while True:
            try:
                self._commit(out, keep=keep)
            except sqlite3.OperationalError as error:
                if not self.trouble:
                    log.error("alerts can't be kept, trying again", why=str(error))
                self.trouble = f"alerts can't be kept: {error}"
                await asyncio.sleep(RETRY_S)
                continue
            if self.trouble:
                log.info("alerts are kept again")
            self.trouble, self._owing = "", False
            return

    def _tell(self, db: sqlite3.Connection, transitions: Sequence[Transition]) -> None:
        """Owe people what is news, and what they have left unanswered. Folding an old journal anew
        brings up no old stories."""
        self._telling.owe(db, [t for t in transitions if t.time_ns >= self._tell_from_ns])
        if self.fold.ticked_ns >= self._tell_from_ns and self._telling.wants(
            db, self.fold.ticked_ns
        ):
            self._telling.tick(db, self.fold.ticked_ns)

    def _commit(self, out: Outcome, *, keep: bool) -> None:
        fold, ticked_ns = self.fold, self.fold.ticked_ns
        keep = keep and fold.last_id > self._kept_id
        late = ticked_ns > self._asked_ns and self._telling.wants(self._ledger.db, ticked_ns)
        if not (out or keep or late):
            self._asked_ns = ticked_ns
            return
        began = monotonic()
        snapshot = fold.snapshot() if keep else None
        new = self._ledger.commit(out, self._tell, snapshot)
        self._health.count("transitions", new)
        self._say(out.transitions)
        if snapshot is None:
            return
        fold.kept()
        self._kept_id, self._kept_at = snapshot.last_id, monotonic()
        self._keeping_s = self._kept_at - began
        # Behind the commit: the journal may free what this snapshot has taken in.
        # An older cursor only keeps a segment longer.
        with suppress(OSError):
            self._cursor.set(snapshot.last_id)

    def _say(self, transitions: Sequence[Transition]) -> None:
        for t in transitions[:SAID_AT_ONCE]:
            log.info("alert", rule=t.rule, device=t.device, before=t.before, after=t.after)
        if len(transitions) > SAID_AT_ONCE:
            log.info("and more alerts", number=len(transitions) - SAID_AT_ONCE)

    def _lost(self, reader: Reader) -> None:
        for lost in reader.lost:
            if lost.last_id > self.fold.last_id and lost.first_id > 1:
                log.error("records are lost", what=str(lost))
        reader.lost.clear()
