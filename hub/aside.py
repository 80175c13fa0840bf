"""Work beside the event loop that holds it up as little as threads of one interpreter can."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

GIVE_WAY_S = 0.0005
"""A loop under load waits for sockets and the disk some hundred times a second, and each time a
thread that computes gets the interpreter. The loop has it back after this long; by default it
would wait for five milliseconds each time, which is half of all it can do."""


async def aside(work: Callable[[], T]) -> T:
    """What `work` gives, done in a thread that gives way quickly. For reading files of thousands of
    devices and rules: a second or two now and then."""

    def giving_way() -> T:
        usual = sys.getswitchinterval()
        sys.setswitchinterval(GIVE_WAY_S)
        try:
            return work()
        finally:
            sys.setswitchinterval(usual)

    return await asyncio.to_thread(giving_way)
