"""One channel's way out of the outbox. Nothing here waits for another channel.

    due row ─► collapse with what else is owed about its alert ─► out of time? ─► send ─► note
                                                                      │            │
                                            fallback ◄────────────────┴── never ───┘

While the channel works, messages go oldest first. After a failure the whole channel pauses
(full jitter, doubling), and the least tried message goes next: when the channel is dead that
costs nothing, and when only one message is at fault the others get past it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from hub import clock
from hub.api import Log
from hub.clock import NS
from hub.notify import outbox
from hub.notify.channels.base import Channel, NeverWorks, Policy, TryAgain, plain
from hub.notify.message import Message, collapse, instead

FIRST_S = 1.0
LONGEST_S = 300.0
LONGEST_WISH_S = 3_600.0
"""A server's Retry-After is obeyed up to here."""
_LOOK_S = 30.0
"""Look at the outbox at least so often, should a wake-up be missed or the clock be set."""


@dataclass(slots=True)
class Counts:
    """Since the start of this process."""

    sent: int = 0
    failed: int = 0
    expired: int = 0
    merged: int = 0
    retries: int = 0
    trouble: int = 0
    """Failures in a row; 0 while the channel works."""
    last_error: str = ""
    last_sent_ns: int = 0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a lane shares with the others."""

    conn: sqlite3.Connection
    log: Log
    wake: Callable[[str], None]
    """Wake the lane of another channel: something is owed there."""
    now_ns: Callable[[], int] = clock.now_ns
    monotonic: Callable[[], float] = clock.monotonic
    random: random.Random = field(default_factory=random.Random)


class Lane:
    """Sends what one channel owes, one message at a time."""

    def __init__(self, channel: Channel, policy: Policy, around: Surroundings) -> None:
        self.channel = channel
        self.counts = Counts()
        self._policy = policy
        self._around = around
        self._woken = asyncio.Event()
        self._paused_until = 0.0
        self._note: Callable[[], None] | None = None
        """What came of the last message, while the disk refuses to hear it."""
        self._disk_error = ""

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled. A message in flight then stays owed."""
        while True:
            self._woken.clear()
            wait = await self.step()
            if wait == 0:
                await asyncio.sleep(0)  # a channel that never suspends must not starve the rest
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    async def step(self) -> float:
        """Do the next thing there is to do; the seconds until there may be another."""
        paused = self._paused_until - self._around.monotonic()
        if paused > 0:
            return paused
        try:
            if self._note is not None:
                self._noted(self._note)
            owed = self._next()
        except outbox.Unreadable as error:
            self._drop(error)
            return 0
        except sqlite3.Error as error:
            return self._disk_trouble(error)
        if owed is None:
            return self._until_due()
        if self._out_of_time(owed):
            self._give_up(owed.message, outbox.expired, owed.last_error)
            self.counts.expired += 1
        else:
            await self._attempt(owed)
        return 0

    def _next(self) -> outbox.Owed | None:
        """What is to be sent now, everything owed about its alert collapsed into it."""
        conn, now_ns = self._around.conn, self._around.now_ns()
        name, trouble = self.channel.name, self.counts.trouble > 0
        rows = outbox.due(conn, now_ns, name, least_tried_first=trouble)
        if not rows:
            return None
        *earlier, last = outbox.of_alert(conn, name, rows[0].message.alert)
        if not earlier:
            return last
        old = [row.message for row in earlier]
        one = collapse(old, last.message)
        with outbox.transaction(conn):
            outbox.merge(conn, old, one, now_ns)
        self.counts.merged += len(old)
        return outbox.Owed(one, last.created_ns, last.attempts, last.last_error)

    def _out_of_time(self, owed: outbox.Owed) -> bool:
        """Never before one attempt: the hub may have been off, or its clock just been set."""
        age_ns = self._around.now_ns() - owed.created_ns
        return owed.attempts > 0 and age_ns > self._policy.ttl_s * NS

    async def _attempt(self, owed: outbox.Owed) -> None:
        message = owed.message
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                await self.channel.send(message)
        except NeverWorks as error:
            self.counts.failed += 1
            self._fails(plain(error))
            self._give_up(message, outbox.failed, plain(error))
        except TryAgain as error:
            self._later(owed, plain(error), error.retry_after_s)
        except TimeoutError:
            self._later(owed, f"no answer within {self._policy.timeout_s:g} s")
        except Exception as error:  # a fault in one channel's code must not end its lane
            self._later(owed, f"BUG in the channel: {type(error).__name__}: {plain(error)}")
        else:
            self._sent(message)

    def _sent(self, message: Message) -> None:
        counts, now_ns = self.counts, self._around.now_ns()
        if counts.trouble:
            self._around.log.info("channel works again", channel=self.channel.name)
        counts.sent += 1
        counts.trouble, counts.last_error, counts.last_sent_ns = 0, "", now_ns
        self._keep(lambda: outbox.sent(self._around.conn, message.key, now_ns))

    def _later(self, owed: outbox.Owed, error: str, wish_s: float | None = None) -> None:
        self.counts.retries += 1
        if not self.counts.trouble:
            self._around.log.warning(
                "channel fails, trying again", channel=self.channel.name, error=error
            )
        self._fails(error)
        wish = min(wish_s or 0.0, LONGEST_WISH_S)
        pause = max(wish, self._jitter(self.counts.trouble))
        again = max(wish, self._jitter(owed.attempts + 1))
        self._paused_until = self._around.monotonic() + pause
        next_ns = self._around.now_ns() + round(again * NS)
        self._keep(lambda: outbox.retry(self._around.conn, owed.message.key, next_ns, error))

    def _fails(self, error: str) -> None:
        self.counts.trouble += 1
        self.counts.last_error = error

    def _jitter(self, failures: int) -> float:
        """Anything up to the doubled span, so that what failed together comes back apart."""
        span = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 30))
        return self._around.random.uniform(0, span)

    def _give_up(
        self, message: Message, how: Callable[[sqlite3.Connection, str, int, str], None], error: str
    ) -> None:
        """Note it and owe it to the fallback, both or neither."""
        conn, fallback, now_ns = self._around.conn, self._policy.fallback, self._around.now_ns()
        self._around.log.error(
            "notification given up",
            channel=self.channel.name,
            key=message.key,
            title=message.title,
            how=how.__name__,
            error=error,
            fallback=fallback or "none",
        )

        def note() -> None:
            how(conn, message.key, now_ns, error)
            if fallback:
                outbox.owe_anyway(conn, instead(message, fallback), now_ns)

        self._keep(note)
        if fallback:
            self._around.wake(fallback)

    def _drop(self, error: outbox.Unreadable) -> None:
        self.counts.failed += 1
        self._around.log.error("notification given up", channel=self.channel.name, error=str(error))
        now_ns = self._around.now_ns()
        self._keep(lambda: outbox.failed(self._around.conn, error.key, now_ns, str(error)))

    def _keep(self, note: Callable[[], None]) -> None:
        """Write what came of a message; if the disk refuses, remember it, don't send again."""
        try:
            self._noted(note)
        except sqlite3.Error as error:
            self._note = note
            self._disk_trouble(error)

    def _noted(self, note: Callable[[], None]) -> None:
        with outbox.transaction(self._around.conn):
            note()
        self._note = None
        self._disk_error = ""

    def _disk_trouble(self, error: sqlite3.Error) -> float:
        if not self._disk_error:
            self._around.log.error(
                "the outbox can't be used, trying again",
                channel=self.channel.name,
                error=plain(error),
            )
        self._disk_error = plain(error)
        self._paused_until = self._around.monotonic() + 5.0
        return 5.0

    def _until_due(self) -> float:
        next_ns = outbox.backlog(self._around.conn, self.channel.name).next_ns
        if next_ns is None:
            return _LOOK_S
        return min(_LOOK_S, max(0.01, (next_ns - self._around.now_ns()) / NS))
