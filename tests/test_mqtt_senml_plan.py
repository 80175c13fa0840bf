"""What is read by a plan is what would be read record by record, whatever comes in between."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.mqtt.config import Topic
from collectors.mqtt.conventions import CONVENTIONS
from collectors.mqtt.conventions.base import Heard, Outcome
from collectors.mqtt.conventions.senml import PLANS, read
from collectors.mqtt.delivery import rules_of
from collectors.mqtt.devices import Devices
from collectors.mqtt.parse import Place, place
from hub.api import BadItem
from tests.mqtt_cases import RECEIVED_NS
from tests.wire_support import cbor_of

FIELDS = rules_of(Topic(template="senml/#", parser="senml"))
DEVICES = Devices({"aq1": "aq1", "buoy": "do-balige"}, 500)


def locate(name: str, sensor: str) -> Place:
    device, known = DEVICES.who(name)
    return place(device, sensor, known=known, fields=FIELDS, sensors=DEVICES.sensors(device))


def heard(payload: bytes, device: str = "", retained: bool = False) -> Heard:
    where = place(device or "-", fields=FIELDS)._replace(device=device)
    return Heard(where, "senml/x", "x", payload, retained, RECEIVED_NS)


def outcome(payload: bytes, memory: Any, device: str = "") -> Outcome | str:
    try:
        return read(heard(payload, device), memory, locate)
    except BadItem as error:
        return str(error)


numbers = st.one_of(
    st.floats(), st.integers(0, 2**64 - 1), st.integers(24, 255), st.sampled_from([100, 101.0, 102])
)
names = st.sampled_from(["pm25", "temperature", "humidity", "out/temperature", "no2", "x"])
units = st.sampled_from(["ug/m3", "Cel", "%RH", "ppb", "K"])
record = st.fixed_dictionaries({"0": names, "2": numbers}, optional={"1": units, "6": numbers})
first = st.fixed_dictionaries(
    {"-2": st.sampled_from(["aq1/", "buoy/", "new/"])},
    optional={"-3": st.one_of(numbers, st.just(RECEIVED_NS // 10**9)), "-4": units},
)
packs = st.builds(
    lambda base, records: [{**base, **records[0]}, *records[1:]],
    first,
    st.lists(record, min_size=1, max_size=4),
)


@st.composite
def alike(draw: st.DrawFn) -> list[bytes]:
    """Packs of one shape with other numbers, some with a byte changed."""
    pack = draw(packs)
    found = []
    for _ in range(4):
        again = [
            {k: draw(numbers) if k in ("2", "-3", "6") and draw(st.booleans()) else v
             for k, v in one.items()}
            for one in pack
        ]  # fmt: skip
        payload = bytearray(cbor_of(json.dumps(again)))
        if draw(st.integers(0, 3)) == 0:
            payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
        found.append(bytes(payload))
    return found


@given(alike(), st.sampled_from(["", "aq1"]))
def test_a_plan_gives_what_reading_gives(payloads: list[bytes], device: str) -> None:
    memory: dict[Any, Any] = {}
    for payload in [*payloads, *payloads]:
        assert repr(outcome(payload, memory, device)) == repr(outcome(payload, {}, device))


def pack(pm25: float, temperature: float, name: str = "aq1") -> bytes:
    return cbor_of(json.dumps([
        {"-2": f"{name}/", "-3": RECEIVED_NS // 10**9 - 5, "0": "pm25", "1": "ug/m3", "2": pm25},
        {"0": "t", "1": "K", "2": temperature},
    ]))  # fmt: skip


def test_the_second_pack_of_a_device_is_read_by_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    memory: dict[Any, Any] = {}
    outcome(pack(12.5, 294.15), memory)
    monkeypatch.setattr("collectors.mqtt.conventions.senml._records", None)  # never asked
    found = outcome(pack(13.5, 300.15), memory)
    assert isinstance(found, Outcome)
    (reading,) = found.items
    assert reading.fields == {"pm25": 13.5, "temperature": pytest.approx(27.0)}  # type: ignore[union-attr]
    assert reading.time_ns == RECEIVED_NS - 5 * 10**9  # type: ignore[union-attr]


def test_another_name_of_the_same_length_is_no_case_for_the_plan() -> None:
    memory: dict[Any, Any] = {}
    outcome(pack(12.5, 294.15, "aq1"), memory)
    found = outcome(pack(12.5, 294.15, "aq9"), memory)
    assert isinstance(found, Outcome)
    assert {item.series.device for item in found.items} == {"aq9"}  # type: ignore[union-attr]


def test_what_no_sensor_measures_is_refused_as_ever() -> None:
    memory: dict[Any, Any] = {}
    outcome(pack(12.5, 294.15), memory)
    for wild in (math.nan, math.inf, 1e300):
        payload = pack(12.5, 294.15).replace(struct.pack(">d", 12.5), struct.pack(">d", wild))
        assert "not_finite" in str(outcome(payload, memory))
    assert isinstance(outcome(pack(14.5, 294.15), memory), Outcome)


def test_a_topic_of_ever_other_packs_is_planned_a_few_times_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []
    monkeypatch.setattr(
        "collectors.mqtt.conventions.senml._plan", lambda *given: made.append(given)
    )
    memory: dict[Any, Any] = {}
    for _ in range(100):
        outcome(pack(12.5, 294.15), memory)
    assert len(made) == PLANS
    assert CONVENTIONS["senml"].memory() == {}
