"""A true RTSP camera (GStreamer's server), and servers that answer whatever a test likes."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class TrueCamera:
    """GStreamer's RTSP server in a process of its own; user `hub`, password `rahasia`."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self._process = process
        self.port = int(self._line())
        self.url = f"rtsp://{address}:{self.port}/stream1"

    def command(self, word: str) -> None:
        """stop, start, black, freeze, or stall: nobody who asks for pictures is answered."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._line().strip() == word

    def web(self) -> str:
        """Start its web server with snapshots: the URL."""
        assert self._process.stdin is not None
        self._process.stdin.write("web\n")
        self._process.stdin.flush()
        return f"http://127.0.0.1:{int(self._line())}"

    def pause(self) -> None:
        """Stop the whole process: its connections stay, and nothing comes through them."""
        self._process.send_signal(signal.SIGSTOP)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def true_camera(
    auth: str = "none", address: str = "127.0.0.1", command: Sequence[str] = ()
) -> Iterator[TrueCamera]:
    """`command`: what runs it elsewhere, such as in a namespace."""
    script = Path(__file__).with_name("rtsp_server.py")
    process = subprocess.Popen(
        [*command, "/usr/bin/python3", str(script), auth, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield TrueCamera(process, address)
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A TCP server on a free port; gives the port."""
    tasks: set[asyncio.Task[Any]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(one, "127.0.0.1", 0, ssl=tls)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def saying(*answers: bytes) -> Serve:
    """Answer the first request of a connection with the first, and so on; then hang up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return serve


def endlessly(head: bytes, piece: bytes) -> Serve:
    """After the head the same piece, for ever."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        many = piece * (4096 // len(piece) + 1)
        while True:
            writer.write(many)
            await writer.drain()

    return serve
