"""Runs one collector: schedule, jitter, time-out, back-off, one log line down and one up.

heap of (due, target, tier) ─► task a poll ─► ok: due + period
                                          └─► failed: the device's fastest tier is asked at once;
                                              if that fails too, it alone goes on, as a cheap
                                              probe, until it answers again
"""

from __future__ import annotations

import asyncio
import heapq
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from hub import logs
from hub.api import (
    BadItem,
    Collector,
    Emit,
    Hint,
    Item,
    Log,
    NeverWorks,
    Reading,
    Receipt,
    Redelivery,
    Target,
    TryAgain,
)
from hub.clock import monotonic
from hub.health import Health
from hub.manifest import TierSpec
from hub.own import Own
from hub.pipeline import Pipeline
from hub.reading import BadSeries
from hub.redelivery import Window
from hub.registry import Plugin

RESTART_S = (1.0, 60.0)
"""First and longest pause before a stream is started again."""
SPREAD_S = 0.02
"""First polls are this far apart, so that a fleet does not answer at once."""
HINT_EVERY_S = 1.0
"""Between two polls of a device's tier, however many ask for one."""
STOP_S = 5.0
"""How long a collector may take to end."""


@dataclass(slots=True)
class TargetHost:
    """What a collector sees of the hub: `hub.api.Host`."""

    log: Log
    window: Window
    health: Health
    name: str
    now: Callable[[], int]
    given: Sequence[Target]
    own: Own
    listed: Mapping[str, str] = field(default_factory=dict)

    def now_ns(self) -> int:
        return self.now()

    def targets(self) -> Sequence[Target]:
        return self.given

    def addresses(self) -> Mapping[str, str]:
        return self.listed

    def count(self, what: str, number: int = 1) -> None:
        self.health.count(f"collector_{what}", number, collector=self.name)

    def tell(self, part: str, numbers: Mapping[str, int]) -> None:
        self.own.tell(part, numbers)

    def refuse(self, reason: str, detail: str = "", device: str = "") -> None:
        # The first of each kind and then every thousandth: a broken sensor must not fill the log.
        number = self.health.count("refused", 1, collector=self.name, reason=reason)
        if number <= 3 or number % 1000 == 0:
            self.log.warning("refused", reason=reason, detail=detail, device=device, number=number)

    def taken(self, redelivery: Redelivery) -> Receipt | None:
        return self.window.taken(redelivery)


_Asked = tuple[str, asyncio.Future[bool | None]]
"""A tier, and where to say what its next poll tells of the device."""


@dataclass(slots=True)
class _State:
    """What is known of one device; everything by tier."""

    target: Target
    fastest: str
    never: bool = False
    failures: dict[str, int] = field(default_factory=dict)
    """How often in a row each failed; what answers is not in it."""
    running: tuple[str, ...] = ()
    began: dict[str, float] = field(default_factory=dict)
    hinted: tuple[str, ...] = ()
    """To be polled beside the schedule, soon."""
    asked: tuple[_Asked, ...] = ()
    """Who waits for a poll that begins from now on, to know whether the device lives."""
    again: tuple[str, ...] = ()
    """Hinted at while being polled: what was read may be older than the hint."""


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
        self._tiers = tiers(plugin, collector.config)
        self._fastest = min(self._tiers, key=lambda t: self._tiers[t].period_s, default="")
        self._states = {t.id: _State(t, self._fastest) for t in host.targets()}
        self._heap: list[tuple[float, str, str, bool]] = []
        """due, device, tier, and whether it is a hint: polled once beside its schedule."""
        self._wake = asyncio.Event()
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
                    self._group.create_task(
                        self._schedule(self._group), name=f"{self.name} schedule"
                    )
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
        listed = {target.id for target in targets}
        for gone in self._states.keys() - listed:
            del self._states[gone]
        self._heap = [due for due in self._heap if due[1] in listed]
        heapq.heapify(self._heap)
        for target in targets:
            known = self._states.get(target.id)
            if known is None:
                known = self._states[target.id] = _State(target, self._fastest)
                for tier in self._tiers if self._group else ():
                    heapq.heappush(self._heap, (monotonic(), target.id, tier, False))
            known.target, known.never = target, False
        self._wake.set()
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
        """Poll a device now. A flood of hints makes one poll each `HINT_EVERY_S`."""
        state = self._states.get(hint.device)
        if state is not None:
            for tier in [hint.tier] if hint.tier in self._tiers else self._tiers:
                self._ask(state, tier)

    async def probe(self, device: str) -> bool | None:
        """Poll a device now, with the cheapest question: does it live? None: nobody can tell."""
        state = self._states.get(device)
        tier = "" if state is None or state.never else self._proof(state)
        if state is None or not tier:
            return None
        verdict: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()
        state.asked += ((tier, verdict),)
        self._ask(state, tier)
        return await verdict

    def _proof(self, state: _State) -> str:
        """The tier that is asked most often of those that tell whether it lives; empty: none."""
        try:
            tiers = [
                tier
                for tier in self._tiers
                if self.collector.needs(state.target, tier)
                and self.collector.proves(state.target, tier)
            ]
        except Exception:  # a poll of it will say what is wrong
            return ""
        return min(tiers, key=lambda tier: self._tiers[tier].period_s, default="")

    def down(self) -> list[str]:
        """Devices that failed their last poll."""
        return [name for name, state in self._states.items() if state.failures]

    # the collector as a whole: whatever it raises, the other collectors go on

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
                if _being_cancelled():
                    raise
                self._host.count("crashes")
                self._host.log.error("stream crashed, starting again", exc_info=True)
            pause = RESTART_S[0] if monotonic() - began > RESTART_S[1] else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, RESTART_S[1])

    # polls

    async def _schedule(self, group: asyncio.TaskGroup) -> None:
        begin, spread = monotonic(), max(1.0, SPREAD_S * len(self._states))
        for name in self._states:
            for tier, spec in self._tiers.items():
                share = zlib.crc32(f"{name} {tier}".encode()) / 2**32
                # A device's first look at all that it has costs many times a later one: a large
                # fleet is met over minutes, though each device is soon known to be alive.
                first = min(spec.period_s, spread) if tier == self._fastest else spread
                due = begin + share * first
                heapq.heappush(self._heap, (due, name, tier, False))
        while True:
            self._wake.clear()
            now = monotonic()
            while self._heap and self._heap[0][0] <= now:
                due, name, tier, hinted = heapq.heappop(self._heap)
                if name not in self._states:
                    continue
                self._launch(group, name, tier, hinted)
                if not hinted:
                    # After a stall go on from now; the missed polls are not made up.
                    period = self._tiers[tier].period_s
                    heapq.heappush(self._heap, (max(due, now - period) + period, name, tier, False))
            pause = self._heap[0][0] - now if self._heap else 3600.0
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _ask(self, state: _State, tier: str) -> None:
        if tier not in state.hinted:
            state.hinted += (tier,)
            due = max(monotonic(), state.began.get(tier, 0.0) + HINT_EVERY_S)
            heapq.heappush(self._heap, (due, state.target.id, tier, True))
            self._wake.set()

    def _launch(self, group: asyncio.TaskGroup, name: str, tier: str, hinted: bool) -> None:
        state = self._states[name]
        if hinted:
            state.hinted = _without(state.hinted, tier)
        if state.never:
            _Inquest.of(state, tier).close(None)
            return
        if not self._needs(state, tier):
            state.failures.pop(tier, None)  # from before the inventory changed
            _Inquest.of(state, tier).close(None)
            return
        if tier in state.running:
            if hinted:
                state.again = (*_without(state.again, tier), tier)
            else:
                self._host.count("overruns")
        elif tier == state.fastest or state.fastest not in state.failures:
            state.running += (tier,)
            state.began[tier] = monotonic()
            spec = self._tiers[tier]
            group.create_task(self._poll(state, tier, spec), name=f"{self.name} {name} {tier}")
        else:
            _Inquest.of(state, tier).close(None)  # a cheaper question fails already

    def _needs(self, state: _State, tier: str) -> bool:
        try:
            return self.collector.needs(state.target, tier)
        except Exception:
            return True  # its poll will say what is wrong

    async def _poll(self, state: _State, tier: str, spec: TierSpec) -> None:
        name, began = state.target.id, monotonic()
        inquest = _Inquest.of(state, tier)
        emit = inquest.listening(self._pipeline.emit)
        answered: bool | None = None
        try:
            async with asyncio.timeout(spec.timeout_s):
                await self.collector.poll(state.target, tier, emit)
            answered = True
            self._went_well(state, tier)
        except (TryAgain, TimeoutError, OSError) as error:
            answered = False
            self._failed(state, tier, str(error) or f"no answer within {spec.timeout_s:g} s")
        except NeverWorks as error:
            state.never = True
            self._host.count("never")
            self._host.log.error(
                "not polled until its configuration changes", device=name, why=str(error)
            )
        except (BadItem, BadSeries) as error:
            self._host.refuse("bad_item", str(error), name)
        except (Exception, asyncio.CancelledError) as error:
            if _being_cancelled():
                raise
            self._host.count("crashes")
            self._failed(state, tier, f"BUG in the collector: {error!r}", traceback=True)
        finally:
            inquest.close(answered)
            state.running = _without(state.running, tier)
            if tier in state.again:
                state.again = _without(state.again, tier)
                self._ask(state, tier)
            self._host.count("polls")
            self._host.health.count(
                "poll_ms", round((monotonic() - began) * 1000), collector=self.name
            )

    def _went_well(self, state: _State, tier: str) -> None:
        missed = state.failures.pop(tier, 0)
        if not missed:
            return
        if not state.failures:
            self._host.log.info("answers again", device=state.target.id, missed=missed)
        if tier == state.fastest:
            # What was left out meanwhile need not wait for its turn.
            for other in self._tiers:
                if other != tier:
                    self._ask(state, other)

    def _failed(self, state: _State, tier: str, why: str, *, traceback: bool = False) -> None:
        self._host.count("failures")
        if not state.failures:
            self._host.log.warning(
                "does not answer", device=state.target.id, tier=tier, why=why, exc_info=traceback
            )
        if tier not in state.failures and tier != state.fastest:
            # Is it the device or this tier alone? The cheapest question tells.
            self._ask(state, state.fastest)
        state.failures[tier] = state.failures.get(tier, 0) + 1


