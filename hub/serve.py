"""The serve process: what reads the journal, put together. See the drawing in `app.py`."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from hub import configuration, logs, own, past, rulebook, serveside, snapshot, vigil
from hub.api import TryAgain
from hub.aside import aside
from hub.backend import HubBackend
from hub.clock import NS, monotonic, now_ns
from hub.configuration import Configuration
from hub.decoded import Decoded
from hub.dirty import Dirty
from hub.engine import Engine
from hub.forward import Forwarder
from hub.gate import Gate
from hub.health import Health
from hub.journal.files import identity
from hub.ledger import of_journal
from hub.link import Link
from hub.notify import channels, desk, links, outbox
from hub.notify.links import Signer
from hub.notify.notifier import Notifier
from hub.own import Fresh
from hub.people import People
from hub.planner import Planner
from hub.plans import Plans
from hub.probing import Inquirer
from hub.problems import Misconfigured
from hub.rollups import Kept, Rollups
from hub.store.choose import open_store, open_tiers
from hub.store.duckdb import DuckStore
from hub.store.rolled import RolledStore
from hub.web import serving
from hub.web.address import listen
from hub.web.app import create_app
from hub.web.tokens import Tokens
from rules.recorders import standard

log = logs.get("serve")

CATCH_UP, LOOK_S = 60, 0.05
"""How often it is looked whether the fold has caught up with the journal, and how long apart."""
CAUGHT_UP_NS = NS // 10

FORGET_EVERY_S = 3600.0
FORGET_AT_ONCE = 1_000
FORGET_PAUSE_S = 0.2


async def serve(conf: Configuration, *, field_socket: Path | None = None) -> None:
    """Journal to rules, store, people and board, until cancelled."""
    # The port first: whoever can't have it should hear so at once, before anything is opened.
    taken = listen(conf.settings.web.host, conf.settings.web.port)
    await Serve(conf, field_socket).run(taken)


class Serve:
    """Everything of one serve process."""

    def __init__(self, conf: Configuration, field_socket: Path | None) -> None:
        """Raises OSError and sqlite3.Error."""
        self.conf = conf
        self.settings = settings = conf.settings
        self.health = health = Health()
        self.gate, self.decoded = Gate(), Decoded()
        data = settings.data
        self.ledger = ledger = of_journal(settings.ledger_file, identity(settings.journal_folder))
        outbox.create(ledger.db)
        desk.create(ledger.db)
        self.link = link = Link(settings.ingest_socket)
        self.store, self.dirty, self.rollups = self._store()
        built = channels.build(settings.channels, channels.Tools(logs.get("notify")))
        self.notifier = Notifier(settings.ledger_file, built, logs.get("notify"))
        self.backend = HubBackend(
            conf, ledger, link, self.store, health, self.notifier, field_socket
        )
        self.planner = Planner(
            ledger.db, link, settings.maintenance, Plans(data), settings.timezone, now_ns
        )
        self.signer = _signer(conf)
        self.people = People(conf, self.notifier, self.backend, self.planner, self.signer)
        self._reloaded = asyncio.Event()
        self.inquirer = Inquirer(link, lambda: self.engine.fold.watch.questions())
        self.engine = self._engine()
        self.forwarder = self._forwarder()
        self.backend.watch(self.engine, self.forwarder, partial(self.people.teams, ledger.db))

    def _store(self) -> tuple[RolledStore, Dirty, Rollups]:
        """The store of the settings with what keeps its rollups; nothing is opened yet."""
        settings, keep = self.settings.store, self.settings.store.retention
        dirty = Dirty(self.ledger.db)
        if not settings.rollups:
            dirty.stop()
        store = RolledStore(
            open_store(settings, self.settings.data, self.conf.inventory),
            open_tiers(settings),
            dirty,
            raw_kept_ns=keep.raw_ns,
            now=now_ns,
        )
        rollups = Rollups(
            store,
            dirty,
            self.gate,
            self.health,
            kept=Kept(keep.raw_ns, keep.five_minutes_ns, keep.hourly_ns),
            now=now_ns,
            compute=settings.rollups,
        )
        return store, dirty, rollups

    def _engine(self) -> Engine:
        index = self.settings.air_index
        return Engine(
            self.settings.journal_folder,
            self.ledger,
            self.conf.rules,
            rulebook.things(self.conf.inventory),
            self.health,
            telling=self.people,
            show=self.backend.live.observe,
            event=self.backend.event,
            changed=self._changed,
            configured=self._reloaded.set,
            now_ns=now_ns(),
            decoded=self.decoded,
            recorders=standard(form=index.form, top=index.top, zone=self.settings.zone),
        )

    def _changed(self) -> None:
        """Another stretch of the journal is folded."""
        self.backend.change()
        self.inquirer.look()

    def _forwarder(self) -> Forwarder:
        settings = self.settings.store
        return Forwarder(
            self.store,
            self.settings.journal_folder,
            self.ledger,
            self.health,
            batch=settings.batch_size,
            linger_s=settings.linger_ms / 1000,
            parked=self.settings.data / "parked.jsonl",
            now=now_ns,
            dirty=self.dirty if settings.rollups else None,
            gate=self.gate,
            decoded=self.decoded,
        )

    def _app(self) -> FastAPI:
        web = self.settings.web
        return create_app(
            self.backend,
            auth=web.auth,
            tokens=Tokens(self.settings.data / "tokens.json"),
            max_streams=web.max_streams,
            signer=self.signer,
        )

    def _answers(self) -> dict[str, serveside.Answer]:
        """To what the command line and the ingest process ask."""
        store, engine, forwarder = self.store, self.engine, self.forwarder
        embedded = store.readings if isinstance(store.readings, DuckStore) else None
        copies = snapshot.Snapshots(self.settings.ledger_file, embedded, self.gate)
        before = past.Answering(store, now_ns, engine.durable_id, lambda: forwarder.stored_id)
        return {
            "snapshot": copies.answer,
            "explain": self.backend.answer_why,
            "past": before.answer,
        }

    async def run(self, taken: socket.socket) -> None:
        """Until cancelled; the board listens at `taken`."""
        app = self._app()
        async with AsyncExitStack() as stack:
            stack.callback(self.ledger.close)
            stack.push_async_callback(self.store.close)
            stack.push_async_callback(self.link.close)
            answering = serveside.serving(self.settings.data, self._answers())
            await stack.enter_async_context(answering)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            group.create_task(self.forwarder.run(), name="forward")
            group.create_task(self.rollups.run(), name="rollups")
            group.create_task(self.engine.run(), name="engine")
            group.create_task(self.inquirer.run(), name="inquirer")
            group.create_task(self.notifier.run(), name="notify")
            group.create_task(self.planner.run(), name="maintenance")
            group.create_task(self._forget(), name="history")
            group.create_task(self.backend.run(), name="backend")
            group.create_task(self._follow(), name="reload")
            group.create_task(self._tell_of_us(), name="own health")
            self._keep_vigil(group)
            group.create_task(serving.serve(app, taken=taken), name="web")

    def _keep_vigil(self, group: asyncio.TaskGroup) -> None:
        """What tells people that the hub itself is well, or is not."""
        settings, backend, people = self.settings, self.backend, self.people
        beat = vigil.Beat(settings.heartbeat, self.health, lambda: bool(backend.health()["ok"]))
        backend.notes = beat.notes
        group.create_task(beat.run(), name="heartbeat")
        daily = vigil.Daily(
            settings.digest,
            settings.zone,
            self.ledger.db,
            people.digest,
            self.notifier.wake,
            now_ns,
        )
        group.create_task(daily.run(), name="digest")
        call = vigil.Emergency(backend.disk_full, people.for_emergencies, monotonic)
        group.create_task(call.run(), name="emergency")

    async def _follow(self) -> None:
        """After a reload, which the journal tells of: what names, labels and people come from."""
        while True:
            await self._reloaded.wait()
            self._reloaded.clear()
            await self._caught_up()
            try:
                found = await aside(lambda: configuration.load(self.conf.path))
            except Misconfigured as error:  # spoiled since; ingest refuses it when it is asked
                log.error("the files are wrong again, names stay as they were", why=str(error))
                continue
            found.inventory.keep(self.backend.inventory)
            self.store.labels = self.backend.reload(found)
            await self.people.reload(found)

    async def _caught_up(self) -> None:
        """Other rules have held up the fold for a moment: reading files beside it would hold it up
        for longer. Not waited for without end, since it may be far behind for other reasons."""
        for _ in range(CATCH_UP):
            if self.engine.behind_ns(now_ns()) < CAUGHT_UP_NS:
                return
            await asyncio.sleep(LOOK_S)

    async def _tell_of_us(self) -> None:
        """How this process is, through the journal, where rules see it."""
        fresh, health, engine = Fresh(), self.health, self.engine
        while True:
            now = now_ns()
            down_ns = self.forwarder.down_since_ns
            totals = {"lost": health.total("dropped"), "parked": health.total("parked")}
            states = {
                "store_down_s": 0 if down_ns is None else max(0, now - down_ns) // NS,
                "store_behind": max(0, engine.durable_id() - self.forwarder.stored_id),
                "rules_behind_s": engine.behind_ns(now) // NS,
                "channels_dead": self.notifier.dead(),
            }
            # Without ingest nothing can be told; the board says that it is gone.
            with suppress(TryAgain):
                await self.link.tell("serve", states | fresh.of(**totals))
                fresh.told(**totals)
            await asyncio.sleep(own.EVERY_S)

    async def _forget(self) -> None:
        """Let go of transitions that are older than they are kept: a few at a time, since the
        fold waits for the same file."""
        keep_ns = self.settings.alerts.keep_ns
        while keep_ns is not None:
            pause_s = FORGET_EVERY_S
            try:
                if self.ledger.forget(now_ns() - keep_ns, FORGET_AT_ONCE):
                    pause_s = FORGET_PAUSE_S
            except sqlite3.Error as error:  # a full disk: they are still there in an hour
                log.warning("old alerts can't be let go yet", why=str(error))
            await asyncio.sleep(pause_s)


def _signer(conf: Configuration) -> Signer | None:
    """Makes links for messages; None: nobody outside could follow them."""
    url = conf.settings.web.public_url
    return Signer(links.key(conf.settings.data / "link.key"), url) if url else None
