"""Planned work: once, weekly, as cron says; each occurrence becomes one act."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from hub.api import BadItem, TryAgain
from hub.planner import Planner
from hub.windows import Window, begun, cron
from tests.notify_support import HOUR, MINUTE, ZONE
from tests.test_notify_rota import at


def window(**given: Any) -> Window:
    return Window.model_validate({"name": "w", "match": {"site": "porsea"}, **given})


@pytest.mark.parametrize(
    ("given", "on", "off"),
    [
        (
            {"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"},
            ["2026-12-01 22:00", "2026-12-02 01:59"],
            ["2026-12-01 21:59", "2026-12-02 02:00"],
        ),
        (
            {"weekly": "sun 23:00", "lasts": "2h"},
            ["2026-11-22 23:00", "2026-11-23 00:59"],
            ["2026-11-22 22:59", "2026-11-23 01:00", "2026-11-21 23:30"],
        ),
        (
            {"cron": "30 3 1 * *", "lasts": "90m"},
            ["2026-12-01 03:30", "2026-12-01 04:59"],
            ["2026-12-01 03:29", "2026-12-01 05:00", "2026-12-02 03:30"],
        ),
        ({"cron": "0 */6 * * *", "lasts": "10m"}, ["2026-12-01 18:05"], ["2026-12-01 18:10"]),
        ({"cron": "0 1 * * mon-fri", "lasts": "1h"}, ["2026-11-23 01:30"], ["2026-11-22 01:30"]),
        ({"cron": "0 0 1 jan *", "lasts": "20d"}, ["2027-01-15 12:00"], ["2027-01-22 00:00"]),
    ],
)
def test_a_window_is_on_when_it_says(given: dict[str, Any], on: list[str], off: list[str]) -> None:
    one = window(**given)
    assert all(begun(one, at(when), ZONE) for when in on)
    assert not any(begun(one, at(when), ZONE) for when in off)


def test_an_occurrence_is_told_by_its_beginning_and_end() -> None:
    found = begun(window(weekly="sun 23:00", lasts="2h"), at("2026-11-23 00:10"), ZONE)
    assert found is not None
    assert found.begin_ns == at("2026-11-22 23:00")
    assert found.until_ns == at("2026-11-23 01:00")


def test_a_day_of_the_month_or_of_the_week_is_enough_as_in_crontab() -> None:
    either = cron("0 0 13 * fri")
    assert either.fits(date(2026, 11, 13))
    assert either.fits(date(2026, 11, 20))
    assert either.fits(date(2026, 10, 13))
    assert not either.fits(date(2026, 10, 14))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"from": "2026-12-01 22:00"},
        {"from": "2026-12-01 22:00", "until": "2026-12-01 21:00"},
        {"from": "2026-12-01 22:00", "until": "2026-12-02 21:00", "lasts": "1h"},
        {"weekly": "sun 02:00"},
        {"weekly": "someday 02:00", "lasts": "1h"},
        {"weekly": "sun 02:00", "cron": "0 3 * * *", "lasts": "1h"},
        {"cron": "0 3 * *", "lasts": "1h"},
        {"cron": "61 3 * * *", "lasts": "1h"},
        {"cron": "0 3 * * *", "lasts": "40d"},
        {"cron": "*/0 3 * * *", "lasts": "1h"},
        {"cron": "0 3 * * *", "lasts": "1h", "match": {}},
        {"cron": "0 3 * * *", "lasts": "1h", "zone": "Mars"},
    ],
)
def test_what_says_no_time_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        window(**wrong)


class Acts:
    def __init__(self) -> None:
        self.done: list[Mapping[str, Any]] = []
        self.fails: list[Exception] = []

    async def act(self, act: Mapping[str, Any]) -> int:
        if self.fails:
            raise self.fails.pop(0)
        self.done.append(act)
        return len(self.done)


async def test_a_window_becomes_one_act_however_often_the_hub_starts() -> None:
    db, acts = sqlite3.connect(":memory:", isolation_level=None), Acts()
    now = [at("2026-11-22 22:00")]
    weekly = window(weekly="sun 23:00", lasts="2h", why="ganti baterai")

    def planner() -> Planner:
        return Planner(db, acts, [weekly], ZONE, lambda: now[0])

    assert await planner().look() == 0
    now[0] += HOUR
    assert [await planner().look() for _ in range(3)] == [1, 0, 0]
    assert acts.done == [
        {
            "kind": "maintenance",
            "who": "settings",
            "why": "w: ganti baterai",
            "matcher": {"site": "porsea"},
            "until_ns": at("2026-11-23 01:00"),
        }
    ]
    now[0] += 7 * 24 * HOUR
    assert await planner().look() == 1
    db.close()


async def test_an_act_that_can_not_be_written_now_is_written_later_and_a_refused_one_never() -> (
    None
):
    db, acts = sqlite3.connect(":memory:", isolation_level=None), Acts()
    once = window(**{"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"})
    planner = Planner(db, acts, [once], ZONE, lambda: at("2026-12-01 23:00") + MINUTE)
    acts.fails = [TryAgain("no ingest")]
    with pytest.raises(TryAgain):
        await planner.look()
    assert await planner.look() == 1
    other = window(name="v", **{"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"})
    planner = Planner(db, acts, [other], ZONE, lambda: at("2026-12-01 23:00"))
    acts.fails = [BadItem("no")]
    assert [await planner.look(), await planner.look()] == [0, 0]
    assert len(acts.done) == 1
    db.close()
