"""Polls a device now because something that depends on it is silent; the verdict is a record.

    rules' open questions ─► Inquirer (serve) ─ link ─► Prober (ingest) ─► poll ─► VERDICT
              ▲                                                                       │
              └────────────────────────────── journal ◄───────────────────────────────┘

A question is passed on once while it is open, and again by a serve process that was started again:
what it was told of its questions died with it. Nothing waits for a verdict for ever
(`rules.inquiry.PATIENCE`), so nothing here needs to survive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from hub import logs
from hub.api import TryAgain
from hub.committer import Committer
from hub.journal import Class, Kind
from hub.records import pack_verdict

log = logs.get("topology")

AGAIN_S = 1.0
AT_ONCE = 500
"""Devices that are asked for in one request."""
LONGEST_S = 50.0
"""No poll takes so long; a collector that hasn't started never answers."""


class Asked(Protocol):
    """Who may know how to ask a device: a collector's runner."""

    async def probe(self, device: str) -> bool | None: ...


class Prober:
    """The ingest side: every collector that polls the device is asked, one answer is enough."""

    def __init__(
        self, runners: Sequence[Asked], committer: Committer, now_ns: Callable[[], int]
    ) -> None:
        self._runners, self._committer, self._now_ns = runners, committer, now_ns
        self._running: dict[str, asyncio.Task[None]] = {}

    def ask(self, devices: Iterable[str]) -> None:
        """Begin; what is being asked already is not asked twice."""
        for device in devices:
            if device not in self._running:
                task = asyncio.create_task(self._ask(device), name=f"probe {device}")
                self._running[device] = task
                task.add_done_callback(partial(self._ended, device))

    def _ended(self, device: str, _task: asyncio.Task[None]) -> None:
        del self._running[device]

    async def close(self) -> None:
        """What is not answered yet never will be."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, device: str) -> None:
        up = await self._up(device)
        log.debug("asked", device=device, up=up)
        payload = pack_verdict(device, up)
        self._committer.submit([(self._now_ns(), Kind.VERDICT, Class.ACT, payload)], Class.ACT)

    async def _up(self, device: str) -> bool | None:
        """Whether anybody reached it; None: nobody can tell."""
        asked = [asyncio.create_task(runner.probe(device)) for runner in self._runners]
        up: bool | None = None
        try:
            for answer in asyncio.as_completed(asked, timeout=LONGEST_S):
                said = await answer
                if said:
                    return True
                up = up if said is None else False
        except TimeoutError:
            log.warning("a poll of a device that is asked for does not end", device=device)
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return up


class Link(Protocol):
    """What the inquirer needs of `hub.link.Link`."""

    async def probe(self, devices: Sequence[str]) -> None:
        """Raises `TryAgain`."""
        ...


class Inquirer:
    """The serve side: hands what the rules ask to ingest."""

    def __init__(self, link: Link, questions: Callable[[], Mapping[str, int]]) -> None:
        """`questions`: device → until when its verdict is waited for."""
        self._link, self._questions = link, questions
        self._passed: dict[str, int] = {}
        self._wake = asyncio.Event()

    def look(self) -> None:
        """There may be other questions than before."""
        if self._passed or self._questions():
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            open_ = dict(self._questions())
            # Forget what is over: the same device may be asked again.
            self._passed = {d: until for d, until in self._passed.items() if open_.get(d) == until}
            news = [device for device in open_ if device not in self._passed]
            for start in range(0, len(news), AT_ONCE):
                some = news[start : start + AT_ONCE]
                try:
                    await self._link.probe(some)
                except TryAgain as error:
                    log.debug("can't ask now", devices=len(some), why=str(error))
                    await asyncio.sleep(AGAIN_S)
                    self._wake.set()
                    break
                self._passed.update((device, open_[device]) for device in some)
