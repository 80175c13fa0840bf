"""Long work in short slices, so that alerts and readings do not wait for it."""

from __future__ import annotations

import asyncio

from hub.clock import monotonic

SLICE_S = 0.004


class Pace:
    """`await pace.step()` between two pieces of work lets others go on when a slice is used up."""

    def __init__(self) -> None:
        self._until = monotonic() + SLICE_S

    async def step(self) -> bool:
        """True if others were let go on."""
        if monotonic() < self._until:
            return False
        await asyncio.sleep(0)
        self._until = monotonic() + SLICE_S
        return True
