"""The event stream: a snapshot first, then what changed, at most twice a second; alerts at once.

    Backend.changed() ─► Feed (one task, a beat every 0.5 s) ─► each client pulls its own delta

A client has no queue. It knows the generation it has seen and, when its last write has gone out,
asks for everything newer: a slow client gets the latest state later, never a backlog. A client
that takes nothing for `SEND_S` is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hub.clock import monotonic
from hub.web import views
from hub.web.backend import Backend
from hub.web.pace import Pace
from hub.web.problems import WebProblem
from hub.web.showing import Showing

SEND_S = 20.0
URGENT_S = 0.02
"""Between two looks at whether an alert changed."""
IDLE_S = 0.1
"""The same while nobody looks at all."""


TOGETHER = 250
"""Devices in one event; some hundred kB."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed since the client's last event; None is "as before"."""

    now_ms: int
    devices: list[views.DeviceNow]
    counts: views.Counts | None = None
    health: views.HealthInfo | None = None
    alerts: list[views.AlertInfo] | None = None
    alerts_left_out: int = 0
    faults: list[views.FaultInfo] | None = None


@dataclass(slots=True)
class Beat:
    """The state at one beat, and for each part the beat at which it last changed."""

    number: int = 0
    inventory: tuple[int, int] = (0, 0)
    counts: views.Counts | None = None
    health: views.HealthInfo | None = None
    alerts: list[views.AlertInfo] | None = None
    alerts_left_out: int = 0
    faults: list[views.FaultInfo] | None = None


