"""Who writes into the store, and how to wait until nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Many may pass at once; one may close it, which waits until all who are inside have left."""

    def __init__(self) -> None:
        self._inside: set[asyncio.Future[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._closing = asyncio.Lock()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Be inside; waits while the gate is closed. Not to be nested."""
        while not self._open.is_set():
            await self._open.wait()
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inside.add(mine)
        try:
            yield
        finally:
            self._inside.discard(mine)
            mine.set_result(None)

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Nobody is inside, and nobody gets in."""
        async with self._closing:
            self._open.clear()
            try:
                await self.settled()
                yield
            finally:
                self._open.set()

    async def settled(self) -> None:
        """Wait until everybody who is inside now has left; others may have entered since."""
        if self._inside:
            await asyncio.wait(set(self._inside))
