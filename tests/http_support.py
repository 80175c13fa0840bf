"""A web server of a test's own, for stubs of what can't be had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serving(app: web.Application, *, shutdown_s: float = 60.0) -> AsyncIterator[str]:
    """The app on a free port of loopback; its URL."""
    runner = web.AppRunner(app, shutdown_timeout=shutdown_s)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
