"""Alertmanager's API v2 against the real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from hub.clock import NS, now_ns
from hub.notify import outbox
from hub.notify.channels import Tools, TryAgain, build
from hub.notify.channels.alertmanager import AlertmanagerConfig, posted
from hub.notify.channels.base import NeverWorks
from hub.notify.message import Message, trial
from hub.notify.notifier import Notifier
from tests.alertmanager_support import Alertmanager, alertmanager
from tests.notify_support import FACTS, HOUR, MINUTE, NOON, ZONE, Lines, http_stub, message, until
from tests.test_notify_notifier import running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with alertmanager(tmp_path_factory.mktemp("alertmanager")) as server:
        yield server


def config(url: str, **settings: Any) -> AlertmanagerConfig:
    return AlertmanagerConfig.model_validate({"type": "alertmanager", "url": url, **settings})


def now(alert: str, *, over: bool = False, ago_ns: int = MINUTE) -> Message:
    """A message of this very moment about a device of that name."""
    at = now_ns()
    return message(
        "am",
        id=f"{alert}-{int(over)}",
        key=f"pm25,device={alert}",
        device=alert,
        tags={"device": alert, "if-name": "ether1"},
        after="resolved" if over else "firing",
        since_ns=at - ago_ns,
        time_ns=at,
    )


def on(server: Alertmanager, device: str) -> list[dict[str, Any]]:
    return [one for one in server.alerts() if one["labels"].get("device") == device]


async def test_an_alert_is_on_with_its_labels_and_over_when_its_end_is_told(
    shared: Alertmanager,
) -> None:
    channel = config(shared.url, labels={"regency": "toba"}).build("am", Tools(Lines()))
    beginning = now("a1")
    await channel.send(beginning)
    (found,) = on(shared, "a1")
    assert found["labels"] == {
        "alertname": "pm25_unhealthy",
        "device": "a1",
        "if_name": "ether1",
        "severity": "warning",
        "site": "Balige",
        "opd": "Dinas Lingkungan Hidup",
        "kecamatan": "Balige",
        "regency": "toba",
    }
    assert found["annotations"]["summary"] == "PM2.5 tidak sehat di Balige"
    assert found["annotations"]["value"] == "62.34"
    assert found["status"]["state"] == "active"
    await channel.send(replace(now("a1", over=True), since_ns=beginning.since_ns))
    assert on(shared, "a1") == []
    await channel.close()


async def test_one_that_ended_in_the_instant_it_began_and_a_trial_are_taken(
    shared: Alertmanager,
) -> None:
    channel = config(shared.url).build("am", Tools(Lines()))
    await channel.send(now("a2", over=True, ago_ns=0))
    await channel.send(trial("am", language="id", zone=ZONE, now_ns=now_ns()))
    assert on(shared, "a2") == []
    await channel.close()


async def test_after_a_restart_of_alertmanager_or_hub_what_is_on_is_told_again_and_no_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "serve.db"
    with alertmanager(tmp_path / "am") as server:
        built = build({"am": config(server.url, hold_s=30)}, Tools(Lines()))
        conn = outbox.connect(path)
        with outbox.transaction(conn):
            outbox.owe(conn, [now("b1"), now("b2"), now("b2", over=True)], now_ns())
        async with running(Notifier(path, built, Lines())):
            await until(lambda: [a["labels"]["device"] for a in server.alerts()] == ["b1"])
        server.stop()
        server.start()
        assert server.alerts() == []
        built = build({"am": config(server.url, hold_s=30)}, Tools(Lines()))
        async with running(Notifier(path, built, Lines())):
            await until(lambda: [a["labels"]["device"] for a in server.alerts()] == ["b1"])
        conn.close()


async def test_it_is_posted_again_three_times_before_it_would_be_thought_over() -> None:
    channel = config("http://127.0.0.1:9", hold_s=300).build("am", Tools(Lines()))
    assert channel.repeat_s == 100
    (first, again) = (posted(message(), NOON + ago, 300, {}) for ago in (0, 100 * NS))
    assert first["endsAt"] == "2026-11-22T05:10:00.000Z"
    assert again["endsAt"] == "2026-11-22T05:11:40.000Z"
    assert (first["startsAt"], first["labels"]) == (again["startsAt"], again["labels"])
    over = posted(message(after="resolved", since_ns=NOON - HOUR), NOON + HOUR, 300, {})
    assert over["endsAt"] == first["startsAt"]


async def test_what_is_refused_is_permanent_and_what_is_away_is_not(shared: Alertmanager) -> None:
    channel = config(f"{shared.url}/elsewhere").build("am", Tools(Lines()))
    with pytest.raises(NeverWorks, match="404"):
        await channel.send(now("c1"))
    await channel.close()
    async with http_stub() as stub:
        url = stub.url
    gone = config(url).build("am", Tools(Lines()))
    with pytest.raises(TryAgain):
        await gone.send(now("c1"))
    await gone.close()


async def test_when_it_can_not_be_told_again_the_log_says_so_once(tmp_path: Path) -> None:
    lines = Lines()
    built = build({"am": config("http://127.0.0.1:9", hold_s=30)}, Tools(lines))
    built["am"][0].repeat_s = 0.01  # type: ignore[attr-defined]
    path = tmp_path / "serve.db"
    conn = outbox.connect(path)
    with outbox.transaction(conn):
        outbox.owe(conn, [now("d1")], now_ns())
        outbox.sent(conn, now("d1").key, now_ns())
        conn.execute("UPDATE owed SET state = 'sent'")
    conn.close()
    async with running(Notifier(path, built, lines)):
        await until(lambda: bool(lines.told))
        for _ in range(20):
            await asyncio.sleep(0.01)
    assert [event for _, event, _ in lines.told] == ["what is on can't be told again, trying on"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "am:9093"},
        {"url": "http://am:9093/api/v2"},
        {"url": "http://user:pass@am:9093"},
        {"url": "http://am", "labels": {"a-b": "x"}},
        {"url": "http://am", "hold_s": 5},
    ],
)
def test_settings_that_can_not_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlertmanagerConfig.model_validate({"type": "alertmanager", **wrong})


def test_the_place_is_a_link_to_a_map() -> None:
    placed = replace(message(), facts=replace(FACTS, lat=2.3, lon=99.1))
    assert "mlat=2.30000" in posted(placed, NOON, 300, {})["annotations"]["map"]
