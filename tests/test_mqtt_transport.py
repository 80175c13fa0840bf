"""The MQTT collector against a real mosquitto: one contract for both protocol versions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from collectors.mqtt.collector import MqttCollector
from collectors.mqtt.config import MqttConfig
from hub.api import Quality, Target, TryAgain
from tests.collector_support import FakeHost, RecordingEmit, until
from tests.mosquitto_support import Mosquitto, broker
from tests.wire_support import sparkplug_of

TOPIC = "toba/v1/dlh/balige/aq1/telemetry"


class Line:
    """A collector that listens, its host and what it handed over."""

    def __init__(self, port: int, protocol: int, **settings: Any) -> None:
        self.host = FakeHost([Target("aq1", "sensor", "", {}), Target("aq2", "sensor", "", {})])
        self.emit = RecordingEmit(self.host)
        one = {
            "port": port,
            "protocol": protocol,
            "keepalive_s": 2,
            "reconnect_max_s": 1,
            "canary_s": 0,  # nothing but what sensors say; see test_mqtt_canary.py
            "dropped_topic": "",
            **settings,
        }
        self.config = MqttConfig.model_validate({"brokers": [one]})
        self._task: asyncio.Task[None] | None = None

    def collector(self) -> MqttCollector:
        return MqttCollector(self.config, self.host)

    async def start(self) -> None:
        """Start (or start again) and wait until it is subscribed."""
        before = self.ups()
        collector = self.collector()
        await collector.start()
        self._task = asyncio.create_task(collector.run(self.emit))
        await until(lambda: self.ups() > before, "subscribed")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def ups(self) -> int:
        return self.host.log.events().count("broker is up")

    def downs(self) -> int:
        return self.host.log.events().count("broker is down")

    def values(self, field: str = "pm25") -> list[Any]:
        return [r.fields[field] for r in self.emit.readings if field in r.fields]


@asynccontextmanager
async def listening(port: int, protocol: int, **settings: Any) -> AsyncIterator[Line]:
    line = Line(port, protocol, **settings)
    await line.start()
    try:
        yield line
    finally:
        await line.stop()


def body(value: float, **more: Any) -> str:
    return json.dumps({"v": 1, "m": {"pm25": value}, **more})


async def say(server: Mosquitto, payload: str | bytes, topic: str = TOPIC, *options: str) -> None:
    await asyncio.to_thread(server.publish, topic, payload, *options)


async def test_a_published_reading_arrives_and_is_acknowledged(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol) as line:
        await say(server, body(12.5, seq=1))
        await until(lambda: line.values() == [12.5])
        reading = line.emit.readings[0]
        assert reading.series.key == "environment,device=aq1"
        assert reading.quality == Quality.GOOD
        await until(lambda: "Received PUBACK from toba-hub" in server.log(), "PUBACK")
        assert line.host.counts["messages"] == 1


async def test_nothing_is_acknowledged_before_its_receipt(server: Mosquitto, protocol: int) -> None:
    async with listening(server.port, protocol) as line:
        line.emit.hold()
        for number in range(3):
            await say(server, body(number))
        await until(lambda: len(line.values()) == 3)
        assert "Received PUBACK from toba-hub" not in server.log()
        line.emit.release()
        await until(lambda: server.log().count("Received PUBACK from toba-hub") == 3)
        acks = [
            text for text in server.log().splitlines() if "Received PUBACK from toba-hub" in text
        ]
        assert ["Mid: 1" in acks[0], "Mid: 2" in acks[1], "Mid: 3" in acks[2]] == [True] * 3


async def test_what_was_not_acknowledged_comes_again_after_the_connection_broke(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol) as line:
        line.emit.hold()
        await say(server, body(1))
        await until(lambda: line.values() == [1.0])
        line.emit.fail(TryAgain("disk full"))
        line.emit.held = False
        await until(lambda: len(line.values()) == 2, "redelivered")
        assert line.values() == [1.0, 1.0]
        assert "PUBLISH to toba-hub (d1," in server.log()
        await until(lambda: "Received PUBACK from toba-hub" in server.log())
        assert line.downs() == 1


async def test_a_message_already_on_disk_that_comes_again_is_only_acknowledged(
    server: Mosquitto, protocol: int
) -> None:
    first = Line(server.port, protocol)
    await first.start()
    first.emit.hold()
    await say(server, body(7))
    await until(lambda: first.values() == [7.0])
    await first.stop()  # the hub dies between the sync and the PUBACK
    first.emit.release()
    assert "Received PUBACK from toba-hub" not in server.log()

    second = Line(server.port, protocol)
    second.host.journal = first.host.journal
    await second.start()
    try:
        await until(lambda: second.host.counts["redelivered"] == 1)
        await until(lambda: "Received PUBACK from toba-hub" in server.log())
        assert second.values() == []
    finally:
        await second.stop()


async def test_a_message_still_waiting_for_its_receipt_is_not_handed_over_twice(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol) as line:
        line.emit.hold()
        await say(server, body(3))
        await until(lambda: line.values() == [3.0])
        await asyncio.to_thread(server.stop)
        await until(lambda: line.downs() >= 1)
        await asyncio.to_thread(server.start)
        await until(lambda: line.host.counts["redelivered"] == 1, "came again")
        assert line.values() == [3.0]
        assert server.log().count("Received PUBACK from toba-hub") == 0
        line.emit.release()
        await until(lambda: server.log().count("Received PUBACK from toba-hub") == 1)


async def test_messages_published_while_the_hub_was_away_arrive(
    server: Mosquitto, protocol: int
) -> None:
    line = Line(server.port, protocol)
    await line.start()
    await line.stop()
    for number in range(5):
        await say(server, body(number))
    await line.start()
    try:
        await until(lambda: line.values() == [0.0, 1.0, 2.0, 3.0, 4.0])
    finally:
        await line.stop()


async def test_after_a_broker_restart_it_comes_back_and_says_so_once(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol) as line:
        await say(server, body(1))
        await until(lambda: line.values() == [1.0])
        await asyncio.to_thread(server.stop)
        await until(lambda: line.host.counts["reconnects"] >= 3, "several tries")
        await asyncio.to_thread(server.start)
        await until(lambda: line.ups() == 2, "up again", 40)
        await say(server, body(2))
        await until(lambda: line.values() == [1.0, 2.0])
        assert line.downs() == 1


async def test_a_bad_message_is_counted_acknowledged_and_delays_nobody(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol) as line:
        await say(server, b"\xff\xfe not json")
        await say(server, "x" * 70_000)
        await say(server, '{"m":{"pm25":NaN}}')
        await say(server, body(4), "toba/v1/dlh/balige/bad name!/telemetry")
        await say(server, body(5))
        await until(lambda: line.values() == [5.0])
        await until(lambda: server.log().count("Received PUBACK from toba-hub") == 5)
        assert [reason for reason, _, _ in line.host.refused] == [
            "bad_utf8", "too_large", "not_finite", "unknown_device",
        ]  # fmt: skip


async def test_a_retained_message_is_flagged_and_never_counts_as_alive(
    server: Mosquitto, protocol: int
) -> None:
    await say(server, body(9, up=100), TOPIC, "-r")
    await say(server, "online", "toba/v1/dlh/balige/aq1/status", "-r")
    async with listening(server.port, protocol) as line:
        await until(lambda: line.values() == [9.0])
        assert line.emit.readings[0].quality & Quality.RETAINED
        await say(server, "online", "toba/v1/dlh/balige/aq2/status")
        await until(lambda: line.values("up") == [1])
        assert [r.series.device for r in line.emit.readings if "up" in r.fields] == ["aq2"]


async def test_an_unknown_device_is_stored_and_proposed_once(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol) as line:
        for value in (1, 2):
            await say(server, body(value), "toba/v1/bpbd/porsea/wl9/telemetry")
        await until(lambda: line.values() == [1.0, 2.0])
        assert [(p.kind, p.device, p.facts["opd"]) for p in line.emit.proposals] == [
            ("device", "wl9", "bpbd")
        ]


async def test_a_refused_login_names_the_remedy(tmp_path: Path, protocol: int) -> None:
    with broker(tmp_path, "allow_anonymous false") as server:
        line = Line(server.port, protocol)
        task = asyncio.create_task(line.collector().run(line.emit))
        try:
            await until(lambda: line.downs() >= 1)
            level, _, values = line.host.log.lines[0]
            assert level == "warning"
            assert "check username" in values["reason"]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_node_whose_birth_was_not_heard_is_asked_for_it(
    server: Mosquitto, protocol: int
) -> None:
    """Sparkplug: the rebirth request goes out over the hub's own connection."""
    topics = [{"template": "spBv1.0/#", "parser": "sparkplug"}]
    command = "spBv1.0/balige/NCMD/pi1"
    async with listening(server.port, protocol, topics=topics) as line:
        metric = '{"alias":1,"type":"float","value":22.0,"typeless":true}'
        data = sparkplug_of('{"timestamp":1790000000000,"seq":7,"metrics":[' + metric + "]}")
        await say(server, data, "spBv1.0/balige/NDATA/pi1")
        await until(lambda: line.host.counts["answers"] == 1, "the request")
        heard = f"Received PUBLISH from toba-hub (d0, q0, r0, m0, '{command}'"
        await until(lambda: heard in server.log(), "the broker to hear it")
        assert [reason for reason, _, _ in line.host.refused] == ["no_birth"]
        birth = sparkplug_of(
            '{"timestamp":1790000000000,"seq":0,"metrics":[{"name":"bdSeq","type":"int64","value":0},'
            '{"name":"temperature","alias":1,"type":"float","value":21.0}]}'
        )
        await say(server, birth, "spBv1.0/balige/NBIRTH/pi1")
        await say(server, data.replace(b"\x18\x07", b"\x18\x01"), "spBv1.0/balige/NDATA/pi1")
        await until(lambda: line.values("temperature") == [21.0, 22.0])
        assert line.host.counts["answers"] == 1


async def test_without_sensors_or_settings_there_is_no_broker_to_miss() -> None:
    nobody, somebody = FakeHost(), FakeHost([Target("aq1", "sensor", "", {})])
    tasks = [
        asyncio.create_task(MqttCollector(MqttConfig(), host).run(RecordingEmit(host)))
        for host in (nobody, somebody)
    ]
    met = {"broker is up", "broker is down"}  # whatever listens on this machine
    await until(lambda: bool(met & {*somebody.log.events()}), "a broker is asked for")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert nobody.log.events() == ["mqtt rests: neither settings nor inventory name it"]
    assert await MqttCollector.diagnose(MqttConfig(), []) == []
