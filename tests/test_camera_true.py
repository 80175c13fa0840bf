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
    assert (verdict.name, verdict.good, video) == ("ok", True, Video("JPEG", 10.0, "stream=0"))


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


@pytest.mark.parametrize("auth", ["none", "basic", "digest"])
async def test_its_pictures_are_counted_by_its_own_clock(auth: str) -> None:
    with true_camera(auth) as camera:
        verdict, seen = await at(camera, RIGHT).play(1.5)
    assert (verdict.name, verdict.good) == ("ok", True)
    assert seen is not None
    assert seen.fps == pytest.approx(10, rel=0.05)
    assert seen.kbps > 10
    assert seen.still is False


async def test_a_wrong_password_gets_no_pictures_and_is_named() -> None:
    with true_camera("digest") as camera:
        wrong, nobody = [(await at(camera, one).play(1.0))[0].name for one in (WRONG, None)]
    assert (wrong, nobody) == ("wrong password", "locked")


class Watch:
    """A collector that asks one true camera."""

    def __init__(self, camera: TrueCamera, password: str = "rahasia", **section: object) -> None:
        credentials = {"default": {"username": "hub", "password": password}}
        config = {"broker": None, "timeout_s": 3, "credentials": credentials}
        self.target = Target("cam1", "camera", "127.0.0.1", {"rtsp": camera.url, **section})
        self.emit = RecordingEmit()
        self.collector = CameraCollector(
            CameraConfig.model_validate(config), FakeHost([self.target])
        )

    async def poll(
        self, times: int = 1, tiers: tuple[str, ...] = ("rtsp", "stream")
    ) -> tuple[object, str]:
        """State and the newest reason after so many rounds of these proofs."""
        for _ in range(times):
            for tier in tiers:
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


async def test_a_frozen_stream_is_degraded_although_it_flows() -> None:
    with true_camera() as camera:
        watch = Watch(camera, play=True, fps=10)
        await watch.collector.start()
        assert await watch.poll(1, ("rtsp", "play")) == (2, "")
        fields = watch.emit.readings[-1].fields
        assert (fields["play_ok"], fields["fps"]) == (1, pytest.approx(10, rel=0.1))
        camera.command("freeze")
        assert await watch.poll(2, ("rtsp", "play")) == (1, "pictures: the picture is frozen")
        camera.command("start")
        assert (await watch.poll(1, ("rtsp", "play")))[0] == 2
        few = Watch(camera, play=True, fps=25)
        await few.collector.start()
        said = "pictures: fewer than half of its pictures come"
        assert await few.poll(3, ("play",)) == (1, said)


async def test_snapshots_of_a_true_source_tell_black_and_frozen() -> None:
    with true_camera() as camera:
        watch = Watch(camera, web=camera.web(), snapshot="/now.jpg")
        await watch.collector.start()
        assert await watch.poll(2, ("rtsp", "snapshot")) == (2, "")
        camera.command("black")
        state, why = await watch.poll(2, ("rtsp", "snapshot"))
        assert (state, why) == (1, "snapshot: the picture is black and frozen")
        camera.command("freeze")
        # The first is a picture that was not seen before.
        assert (await watch.poll(3, ("rtsp", "snapshot")))[0] == 1
        fields = watch.emit.readings[-1].fields
        assert (fields["black"], fields["frozen"]) == (0, 1)
        camera.command("start")
        assert (await watch.poll(2, ("rtsp", "snapshot")))[0] == 2
        fields = watch.emit.readings[-1].fields
        assert (fields["black"], fields["frozen"]) == (0, 0)