class _Inquest:
    """What one poll says of whether its device lives: some collectors raise when it doesn't, others
    emit a reading that says so."""

    __slots__ = ("_asked", "_device", "_emit", "_up")

    def __init__(self, device: str, asked: Sequence[asyncio.Future[bool | None]]) -> None:
        self._device, self._asked = device, asked
        self._up: bool | None = None

    @classmethod
    def of(cls, state: _State, tier: str) -> _Inquest:
        """Of the poll that begins; who asks from now on waits for the next one."""
        asked = [verdict for of_tier, verdict in state.asked if of_tier == tier]
        if asked:
            state.asked = tuple(one for one in state.asked if one[0] != tier)
        return cls(state.target.id, asked)

    def listening(self, emit: Emit) -> Emit:
        """Hand on what is emitted, and look at it if somebody waits."""
        self._emit = emit
        return self._hear if self._asked else emit

    def _hear(self, *items: Item) -> Receipt:
        for item in items:
            if isinstance(item, Reading) and item.series.device == self._device:
                up = item.fields.get("up")
                self._up = self._up if up is None else bool(self._up or up)
        return self._emit(*items)

    def close(self, answered: bool | None) -> None:
        """The poll is over: it answered, or it didn't, or it can't be said."""
        for verdict in self._asked:
            if not verdict.done():
                verdict.set_result(answered if self._up is None else self._up)


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    """Tuples, because thousands of devices have nothing in them: a set takes 200 bytes for that."""
    return tuple([other for other in names if other != name])


def _being_cancelled() -> bool:
    """True when we are to end; a CancelledError alone may come out of anything awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def tiers(plugin: Plugin, config: Any) -> dict[str, TierSpec]:
    """The manifest's tiers with what the settings changed (`tiers: {traffic: {period_s: 10}}`)."""
    changed: dict[str, Any] = getattr(config, "tiers", None) or {}
    found = {}
    for name, spec in plugin.manifest.tiers.items():
        change = changed.get(name)
        values = change.model_dump(exclude_none=True) if isinstance(change, BaseModel) else change
        found[name] = TierSpec.model_validate({**spec.model_dump(), **(values or {})})
    return found


def log_for(name: str) -> Log:
    found: Log = logs.get(name)
    return found
