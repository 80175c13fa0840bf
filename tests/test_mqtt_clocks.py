"""Device clocks: what is believed, what the receive time replaces, and whom old readings page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from collectors.mqtt import deviceclock
from hub.api import Quality, Reading
from tests.mqtt_cases import Bench, Said, sample_topics
from tests.rules_support import PM, START, Hub, S

NOW = 1_790_000_000 * S
GOOD, CLOCK, LATE = 0, int(Quality.CLOCK), int(Quality.LATE)
OWN = [{"template": "toba/v1/{opd}/{site}/{device}/telemetry", "parser": "telemetry"}]
LATER = NOW - START
"""The rules' tests live in 2023, when no clock of a device was ever set."""
WIB = timezone(timedelta(hours=7))


def iso(offset_s: float, zone: timezone = UTC) -> str:
    return datetime.fromtimestamp(NOW / S + offset_s, zone).isoformat()


@pytest.mark.parametrize(
    ("stamp", "time_ns", "quality"),
    [
        (None, NOW, GOOD),
        (1_789_999_990, NOW - 10 * S, GOOD),
        (1_789_999_990_000, NOW - 10 * S, GOOD),
        (1_789_999_990_000_000, NOW - 10 * S, GOOD),
        (1_789_999_990_000_000_001, NOW - 10 * S + 1, GOOD),
        (1_789_999_990.25, NOW - 10 * S + 250_000_000, GOOD),
        (iso(-10), NOW - 10 * S, GOOD),
        (iso(-10, WIB), NOW - 10 * S, GOOD),
        ("2026-09-21T14:13:10.123456789Z", NOW - 10 * S + 123_456_000, GOOD),
        (12, NOW, CLOCK),  # 1970: twelve seconds after power came
        (0, NOW, CLOCK),
        (-5, NOW, CLOCK),
        (1_789_999_990 - 946_684_800, NOW, CLOCK),  # MicroPython on ESP32 counts from 2000
        (4_294_967_295, NOW, CLOCK),  # 2106: an unsigned counter gone round
        (1_790_000_000 + 599, NOW + 599 * S, GOOD),
        (1_790_000_000 + 601, NOW, CLOCK),
        (1_790_000_000 - 599, NOW - 599 * S, GOOD),
        (1_790_000_000 - 601, NOW - 601 * S, LATE),
        ("2026-09-21T14:13:10", NOW, CLOCK),  # no zone: nobody knows which moment
        ("yesterday", NOW, CLOCK),
        (True, NOW, CLOCK),
        (float("nan"), NOW, CLOCK),
        ([1], NOW, CLOCK),
    ],
)
def test_a_stamp_is_told_by_its_size_and_the_receive_time_is_the_authority(
    stamp: object, time_ns: int, quality: int
) -> None:
    assert deviceclock.judge(stamp, NOW) == (time_ns, quality)


@pytest.mark.parametrize(
    ("stamp", "time_ns", "quality"),
    [
        (1_789_990_000, NOW - 10_000 * S, LATE),
        (1_789_999_999, NOW - S, LATE),  # kept for a second only: it tells of the past all the same
        (1_789_990_000 - 946_684_800, NOW - 10_000 * S, LATE | CLOCK),
        (12, NOW, LATE | CLOCK),  # no time of its own can be saved
        (None, NOW, LATE),
    ],
)
def test_a_buffered_reading_keeps_its_own_time(stamp: object, time_ns: int, quality: int) -> None:
    assert deviceclock.judge(stamp, NOW, buffered=True) == (time_ns, quality)


def test_a_clock_that_was_never_set_is_not_believed_even_when_it_looks_right() -> None:
    assert deviceclock.judge(1_789_999_990, NOW, synced=False) == (NOW, CLOCK)


async def test_what_was_kept_offline_lands_at_its_own_time_and_pages_nobody() -> None:
    """An hour of smoke that the device kept, then the same live: only that one is an alert."""
    bench, hub = Bench(OWN, {"aq1": "aq1"}), Hub(PM)
    old = [(START + LATER) // S - 3600 + 60 * minute for minute in range(60)]
    for stamp in old:
        payload = f'{{"ts":{stamp},"buf":true,"m":{{"pm25":300}}}}'
        (reading,) = take(bench, payload, hub.now + LATER)
        assert reading.time_ns == stamp * S
        hub.until((hub.now - START) / S + 1)
        feed(hub, reading)
    assert hub.said == []
    assert hub.states() == {}
    for _ in range(8):
        hub.until((hub.now - START) / S + 10)
        (reading,) = take(bench, '{"m":{"pm25":300}}', hub.now + LATER)
        feed(hub, reading)
    assert [t.after for t in hub.said] == ["pending", "firing"]


async def test_a_wrong_clock_neither_hides_nor_delays_an_alert() -> None:
    bench, hub = Bench(OWN, {"aq1": "aq1"}), Hub(PM)
    for _ in range(8):
        hub.until((hub.now - START) / S + 10)
        (reading,) = take(bench, '{"ts":86,"m":{"pm25":300}}', hub.now + LATER)
        assert reading.quality == CLOCK
        feed(hub, reading)
    assert hub.states() == {"pm:aq1": "firing"}


async def test_a_gap_in_a_devices_counter_is_a_loss_of_that_device() -> None:
    bench = Bench([*OWN, *sample_topics()], {"aq1": "aq1", "aq2": "aq2"})
    lost: dict[str, list[object]] = {"aq1": [], "aq2": []}
    steps = [("aq1", 1), ("aq2", 70), ("aq1", 2), ("aq2", 74), ("aq1", 5), ("aq1", 4), ("aq1", 6)]
    for device, seq in steps:
        for reading in take(bench, f'{{"seq":{seq},"m":{{"t":20}}}}', NOW, device):
            if "messages_lost" in reading.fields:
                assert reading.series.key == f"device,device={device},probe=mqtt"
                lost[device].append(reading.fields["messages_lost"])
    assert lost == {"aq1": [2], "aq2": [3]}
    assert bench.host.counts["sequence_lost"] == 5


async def test_buffered_and_retained_messages_do_not_move_the_counter() -> None:
    bench = Bench(OWN, {"aq1": "aq1"})
    take(bench, '{"seq":10,"m":{"t":20}}', NOW)
    take(bench, '{"seq":3,"buf":true,"ts":1789990000,"m":{"t":20}}', NOW)
    take(bench, '{"seq":90,"m":{"t":20}}', NOW, retained=True)
    (reading,) = take(bench, '{"seq":11,"m":{"t":20}}', NOW)
    assert "messages_lost" not in reading.fields
    assert bench.host.counts["sequence_lost"] == 0


def take(
    bench: Bench, payload: str, now_ns: int, device: str = "aq1", *, retained: bool = False
) -> list[Reading]:
    topic = f"toba/v1/dlh/balige/{device}/telemetry"
    came = bench.take(Said(topic, payload.encode(), retained, [], [], []), now_ns)
    assert came.errors == []
    return [item for item in came.items if isinstance(item, Reading)]


def feed(hub: Hub, reading: Reading) -> None:
    """Into the rules, as the engine does it."""
    hub.id += 1
    moved = reading._replace(time_ns=reading.time_ns - LATER)
    hub.said += hub.watch.observe(hub.id, [moved], hub.now)
