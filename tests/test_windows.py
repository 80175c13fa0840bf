"""Planned work: once, weekly, as cron says; each occurrence becomes one act."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from hub.api import BadItem, TryAgain
from hub.cli.main import cli
from hub.planner import Planner
from hub.plans import NAME, Plan, PlanError, Plans
from hub.windows import Window, begun, cron, next_begin
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


async def test_a_window_becomes_one_act_however_often_the_hub_starts(tmp_path: Path) -> None:
    db, acts = sqlite3.connect(":memory:", isolation_level=None), Acts()
    now = [at("2026-11-22 22:00")]
    weekly = window(weekly="sun 23:00", lasts="2h", why="ganti baterai")

    def planner() -> Planner:
        return Planner(db, acts, [weekly], Plans(tmp_path), ZONE, lambda: now[0])

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


async def test_an_act_that_can_not_be_written_now_is_written_later_and_a_refused_one_never(
    tmp_path: Path,
) -> None:
    db, acts = sqlite3.connect(":memory:", isolation_level=None), Acts()
    once = window(**{"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"})
    planner = Planner(
        db, acts, [once], Plans(tmp_path), ZONE, lambda: at("2026-12-01 23:00") + MINUTE
    )
    acts.fails = [TryAgain("no ingest")]
    with pytest.raises(TryAgain):
        await planner.look()
    assert await planner.look() == 1
    other = window(name="v", **{"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"})
    planner = Planner(db, acts, [other], Plans(tmp_path), ZONE, lambda: at("2026-12-01 23:00"))
    acts.fails = [BadItem("no")]
    assert [await planner.look(), await planner.look()] == [0, 0]
    assert len(acts.done) == 1
    db.close()


async def test_what_somebody_planned_begins_in_their_name(tmp_path: Path) -> None:
    db, acts = sqlite3.connect(":memory:", isolation_level=None), Acts()
    once = window(**{"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"})
    Plans(tmp_path).add(Plan(once, "rina", 1))
    planner = Planner(db, acts, [], Plans(tmp_path), ZONE, lambda: at("2026-12-01 23:00"))
    assert [await planner.look(), await planner.look()] == [1, 0]
    assert acts.done[0]["who"] == "rina"
    db.close()


def test_plans_are_kept_as_they_were_made_and_a_name_stands_once(tmp_path: Path) -> None:
    given = [
        window(name="a", **{"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"}),
        window(name="b", weekly="sun 23:00", lasts="2h", why="baterai"),
        window(name="c", cron="0 3 1 * *", lasts="1h30m", match={"device": ["x", "y"]}),
    ]
    plans = Plans(tmp_path)
    for one in given:
        plans.add(Plan(one, "rina", 7))
    assert plans.list() == [Plan(one, "rina", 7) for one in given]
    with pytest.raises(PlanError, match="planned already"):
        plans.add(Plan(given[0], "budi", 8))
    plans.remove("b")
    assert [one.window.name for one in plans.list()] == ["a", "c"]
    with pytest.raises(PlanError, match="no window 'b'"):
        plans.remove("b")


async def test_a_file_of_plans_that_is_broken_is_named_and_stops_no_other_window(
    tmp_path: Path,
) -> None:
    (tmp_path / NAME).write_text('{"windows": [{"window": {}}]}')
    with pytest.raises(PlanError, match=r"maintenance\.json: can't be read"):
        Plans(tmp_path).list()
    db, acts = sqlite3.connect(":memory:", isolation_level=None), Acts()
    once = window(**{"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"})
    planner = Planner(db, acts, [once], Plans(tmp_path), ZONE, lambda: at("2026-12-01 23:00"))
    assert await planner.look() == 1
    db.close()


@pytest.mark.parametrize(
    ("given", "begin"),
    [
        ({"from": "2026-12-01 22:00", "until": "2026-12-02 02:00"}, "2026-12-01 22:00"),
        ({"weekly": "sun 23:00", "lasts": "2h"}, "2026-11-29 23:00"),
        ({"cron": "0 0 29 2 *", "lasts": "2h"}, "2028-02-29 00:00"),
        ({"cron": "0 0 31 2 *", "lasts": "2h"}, ""),
        ({"from": "2025-12-01 22:00", "until": "2025-12-02 02:00"}, ""),
    ],
)
def test_the_next_beginning_is_told(given: dict[str, Any], begin: str) -> None:
    found = next_begin(window(**given), at("2026-11-23 00:00"), ZONE)
    assert found == (at(begin) if begin else None)


def test_the_command_plans_lists_and_forgets_and_names_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "toba-hub.yaml"
    path.write_text(
        "store: {kind: duckdb}\ninventory: []\nrules: {library: false}\n"
        "maintenance: [{name: backup, match: {device: x}, weekly: sun 02:00, lasts: 2h}]\n"
    )

    def say(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["maintenance", *words, "-s", str(path)])
        return done.exit_code, done.stdout + done.stderr

    once = ("--from", "2999-12-01 22:00", "--until", "2999-12-02 02:00")
    assert say("add", "ups", "site=porsea", *once, "--who", "rina") == (
        0,
        "planned; begins 2999-12-01 22:00\n"
        "toba-hub: look: no device of the inventory matches; planned all the same\n",
    )
    listed = say("list")[1]
    assert "site=porsea  begins 2999-12-01 22:00  rina" in listed
    assert "settings" in listed
    for words, said in [
        (("add", "ups", "site=porsea", *once), "planned already"),
        (("add", "backup", "site=porsea", *once), "the settings have a window 'backup' already"),
        (("add", "x", "sight=porsea", *once), "can't match by 'sight'"),
        (("add", "x", "site=porsea", "--cron", "0 33 * * *", "--lasts", "2h"), "the hour '33'"),
        (("add", "x", "site=porsea", "--weekly", "sun 02:00"), "needs lasts"),
        (("add", "x", "porsea", *once), "a matcher is key=value"),
        (("remove", "backup"), "take it out there"),
        (("remove", "x"), "no window 'x'"),
    ]:
        code, answer = say(*words)
        assert code != 0
        assert said in answer, words
    assert say("remove", "ups")[0] == 0
    assert "ups" not in say("list")[1]
