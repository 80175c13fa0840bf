"""The hub's end of the pipe: starts the helper, orders in batches, restarts it when it dies."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from collectors.netprobe.lan import Claim, Heard, Server
from hub.api import Host, Phrase, TryAgain

START_S = 60.0
"""Loading scapy takes seconds on a busy machine."""
MAX_LINE = 1 << 20
"""4 096 hosts with their MACs fit in."""
PER_ORDER = 500
"""Addresses in one line to the helper."""
RESTART_S = (1.0, 60.0)
SPARE_S = 2.0
"""How much later than it should the helper may answer."""
PROGRAM = (sys.executable, "-m", "collectors.netprobe.helper")


class Ping(NamedTuple):
    """What became of a few probes to one address."""

    sent: int
    lost: int
    rtt_ms: float | None
    """Median round trip of the answers."""
    jitter_ms: float | None
    """Mean step from one round trip to the next."""
    why: str
    """What the network said about the lost ones."""


class Flowing(NamedTuple):
    """Does a stream of that sender pass by?"""

    flowing: bool
    frames: int
    """Of any kind that the sender's were."""


Result = Ping | Heard | Flowing | TryAgain
R = TypeVar("R", Ping, Heard, Flowing)


@dataclass(frozen=True, slots=True)
class Ready:
    """What the helper may do."""

    mode: str
    """"raw" or "datagram" ICMP sockets."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Interface that is swept → this machine's address there; empty where it has none."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """And the network of that address."""
    unheard: Mapping[str, str] = field(default_factory=dict)
    """Interface → why nothing is heard there."""


class NotPermitted(Exception):
    """The helper may open no kind of ICMP socket; the message names the remedy too."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}: {remedy}")
        self.why, self.remedy = why, remedy


class Prober(Protocol):
    """What the collector needs."""

    async def open(self) -> Ready: ...
    async def stands(self) -> Ready: ...
    async def ping(self, address: str) -> Ping: ...
    async def sweep(self, interface: str, order: Mapping[str, Any]) -> Heard: ...
    async def listen(self, interface: str, source: str, seconds: float) -> Flowing: ...
    async def watch(self, lans: Sequence[str], rtp: Sequence[str]) -> None: ...
    async def close(self) -> None: ...
    @property
    def ready(self) -> Ready | None: ...


class HelperProber:
    """`Prober` by the helper process. All pings of one turn of the event loop go in one line."""

    def __init__(
        self,
        host: Host,
        *,
        count: int,
        gap_s: float,
        timeout_s: float,
        told: Callable[[bool, Phrase], None] = lambda up, why: None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """`told` hears when the helper died (False, why) and when it runs again."""
        self._host = host
        self._told = told
        self._program = tuple(program)
        self._order = {
            "count": count,
            "gap_ms": round(gap_s * 1000),
            "timeout_ms": round(timeout_s * 1000),
        }
        self._patience_s = (count - 1) * gap_s + timeout_s + SPARE_S
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._asked: list[tuple[int, str]] = []
        self._next = 0
        self._ears: tuple[str, ...] = ()
        self._restarting = False
        """We ended it ourselves: nothing to tell, and whoever asks waits for the next."""
        self._up = asyncio.Event()
        self.ready: Ready | None = None
        """None while the helper is away."""

    async def open(self) -> Ready:
        """Start the helper. Raises `NotPermitted` or `TryAgain`."""
        ready = await self._start()
        self._watching = asyncio.create_task(self._watch(), name="netprobe helper")
        return ready

    async def watch(self, lans: Sequence[str], rtp: Sequence[str]) -> None:
        """Hear these interfaces: a helper that runs is started again when they are others."""
        ears = (*(f"--lan={name}" for name in lans), *(f"--rtp={name}" for name in rtp))
        if ears != self._ears:
            self._ears = ears
            await self._restart()

    async def stands(self) -> Ready:
        """What the helper may do. Raises `TryAgain` while it is away, but for moments in which we
        ourselves start it again."""
        if self._restarting:
            await self._up.wait()
        if self.ready is None:
            raise TryAgain("the netprobe helper is being restarted")
        return self.ready

    async def ping(self, address: str) -> Ping:
        """Ask an IPv4 address. Raises `TryAgain` when the helper is away."""

        def ask(target: int) -> None:
            if not self._asked:
                asyncio.get_running_loop().call_soon(self._send)
            self._asked.append((target, address))

        return await self._answer(Ping, ask, self._patience_s)

    async def sweep(self, interface: str, order: Mapping[str, Any]) -> Heard:
        """Ask a network who is there. Raises `TryAgain`, also when the interface is not heard."""
        await self._hear(interface)
        seconds = float(order["seconds"])

        def ask(target: int) -> None:
            self._write({"sweep": target, "interface": interface, **order})

        return await self._answer(Heard, ask, seconds + SPARE_S)

    async def listen(self, interface: str, source: str, seconds: float) -> Flowing:
        """Does a stream of that sender pass by? Raises `TryAgain` as `sweep` does."""
        await self._hear(interface)
        order = {"interface": interface, "source": source, "seconds": seconds}
        return await self._answer(
            Flowing, lambda target: self._write({"listen": target, **order}), seconds + SPARE_S
        )

    async def _hear(self, interface: str) -> None:
        """Only a new helper can hear an interface that was not there before."""
        why = self.ready.unheard.get(interface) if self.ready else None
        if why and "permission" not in why and _is_there(interface):
            await self._restart()

    async def _restart(self) -> None:
        """End the helper; `_watch` starts it again at once."""
        if self._process is not None:
            self._restarting, self.ready = True, None
            self._up.clear()
            await _finish(self._process)

    async def _answer(self, kind: type[R], ask: Callable[[int], None], patience_s: float) -> R:
        await self.stands()
        self._next += 1
        target, answer = self._next, asyncio.get_running_loop().create_future()
        self._waiting[target] = answer
        ask(target)
        try:
            async with asyncio.timeout(patience_s):
                found = await answer
        except TimeoutError:
            raise TryAgain("the netprobe helper does not answer") from None
        finally:
            self._waiting.pop(target, None)
        if isinstance(found, kind):
            return found
        raise found if isinstance(found, TryAgain) else TryAgain(f"no {kind.__name__}: {found}")

    async def close(self) -> None:
        """End the helper."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._end()

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        for first in range(0, len(asked), PER_ORDER):
            self._write({"ping": asked[first : first + PER_ORDER], **self._order})

    def _write(self, order: Mapping[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(json.dumps(order).encode() + b"\n")
        # Otherwise those who wait are told by `_watch`.

    async def _start(self) -> Ready:
        self._process, self.ready = await _begin((*self._program, *self._ears))
        self._up.set()
        return self.ready

    async def _watch(self) -> None:
        """Hand out results; when the helper dies, start it again with back-off."""
        pause = RESTART_S[0]
        while True:
            if self._process is not None:
                if await self._read(self._process):
                    pause = RESTART_S[0]
                status = await self._end()
                if self._restarting:
                    pause = 0.0
                else:
                    self._host.count("helper_restarts")
                    self._host.log.warning("netprobe helper died, starting it again", status=status)
                    self._told(False, _ended(status))
            await asyncio.sleep(random.uniform(pause / 2, pause))
            quietly = self._restarting
            pause = min(max(pause * 2, RESTART_S[0]), RESTART_S[1])
            try:
                await self._start()
            except (NotPermitted, TryAgain, OSError) as error:
                self._host.log.debug("netprobe helper does not start", why=str(error))
                continue
            finally:
                self._restarting = False
            if not quietly:
                self._host.log.info("netprobe helper runs again")
                self._told(True, Phrase("the probe process runs again"))

    async def _read(self, process: asyncio.subprocess.Process) -> bool:
        """Until the helper's output ends; True when it gave at least one result."""
        useful = False
        while line := await _line(process):
            try:
                said = json.loads(line)
                target = said.get("target")
                if target is None:
                    self._host.refuse("helper_order", str(said.get("refused", said))[:200])
                    continue
                result = _result(said)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._host.refuse("helper_answer", repr(error))
                continue
            useful = True
            answer = self._waiting.get(target)
            if answer is not None and not answer.done():
                answer.set_result(result)
        return useful

    async def _end(self) -> int | None:
        """Make an end of the helper, and of all who wait for it."""
        process, self._process, self.ready = self._process, None, None
        self._up.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(TryAgain("the netprobe helper died"))
        return None if process is None else await _finish(process)


def _result(said: Mapping[str, Any]) -> Result:
    """What a line of the helper holds. Raises what is usual for a line that can't be."""
    if "error" in said:
        return TryAgain(str(said["error"])[:200])
    if "hosts" in said:
        return Heard(
            [Claim(str(ip), str(mac), float(age)) for ip, mac, age in said["hosts"]],
            [
                Server(str(ip), str(mac), str(to), float(age))
                for ip, mac, to, age in said["servers"]
            ],
            int(said["frames"]),
        )
    if "flowing" in said:
        return Flowing(bool(said["flowing"]), int(said["frames"]))
    sent, lost, why = int(said["sent"]), int(said["lost"]), str(said["why"])
    return Ping(sent, lost, said["rtt_ms"], said["jitter_ms"], why)


def _is_there(interface: str) -> bool:
    return any(name == interface for _, name in socket.if_nameindex())


async def permission(
    lans: Sequence[str] = (), rtp: Sequence[str] = (), program: Sequence[str] = PROGRAM
) -> Ready:
    """What the helper may do. Raises `NotPermitted`, `TryAgain`."""
    ears = (*(f"--lan={name}" for name in lans), *(f"--rtp={name}" for name in rtp))
    process, ready = await _begin((*program, *ears))
    await _finish(process)
    return ready


async def _begin(program: Sequence[str]) -> tuple[asyncio.subprocess.Process, Ready]:
    process = await asyncio.create_subprocess_exec(
        *program,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MAX_LINE,
        start_new_session=True,  # Ctrl-C is for the hub, which then ends us
    )
    said: dict[str, Any] = {}
    try:
        async with asyncio.timeout(START_S):
            said = json.loads(await _line(process) or b"{}")
    except (TimeoutError, ValueError):
        pass
    except BaseException:
        await _finish(process)
        raise
    if "ready" not in said:
        await _finish(process)
        if "remedy" in said:
            raise NotPermitted(str(said.get("error")), str(said["remedy"]))
        raise TryAgain("the netprobe helper does not start; its own words are in the log")
    lans = said.get("lans", {})
    addresses = {name: str(facts[1]) for name, facts in lans.items()}
    networks = {name: str(facts[2]) for name, facts in lans.items()}
    return process, Ready(str(said["ready"]), addresses, networks, said.get("unheard", {}))


async def _finish(process: asyncio.subprocess.Process) -> int:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(2):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def _ended(status: int | None) -> Phrase:
    """How the process ended."""
    if status is not None and status < 0:
        return Phrase(
            "the probe process died (signal {signal}); starting it again", {"signal": -status}
        )
    return Phrase(
        "the probe process died (exit status {status}); starting it again",
        {"status": str(status)},
    )


async def _line(process: asyncio.subprocess.Process) -> bytes:
    """The next line; empty at the end, or when the line has no end."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        return await process.stdout.readline()
    except ValueError:
        return b""
