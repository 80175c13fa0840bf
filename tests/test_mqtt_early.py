"""Values that a real mosquitto delivers before what explains them: held, then read again."""

from __future__ import annotations

import asyncio
import json

import pytest

from collectors.mqtt import early
from collectors.mqtt.early import Early
from hub.api import TryAgain
from tests.collector_support import until
from tests.mosquitto_support import Mosquitto
from tests.test_mqtt_transport import listening, say

HOMIE = {"template": "homie/{device}/#", "parser": "homie"}
DISCOVERY = [
    {"template": "ha/#", "parser": "homeassistant"},
    {"template": "homeassistant/#", "parser": "homeassistant"},
]
CONFIG = json.dumps(
    {"stat_t": "ha/aq1/t", "dev_cla": "temperature", "unit_of_meas": "°C", "dev": {"ids": ["aq1"]}}
)
ACK = "Received PUBACK from toba-hub"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again much sooner; as often."""
    monkeypatch.setattr(early, "EVERY_S", 0.05)


async def test_a_retained_value_that_comes_before_its_datatype_is_read(
    server: Mosquitto, protocol: int
) -> None:
    await say(server, "20.5", "homie/aq1/air/temperature", "-r")
    await say(server, "float", "homie/aq1/air/temperature/$datatype", "-r")
    async with listening(server.port, protocol, topics=[HOMIE]) as line:
        await until(lambda: line.values("temperature") == [20.5])
        await until(lambda: server.log().count(ACK) == 2, "acknowledged")
        sent = [text for text in server.log().splitlines() if "Sending PUBLISH to toba" in text]
        assert "$datatype" in sent[1], "or this shows nothing"
        assert line.host.refused == []


async def test_what_was_queued_while_the_hub_was_away_waits_for_its_config(
    server: Mosquitto, protocol: int
) -> None:
    """A start empties the memory; the session's messages come before what is retained."""
    await say(server, CONFIG, "homeassistant/sensor/aq1/t/config", "-r")
    async with listening(server.port, protocol, topics=DISCOVERY) as line:
        await line.stop()
        for number in range(3):
            await say(server, str(20 + number), "ha/aq1/t")
        await line.start()
        await until(lambda: line.values("temperature") == [20.0, 21.0, 22.0])
        assert [r.quality for r in line.emit.readings] == [0, 0, 0]
        assert line.host.refused == []


async def test_nothing_is_acknowledged_before_its_receipt_when_it_was_held(
    server: Mosquitto, protocol: int
) -> None:
    await say(server, "20.5", "homie/aq1/air/temperature", "-r")
    await say(server, "float", "homie/aq1/air/temperature/$datatype", "-r")
    async with listening(server.port, protocol, topics=[HOMIE]) as line:
        line.emit.hold()
        await until(lambda: line.values("temperature") == [20.5])
        assert ACK not in server.log()
        line.emit.release()
        await until(lambda: server.log().count(ACK) == 2, "acknowledged")


async def test_what_nothing_explains_in_time_is_refused_and_acknowledged(
    server: Mosquitto, protocol: int
) -> None:
    async with listening(server.port, protocol, topics=[HOMIE]) as line:
        await say(server, "20.5", "homie/aq1/air/temperature")
        await until(lambda: [reason for reason, _, _ in line.host.refused] == ["no_datatype"])
        await until(lambda: ACK in server.log(), "acknowledged")
        await asyncio.sleep(early.EVERY_S * early.TRIES)  # the time is over
        await say(server, "21.5", "homie/aq1/air/temperature")
        await until(lambda: len(line.host.refused) == 2)


async def test_a_receipt_that_fails_fails_what_was_held() -> None:
    receipts = [asyncio.get_running_loop().create_future() for _ in range(2)]
    handed: list[object] = []

    def again(held: object) -> asyncio.Future[None]:
        handed.append(held)
        return receipts[len(handed) - 1]

    held: Early[str] = Early(again)
    assert not held.hold("too late", 1), "no connection began"
    held.connected()
    assert held.hold("a", 1)
    first = held.done
    assert first is not None
    await until(lambda: handed == [["a"]])
    assert not first.done()
    assert held.done is None, "what comes now need not wait"
    receipts[0].set_exception(TryAgain("disk full"))
    await until(first.done)
    assert isinstance(first.exception(), TryAgain)


async def test_no_more_is_held_than_a_bounded_number_of_messages_and_bytes() -> None:
    held: Early[int] = Early(lambda _: None)
    held.connected()
    assert all(held.hold(number, 1) for number in range(early.MOST))
    assert not held.hold(0, 1)
    held = Early(lambda _: None)
    held.connected()
    assert held.hold(0, early.MOST_BYTES)
    assert not held.hold(0, 1)
