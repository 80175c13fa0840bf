"""Stays on one camera's event stream: every part is a sign of life, some are events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import NoReturn

from collectors.camera.happenings import Active, Happening, Read
from collectors.camera.multipart import Parts, boundary
from collectors.camera.verdict import Verdict, ended
from collectors.camera.web import Web
from collectors.camera.wire import Ended

SILENCE_S = 60.0
"""Without any part; Dahua is asked for a keep-alive each 5 s, Hikvision sends one each some s."""
LONGEST_PAUSE_S = 60.0

Prove = Callable[[Verdict], None]
Tell = Callable[[Happening], None]


async def follow(
    web: Web, path: str, read: Read, prove: Prove, tell: Tell, silence_s: float = SILENCE_S
) -> NoReturn:
    """Connect, read, connect again with jitter, for ever."""
    tries, active = 0, Active()

    def proved(verdict: Verdict) -> None:
        nonlocal tries
        tries = 0
        prove(verdict)

    while True:
        try:
            await _once(web, path, read, active, proved, tell, silence_s)
        except TimeoutError:
            prove(Verdict(False, f"no keep-alive for {silence_s:g} s"))
        except Ended as end:
            prove(ended(end))
        await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE_S, 0.5 * 2.0**tries)))
        tries = min(tries + 1, 16)


async def _once(
    web: Web, path: str, read: Read, active: Active, prove: Prove, tell: Tell, silence_s: float
) -> NoReturn:
    now = asyncio.get_running_loop().time
    async with asyncio.timeout(silence_s) as patience, web.stream(path) as (answer, line):
        parts = Parts(boundary(answer.header("content-type")))
        async with aclosing(line.pieces(answer)) as pieces:
            async for piece in pieces:
                for body in parts.feed(piece):
                    patience.reschedule(now() + silence_s)
                    prove(Verdict(True, "ok"))
                    said = read(body)
                    if said is not None and active.news(said):
                        tell(said)
    raise Ended("hung up")
