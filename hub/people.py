"""Who is told what, and by which channel: the settings' teams over the notifier."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from hub import logs
from hub.backend import HubBackend
from hub.clock import now_ns
from hub.configuration import Configuration
from hub.notify import channels, onduty
from hub.notify.desk import Desk
from hub.notify.digest import digest
from hub.notify.links import Signer
from hub.notify.message import Message, emergency
from hub.notify.notifier import Notifier
from hub.notify.onduty import TeamNow
from hub.notify.routing import Router
from hub.notify.words import Language
from hub.planner import Planner
from rules.watch import Transition


class People:
    """Who is told what, and by which channel; replaced by a reload."""

    def __init__(
        self,
        conf: Configuration,
        notifier: Notifier,
        backend: HubBackend,
        planner: Planner,
        signer: Signer | None,
    ) -> None:
        self._conf, self._notifier, self._backend = conf, notifier, backend
        self._planner, self._signer = planner, signer
        self._desk = self._seat(conf)

    def owe(self, db: sqlite3.Connection, transitions: Sequence[Transition]) -> None:
        self._wake(self._desk.owe(db, transitions))

    def digest(self, date: str, now_ns: int) -> list[Message]:
        """The day's digest, a message for each channel of the settings' teams."""
        settings, router = self._conf.settings, self._desk.router
        hearers = router.for_people(router.hearers(settings.digest.teams, (), "critical", now_ns))
        return [
            digest(
                self._backend.day(now_ns),
                date,
                channel,
                language=hearer.language,
                zone=router.zone,
                now_ns=now_ns,
                link=router.public_url,
            )
            for channel, hearer in hearers.items()
        ]

    def teams(self, db: sqlite3.Connection, now_ns: int) -> list[TeamNow]:
        """How each stands, for the board."""
        return onduty.teams(self._desk, db, now_ns)

    def for_emergencies(self) -> dict[str, Callable[[str], Awaitable[None]]]:
        """How to call for help through the channels that are for it."""
        settings = self._conf.settings
        return {
            name: partial(self._call, name, policy.language or settings.language, policy.timeout_s)
            for name, policy in settings.channels.items()
            if policy.emergency and name in self._notifier.lanes
        }

    async def _call(self, name: str, language: Language, timeout_s: float, why: str) -> None:
        zone = self._conf.settings.timezone
        message = emergency(name, why, language=language, zone=zone, now_ns=now_ns())
        async with asyncio.timeout(timeout_s):
            await self._notifier.lanes[name].channel.send(message)

    def wants(self, db: sqlite3.Connection, now_ns: int) -> bool:
        return self._desk.wants(db, now_ns)

    def tick(self, db: sqlite3.Connection, now_ns: int) -> None:
        self._wake(self._desk.tick(db, now_ns))

    def _wake(self, number: int) -> None:
        """Whoever sends what is owed now, when the transaction is over."""
        if number:
            asyncio.get_running_loop().call_soon(self._notifier.wake)

    def _seat(self, conf: Configuration) -> Desk:
        settings = conf.settings
        router = Router(
            settings.teams,
            settings.channels,
            self._backend.facts,
            language=settings.language,
            zone=settings.timezone,
            public_url=settings.web.public_url,
            people=settings.people,
            sign=self._signer.link if self._signer else None,
        )
        return Desk(router, now_ns, self._backend.silenced, self._backend.silenced_now)

    async def reload(self, conf: Configuration) -> None:
        """Channels that stay as they are go on undisturbed, with what they owe."""
        before, after = self._conf.settings.channels, conf.settings.channels
        news = {name: given for name, given in after.items() if before.get(name) != given}
        built = channels.build(news, channels.Tools(logs.get("notify")))
        await self._notifier.change(built, keep=after.keys() - news.keys())
        self._planner.windows = conf.settings.maintenance
        self._conf, self._desk = conf, self._seat(conf)
