"""The ingest process: collectors in, journal out, nothing that could delay an acknowledgement."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hub import clock, configuration, link, logs, own, past, ruleset, serveside
from hub.api import BadItem, Event, Hint, Phrase, Reading, Route, TryAgain
from hub.aside import aside
from hub.clock import NS, monotonic, now_ns, to_datetime
from hub.committer import Committer
from hub.configuration import Configuration
from hub.doubt import Doubts
from hub.health import Health
from hub.host import TargetHost
from hub.inventory import Inventory
from hub.journal import Class, Journal, Kept, Kind
from hub.journal.files import identity
from hub.notebook import Notebook
from hub.own import Fresh, Own
from hub.pipeline import Pipeline
from hub.probing import Prober
from hub.problems import Misconfigured, Problem
from hub.records import pack_event, pack_map, pack_readings
from hub.redelivery import Window
from hub.registry import Plugin
from hub.reload import Changes, compare
from hub.ruleset import RuleSet
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
CONFIGURATION_S = 10.0
FULL_S = 60.0
LOGGED = 20
"""Mistakes of a refused reload that the log names."""
PAST_S = 20.0
"""How long a reload waits for what the store knows."""
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
        settings.data / "journal",
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
        self.conf = conf
        self.settings = settings = conf.settings
        self.refused: list[Problem] = []
        """What was wrong with the last reload: the configuration of before goes on."""
        self.waiting: list[str] = []
        """Settings that were changed and wait for a restart."""
        self._reloading = asyncio.Lock()
        self._noted = ""
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
        server = await link.serve(self.settings.data / "ingest.sock", self)
        commit = asyncio.create_task(self.committer.run(), name="commit")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_needed(commit), name="commit")
                group.create_task(self._note_configuration(), name="configuration")
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
            "notes": self._notes(),
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

    def _notes(self) -> list[str]:
        """What a person should know although all is well."""
        found = []
        if self.refused:
            more = f", and {len(self.refused) - 1} more" if len(self.refused) > 1 else ""
            found.append(
                f"the last reload was refused, all goes on as before: {self.refused[0]}{more}"
            )
        if self.waiting:
            found.append(f"changed, but only counts after a restart: {', '.join(self.waiting)}")
        return found

    async def route(self, method: str, path: str, body: bytes) -> Mapping[str, Any] | None:
        for known, pattern, handle in self._routes:
            match = pattern.fullmatch(path)
            if match and known == method:
                answer: Mapping[str, Any] = await handle(body, **match.groupdict())
                return answer
        return None

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

    async def _note_configuration(self) -> None:
        """Rules and inventory in force are part of the log; at the start when they changed."""
        in_force, journal = ruleset.of(self.conf), identity(self.journal.folder)
        marker = self.settings.data / "configuration.sha256"
        self._noted, known = in_force.sha256, f"{journal} {in_force.sha256}"
        if marker.exists() and marker.read_text(errors="replace") == known:
            return
        noted = False
        while True:
            try:
                if not noted:
                    await self._note(in_force.payload)
                noted = True
                marker.write_text(known)
                return
            except (TryAgain, OSError):  # a full disk, which the committer complains of
                await asyncio.sleep(CONFIGURATION_S)

    async def _note(self, payload: bytes, stored: bytes = b"") -> int:
        """A rule set, and right behind it what its new rules know of the past."""
        now = now_ns()
        drafts = [(now, Kind.CONFIG, Class.ACT, payload)]
        if stored:
            drafts.append((now, Kind.PAST, Class.ACKNOWLEDGED, stored))
        return await self.committer.submit(drafts, Class.ACT)

    # other rules, devices, teams and channels while all goes on

    async def reload(self) -> Changes:
        """Read the files again and go on with what changed; all of it or nothing.

        Raises `Misconfigured` for files with mistakes, `TryAgain` when it can't be written down.
        """
        async with self._reloading:
            try:
                conf = await aside(lambda: configuration.load(self.conf.path))
            except Misconfigured as error:
                self.refused = error.problems
                log.error("reload refused, all goes on as before", problems=len(error.problems))
                for problem in error.problems[:LOGGED]:
                    log.error("wrong in the configuration", what=str(problem))
                raise
            changes = await aside(lambda: compare(self.conf, conf))
            conf.inventory.keep(self.conf.inventory)
            new = await aside(lambda: ruleset.of(conf))
            same = new.sha256 == self._noted
            stored, changes = await self._past(conf, new, changes)
            await self._note(ruleset.unchanged(new.sha256) if same else new.payload, stored)
            with suppress(OSError):  # then it is noted once more at the next start
                known = f"{identity(self.journal.folder)} {new.sha256}"
                (self.settings.data / "configuration.sha256").write_text(known)
            if conf.inventory.devices != self.conf.inventory.devices:
                for doubts in self._doubts:
                    doubts.know(conf.inventory)
            self._addresses = conf.inventory.addresses()
            for runner in self.runners:
                runner.know(self._addresses)
                if runner.name in changes.collectors:
                    await runner.retarget(conf.inventory.targets(runner.name))
            self.conf, self._noted, self.refused = conf, new.sha256, []
            self.waiting = list(dict.fromkeys([*self.waiting, *changes.restart]))
            log.info("reloaded", changes="; ".join(changes.lines()) or "nothing")
            return changes

    async def _past(
        self, conf: Configuration, new: RuleSet, changes: Changes
    ) -> tuple[bytes, Changes]:
        """What the store holds of the time that new rules look back to, as a record; and the
        changes with what is to be said of it. Without an answer the rules begin empty."""
        rules = past.new_rules(self.conf.rules, conf.rules)
        if not rules:
            return b"", changes
        try:
            async with asyncio.timeout(PAST_S):
                asked = past.ask(rules, new.things)
                said = await serveside.ask(self.settings.data, "past", asked)
        except (TryAgain, BadItem, TimeoutError) as error:
            why = str(error) or f"no answer for {PAST_S:g} s"
        else:
            why = said.get("too_much", "")
            if not why:
                names = [rule.name for rule in rules]
                return past.pack(rules, said["readings"]), replace(changes, refilled=names)
        log.error("new rules are not refilled from the store, they begin empty", why=why)
        return b"", replace(changes, not_refilled=why)

    async def reload_quietly(self) -> None:
        """For who can't be answered (a signal): the log and the board say how it went."""
        try:
            await self.reload()
        except Misconfigured:
            pass
        except TryAgain as error:
            log.error("not reloaded", why=str(error))


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
