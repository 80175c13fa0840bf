"""The notifier as it runs: several channels side by side, and killed in the middle of sending."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from hub.clock import NS, now_ns
from hub.ledger import Ledger
from hub.notify import outbox
from hub.notify.channels import ChannelConfig, Policy, build
from hub.notify.channels.log import LogConfig
from hub.notify.channels.webhook import WebhookConfig
from hub.notify.message import Facts, Message
from hub.notify.notifier import Notifier
from hub.notify.routing import Router, Team
from hub.outcome import Outcome, Snapshot
from rules.transition import Transition
from tests.notify_support import (
    NOON,
    ZONE,
    Lines,
    Stub,
    change,
    http_stub,
    numbered,
    tools,
    until,
)


def hook(url: str, **settings: object) -> ChannelConfig:
    return WebhookConfig.model_validate({"type": "webhook", "url": url, **settings})


def owe(path: Path, *messages: Message) -> None:
    """As the engine does, on a connection of its own."""
    conn = outbox.connect(path)
    with outbox.transaction(conn):
        outbox.owe(conn, messages, now_ns())
    conn.close()


def totals(path: Path) -> dict[str, dict[str, int]]:
    conn = outbox.connect(path)
    found = outbox.totals(conn)
    conn.close()
    return found


@asynccontextmanager
async def running(notifier: Notifier) -> AsyncIterator[Notifier]:
    task = asyncio.create_task(notifier.run())
    try:
        yield notifier
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    async with http_stub() as server:
        yield server


@pytest.fixture
async def stuck() -> AsyncIterator[Stub]:
    async with http_stub() as server:
        server.hang = asyncio.Event()
        yield server


async def test_what_is_owed_while_it_runs_is_sent_as_soon_as_it_is_woken(
    tmp_path: Path, stub: Stub
) -> None:
    path = tmp_path / "serve.db"
    channels = build({"hook": hook(stub.url)}, tools())
    async with running(Notifier(path, channels, Lines())) as notifier:
        await asyncio.sleep(0)
        owe(path, *[numbered(n) for n in range(1, 4)])
        notifier.wake()
        await until(lambda: totals(path) == {"hook": {"sent": 3}})
        found = notifier.statistics()["hook"]
    assert [a.headers["Idempotency-Key"] for a in stub.asked] == [
        numbered(n).key for n in range(1, 4)
    ]
    assert (found["sent"], found["owed"], found["trouble"]) == (3, 0, 0)


async def test_a_burst_of_alike_alerts_in_commits_of_their_own_goes_out_as_one(
    tmp_path: Path, stub: Stub
) -> None:
    """Five routers of one place within a second: the first waits 2 s, and takes the others along
    though these would wait longer."""
    path, now = tmp_path / "serve.db", [NOON]
    channels = build({"hook": hook(stub.url, audience="people")}, tools())
    router = Router(
        {"dlh": Team(channels=["hook"])},
        {"hook": channels["hook"][1]},
        lambda one: Facts(name=one.device, kind="router", site="Balige"),
        language="id",
        zone=ZONE,
    )
    async with running(Notifier(path, channels, Lines(), now_ns=lambda: now[0])) as notifier:
        for n in range(5):
            now[0] = NOON + n * NS // 5
            one = change(id=f"{n}-0", key=f"down,{n}", device=f"r-{n}", rule="router_down",
                         severity="critical", time_ns=now[0])  # fmt: skip
            owe(path, *router.messages([one]))
            notifier.wake()
            await asyncio.sleep(0)
        assert stub.asked == []
        now[0] = NOON + 2 * NS
        notifier.wake()
        await until(lambda: totals(path) == {"hook": {"sent": 5}})
    (asked,) = stub.asked
    assert json.loads(asked.body)["title"].startswith("AKTIF · KRITIS · 5 router di Balige")


async def test_its_figures_can_still_be_asked_for_when_it_has_ended(tmp_path: Path) -> None:
    notifier = Notifier(
        tmp_path / "serve.db", build({"log": LogConfig(type="log")}, tools()), Lines()
    )
    async with running(notifier):
        await asyncio.sleep(0)
    assert notifier.statistics()["log"]["owed"] == 0


async def test_a_channel_that_hangs_delays_no_other(
    tmp_path: Path, stub: Stub, stuck: Stub
) -> None:
    path = tmp_path / "serve.db"
    owe(path, *[numbered(n, name) for n in range(1, 51) for name in ("hook", "stuck")])
    channels = build({"stuck": hook(stuck.url), "hook": hook(stub.url)}, tools())
    async with running(Notifier(path, channels, Lines())) as notifier:
        await until(lambda: len(stub.asked) == 50)
        await until(lambda: notifier.statistics()["hook"]["owed"] == 0)
        found = notifier.statistics()["stuck"]
    assert (found["owed"], found["sent"]) == (50, 0)
    assert len(stuck.asked) == 1


async def test_a_refusal_goes_out_through_the_fallback_without_delay(
    tmp_path: Path, stub: Stub
) -> None:
    path = tmp_path / "serve.db"
    owe(path, numbered(1, "first"))
    async with http_stub() as refusing:
        refusing.usual = lambda: web.Response(status=403)
        channels = build(
            {"first": hook(refusing.url, fallback="second"), "second": hook(stub.url)}, tools()
        )
        async with running(Notifier(path, channels, Lines())):
            await until(lambda: len(stub.asked) == 1)
            await until(lambda: totals(path) == {"first": {"failed": 1}, "second": {"sent": 1}})


async def test_a_channel_that_was_dead_before_a_restart_is_so_until_something_goes_out(
    tmp_path: Path, stub: Stub
) -> None:
    path, later = tmp_path / "serve.db", now_ns() + 300 * NS
    owe(path, numbered(1), numbered(2))
    conn = outbox.connect(path)
    for _ in range(3):
        with outbox.transaction(conn):
            outbox.retry(conn, numbered(1).key, 0, "connection refused")
    conn.close()
    channels = build({"hook": hook(stub.url)}, tools())
    notifier = Notifier(path, channels, Lines(), now_ns=lambda: later)
    assert notifier.dead() == 1
    notifier.lanes["hook"].counts.last_sent_ns = later
    assert notifier.dead() == 0, "one message that nobody can deliver is no dead channel"
    async with running(notifier):
        await until(lambda: totals(path) == {"hook": {"sent": 2}})
        assert notifier.dead() == 0


async def test_two_channels_that_are_each_others_fallback_end(tmp_path: Path) -> None:
    path = tmp_path / "serve.db"
    owe(path, numbered(1, "a"))
    async with http_stub() as refusing:
        refusing.usual = lambda: web.Response(status=403)
        channels = build(
            {"a": hook(refusing.url, fallback="b"), "b": hook(refusing.url, fallback="a")},
            tools(),
        )
        async with running(Notifier(path, channels, Lines())):
            await until(lambda: totals(path) == {"a": {"failed": 1}, "b": {"failed": 1}})
    assert len(refusing.asked) == 2


async def test_what_is_owed_to_a_channel_taken_out_of_the_settings_is_given_up_aloud(
    tmp_path: Path,
) -> None:
    path, lines = tmp_path / "serve.db", Lines()
    owe(path, numbered(1, "old"))
    async with running(Notifier(path, {}, lines)):
        await until(lambda: totals(path) == {"old": {"failed": 1}})
    assert lines.told[0][2] == {"channel": "old", "number": 1}


def reached(stub: Stub, number: int) -> bool:
    return len(stub.asked) >= number


def test_the_ledger_takes_a_transition_and_its_messages_once_however_often_it_is_folded(
    tmp_path: Path,
) -> None:
    path = tmp_path / "serve.db"
    router = Router(
        {"dlh": Team(channels=["hook"])},
        {"hook": Policy()},
        lambda _: Facts(),
        language="id",
        zone=ZONE,
    )

    def owe_for(conn: sqlite3.Connection, transitions: Sequence[Transition]) -> None:
        outbox.owe(conn, router.messages(transitions), now_ns())

    def fold(fails: bool = False) -> None:
        ledger = Ledger(path)
        outbox.create(ledger.db)
        try:
            both = [change(id="1-0"), change(id="1-1", after="resolved")]
            ledger.commit(Outcome(both), owe_for, Snapshot(1, [object()] if fails else [1]))
        finally:
            ledger.close()

    with pytest.raises(TypeError):
        fold(fails=True)
    assert totals(path) == {}
    fold()
    fold()
    assert totals(path) == {"hook": {"owed": 2}}


_RUNS = """
import asyncio, sys
from pathlib import Path
from hub.notify.channels import build
from hub.notify.channels.log import LogConfig
from hub.notify.channels.webhook import WebhookConfig
from hub.notify.notifier import Notifier
from tests.notify_support import Lines, tools

