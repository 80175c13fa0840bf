"""Who watches the watcher: heartbeat, daily digest, the call for help when the disk is full."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

from hub import vigil
from hub.clock import from_datetime
from hub.health import Health
from hub.ledger import Ledger
from hub.notify import outbox
from hub.notify.digest import Day, digest
from hub.notify.message import Message, emergency, instead
from hub.settings import Digest, Heartbeat

ZONE = ZoneInfo("Asia/Jakarta")
SEVEN = datetime(2026, 5, 4, 0, 0, tzinfo=UTC)
"""07:00 at the lake."""


class Outside:
    """A real address that counts what arrives and answers as it is told."""

    def __init__(self) -> None:
        self.beats = 0
        self.status = 200
        self.heard = asyncio.Event()

    async def answer(self, _: web.Request) -> web.Response:
        self.beats += 1
        self.heard.set()
        return web.Response(status=self.status)

    async def until(self, beats: int) -> None:
        async with asyncio.timeout(20):
            while self.beats < beats:
                self.heard.clear()
                await self.heard.wait()


async def test_the_heartbeat_goes_out_while_all_is_well_and_its_failures_are_counted() -> None:
    outside, health, well = Outside(), Health(), [True]
    app = web.Application()
    app.router.add_get("/ping", outside.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    given = Heartbeat.model_construct(
        url=Heartbeat(url=f"http://127.0.0.1:{port}/ping").url, period_s=0.01, timeout_s=5
    )
    beat = vigil.Beat(given, health, lambda: well[0])
    task = asyncio.create_task(beat.run())
    await outside.until(3)
    outside.status = 500
    await outside.until(outside.beats + 3)
    assert beat.notes() == ["the heartbeat does not arrive: it answers 500"]
    outside.status = 200
    await outside.until(outside.beats + 3)
    assert beat.notes() == []
    well[0] = False
    await asyncio.sleep(0)
    found = health.by("heartbeats", "result")
    assert found["sent"] >= 3
    assert found["failed"] >= 2
    await runner.cleanup()
    before = outside.beats
    well[0] = True
    async with asyncio.timeout(20):
        while not beat.trouble:
            await asyncio.sleep(0.01)
    assert "/ping" not in beat.trouble, "the address may hold a secret"
    assert outside.beats == before
    task.cancel()
    await asyncio.wait({task})


def message(date: str, now_ns: int) -> list[Message]:
    day = Day(3, 2, 1, [("Router DLH", 3 * 3600 * 10**9)], {"quota": 7}, True, 12, 40)
    made = [
        digest(day, date, name, language=language, zone="Asia/Jakarta", now_ns=now_ns)
        for name, language in (("mail", "en"), ("telegram", "id"))
    ]
    return made


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Of a hub that has listened for a day."""
    ledger = Ledger(tmp_path / "serve.db")
    outbox.create(ledger.db)
    heard_ns = from_datetime(SEVEN - timedelta(days=1))
    ledger.db.execute("INSERT INTO span VALUES ('hub', ?, ?, 1)", (heard_ns, heard_ns + 1))
    yield ledger.db
    ledger.close()


def daily(db: sqlite3.Connection, now: list[datetime]) -> vigil.Daily:
    given = Digest(at="07:00", teams=["kominfo"])
    return vigil.Daily(given, ZONE, db, message, lambda: None, lambda: from_datetime(now[0]))


def test_the_digest_is_owed_once_a_day_over_restarts(db: sqlite3.Connection) -> None:
    now = [SEVEN - timedelta(minutes=1)]
    one = daily(db, now)
    assert one.look() == 0
    now[0] = SEVEN
    assert one.look() == 2
    assert one.look() == 0
    now[0] = SEVEN + timedelta(minutes=5)
    assert daily(db, now).look() == 0, "a restart owes nothing twice"
    now[0] = SEVEN + timedelta(days=1, hours=2)
    assert daily(db, now).look() == 2, "what a stop made late is made up for"
    now[0] = SEVEN + timedelta(days=2, hours=9)
    assert daily(db, now).look() == 0, "at four in the afternoon nobody wants the morning's"


def test_of_a_day_that_the_hub_did_not_live_through_there_is_no_digest(
    db: sqlite3.Connection,
) -> None:
    now = [SEVEN - timedelta(hours=23)]
    db.execute("DELETE FROM span")
    assert daily(db, now).look() == 0, "it has just begun"
    first_ns = from_datetime(SEVEN - timedelta(hours=23))
    db.execute("INSERT INTO span VALUES ('hub', ?, ?, 1)", (first_ns, first_ns + 1))
    now[0] = SEVEN - timedelta(hours=22)
    assert daily(db, now).look() == 0
    now[0] = SEVEN
    assert daily(db, now).look() == 2


def test_the_digest_says_what_the_day_was_like_in_both_languages() -> None:
    english, indonesian = message("2026-05-04", 0)
    assert "3 new, 2 over, 1 still on" in english.text
    assert "Router DLH, 3 hours" in english.text
    assert "quota 7" in english.text
    assert "3 baru, 2 selesai; 1 aktif" in indonesian.text
    assert "Router DLH, 3 jam" in indonesian.text
    assert instead(english, "other").text == english.text


async def test_help_is_called_once_when_the_disk_stays_full_and_again_when_it_fails() -> None:
    why, clock, sent, broken = [""], [0.0], [], [True]

    async def works(text: str) -> None:
        sent.append(text)

    async def fails(text: str) -> None:
        if broken[0]:
            raise OSError("no route")
        sent.append(f"late {text}")

    call = vigil.Emergency(lambda: why[0], lambda: {"sms": works, "mail": fails}, lambda: clock[0])
    await call.look()
    why[0] = "/data: No space left on device"
    await call.look()
    assert sent == [], "a moment mends itself"
    clock[0] = vigil.LASTING_S
    await call.look()
    await call.look()
    assert sent == [why[0]]
    broken[0] = False
    await call.look()
    assert sent == [why[0], f"late {why[0]}"]
    why[0] = ""
    await call.look()
    why[0] = "/data: full again"
    await call.look()
    clock[0] *= 2
    await call.look()
    assert sent[2:] == ["/data: full again", "late /data: full again"]


def test_the_call_for_help_says_what_to_do() -> None:
    why = "/srv/toba: No space left on device"
    made = emergency("sms", why, language="id", zone="Asia/Jakarta", now_ns=1)
    assert (made.state, made.key) == ("emergency", "emergency.1:sms")
    assert made.severity == "critical"
    assert "DISK PENUH" in made.title
    assert "/srv/toba" in made.text


def test_a_folder_that_can_not_be_written_says_why(tmp_path: Path) -> None:
    assert vigil.unwritable(tmp_path) == ""
    assert "No such file" in vigil.unwritable(tmp_path / "gone")
