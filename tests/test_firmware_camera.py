"""The camera agent's core and the RTSP stub on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from collectors.camera.collector import CameraCollector
from collectors.camera.config import CameraConfig
from firmware_stubs.camera import FAULTS, Camera, answer
from firmware_stubs.micropython.camera_core import Agent, fingerprint
from firmware_stubs.physics import NS, Physics
from hub.api import Target
from tests.collector_support import FakeHost, RecordingEmit

START = 1_790_000_000 * NS


def test_a_heartbeat_counts_new_pictures_only() -> None:
    agent = Agent()
    for picture in (b"one", b"two", b"two", b"three"):
        agent.saw(picture)
    beat = json.loads(
        agent.beat(1_790_000_000, 1.0, 60, drift_ms=12, storage_pct=40.0, recorded_s=2.0)
    )
    assert (beat["storage_pct"], beat["recorded_s"]) == (40.0, 2.0)
    assert beat["fps"] == 3.0
    assert beat["frame"] == fingerprint(b"three")
    assert (beat["seq"], beat["uptime"], beat["drift_ms"]) == (0, 60, 12)
    frozen = json.loads(agent.beat(1_790_000_001, 1.0, 61))
    assert (frozen["fps"], frozen["kbps"], frozen["seq"]) == (0.0, 0.0, 1)
    assert frozen["frame"] == beat["frame"]


def test_a_beat_of_no_length_divides_by_nothing() -> None:
    assert json.loads(Agent().beat(1_790_000_000, 0.0, 0))["fps"] == 0.0


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("OPTIONS rtsp://x/ RTSP/1.0\r\nCSeq: 7\r\n\r\n", "200 OK"),
        ("DESCRIBE rtsp://x/ RTSP/1.0\r\ncseq:7\r\n\r\n", "200 OK"),
        ("FLY rtsp://x/ RTSP/1.0\r\nCSeq: 7\r\n\r\n", "501 Not Implemented"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "400 Bad Request"),
        ("\r\n\r\n", "400 Bad Request"),
    ],
)
def test_rtsp_is_answered_by_its_status(request_text: str, status: str) -> None:
    reply = answer(request_text, wants_auth=False)
    assert reply.startswith(f"RTSP/1.0 {status}\r\n")
    if status != "400 Bad Request":
        assert "\r\nCSeq: 7\r\n" in reply


def test_a_description_is_as_long_as_it_says() -> None:
    head, _, body = answer("DESCRIBE u RTSP/1.0\r\nCSeq: 1\r\n\r\n", wants_auth=False).partition(
        "\r\n\r\n"
    )
    assert f"Content-Length: {len(body)}" in head
    assert body.startswith("v=0\r\n")


@pytest.fixture
async def camera() -> AsyncIterator[Camera]:
    made = Camera("cam-pasar", "dishub", "balige", Physics(1, 1.0, START), START)
    await made.start()
    yield made
    await made.stop()


async def options(camera: Camera, wait_s: float = 5.0) -> str:
    """First line of the answer to OPTIONS; raises `OSError` or `TimeoutError`."""
    async with asyncio.timeout(wait_s):
        reader, writer = await asyncio.open_connection(camera.host, camera.port)
        try:
            writer.write(f"OPTIONS {camera.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


def beat(camera: Camera, second: int) -> dict[str, object] | None:
    messages = camera.turn(START + second * NS)
    assert all(m.topic == "toba/v1/dishub/balige/cam-pasar/status" for m in messages)
    return json.loads(messages[0].payload) if messages else None


async def test_a_living_camera_answers_and_its_picture_changes(camera: Camera) -> None:
    assert await options(camera) == "RTSP/1.0 200 OK"
    first, second = beat(camera, 5), beat(camera, 10)
    assert first is not None
    assert second is not None
    assert second["fps"] == pytest.approx(12.5, rel=0.1)
    assert first["frame"] != second["frame"]


async def test_a_frozen_camera_answers_but_shows_the_same_picture(camera: Camera) -> None:
    before = beat(camera, 5)
    await camera.fault("frozen")
    assert await options(camera) == "RTSP/1.0 200 OK"
    frozen = beat(camera, 10)
    assert before is not None
    assert frozen is not None
    assert (frozen["fps"], frozen["frame"]) == (0.0, before["frame"])
    await camera.fault("frozen", False)
    after = beat(camera, 15)
    assert after is not None
    assert after["frame"] != before["frame"]


async def test_a_dead_camera_refuses_and_comes_back_on_the_same_port(camera: Camera) -> None:
    port = camera.port
    await camera.fault("dead")
    assert beat(camera, 5) is None
    with pytest.raises(OSError):
        await options(camera)
    await camera.fault("dead", False)
    assert await options(camera) == "RTSP/1.0 200 OK"
    assert camera.port == port


@pytest.mark.parametrize(("fault", "beats"), [("hang", True), ("unreachable", False)])
async def test_a_camera_that_hangs_takes_the_connection_and_says_nothing(
    camera: Camera, fault: str, beats: bool
) -> None:
    await camera.fault(fault)
    with pytest.raises(TimeoutError):
        await options(camera, 0.3)
    assert (beat(camera, 5) is not None) is beats
    await camera.fault(fault, False)
    assert await options(camera) == "RTSP/1.0 200 OK"


async def test_a_changed_password_is_answered_with_a_challenge(camera: Camera) -> None:
    await camera.fault("wrong_auth")
    assert await options(camera) == "RTSP/1.0 401 Unauthorized"


async def test_an_endless_request_ends_the_connection_and_not_the_camera(camera: Camera) -> None:
    reader, writer = await asyncio.open_connection(camera.host, camera.port)
    writer.write(b"OPTIONS " + b"x" * 100_000)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert await options(camera) == "RTSP/1.0 200 OK"


async def test_an_unknown_fault_names_the_ones_there_are(camera: Camera) -> None:
    with pytest.raises(ValueError, match=", ".join(FAULTS)):
        await camera.fault("melts")


async def seen(camera: Camera, times: int = 2) -> str:
    """Why the hub's collector finds it no better, after so many looks; empty: it is fine."""
    section = {"rtsp": camera.url, "web": camera.web, "onvif": True, "snapshot": "/snapshot.jpg"}
    host = FakeHost([Target(camera.device, "camera", "", section)])
    login = {"default": {"username": "hub", "password": "demo"}}
    config = {"broker": None, "timeout_s": 5, "credentials": login}
    collector, emit = CameraCollector(CameraConfig.model_validate(config), host), RecordingEmit()
    await collector.start()
    for _ in range(times):
        for tier in ("rtsp", "stream", "onvif", "snapshot"):
            await collector.poll(host.devices[0], tier, emit)
        camera.turn(host.now_ns())
    drift = [r.fields["clock_drift_s"] for r in emit.readings if "clock_drift_s" in r.fields]
    assert all(abs(float(one)) < 5 for one in drift)
    return collector._judged[camera.device].why


async def test_the_hub_sees_what_a_camera_is_made_to_do(camera: Camera) -> None:
    assert await seen(camera) == ""
    for fault, why in [
        ("black", "snapshot: the picture is black"),
        ("wrong_auth", "stream: wrong password"),
    ]:
        await camera.fault(fault)
        assert await seen(camera) == why
        await camera.fault(fault, False)
    await camera.fault("frozen")
    assert await seen(camera, 3) == "snapshot: the picture is frozen"
