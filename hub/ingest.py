"""The ingest process: collectors in, journal out, nothing that could delay an acknowledgement."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hub import clock, link, logs, own
from hub.api import Event, Hint, Phrase, Reading, Route, TryAgain
from hub.clock import NS, monotonic, now_ns, to_datetime
from hub.committer import Committer
from hub.configuration import Configuration
from hub.doubt import Doubts
from hub.health import Health
from hub.host import TargetHost
from hub.inforce import InForce
from hub.inventory import Inventory
from hub.journal import Class, Journal, Kept, Kind
from hub.notebook import Notebook
from hub.own import Fresh, Own
from hub.pipeline import Pipeline
from hub.probing import Prober
from hub.records import pack_event, pack_map, pack_readings
from hub.redelivery import Window
from hub.registry import Plugin
from hub.reload import Changes
from hub.running import Runner
from hub.settings import MIB, Settings

log = logs.get("ingest")

CURSORS = ("engine", "forward")
TICK_S = 1.0
FASTER = 6
"""A simulated clock ticks up to so many times as often."""
STEP_S = 10.0
"""A clock that goes wrong by more between two ticks is said to have jumped."""
HOUSE_S = 1.0
FULL_S = 60.0
ACT_S = 5.0
"""How long a person waits for an act to be on disk before hearing why it is not."""


def open_journal(settings: Settings) -> Journal:
    """The hub's journal, to be written. Raises `Locked`, `OtherFormat`, OSError."""
    quotas = {
        Class.ACKNOWLEDGED: settings.journal.acknowledged_mib * MIB,
        Class.POLLED: settings.journal.polled_mib * MIB,
        Class.ACT: settings.journal.acts_mib * MIB,
    }
    return Journal(
        settings.journal_folder,
        now_ns=now_ns(),
        segment_bytes=settings.journal.segment_mib * MIB,
        quotas={int(k): v for k, v in quotas.items()},
        free_bytes=settings.journal.free_mib * MIB,
        cursors=CURSORS,
    )


