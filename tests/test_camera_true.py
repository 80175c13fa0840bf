"""The stream of a true camera: GStreamer's RTSP server from Debian's packages."""

from __future__ import annotations

import pytest

from collectors.camera import rtsp
from collectors.camera.auth import Login
from collectors.camera.collector import CameraCollector
from collectors.camera.config import CameraConfig
from collectors.camera.rtsp import Rtsp
from collectors.camera.sdp import Video
from hub.api import Target
from tests.camera_support import TrueCamera, true_camera
from tests.collector_support import FakeHost, RecordingEmit

RIGHT, WRONG = Login("hub", "rahasia"), Login("hub", "salah")


def at(camera: TrueCamera, login: Login | None = None, timeout_s: float = 10.0) -> Rtsp:
    return Rtsp(rtsp.address(camera.url), timeout_s, login)


async def test_it_describes_a_video() -> None:
    with true_camera() as camera:
        assert (await at(camera).options()).name == "ok"
        verdict, video = await at(camera).describe()
    assert (verdict.name, verdict.good, video) == ("ok", True, Video("JPEG", 10.0))


@pytest.mark.parametrize("auth", ["basic", "digest"])
async def test_the_right_password_gets_in_and_a_wrong_one_is_named(auth: str) -> None:
    with true_camera(auth) as camera:
        assert (await at(camera).options()).alive
        nobody, right, wrong = [
            (await at(camera, login).describe())[0] for login in (None, RIGHT, WRONG)
        ]
    assert (nobody.name, nobody.good) == ("locked", True)
    assert (right.name, right.good) == ("ok", True)
    assert (wrong.name, wrong.alive, wrong.good) == ("wrong password", True, False)


class Watch:
    """A collector that asks one true camera."""

    def __init__(self, camera: TrueCamera, password: str = "rahasia") -> None:
        credentials = {"default": {"username": "hub", "password": password}}
        config = {"broker": None, "timeout_s": 3, "credentials": credentials}
        self.target = Target("cam1", "camera", "127.0.0.1", {"rtsp": camera.url})
        self.emit = RecordingEmit()
        self.collector = CameraCollector(
            CameraConfig.model_validate(config), FakeHost([self.target])
        )

    async def poll(self, times: int = 1) -> tuple[object, str]:
        """State and the newest reason after so many rounds of all proofs."""
        for _ in range(times):
            for tier in ("rtsp", "stream"):
                await self.collector.poll(self.target, tier, self.emit)
        why = self.emit.events[-1].text if self.emit.events else ""
        return self.emit.readings[-1].fields.get("state"), why


async def test_a_stream_that_stops_is_degraded_and_one_that_comes_back_is_online() -> None:
    with true_camera() as camera:
        watch = Watch(camera)
        await watch.collector.start()
        assert await watch.poll() == (2, "")
        camera.command("stop")
        assert await watch.poll() == (2, "")
        assert await watch.poll() == (1, "stream: no such stream")
        camera.command("start")
        assert await watch.poll() == (2, "")
        camera.command("stall")
        await watch.collector.poll(watch.target, "stream", watch.emit)
        await watch.collector.poll(watch.target, "stream", watch.emit)
        assert watch.emit.events[-1].text == "stream: connected but silent"
    assert await watch.poll(3) == (0, "RTSP: port closed, stream: port closed")


async def test_a_password_that_was_changed_is_degraded_by_name() -> None:
    with true_camera("digest") as camera:
        watch = Watch(camera, "the old one")
        await watch.collector.start()
        state, _ = await watch.poll(2)
        assert state == 1
        assert watch.collector._judged["cam1"].why == "stream: wrong password"
