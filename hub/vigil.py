"""Watching the watcher: what tells people that the hub itself is well, or is not.

    heartbeat   a request to an address outside, again and again while all is well: who waits for it
                there (a dead man's switch) raises the alarm when it stays away
    digest      once a day, through the channels of the settings' teams
    emergency   one message straight through a channel when the disk takes nothing any more: then
                neither journal nor outbox can hold it

Alerts on the hub's own lag, losses and dead channels are rules (`rules/library/hub.yaml`).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import aiohttp

from hub import logs, timesheet
from hub.clock import from_datetime, to_datetime
from hub.health import Health
from hub.notify import outbox
from hub.notify.message import Message
from hub.settings import Digest, Heartbeat

log = logs.get("vigil")

LATEST = timedelta(hours=6)
"""A digest that was missed so long ago is not made up for."""
LOOK_S = 5.0
LASTING_S = 10.0
"""The disk must take nothing for so long before somebody is called: a moment mends itself."""

PROBE_BYTES = 64 * 1024

Well = Callable[[], bool]


class Beat:
    """Sends the heartbeat. A failure is counted, shown, and tried again with the next beat."""

    def __init__(self, given: Heartbeat, health: Health, well: Well) -> None:
        self._given, self._health, self._well = given, health, well
        self.trouble = ""
        """Why the last beat did not arrive; empty: it did, or none was due."""

    def notes(self) -> list[str]:
        """For the board."""
        return [f"the heartbeat does not arrive: {self.trouble}"] if self.trouble else []

    async def run(self) -> None:
        """Until cancelled."""
        if not self._given.url.get_secret_value():
            return
        timeout = aiohttp.ClientTimeout(total=self._given.timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                if self._well():
                    await self._beat(session)
                await asyncio.sleep(self._given.period_s)

    async def _beat(self, session: aiohttp.ClientSession) -> None:
        try:
            async with session.get(self._given.url.get_secret_value()) as answer:
                trouble = "" if answer.status < 400 else f"it answers {answer.status}"
        except TimeoutError:
            trouble = f"no answer within {self._given.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The address may hold a secret, and errors like to repeat it.
            trouble = type(error).__name__
        self._health.count("heartbeats", 1, result="failed" if trouble else "sent")
        if trouble and not self.trouble:
            log.warning("the heartbeat does not arrive", why=trouble)
        elif self.trouble and not trouble:
            log.info("the heartbeat arrives again")
        self.trouble = trouble


class Daily:
    """Owes the digest, once for each day and channel: its key is the day, and the outbox takes a
    key once."""

    def __init__(
        self,
        given: Digest,
        zone: tzinfo,
        db: sqlite3.Connection,
        messages: Callable[[str, int], list[Message]],
        wake: Callable[[], None],
        now_ns: Callable[[], int],
    ) -> None:
        """`messages` makes a day's, one for each channel, at a time."""
        self._given, self._zone, self._db = given, zone, db
        self._messages, self._wake, self._now_ns = messages, wake, now_ns
        self._done = ""

    async def run(self) -> None:
        """Until cancelled."""
        while self._given.teams:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> int:
        """Owe the digest if it is time; how many messages are new."""
        now_ns = self._now_ns()
        at = due(to_datetime(now_ns, self._zone), self._given.at)
        date = f"{at:%Y-%m-%d}" if at else ""
        if at is None or date == self._done:
            return 0
        try:
            began_ns, _ = timesheet.heard_ns(self._db)
            if not 0 < began_ns <= from_datetime(at):
                self._done = date  # of a day that it did not live through it can say nothing
                return 0
            with outbox.transaction(self._db):
                new = outbox.owe(self._db, self._messages(date, now_ns), now_ns)
        except sqlite3.Error as error:  # a full disk: again in a moment
            log.warning("the digest can't be owed yet", why=str(error))
            return 0
        self._done = date
        if new:
            self._wake()
        return new


def due(now: datetime, at: str) -> datetime | None:
    """Since when a digest is due at that local time; None: none is."""
    hour, minute = map(int, at.split(":"))
    for day in (now, now - timedelta(days=1)):
        time = day.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if timedelta() <= now - time < LATEST:
            return time
    return None


def unwritable(folder: Path) -> str:
    """Why not even a small file can be written there; empty: it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    return ""


class Emergency:
    """Calls for help when the disk takes nothing: straight through, once until it is over."""

    def __init__(
        self,
        full: Callable[[], str],
        channels: Callable[[], Mapping[str, Callable[[str], Awaitable[None]]]],
        monotonic: Callable[[], float],
    ) -> None:
        """`full` says why neither journal nor alerts can be written (empty: they can); `channels`
        gives those that are for emergencies: name → send that text. Sending may raise anything."""
        self._full, self._channels, self._monotonic = full, channels, monotonic
        self._since: float | None = None
        self._called: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Call where that was not done yet."""
        why = self._full()
        if not why:
            if self._called:
                log.info("the emergency is over")
            self._since, self._called = None, set()
            return
        if self._since is None:
            self._since = self._monotonic()
        if self._monotonic() - self._since < LASTING_S:
            return
        for name, send in self._channels().items():
            if name in self._called:
                continue
            try:
                await send(why)
            except Exception as error:  # whatever it is: it is tried again
                log.error("can't call for help", channel=name, why=repr(error))
                continue
            self._called.add(name)
            log.error("called for help", channel=name, why=why)
