"""Does the RTSP server answer? `OPTIONS` of RFC 2326 §10.1, read with bounds on size and time."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

MAX_HEADER = 8 * 1024
"""Bytes of an answer's head; a server that sends more is not a camera we want to hear."""
PORT = 554


class Verdict(NamedTuple):
    """How the question ended."""

    alive: bool
    name: str
    """ok, locked (401: alive, wants a password), or what went wrong."""
    ms: float | None = None
    """From the first packet to the answer's head."""


class Address(NamedTuple):
    """Whom to ask."""

    host: str
    port: int
    url: str
    """The request's URL, without user and password."""


def address(url: str) -> Address:
    """Take a URL apart. Raises `ValueError` saying what is wrong, never repeating a password."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORT
    except ValueError as error:
        raise ValueError(f"no URL: {error}") from None
    if parts.scheme != "rtsp" or not parts.hostname:
        raise ValueError("an RTSP URL looks like rtsp://10.12.8.201:554/stream1")
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise ValueError("an RTSP URL has no spaces or control characters")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    query = f"?{parts.query}" if parts.query else ""
    return Address(parts.hostname, port, f"rtsp://{host}:{port}{parts.path}{query}")


async def options(where: Address, timeout_s: float) -> Verdict:
    """Ask once. Every way it can end has a name; raises nothing but cancellation."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    writer = None
    connected = False
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(where.host, where.port, limit=MAX_HEADER)
            connected = True
            writer.write(
                f"OPTIONS {where.url} RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: toba-hub\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
        return judge(head, (loop.time() - began) * 1000)
    except TimeoutError:
        return Verdict(False, "connected but silent" if connected else "no connection in time")
    except asyncio.LimitOverrunError:
        return Verdict(False, f"answer over {MAX_HEADER} bytes")
    except asyncio.IncompleteReadError as error:
        return Verdict(False, "hung up" if not error.partial else "answer cut off")
    except ConnectionRefusedError:
        return Verdict(False, "port closed")
    except OSError as error:
        return Verdict(False, f"unreachable: {error.strerror or error}")
    finally:
        if writer is not None:
            writer.transport.abort()  # nothing is owed to the other end, nor waited for


def judge(head: bytes, ms: float) -> Verdict:
    """What an answer's head says."""
    first = head.split(b"\r\n", 1)[0]
    words = first.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"RTSP/") or not words[1].isdigit():
        return Verdict(False, "garbage: the answer is no RTSP")
    status = int(words[1][:4])
    if status == 200:
        return Verdict(True, "ok", ms)
    if status == 401:
        return Verdict(True, "locked", ms)
    return Verdict(False, f"status {status}", ms)
