"""Sends what the outbox owes, one task per channel.

engine ─ one transaction: transitions + owe() ─► serve.db ─► Lane per channel ─► people
       └ wake() ───────────────────────────────────────────►
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path

from hub import clock
from hub.api import Log
from hub.clock import NS
from hub.network import said
from hub.notify import outbox
from hub.notify.channels.base import (
    Channel,
    NeverWorks,
    Policy,
    Repeating,
    TryAgain,
)
from hub.notify.lane import Lane, Surroundings

KEEP_NS = 30 * 86_400 * NS
"""How long the outbox remembers what was done with."""
_TIDY_S = 3_600.0
DEAD_AFTER = 3
"""A channel that failed so often in a row …"""
DEAD_S = 120.0
"""… while its oldest message has waited so long is dead."""
NONE = outbox.Backlog(0, None, None, 0)
"""What is said of the outbox once it is closed."""


class Notifier:
    """Owns one connection to the outbox and, while it runs, the channels.

    `path` is `serve.db`, where the engine owes; the table is made if it isn't there yet.
    """

    def __init__(
        self,
        path: Path,
        channels: Mapping[str, tuple[Channel, Policy]],
        log: Log,
        *,
        now_ns: Callable[[], int] = clock.now_ns,
        monotonic: Callable[[], float] = clock.monotonic,
        jitter: random.Random | None = None,
    ) -> None:
        self._conn = outbox.connect(path)
        self._closed = False
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._log = log
        self._now_ns = now_ns
        self._around = Surroundings(
            self._conn, log, self._wake_one, now_ns, monotonic, jitter or random.Random()
        )
        self.lanes = {
            name: Lane(channel, policy, self._around)
            for name, (channel, policy) in channels.items()
        }

    def wake(self) -> None:
        """Something new is owed. Call it on the loop that runs `run`, after the commit."""
        for lane in self.lanes.values():
            lane.wake()

    def _wake_one(self, channel: str) -> None:
        if channel in self.lanes:
            self.lanes[channel].wake()

    async def run(self) -> None:
        """Send until cancelled, then close channels and connection."""
        try:
            self._abandon()
            async with asyncio.TaskGroup() as self._group:
                for name in self.lanes:
                    self._start(name)
                self._group.create_task(self._tidy(), name="notify tidy")
        finally:
            await self.close()

    def _start(self, name: str) -> None:
        if self._group is not None:
            work = self._work(self.lanes[name])
            self._tasks[name] = self._group.create_task(work, name=f"notify {name}")

    async def _work(self, lane: Lane) -> None:
        """Send what the channel owes; tell it again what is on, where it needs that."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lane.run(), name=f"lane {lane.channel.name}")
            if isinstance(lane.channel, Repeating):
                group.create_task(self._repeat(lane.channel), name=f"repeat {lane.channel.name}")

    async def change(
        self, channels: Mapping[str, tuple[Channel, Policy]], *, keep: Collection[str]
    ) -> None:
        """Go on with these channels beside those to keep. What is owed waits for the new channel
        of that name, or is given up where there is none; a message in flight is sent again."""
        for name in [name for name in self.lanes if name not in keep]:
            lane, task = self.lanes.pop(name), self._tasks.pop(name, None)
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
            await self._let_go(name, lane)
        for name, (channel, policy) in channels.items():
            self.lanes[name] = Lane(channel, policy, self._around)
            self._start(name)
        self._abandon()

    async def _let_go(self, name: str, lane: Lane) -> None:
        try:
            await lane.channel.close()
        except Exception as error:  # the others must be closed all the same
            self._log.warning("channel didn't close", channel=name, error=said(error))

    async def close(self) -> None:
        """Close channels and connection; for a notifier that never ran."""
        self._closed = True
        for name, lane in self.lanes.items():
            await self._let_go(name, lane)
        self._conn.close()

    def statistics(self) -> dict[str, dict[str, int | float | str]]:
        """Per channel, for the board and /metrics: what is owed, and counts since the start.

        owed, oldest_s (age of the oldest owed), attempts (the most at one of them), sent, failed,
        expired, merged, retries, trouble (failures in a row), last_error, last_sent_ns.
        """
        found: dict[str, dict[str, int | float | str]] = {}
        for name, lane in self.lanes.items():
            backlog = NONE if self._closed else outbox.backlog(self._conn, name)
            age_ns = self._now_ns() - backlog.oldest_ns if backlog.oldest_ns else 0
            found[name] = {
                "owed": backlog.number,
                "oldest_s": max(0, age_ns) / NS,
                "attempts": backlog.attempts,
                **asdict(lane.counts),
            }
        return found

    def dead(self) -> int:
        """How many channels fail again and again while somebody should hear of something. As long
        as nothing went out since the start, what was tried before counts: a channel has not come
        back by that."""
        return sum(map(_is_dead, self.statistics().values()))

    def _abandon(self) -> None:
        with outbox.transaction(self._conn):
            gone = outbox.abandon(self._conn, self.lanes, self._now_ns())
        for channel, number in gone.items():
            self._log.error(
                "settings have no such channel any more, its notifications are given up",
                channel=channel,
                number=number,
            )

    async def _repeat(self, channel: Repeating) -> None:
        """Tell what is on again and again; first at once, since we may have been away."""
        failing = False
        while True:
            try:
                await channel.repeat(outbox.standing(self._conn, channel.name))
            except (TryAgain, NeverWorks, sqlite3.Error) as error:
                if not failing:
                    self._log.warning(
                        "what is on can't be told again, trying on",
                        channel=channel.name,
                        error=said(error),
                    )
                failing = True
            else:
                if failing:
                    self._log.info("what is on is told again", channel=channel.name)
                failing = False
            await asyncio.sleep(channel.repeat_s)

    async def _tidy(self) -> None:
        while True:
            try:
                with outbox.transaction(self._conn):
                    outbox.forget(self._conn, self._now_ns() - KEEP_NS)
            except sqlite3.Error as error:
                self._log.warning("the outbox can't be tidied", error=said(error))
            await asyncio.sleep(_TIDY_S)


def _is_dead(channel: Mapping[str, int | float | str]) -> bool:
    failures = channel["trouble"] if channel["last_sent_ns"] else channel["attempts"]
    return float(failures) >= DEAD_AFTER and float(channel["oldest_s"]) >= DEAD_S
