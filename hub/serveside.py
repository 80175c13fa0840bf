"""What the serve process answers to the command line, over a local socket in the data folder.

It alone has the rules' state and the embedded store open. Whoever may open the socket (only the
hub's own user) needs no token.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from hub import logs
from hub.api import BadItem, TryAgain
from hub.store.base import StoreDown, StoreRefused
from hub.store.query import BadQuery

log = logs.get("serve")

SOCKET = "serve.sock"
BODY = 64 * 1024 * 1024

Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""A JSON object in, one out. Raises what `_answer` turns into words."""


@asynccontextmanager
async def serving(data: Path, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
    """Answer `ask` until left."""
    app = web.Application(client_max_size=BODY)
    for name, answer in answers.items():
        app.router.add_post(f"/{name}", _handler(name, answer))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    path = data / SOCKET
    path.unlink(missing_ok=True)
    await web.UnixSite(runner, str(path)).start()
    path.chmod(0o600)
    try:
        yield
    finally:
        await runner.cleanup()


def _handler(name: str, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(dict(await answer(await request.json())))
        except (TryAgain, StoreDown, StoreRefused, sqlite3.Error, OSError) as error:
            log.error("could not answer", what=name, why=str(error))
            return web.json_response({"error": str(error)}, status=503)
        except (BadItem, BadQuery) as error:
            return web.json_response({"error": str(error)}, status=400)
        except (ValueError, KeyError, TypeError) as error:
            return web.json_response({"error": repr(error)}, status=400)

    return handle


async def ask(data: Path, what: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the hub that runs on that data folder. Raises TryAgain, BadItem."""
    connector = aiohttp.UnixConnector(str(data / SOCKET))
    # Copying takes as long as it takes; a process that dies closes the socket.
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        try:
            async with session.post(f"http://serve/{what}", json=dict(said)) as response:
                answer: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TryAgain(f"the serve process does not answer: {error}") from None
    if "error" in answer:
        raise (BadItem if response.status == 400 else TryAgain)(str(answer["error"]))
    return answer
