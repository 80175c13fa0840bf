"""Questions to a camera over RTSP or HTTP, which share one form: a head, then a body.

    Door (host, port, TLS) ─► open ─► Line.ask(request) ─► Answer(status, headers, body)

Everything that comes back is bounded in size, and by the caller's time-out in time; every other end
is `Ended` with a name that a person can act on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

MAX_HEAD = 8 * 1024
"""Bytes of an answer's head; a server that sends more is not a camera we want to hear."""
MAX_CHUNK_LINE = 256
MAX_SOME = 64 * 1024
SCHEMES = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""With their usual ports (RFC 7826 §19.2, RFC 9110 §4.2)."""


class Ended(Exception):
    """No usable answer; the text names how it ended."""


class Unfit(Ended):
    """It answered as what it should be, and yet of no use."""


class Door(NamedTuple):
    """Whom to ask."""

    host: str
    port: int
    url: str
    """The request's URL, without user and password."""
    path: str = "/"
    """Path and query, as HTTP asks for it."""
    tls: bool = False

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers by lower-case name (all values of a name, in order), and the body."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        """The first value, or nothing."""
        return self.headers.get(name, [""])[0]


class Line(Protocol):
    """An open connection on which questions can be asked."""

    async def ask(self, request: bytes, limit: int) -> Answer:
        """Send and read one answer with at most `limit` bytes of body. Raises `Ended`."""
        ...

    async def begin(self, request: bytes) -> Answer:
        """Send and read an answer's head alone; the body is for `pieces`. Raises `Ended`."""
        ...

    def pieces(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        """The body as it comes, until it ends. Raises `Ended`."""
        ...

    def say(self, request: bytes) -> None:
        """Send, and wait for nothing."""
        ...

    async def some(self) -> bytes:
        """Whatever comes next, of no form; 64 KiB at most. Raises `Ended` when it hangs up."""
        ...


def door(url: str, schemes: tuple[str, ...]) -> Door:
    """Take a URL apart. Raises `ValueError` saying what is wrong, never repeating a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"no URL: {error}") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"the URL must begin with {' or '.join(f'{s}://' for s in schemes)}")
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise ValueError("a URL has no spaces or control characters")
    if parts.username or parts.password:
        raise ValueError("no user or password in a URL")
    port = port or SCHEMES[parts.scheme]
    found = Door(parts.hostname, port, "", parts.path, parts.scheme in ("rtsps", "https"))
    query = f"?{parts.query}" if parts.query else ""
    return found._replace(
        url=f"{parts.scheme}://{found.authority}{parts.path}{query}",
        path=(parts.path or "/") + query,
    )


def read_head(head: bytes) -> Answer:
    """Status and headers of RTSP/1.0 or HTTP/1.x (RFC 2326 §7, RFC 9112 §4). Raises `Ended`."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith(("RTSP/", "HTTP/1.")):
        raise Ended("garbage: the answer is no RTSP or HTTP")
    if len(words[1]) != 3 or not (words[1].isascii() and words[1].isdigit()):
        raise Ended("garbage: the answer has no status")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), []).append(value.strip())
    return Answer(int(words[1]), headers)


def http_request(
    method: str, where: Door, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """One HTTP/1.1 request after which the server hangs up."""
    lines = [
        f"{method} {where.path} HTTP/1.1",
        f"Host: {where.authority}",
        "User-Agent: toba-hub",
        "Connection: close",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@asynccontextmanager
async def connected(
    where: Door, timeout_s: float | None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Line]:
    """An open connection, dropped at the end of the block. Raises `Ended`, also for what goes wrong
    in the block, and when it lasts longer than the time-out."""
    writer = None
    try:
        with _named():
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(
                    where.host, where.port, limit=MAX_HEAD, ssl=(tls or True) if where.tls else None
                )
                yield _Line(reader, writer)
    except TimeoutError:
        raise Ended("connected but silent" if writer else "no connection in time") from None
    finally:
        if writer is not None:
            writer.transport.abort()  # nothing is owed to the other end, nor waited for


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except ConnectionRefusedError:
        raise Ended("port closed") from None
    except ssl.SSLCertVerificationError as error:
        raise Ended(f"certificate: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise Ended(f"TLS: {error.reason or error}") from None
    except asyncio.LimitOverrunError:
        raise Ended(f"answer over {MAX_HEAD} bytes") from None
    except asyncio.IncompleteReadError as error:
        raise Ended("answer cut off" if error.partial else "hung up") from None
    except TimeoutError:
        raise  # how far it came is known outside
    except OSError as error:
        raise Ended(f"unreachable: {error.strerror or error}") from None


class _Line:
    """The real one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes, limit: int) -> Answer:
        answer = await self.begin(request)
        body = bytearray()
        async for piece in self.pieces(answer):
            body += piece
            if len(body) > limit:
                raise Ended(f"answer over {limit} bytes")
        return Answer(answer.status, answer.headers, bytes(body))

    def say(self, request: bytes) -> None:
        self._writer.write(request)

    async def some(self) -> bytes:
        data = await self._reader.read(MAX_SOME)
        if not data:
            raise Ended("hung up")
        return data

    async def begin(self, request: bytes) -> Answer:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        return read_head(head[:-4])

    async def pieces(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        if "chunked" in answer.header("transfer-encoding").lower():
            async for piece in self._chunks():
                yield piece
            return
        length = answer.header("content-length")
        if not length:
            if "cseq" in answer.headers or answer.status in (204, 304):
                return  # RTSP without a length has no body (RFC 2326 §12.14)
            while piece := await self._reader.read(MAX_HEAD):
                yield piece
            return
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise Ended("garbage: the answer's length is no number")
        async for piece in self._exactly(int(length)):
            yield piece

    async def _exactly(self, left: int) -> AsyncGenerator[bytes, None]:
        while left:
            piece = await self._reader.read(min(left, MAX_HEAD))
            if not piece:
                raise Ended(f"answer cut off: {left} bytes less than it promised")
            left -= len(piece)
            yield piece

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        """RFC 9112 §7.1."""
        while True:
            size = (await self._reader.readuntil(b"\r\n")).partition(b";")[0].strip()
            try:
                number = int(size, 16)
            except ValueError:
                number = -1
            if not 0 <= number < 1 << 32 or len(size) > MAX_CHUNK_LINE:
                raise Ended("garbage: a chunk has no size")
            async for piece in self._exactly(number):
                yield piece
            await self._reader.readuntil(b"\r\n")
            if number == 0:
                return
