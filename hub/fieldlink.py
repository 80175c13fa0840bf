"""The board's wire to the simulated field: a JSON object a line over a local socket. Demo only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Answer = Mapping[str, Any]
LIMIT = 4 * 1024 * 1024
TIMEOUT_S = 5.0


class FieldLink:
    """Asks the field for its faults and starts them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.faults: Sequence[Mapping[str, Any]] = []

    async def refresh(self) -> None:
        """Read the list of faults again; a field that is gone has none."""
        try:
            self.faults = (await self._ask({"faults": True})).get("faults", [])
        except (OSError, ValueError, TimeoutError):
            self.faults = []

    async def tell(self, command: Mapping[str, Any]) -> None:
        """Raises `LookupError` with the field's own words when it can't be done."""
        try:
            answer = await self._ask(command)
        except (OSError, ValueError, TimeoutError) as error:
            raise LookupError(f"the simulated field does not answer: {error}") from None
        if not answer.get("ok"):
            raise LookupError(str(answer.get("error", "the field refused")))
        await self.refresh()

    async def _ask(self, command: Mapping[str, Any]) -> Answer:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(str(self._path), limit=LIMIT)
            try:
                writer.write(json.dumps(command).encode() + b"\n")
                answer: Answer = json.loads(await reader.readline())
                return answer
            finally:
                writer.close()


async def listen(
    path: Path, ask: Callable[[Mapping[str, Any]], Awaitable[Answer]]
) -> asyncio.AbstractServer:
    """The other end: hands every line to `ask`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await ask(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(talk, str(path), limit=LIMIT)
    path.chmod(0o600)
    return server
