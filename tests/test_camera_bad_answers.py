"""Whatever a camera answers, the question ends in time, in bounded memory, and with a name."""

from __future__ import annotations

import asyncio
import ssl
import time
import tracemalloc
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from collectors.camera import rtsp, wire
from collectors.camera.auth import Login
from collectors.camera.config import WEB, CameraConfig, CameraSection
from collectors.camera.questions import Trust
from collectors.camera.rtsp import Rtsp
from collectors.camera.web import Web
from collectors.camera.wire import Ended
from hub.api import NeverWorks
from tests.camera_support import Serve, endlessly, saying, server
from tests.test_mqtt_trouble import certificates

T = TypeVar("T")
TIMEOUT_S = 1.0
MOST_MIB = 4.0
SDP = b"v=0\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
OK = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n"


def described(body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return OK + b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n" % size + body


async def measured(question: Coroutine[Any, Any, T]) -> T:
    """Its result, after looking at the time and the memory that it took."""
    tracemalloc.start()
    began = time.monotonic()
    try:
        return await question
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # The time-out, and what a busy machine needs to notice it.
        assert time.monotonic() - began < TIMEOUT_S + 10
        assert most < MOST_MIB * 2**20


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("serve", "alive", "name"),
    [
        (saying(described(SDP)), True, "ok"),
        (saying(described(b"\x00\xff not SDP")), True, "garbage: the description is no SDP"),
        (saying(described(b"")), True, "garbage: the description is no SDP"),
        (saying(described(b"v=0\r\nm=audio 0 RTP/AVP 0\r\n")), True, "no video in its description"),
        (saying(described(SDP, 5000)), False, "answer cut off: 4944 bytes less than it promised"),
        (
            saying(described(SDP, 1 << 30)),
            False,
            "answer cut off: 1073741768 bytes less than it promised",
        ),
        (
            endlessly(OK + b"Content-Length: 1073741824\r\n\r\n", SDP),
            False,
            "answer over 65536 bytes",
        ),
        (endlessly(OK, b"X-Filler: " + b"x" * 1000 + b"\r\n"), False, "answer over 8192 bytes"),
        (
            saying(OK + b"Content-Length: -5\r\n\r\n"),
            False,
            "garbage: the answer's length is no number",
        ),
        (
            saying(OK + b"Content-Length: many\r\n\r\n"),
            False,
            "garbage: the answer's length is no number",
        ),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), False, "garbage: the answer is no RTSP or HTTP"),
        (saying(b"RTSP/1.0 503 Busy\r\nCSeq: 1\r\n\r\n"), True, "stream stopped"),
        (
            saying(b"RTSP/1.0 401 No\r\nCSeq: 1\r\n\r\n"),
            True,
            "wants a way to log in that we don't know",
        ),
        (silent, False, "connected but silent"),
    ],
)
async def test_a_description_ends_in_a_named_way(serve: Serve, alive: bool, name: str) -> None:
    async with server(serve) as port:
        where = rtsp.address(f"rtsp://127.0.0.1:{port}/s")
        verdict, _ = await measured(Rtsp(where, TIMEOUT_S, Login("hub", "x")).describe())
    assert (verdict.alive, verdict.name) == (alive, name)
    assert verdict.good is (name == "ok")


HTTP = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HTTP + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("serve", "name"),
    [
        (endlessly(HTTP + b"\r\n", b"x" * 4096), "answer over 65536 bytes"),
        (endlessly(CHUNKED, b"400\r\n" + b"x" * 1024 + b"\r\n"), "answer over 65536 bytes"),
        (endlessly(CHUNKED, b"ffffffff\r\n"), "answer over 65536 bytes"),
        (endlessly(CHUNKED, b"x"), "answer over 8192 bytes"),
        (endlessly(HTTP, b"a: b\r\n"), "answer over 8192 bytes"),
        (endlessly(b"", b"H"), "answer over 8192 bytes"),
        (saying(CHUNKED + b"zz\r\n"), "garbage: a chunk has no size"),
        (saying(CHUNKED + b"-1\r\n"), "garbage: a chunk has no size"),
        (
            saying(HTTP + b"Content-Length: 10\r\n\r\nabc"),
            "answer cut off: 7 bytes less than it promised",
        ),
        (saying(b"\x15\x03\x01\x00\x02\x02\x46"), "answer cut off"),
        (silent, "connected but silent"),
    ],
)
async def test_a_page_ends_in_a_named_way(serve: Serve, name: str) -> None:
    async with server(serve) as port:
        web = Web(wire.door(f"http://127.0.0.1:{port}", WEB), TIMEOUT_S)
        with pytest.raises(Ended) as caught:
            await measured(web.ask("GET", "/", 64 * 1024))
    assert str(caught.value) == name


async def test_an_answer_in_chunks_is_put_together() -> None:
    chunked = b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n"
    async with server(saying(HTTP + chunked)) as port:
        web = Web(wire.door(f"http://127.0.0.1:{port}", WEB), TIMEOUT_S)
        assert (await web.ask("GET", "/", 100)).body == b"abcdefgh"


async def test_a_certificate_that_nobody_signed_is_named_unless_it_may_be(tmp_path: Path) -> None:
    certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    strict, lax = CameraSection(), CameraSection(verify_certificate=False)
    ours = Trust(CameraConfig(ca_file=tmp_path / "ca.pem"))
    async with server(saying(HTTP + b"Content-Length: 2\r\n\r\nhi"), context) as port:
        where = wire.door(f"https://127.0.0.1:{port}", WEB)
        for tls in (Trust(CameraConfig()).of(lax), ours.of(strict)):
            assert (await Web(where, TIMEOUT_S, tls=tls).ask("GET", "/", 100)).body == b"hi"
        with pytest.raises(Ended, match="certificate: "):
            await Web(where, TIMEOUT_S, tls=Trust(CameraConfig()).of(strict)).ask("GET", "/", 100)


def test_an_authority_that_cannot_be_read_is_named() -> None:
    with pytest.raises(NeverWorks, match="/nowhere/ca"):
        Trust(CameraConfig(ca_file=Path("/nowhere/ca.pem")))
