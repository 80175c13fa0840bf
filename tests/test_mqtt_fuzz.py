"""A short run of the fuzzer; `make fuzz` runs a million."""

from __future__ import annotations

import pytest

from collectors.mqtt.conventions import tts
from tests.fuzz_mqtt import MOST_MS, Fuzzer, fuzz
from tests.mqtt_cases import Publish


def test_no_payload_breaks_or_stalls_a_parser_and_every_refusal_has_a_reason() -> None:
    found = fuzz(5_000, seed=7).found
    assert found.wrong == []
    assert found.count == 5_000
    assert found.readings > 100
    assert len(found.refused) > 15


async def test_the_fuzzer_sees_a_parser_that_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tts, "strongest", broken)
    fuzzer = Fuzzer()
    topic = "v3/lake@ttn/devices/dev1/up"
    fuzzer.feed(Publish(topic, b'{"end_device_ids":{},"uplink_message":{}}'))
    assert "parser_failed" in fuzzer.found.wrong[0]
    assert fuzzer.found.slowest_ms < 100 * MOST_MS
