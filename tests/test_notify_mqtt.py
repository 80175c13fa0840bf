"""Alert states on a real mosquitto."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from hub.notify.channels.base import NeverWorks, TryAgain
from hub.notify.channels.mqtt import MqttChannel, MqttConfig, topic
from hub.notify.message import trial
from tests.mosquitto_support import Mosquitto, broker
from tests.notify_support import NOON, ZONE, message, tools


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with broker(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


def channel_to(port: int, **config: Any) -> MqttChannel:
    settings = {"type": "mqtt", "host": "127.0.0.1", "port": port, **config}
    return MqttConfig.model_validate(settings).build("bus", tools())


async def retained(port: int) -> dict[str, Any]:
    """All retained states, up to a mark that we publish ourselves."""
    found: dict[str, Any] = {}
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("toba/v1/#", qos=1)
        await client.publish("toba/v1/mark", b"", qos=1)
        async with asyncio.timeout(10):
            async for got in client.messages:
                if got.topic.value == "toba/v1/mark":
                    return found
                assert got.retain
                found[got.topic.value] = json.loads(bytes(got.payload))
    return found


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_who_subscribes_later_learns_the_latest_state_of_each_alert(
    server: Mosquitto, version: str
) -> None:
    channel = channel_to(server.port, version=version)
    await channel.send(message())
    await channel.send(message(tags={"device": "aq1", "sensor": "pm-2"}))
    await channel.send(message(id="9-0", after="resolved", value=40.0))
    await channel.send(trial("bus", language="id", zone=ZONE, now_ns=NOON))
    await channel.close()
    found = await retained(server.port)
    assert found.keys() == {
        "toba/v1/alerts/aq1/pm25_unhealthy/pm",
        "toba/v1/alerts/aq1/pm25_unhealthy/pm-2",
    }
    over = found["toba/v1/alerts/aq1/pm25_unhealthy/pm"]
    assert (over["active"], over["state"], over["value"]) == (0, "resolved", 40.0)
    firing = found["toba/v1/alerts/aq1/pm25_unhealthy/pm-2"]
    assert (firing["active"], firing["severity"]) == (1, "warning")
    assert firing["key"] == message().key


def test_no_name_can_leave_its_level_of_the_topic() -> None:
    odd = message(device="a/+b#", rule="r", tags={"device": "a", "ifname": "ge-0/0/1", "z": ""})
    assert topic("p", odd) == "p/a__b_/r/ge-0_0_1/_"


async def test_a_broker_that_is_gone_is_temporary(unused_tcp_port: int) -> None:
    with pytest.raises(TryAgain, match=r"MQTT broker 127\.0\.0\.1"):
        await channel_to(unused_tcp_port).send(message())


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_wrong_password_is_for_ever(tmp_path: Path, version: str) -> None:
    with broker(tmp_path, "allow_anonymous false\n") as closed:
        channel = channel_to(closed.port, version=version, username="hub", password="salah")
        with pytest.raises(NeverWorks) as error:
            await channel.send(message())
        assert "salah" not in str(error.value)


async def test_with_mqtt_5_an_access_list_that_refuses_the_topic_is_for_ever(
    tmp_path: Path,
) -> None:
    rights = tmp_path / "acl"
    rights.write_text("topic read toba/#\n")
    rights.chmod(0o600)
    with broker(tmp_path, f"acl_file {rights}\n") as closed:
        channel = channel_to(closed.port, version=5)
        with pytest.raises(NeverWorks, match="refused the message: Not authorized"):
            await channel.send(message())


async def test_a_broker_that_never_answers_is_temporary_and_no_socket_is_left_open() -> None:
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(99):
            pass
        writer.close()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as dead:
        port = dead.sockets[0].getsockname()[1]
        with pytest.raises(TryAgain):
            await channel_to(port, timeout_s=0.2).send(message())
        async with asyncio.timeout(10):
            await ended.wait()
        ended.clear()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await channel_to(port).send(message())
        async with asyncio.timeout(10):
            await ended.wait()


async def test_failures_leave_nothing_for_asyncio_to_complain_of(
    unused_tcp_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with broker(tmp_path, "allow_anonymous false\n") as closed, pytest.raises(NeverWorks):
        await channel_to(closed.port).send(message())
    with pytest.raises(TryAgain):
        await channel_to(unused_tcp_port).send(message())
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []
