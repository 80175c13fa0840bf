"""Pictures that come over RTSP's own connection: cut out, counted, and whatever else may come."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.camera import rtsp
from collectors.camera.config import CameraSection
from collectors.camera.interleaved import Interleaved, Packet
from collectors.camera.pictures import STILL, Pictures
from collectors.camera.rtsp import Rtsp
from collectors.camera.wire import Answer, Ended
from tests.camera_support import Serve, endlessly, saying, server
from tests.test_camera_bad_answers import OK, SDP, described, measured

TIMEOUT_S = 0.5


def rtp(time: int, body: bytes = b"x" * 100, ssrc: int = 7, number: int = 0) -> bytes:
    return struct.pack("!BBHII", 0x80, 26, number, time % (1 << 32), ssrc) + body


def framed(packet: bytes, channel: int = 0) -> bytes:
    return struct.pack("!cBH", b"$", channel, len(packet)) + packet


# ---------------------------------------------------------------- the stream


PIECES = st.lists(
    st.one_of(
        st.builds(Packet, st.integers(0, 3), st.binary(max_size=60)),
        st.builds(
            lambda body: Answer(200, {"content-length": [str(len(body))]}, body),
            st.binary(max_size=30),
        ),
    ),
    max_size=6,
)


@given(PIECES, st.data())
def test_answers_and_packets_come_out_however_the_stream_was_cut(
    pieces: list[Answer | Packet], data: st.DataObject
) -> None:
    stream = b"".join(
        framed(piece.data, piece.channel)
        if isinstance(piece, Packet)
        else b"RTSP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(piece.body) + piece.body
        for piece in pieces
    )
    reading, found = Interleaved(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reading.feed(stream[:size])
        stream = stream[size:]
    assert found == pieces


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_no_bytes_break_the_cutter(rubbish: list[bytes]) -> None:
    reading, pictures = Interleaved(), Pictures("JPEG")
    try:
        for data in rubbish:
            for item in reading.feed(data):
                if isinstance(item, Packet):
                    pictures.take(item.data)
    except Ended as end:
        assert str(end).startswith(("garbage", "answer over"))  # noqa: PT017 - no other end
    pictures.seen(1.0)


def test_an_answer_without_an_end_is_given_up() -> None:
    reading = Interleaved()
    for _ in range(8):
        reading.feed(b"RTSP/1.0 200 OK\r\nX: " + b"y" * 1000)
    with pytest.raises(Ended, match="answer over 8192 bytes"):
        reading.feed(b"y" * 1000)
    with pytest.raises(Ended, match="answer over 65536 bytes"):
        Interleaved().feed(b"RTSP/1.0 200 OK\r\nContent-Length: 1073741824\r\n\r\n")


# ---------------------------------------------------------------- the pictures


def test_pictures_are_counted_by_the_cameras_clock_also_where_it_wraps_and_out_of_order() -> None:
    pictures = Pictures("H264")
    for number in (0, 2, 1, 3, 4, 6, 5, 7):  # as B frames are sent
        for _ in range(3):
            assert pictures.take(rtp((1 << 32) - 5000 + number * 3600))
    seen = pictures.seen(2.0)
    assert (seen.packets, seen.fps, seen.still) == (24, 25.0, None)
    assert seen.kbps == 24 * 112 * 8 / 1000 / 2


def test_two_pictures_tell_no_rate_and_reports_and_other_sources_are_none() -> None:
    pictures = Pictures("H264")
    assert pictures.take(rtp(0))
    assert pictures.take(rtp(3600))
    assert not pictures.take(rtp(7200, ssrc=8))
    assert not pictures.take(b"\x80\xc8" + bytes(30))
    assert not pictures.take(b"\x80")
    assert pictures.seen(1.0).fps is None


def test_the_same_picture_again_and_again_is_still_and_another_one_is_not() -> None:
    def of(*bodies: bytes) -> bool | None:
        pictures = Pictures("JPEG")
        for number, body in enumerate(bodies):
            for half in (body[:5], body[5:]):
                pictures.take(rtp(number * 9000, half))
        return pictures.seen(1.0).still

    assert of(*[b"the same one"] * (STILL + 2)) is True
    assert of(*[b"the same one"] * (STILL + 1), b"another one", b"another two") is False
    assert of(*[b"the same one"] * STILL) is None


# ---------------------------------------------------------------- servers


SETUP = OK + b"Session: 12345678;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n"
PLAY = OK + b"Session: 12345678\r\n\r\n"
STREAM = b"".join(framed(rtp(n * 9000)) for n in range(20))


@pytest.mark.parametrize(
    ("serve", "alive", "name"),
    [
        (saying(described(SDP), SETUP, PLAY + STREAM), True, "the stream breaks off"),
        # Packets may overtake the answer.
        (saying(described(SDP), SETUP, STREAM + PLAY), True, "the stream breaks off"),
        (saying(described(SDP), SETUP, OK + b"\r\n"), False, "hung up"),
        (saying(described(SDP), b"RTSP/1.0 461 No\r\nCSeq: 2\r\n\r\n"), True, "no stream over TCP"),
        (saying(described(SDP), b"RTSP/1.0 454 No\r\nCSeq: 2\r\n\r\n"), True, "SETUP: status 454"),
        (saying(described(SDP), OK + b"\r\n"), True, "garbage: SETUP gives no session"),
        (
            saying(described(SDP), SETUP, b"RTSP/1.0 503 Busy\r\nCSeq: 3\r\n\r\n"),
            True,
            "PLAY: status 503",
        ),
        (
            saying(described(SDP + b"a=control:track 1\r\n"), SETUP),
            True,
            "garbage: the description names no URL",
        ),
        (saying(described(b"v=0\r\n")), True, "no video in its description"),
        (saying(described(SDP), SETUP, PLAY + b"x" * 9000), False, "answer over 8192 bytes"),
        (
            saying(described(SDP), SETUP, OK + b"Content-Length: 1073741824\r\n\r\n"),
            False,
            "answer over 65536 bytes",
        ),
        (
            endlessly(described(SDP), b"$\x01\xff\xff"),
            False,
            "answer over 8192 bytes",
        ),
        (
            saying(described(SDP), SETUP, b"x\r\n\r\n"),
            False,
            "garbage: the answer is no RTSP or HTTP",
        ),
    ],
)
async def test_playing_ends_in_a_named_way(serve: Serve, alive: bool, name: str) -> None:
    async with server(serve) as port:
        where = rtsp.address(f"rtsp://127.0.0.1:{port}/s")
        verdict, _ = await measured(Rtsp(where, TIMEOUT_S).play(0.2))
    assert (verdict.alive, verdict.name) == (alive, name)
    assert verdict.good is (name == "no stream over TCP")


async def test_a_camera_that_plays_nothing_is_sick_and_one_that_floods_is_cut_off() -> None:
    async def quiet(reader: object, writer: object) -> None:
        await saying(described(SDP), SETUP, PLAY)(reader, writer)  # type: ignore[arg-type]
        await reader.read()  # type: ignore[attr-defined]
        await reader.read()  # type: ignore[attr-defined]

    async def flood(reader: object, writer: object) -> None:
        await saying(described(SDP), SETUP)(reader, writer)  # type: ignore[arg-type]
        await endlessly(PLAY, framed(rtp(0, b"x" * 1400)))(reader, writer)  # type: ignore[arg-type]

    found = []
    for serve in (quiet, flood):
        async with server(serve) as port:
            where = rtsp.address(f"rtsp://127.0.0.1:{port}/s")
            found.append((await measured(Rtsp(where, TIMEOUT_S).play(0.2)))[0])
    assert [verdict.name for verdict in found] == ["it plays, and no pictures come", "ok"]
    assert not found[0].good


def test_playing_needs_a_stream_to_play() -> None:
    with pytest.raises(ValueError, match="play without rtsp"):
        CameraSection.model_validate({"play": True})
