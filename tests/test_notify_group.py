"""What is alike goes out as one, a flood as summaries; nothing is lost on the way."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.notify import outbox
from hub.notify.channels.base import NeverWorks, Policy, TryAgain
from hub.notify.group import LINES, Shift, group, handover
from hub.notify.lane import LONGEST_S, MOST_IN_ONE
from hub.notify.message import NIGHT, Facts, Message, collapse
from hub.notify.pace import Pace
from hub.notify.rota import Quiet
from hub.notify.routing import Router, Team
from tests.notify_support import FACTS, HOUR, MINUTE, NOON, ZONE, change, message, numbered
from tests.test_notify_lane import Setting
from tests.test_notify_rota import at


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = outbox.connect(tmp_path / "serve.db")
    yield opened
    opened.close()


def alike(
    number: int, *, over: bool = False, alert: str = "", severity: str = "warning", site: str = ""
) -> Message:
    """The `number`th message; of one bunch with others of its state, severity and site."""
    one = message(
        id=f"{number}-0",
        key=alert or f"pm25,device=d{number}",
        device=f"d{number}",
        after="resolved" if over else "firing",
        severity=severity,
        time_ns=NOON + number * MINUTE,
        since_ns=NOON + number * MINUTE,
    )
    placed = replace(one, facts=replace(FACTS, name=f"Sensor {number}", site=site or "Porsea"))
    return replace(placed, bunch=f"{placed.state}|{severity}|{placed.facts.site}")


# -- words


def test_three_sensors_of_one_place_are_told_in_one_message() -> None:
    one = group([alike(1), alike(2), alike(3)])
    assert one.title == "AKTIF · PERINGATAN · 3 sensor di Porsea: PM2.5 tidak sehat di Balige"
    lines = one.text.splitlines()
    assert lines[0].startswith("• AKTIF · PM2.5 tidak sehat di Balige – Sensor 1, pm25 62,34")
    assert lines[0].endswith("· 22/11 12.06")
    assert len([line for line in lines if line.startswith("•")]) == 3
    assert "Saran: Kurangi kegiatan di luar." in lines


def test_a_group_of_one_is_the_message_itself() -> None:
    assert group([alike(1)]) == alike(1)


def test_what_is_unlike_is_counted_by_state_and_the_worst_stands_first() -> None:
    mixed = [alike(1, over=True), alike(2), alike(3, severity="critical", site="Balige")]
    one = group(mixed)
    assert one.title == "Ringkasan 3 kabar: 2 AKTIF, 1 PULIH"
    assert one.severity == "critical"
    states = [line.split(" · ")[0] for line in one.text.splitlines() if line.startswith("•")]
    assert states == ["• AKTIF", "• AKTIF", "• PULIH"]
    assert "Sensor 3" in one.text.splitlines()[0]


def test_of_very_many_some_are_named_and_the_others_counted_by_place() -> None:
    one = group([alike(n, site=f"Desa {n % 9}") for n in range(1, 201)])
    assert one.title.startswith("AKTIF · PERINGATAN · 200 sensor di 9 tempat")
    lines = one.text.splitlines()
    assert len([line for line in lines if line.startswith("•")]) == LINES
    assert any(line.startswith(f"… dan {200 - LINES} lagi: Desa ") for line in lines)
    assert len(one.text) < 4_096  # Telegram takes no more


def test_what_came_and_went_is_told_with_both_times() -> None:
    pairs = [collapse([alike(n, alert=f"a{n}")], alike(n + 10, over=True, alert=f"a{n}"))
             for n in (1, 2)]  # fmt: skip
    one = group(pairs)
    assert one.title.startswith("PULIH · 2 sensor di Porsea")
    assert "22/11 12.06 – 22/11 12.16" in one.text
    assert one.collapsed == 2


def test_the_same_messages_in_any_order_have_the_same_key_and_others_another() -> None:
    three = [alike(1), alike(2), alike(3)]
    assert group(three).key == group(three[::-1]).key
    assert group(three).key != group(three[:2]).key


def test_a_hand_over_names_what_is_open_worst_first_and_who_has_it() -> None:
    known = [
        (change(severity="warning", title={"id": "Debu di Balige"}, since_ns=NOON - HOUR), ""),
        (change(severity="critical", title={"id": "Router mati"}, since_ns=NOON), "Budi"),
    ]
    shift = Shift("DLH", "Andi", "Citra", known, 2)
    one = handover("tg", "k:tg", shift, language="id", zone=ZONE, now_ns=NOON)
    assert one.title == "Serah terima piket DLH: Andi"
    assert one.text.splitlines() == [
        "Gangguan terbuka: 2, ditangani: 1.",
        "Piket sebelumnya: Citra.",
        "• KRITIS · Router mati · sejak 22/11 12.05 · ditangani Budi",
        "• PERINGATAN · Debu di Balige · sejak 22/11 11.05",
        "Sedang disenyapkan: 2.",
    ]


# -- the way out


async def test_what_is_due_and_alike_goes_out_as_one_and_is_noted_one_by_one(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy())
    setting.owe(alike(1), alike(2), alike(3, site="Balige"), alike(4))
    await setting.go(0)
    assert [m.kind for m in setting.channel.got] == ["group", ""]
    assert setting.states() == {"sent": 4}
    assert (setting.lane.counts.sent, setting.lane.counts.grouped) == (2, 2)


async def test_a_message_waits_for_company_as_long_as_it_says(conn: sqlite3.Connection) -> None:
    setting = Setting(conn, Policy())
    setting.owe(*[replace(alike(n), not_before_ns=NOON + 10 * 10**9) for n in (1, 2)])
    await setting.go(9.9)
    assert setting.channel.tried == []
    await setting.go(0.2)
    assert [m.kind for m in setting.channel.got] == ["group"]


async def test_who_waits_for_company_joins_the_first_and_who_waits_for_the_morning_nobody(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy())

    def waiting(number: int, seconds: float, bunch: str = "x") -> Message:
        return replace(alike(number), bunch=bunch, not_before_ns=NOON + round(seconds * 10**9))

    setting.owe(waiting(1, 10), waiting(2, 10, NIGHT))
    await setting.go(9.5)
    setting.owe(waiting(3, 19.5), waiting(4, 3_600, NIGHT), waiting(5, 19.5, "y"))
    await setting.go(0.5)
    told = [m.text.count("Sensor") for m in setting.channel.got]
    assert (told, setting.states()) == ([2, 1], {"sent": 3, "owed": 2})
    await setting.go(3_600)
    assert setting.states() == {"sent": 5}


async def test_a_summary_of_all_that_waits_leaves_the_night_alone(conn: sqlite3.Connection) -> None:
    setting = Setting(conn, Policy(per_minute=2))
    soon, morning = NOON + 10 * 10**9, NOON + HOUR
    setting.owe(alike(1), alike(2, site="Uluan"), replace(alike(3), not_before_ns=soon),
                replace(alike(4), bunch=NIGHT, not_before_ns=morning))  # fmt: skip
    await setting.go(0)
    assert setting.states() == {"sent": 3, "owed": 1}


async def test_a_clock_set_back_by_years_holds_nothing_for_years(conn: sqlite3.Connection) -> None:
    setting = Setting(conn, Policy())
    setting.owe(replace(alike(1), not_before_ns=NOON + 10 * 10**9))
    setting.clock.shift_ns = -10 * 365 * 24 * HOUR
    await setting.go(0)
    assert setting.states() == {"sent": 1}


async def test_a_group_that_failed_may_be_told_otherwise_the_next_time(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy())
    setting.channel.failures = [TryAgain("busy")]
    setting.owe(alike(1, alert="a"), alike(2, alert="b"))
    await setting.lane.step()
    assert outbox.bound(conn, "hook") == []
    setting.owe(alike(3, alert="a", over=True))
    await setting.go(60)
    assert {m.alert: m.state for m in setting.channel.got} == {"a": "resolved", "b": "firing"}
    assert setting.states() == {"sent": 2, "merged": 1}


async def test_after_a_crash_exactly_the_same_group_goes_out_under_the_same_key(
    conn: sqlite3.Connection,
) -> None:
    first = Setting(conn, Policy())
    first.owe(alike(1, alert="a"), alike(2, alert="b"))

    class Killed(BaseException):
        pass

    first.channel.failures = [Killed()]  # type: ignore[list-item]
    with pytest.raises(Killed):
        await first.lane.step()
    again = Setting(conn, Policy())
    again.owe(alike(3, alert="c"), alike(4, alert="a", over=True))
    await again.go(0)
    assert again.channel.tried[0] == first.channel.tried[0]
    assert [m.alert for m in again.channel.got] == ["a", "c", "a"]
    assert again.states() == {"sent": 4}


async def test_a_group_that_is_refused_goes_to_the_fallback_message_by_message(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy(fallback="mail"))
    setting.channel.down = NeverWorks("403")
    setting.owe(alike(1), alike(2))
    await setting.go(0)
    rows = outbox.due(conn, setting.clock.now_ns(), "mail", 9)
    assert [row.message.instead_of for row in rows] == ["hook", "hook"]
    assert setting.states() == {"failed": 2}


async def test_after_so_many_failures_the_fallback_gets_it(conn: sqlite3.Connection) -> None:
    setting = Setting(conn, Policy(fallback="mail", tries=3))
    setting.channel.down = TryAgain("no route to host")
    setting.owe(numbered(1))
    await setting.go(60)
    assert len(setting.channel.tried) == 3
    assert setting.states() == {"failed": 1}
    (row,) = outbox.due(conn, setting.clock.now_ns(), "mail")
    assert "karena saluran hook gagal" in row.message.text


async def test_an_hour_without_the_channel_becomes_one_message_for_what_is_alike(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy())
    setting.channel.down = TryAgain("no route to host")
    setting.owe(*[alike(n, alert=f"a{n}") for n in range(1, 21)])
    await setting.go(1_800)
    setting.owe(*[alike(n + 30, alert=f"a{n}", over=True) for n in range(1, 16)])
    await setting.go(1_800)
    setting.channel.down = None
    await setting.go(2 * LONGEST_S)
    firing, over = sorted(setting.channel.got, key=lambda m: m.state)
    assert over.title.startswith("PULIH · 15 sensor di Porsea")
    assert over.collapsed == 15
    assert over.text.count(" – 22/11") == 15
    assert firing.title.startswith("AKTIF · PERINGATAN · 5 sensor di Porsea")
    assert setting.states() == {"sent": 20, "merged": 15}


async def test_a_flood_is_told_in_so_many_messages_a_minute_and_nothing_is_lost(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy(per_minute=8))
    setting.owe(*[alike(n, site=f"Desa {n}") for n in range(1, 101)])
    await setting.go(0)
    assert len(setting.channel.got) == 6  # two places stay free for what is critical
    assert setting.channel.got[-1].title == (
        "AKTIF · PERINGATAN · 95 sensor di 95 tempat: PM2.5 tidak sehat di Balige"
    )
    assert setting.states() == {"sent": 100}
    setting.owe(alike(200, severity="critical"), alike(201, site="Uluan"))
    await setting.go(1)
    assert setting.channel.got[-1].severity == "critical"
    assert setting.states() == {"sent": 101, "owed": 1}
    await setting.go(60)
    assert setting.states() == {"sent": 102}


async def test_what_is_critical_goes_before_what_came_earlier(conn: sqlite3.Connection) -> None:
    setting = Setting(conn, Policy(per_minute=30))
    setting.owe(alike(1), alike(2, severity="critical"))
    await setting.go(0)
    assert [m.severity for m in setting.channel.got] == ["critical", "warning"]


async def test_one_message_never_holds_more_alerts_than_memory_should(
    conn: sqlite3.Connection,
) -> None:
    setting = Setting(conn, Policy())
    with outbox.transaction(conn):
        setting.owe(*[alike(n) for n in range(1, 2_502)])
    await setting.go(0)
    assert len(setting.channel.got) == 3
    assert setting.states() == {"sent": 2_501}
    assert setting.lane.counts.grouped == 2_498
    assert MOST_IN_ONE == 1_000


async def test_one_message_that_nobody_takes_does_not_hold_up_those_like_it(
    conn: sqlite3.Connection,
) -> None:
    setting, poison = Setting(conn, Policy()), alike(1)

    async def send(message: Message) -> None:
        setting.channel.tried.append(message.key)
        if "Sensor 1," in message.text or message.key == poison.key:
            raise TryAgain("500")
        setting.channel.got.append(message)

    setting.channel.send = send  # type: ignore[method-assign]
    setting.owe(poison, *[alike(n) for n in range(2, 6)])
    await setting.go(3 * 3_600)
    assert setting.states() == {"sent": 4, "owed": 1}


@pytest.mark.parametrize("seed", range(15))
async def test_random_failures_crashes_and_floods_lose_nothing(
    conn: sqlite3.Connection, seed: int
) -> None:
    dice = random.Random(seed)
    setting, last = Setting(conn, Policy(ttl_s=1e9, per_minute=6)), {}
    told: list[Message] = []
    for number in range(1, 80):
        alert = f"a{dice.randrange(9)}"
        over = alert in last and last[alert].state == "firing"
        last[alert] = alike(number, alert=alert, over=over, site=f"s{dice.randrange(2)}")
        setting.owe(last[alert])
        setting.channel.down = TryAgain("x") if dice.random() < 0.3 else None
        if dice.random() < 0.1:  # the process dies; what it has sent is sent
            told += setting.channel.got
            seconds = setting.clock.seconds
            setting = Setting(conn, Policy(ttl_s=1e9, per_minute=6))
            setting.clock.seconds = seconds
        await setting.go(dice.choice([0, 0.5, 30]))
    setting.channel.down = None
    await setting.go(3 * 3_600)
    states = setting.states()
    assert states.keys() <= {"sent", "merged"}
    assert sum(states.values()) == 79
    del told


# -- pace


def test_a_part_of_the_places_is_kept_for_what_is_critical() -> None:
    pace = Pace(8)
    for _ in range(6):
        assert pace.wait(0, critical=False) == 0
        pace.note(0)
    assert pace.wait(1, critical=False) == 59
    assert pace.room(1, critical=True) == 2
    pace.note(1)
    pace.note(1)
    assert pace.wait(2, critical=True) == 58
    assert pace.wait(60, critical=False) == 0


def test_without_a_limit_there_is_always_room() -> None:
    pace = Pace(0)
    for _ in range(1_000):
        pace.note(0)
    assert pace.wait(0, critical=False) == 0


# -- who is told together


def routed(policy: Policy, **changes: object) -> Message:
    facts = Facts(name="Sensor", kind="sensor", site="Porsea")
    router = Router({"dlh": Team(channels=["tg"])}, {"tg": policy}, lambda _: facts,
                    language="id", zone=ZONE)  # fmt: skip
    (found,) = router.messages([change(notify=("dlh",), **changes)])
    return found


def test_people_get_groups_by_rule_and_place_and_what_is_critical_hardly_waits() -> None:
    one, other = routed(Policy()), routed(Policy(), id="8-0", device="aq2", key="b")
    assert one.bunch == other.bunch != ""
    assert routed(Policy(), rule="noise").bunch != one.bunch
    assert one.not_before_ns == NOON + 10 * 10**9
    assert routed(Policy(), severity="critical").not_before_ns == NOON + 2 * 10**9


def test_machines_get_each_change_at_once_and_by_itself() -> None:
    one = routed(Policy(audience="machine"))
    assert (one.bunch, one.not_before_ns) == ("", 0)


def test_grouping_can_be_set_by_other_things_or_off() -> None:
    by_site = Policy(group_by=["site"])
    assert routed(by_site).bunch == routed(by_site, rule="noise").bunch
    assert routed(Policy(group_by=[])).bunch == ""


async def test_a_night_is_told_in_one_message_in_the_morning_and_what_is_critical_at_once(
    conn: sqlite3.Connection,
) -> None:
    night = Quiet.model_validate({"from": "21:00", "until": "06:00"})
    router = Router(
        {"dlh": Team(channels=["hook"], quiet=night)},
        {"hook": Policy(group_by=[], wait_s=0)},
        lambda t: Facts(name=t.device, kind="sensor", site=t.device),
        language="id",
        zone=ZONE,
    )
    setting = Setting(conn, Policy())
    setting.clock.seconds = (22 - 12) * 3_600  # 22.05

    def happens(number: int, **changes: object) -> None:
        now = setting.clock.now_ns()
        told = {"id": f"{number}-0", "time_ns": now, "since_ns": now, "device": f"d{number}",
                "key": f"a{number}", "notify": ("dlh",), **changes}  # fmt: skip
        outbox.owe(conn, router.messages([change(**told)], lambda _: {}), now)

    for number in (1, 2, 3):
        happens(number)
        await setting.go(1_800)
    happens(4, key="a1", after="resolved")
    happens(5, severity="critical")
    await setting.go(60)
    assert [m.severity for m in setting.channel.got] == ["critical"]
    await setting.go(5 * 3_600)
    assert len(setting.channel.got) == 1
    await setting.go(2 * 3_600)
    (_, morning) = setting.channel.got
    assert morning.title == "Ringkasan 3 kabar: 2 AKTIF, 1 PULIH"
    assert setting.clock.now_ns() > at("2026-11-23 06:00")
    assert "22/11 22.05" in morning.text
