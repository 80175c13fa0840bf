"""Event streams of Hikvision and Dahua, and Frigate's word over a real broker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.camera import frigate, wire
from collectors.camera.collector import CameraCollector
from collectors.camera.config import WEB, CameraConfig
from collectors.camera.happenings import MAKERS, Active, Happening, dahua, hikvision
from collectors.camera.multipart import MAX_PART, Parts, boundary
from collectors.camera.stream import follow
from collectors.camera.verdict import Verdict
from collectors.camera.web import Web
from collectors.camera.wire import Ended
from hub.api import BadItem, Target
from tests.camera_support import Serve, endlessly, saying, server
from tests.collector_support import FakeHost, RecordingEmit, until
from tests.mosquitto_support import broker

TOO_LONG = f"a part of over {MAX_PART} bytes"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=boundary\r\n\r\n"


def part(body: bytes, length: bool = True) -> bytes:
    size = b"Content-Length: %d\r\n" % len(body) if length else b""
    return b"--boundary\r\nContent-Type: text/plain\r\n" + size + b"\r\n" + body + b"\r\n"


def alert(kind: str, state: str) -> bytes:
    return (
        '<EventNotificationAlert version="2.0"><channelID>1</channelID>'
        f"<eventType>{kind}</eventType><eventState>{state}</eventState></EventNotificationAlert>"
    ).encode()


@pytest.mark.parametrize(
    ("read", "body", "said"),
    [
        (hikvision, alert("videoloss", "inactive"), None),
        (hikvision, alert("videoloss", "active"), Happening("videoloss", True)),
        (hikvision, alert("shelteralarm", "active"), Happening("shelteralarm", True)),
        (hikvision, alert("VMD", "inactive"), Happening("vmd", False)),
        (hikvision, b"\xff\x00", None),
        (dahua, b"Heartbeat", None),
        (dahua, b"Code=VideoBlind;action=Start;index=0", Happening("videoblind", True)),
        (dahua, b"Code=VideoLoss;action=Stop;index=0", Happening("videoloss", False)),
        (dahua, b'Code=NTP;action=Pulse;data={\n}', Happening("ntp", True, True)),
        (dahua, b"Code=;action=Start", None),
    ],
)  # fmt: skip
def test_what_a_part_says(read: Any, body: bytes, said: Happening | None) -> None:
    assert read(body) == said


def test_what_goes_on_is_news_once_and_again_after_its_end() -> None:
    active, begin, end = Active(), Happening("vmd", True), Happening("vmd", False)
    said = [begin, begin, end, begin, Happening("pulse", True, True)]
    assert [active.news(one) for one in said] == [True, False, False, True, True]
    many = [Happening(f"kind{number}", True) for number in range(1000)]
    assert sum(active.news(one) for one in many) < Active.MOST


@given(st.lists(st.binary(max_size=60).filter(lambda b: b"--" not in b), max_size=6), st.data())
def test_parts_come_out_however_the_stream_was_cut(
    bodies: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(part(body, data.draw(st.booleans())) for body in bodies)
    stream += part(b"the last")
    parts, found = Parts(b"boundary"), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += parts.feed(stream[:size])
        stream = stream[size:]
    assert [body.strip() for body in found] == [body.strip() for body in [*bodies, b"the last"]]


@given(st.binary(max_size=400))
def test_no_stream_breaks_the_cutter(rubbish: bytes) -> None:
    parts = Parts(b"boundary")
    for _ in range(3):
        parts.feed(rubbish + b"--boundary\r\n")


def test_a_part_that_never_ends_is_given_up() -> None:
    parts = Parts(b"boundary")
    parts.feed(b"--boundary\r\n\r\n" + b"x" * 1000)
    with pytest.raises(Ended, match="a part of over"):
        parts.feed(b"x" * MAX_PART)


@pytest.mark.parametrize("said", ["", "text/html", "multipart/mixed", "boundary=x"])
def test_what_is_no_multipart_is_named(said: str) -> None:
    with pytest.raises(Ended, match="no multipart"):
        boundary(said)


class Heard:
    """What `follow` says of a server."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.told: list[Happening] = []

    async def of(self, serve: Serve, maker: str, silence_s: float = 5.0) -> None:
        """Follow until something was proved three times."""
        path, read = MAKERS[maker]
        async with server(serve) as port:
            web = Web(wire.door(f"http://127.0.0.1:{port}", WEB), 2.0)
            following = follow(web, path, read, self.verdicts.append, self.told.append, silence_s)
            task = asyncio.create_task(following)
            await until(lambda: len(self.verdicts) >= 3 or task.done())
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_keep_alives_are_signs_of_life_and_events_come_once() -> None:
    blind = part(alert("shelteralarm", "active"))
    heard = Heard()
    stream = HEAD + part(alert("videoloss", "inactive"), False) + blind + blind
    await heard.of(saying(stream), "hikvision")
    assert [verdict.name for verdict in heard.verdicts[:3]] == ["ok"] * 3
    assert heard.told == [Happening("shelteralarm", True)]


