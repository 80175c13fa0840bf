"""Writes the acts of maintenance windows into the journal, each occurrence once.

What was written is remembered beside the alerts, so that a window that somebody ended early does
not come back with a restart. A crash between the act and the note writes it a second time: the
later silence is the same as the first and ends with it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hub import logs
from hub.api import BadItem, TryAgain
from hub.plans import Plan, PlanError, Plans
from hub.windows import Window, begun

log = logs.get("maintenance")

LOOK_S = 5.0
_SCHEMA = """CREATE TABLE IF NOT EXISTS maintenance (
    name TEXT NOT NULL, begin_ns INTEGER NOT NULL, PRIMARY KEY (name, begin_ns)) STRICT"""


class Acts(Protocol):
    async def act(self, act: Mapping[str, Any]) -> int:
        """Append an act; its record id. Raises TryAgain, BadItem."""
        ...


class Planner:
    """Looks every few seconds which windows have begun."""

    def __init__(
        self,
        db: sqlite3.Connection,
        acts: Acts,
        windows: Sequence[Window],
        plans: Plans,
        zone: str,
        now_ns: Callable[[], int],
    ) -> None:
        self._db = db
        self._acts = acts
        self.windows = windows
        """Those of the settings; replaced by a reload."""
        self._plans = plans
        self._zone = zone
        self._trouble = ""
        self._now_ns = now_ns
        db.execute(_SCHEMA)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except TryAgain as error:  # the ingest process starts again by itself
                log.debug("a maintenance window waits", why=str(error))
            except sqlite3.Error as error:
                log.error("maintenance windows can't be noted, trying on", why=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> int:
        """Write what has begun and was not written; how many acts."""
        now_ns, number = self._now_ns(), 0
        for window, who, _ in [*(Plan(one, "settings") for one in self.windows), *self._planned()]:
            found = begun(window, now_ns, self._zone)
            if found is None or self._known(window.name, found.begin_ns):
                continue
            why = f"{window.name}: {window.why}" if window.why else window.name
            act = {
                "kind": "maintenance",
                "who": who,
                "why": why,
                "matcher": window.match,
                "until_ns": found.until_ns,
            }
            try:
                record = await self._acts.act(act)
            except BadItem as error:
                log.error("a maintenance window is refused", window=window.name, why=str(error))
            else:
                number += 1
                log.info("maintenance begins", window=window.name, record=record)
            self._db.execute(
                "INSERT OR IGNORE INTO maintenance VALUES (?, ?)", (window.name, found.begin_ns)
            )
        return number

    def _planned(self) -> Sequence[Plan]:
        try:
            found, self._trouble = self._plans.list(), ""
        except PlanError as error:
            if str(error) != self._trouble:
                log.error("the planned windows can't be read, trying on", why=str(error))
            self._trouble = str(error)
            return ()
        return found

    def _known(self, name: str, begin_ns: int) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM maintenance WHERE name = ? AND begin_ns = ?", (name, begin_ns)
        ).fetchone()
        return row is not None
