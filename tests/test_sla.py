"""Availability agrees, to the second, with somebody who looks at every second by itself."""

from __future__ import annotations

from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from hub.clock import NS
from hub.presence import DEAF, DOWN, HOLD, HUB, UP, Presence, Span, still_open
from hub.reading import Reading, Series
from hub.report import sla
from hub.report.month import Month
from hub.report.sla import Evidence, Fate, Figures, Piece, Stretch

END = 60
stretches = st.lists(
    st.tuples(st.integers(-5, END + 5), st.integers(0, 30)).map(lambda p: (p[0], p[0] + p[1])),
    max_size=4,
)
evidences = st.builds(
    Evidence,
    watched=stretches,
    heard=stretches.map(lambda some: [*some, (0, END)]) | stretches,
    maintenance=stretches,
    up=stretches,
    down=stretches,
    shut=stretches,
    upstream=stretches,
)


def covers(layer: list[Stretch], second: int) -> bool:
    return any(since <= second < until for since, until in layer)


def fate_of(e: Evidence, second: int) -> Fate:
    """The table of the module's docstring, read aloud."""
    on = {name: covers(list(getattr(e, name)), second) for name in e.__slots__}
    if not on["watched"]:
        return Fate.ABSENT
    if on["maintenance"]:
        return Fate.MAINTENANCE
    if on["shut"] and not on["up"]:
        return Fate.MAINTENANCE
    if not on["heard"]:
        return Fate.UNKNOWN
    if on["up"]:
        return Fate.UP
    if on["upstream"]:
        return Fate.UPSTREAM
    if on["down"]:
        return Fate.DOWN
    return Fate.UNKNOWN


@fuzz(max_examples=300, deadline=None)
@given(evidences)
def test_every_second_has_the_fate_that_the_table_says(e: Evidence) -> None:
    pieces = sla.fates(e, (0, END))
    assert [p.fate for p in pieces for _ in range(p.since_ns, p.until_ns)] == [
        fate_of(e, second) for second in range(END)
    ]
    assert all(a.fate is not b.fate for a, b in pairwise(pieces))


@fuzz(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(list(Fate)), max_size=END))
def test_the_figures_are_those_of_counting_seconds_one_by_one(seconds: list[Fate]) -> None:
    pieces = sla._joined((n, n + 1, fate) for n, fate in enumerate(seconds))
    found = sla.figures(pieces)
    parts = [found.absent_ns, found.maintenance_ns, found.unknown_ns, found.up_ns]
    parts += [found.upstream_ns, found.down_ns]
    assert parts == [seconds.count(fate) for fate in Fate]
    longest, since, runs = 0, 0, 0
    # Between two seconds of UP there is one outage at most, whatever else was in between.
    begin = 0
    for end in [n for n, fate in enumerate(seconds) if fate is Fate.UP] + [len(seconds)]:
        down = [n for n in range(begin, end) if seconds[n] is Fate.DOWN]
        runs += bool(down)
        if len(down) > longest:
            longest, since = len(down), down[0]
        begin = end + 1
    assert (found.outages, found.longest_ns, found.longest_since_ns) == (runs, longest, since)


@fuzz(max_examples=200, deadline=None)
@given(st.lists(evidences, min_size=1, max_size=3))
def test_what_has_several_ways_is_up_while_one_of_them_is(ways: list[Evidence]) -> None:
    pieces = sla.together([sla.fates(e, (0, END)) for e in ways], (0, END))
    told = [p.fate for p in pieces for _ in range(p.since_ns, p.until_ns)]
    for second in range(END):
        fates = {fate_of(e, second) for e in ways}
        if Fate.UP in fates:
            assert told[second] is Fate.UP
        elif Fate.DOWN in fates:
            assert told[second] is Fate.DOWN
        else:
            assert told[second] in fates


SERIES = Series.of("device", "r1", probe="icmp")
steps = st.lists(
    st.tuples(st.sampled_from(["listen", "away", "up", "down"]), st.integers(1, 400)), max_size=12
)


