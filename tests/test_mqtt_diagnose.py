"""`toba-hub doctor` on brokers: a good one, one that lost messages, one that is not there."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from collectors.mqtt.collector import MqttCollector
from collectors.mqtt.config import MqttConfig
from hub.api import Check
from tests.mosquitto_support import broker, free_port


async def examine(port: int) -> dict[str, Check]:
    config = MqttConfig.model_validate({"brokers": [{"port": port, "connect_timeout_s": 2}]})
    found = await MqttCollector.diagnose(config, ())
    return {check.what.partition(": ")[2] or "login": check for check in found}


async def test_a_good_broker_is_good_and_has_lost_nothing(tmp_path: Path) -> None:
    with broker(tmp_path, "sys_interval 1") as server:
        found = await examine(server.port)
    assert {name: check.level for name, check in found.items()} == {
        "login": "good",
        "losses": "good",
    }
    assert "mosquitto version" in found["login"].found


async def test_a_broker_that_threw_messages_away_is_found_out(tmp_path: Path) -> None:
    with broker(tmp_path, "sys_interval 1\nmax_queued_messages 1") as server:
        port = str(server.port)
        words = ["-h", "127.0.0.1", "-p", port, "-q", "1", "-t", "x"]
        # A session that is away, for which the broker must keep messages.
        subprocess.run(["mosquitto_sub", *words, "-c", "-i", "away", "-E"], check=True, timeout=10)
        for _ in range(5):
            subprocess.run(["mosquitto_pub", *words, "-m", "1"], check=True, timeout=10)
        # The broker tells of itself once a second.
        found = await examine(server.port)
        for _ in range(50):
            if found["losses"].level == "warn":
                break
            await asyncio.sleep(0.1)
            found = await examine(server.port)
    assert found["losses"].level == "warn"
    assert "thrown away" in found["losses"].found
    assert "max_queued_messages" in found["losses"].remedy


async def test_a_broker_that_is_not_there_is_bad_and_says_what_to_look_at() -> None:
    (check,) = (await examine(free_port())).values()
    assert check.level == "bad"
    assert "port" in check.remedy
