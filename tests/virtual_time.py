"""An event loop whose clock jumps to the next timer, so that hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from hub import polling, running

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Never sleeps: the time it would have slept is added to the clock."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits for ever")
            # A little more, so that rounding never leaves a timer just ahead of the clock.
            self.now += timeout + 1e-9 if timeout else 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def monotonic() -> float:
    """What `hub.clock.monotonic` is inside `run`."""
    return asyncio.get_running_loop().time()


def keep_schedules_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """For whatever runs a collector."""
    for module in (running, polling):
        monkeypatch.setattr(module, "monotonic", monotonic)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run it in virtual time. Nothing in it may wait for a thread or a socket."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
