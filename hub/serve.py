"""The serve process: what reads the journal, put together. See the drawing in `app.py`."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

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
from hub.ledger import Ledger, of_journal
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

DEAD_AFTER = 3
"""A channel that failed so often in a row …"""
DEAD_S = 120.0
"""… while its oldest message has waited so long is dead."""

FORGET_EVERY_S = 3600.0
FORGET_AT_ONCE = 1_000
FORGET_PAUSE_S = 0.2


async def serve(conf: Configuration, *, field_socket: Path | None = None) -> None:
    """Journal to rules, store, people and board, until cancelled."""
    settings, data, health = conf.settings, conf.settings.data, Health()
    # The port first: whoever can't have it should hear so at once, before anything is opened.
    taken = listen(settings.web.host, settings.web.port)
    ledger = of_journal(data / "serve.db", identity(data / "journal"))
    outbox.create(ledger.db)
    desk.create(ledger.db)
    link = Link(data / "ingest.sock")
    gate, decoded = Gate(), Decoded()
    store, dirty, rollups = _store(conf, ledger.db, gate, health)
    built = channels.build(settings.channels, channels.Tools(logs.get("notify")))
    notifier = Notifier(data / "serve.db", built, logs.get("notify"))
    backend = HubBackend(conf, ledger, link, store, health, notifier, field_socket)
    planner = Planner(ledger.db, link, settings.maintenance, Plans(data), settings.timezone, now_ns)
    signer = _signer(conf)
    people = People(conf, notifier, backend, planner, signer)
    reloaded = asyncio.Event()
    inquirer = Inquirer(link, lambda: engine.watch.questions())

    engine = Engine(
        data / "journal",
        ledger,
        conf.rules,
        rulebook.things(conf.inventory),
        health,
        telling=people,
        show=backend.live.observe,
        event=backend.event,
        changed=partial(_changed, backend, inquirer),
        configured=reloaded.set,
        now_ns=now_ns(),
        decoded=decoded,
        recorders=standard(
            form=settings.air_index.form, top=settings.air_index.top, zone=settings.zone
        ),
    )
    forwarder = Forwarder(
        store,
        data / "journal",
        ledger,
        health,
        batch=settings.store.batch_size,
        linger_s=settings.store.linger_ms / 1000,
        parked=data / "parked.jsonl",
        now=now_ns,
        dirty=dirty,
        gate=gate,
        decoded=decoded,
    )
    backend.watch(engine, forwarder, partial(people.teams, ledger.db))
    app = create_app(
        backend,
        auth=settings.web.auth,
        tokens=Tokens(data / "tokens.json"),
        max_streams=settings.web.max_streams,
        signer=signer,
    )
    async with AsyncExitStack() as stack:
        stack.callback(ledger.close)
        stack.push_async_callback(store.close)
        stack.push_async_callback(link.close)
        embedded = store.readings if isinstance(store.readings, DuckStore) else None
        copies = snapshot.Snapshots(data / snapshot.LEDGER, embedded, gate)
        answers = {
            "snapshot": copies.answer,
            "explain": backend.answer_why,
            "past": past.Answering(
                store, now_ns, engine.durable_id, lambda: forwarder.stored_id
            ).answer,
        }
        await stack.enter_async_context(serveside.serving(data, answers))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        group.create_task(forwarder.run(), name="forward")
        group.create_task(rollups.run(), name="rollups")
        group.create_task(engine.run(), name="engine")
        group.create_task(inquirer.run(), name="inquirer")
        group.create_task(notifier.run(), name="notify")
        group.create_task(planner.run(), name="maintenance")
        group.create_task(_forget(ledger, settings.alerts.keep_ns), name="history")
        group.create_task(backend.run(), name="backend")
        group.create_task(_follow(reloaded, conf, people, backend, store), name="reload")
        group.create_task(_tell_of_us(link, engine, forwarder, health, notifier), name="own health")
        beat = vigil.Beat(settings.heartbeat, health, lambda: bool(backend.health()["ok"]))
        backend.notes = beat.notes
        group.create_task(beat.run(), name="heartbeat")
        daily = vigil.Daily(
            settings.digest, settings.zone, ledger.db, people.digest, notifier.wake, now_ns
        )
        group.create_task(daily.run(), name="digest")
        call = vigil.Emergency(backend.disk_full, people.for_emergencies, monotonic)
        group.create_task(call.run(), name="emergency")
        group.create_task(serving.serve(app, taken=taken), name="web")


def _changed(backend: HubBackend, inquirer: Inquirer) -> None:
    """Another stretch of the journal is folded."""
    backend.change()
    inquirer.look()


async def _follow(
    reloaded: asyncio.Event,
    conf: Configuration,
    people: People,
    backend: HubBackend,
    store: RolledStore,
) -> None:
    """After a reload, which the journal tells of: what names, labels and people come from."""
    while True:
        await reloaded.wait()
        reloaded.clear()
        try:
            found = await aside(lambda: configuration.load(conf.path))
        except Misconfigured as error:  # spoiled since; ingest refuses it when it is asked
            log.error("the files are wrong again, names stay as they were", why=str(error))
            continue
        found.inventory.keep(backend.inventory)
        store.labels = backend.reload(found)
        await people.reload(found)


async def _tell_of_us(
    link: Link, engine: Engine, forwarder: Forwarder, health: Health, notifier: Notifier
) -> None:
    """How this process is, through the journal, where rules see it."""
    fresh = Fresh()
    while True:
        now = now_ns()
        down_ns = forwarder.down_since_ns
        totals = {"lost": health.total("dropped"), "parked": health.total("parked")}
        states = {
            "store_down_s": 0 if down_ns is None else max(0, now - down_ns) // NS,
            "store_behind": max(0, engine.durable_id() - forwarder.stored_id),
            "rules_behind_s": engine.behind_ns(now) // NS,
            "channels_dead": sum(map(_is_dead, notifier.statistics().values())),
        }
        # Without ingest nothing can be told; the board says that it is gone.
        with suppress(TryAgain):
            await link.tell("serve", states | fresh.of(**totals))
            fresh.told(**totals)
        await asyncio.sleep(own.EVERY_S)


async def _forget(ledger: Ledger, keep_ns: int | None) -> None:
    """Let go of transitions that are older than they are kept: a few at a time, since the fold
    waits for the same file."""
    while keep_ns is not None:
        pause_s = FORGET_EVERY_S
        try:
            if ledger.forget(now_ns() - keep_ns, FORGET_AT_ONCE):
                pause_s = FORGET_PAUSE_S
        except sqlite3.Error as error:  # a full disk: they are still there in an hour
            log.warning("old alerts can't be let go yet", why=str(error))
        await asyncio.sleep(pause_s)


def _is_dead(channel: Mapping[str, int | float | str]) -> bool:
    """Does a channel fail again and again while somebody should hear of something?"""
    return float(channel["trouble"]) >= DEAD_AFTER and float(channel["oldest_s"]) >= DEAD_S


def _signer(conf: Configuration) -> Signer | None:
    """Makes links for messages; None: nobody outside could follow them."""
    url = conf.settings.web.public_url
    return Signer(links.key(conf.settings.data / "link.key"), url) if url else None


def _store(
    conf: Configuration, db: sqlite3.Connection, gate: Gate, health: Health
) -> tuple[RolledStore, Dirty | None, Rollups]:
    """The store of the settings with what keeps its rollups; nothing is opened yet."""
    settings, keep = conf.settings.store, conf.settings.store.retention
    dirty = Dirty(db)
    if not settings.rollups:
        dirty.stop()
    store = RolledStore(
        open_store(settings, conf.settings.data, conf.inventory),
        open_tiers(settings),
        dirty,
        raw_kept_ns=keep.raw_ns,
        now=now_ns,
    )
    kept = Kept(keep.raw_ns, keep.five_minutes_ns, keep.hourly_ns)
    rollups = Rollups(store, dirty, gate, health, kept=kept, now=now_ns, compute=settings.rollups)
    return store, dirty if settings.rollups else None, rollups
