"""Runs one collector: whatever it raises, the other collectors go on.

start ─► stream, started again when it breaks ┐
      └► polls of its devices (polling.py) ───┴─► pipeline          reload ─► retarget
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from hub.api import Collector, Hint, NeverWorks, Target, TryAgain
from hub.clock import monotonic
from hub.host import TargetHost
from hub.manifest import TierSpec
from hub.pipeline import Pipeline
from hub.polling import Poller, being_cancelled
from hub.registry import Plugin

RESTART_S = (1.0, 60.0)
"""First and longest pause before a stream is started again."""
STOP_S = 5.0
"""How long a collector may take to end."""


class Runner:
    """One collector with its targets."""

    def __init__(
        self, plugin: Plugin, collector: Collector, host: TargetHost, pipeline: Pipeline
    ) -> None:
        self.name = plugin.name
        self.collector = collector
        self._plugin = plugin
        self._host = host
        self._pipeline = pipeline
        self._poller = Poller(collector, host, pipeline.emit, tiers(plugin, collector.config))
        self._group: asyncio.TaskGroup | None = None
        self._streaming: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        if not await self._start():
            return
        try:
            async with asyncio.TaskGroup() as self._group:
                self._listen(self._group)
                if self._plugin.manifest.polls:
                    work = self._poller.run(self._group)
                    self._group.create_task(work, name=f"{self.name} schedule")
        finally:
            self._group = None
            await self._stop()

    def know(self, addresses: Mapping[str, str]) -> None:
        """Whose each address of the inventory is from now on."""
        self._host.listed = addresses

    async def retarget(self, targets: Sequence[Target]) -> None:
        """Go on with these devices. New ones are polled at once, those that are gone forgotten; a
        stream is started again, since it may have asked who is there."""
        self._host.given = targets
        self._poller.retarget(targets, at_once=self._group is not None)
        if self._group is None:
            return  # it has not started yet, or never will
        await self._quietly("did not take its new devices", self.collector.retarget())
        before = self._streaming
        if before is not None and not before.done() and self._group is not None:
            self._listen(self._group, before)
            before.cancel()

    def _listen(self, group: asyncio.TaskGroup, before: asyncio.Task[None] | None = None) -> None:
        """Begin the stream, once the one before it has ended."""
        if self._plugin.manifest.streams:
            work = self._stream(before)
            self._streaming = group.create_task(work, name=f"{self.name} stream")

    def hint(self, hint: Hint) -> None:
        """Poll a device now, if it is one of ours."""
        self._poller.hint(hint)

    async def probe(self, device: str) -> bool | None:
        """Poll a device now: does it live? None: nobody can tell."""
        return await self._poller.probe(device)

    def down(self) -> list[str]:
        """Devices that failed their last poll."""
        return self._poller.down()

    async def _start(self) -> bool:
        pause = RESTART_S[0]
        while True:
            try:
                await self.collector.start()
                return True
            except NeverWorks as error:
                self._host.log.error("left out until its configuration is changed", why=str(error))
                return False
            except TryAgain as error:
                self._host.log.warning("can't start yet", why=str(error), again_in_s=pause)
            except Exception:
                self._host.count("crashes")
                self._host.log.error("crashed in its start", again_in_s=pause, exc_info=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_S[1])

    async def _stop(self) -> None:
        await self._quietly("did not stop cleanly", self.collector.stop())

    async def _quietly(self, trouble: str, work: Awaitable[None]) -> None:
        """Whatever a collector raises here, the hub goes on."""
        try:
            async with asyncio.timeout(STOP_S):
                await work
        except Exception:
            self._host.log.error(trouble, exc_info=True)

    async def _stream(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        pause = RESTART_S[0]
        while True:
            began = monotonic()
            try:
                await self.collector.run(self._pipeline.emit)
                return
            except NeverWorks as error:
                self._host.log.error("left out until its configuration is changed", why=str(error))
                return
            except TryAgain as error:
                self._host.log.warning("stream broke, starting again", why=str(error))
            except (Exception, asyncio.CancelledError):
                if being_cancelled():
                    raise
                self._host.count("crashes")
                self._host.log.error("stream crashed, starting again", exc_info=True)
            pause = RESTART_S[0] if monotonic() - began > RESTART_S[1] else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_S[1])


def tiers(plugin: Plugin, config: Any) -> dict[str, TierSpec]:
    """The manifest's tiers with what the settings changed (`tiers: {traffic: {period_s: 10}}`)."""
    changed: dict[str, Any] = getattr(config, "tiers", None) or {}
    found = {}
    for name, spec in plugin.manifest.tiers.items():
        change = changed.get(name)
        values = change.model_dump(exclude_none=True) if isinstance(change, BaseModel) else change
        found[name] = TierSpec.model_validate({**spec.model_dump(), **(values or {})})
    return found
