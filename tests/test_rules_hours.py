"""Calendars: against a walk through the minutes, and what is wrong with a file of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rules import hours
from rules.hours import DAYS, Hours, Span

WIB = ZoneInfo("Asia/Jakarta")
MONDAY = datetime(2026, 11, 23, tzinfo=WIB)
S = 1_000_000_000


def ns(day: int, hour: int, minute: int = 0) -> int:
    """Time on that day of the week of the tests."""
    return round((MONDAY + timedelta(days=day, hours=hour, minutes=minute)).timestamp()) * S


def test_working_hours_end_when_the_office_closes() -> None:
    working = hours.default().by_name["working_hours"]
    opened = {
        (day, time): working.at(ns(day, *time)).open
        for day in (0, 4, 5)
        for time in ((7, 29), (7, 30), (15, 59), (16, 0), (16, 29), (16, 30))
    }
    assert [time for time, is_open in opened.items() if is_open] == [
        *((0, (7, 30)), (0, (15, 59))),
        *((4, (7, 30)), (4, (15, 59)), (4, (16, 0)), (4, (16, 29))),
    ]
    friday_night = working.at(ns(4, 20))
    assert (friday_night.from_ns, friday_night.to_ns) == (ns(4, 16, 30), ns(7, 7, 30))


def test_a_night_goes_on_after_midnight_and_belongs_to_its_day() -> None:
    night = Hours([Span(4, 22 * 60, 29 * 60)])
    assert night.at(ns(4, 23)) == (ns(4, 22), ns(5, 5), True)
    assert night.at(ns(5, 4)).open
    assert not night.at(ns(4, 4)).open


def test_on_a_holiday_nothing_begins_unless_it_says_so() -> None:
    off = [date(2026, 11, 24)]
    assert not Hours([Span(1, 480, 960)], off).at(ns(1, 9)).open
    assert Hours([Span(1, 480, 960, holidays=True)], off).at(ns(1, 9)).open


def test_days_that_follow_one_another_are_one_stretch() -> None:
    always = Hours([Span(day, 0, 1440) for day in range(5)])
    assert always.at(ns(2, 12)) == (ns(0, 0), ns(5, 0), True) or always.at(ns(2, 12)).open
    assert always.at(ns(2, 12)).to_ns == ns(5, 0)


spans = st.lists(
    st.builds(
        lambda day, start, length, holidays: Span(day, start * 30, (start + length) * 30, holidays),
        *(st.integers(0, 6), st.integers(0, 47), st.integers(1, 47), st.booleans()),
    ),
    min_size=1,
    max_size=6,
)


@given(spans, st.sets(st.integers(0, 9), max_size=3), st.booleans(), st.integers(0, 14 * 48))
def test_a_calendar_says_what_a_walk_through_its_spans_says(
    found: list[Span], off: set[int], inside: bool, half_hours: int
) -> None:
    days_off = {(MONDAY + timedelta(days=day)).date() for day in off}
    calendar = Hours(found, days_off, inside=inside)
    moment = MONDAY + timedelta(minutes=half_hours * 30 + 7)

    def walked() -> bool:
        for back in (0, 1):
            day = (moment - timedelta(days=back)).date()
            minute = back * 1440 + moment.hour * 60 + moment.minute
            for span in found:
                begins = span.weekday == day.weekday() and (span.holidays or day not in days_off)
                if begins and span.start <= minute < span.end:
                    return True
        return False

    time_ns = round(moment.timestamp()) * S
    stretch = calendar.at(time_ns)
    assert stretch.open is (walked() is inside)
    assert stretch.from_ns <= time_ns < stretch.to_ns
    assert calendar.at(stretch.to_ns).open is not stretch.open or stretch.to_ns > ns(300, 0)


def test_a_file_of_calendars_is_read() -> None:
    text = """
    zone: Asia/Jayapura
    calendars:
      market: {days: "wed,fri-sat", from: "04:00", to: "13:00"}
    holidays: {2026-11-25: Pasar tutup}
    """
    found, problems = hours.read(yaml.safe_load(text))
    assert problems == []
    market = found.by_name["market"]
    assert market.plain() == [
        [[2, 240, 780, False], [4, 240, 780, False], [5, 240, 780, False]],
        ["2026-11-25"],
        "Asia/Jayapura",
        True,
    ]
    assert not market.at(ns(2, 3)).open, "a holiday"
    assert market.at(ns(4, 3)).open, "five in the morning in Jayapura"
    assert "working_hours" in found.by_name
    assert market.outside().at(ns(2, 3)).open


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("[]", (), "a list"),
        ("{zone: Mars}", ("zone",), "time zone"),
        ("{holidays: [2026-01-01]}", ("holidays",), "has a name"),
        ("{holidays: {tomorrow: x}}", ("holidays", "tomorrow"), "no date"),
        ("{calendar: {}}", ("calendar",), "unknown key"),
        ("{calendars: {a: {days: mo}}}", ("calendars", "a", "days"), "no day"),
        ("{calendars: {a: {from: 7:30}}}", ("calendars", "a", "from"), "no time of day"),
        ("{calendars: {a: {to: '25:00'}}}", ("calendars", "a", "to"), "no time of day"),
        ("{calendars: {a: []}}", ("calendars", "a"), "no hours at all"),
        ("{calendars: {a: [{days: mon}, night]}}", ("calendars", "a", 1), "here is text"),
        ("{calendars: {a: {holidays: 1}}}", ("calendars", "a", "holidays"), "neither true"),
    ],
)
def test_a_mistake_in_a_calendar_is_named(text: str, path: tuple[str, ...], message: str) -> None:
    found, problems = hours.read(yaml.safe_load(text))
    assert [problem.path for problem in problems] == [path]
    assert message in str(problems[0])
    assert found.by_name
    assert len(DAYS) == 7
