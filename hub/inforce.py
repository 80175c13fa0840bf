"""The configuration in force: noted in the journal, and replaced by a reload while all goes on.

    files ─ reload ─► compare ─► what the store knows of the time that new rules look back to
                                  └─► both as records in the journal ─► collectors go on with it

The serve process takes it over when it has read the record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hub import configuration, logs, past, ruleset, serveside
from hub.api import BadItem, TryAgain
from hub.aside import aside
from hub.clock import now_ns
from hub.committer import Committer
from hub.configuration import Configuration
from hub.journal import Class, Kind
from hub.journal.files import identity
from hub.problems import Misconfigured, Problem
from hub.reload import Changes, compare, loss
from hub.ruleset import RuleSet

log = logs.get("ingest")

AGAIN_S = 10.0
LOGGED = 20
"""Mistakes of a refused reload that the log names."""
PAST_S = 20.0
"""How long a reload waits for what the store knows."""

GoOn = Callable[[Configuration, Changes], Awaitable[None]]
"""Has the collectors go on with a configuration that differs so from the one before."""


class InForce:
    """Of one ingest process."""

    def __init__(
        self, conf: Configuration, journal: Path, committer: Committer, go_on_with: GoOn
    ) -> None:
        self.conf = conf
        self._running = conf.settings
        """What the process was started with."""
        self.refused: list[Problem] = []
        """What was wrong with the last reload: the configuration of before goes on."""
        self.waiting: list[str] = []
        """Settings that were changed and wait for a restart."""
        self._journal = identity(journal)
        self._committer = committer
        self._go_on_with = go_on_with
        self._data = conf.settings.data
        self._marker = self._data / "configuration.sha256"
        """Which journal has noted what."""
        self._reloading = asyncio.Lock()
        self._noted = ""

    def notes(self) -> list[str]:
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

    async def note(self) -> None:
        """Rules and inventory in force are part of the log; at the start when they changed."""
        in_force, marker = ruleset.of(self.conf), self._marker
        self._noted, known = in_force.sha256, self._known(in_force)
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
                await asyncio.sleep(AGAIN_S)

    def _known(self, rules: RuleSet) -> str:
        return f"{self._journal} {rules.sha256}"

    async def _note(self, payload: bytes, stored: bytes = b"") -> int:
        """A rule set, and right behind it what its new rules know of the past."""
        now = now_ns()
        drafts = [(now, Kind.CONFIG, Class.ACT, payload)]
        if stored:
            drafts.append((now, Kind.PAST, Class.ACKNOWLEDGED, stored))
        return await self._committer.submit(drafts, Class.ACT)

    async def reload(self, *, remove_many: bool = False) -> Changes:
        """Read the files again and go on with what changed; all of it or nothing. Most of the
        devices only go when `remove_many` is said.

        Raises `Misconfigured` for files with mistakes, `TryAgain` when it can't be written down.
        """
        async with self._reloading:
            conf, changes = await self._read(remove_many=remove_many)
            conf.inventory.keep(self.conf.inventory)
            new = await aside(lambda: ruleset.of(conf))
            same = new.sha256 == self._noted
            stored, changes = await self._past(conf, new, changes)
            await self._note(ruleset.unchanged(new.sha256) if same else new.payload, stored)
            with suppress(OSError):  # then it is noted once more at the next start
                self._marker.write_text(self._known(new))
            await self._go_on_with(conf, changes)
            self.conf, self._noted, self.refused = conf, new.sha256, []
            self.waiting = changes.restart
            log.info("reloaded", changes="; ".join(changes.lines()) or "nothing")
            return changes

    async def _read(self, *, remove_many: bool) -> tuple[Configuration, Changes]:
        try:
            conf = await aside(lambda: configuration.load(self.conf.path))
            changes = await aside(lambda: compare(self.conf, conf, self._running))
            lost = None if remove_many else loss(changes, self.conf)
            if lost is not None:
                raise Misconfigured([lost])
            return conf, changes
        except Misconfigured as error:
            self.refused = error.problems
            log.error("reload refused, all goes on as before", problems=len(error.problems))
            for problem in error.problems[:LOGGED]:
                log.error("wrong in the configuration", what=str(problem))
            raise

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
                said = await serveside.ask(self._data, "past", asked)
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
