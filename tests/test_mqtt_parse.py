"""The MQTT collector's pure parts: templates, clocks, counters, acknowledging, settings."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collectors.mqtt import deviceclock
from collectors.mqtt.backoff import Backoff
from collectors.mqtt.config import Broker, MqttConfig, Tls
from collectors.mqtt.delivery import Acknowledger, Delivery
from collectors.mqtt.devices import Devices
from collectors.mqtt.fields import ALIASES, CANONICAL
from collectors.mqtt.parse import PARSERS, place
from collectors.mqtt.sequence import MODULUS, Sequences
from collectors.mqtt.topics import Template, TemplateError, widest
from hub.api import MOLAR_MASS, BadItem, NeverWorks, Quality, Reading, TryAgain, micrograms
from hub.manifest import load
from tests.collector_support import FakeHost, RecordingEmit

NOW = 1_790_000_000_000_000_000
FOLDER = Path(__file__).parents[1] / "collectors" / "mqtt"


@dataclass
class Sent:
    """A message as a transport hands it over."""

    topic: str
    payload: bytes
    packet_id: int | None = 1
    qos: int = 1
    retain: bool = False
    duplicate: bool = False


def test_a_template_is_a_filter_and_names_levels() -> None:
    template = Template("toba/v1/{opd}/{site}/{device}/telemetry")
    assert template.filter == "toba/v1/+/+/+/telemetry"
    assert template.match("toba/v1/dlh/balige/aq1/telemetry") == {
        "opd": "dlh", "site": "balige", "device": "aq1",
    }  # fmt: skip
    assert template.match("toba/v1/dlh/balige/aq1/telemetry/more") is None
    assert template.match("toba/v1/dlh//aq1/telemetry") is None


def test_a_template_may_end_in_any_levels() -> None:
    assert Template("a/{device}/#").match("a/x/y/z") == {"device": "x", "rest": "y/z"}
    assert Template("a/{device}/#").match("a/x") == {"device": "x", "rest": ""}, "MQTT 5, 4.7.1.2"
    assert Template("a/+/{device}").match("a/1.5/x") == {"device": "x"}


@pytest.mark.parametrize(
    ("filters", "wide"),
    [
        (["a/5/+/#", "a/+/#"], ["a/+/#"]),
        (["a/b", "a/+", "a/b"], ["a/+"]),
        (["a/#", "a"], ["a/#"]),
        (["a/+/c", "a/b/+"], ["a/+/c", "a/b/+"]),
        (["+/b", "#"], ["#"]),
        (["a/+", "a/#"], ["a/#"]),
        (["a/b/c", "a/b"], ["a/b/c", "a/b"]),
    ],
)
def test_no_message_comes_twice_because_one_filter_covers_another(
    filters: list[str], wide: list[str]
) -> None:
    assert widest(filters) == wide


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "characters"),
        ("a/b", "no level is {device}"),
        ("a/{device}/{device}", "twice"),
        ("a/{devise}", "{devise}"),
        ("a/#/{device}", "'#'"),
        ("a/x{device}", "'x{device}'"),
        ("/".join(["{device}"] + ["+"] * 20), "levels"),
    ],
)
def test_a_bad_template_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(TemplateError, match=complaint.replace("{", r"\{")):
        Template(text)


def test_every_name_that_payloads_use_becomes_a_field_of_the_manifest() -> None:
    promised = load(FOLDER / "manifest.toml").measurements["environment"].fields
    assert {name: spec.unit for name, spec in promised.items()} == CANONICAL
    assert {rule.field for rule in ALIASES.values()} == set(CANONICAL)


@given(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=50), st.booleans()),
       st.booleans(), st.booleans())  # fmt: skip
def test_no_clock_makes_a_time_before_2024_or_far_ahead(
    stamp: object, buffered: bool, synced: bool
) -> None:
    time_ns, quality = deviceclock.judge(stamp, NOW, buffered=buffered, synced=synced)
    assert deviceclock.OLDEST_NS <= time_ns <= NOW + deviceclock.AHEAD_NS
    if not buffered and time_ns < NOW - deviceclock.LATE_NS:
        assert quality & Quality.LATE


@given(st.binary(max_size=200), st.booleans(), st.sampled_from(sorted(PARSERS)))
def test_no_payload_breaks_a_parser(payload: bytes, retained: bool, name: str) -> None:
    refused = ""
    try:
        PARSERS[name](place("d"), payload, retained, NOW)
    except BadItem as error:
        refused = str(error)
    assert not refused or ": " in refused


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["m", "ts", "seq", "up", "buf", "sensor", "t", "pm25", "rssi", "state"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@given(json_like, st.booleans(), st.sampled_from(sorted(PARSERS)))
def test_no_shape_of_json_breaks_a_parser(said: Any, retained: bool, name: str) -> None:
    payload = json.dumps(said).encode("utf-8", "surrogatepass")
    try:
        items, seq, _ = PARSERS[name](place("d"), payload, retained, NOW)
    except BadItem:
        return
    assert not (retained and seq is not None)
    for item in items:
        for value in getattr(item, "fields", {}).values():
            assert isinstance(value, (int, float))
            assert abs(value) <= 1e15


def test_lost_messages_are_counted_over_the_wrap_and_not_at_a_new_counter() -> None:
    counter = Sequences()
    steps = [(5, 0), (6, 0), (9, 2), (9, 0), (8, 0), (10, 0)]
    assert [counter.lost("a", seq) for seq, _ in steps] == [lost for _, lost in steps]
    wrap = Sequences()
    assert [wrap.lost("a", s) for s in (MODULUS - 2, MODULUS - 1, 1)] == [0, 0, 1]
    fresh = Sequences()
    assert [fresh.lost("a", s) for s in (500_000, 0, 1, 3)] == [0, 0, 0, 1]


def test_waiting_grows_to_its_limit_is_random_and_starts_again() -> None:
    ceilings: list[float] = []

    def note(low: float, high: float) -> float:
        ceilings.append(high)
        return random.Random(1).uniform(low, high)

    backoff = Backoff(0.5, 30, note)
    waits = [backoff.next_s() for _ in range(9)]
    assert ceilings == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert all(0 <= wait <= 30 for wait in waits)
    backoff.reset()
    backoff.next_s()
    assert ceilings[-1] == 0.5


class Acks:
    """What an acknowledger did."""

    def __init__(self) -> None:
        self.writes: list[list[int]] = []
        self.failures: list[Exception] = []
        self.under_test = Acknowledger(
            lambda messages: self.writes.append([m.packet_id or 0 for m in messages]),
            self.failures.append,
        )

    def add(self, packet_id: int, *receipts: asyncio.Future[object]) -> None:
        self.under_test.add([Sent("t", b"", packet_id)], receipts)


async def test_acknowledgements_keep_the_order_of_arrival_and_share_a_write() -> None:
    first: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    second: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    acks = Acks()
    waits = [(1, [first]), (2, []), (3, [second, first]), (4, [second]), (5, [])]
    for packet_id, receipts in waits:
        acks.add(packet_id, *receipts)
    second.set_result(None)
    await asyncio.sleep(0)
    assert acks.writes == []
    first.set_result(None)
    await asyncio.sleep(0)
    assert acks.writes == [[1, 2, 3, 4, 5]]
    assert acks.under_test.waiting == 0


async def test_a_failed_receipt_ends_acknowledging_and_leaves_the_rest() -> None:
    loop = asyncio.get_running_loop()
    good, bad, later = loop.create_future(), loop.create_future(), loop.create_future()
    acks = Acks()
    for packet_id, receipt in [(1, good), (2, bad), (3, later)]:
        acks.add(packet_id, receipt)
    bad.set_exception(TryAgain("disk full"))
    good.set_result(None)
    await asyncio.sleep(0)
    assert acks.writes == [[1]]
    assert [str(error) for error in acks.failures] == ["disk full"]
    later.set_exception(TryAgain("disk full"))
    await asyncio.sleep(0)


async def test_ending_a_connection_does_not_cancel_what_the_hub_writes() -> None:
    receipt: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    acks = Acks()
    acks.add(1, receipt)
    acks.under_test.close()
    assert not receipt.cancelled()
    receipt.set_result(None)
    await asyncio.sleep(0)
    assert acks.writes == []


def delivery(host: FakeHost, emit: RecordingEmit, max_unknown: int = 2) -> Delivery:
    return Delivery(Broker(), Devices({"aq1": "aq1"}, max_unknown), host, emit)


async def test_unknown_devices_are_stored_until_there_are_too_many() -> None:
    host, emit = FakeHost(), RecordingEmit()
    line = delivery(host, emit)
    for number in range(4):
        topic = f"toba/v1/x/y/new{number % 3}/telemetry"
        line.take([Sent(topic, b'{"m":{"t":1}}', number + 1)], NOW)
    assert [p.device for p in emit.proposals] == ["new0", "new1"]
    assert len(emit.readings) == 3
    assert [reason for reason, _, _ in host.refused] == ["unknown_device"]


async def test_a_device_may_not_have_endless_sensors() -> None:
    host, emit = FakeHost(), RecordingEmit()
    line = delivery(host, emit)
    for number in range(70):
        payload = b'{"sensor":"s%d","m":{"t":1}}' % number
        line.take([Sent("toba/v1/x/y/aq1/telemetry", payload)], NOW)
    assert {reason for reason, _, _ in host.refused} == {"too_many_sensors"}
    assert len(emit.readings) < 70


async def test_a_parser_that_fails_costs_one_message_and_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(PARSERS, "telemetry", broken)  # type: ignore[arg-type]
    host, emit = FakeHost(), RecordingEmit()
    before = delivery(host, emit).take([Sent("toba/v1/x/y/aq1/telemetry", b"{}")], NOW)
    assert before == (), "it may be acknowledged at once"
    assert host.refused[0][0] == "parser_failed"
    assert host.log.events("error") == ["BUG: the parser failed"]


async def test_a_message_of_quality_zero_is_handed_over_without_a_name() -> None:
    host, emit = FakeHost(), RecordingEmit()
    message = Sent("toba/v1/x/y/aq1/telemetry", b'{"m":{"t":1}}', None, 0)
    delivery(host, emit).take([message], NOW)
    assert len(emit.readings) == 1
    assert emit.redeliveries == []


async def test_a_message_that_comes_again_waits_for_the_receipt_of_the_first_one() -> None:
    host = FakeHost()
    emit = RecordingEmit(host)
    emit.hold()
    line = delivery(host, emit)
    topic = "toba/v1/x/y/aq1/telemetry"
    first = Sent(topic, b'{"m":{"t":1}}', 7)
    (earlier,) = line.take([first], NOW)
    emit.sync()
    again = Sent(topic, b'{"m":{"t":1}}', 7, duplicate=True)
    other = Sent(topic, b'{"m":{"t":2}}', 8)
    before = line.take([again, other], NOW)
    assert before[0] is earlier, "its own batch may fail where a later one succeeds"
    assert len(before) == 2
    assert [r.fields["temperature"] for r in emit.readings] == [1.0, 2.0]


async def test_a_packet_id_that_is_used_again_is_another_message() -> None:
    host = FakeHost()
    emit = RecordingEmit(host)
    line = delivery(host, emit)
    for topic, payload in [
        ("toba/v1/x/y/aq1/telemetry", b'{"m":{"t":1}}'),
        ("toba/v1/x/y/aq1/telemetry", b'{"m":{"t":2}}'),
        ("toba/v1/x/z/aq1/telemetry", b'{"m":{"t":2}}'),
    ]:
        line.take([Sent(topic, payload, 7, duplicate=True)], NOW)
    assert len(emit.readings) == 3


def test_the_sample_in_the_readme_is_valid_and_is_the_sample_file() -> None:
    sample = (FOLDER / "sample.yaml").read_text(encoding="utf-8")
    assert sample in (FOLDER / "README.md").read_text(encoding="utf-8")
    config = MqttConfig.model_validate(yaml.safe_load(sample)["collectors"]["mqtt"])
    assert [broker.protocol for broker in config.brokers] == [5, 4]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"brokers": [{"topics": [{"template": "a/b"}]}]}, "no level is {device}"),
        ({"brokers": [{}, {"port": 1884}]}, "same name"),
        ({"brokers": [{"name": "a"}, {"name": "b"}]}, "end each other"),
        ({"brokers": [{"password": "x"}]}, "needs username"),
        ({"brokers": [{"protocol": 3}]}, "4 or 5"),
        ({"brokers": [{"topics": [{"template": "a/{device}", "fields": {"x": "y"}}]}]}, "none of"),
        ({"brokres": []}, "Extra"),
    ],
)
def test_mistakes_in_settings_are_found_without_the_network(
    settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint.replace("{", r"\{")):
        MqttConfig.model_validate(settings)


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(NeverWorks, match=r"missing\.pem"):
        Tls(ca_file=tmp_path / "missing.pem").context()


def test_a_password_is_never_shown() -> None:
    shown = repr(MqttConfig.model_validate({"brokers": [{"username": "u", "password": "geheim"}]}))
    assert "geheim" not in shown


@pytest.mark.parametrize(
    ("gas", "factor"), [("so2", 2.619), ("no2", 1.880), ("o3", 1.962), ("co", 1.145)]
)
def test_gases_are_converted_at_25_degrees_and_one_atmosphere(gas: str, factor: float) -> None:
    """The factors as published, to their three decimals."""
    assert micrograms(gas, 1.0) == pytest.approx(factor, abs=0.0006)
    assert micrograms(gas, 40.0) == pytest.approx(40 * micrograms(gas, 1.0))


@given(st.sampled_from(sorted(MOLAR_MASS)), st.floats(0, 1e6))
def test_a_gas_in_ppb_is_kept_as_it_came_and_converted_beside_it(gas: str, ppb: float) -> None:
    payload = json.dumps({"ts": NOW // 1_000_000_000, "m": {f"{gas}_ppb": ppb}}).encode()
    (reading,), _, faults = PARSERS["telemetry"](place("aq1"), payload, False, NOW)
    assert isinstance(reading, Reading)
    assert not faults
    assert reading.fields[f"{gas}_ppb"] == ppb
    assert reading.fields[gas] == pytest.approx(ppb * MOLAR_MASS[gas] / 24.465)
