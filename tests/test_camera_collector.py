"""The camera collector against a real mosquitto and RTSP servers of every kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from collectors.camera import rtsp
from collectors.camera.collector import CameraCollector
from collectors.camera.config import CameraConfig
from collectors.camera.rtsp import Rtsp
from hub.api import BadItem, Hint, NeverWorks, Target, TryAgain
from tests.camera_support import Serve, server
from tests.collector_support import FakeHost, RecordingEmit, until
from tests.mosquitto_support import broker
from tests.test_mqtt_trouble import certificates

TOPIC = "toba/v1/dishub/balige/{}/status"


def answering(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"OPTIONS rtsp://127.0.0.1:")
        writer.write(answer)
        await writer.drain()

    return serve


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"X-Header: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"RTSP/1.0 200 OK\r\n" * 1000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def ask(port: int, timeout_s: float = 0.3) -> rtsp.Verdict:
    return await Rtsp(rtsp.address(f"rtsp://127.0.0.1:{port}/s"), timeout_s).options()


@pytest.mark.parametrize(
    ("serve", "alive", "name"),
    [
        (answering(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"), True, "ok"),
        (answering(b"RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n\r\n"), True, "locked"),
        (answering(b"RTSP/1.0 454 Session Not Found\r\n\r\n"), False, "status 454"),
        (answering(b"\x00\xff garbage \r\n\r\n"), False, "garbage: the answer is no RTSP or HTTP"),
        (answering(b"RTSP/1.0 200"), False, "answer cut off"),
        (answering(b""), False, "hung up"),
        (silent, False, "connected but silent"),
        (endless, False, "answer over 8192 bytes"),
        (trickle, False, "connected but silent"),
    ],
)
async def test_every_way_a_probe_can_end_has_a_name(serve: Serve, alive: bool, name: str) -> None:
    async with server(serve) as port:
        verdict = await ask(port)
    assert (verdict.alive, verdict.name) == (alive, name)
    if alive:
        assert verdict.ms is not None
        assert 0 < verdict.ms < 300


async def test_a_closed_port_is_told_from_silence() -> None:
    async with server(silent) as port:
        pass
    assert (await ask(port)).name == "port closed"


async def test_without_cameras_or_settings_there_is_no_broker_to_miss() -> None:
    nobody, somebody = FakeHost(), FakeHost([Target("cam1", "camera", "", {})])
    tasks = []
    for host in (nobody, somebody):
        collector = CameraCollector(CameraConfig(), host)
        await collector.start()
        tasks.append(asyncio.create_task(collector.run(RecordingEmit(host))))
    met = {"broker is up", "broker is down"}  # whatever listens on this machine
    await until(lambda: bool(met & {*somebody.log.events()}))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert nobody.log.events() == []


async def test_a_name_that_does_not_exist_is_unreachable() -> None:
    verdict = await Rtsp(rtsp.address("rtsp://no.such.host.invalid/"), 5).options()
    assert not verdict.alive


class Watch:
    """A collector for two cameras, its host and what it handed over."""

    def __init__(self, mqtt: dict[str, Any] | None, **sections: dict[str, Any]) -> None:
        targets = [Target(name, "camera", "", section) for name, section in sections.items()]
        self.host = FakeHost(targets)
        self.emit = RecordingEmit(self.host)
        config = {"broker": mqtt and {"reconnect_max_s": 1, **mqtt}, "timeout_s": 0.3}
        self.collector = CameraCollector(CameraConfig.model_validate(config), self.host)

    async def poll(self, name: str) -> dict[str, Any]:
        """Poll once and give what was emitted."""
        target = next(t for t in self.host.devices if t.id == name)
        await self.collector.poll(target, "rtsp", self.emit)
        return dict(self.emit.readings[-1].fields)


@asynccontextmanager
async def watching(mqtt: dict[str, Any] | None, **sections: dict[str, Any]) -> AsyncIterator[Watch]:
    watch = Watch(mqtt, **sections)
    await watch.collector.start()
    task = asyncio.create_task(watch.collector.run(watch.emit))
    try:
        if mqtt:
            await until(lambda: "broker is up" in watch.host.log.events())
        else:
            await asyncio.sleep(0)
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("protocol", [5, 4])
async def test_heartbeats_arrive_and_retained_ones_are_no_sign_of_life(
    tmp_path: Path, protocol: int
) -> None:
    with broker(tmp_path) as mqtt:
        beat = json.dumps({"seq": 1, "fps": 25, "drift_ms": -40})
        await asyncio.to_thread(mqtt.publish, TOPIC.format("cam1"), beat, "-r")
        async with watching({"port": mqtt.port, "protocol": protocol}, cam1={}, cam2={}) as watch:
            await until(lambda: watch.host.counts["retained_ignored"] == 1)
            assert watch.emit.readings == []
            await asyncio.to_thread(mqtt.publish, TOPIC.format("cam2"), beat)
            await asyncio.to_thread(mqtt.publish, TOPIC.format("aq1"), "online")
            await until(lambda: watch.host.counts["ignored"] == 1)
            (reading,) = watch.emit.readings
            assert reading.series.key == "camera,device=cam2"
            assert reading.fields == {
                "fps": 25.0, "clock_drift_s": -0.04, "heartbeat_age_s": 0.0, "state": 2, "up": 1,
            }  # fmt: skip


async def test_after_a_broker_restart_heartbeats_go_on(tmp_path: Path) -> None:
    with broker(tmp_path) as mqtt:
        async with watching({"port": mqtt.port}, cam1={}) as watch:
            await asyncio.to_thread(mqtt.stop)
            await until(lambda: watch.host.counts["reconnects"] >= 2)
            await asyncio.to_thread(mqtt.start)
            await until(lambda: watch.host.log.events().count("broker is up") == 2)
            await asyncio.to_thread(mqtt.publish, TOPIC.format("cam1"), "{}")
            await until(lambda: watch.host.counts["heartbeats"] == 1)
            assert watch.host.log.events("warning") == ["broker is down"]


async def test_the_will_of_a_camera_is_a_reason_to_look_and_no_verdict() -> None:
    async with watching(None, cam1={}) as watch:
        watch.collector._heard("cam1", b"offline", False)
        assert [type(item) for item in watch.emit.items][:1] == [Hint]
        assert watch.emit.readings == []


async def test_a_camera_that_dies_is_offline_after_three_probes_and_says_so_once() -> None:
    async with server(answering(b"RTSP/1.0 200 OK\r\n\r\n")) as port:
        watch = Watch(None, cam1={"rtsp": f"rtsp://127.0.0.1:{port}/s"})
        await watch.collector.start()
        first = await watch.poll("cam1")
        assert (first["rtsp_ok"], first["up"], first["state"]) == (1, 1, 2)
        assert first["rtsp_ms"] > 0
    seen = [await watch.poll("cam1") for _ in range(4)]
    assert [fields["rtsp_ok"] for fields in seen] == [0, 0, 0, 0]
    assert [fields["up"] for fields in seen] == [1, 1, 0, 0]
    assert [fields["state"] for fields in seen] == [2, 2, 0, 0]
    assert [(e.name, e.text) for e in watch.emit.events] == [("offline", "RTSP: port closed")]


async def test_a_slow_camera_does_not_delay_another() -> None:
    async with server(silent) as slow, server(answering(b"RTSP/1.0 200 OK\r\n\r\n")) as quick:
        urls = {"cam1": slow, "cam2": quick}
        watch = Watch(None, **{n: {"rtsp": f"rtsp://127.0.0.1:{p}/s"} for n, p in urls.items()})
        await watch.collector.start()
        await asyncio.gather(watch.poll("cam1"), watch.poll("cam2"))
        assert [r.series.device for r in watch.emit.readings] == ["cam2", "cam1"]


async def test_a_heartbeat_by_http_needs_the_cameras_token() -> None:
    token = "a-token-of-this-camera"
    async with watching(None, cam1={"heartbeat_token": token}, cam2={}) as watch:
        (route,) = watch.collector.routes()
        assert (route.method, route.path) == ("POST", "heartbeat/{token}")
        assert await route.handle(b'{"fps": 25}', token=token) == {"device": "cam1"}
        assert watch.emit.readings[0].fields["fps"] == 25.0
        with pytest.raises(BadItem, match="unknown_token"):
            await route.handle(b"{}", token="somebody else's")
        with pytest.raises(BadItem, match="bad_json"):
            await route.handle(b"{", token=token)
        watch.emit.hold()
        posted = asyncio.ensure_future(route.handle(b"", token=token))
        await asyncio.sleep(0)
        assert not posted.done(), "answered before it was on disk"
        watch.emit.fail(TryAgain("disk full"))
        with pytest.raises(TryAgain):
            await posted


async def test_heartbeats_over_tls_need_the_brokers_authority(tmp_path: Path) -> None:
    certificates(tmp_path)
    settings = f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key"
    authority = str(tmp_path / "ca.pem")
    with broker(tmp_path, settings) as mqtt:
        encrypted = {"port": mqtt.port, "tls": {"ca_file": authority}}
        async with watching(encrypted, cam1={}) as watch:
            topic = TOPIC.format("cam1")
            await asyncio.to_thread(mqtt.publish, topic, "{}", "--cafile", authority)
            await until(lambda: watch.host.counts["heartbeats"] == 1)


async def test_a_certificate_that_cannot_be_read_is_named() -> None:
    watch = Watch({"tls": {"ca_file": "/nowhere/ca.pem"}}, cam1={})
    with pytest.raises(NeverWorks, match="/nowhere/ca"):
        await watch.collector.run(watch.emit)


async def test_a_camera_that_only_sends_heartbeats_is_judged_and_never_asked() -> None:
    """So a poll of it proves nothing when somebody must know whether it lives."""
    sections: dict[str, dict[str, Any]] = {
        "beats": {"heartbeat": True}, "shows": {"rtsp": "rtsp://127.0.0.1/s"}
    }  # fmt: skip
    targets = [Target(id_, "camera", "127.0.0.1", one) for id_, one in sections.items()]
    collector = CameraCollector(CameraConfig(broker=None), FakeHost(targets))
    await collector.start()
    assert [collector.needs(one, "rtsp") for one in targets] == [True, True]
    assert [collector.proves(one, "rtsp") for one in targets] == [False, True]