@fuzz(max_examples=300, deadline=None)
@given(steps, st.integers(0, 12))
def test_what_is_folded_is_what_the_readings_said_second_by_second(
    given_steps: list[tuple[str, int]], restart: int
) -> None:
    """The hub listens, a reading then comes or doesn't, or it is away; once the fold is restarted
    from its snapshot."""
    presence, now = Presence(), 0
    said: list[tuple[int, int]] = []
    ticks: list[int] = []
    kept: list[Span] = []
    for number, (what, pause) in enumerate(given_steps):
        begin = now
        now += pause
        for second in [*(range(begin + 60, now, 60) if what != "away" else ()), now]:
            presence.tick(second * NS)
            ticks.append(second)
        if what in ("up", "down"):
            state = UP if what == "up" else DOWN
            presence.observe([Reading(SERIES, now * NS, {"up": state})], now * NS)
            said.append((now, state))
        if number == restart:
            kept += presence.news()[0]
            presence.told()
            presence = Presence.restore(presence.snapshot())
    kept += [*presence.news()[0], *still_open(presence.snapshot())]
    spans = {
        state: [(s.since_ns, s.until_ns) for s in kept if s.series == SERIES.key
                and s.state == state] for state in (UP, DOWN)
    }  # fmt: skip
    heard = [(s.since_ns, s.until_ns) for s in kept if s.series == HUB]
    e = Evidence(watched=[(0, now * NS)], heard=heard, up=spans[UP], down=spans[DOWN])
    pieces = sla.fates(e, (0, now * NS))
    told = [p.fate for p in pieces for _ in range((p.until_ns - p.since_ns) // NS)]
    assert told == [by_hand(second, said, ticks) for second in range(now)]


def by_hand(second: int, said: list[tuple[int, int]], ticks: list[int]) -> Fate:
    before = [t for t in ticks if t <= second]
    after = [t for t in ticks if t > second]
    if not before or not after or after[0] - before[-1] > DEAF // NS:
        return Fate.UNKNOWN  # nobody listened
    last = max((one for one in said if one[0] <= second), default=None)
    if last is None or second - last[0] >= HOLD // NS:
        return Fate.UNKNOWN
    between = [t for t in ticks if last[0] <= t <= second]
    if any(b - a > DEAF // NS for a, b in pairwise(between)):
        return Fate.UNKNOWN
    return Fate.UP if last[1] == UP else Fate.DOWN


def test_the_longest_gap_is_cut_to_what_was_watched_and_asked_and_overlaps_are_one() -> None:
    gaps = [(0, 10), (5, 30), (40, 60), (61, 90)]
    assert sla.longest(gaps, [(0, 100)], (0, 100)) == (0, 30)
    assert sla.longest(gaps, [(0, 100)], (20, 100)) == (61, 90)
    assert sla.longest(gaps, [(0, 8), (25, 55)], (0, 100)) == (40, 55)
    assert sla.longest(gaps, [], (0, 100)) == (0, 0)
    assert sla.longest([], [(0, 100)], (0, 100)) == (0, 0)


def test_a_hundred_percent_is_said_only_of_what_was_never_down() -> None:
    assert Figures(up_ns=10**15, down_ns=1).hundredths == 9999
    assert Figures(up_ns=10**15).hundredths == 10_000
    assert Figures(unknown_ns=5).hundredths is None
    assert Figures(up_ns=99, down_ns=1).meets(99.0) is True
    assert Figures(up_ns=98_999, down_ns=1001).meets(99.0) is False


def test_an_outage_with_a_hole_in_what_is_known_is_one_outage() -> None:
    pieces = [
        Piece(0, 10, Fate.DOWN),
        Piece(10, 20, Fate.UNKNOWN),
        Piece(20, 25, Fate.DOWN),
        Piece(25, 30, Fate.UP),
        Piece(30, 31, Fate.DOWN),
    ]
    assert sla.outages(pieces) == [(0, 25, 15), (30, 31, 1)]


def test_a_month_begins_at_the_midnight_of_its_place() -> None:
    toba = Month.parse("2026-10").span(ZoneInfo("Asia/Jakarta"))
    assert toba == (1_790_787_600 * NS, 1_793_466_000 * NS)  # 17:00 UTC of the day before
    assert len(Month(2026, 10).midnights(ZoneInfo("Asia/Jakarta"))) == 31
    start, stop = Month(2026, 10).span(ZoneInfo("Europe/Berlin"))
    assert (stop - start) // NS == 31 * 86_400 + 3600  # clocks are set back on the 25th
    assert [Month(2026, 1).before(), Month(2026, 12).after()] == [(2025, 12), (2027, 1)]
    for wrong in ("2026-13", "2026", "10-2026", "2026-1"):
        with pytest.raises(ValueError, match="no month"):
            Month.parse(wrong)