@pytest.mark.parametrize(
    ("serve", "name"),
    [
        (endlessly(HEAD, part(b"Heartbeat")), "ok"),
        (endlessly(HEAD, b"x" * 4096), TOO_LONG),
        (endlessly(HEAD, b"--boundary\r\n\r\n" + b"x" * 70_000), TOO_LONG),
        (saying(b"HTTP/1.1 200 OK\r\n\r\n<html>"), "garbage: the events are no multipart"),
        (saying(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), "wants a password"),
        (saying(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), "no such page"),
        (saying(HEAD), "hung up"),
    ],
)  # fmt: skip
async def test_every_stream_ends_in_a_named_way(serve: Serve, name: str) -> None:
    heard = Heard()
    await heard.of(serve, "dahua")
    assert {verdict.name for verdict in heard.verdicts[:3]} == {name}


async def test_a_stream_that_falls_silent_is_given_up() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        await reader.read()

    heard = Heard()
    await heard.of(silent, "dahua", silence_s=0.2)
    assert heard.verdicts[0].name == "no keep-alive for 0.2 s"


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{}", b'{"cameras": 3}', b"\xff", b"[" * 5000, b" " * 2_000_000]
)
def test_what_is_no_stats_of_frigate_is_refused(payload: bytes) -> None:
    with pytest.raises(BadItem, match=": "):
        frigate.fps(payload)


def test_only_true_rates_count() -> None:
    cameras = {"a": {"camera_fps": 5.1}, "b": {"camera_fps": True}, "c": 7, "d": {"camera_fps": -1}}
    assert frigate.fps(json.dumps({"cameras": cameras}).encode()) == {"a": 5.1}


async def test_frigate_tells_which_camera_gives_no_pictures(tmp_path: Path) -> None:
    def stats(rate: float) -> str:
        return json.dumps({"cameras": {"pelabuhan": {"camera_fps": rate}, "other": {}}})

    with broker(tmp_path) as mqtt:
        host = FakeHost([Target("cam1", "camera", "", {"frigate": "pelabuhan"})])
        emit = RecordingEmit()
        config = CameraConfig.model_validate({"broker": {"port": mqtt.port}})
        collector = CameraCollector(config, host)
        await collector.start()
        task = asyncio.create_task(collector.run(emit))
        try:
            await until(lambda: "broker is up" in host.log.events())
            for rate in (5.0, 0.0, 0.0):
                await asyncio.to_thread(mqtt.publish, "frigate/stats", stats(rate))
            await until(lambda: len(emit.readings) == 3)
            assert [said.fields["fps"] for said in emit.readings] == [5.0, 0.0, 0.0]
            assert [said.fields.get("state") for said in emit.readings] == [2, 2, 0]
            assert emit.events[-1].text == "Frigate: no pictures reach Frigate"
            await asyncio.to_thread(mqtt.publish, "frigate/available", "offline")
            await until(lambda: collector._cameras["cam1"].judge(host.now_ns()) is None)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
