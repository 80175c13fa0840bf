"""Starts the hub's processes, starts again what dies, and ends them all together."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hub import logs
from hub.clock import monotonic

log = logs.get("supervisor")

PAUSE_S = (0.5, 30.0)
LONG_ENOUGH_S = 30.0
STOP_S = 15.0
CONFIG_ERROR = 78
"""sysexits' EX_CONFIG: starting again would not help."""
INTERRUPTED = 130
PRIVATE = 0o077
"""The umask of every process of the hub: readings, alerts and tokens are its user's alone."""
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 1024 * 1024),
    "DUCKDB_JE_MALLOC_CONF": "narenas:1,dirty_decay_ms:500,muzzy_decay_ms:0",
}
"""glibc's malloc gives large blocks back to the system when they are freed. Left alone it raises
that size whenever one is freed, and tables that grow with the network leave their holes behind.
DuckDB brings a jemalloc of its own, which else keeps what it freed for ten seconds and longer."""


class AlreadyRunning(Exception):
    """When another hub uses this data folder."""


@dataclass(slots=True)
class FolderLock:
    """Held as long as the hub runs; the kernel lets go of it however the hub ends."""

    handle: int

    @classmethod
    def take(cls, data: Path, url: str) -> FolderLock:
        """Raises `AlreadyRunning` naming the hub that holds it, OSError naming the file."""
        data.mkdir(parents=True, exist_ok=True)
        path = data / "hub.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            try:
                first = json.loads(os.pread(handle, 4096, 0))
                who = f"process {first['pid']}, board at {first['url']}"
            except (ValueError, KeyError):
                who = "another process"
            os.close(handle)
            raise AlreadyRunning(
                f"a hub is running on the data folder {data} already ({who}); "
                "stop it, or give this one another folder (data: in the settings)"
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
        return cls(handle)

    def release(self) -> None:
        os.ftruncate(self.handle, 0)
        os.close(self.handle)


def running(data: Path) -> dict[str, str | int] | None:
    """pid and url of the hub that runs on a data folder, None if none does."""
    try:
        handle = os.open(data / "hub.lock", os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        try:
            found: dict[str, str | int] = json.loads(os.pread(handle, 4096, 0))
            return found
        except ValueError:
            return None
    else:
        return None
    finally:
        os.close(handle)


class Child:
    """One process of the hub, started again with growing pauses when it dies."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self._arguments = [sys.executable, *arguments]
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0

    async def run(self) -> int:
        """Until it ends with the exit code that a restart can't mend.

        Ending without being asked to is no reason to stay away, not even with 0: somebody may
        have sent it the signal that was meant for us.
        """
        pause = PAUSE_S[0]
        while True:
            began = monotonic()
            # Its standard input is our life: the child ends when the pipe closes, even if we
            # are killed outright.
            self.process = await asyncio.create_subprocess_exec(
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                env=ALLOCATOR | os.environ,
                # Ctrl-C is for us: it could hit a child in the middle of its imports.
                start_new_session=True,
            )
            code = await self.process.wait()
            if code == CONFIG_ERROR:
                return code
            self.restarts += 1
            pause = PAUSE_S[0] if monotonic() - began > LONG_ENOUGH_S else pause
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            log.error("process died, starting it again", name=self.name, how=how, in_s=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_S[1])

    def signal(self, number: signal.Signals) -> None:
        """Pass a signal on, if it runs."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def stop(self) -> None:
        """Ask it to end; end it if it does not."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await self.process.wait()
        except TimeoutError:
            log.error("process does not end, killing it", name=self.name)
            self.process.kill()
            await self.process.wait()


async def supervise(children: Sequence[Child], until: asyncio.Event) -> int:
    """Run all until `until` is set or one ends for good; return the first exit code."""
    tasks = {asyncio.create_task(child.run(), name=child.name) for child in children}
    stop = asyncio.create_task(until.wait())
    try:
        done, _ = await asyncio.wait({*tasks, stop}, return_when=asyncio.FIRST_COMPLETED)
        ended = [task.result() for task in done if task is not stop]
        return int(ended[0]) if ended else 0
    finally:
        for task in (*tasks, stop):
            task.cancel()
        await asyncio.gather(*tasks, stop, return_exceptions=True)
        # The writer of the journal last: what others still hand over is kept.
        for child in reversed(children):
            await child.stop()


def forbidden(error: OSError) -> str:
    """One line for a person: which file, which user, what to do."""
    user = os.geteuid()
    if not isinstance(error, PermissionError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return (
        f"user {user} may not use {error.filename}: {error.strerror}; "
        "give the folder to that user (chown), or set data: to another one"
    )


def on_signals(event: asyncio.Event) -> None:
    """Set the event on Ctrl-C and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, event.set)
