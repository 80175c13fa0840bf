"""One channel's way out of the outbox. Nothing here waits for another channel.

    due row ─► collapse with what ─► group with what ─► out of time? ─► send ─► note
               is owed on its alert  waits and is alike       │            │
                                                fallback ◄────┴── never ───┘

While the channel works, messages go oldest first. After a failure the whole channel pauses
(full jitter, doubling), and the least tried message goes next: when the channel is dead that
costs nothing, and when only one message is at fault the others get past it. When the channel may
send no more than so much a minute, the last place is for a summary of all that waits (`pace.py`).
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hub import clock
from hub.api import Log
from hub.clock import NS
from hub.network import said
from hub.notify import outbox
from hub.notify.channels.base import Channel, NeverWorks, Policy, TryAgain
from hub.notify.group import group
from hub.notify.message import Message, collapse, instead
from hub.notify.pace import Pace

FIRST_S = 1.0
LONGEST_S = 300.0
LONGEST_WISH_S = 3_600.0
"""A server's Retry-After is obeyed up to here."""
MOST_IN_ONE = 1_000
"""So many alerts are told in one message at most; it bounds the memory."""
ALONE = 16
"""While the channel fails, each so many-th attempt of a message is without company."""
_LOOK_S = 30.0
"""Look at the outbox at least so often, should a wake-up be missed or the clock be set."""


@dataclass(slots=True)
class Counts:
    """Since the start of this process."""

    sent: int = 0
    failed: int = 0
    expired: int = 0
    merged: int = 0
    grouped: int = 0
    """Messages that went out inside another."""
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


class _Told(NamedTuple):
    """What is said of one alert, and the earlier messages that it takes in."""

    owed: outbox.Owed
    earlier: list[Message]


