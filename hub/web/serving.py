"""Runs the app inside a program that has its own loop, tasks and signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from fastapi import FastAPI

from hub.web.address import listen

STOP_S = 3


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the program's."""
        yield


async def serve(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    taken: socket.socket | None = None,
    started: Callable[[int], None] | None = None,
) -> None:
    """Serve until cancelled, then end the streams and finish within `STOP_S` seconds.

    `taken` is a socket that `listen` gave; `started` is called with the real port. Raises
    `PortTaken`.
    """
    own = taken if taken is not None else listen(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_S,
        proxy_headers=False,
    )
    server = _Server(config)
    running = asyncio.create_task(server.serve([own]), name="uvicorn")
    try:
        while not server.started and not running.done():  # noqa: ASYNC110 uvicorn has no event
            await asyncio.sleep(0.01)
        if started is not None and server.started:
            started(own.getsockname()[1])
        await asyncio.shield(running)
    finally:
        app.state.feed.close()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(running)
        own.close()
