"""Polls a collector's devices: schedule, jitter, time-out, back-off, one log line down and one up.

heap of (due, target, tier) ─► task a poll ─► ok: due + period
                                          └─► failed: the device's fastest tier is asked at once;
                                              if that fails too, it alone goes on, as a cheap
                                              probe, until it answers again
"""

from __future__ import annotations

import asyncio
import heapq
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hub.api import (
    BadItem,
    Collector,
    Emit,
    Hint,
    Item,
    NeverWorks,
    Reading,
    Receipt,
    Target,
    TryAgain,
)
from hub.clock import monotonic
from hub.host import TargetHost
from hub.manifest import TierSpec
from hub.reading import BadSeries

SPREAD_S = 0.02
"""First polls are this far apart, so that a fleet does not answer at once."""
HINT_EVERY_S = 1.0
"""Between two polls of a device's tier, however many ask for one."""

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


class Poller:
    """The devices of one collector."""

    def __init__(
        self, collector: Collector, host: TargetHost, emit: Emit, tiers: Mapping[str, TierSpec]
    ) -> None:
        self._collector = collector
        self._host = host
        self._emit = emit
        self._tiers = tiers
        self._fastest = min(tiers, key=lambda t: tiers[t].period_s, default="")
        self._states = {t.id: _State(t, self._fastest) for t in host.targets()}
        self._heap: list[tuple[float, str, str, bool]] = []
        """due, device, tier, and whether it is a hint: polled once beside its schedule."""
        self._wake = asyncio.Event()

    def retarget(self, targets: Sequence[Target], *, at_once: bool) -> None:
        """Go on with these devices. New ones are polled `at_once`, or when `run` begins; those
        that are gone are forgotten."""
        listed = {target.id for target in targets}
        for gone in self._states.keys() - listed:
            del self._states[gone]
        self._heap = [due for due in self._heap if due[1] in listed]
        heapq.heapify(self._heap)
        for target in targets:
            known = self._states.get(target.id)
            if known is None:
                known = self._states[target.id] = _State(target, self._fastest)
                for tier in self._tiers if at_once else ():
                    heapq.heappush(self._heap, (monotonic(), target.id, tier, False))
            known.target, known.never = target, False
        self._wake.set()

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
                if self._collector.needs(state.target, tier)
                and self._collector.proves(state.target, tier)
            ]
        except Exception:  # a poll of it will say what is wrong
            return ""
        return min(tiers, key=lambda tier: self._tiers[tier].period_s, default="")

    def down(self) -> list[str]:
        """Devices that failed their last poll."""
        return [name for name, state in self._states.items() if state.failures]

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Until cancelled; each poll is a task of the group."""
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
            group.create_task(
                self._poll(state, tier, spec), name=f"{self._host.name} {name} {tier}"
            )
        else:
            _Inquest.of(state, tier).close(None)  # a cheaper question fails already

    def _needs(self, state: _State, tier: str) -> bool:
        try:
            return self._collector.needs(state.target, tier)
        except Exception:
            return True  # its poll will say what is wrong

    async def _poll(self, state: _State, tier: str, spec: TierSpec) -> None:
        name, began = state.target.id, monotonic()
        inquest = _Inquest.of(state, tier)
        emit = inquest.listening(self._emit)
        answered: bool | None = None
        try:
            async with asyncio.timeout(spec.timeout_s):
                await self._collector.poll(state.target, tier, emit)
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
            if being_cancelled():
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
                "poll_ms", round((monotonic() - began) * 1000), collector=self._host.name
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


def being_cancelled() -> bool:
    """True when we are to end; a CancelledError alone may come out of anything awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