class Lane:
    """Sends what one channel owes, one message at a time."""

    def __init__(self, channel: Channel, policy: Policy, around: Surroundings) -> None:
        self.channel = channel
        self.counts = Counts()
        self._policy = policy
        self._around = around
        self._woken = asyncio.Event()
        self._pace = Pace(policy.per_minute)
        self._paused_until = 0.0
        self._notes: list[Callable[[], None]] = []
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
            if self._notes:
                self._write()
            wait, owed = self._next()
        except outbox.Unreadable as error:
            self._drop(error)
            return 0
        except sqlite3.Error as error:
            return self._disk_trouble(error)
        if not owed:
            return wait
        if len(owed) == 1 and self._out_of_time(owed[0]):
            self._give_up(owed, outbox.expired, owed[0].last_error)
            self.counts.expired += 1
        else:
            await self._attempt(owed)
        return 0

    def _next(self) -> tuple[float, list[outbox.Owed]]:
        """What goes out now as one message; if nothing, the seconds until there may be."""
        conn, now_ns, now = self._around.conn, self._around.now_ns(), self._around.monotonic()
        name, trouble = self.channel.name, self.counts.trouble > 0
        interrupted = outbox.bound(conn, name)
        if interrupted:
            return 0, interrupted
        rows = outbox.due(conn, now_ns, name, least_tried_first=trouble)
        if not rows:
            return self._until_due(), []
        first = rows[0].message
        critical = first.severity == "critical"
        wait = self._pace.wait(now, critical=critical)
        if wait:
            return wait, []
        last_place = self._pace.limit > 1 and self._pace.room(now, critical=critical) == 1
        head = self._of_alert(first.alert)
        found = [head]
        alone = not head.owed.message.bunch or self._spoils(head.owed)
        if not alone and not self._out_of_time(head.owed):
            found += self._company(head.owed.message, now_ns, any_bunch=last_place)
        self._bind(found, now_ns)
        return 0, [one.owed for one in found]

    def _spoils(self, owed: outbox.Owed) -> bool:
        """Send it alone? One that nobody can deliver must not spoil its groups for ever: it failed
        while others got through, or has failed very often."""
        if not self.counts.trouble:
            return False
        others_pass = self.counts.last_sent_ns > owed.created_ns and owed.attempts >= 2
        return others_pass or owed.attempts % ALONE == ALONE - 1

    def _of_alert(self, alert: str) -> _Told:
        """All that is owed about one alert, as one."""
        *earlier, last = outbox.of_alert(self._around.conn, self.channel.name, alert)
        old = [row.message for row in earlier]
        return _Told(replace(last, message=collapse(old, last.message)), old)

    def _company(self, head: Message, now_ns: int, *, any_bunch: bool) -> Iterator[_Told]:
        """What else goes out with it."""
        bunch = None if any_bunch else head.bunch
        for alert in outbox.alike(self._around.conn, now_ns, self.channel.name, bunch, MOST_IN_ONE):
            if alert == head.alert:
                continue
            one = self._of_alert(alert)
            alike = any_bunch or one.owed.message.bunch == bunch
            if alike and not self._out_of_time(one.owed):
                yield one

    def _bind(self, found: Sequence[_Told], now_ns: int) -> None:
        """Note before sending what goes out in one message."""
        if len(found) == 1 and not found[0].earlier:
            return
        with outbox.transaction(self._around.conn):
            for one in found:
                if one.earlier:
                    outbox.merge(self._around.conn, one.earlier, one.owed.message, now_ns)
            if len(found) > 1:
                outbox.bind(self._around.conn, [one.owed.message.key for one in found])
        self.counts.merged += sum(len(one.earlier) for one in found)

    def _out_of_time(self, owed: outbox.Owed) -> bool:
        """Never before one attempt: the hub may have been off, or its clock just been set."""
        age_ns = self._around.now_ns() - owed.created_ns
        return owed.attempts > 0 and age_ns > self._policy.ttl_s * NS

    async def _attempt(self, owed: list[outbox.Owed]) -> None:
        message = group([one.message for one in owed])
        self._pace.note(self._around.monotonic())
        try:
            async with asyncio.timeout(self._policy.timeout_s):
                await self.channel.send(message)
        except NeverWorks as error:
            self.counts.failed += len(owed)
            self._fails(said(error))
            self._give_up(owed, outbox.failed, said(error))
        except TryAgain as error:
            self._later(owed, said(error), error.retry_after_s)
        except TimeoutError:
            self._later(owed, f"no answer within {self._policy.timeout_s:g} s")
        except Exception as error:  # a fault in one channel's code must not end its lane
            self._later(owed, f"BUG in the channel: {type(error).__name__}: {said(error)}")
        else:
            self._sent(owed)

    def _sent(self, owed: list[outbox.Owed]) -> None:
        counts, now_ns = self.counts, self._around.now_ns()
        if counts.trouble:
            self._around.log.info("channel works again", channel=self.channel.name)
        counts.sent += 1
        counts.grouped += len(owed) - 1
        counts.trouble, counts.last_error, counts.last_sent_ns = 0, "", now_ns

        def note() -> None:
            for one in owed:
                outbox.sent(self._around.conn, one.message.key, now_ns)

        self._keep(note)

    def _later(self, owed: list[outbox.Owed], error: str, wish_s: float | None = None) -> None:
        self.counts.retries += 1
        if not self.counts.trouble:
            self._around.log.warning(
                "channel fails, trying again", channel=self.channel.name, error=error
            )
        self._fails(error)
        wish = min(wish_s or 0.0, LONGEST_WISH_S)
        pause = max(wish, self._jitter(self.counts.trouble))
        self._paused_until = self._around.monotonic() + pause
        tries = self._policy.tries if self._policy.fallback else 0
        hopeless = [one for one in owed if tries and one.attempts + 1 >= tries]
        if hopeless:
            self.counts.failed += len(hopeless)
            self._give_up(hopeless, outbox.failed, error)
        now_ns = self._around.now_ns()
        waits = {
            one.message.key: max(wish, self._jitter(one.attempts + 1))
            for one in owed
            if one not in hopeless
        }

        def note() -> None:
            for key, again in waits.items():
                outbox.retry(self._around.conn, key, now_ns + round(again * NS), error)

        self._keep(note)

    def _fails(self, error: str) -> None:
        self.counts.trouble += 1
        self.counts.last_error = error

    def _jitter(self, failures: int) -> float:
        """Anything up to the doubled span, so that what failed together comes back apart."""
        span = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 30))
        return self._around.random.uniform(0, span)

    def _give_up(
        self,
        owed: Sequence[outbox.Owed],
        how: Callable[[sqlite3.Connection, str, int, str], None],
        error: str,
    ) -> None:
        """Note it and owe it to the fallback, both or neither."""
        conn, fallback, now_ns = self._around.conn, self._policy.fallback, self._around.now_ns()
        messages = [one.message for one in owed]
        self._around.log.error(
            "notification given up",
            channel=self.channel.name,
            key=messages[0].key,
            title=messages[0].title,
            number=len(messages),
            how=how.__name__,
            error=error,
            fallback=fallback or "none",
        )

        def note() -> None:
            for message in messages:
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
        self._notes.append(note)
        try:
            self._write()
        except sqlite3.Error as error:
            self._disk_trouble(error)

    def _write(self) -> None:
        with outbox.transaction(self._around.conn):
            for note in self._notes:
                note()
        self._notes.clear()
        self._disk_error = ""

    def _disk_trouble(self, error: sqlite3.Error) -> float:
        if not self._disk_error:
            self._around.log.error(
                "the outbox can't be used, trying again",
                channel=self.channel.name,
                error=said(error),
            )
        self._disk_error = said(error)
        self._paused_until = self._around.monotonic() + 5.0
        return 5.0

    def _until_due(self) -> float:
        next_ns = outbox.backlog(self._around.conn, self.channel.name).next_ns
        if next_ns is None:
            return _LOOK_S
        return min(_LOOK_S, max(0.01, (next_ns - self._around.now_ns()) / NS))
