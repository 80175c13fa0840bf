"""kill -9 of either process in the middle of ingest: what was acknowledged is stored once."""

from __future__ import annotations

import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tests.hub_support import Hub, mqtt, running, wait_for
from tests.mosquitto_support import Mosquitto

MESSAGES = 3000
SENSORS = 5


class Publisher:
    """QoS 1 publisher that knows which of its messages the broker acknowledged."""

    def __init__(self, port: int) -> None:
        self._mids: list[int] = []
        self._numbers: dict[int, int] = {}
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "publisher")
        self._client.max_inflight_messages_set(100)
        self._client.on_publish = lambda _client, _data, mid, *_more: self._mids.append(mid)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, number: int) -> None:
        """No time and no sequence number: only the hub's own care can tell a repetition."""
        topic = f"toba/v1/dlh/balige/aq{number % SENSORS + 1}/telemetry"
        sent = self._client.publish(topic, f'{{"m":{{"pm25":{number}.5}}}}', qos=1)
        self._numbers[sent.mid] = number

    def acknowledged(self) -> set[int]:
        """Numbers whose PUBACK came from the broker."""
        return {self._numbers[mid] for mid in list(self._mids)}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def stored(hub: Hub) -> list[float]:
    return [value for (value,) in hub.rows("SELECT pm25 FROM environment WHERE pm25 IS NOT NULL")]


@pytest.mark.parametrize("protocol", [5, 4])
def test_every_acknowledged_message_is_stored_once_through_kills(
    tmp_path: Path, protocol: int
) -> None:
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    try:
        with running(tmp_path / "hub", mqtt(broker.port, protocol=protocol)) as hub:
            subscribed = wait_for("the subscription", lambda: "SUBACK" in broker.log())
            assert subscribed
            publisher = Publisher(broker.port)
            kills = {"ingest": 0, "serve": 0}
            for number in range(MESSAGES):
                publisher.publish(number)
                if number % 500 == 250:
                    victim = "serve" if number % 1500 == 750 else "ingest"
                    time.sleep(0.05)
                    wait_for(f"{victim} to kill", lambda v=victim: hub.kill(v))
                    kills[victim] += 1
                time.sleep(0.001)
            wait_for(
                "the broker's acknowledgements", lambda: len(publisher.acknowledged()) == MESSAGES
            )
            publisher.close()
            assert kills["ingest"] >= 3
            assert kills["serve"] >= 2
            wait_for("the hub to recover", hub.healthy, 40)
            wait_for(
                "the store to have caught up",
                lambda: (
                    hub.get("/api/v1/health")["backlog"]["forward"] <= 3
                    and "environment" in str(hub.get("/api/v1/devices"))
                ),
                40,
            )
            time.sleep(1.5)
        values = stored(hub)
        expected = sorted(number + 0.5 for number in publisher.acknowledged())
        missing = sorted(set(expected) - set(values))
        assert not missing, f"{len(missing)} acknowledged and not stored: {missing[:5]}"
        twice = len(values) - len(set(values))
        assert not twice, f"{twice} stored twice"
    finally:
        broker.stop()
