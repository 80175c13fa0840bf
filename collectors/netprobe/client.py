"""The hub's end of the pipe: starts the helper, orders in batches, restarts it when it dies."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from hub.api import Host, TryAgain

START_S = 60.0
"""Loading scapy takes seconds on a busy machine."""
MAX_LINE = 1 << 16
PER_ORDER = 500
"""Addresses in one line to the helper."""
RESTART_S = (1.0, 60.0)
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


class NotPermitted(Exception):
    """The helper may open no kind of ICMP socket; the message names the remedy too."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}: {remedy}")
        self.why, self.remedy = why, remedy


class Pinger(Protocol):
    """What the collector needs."""

    async def open(self) -> str: ...
    async def ping(self, address: str) -> Ping: ...
    async def close(self) -> None: ...
    @property
    def is_up(self) -> bool: ...


class HelperPinger:
    """`Pinger` by the helper process. All pings of one turn of the event loop go in one line."""

    def __init__(
        self,
        host: Host,
        *,
        count: int,
        gap_s: float,
        timeout_s: float,
        told: Callable[[bool, str], None] = lambda up, why: None,
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
        self._patience_s = (count - 1) * gap_s + timeout_s + 2.0
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Ping]] = {}
        self._asked: list[tuple[int, str]] = []
        self._next = 0

    @property
    def is_up(self) -> bool:
        return self._process is not None

    async def open(self) -> str:
        """Start the helper: "raw" or "datagram". Raises `NotPermitted` or `TryAgain`."""
        mode = await self._start()
        self._watching = asyncio.create_task(self._watch(), name="netprobe helper")
        return mode

    async def ping(self, address: str) -> Ping:
        """Ask an IPv4 address. Raises `TryAgain` when the helper is away."""
        if self._process is None:
            raise TryAgain("the netprobe helper is being restarted")
        self._next += 1
        target, answer = self._next, asyncio.get_running_loop().create_future()
        self._waiting[target] = answer
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._send)
        self._asked.append((target, address))
        try:
            async with asyncio.timeout(self._patience_s):
                ping: Ping = await answer
                return ping
        except TimeoutError:
            raise TryAgain("the netprobe helper does not answer") from None
        finally:
            self._waiting.pop(target, None)

    async def close(self) -> None:
        """End the helper."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._end()

    def _send(self) -> None:
        asked, self._asked = self._asked, []
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            return  # those who wait are told by `_watch`
        for first in range(0, len(asked), PER_ORDER):
            order = {"ping": asked[first : first + PER_ORDER], **self._order}
            process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _start(self) -> str:
        self._process, mode = await _begin(self._program)
        return mode

    async def _watch(self) -> None:
        """Hand out results; when the helper dies, start it again with back-off."""
        pause = RESTART_S[0]
        while True:
            if self._process is not None:
                if await self._read(self._process):
                    pause = RESTART_S[0]
                status = await self._end()
                self._host.count("helper_restarts")
                self._host.log.warning("netprobe helper died, starting it again", status=status)
                self._told(False, f"the probe process died ({_ending(status)}); starting it again")
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, RESTART_S[1])
            try:
                await self._start()
                self._host.log.info("netprobe helper runs again")
                self._told(True, "the probe process runs again")
            except (NotPermitted, TryAgain, OSError) as error:
                self._host.log.debug("netprobe helper does not start", why=str(error))

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
                ping = Ping(
                    int(said["sent"]),
                    int(said["lost"]),
                    said["rtt_ms"],
                    said["jitter_ms"],
                    str(said["why"]),
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                self._host.refuse("helper_answer", repr(error))
                continue
            useful = True
            answer = self._waiting.get(target)
            if answer is not None and not answer.done():
                answer.set_result(ping)
        return useful

    async def _end(self) -> int | None:
        """Make an end of the helper, and of all who wait for it."""
        process, self._process = self._process, None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(TryAgain("the netprobe helper died"))
        return None if process is None else await _finish(process)


async def permission(program: Sequence[str] = PROGRAM) -> str:
    """Which sockets the helper may open: "raw" or "datagram". Raises `NotPermitted`, `TryAgain`."""
    process, mode = await _begin(program)
    await _finish(process)
    return mode


async def _begin(program: Sequence[str]) -> tuple[asyncio.subprocess.Process, str]:
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
    return process, str(said["ready"])


async def _finish(process: asyncio.subprocess.Process) -> int:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(2):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def _ending(status: int | None) -> str:
    """How a process ended, in words."""
    return f"signal {-status}" if status is not None and status < 0 else f"exit status {status}"


async def _line(process: asyncio.subprocess.Process) -> bytes:
    """The next line; empty at the end, or when the line has no end."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        return await process.stdout.readline()
    except ValueError:
        return b""
