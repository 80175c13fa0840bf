"""Retry, pause, collapse, time to live and fallback, step by step under a clock of our own."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.clock import NS
from hub.notify import outbox
from hub.notify.channels.base import NeverWorks, Policy, TryAgain
from hub.notify.lane import LONGEST_S, Lane, Surroundings
from hub.notify.message import Message
from tests.notify_support import HOUR, NOON, Lines, numbered


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.shift_ns = 0
        """How far the wall clock was set."""

    def now_ns(self) -> int:
        return NOON + self.shift_ns + round(self.seconds * NS)

    def monotonic(self) -> float:
        return self.seconds


class Scripted:
    """A channel that fails as told and remembers what got through."""

    def __init__(self, name: str = "hook") -> None:
        self.name = name
        self.failures: list[Exception] = []
        self.down: Exception | None = None
        self.poison: dict[str, Exception] = {}
        """Failures by key."""
        self.tried: list[str] = []
        self.got: list[Message] = []

    async def send(self, message: Message) -> None:
        self.tried.append(message.key)
        if self.down is not None:
            raise self.down
        if self.failures:
            raise self.failures.pop(0)
        if message.key in self.poison:
            raise self.poison[message.key]
        self.got.append(message)

    async def close(self) -> None:
        pass


class Setting:
    """A lane, its outbox and what surrounds it."""

    def __init__(
        self, conn: sqlite3.Connection, policy: Policy, jitter: random.Random | None = None
    ) -> None:
        self.conn = conn
        self.clock = Clock()
        self.log = Lines()
        self.woken: list[str] = []
        self.channel = Scripted()
        around = Surroundings(
            conn,
            self.log,
            self.woken.append,
            self.clock.now_ns,
            self.clock.monotonic,
            jitter or random.Random(1),
        )
        self.lane = Lane(self.channel, policy, around)

    def owe(self, *messages: Message) -> None:
        outbox.owe(self.conn, messages, self.clock.now_ns())

    async def go(self, seconds: float) -> None:
        """Let that much time pass, doing all there is to do."""
        end = self.clock.seconds + seconds
        while True:
            wait = await self.lane.step()
            if self.clock.seconds + wait > end:
                self.clock.seconds = end
                return
            self.clock.seconds += wait

    def states(self) -> dict[str, int]:
        return outbox.totals(self.conn).get("hook", {})


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = outbox.connect(tmp_path / "serve.db")
    yield opened
    opened.close()


@pytest.fixture
def setting(conn: sqlite3.Connection) -> Setting:
    return Setting(conn, Policy(ttl_s=7_200, fallback="mail"))


async def test_messages_are_sent_in_order_and_noted(setting: Setting) -> None:
    owed = [numbered(n) for n in range(1, 6)]
    setting.owe(*owed)
    await setting.go(0)
    assert setting.channel.got == owed
    assert setting.states() == {"sent": 5}
    assert setting.lane.counts.sent == 5


async def test_an_idle_lane_looks_again_within_half_a_minute(setting: Setting) -> None:
    assert 0 < await setting.lane.step() <= 30


async def test_a_failed_message_is_tried_again_and_the_log_says_so_once(setting: Setting) -> None:
    setting.channel.failures = [TryAgain("busy")] * 4
    setting.owe(numbered(1))
    await setting.go(60)
    assert setting.states() == {"sent": 1}
    assert setting.lane.counts.retries == 4
    assert [event for level, event, _ in setting.log.told if level != "debug"] == [
        "channel fails, trying again",
        "channel works again",
    ]


async def test_a_dead_channel_is_asked_ever_more_rarely_but_not_more_rarely_than_the_limit(
    setting: Setting,
) -> None:
    setting.channel.down = TryAgain("no route to host")
    setting.owe(*[numbered(n) for n in range(1, 101)])
    await setting.go(3_600)
    assert 3_600 / LONGEST_S <= len(setting.channel.tried) < 100
    assert setting.lane.counts.trouble == len(setting.channel.tried)
    setting.channel.down = None
    await setting.go(2 * LONGEST_S)
    assert setting.states() == {"sent": 100}
    assert setting.lane.counts.trouble == 0


async def test_one_message_that_never_gets_through_holds_up_no_other(setting: Setting) -> None:
    poison, *others = [numbered(n) for n in range(1, 21)]
    setting.channel.poison[poison.key] = TryAgain("500")
    setting.owe(poison, *others)
    await setting.go(5)
    assert setting.channel.got == others
    assert setting.states() == {"sent": 19, "owed": 1}


class Shortest(random.Random):
    """The dice that always fall on the shortest pause."""

    def uniform(self, a: float, b: float) -> float:
        return a + 0.05


async def test_not_even_if_it_is_always_due_again_first(conn: sqlite3.Connection) -> None:
    setting = Setting(conn, Policy(), Shortest())
    poison, *others = [numbered(n) for n in range(1, 21)]
    setting.channel.poison[poison.key] = TryAgain("500")
    setting.owe(poison, *others)
    await setting.go(5)
    assert setting.channel.got == others


async def test_the_servers_wish_to_wait_is_obeyed_and_bounded(setting: Setting) -> None:
    setting.channel.failures = [TryAgain("429", 120.0), TryAgain("429", 1e9)]
    setting.owe(numbered(1), numbered(2))
    await setting.go(119)
    assert len(setting.channel.tried) == 1
    await setting.go(10)
    assert len(setting.channel.tried) == 2
    await setting.go(3_700)
    assert setting.states() == {"sent": 2}


async def test_what_is_refused_for_ever_goes_to_the_fallback_at_once(setting: Setting) -> None:
    setting.channel.down = NeverWorks("401 Unauthorized")
    setting.owe(numbered(1))
    await setting.go(0)
    assert len(setting.channel.tried) == 1
    assert setting.states() == {"failed": 1}
    assert setting.woken == ["mail"]
    (row,) = outbox.due(setting.conn, setting.clock.now_ns(), "mail")
    assert row.message.instead_of == "hook"
    assert "karena saluran hook gagal" in row.message.text
    level, _, values = setting.log.told[-1]
    assert (level, values["fallback"]) == ("error", "mail")


async def test_a_fallback_gets_the_end_although_it_never_had_the_beginning(
    setting: Setting,
) -> None:
    setting.owe(numbered(1, alert="a"))
    await setting.go(0)
    setting.channel.down = NeverWorks("chat not found")
    setting.owe(numbered(2, alert="a", resolved=True))
    await setting.go(0)
    (row,) = outbox.due(setting.conn, setting.clock.now_ns(), "mail")
    assert row.message.state == "resolved"


async def test_what_is_too_old_expires_and_goes_to_the_fallback(setting: Setting) -> None:
    setting.channel.down = TryAgain("no route to host")
    setting.owe(numbered(1))
    await setting.go(7_200 + LONGEST_S)
    assert setting.states() == {"expired": 1}
    assert setting.lane.counts.expired == 1
    assert len(outbox.due(setting.conn, setting.clock.now_ns(), "mail")) == 1


async def test_a_message_is_tried_once_however_old_it_is(setting: Setting) -> None:
    setting.owe(numbered(1))
    setting.clock.shift_ns = 20 * 365 * 24 * HOUR
    await setting.go(0)
    assert setting.states() == {"sent": 1}


async def test_a_clock_set_back_stops_nothing(setting: Setting) -> None:
    setting.channel.failures = [TryAgain("busy")] * 3
    setting.owe(numbered(1), numbered(2))
    await setting.lane.step()
    setting.clock.shift_ns = -24 * HOUR
    await setting.go(60)
    assert setting.states() == {"sent": 2}


async def test_an_hour_of_silence_becomes_one_message_for_each_alert(setting: Setting) -> None:
    setting.channel.down = TryAgain("no route to host")
    for number, alert, over in [(1, "a", False), (2, "b", False), (3, "a", True), (4, "b", True),
                                (5, "b", False), (6, "c", False)]:  # fmt: skip
        setting.owe(numbered(number, alert=alert, resolved=over))
        await setting.go(600)
    setting.channel.down = None
    await setting.go(2 * LONGEST_S)
    told = {m.alert: m for m in setting.channel.got}
    assert len(setting.channel.got) == 3
    assert (told["a"].state, told["a"].collapsed) == ("resolved", 1)
    assert "Sudah pulih sebelum pesan ini dapat dikirim" in told["a"].text
    assert (told["b"].state, told["b"].collapsed) == ("firing", 2)
    assert "merangkum 3 perubahan" in told["b"].text
    assert (told["c"].state, told["c"].collapsed) == ("firing", 0)
    assert setting.states() == {"sent": 3, "merged": 3}
    assert setting.lane.counts.merged == 3


async def test_what_was_delivered_is_not_told_again_by_its_end(setting: Setting) -> None:
    setting.owe(numbered(1, alert="a"))
    await setting.go(0)
    setting.owe(numbered(2, alert="a", resolved=True))
    await setting.go(0)
    assert [m.collapsed for m in setting.channel.got] == [0, 0]


async def test_a_channel_that_never_answers_is_given_up_after_its_time_out(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy(timeout_s=0.02))

    async def hang(_: Message) -> None:
        await asyncio.Event().wait()

    setting.channel.send = hang  # type: ignore[method-assign, assignment]
    setting.owe(numbered(1))
    await setting.lane.step()
    assert setting.lane.counts.last_error == "no answer within 0.02 s"
    assert setting.states() == {"owed": 1}


async def test_a_bug_in_a_channel_ends_no_lane(setting: Setting) -> None:
    setting.channel.failures = [KeyError("oops")]
    setting.owe(numbered(1))
    await setting.go(60)
    assert setting.states() == {"sent": 1}
    assert "BUG in the channel: KeyError" in str(setting.log.told[0])


async def test_a_row_of_another_version_is_given_up_by_name_and_blocks_nobody(
    setting: Setting,
) -> None:
    setting.owe(numbered(1), numbered(2))
    setting.conn.execute("UPDATE owed SET message = '{\"v\": 9}' WHERE seq = 1")
    await setting.go(0)
    assert setting.states() == {"failed": 1, "sent": 1}
    assert numbered(1).key in str(setting.log.told)


async def test_when_the_disk_refuses_the_note_the_message_is_not_sent_twice(
    setting: Setting, tmp_path: Path
) -> None:
    setting.conn.execute("PRAGMA busy_timeout = 0")
    setting.owe(numbered(1), numbered(2))
    other = sqlite3.connect(tmp_path / "serve.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    await setting.go(60)
    assert setting.states() == {"owed": 2}
    assert len(setting.channel.got) == 1
    other.execute("ROLLBACK")
    other.close()
    await setting.go(60)
    assert setting.states() == {"sent": 2}
    assert len(setting.channel.got) == 2


@pytest.mark.parametrize("seed", range(20))
async def test_random_failures_lose_nothing_and_keep_the_order_of_each_alert(
    conn: sqlite3.Connection, seed: int
) -> None:
    setting, dice = Setting(conn, Policy(ttl_s=1e9)), random.Random(seed)
    last: dict[str, Message] = {}
    for number in range(1, 60):
        alert = f"a{dice.randrange(6)}"
        over = alert in last and last[alert].state == "firing"
        last[alert] = numbered(number, alert=alert, resolved=over)
        setting.owe(last[alert])
        chance = dice.random()
        setting.channel.down = (
            TryAgain("x", dice.choice([None, 0.0, 400.0])) if chance < 0.4 else None
        )
        if chance > 0.9:
            setting.channel.failures = [TryAgain("once")]
        await setting.go(dice.choice([0, 0.5, 30, 900]))
    setting.channel.down, setting.channel.failures = None, []
    await setting.go(3 * 3_600)
    assert setting.states().keys() <= {"sent", "merged"}
    assert sum(setting.states().values()) == 59
    for alert, message in last.items():
        told = [m for m in setting.channel.got if m.alert == alert]
        assert told[-1].key == message.key
        assert [m.time_ns for m in told] == sorted(m.time_ns for m in told)
        assert sum(1 + m.collapsed for m in told) == sum(
            1 for row in conn.execute("SELECT 1 FROM owed WHERE alert = ?", (alert,))
        )
