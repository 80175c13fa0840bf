"""Who is on duty, when the night begins: times of day are local."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from hub.clock import from_datetime, to_datetime
from hub.notify.rota import Escalation, Override, Quiet, Rota, held_until, next_on_duty, on_duty
from tests.notify_support import ZONE

WIB = ZoneInfo(ZONE)


def at(text: str, zone: ZoneInfo = WIB) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=zone))


def rota(**more: Any) -> Rota:
    usual = {"people": ["andi", "budi", "citra"], "since": "2026-11-02", "handover": "mon 08:00"}
    return Rota.model_validate({**usual, **more})


@pytest.mark.parametrize(
    ("when", "who"),
    [
        ("2026-11-02 08:00", "andi"),
        ("2026-11-09 07:59", "andi"),
        ("2026-11-09 08:00", "budi"),
        ("2026-11-16 08:00", "citra"),
        ("2026-11-23 08:00", "andi"),
        ("2026-11-02 07:59", "citra"),  # the turns go on into the past
    ],
)
def test_people_take_turns_a_week_each_and_hand_over_at_the_local_time(when: str, who: str) -> None:
    assert on_duty(rota(), at(when), ZONE).person == who


def test_a_duty_says_when_it_began_and_will_end() -> None:
    found = on_duty(rota(), at("2026-11-11 12:00"), ZONE)
    assert (found.since_ns, found.until_ns) == (at("2026-11-09 08:00"), at("2026-11-16 08:00"))


def test_an_override_wins_while_it_lasts_and_bounds_the_duties_beside_it() -> None:
    swapped = rota(
        overrides=[{"person": "citra", "from": "2026-11-10 08:00", "until": "2026-11-11 08:00"}]
    )
    before, during, after = (
        on_duty(swapped, at(when), ZONE)
        for when in ("2026-11-10 07:00", "2026-11-10 12:00", "2026-11-11 09:00")
    )
    assert [one.person for one in (before, during, after)] == ["budi", "citra", "budi"]
    assert before.until_ns == during.since_ns == at("2026-11-10 08:00")
    assert during.until_ns == after.since_ns == at("2026-11-11 08:00")


def test_an_override_over_a_hand_over_reaches_into_both_weeks() -> None:
    swapped = rota(
        overrides=[{"person": "x", "from": "2026-11-08 08:00", "until": "2026-11-10 08:00"}]
    )
    assert on_duty(swapped, at("2026-11-09 12:00"), ZONE).person == "x"
    assert on_duty(swapped, at("2026-11-10 08:00"), ZONE).person == "budi"


def test_who_is_next_is_somebody_else_also_around_an_override() -> None:
    swapped = rota(
        overrides=[{"person": "budi", "from": "2026-11-17 08:00", "until": "2026-11-18 08:00"}]
    )
    found = [
        next_on_duty(swapped, at(when), ZONE) for when in ("2026-11-09 09:00", "2026-11-16 09:00")
    ]
    assert [(one.person, one.since_ns) for one in found if one] == [
        ("citra", at("2026-11-16 08:00")),
        ("budi", at("2026-11-17 08:00")),
    ]
    itself = rota(
        overrides=[{"person": "budi", "from": "2026-11-16 08:00", "until": "2026-11-18 08:00"}]
    )
    later = next_on_duty(itself, at("2026-11-09 09:00"), ZONE)
    assert later is not None
    assert (later.person, later.since_ns) == ("citra", at("2026-11-18 08:00"))
    assert next_on_duty(rota(people=["andi"]), at("2026-11-09 09:00"), ZONE) is None


def test_a_hand_over_stays_at_its_hour_where_clocks_are_changed() -> None:
    berlin = rota(zone="Europe/Berlin", since="2026-10-19")
    found = on_duty(berlin, at("2026-10-24 12:00", ZoneInfo("Europe/Berlin")), ZONE)
    assert to_datetime(found.since_ns, UTC).hour == 6
    assert to_datetime(found.until_ns, UTC).hour == 7


NIGHT = Quiet.model_validate({"from": "21:00", "until": "06:00"})


@pytest.mark.parametrize(
    ("when", "until"),
    [
        ("2026-11-09 20:59", ""),
        ("2026-11-09 21:00", "2026-11-10 06:00"),
        ("2026-11-10 02:00", "2026-11-10 06:00"),
        ("2026-11-10 06:00", ""),
    ],
)
def test_what_is_not_critical_waits_for_the_morning(when: str, until: str) -> None:
    assert held_until(NIGHT, "warning", at(when), ZONE) == (at(until) if until else 0)
    assert held_until(NIGHT, "critical", at(when), ZONE) == 0
    assert held_until(None, "info", at(when), ZONE) == 0


def test_quiet_hours_may_lie_within_a_day() -> None:
    noon = Quiet.model_validate({"from": "12:00", "until": "13:00", "severities": ["critical"]})
    assert held_until(noon, "critical", at("2026-11-10 12:30"), ZONE) == at("2026-11-10 13:00")
    assert held_until(noon, "warning", at("2026-11-10 12:30"), ZONE) == 0


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (Rota, {"people": []}),
        (Rota, {"people": ["a"], "handover": "someday 08:00"}),
        (Rota, {"people": ["a"], "handover": "mon 25:00"}),
        (Rota, {"people": ["a"], "zone": "Asia/Balige"}),
        (Override, {"person": "b", "from": "2026-11-10", "until": "2026-11-09"}),
        (Override, {"person": "b", "from": "soon", "until": "2026-11-09"}),
        (Override, {"person": "b", "from": "2026-11-10T00:00Z", "until": "2026-11-12"}),
        (Quiet, {"from": "21:00", "until": "21:00"}),
        (Quiet, {"from": "21:00", "until": "late"}),
        (Quiet, {"from": "21:00", "until": "06:00", "severities": ["loud"]}),
        (Escalation, {"after": "15m"}),
        (Escalation, {"after": "15", "teams": ["x"]}),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(model: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(wrong)


def test_a_time_of_day_that_yaml_read_as_a_number_is_understood() -> None:
    assert Quiet.model_validate({"from": 21 * 60, "until": 6 * 60}).begins.hour == 21
