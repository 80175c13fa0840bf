"""The simulated regency as a process of its own: broker, SNMP agents, sensors, cameras."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub import clock, fieldlink
from hub.demo import story

START_S = 30.0


class NoField(Exception):
    """When the simulated regency does not start."""


@dataclass(slots=True)
class FieldProcess:
    """One line asked, one line answered."""

    process: asyncio.subprocess.Process
    addresses: dict[str, Any]
    _turn: asyncio.Lock

    async def ask(self, command: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises OSError or ValueError when the field is gone."""
        assert self.process.stdin is not None  # noqa: S101 (both pipes were asked for)
        assert self.process.stdout is not None  # noqa: S101
        async with self._turn:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            await self.process.stdin.drain()
            line = await self.process.stdout.readline()
        if not line:
            raise ConnectionError("the field has ended")
        answer: Mapping[str, Any] = json.loads(line)
        return answer

    async def stop(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            try:
                async with asyncio.timeout(10):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
                await self.process.wait()


async def start_field(inventory: Path, *, told: str = "") -> FieldProcess:
    """Start it, with a scripted fault or the story `told`. Raises `NoField`."""
    if told:
        how = ["--story", told, "--interval", str(story.INTERVAL_S / clock.speed())]
    else:
        how = ["--script", "demo"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "firmware_stubs", "--inventory", str(inventory), *how),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=fieldlink.LIMIT,
        # Ctrl-C is for us; we end the field after the hub, so that no device seems to die.
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101
    try:
        async with asyncio.timeout(START_S):
            first = await process.stdout.readline()
        addresses = json.loads(first)
    except (TimeoutError, ValueError):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise NoField("the simulated regency did not start; its own words stand above") from None
    return FieldProcess(process, addresses, asyncio.Lock())