class Feed:
    """Looks at the backend at each beat and tells any number of clients what changed."""

    def __init__(
        self,
        backend: Backend,
        *,
        beat_s: float = 0.5,
        heartbeat_s: float = 5.0,
        max_clients: int = 64,
    ) -> None:
        self.backend = backend
        self.beat_s = beat_s
        self.heartbeat_s = heartbeat_s
        self.max_clients = max_clients
        self.clients = 0
        self.refused = 0
        self.closing = False
        self._beat = Beat()
        self._changed_at: dict[str, int] = {}
        self._restart_at = 0
        self._devices: dict[str, tuple[int, views.DeviceNow]] = {}
        self._seen_generation = -1
        self._now_ms = 0
        self._transitions = -1
        self._health: views.HealthInfo | None = None
        self._deltas: dict[int, tuple[bytes, ...]] = {}
        self._next = asyncio.Event()

    async def run(self) -> None:
        """Beat until cancelled or closed, while anybody looks, for a tenth of a core at most.

        An alert that changed does not wait for the next beat: it is told at once, by itself.
        """
        due = monotonic()
        while not self.closing:
            start = monotonic()
            if not self.clients:
                await asyncio.sleep(IDLE_S)
            elif start >= due:
                await self.beat()
                self._wake()
                due = monotonic() + max(self.beat_s, 9 * (monotonic() - start))
            elif self._tell_alerts():
                await asyncio.sleep(URGENT_S)
            # Ages and states change without any news: look once a second all the same.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(due - monotonic(), 1.0)):
                    await self.backend.changed()
            await asyncio.sleep(min(URGENT_S, max(0.0, due - monotonic())))

    def close(self) -> None:
        """End every stream; browsers come back by themselves when the hub does."""
        self.closing = True
        self._wake()

    def _wake(self) -> None:
        woken, self._next = self._next, asyncio.Event()
        woken.set()

    async def beat(self) -> None:
        """Take one look at the backend and note what is different from the last one.

        With thousands of devices that takes long, so others go on meanwhile, and an alert that
        changes is told in the middle of it.
        """
        showing = Showing(self.backend)
        generation = self.backend.live.generation
        devices = await self._changed(showing)
        self._seen_generation = generation
        beat = self._begin(showing)
        self._health = showing.health()
        inventory = (id(showing.inventory), showing.inventory.generation)
        if inventory != beat.inventory:
            beat.inventory = inventory
            self._restart_at = beat.number
            self._devices.clear()
        for device, now in devices.items():
            self._devices[device] = (beat.number, now)
        self._note_alerts(Showing(self.backend))
        self._note("counts", showing.counts())
        self._note("faults", showing.faults())
        # Its times tick at every look; only what a person would notice is news.
        self._note("health", replace(self._health, newest_ms=None, lag_s=None))

    def beat_alerts(self) -> None:
        """Look at the alerts only; what that costs does not grow with the number of devices."""
        showing = Showing(self.backend)
        self._begin(showing)
        self._note_alerts(showing)

    def _tell_alerts(self) -> bool:
        """Tell everybody of alerts that changed; False if none did."""
        if self.backend.transitions() == self._transitions:
            return False
        self.beat_alerts()
        self._wake()
        return True

    def _begin(self, showing: Showing) -> Beat:
        """What is noted from now on is news to all who saw the beat before."""
        self._beat.number += 1
        self._deltas.clear()
        self._now_ms = showing.now_ns // 1_000_000
        return self._beat

    def _note_alerts(self, showing: Showing) -> None:
        self._transitions = self.backend.transitions()
        alerts, self._beat.alerts_left_out = showing.alerts()
        self._note("alerts", alerts)

    def _note(self, part: str, value: object) -> None:
        if getattr(self._beat, part) != value:
            setattr(self._beat, part, value)
            self._changed_at[part] = self._beat.number

    async def _changed(self, showing: Showing) -> dict[str, views.DeviceNow]:
        """The devices that are not as they were at the last beat."""
        live, pace, changed = self.backend.live, Pace(), {}
        again = showing.inventory.generation != self._beat.inventory[1]
        for id in list(showing.inventory.devices):
            if await pace.step():
                self._tell_alerts()
                if id not in showing.inventory.devices:
                    continue  # removed meanwhile
            known, heard = self._devices.get(id), live.devices.get(id)
            moved = heard is not None and heard.generation > self._seen_generation
            told = (showing.state(id), showing.loud(id))
            if again or known is None or moved or (known[1].state, known[1].alerts) != told:
                changed[id] = showing.device(id, 1)
        return changed

    async def snapshot(self) -> tuple[int, bytes]:
        """The beat's number and everything, as an event. What changes while it is made comes
        again with the next beat."""
        number = self._beat.number
        return number, event("snapshot", await Showing(self.backend).overview())

    def since(self, number: int) -> tuple[bytes, ...]:
        """What changed after that beat, as events of at most `TOGETHER` devices; none when nothing
        did."""
        found = self._deltas.get(number)
        if found is None:
            found = self._deltas[number] = self._since(number)
        return found

    def _since(self, number: int) -> tuple[bytes, ...]:
        beat = self._beat
        news = {part for part, at in self._changed_at.items() if at > number}
        devices = [now for at, now in self._devices.values() if at > number]
        if not news and not devices:
            return ()
        first = Delta(
            now_ms=self._now_ms,
            devices=devices[:TOGETHER],
            counts=beat.counts if "counts" in news else None,
            health=self._health,
            alerts=beat.alerts if "alerts" in news else None,
            alerts_left_out=beat.alerts_left_out,
            faults=beat.faults if "faults" in news else None,
        )
        more = [
            Delta(
                self._now_ms,
                devices[begin : begin + TOGETHER],
                alerts_left_out=beat.alerts_left_out,
            )
            for begin in range(TOGETHER, len(devices), TOGETHER)
        ]
        return tuple(event("delta", delta) for delta in (first, *more))

    def _alerts_since(self, number: int) -> bytes:
        """The alerts by themselves, if they changed after that beat."""
        if self._changed_at.get("alerts", 0) <= number:
            return b""
        beat = self._beat
        left_out = beat.alerts_left_out
        return event("delta", Delta(self._now_ms, [], alerts=beat.alerts, alerts_left_out=left_out))

    async def events(self) -> AsyncIterator[bytes]:
        """One client's stream. Raises `WebProblem` 503 at once when there are too many."""
        self.clients += 1
        try:
            seen, first = await self.snapshot()
            yield b"retry: 2000\n\n" + first
            spoke = monotonic()
            while not self.closing:
                if seen == self._beat.number:  # else there was news while it took the last event
                    await self._next.wait()
                bodies: tuple[bytes, ...]
                if seen < self._restart_at:
                    seen, body = await self.snapshot()
                    bodies = (body,)
                else:
                    bodies, seen = self.since(seen), self._beat.number
                if not bodies and monotonic() - spoke >= self.heartbeat_s:
                    bodies = (event("alive", {"now_ms": self.backend.now_ns() // 1_000_000}),)
                alerts_seen = seen
                for body in bodies:
                    # Thousands of devices take a moment; alerts that change meanwhile don't wait.
                    urgent = self._alerts_since(alerts_seen)
                    if urgent:
                        alerts_seen = self._beat.number
                        yield urgent
                    yield body
                    spoke = monotonic()
        finally:
            self.clients -= 1

    def admit(self) -> None:
        """Raises `WebProblem` when no more clients are taken."""
        if self.closing or self.clients >= self.max_clients:
            self.refused += 1
            raise WebProblem(
                503,
                f"{self.clients} boards are open; no more are taken.",
                "Close one, or raise web.max_streams.",
                {"Retry-After": "10"},
            )


def event(name: str, data: object) -> bytes:
    """One server-sent event; JSON has no line breaks of its own."""
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


class EventStream(Response):
    """Sends events until the client goes, stops reading, or the feed ends."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], send_s: float = SEND_S) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.events = events
        self.send_s = send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send), name="sse")
        gone = asyncio.create_task(_disconnected(Request(scope, receive)), name="sse-gone")
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            await self.events.aclose()  # type: ignore[attr-defined]

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async for body in self.events:
            async with asyncio.timeout(self.send_s):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