config = WebhookConfig.model_validate({"type": "webhook", "url": sys.argv[2]})
asyncio.run(Notifier(Path(sys.argv[1]), build({"hook": config}, tools()), Lines()).run())
"""


async def test_killed_again_and_again_while_sending_it_loses_nothing_and_repeats_one_at_most(
    tmp_path: Path, stub: Stub
) -> None:
    path = tmp_path / "serve.db"
    owed = [numbered(n) for n in range(1, 201)]
    owe(path, *owed)
    kills = 0
    while totals(path)["hook"].get("owed"):
        process = subprocess.Popen(
            [sys.executable, "-c", _RUNS, str(path), stub.url],
            env={**os.environ, "PYTHONPATH": "."},
        )
        try:
            mark = min(200, len(stub.asked) + 35)
            await until(partial(reached, stub, mark), 30)
            if kills < 5:
                kills += 1
            else:
                await until(lambda: totals(path) == {"hook": {"sent": 200}}, 30)
        finally:
            process.kill()
            process.wait(10)
    keys = Counter(asked.headers["Idempotency-Key"] for asked in stub.asked)
    assert keys.keys() == {message.key for message in owed}
    assert max(keys.values()) <= 2
    assert sum(keys.values()) - len(keys) <= kills
    assert kills == 5
