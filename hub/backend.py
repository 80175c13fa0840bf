"""What the board may know and do: `hub.web.backend.Backend` over the serve process' parts."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from hub import logs, own, phrases
from hub.acts import refusal, tags_of
from hub.api import BadItem, TryAgain
from hub.clock import now_ns
from hub.configuration import Configuration
from hub.engine import Engine
from hub.fieldlink import FieldLink
from hub.forward import Forwarder
from hub.health import Health
from hub.inventory import Inventory
from hub.ledger import Ledger
from hub.link import Link
from hub.notify import facts
from hub.notify.digest import Day
from hub.notify.message import Facts
from hub.notify.notifier import Notifier
from hub.notify.onduty import TeamNow
from hub.problems import nearest
from hub.proposals import Found
from hub.report import asked
from hub.report.model import Report
from hub.store.base import Store
from hub.store.query import Query, SeriesRows
from hub.vigil import unwritable
from hub.web.backend import ActKind, HealthReport, Regency, Sample
from hub.web.live import LiveState
from rules import recorders
from rules.act import OF_PROPOSALS, Act
from rules.duration import DAY
from rules.transition import Alert, Transition

log = logs.get("board")

ASK_S = 2.0
EVENTS = 500
DISK_FULL = ("No space left", "disk is full", "disk full")
"""How the kernel, SQLite and DuckDB say it."""


class HubBackend:
    """One per serve process. `watch` must be called before the web starts."""

    def __init__(
        self,
        conf: Configuration,
        ledger: Ledger,
        link: Link,
        store: Store,
        health: Health,
        notifier: Notifier,
        field_socket: Path | None,
    ) -> None:
        self.inventory = conf.inventory
        self.regency = read_regency(conf.settings.regency_folder, conf.settings.timezone)
        self.live = LiveState()
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self.notes: Callable[[], list[str]] = list
        """What a person should know although all is well, from other parts of this process."""
        self._conf = conf
        self._rules = {rule.name: rule for rule in conf.rules}
        self._ledger = ledger
        self._link = link
        self._store = store
        self._health = health
        self._notifier = notifier
        self._field = FieldLink(field_socket) if field_socket else None
        self._ingest: dict[str, Any] = {}
        self._ingest_why = "the ingest process has not answered yet"
        self._change = asyncio.Event()
        self._units = self._unit_names()
        self._tags = tags_of(conf)
        self._engine: Engine | None = None
        self._forwarder: Forwarder | None = None
        self._teams: Callable[[int], list[TeamNow]] = lambda _now_ns: []
        self._reporting = asyncio.Lock()

    def _unit_names(self) -> Mapping[tuple[str, str], str]:
        return {
            (measurement, name): field.unit
            for plugin in self._conf.plugins.values()
            for measurement, spec in plugin.manifest.measurements.items()
            for name, field in spec.fields.items()
        } | {
            (measurement, name): unit
            for measurement, fields in recorders.FIELDS.items()
            for name, unit in fields.items()
        }

    def reload(self, conf: Configuration) -> Inventory:
        """Other devices, rules and names from now on; the inventory under a new generation."""
        conf.inventory.generation = self.inventory.generation + 1
        self.inventory, self._conf = conf.inventory, conf
        self._rules = {rule.name: rule for rule in conf.rules}
        self.change()
        return conf.inventory

    def watch(
        self, engine: Engine, forwarder: Forwarder, teams: Callable[[int], list[TeamNow]]
    ) -> None:
        """`teams` tells how each stands at a time."""
        self._engine, self._forwarder, self._teams = engine, forwarder, teams

    async def run(self) -> None:
        """Keep asking the ingest process (and the demo's field) how they are."""
        while True:
            try:
                self._ingest = await self._link.health()
                self._ingest_why = ""
            except TryAgain as error:
                self._ingest, self._ingest_why = {}, str(error)
            if self._field is not None:
                await self._field.refresh()
            self._change.set()
            await asyncio.sleep(ASK_S)

    # what the engine tells

    def event(self, event: dict[str, Any]) -> None:
        self._events.append(event)

    def change(self) -> None:
        self._change.set()

    async def changed(self) -> None:
        await self._change.wait()
        self._change.clear()

    def facts(self, transition: Transition) -> Facts:
        """What a notification says beyond the transition itself."""
        return facts.of(self.inventory, transition.device, self._rules.get(transition.rule))

    def silenced(self) -> set[str]:
        """The keys of the alerts that page nobody now."""
        return {alert.key for alert in self.alerts() if alert.silenced_until}

    def silenced_now(self) -> int:
        """How many silences are in force."""
        return len(self.silences())

    # what the web asks

    def now_ns(self) -> int:
        return now_ns()

    def units(self) -> Mapping[tuple[str, str], str]:
        return self._units

    def transitions(self) -> int:
        return self._health.total("transitions")

    def alerts(self) -> Sequence[Alert]:
        return self._engine.fold.watch.alerts() if self._engine else []

    def explain(self, device: str, rule: str = "") -> list[dict[str, Any]]:
        if device not in self.inventory.devices and device != own.MEASUREMENT:
            raise LookupError(f"the inventory has no device {device!r}")
        if rule and rule not in self._rules:
            raise LookupError(f"there is no rule {rule!r}: {nearest(rule, self._rules)}")
        if self._engine is None:
            return []
        return [one.plain() for one in self._engine.fold.watch.explain(device, rule)]

    async def answer_why(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """`explain` for the command line."""
        try:
            return {"rules": self.explain(str(said["device"]), str(said.get("rule", "")))}
        except LookupError as error:
            raise BadItem(str(error.args[0])) from None

    def day(self, now_ns: int) -> Day:
        """What the last 24 hours were like, for the digest."""
        opened, closed = self._ledger.since(now_ns - DAY)
        alerts = [one for one in self.alerts() if one.state in ("firing", "acknowledged")]
        down = sorted((one.since_ns, one.name) for one in alerts if one.means == "down")
        report, journal = self.health(), self._ingest.get("journal", {})
        return Day(
            opened,
            closed,
            len(alerts),
            [(name, now_ns - since_ns) for since_ns, name in down],
            report["drops"],
            report["store"]["up"],
            int(journal.get("bytes", 0)) // 2**20,
            report["backlog"]["forward"],
            () if report["ok"] else report["reasons"],
        )

    def disk_full(self) -> str:
        """Why neither the journal nor anything else can be written; empty: something can."""
        stuck = self._ingest.get("trouble", []) or ([self._ingest_why] if self._ingest_why else [])
        if not stuck:
            return ""
        why = unwritable(self._conf.settings.data)
        return f"{self._conf.settings.data}: {why}" if why else ""

    def silences(self) -> Sequence[Mapping[str, Any]]:
        if self._engine is None:
            return []
        return [
            {
                "id": s.id,
                "matcher": s.matcher.plain(),
                "who": s.who,
                "why": s.why,
                "until_ns": s.until_ns,
                "kind": s.kind,
            }
            for s in self._engine.fold.watch.silences()
        ]

    def history(self, limit: int, device: str = "") -> Sequence[Mapping[str, Any]]:
        return self._ledger.history(limit, device)

    def events(self, limit: int, device: str = "") -> Sequence[Mapping[str, Any]]:
        of_device = (one for one in reversed(self._events) if device in ("", one["device"]))
        return [
            {**one, "said": phrases.worded(one["said"], self._messages(one["collector"]))}
            for one in islice(of_device, limit)
        ]

    def _messages(self, collector: str) -> phrases.Messages:
        plugin = self._conf.plugins.get(collector)
        return plugin.manifest.messages if plugin else own.MESSAGES

    def acted(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return [
            {"id": one.id, "time_ns": one.time_ns, **asdict(one.act)}
            for one in self._ledger.acts(limit)
        ]

    def found(self) -> Found:
        return self._ledger.found(self.inventory)

    def duty(self) -> Sequence[TeamNow]:
        return self._teams(now_ns())

    async def availability(self, month: str) -> Report:
        """One at a time, in a thread: nobody else waits for it."""
        async with self._reporting:
            return await asyncio.to_thread(asked.of, self._conf, month, now_ns())

    def health(self) -> HealthReport:
        reasons = []
        if self._ingest_why:
            reasons.append(self._ingest_why)
        reasons += self._ingest.get("trouble", [])
        if self._engine is not None and self._engine.trouble:
            reasons.append(self._engine.trouble)
        down = self._forwarder.down_since_ns if self._forwarder else None
        if self._forwarder is not None and down is not None:
            reasons.append(f"the store takes no readings: {self._forwarder.why}")
        if not (self._conf.settings.data / "hub.lock").exists():
            where = self._conf.settings.data
            reasons.append(f"the data folder {where} is gone: bring it back, or restart the hub")
        if any(word in reason for reason in reasons for word in DISK_FULL):
            where = self._conf.settings.data
            reasons.insert(0, f"disk full: free some space where {where} is; all goes on by itself")
        store: dict[str, Any] = {"name": self._store.name, "up": down is None}
        if down is not None and self._forwarder is not None:
            store |= {"since_ns": down, "reason": self._forwarder.why}
        last_id = self._engine.durable_id() if self._engine else 0
        forwarded = self._forwarder.stored_id if self._forwarder else 0
        folded = self._engine.fold.last_id if self._engine else 0
        return HealthReport(
            ok=not reasons,
            reasons=[
                *reasons,
                *([self._ledger.note] if self._ledger.note else []),
                *self._ingest.get("notes", []),
                *self.notes(),
            ],
            processes={"serve": True, "ingest": not self._ingest_why},
            store=store,  # type: ignore[typeddict-item]
            backlog={
                "forward": max(0, last_id - forwarded),
                "engine": max(0, last_id - folded),
                "notify": sum(int(s["owed"]) for s in self._notifier.statistics().values()),
            },
            drops={**self._ingest.get("dropped", {}), **self._health.by("dropped", "reason")},
            collectors=self._ingest.get("collectors", {}),
        )

    def metrics(self) -> Iterable[Sample]:
        for name, labels, value, kind in self._ingest.get("lines", []):
            yield name, {**labels, "process": "ingest"}, value, kind
        for name, labels, value, kind in self._health.lines():
            yield name, {**labels, "process": "serve"}, value, kind
        for channel, numbers in self._notifier.statistics().items():
            for what in ("sent", "failed", "expired", "retries", "merged", "grouped"):
                yield f"notifications_{what}", {"channel": channel}, float(numbers[what]), "counter"
            yield "notifications_owed", {"channel": channel}, float(numbers["owed"]), "gauge"

    async def act(
        self,
        kind: ActKind,
        who: str,
        why: str,
        *,
        key: str = "",
        matcher: Mapping[str, str] | None = None,
        until_ns: int | None = None,
    ) -> None:
        act = Act(kind, who, why, key, dict(matcher or {}), until_ns or 0)
        why_not = act.problem() or refusal(act, now_ns(), self._tags)
        if why_not:
            raise ValueError(why_not)
        open_keys = {alert.key for alert in self.alerts() if alert.state != "resolved"}
        if kind in ("acknowledge", "unacknowledge") and key not in open_keys:
            raise LookupError(f"no open alert has the key {key!r}")
        if kind == "unsilence" and key and key not in {s["id"] for s in self.silences()}:
            raise LookupError(f"no silence has the id {key!r}")
        if kind in OF_PROPOSALS and (nothing := self.found().refusal(act)):
            raise LookupError(nothing)
        try:
            record = await self._link.act(
                {
                    "kind": kind,
                    "who": who,
                    "why": why,
                    "key": key,
                    "matcher": dict(matcher or {}),
                    "until_ns": until_ns or 0,
                }
            )
        except BadItem as error:
            raise ValueError(str(error)) from None
        await self._folded(record)

    async def _folded(self, record: int) -> None:
        """Wait until the board shows what was just done; the act is durable in any case."""
        for _ in range(100):
            if self._engine is None or self._engine.fold.last_id >= record:
                return
            await asyncio.sleep(0.01)

    async def query(self, query: Query) -> list[SeriesRows]:
        return await self._store.query(query)

    def faults(self) -> Sequence[Mapping[str, Any]]:
        return self._field.faults if self._field else []

    async def fault(self, name: str, target: str) -> None:
        await self._tell_field({"fault": name, "target": target})

    async def clear(self, name: str, target: str) -> None:
        await self._tell_field({"clear": name, "target": target})

    async def _tell_field(self, command: Mapping[str, Any]) -> None:
        if self._field is None:
            raise LookupError("faults can only be started in the demo")
        await self._field.tell(command)

    async def route(self, method: str, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        try:
            return await self._link.route(method, path, body)
        except TryAgain as error:
            return 503, {"error": str(error)}


def read_regency(folder: Path, zone: str) -> Regency:
    """Name, languages, bounds and map of a regency; from its folder."""
    facts_of = yaml.safe_load((folder / "regency.yaml").read_text(encoding="utf-8"))
    bounds = facts_of.get("bounds", {})
    outline = folder / "map.geojson"
    return Regency(
        id=str(facts_of["id"]),
        name=str(facts_of["name"]),
        zone=zone,
        languages=tuple(facts_of.get("languages", ("id", "en"))),
        bounds=(
            bounds.get("south", -90.0),
            bounds.get("west", -180.0),
            bounds.get("north", 90.0),
            bounds.get("east", 180.0),
        ),
        map=json.loads(outline.read_text(encoding="utf-8")) if outline.exists() else {},
    )
