"""A short play for the demo: smoke over Balige, a router dies and comes back, the air clears."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Step(NamedTuple):
    """At `at_s` seconds after the start, `action` ("fault" or "clear") on the usual target."""

    at_s: float
    action: str
    fault: str
    target: str | None = None


DEMO: tuple[Step, ...] = (
    Step(8, "fault", "pm25_rises"),
    Step(12, "fault", "router_dies"),
    Step(22, "clear", "pm25_rises"),
    Step(30, "clear", "router_dies"),
)
"""With a demo's short `for`, both alerts are raised, explained and cleared within 40 s."""


class Stage(Protocol):
    """What a script acts on: a `Field`."""

    async def fault(self, name: str, target: str | None = None) -> object: ...
    async def clear(self, name: str, target: str | None = None) -> object: ...


async def play(stage: Stage, steps: Sequence[Step] = DEMO, *, pace: float = 1.0) -> None:
    """Do every step at its time; `pace` 2 plays twice as fast."""
    began = asyncio.get_running_loop().time()
    for step in sorted(steps):
        wait = began + step.at_s / pace - asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, wait))
        act = stage.fault if step.action == "fault" else stage.clear
        await act(step.fault, step.target)
