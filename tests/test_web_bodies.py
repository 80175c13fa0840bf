"""Bodies that come in half, too slowly, too large or too many at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
import structlog

from hub.clock import monotonic
from hub.web import bodies
from hub.web.app import create_app
from hub.web.serving import serve
from tests.web_support import FakeBackend

HALF = (
    b"POST /api/v1/heartbeat/x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    b"Content-Length: 20\r\n\r\n{"
)
CHUNKED = HALF.replace(b"Content-Length: 20", b"Transfer-Encoding: chunked")[:-1] + b"1\r\n{\r\n"


@contextlib.asynccontextmanager
async def served(body_s: float = 30.0) -> AsyncIterator[int]:
    """The app on a real port."""
    backend = FakeBackend()
    backend.routes["POST", "heartbeat/x"] = (200, {"ok": True})
    app = create_app(backend, auth="demo", body_s=body_s)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, port=0, started=port.set_result))
    try:
        yield await port
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def status(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(10):
        return int((await reader.readline()).split()[1])


async def whole(port: int) -> int:
    """The status of a heartbeat as it should be."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HALF + b'"a": "123456789012"}'[:19])
    found = await status(reader)
    writer.close()
    return found


async def test_half_a_body_and_goodbye_writes_no_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with structlog.testing.capture_logs() as logged, caplog.at_level(logging.DEBUG):
        async with served() as port:
            for _ in range(5):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(HALF)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
            assert await whole(port) == 200
    assert logged == []
    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("head", [HALF, CHUNKED])
async def test_a_body_that_does_not_arrive_is_refused_in_time(head: bytes) -> None:
    async with served(body_s=0.3) as port:
        start = monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert await status(reader) == 408
        assert monotonic() - start < 3
        rest = await asyncio.wait_for(reader.read(), 5)  # the hub ends the connection
        assert b"application/problem+json" in rest
        writer.close()


async def test_one_address_holds_only_so_many_bodies_open_and_its_places_come_back() -> None:
    async with served(body_s=2.0) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        for _, writer in held:
            writer.write(HALF)
        first = [asyncio.create_task(status(reader)) for reader, _ in held]
        found = sorted(await asyncio.gather(*first))
        assert found == [408] * bodies.MOST_OF_ONE + [503] * (20 - bodies.MOST_OF_ONE)
        assert await whole(port) == 200
        for _, writer in held:
            writer.close()


async def test_a_body_announced_as_too_large_is_refused_before_it_comes() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HALF.replace(b"Length: 20", b"Length: 99999999"))
        assert await status(reader) == 413
        writer.close()


async def test_a_request_without_a_body_waits_for_nothing() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        assert await status(reader) == 200
        writer.close()
