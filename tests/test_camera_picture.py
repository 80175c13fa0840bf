"""Snapshots: what a true encoder's JPEGs show, over a web server that wants a password."""

from __future__ import annotations

import asyncio
import io
import random
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from collectors.camera import picture
from collectors.camera.collector import CameraCollector
from collectors.camera.config import CameraConfig
from collectors.camera.wire import Ended, Unfit
from hub.api import Target
from tests.camera_support import server
from tests.collector_support import FakeHost, RecordingEmit

BEAT = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


def jpeg(image: Image.Image, **how: object) -> bytes:
    made = io.BytesIO()
    image.save(made, "JPEG", **how)
    return made.getvalue()


def street(seed: int = 1, size: tuple[int, int] = (1280, 720)) -> Image.Image:
    """Boxes of all tones, with a sensor's noise."""
    dice, image = random.Random(seed), Image.new("L", size, 128)
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x, y = dice.randrange(size[0]), dice.randrange(size[1])
        box = (x, y, x + dice.randrange(20, 200), y + dice.randrange(20, 120))
        draw.rectangle(box, fill=dice.randrange(256))
    return Image.blend(image, Image.effect_noise(size, 60), 0.05)


def from_gstreamer(folder: Path, pattern: str) -> bytes:
    """One picture of GStreamer's test source and JPEG encoder."""
    gst = (
        "import gi, sys; gi.require_version('Gst', '1.0'); from gi.repository import Gst\n"
        "Gst.init(None); p = Gst.parse_launch(sys.argv[1]); p.set_state(Gst.State.PLAYING)\n"
        "end = Gst.MessageType.EOS | Gst.MessageType.ERROR\n"
        "p.get_bus().timed_pop_filtered(20 * Gst.SECOND, end); p.set_state(Gst.State.NULL)\n"
    )
    path = folder / f"{pattern}.jpg"
    source = f"videotestsrc num-buffers=1 pattern={pattern} ! video/x-raw,width=640,height=480"
    line = f"{source},format=I420 ! jpegenc ! filesink location={path}"
    subprocess.run(["/usr/bin/python3", "-c", gst, line], check=True, timeout=60)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("pattern", "black", "blurred"),
    [
        ("smpte", False, False),
        ("black", True, False),
        ("white", False, True),
        ("bar", False, False),
    ],
)
def test_what_a_true_encoder_made_is_judged(
    tmp_path: Path, pattern: str, black: bool, blurred: bool
) -> None:
    seen = picture.look(from_gstreamer(tmp_path, pattern))
    assert (seen.black, seen.blurred) == (black, blurred)


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"quality": 60}])
def test_a_scene_is_sharp_and_out_of_focus_it_is_blurred(how: dict[str, object]) -> None:
    sharp = picture.look(jpeg(street(), **how))
    blurred = picture.look(jpeg(street().filter(ImageFilter.GaussianBlur(24)), **how))
    assert (sharp.black, sharp.blurred) == (False, False)
    assert (blurred.black, blurred.blurred) == (False, True)
    assert sharp.sharpness > 2 * blurred.sharpness


def test_the_same_scene_with_other_noise_is_another_picture() -> None:
    one, again = picture.look(jpeg(street())), picture.look(jpeg(street()))
    assert one.fingerprint != again.fingerprint
    still = jpeg(street())
    assert picture.look(still).fingerprint == picture.look(still).fingerprint


def test_a_lamp_in_the_night_is_not_black() -> None:
    night = Image.new("L", (640, 480), 4)
    ImageDraw.Draw(night).ellipse((300, 200, 360, 260), fill=220)
    assert not picture.look(jpeg(night)).black
    assert picture.look(jpeg(Image.new("L", (640, 480), 4))).black


def test_a_picture_that_claims_to_be_huge_is_never_unfolded() -> None:
    small = jpeg(Image.new("L", (16, 16), 9))
    at = small.index(b"\xff\xc0") + 5
    huge = small[:at] + struct.pack(">HH", 65_000, 65_000) + small[at + 4 :]
    with pytest.raises(Unfit, match="huge"):
        picture.look(huge)


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 4000), st.integers(0, 255))
def test_no_bytes_break_it(rubbish: bytes, place: int, byte: int) -> None:
    good = bytearray(_SMALL)
    good[place % len(good)] = byte
    for data in (rubbish, b"\xff\xd8" + rubbish, bytes(good), _SMALL[:place]):
        refused = ""
        try:
            picture.look(data)
        except Ended as end:
            refused = str(end)
        assert not refused or refused.startswith(("garbage: the picture", "a picture "))


_SMALL = jpeg(street(2, (160, 120)))


class Shown:
    """A camera whose snapshot a test chooses, and the collector that looks at it."""

    def __init__(self) -> None:
        self.answer = b""
        self.emit = RecordingEmit()

    def show(self, image: bytes) -> None:
        self.answer = BEAT % len(image) + image

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()

    async def look(self, port: int) -> dict[str, object]:
        """Ask once more."""
        if not self.emit.items:
            section = {"web": f"http://127.0.0.1:{port}", "snapshot": "/picture"}
            self.target = Target("cam1", "camera", "", section)
            host = FakeHost([self.target])
            self.collector = CameraCollector(CameraConfig(broker=None), host)
            await self.collector.start()
        await self.collector.poll(self.target, "snapshot", self.emit)
        return dict(self.emit.readings[-1].fields)

    @property
    def why(self) -> str:
        return self.collector._judged["cam1"].why


async def test_a_camera_that_turns_black_and_then_freezes_is_degraded_by_name() -> None:
    camera = Shown()
    async with server(camera.serve) as port:
        camera.show(jpeg(street()))
        fields = await camera.look(port)
        assert (fields["state"], fields["black"], fields["blurred"], fields["frozen"]) == (
            2,
            0,
            0,
            0,
        )
        camera.show(jpeg(Image.effect_noise((640, 480), 1).point(lambda tone: tone // 16)))
        first = await camera.look(port)
        assert (first["state"], first["black"]) == (2, 1)
        camera.show(jpeg(Image.effect_noise((640, 480), 1).point(lambda tone: tone // 17)))
        assert (await camera.look(port))["state"] == 1
        assert camera.why == "snapshot: the picture is black"
        camera.show(jpeg(street()))
        states = [(await camera.look(port)) for _ in range(3)]
        assert [said["state"] for said in states] == [2, 2, 1]
        assert [said["frozen"] for said in states] == [0, 1, 1]
        assert camera.why == "snapshot: the picture is frozen"
        camera.show(b"<html>no picture</html>")
        await camera.look(port)
        assert (await camera.look(port))["snapshot_ok"] == 0
        assert camera.why == "snapshot: garbage: the picture is no JPEG"


async def test_nothing_of_a_picture_is_kept_but_its_fingerprint() -> None:
    camera = Shown()
    async with server(camera.serve) as port:
        camera.show(jpeg(street()))
        await camera.look(port)
    (judged,) = camera.collector._cameras.values()
    kept = [getattr(judged, name) for name in judged.__slots__]
    assert max(len(value) for value in kept if isinstance(value, bytes)) == 16
