"""A short `make chaos`, and the proof that it would notice: broken hubs must not pass it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hub.api import Redelivery
from hub.journal.record import Class, Kind, pack
from hub.problems import Misconfigured
from hub.records import pack_readings
from tests.chaos import limits, order, points
from tests.chaos.drivers import Death
from tests.chaos.judge import blame
from tests.chaos.order import Order, calls, packet_ids, pubacks
from tests.chaos.run import Plan, run


def test_nothing_is_lost_or_repeated_through_kills_at_every_point(tmp_path: Path) -> None:
    verdict = run(tmp_path, Plan(hits=1, kills=4))
    assert verdict.good, "\n".join(verdict.problems)
    assert all(verdict.hits()[point] >= 1 for point in points.INGEST + points.SERVE)
    assert verdict.numbers["redelivered"] > 0
    assert verdict.numbers["outages"] > 0


def test_a_run_that_can_t_begin_leaves_no_broker_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOBA_NONSENSE", "1")
    with pytest.raises(Misconfigured, match="no such setting"):
        run(tmp_path, Plan(hits=1))
    [conf] = (tmp_path / "broker").glob("mosquitto-*.conf")
    port = int(conf.stem.partition("-")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_a_hub_that_acknowledges_before_the_fsync_is_found_to_lose(tmp_path: Path) -> None:
    verdict = run(tmp_path, _broken("ack_before_fsync", "before_fsync", "before_puback"))
    assert verdict.numbers["journal_lost"] > 0


def test_a_hub_that_forgets_what_it_did_is_found_to_lose_and_to_repeat(tmp_path: Path) -> None:
    """Three mistakes in one hub, each of which another count must show."""
    plan = _broken(
        "no_redelivery+write_behind+skip_tail",
        *("after_fsync", "before_puback", "sent_not_marked", "snapshot_half_written"),
    )
    verdict = run(tmp_path, plan)
    assert verdict.numbers["journal_twice"] > 0
    assert verdict.numbers["store_lost"] > 0
    assert verdict.numbers["transitions_lost"] > 0


def _broken(mutant: str, *named: str) -> Plan:
    return Plan(hits=3, kills=2, rate=3_000, patience_s=2.0, mutant=mutant, points=named)


def test_no_puback_leaves_before_its_sync_has_returned(tmp_path: Path) -> None:
    found = order.run(tmp_path, messages=150)
    assert found.good, "\n".join(found.problems)
    assert found.acknowledged > 150


def test_a_hub_without_fsync_is_found_by_its_system_calls(tmp_path: Path) -> None:
    assert order.run(tmp_path, "no_fsync", messages=20).problems


def test_what_another_process_wrote_is_synced_before_it_is_acknowledged(tmp_path: Path) -> None:
    found = order.run_resumed(tmp_path)
    assert found.good, "\n".join(found.problems)


def test_messages_that_the_broker_dropped_are_reported_as_its_own(tmp_path: Path) -> None:
    losses = limits.run(tmp_path)
    assert losses.dropped_by_broker > 0
    assert losses.lost_by_us == 0
    assert losses.twice == 0


TRACE = r"""
7 10.1 pwrite64(5</j/1.seg>, "\x01", 1, 0) = 1
7 10.2 fdatasync(5</j/1.seg> <unfinished ...>
8 10.3 sendto(9<TCP:[[::1]:5->[::1]:1883]>, "\x40\x02\x00\x03\xc0\x00\x40\x02\x00\x04", 10, 0) = 10
7 10.4 <... fdatasync resumed>)         = 0
"""


def test_calls_that_wait_are_told_when_they_begin_and_when_they_return() -> None:
    found = [(call.name, call.time, call.returned) for call in calls(TRACE.splitlines())]
    assert found == [
        ("pwrite64", "10.1", None),
        ("pwrite64", "10.1", 1),
        ("fdatasync", "10.2", None),
        ("sendto", "10.3", None),
        ("sendto", "10.3", 10),
        ("fdatasync", "10.4", 0),
    ]
    data = next(call.data for call in calls(TRACE.splitlines()) if call.name == "sendto")
    assert list(pubacks(data)) == [3, 4]


@pytest.mark.parametrize(("sync_first", "wrong"), [(True, 0), (False, 1)])
def test_a_puback_is_right_only_when_the_sync_came_back_before(
    sync_first: bool, wrong: int
) -> None:
    written = _record(packet_id=4)
    assert packet_ids(written) == {4}
    hexed = "".join(f"\\x{byte:02x}" for byte in written)
    lines = [
        f'7 1.0 pwrite64(5</j/1.seg>, "{hexed}", {len(written)}, 0) = {len(written)}',
        "7 1.1 fdatasync(5</j/1.seg> <unfinished ...>",
        "7 1.3 <... fdatasync resumed>) = 0",
    ]
    puback = (
        r'8 1.2 sendto(9<TCP:[127.0.0.1:5->127.0.0.1:1883]>, "\x40\x02\x00\x04", 4, 0, NULL, 0) = 4'
    )
    lines.insert(3 if sync_first else 2, puback)
    found = Order(1883)
    for call in calls(lines):
        found.take(call)
    assert found.acknowledged == 1
    assert len(found.problems) == wrong


def _record(packet_id: int) -> bytes:

    payload = pack_readings("mqtt", [], Redelivery("main/toba-hub", packet_id, 8))
    return pack(1, 0, Kind.READINGS, Class.ACKNOWLEDGED, payload)


def test_a_loss_is_blamed_on_the_death_next_to_it() -> None:
    deaths = [Death("ingest", "a", 10), Death("serve", "b", 20), Death("ingest", "c", 30)]
    assert blame(deaths, "ingest", 25, after=False) is deaths[0]
    assert blame(deaths, "ingest", 25, after=True) is deaths[2]
    assert blame(deaths, "serve", 5, after=False) is None