class Ingest:
    """Everything of one ingest process."""

    def __init__(self, conf: Configuration) -> None:
        """Raises `Locked`, `OtherFormat`, OSError, and pydantic's errors for a bad section."""
        self.settings = settings = conf.settings
        self.health_of = Health()
        self.journal = open_journal(settings)
        self.committer = Committer(self.journal, self.health_of)
        self.own = Own(self.committer, now_ns)
        self._jumped_s = 0
        """How far the clock jumped since that was told."""
        self.window = Window()
        known = self.window.load(self.journal.folder, self.journal.last_id)
        if self.journal.lost:
            log.error("the journal has lost its tail", what=str(self.journal.lost))
            self.health_of.count("dropped", self.journal.lost.records, reason="journal_tail_lost")
        for what in self.journal.repaired:
            log.error("the journal was repaired", what=what)
        log.info("journal open", last_id=self.journal.last_id, redelivery_window=known)
        self.runners: list[Runner] = []
        self._doubts: list[Doubts] = []
        self._addresses = conf.inventory.addresses()
        for name, plugin in conf.plugins.items():
            if enabled(settings, name):
                try:
                    section = settings.collectors.get(name, {})
                    self.runners.append(self._runner(plugin, conf.inventory, section))
                except Exception:  # a plugin's code may fail in any way; the others go on
                    log.error("left out: it can't be made", collector=name, exc_info=True)
        self.in_force = InForce(conf, self.journal.folder, self.committer, self._go_on_with)
        self._prober = Prober(self.runners, self.committer, now_ns)
        self._routes = _compile(r for runner in self.runners for r in runner.collector.routes())

    def _runner(self, plugin: Plugin, inventory: Inventory, section: Mapping[str, Any]) -> Runner:
        name, cls = plugin.name, plugin.collector
        config = plugin.configure(section, self.settings.folder)
        host = TargetHost(
            logs.get(name),
            self.window,
            self.health_of,
            name,
            now_ns,
            inventory.targets(name),
            self.own,
            Notebook(self.settings.data, name),
            self._addresses,
        )
        doubts = Doubts(plugin.manifest, inventory)
        self._doubts.append(doubts)
        pipeline = Pipeline(
            name,
            plugin.manifest,
            self.committer,
            self.window,
            self.health_of,
            now_ns,
            self.hint,
            host.refuse,
            doubts,
        )
        return Runner(plugin, cls(config, host), host, pipeline)

    async def run(self) -> None:
        """Until cancelled. Collectors stop first, then what they handed over is written."""
        server = await link.serve(self.settings.ingest_socket, self)
        commit = asyncio.create_task(self.committer.run(), name="commit")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_needed(commit), name="commit")
                group.create_task(self.in_force.note(), name="configuration")
                group.create_task(self._ticks(), name="ticks")
                group.create_task(self._keep_house(), name="house")
                group.create_task(self._measure_ourselves(), name="own health")
                group.create_task(self._tell_when_full(), name="full or not")
                for runner in self.runners:
                    group.create_task(runner.run(), name=runner.name)
        finally:
            await server.cleanup()
            await self._prober.close()
            self.committer.close()
            await asyncio.wait({commit})
            self.journal.close()

    # what the serve process asks (hub.link.IngestSide)

    async def act(self, act: Mapping[str, Any]) -> int:
        if self.committer.trouble:
            # It would wait for space; a person wants to know now, and may try again.
            raise TryAgain(self.committer.trouble)
        draft = (now_ns(), Kind.ACT, Class.ACT, pack_map(act))
        receipt = self.committer.submit([draft], Class.ACT)
        try:
            async with asyncio.timeout(ACT_S):
                return await receipt
        except TimeoutError:
            why = self.committer.trouble or "the disk is slow"
            raise TryAgain(f"{why}; it will be done when that is over") from None

    async def tell(self, part: str, numbers: Mapping[str, int]) -> None:
        try:
            async with asyncio.timeout(ACT_S):
                await self.own.tell(part, numbers)
        except TimeoutError:
            raise TryAgain(self.committer.trouble or "the disk is slow") from None

    async def take(self, readings: Sequence[Reading]) -> None:
        draft = (now_ns(), Kind.READINGS, Class.ACKNOWLEDGED, pack_readings("import", readings))
        try:
            async with asyncio.timeout(ACT_S):
                await self.committer.submit([draft], Class.ACKNOWLEDGED)
        except TimeoutError:
            raise TryAgain(self.committer.trouble or "the disk is slow") from None

    def probe(self, devices: Sequence[str]) -> None:
        self._prober.ask(devices)

    def hint(self, hint: Hint) -> None:
        for runner in self.runners:
            runner.hint(hint)

    def health(self) -> dict[str, Any]:
        return {
            "lines": list(self.health_of.lines()),
            "journal": {
                "last_id": self.journal.last_id,
                "bytes": sum(self.journal.used(k) for k in Class),
            },
            "trouble": self._trouble(),
            "notes": self.in_force.notes(),
            "dropped": self.health_of.by("dropped", "reason"),
            "refused": self.health_of.by("refused", "reason"),
            "collectors": {
                runner.name: {
                    "readings": self.health_of.by("readings", "collector").get(runner.name, 0),
                    "polls": self.health_of.by("collector_polls", "collector").get(runner.name, 0),
                    "down": len(runner.down()),
                }
                for runner in self.runners
            },
            "down": {runner.name: runner.down()[:100] for runner in self.runners},
        }

    def _trouble(self) -> list[str]:
        """What a person must know: why nothing, or not everything, gets in."""
        found = [self.committer.trouble] if self.committer.trouble else []
        if not self.journal.room(Class.ACKNOWLEDGED):
            found.append("the journal is full: sensors' messages wait at their broker")
        if not self.journal.room(Class.POLLED):
            found.append("the journal is full: polled readings are dropped")
        return found

    async def route(self, method: str, path: str, body: bytes) -> Mapping[str, Any] | None:
        for known, pattern, handle in self._routes:
            match = pattern.fullmatch(path)
            if match and known == method:
                answer: Mapping[str, Any] = await handle(body, **match.groupdict())
                return answer
        return None

    async def reload(self, *, remove_many: bool) -> Changes:
        return await self.in_force.reload(remove_many=remove_many)

    async def _go_on_with(self, conf: Configuration, changes: Changes) -> None:
        """What a reload brought, for the collectors."""
        if conf.inventory.devices != self.in_force.conf.inventory.devices:
            for doubts in self._doubts:
                doubts.know(conf.inventory)
        self._addresses = conf.inventory.addresses()
        for runner in self.runners:
            runner.know(self._addresses)
            if runner.name in changes.collectors:
                await runner.retarget(conf.inventory.targets(runner.name))

    # the hub's own tasks

    async def _ticks(self) -> None:
        """Time as a record, so that replaying the journal gives the same alerts."""
        then, began = now_ns(), monotonic()
        while True:
            now, lasted = now_ns(), monotonic() - began
            step_s = (now - then) / NS - lasted * clock.speed()
            if abs(step_s) > STEP_S:
                self._say_clock_jumped(now, step_s)
            then, began = now, began + lasted
            self.committer.submit([(now, Kind.TICK, Class.ACT, b"")], Class.ACT)
            # Rules take a minute between two ticks for a hub that was away.
            await asyncio.sleep(TICK_S / min(clock.speed(), FASTER))

    def _say_clock_jumped(self, now: int, step_s: float) -> None:
        """Records go on in the order they come; people must know why times don't."""
        said = Phrase(
            "the clock jumped by {seconds} s: it was set, or this machine slept",
            {"seconds": round(step_s)},
        )
        log.warning("the clock jumped", by_s=round(step_s), now=str(to_datetime(now)))
        self._jumped_s = max(self._jumped_s, round(abs(step_s)))
        event = pack_event("hub", Event.saying("hub", "clock_jumped", now, said))
        self.committer.submit([(now, Kind.EVENT, Class.ACT, event)], Class.ACT)

    async def _keep_house(self) -> None:
        said = ""
        while True:
            await asyncio.sleep(HOUSE_S)
            try:
                kept = await asyncio.to_thread(self.journal.keep_house)
            except OSError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("can't free journal segments, trying again", error=said)
                continue
            said = ""
            if kept.freed:
                log.debug("freed journal segments", segments=kept.freed)
            if kept.thinned:
                self._quota_dropped(kept)

    def _quota_dropped(self, kept: Kept) -> None:
        """Nobody keeps polled readings but us: the oldest went, since no reader came for them."""
        if kept.dropped:
            first, last = kept.dropped[0], kept.dropped[-1]
            self.health_of.count("dropped", kept.records(), reason="quota")
            log.error(
                "the oldest polled readings are dropped: their quota in the journal is used up",
                records=kept.records(),
                ids=f"{first.first_id} to {last.last_id}",
                received=f"{to_datetime(first.first_ns)} to {to_datetime(last.last_ns)}",
            )

    async def _measure_ourselves(self) -> None:
        fresh = Fresh()
        while True:
            dropped = self.health_of.total("dropped")
            numbers = {
                "readings": self.health_of.total("readings"),
                "refused": self.health_of.total("refused"),
                "dropped": dropped,
                "polls": self.health_of.total("collector_polls"),
                "failures": self.health_of.total("collector_failures"),
                "journal_bytes": sum(self.journal.used(k) for k in Class),
                "journal_id": self.journal.last_id,
                "clock_jump_s": self._jumped_s,
            }
            self._jumped_s = 0
            with suppress(TryAgain):
                await self.own.tell("ingest", numbers | fresh.of(lost=dropped))
                fresh.told(lost=dropped)
            await asyncio.sleep(own.EVERY_S)

    async def _tell_when_full(self) -> None:
        """When readings are refused, so is what we say of it; so this goes where acts go: when it
        changes, and each minute while it lasts."""
        told: bool | None = None
        told_at = 0.0
        while True:
            full = bool(self._trouble())
            if full is not told or (full and monotonic() - told_at >= FULL_S):
                told, told_at = full, monotonic()
                self.own.tell("journal", {"full": int(full)}, Class.ACT)
            await asyncio.sleep(HOUSE_S)


async def _needed(commit: asyncio.Task[None]) -> None:
    """Without the journal's writer the process must end, and be started again."""
    await asyncio.shield(commit)


def enabled(settings: Settings, collector: str) -> bool:
    return settings.collectors.get(collector, {}).get("enabled", True) is not False


def _compile(routes: Iterable[Route]) -> list[tuple[str, re.Pattern[str], Any]]:
    found = []
    for route in routes:
        parts = re.split(r"\{(\w+)\}", route.path.strip("/"))
        pattern = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
        found.append((route.method, re.compile(pattern), route.handle))
    return found
