"""A backtest says what live evaluation said, from the store, without looking at every reading."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.backtest.run import Report, run
from hub.cli.backtest import rules_backtest
from hub.clock import now_ns
from hub.reading import Quality, Reading, Series
from hub.store.base import Batch
from hub.store.duckdb import DuckStore
from rules.rule import Rule
from rules.transition import Transition
from rules.watch import LATE_AFTER, Watch
from tests.reload_support import files
from tests.rules_support import (
    AQ,
    CORE,
    DOWN,
    MINUTE,
    OFFICE,
    PM,
    SILENT,
    START,
    THINGS,
    S,
    rules,
)

HOUR = 60 * MINUTE
MEAN = """
  - name: pm_hour
    title: {id: "PM {value}", en: "PM {value}"}
    when: {measurement: environment, field: pm25, mean: 1h, above: 55, clear_below: 45}
    for: 10m
    keep_firing: 10m
    notify: [dlh]
"""
RAIN = """
  - name: rain
    title: {id: "Hujan {value}", en: "Rain {value}"}
    when: {measurement: environment, field: rain_mm, sum: 1h, above: 20}
    notify: [bpbd]
"""
GOOD = """
  - name: good_only
    title: {id: "PM {value}", en: "PM {value}"}
    when: {measurement: environment, field: pm25, above: 80, quality: good}
"""
LOW = """
  - name: dry
    title: {id: "Kering", en: "Dry"}
    when: {measurement: environment, field: rain_mm, sum: 2h, below: 0.5}
"""
OTHERS = [
    f"""
  - name: {name}
    title: {{id: "{name} {{value}}", en: "{name} {{value}}"}}
    when: {{measurement: environment, {when}}}
{more}    notify: [dlh]
"""
    for name, when, more in [
        ("calm", "field: pm25, max: 2h, below: 55, clear_above: 60", "    for: 20m\n"),
        ("clean", "field: pm25, min: 30m, below: 12", ""),
        ("thick", "field: pm25, min: 1h, above: 44", ""),
        ("worst", "field: pm25, p95: 90m, above: 55", "    keep_firing: 5m\n"),
        ("exact", "field: pm25, equals: 55", "    for: 3m\n"),
        ("other", "field: pm25, not_equals: 10", "    for: 30m\n"),
        ("showers", "field: rain_mm, sum: 3h, above: 30", ""),
        ("steep", "field: pm25, rate: 1h, above: 55", ""),
        ("few", "field: pm25, count: 1h, below: 30", ""),
        ("restless", "field: pm25, changes: 1h, above: 30", ""),
        ("dumb", "field: pm25, absent: 2h", "    where: {kind: sensor}\n"),
        ("mute", "absent: 40m", "    where: {kind: sensor}\n"),
    ]
]
KINDS = [PM, MEAN, RAIN, GOOD, SILENT, DOWN, *OTHERS]
HUB = Series.of("hub", "hub", part="ingest")
EXAMPLES = int(os.environ.get("BACKTEST_EXAMPLES", "12"))
"""Stories told; more of them take minutes."""


class Arrival(NamedTuple):
    now: int
    reading: Reading


def live(
    found: Sequence[Rule], arrivals: Sequence[Arrival], down: tuple[int, int] | None, stop: int
) -> list[Transition]:
    """What a hub says that ticks every second and is killed and started again on the way."""
    watch, said, number, index = Watch(found, THINGS), [], 0, 0
    polled = {rule.when.measurement for rule in found}
    for now in range(START, stop + 1, S):
        number += 1
        if down is None or not down[0] < now < down[1]:
            said += watch.tick(number, now)
        if down is not None and now == down[1]:
            watch = Watch.restore(found, THINGS, watch.snapshot())
        while index < len(arrivals) and arrivals[index].now <= now:
            number += 1
            reading = arrivals[index].reading
            said += watch.observe(number, [reading], now)
            asked = reading.series.device in watch.questions()
            if asked and reading.series.measurement in polled and "up" in reading.fields:
                # The hub polls what is asked at once, and keeps the verdict beside the reading.
                up = bool(reading.fields["up"])
                said += watch.verdict(number, now, reading.series.device, up)
            index += 1
    return said


def stored(arrivals: Sequence[Arrival]) -> list[Reading]:
    """As the pipeline hands them to the store: what came late is marked."""
    return [
        reading._replace(quality=reading.quality | Quality.DELAYED)
        if now - reading.time_ns > LATE_AFTER
        else reading
        for now, reading in arrivals
    ]


def brief(said: Sequence[Transition]) -> list[tuple[object, ...]]:
    return sorted(
        (t.time_ns, t.key, t.before, t.after, t.since_ns, t.notify, t.cause, t.why) for t in said
    )


async def judged(
    found: Sequence[Rule],
    readings: Sequence[Reading],
    stop: int,
    changed: Sequence[Rule] | None = None,
) -> tuple[Report, list[Transition], list[Transition]]:
    """The report, what these rules said and what the changed ones said."""
    store, said = DuckStore(None), ([], [])
    try:
        await store.write(Batch(readings, 0))
        report = await run(
            store, THINGS, found, changed, START, stop, listen=lambda n, new: said[n].extend(new)
        )
    finally:
        await store.close()
    return report, *said


Story = list[tuple[int, float, str]]
TROUBLES = ["", "", "gap", "late", "twice", "spike", "core down", "rain", "quiet", "still", "flap"]
stories = st.lists(
    st.tuples(
        st.integers(5, 120),
        st.sampled_from([10.0, 44.0, 45.0, 50.0, 55.0, 55.4, 60.0, 80.0, 90.0]),
        st.sampled_from(TROUBLES),
    ),
    min_size=4,
    max_size=14,
)
"""Minutes, level, and what goes wrong meanwhile; `quiet` lasts six times as long."""
kinds = st.sets(st.sampled_from(KINDS), min_size=1, max_size=5)


def happened(story: Story, down: tuple[int, int] | None) -> tuple[list[Arrival], int]:
    """Stretches of minutes, each with a level and something that goes wrong in it."""
    arrivals: list[Arrival] = []
    now = START
    for length, level, trouble in story:
        for minute in range(6 * length if trouble == "quiet" else length):
            now += MINUTE
            if down is not None and down[0] <= now < down[1]:
                continue
            if trouble != "gap":
                high = 0.0 if trouble in ("quiet", "still") else 1.0
                value = (
                    10.0 if trouble == "flap" and minute % 4 < 2 else level + high * (minute % 3)
                )
                fields = {"pm25": value, "rain_mm": 1.0 if trouble == "rain" else 0.0}
                doubt = int(Quality.SPIKE) if trouble == "spike" and minute % 4 == 0 else 0
                one = Reading(AQ, now, fields, doubt)
                late = 20 * MINUTE if trouble == "late" and minute % 5 == 0 else 0
                arrivals.append(Arrival(now + late, one))
                if trouble == "twice" and minute % 7 == 0:
                    arrivals.append(Arrival(now, one))
            up = int(not (trouble == "core down" and 3 < minute < 40))
            arrivals.append(Arrival(now, Reading(CORE, now, {"up": up})))
            later = now + 20 * S
            if down is None or not down[0] <= later < down[1]:
                arrivals.append(Arrival(later, Reading(OFFICE, later, {"up": 1})))
    stop = now + 5 * MINUTE
    if down is not None and down[1] == stop:
        stop += MINUTE  # that it is up again, the hub says a moment later
    for time_ns in range(START, stop, 10 * S):
        if down is None or not down[0] < time_ns < down[1]:
            arrivals.append(Arrival(time_ns, Reading(HUB, time_ns, {"journal_id": 1})))
    return sorted(arrivals, key=lambda one: one.now), stop


@given(
    texts=kinds,
    story=stories,
    pause=st.none() | st.tuples(st.integers(30, 200), st.integers(2, 60)),
    both=st.booleans(),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_with_gaps_late_and_repeated_points_and_a_restart_it_is_what_live_evaluation_gave(
    texts: set[str], story: Story, pause: tuple[int, int] | None, both: bool
) -> None:
    down = None if pause is None else (START + pause[0] * MINUTE, START + sum(pause) * MINUTE)
    arrivals, stop = happened(story, down)
    chosen = sorted(texts, key=KINDS.index)
    found = rules(*chosen)
    changed = rules(*(text.replace("55", "50") for text in chosen)) if both else None
    report, said, then = asyncio.run(judged(found, stored(arrivals), stop, changed))
    assert brief(said) == brief(live(found, arrivals, down, stop))
    fired = sum(one.fired for one in report.before.values())
    assert fired == sum(t.after == "firing" and t.before != "firing" for t in said)
    if changed is not None:
        assert brief(then) == brief(live(changed, arrivals, down, stop))


def quiet_week(bad: range) -> list[Reading]:
    """A sensor that is well but for some minutes, counted from the start."""
    return [
        Reading(AQ, START + n * MINUTE, {"pm25": 90.0 if n in bad else 20.0, "rain_mm": 0.0})
        for n in range(7 * 24 * 60)
    ]


async def test_most_of_a_quiet_history_is_never_read() -> None:
    week = quiet_week(range(5000, 5180))
    report, said, _ = await judged(rules(PM, MEAN, SILENT), week, START + 7 * 24 * HOUR)
    assert report.readings == len(week)
    assert report.fed < len(week) / 5
    assert report.before["pm"].fired == report.before["pm_hour"].fired == 1
    assert report.before["silent"].fired == 0
    expected = live(
        [*rules(PM, MEAN)], [Arrival(r.time_ns, r) for r in week], None, week[-1].time_ns
    )
    assert brief([t for t in said if t.rule != "silent"]) == brief(expected)


async def test_whoever_is_silent_is_told_of_when_what_it_depends_on_has_answered() -> None:
    stop = START + 12 * HOUR
    spoken = [Reading(AQ, START + n * MINUTE, {"pm25": 20.0}) for n in range(600)]
    polls = [
        Reading(series, START + n * 20 * S + ahead * S, {"up": 1})
        for n in range(12 * 180)
        for series, ahead in ((CORE, 5), (OFFICE, 13))
    ]
    hub = [Reading(HUB, START + n * 30 * S, {"journal_id": n}) for n in range(12 * 120)]
    found = rules(SILENT, DOWN)
    report, said, _ = await judged(found, [*spoken, *polls, *hub], stop)
    arrivals = [Arrival(one.time_ns, one) for one in (*spoken, *polls, *hub)]
    assert brief(said) == brief(live(found, sorted(arrivals, key=lambda one: one.now), None, stop))
    fired, told = (t for t in said if t.after == "firing")
    assert (fired.notify, told.notify) == ((), ("dlh",))
    assert told.time_ns - fired.time_ns <= 20 * S
    assert report.fed < len(spoken) + len(polls)


async def test_what_summaries_can_not_bound_is_read_whole() -> None:
    readings = quiet_week(range(0))[:2000]
    report, said, _ = await judged(rules(LOW), readings, readings[-1].time_ns + 1)
    assert report.fed == len(readings)
    arrivals = [Arrival(r.time_ns, r) for r in readings]
    assert brief(said) == brief(live(rules(LOW), arrivals, None, readings[-1].time_ns))


async def test_a_device_that_never_spoke_is_missed_from_the_start() -> None:
    readings = [Reading(CORE, START + n * MINUTE, {"up": 1}) for n in range(200)]
    hub = [Reading(HUB, START + n * 10 * S, {"journal_id": n}) for n in range(1200)]
    store = DuckStore(None)
    environment = Reading(Series.of("environment", "other"), START, {"pm25": 1.0})
    await store.write(Batch([*readings, *hub, environment], 0))
    report = await run(store, THINGS, rules(SILENT), None, START, START + 200 * MINUTE)
    await store.close()
    assert report.before["silent"].devices["aq1"].fired == 1
    assert report.before["silent"].devices["aq1"].open


async def test_a_change_is_counted_beside_today_with_flaps_and_who_is_called() -> None:
    readings = [
        Reading(AQ, START + n * MINUTE, {"pm25": 52.0 if n % 10 < 5 else 30.0}) for n in range(100)
    ]
    changed = rules(PM.replace("above: 55.4", "above: 50") + "    flapping: off\n")
    store = DuckStore(None)
    await store.write(Batch(readings, 0))
    stop = START + 100 * MINUTE
    report = await run(store, THINGS, rules(PM), changed, START, stop)
    await store.close()
    before, after = report.before["pm"], (report.after or {})["pm"]
    assert (before.fired, after.fired, after.flaps) == (0, 10, 9)
    assert after.told == {"dlh": 20}
    assert after.days == [10]
    assert after.firing_s == pytest.approx(10 * 240, abs=20)


def test_the_command_compares_a_change_with_today_on_a_stopped_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = now_ns() // HOUR * HOUR
    readings = [
        Reading(Series.of("environment", "aq1"), now - n * MINUTE, {"pm25": 52.0 if n < 60 else 20})
        for n in range(1, 600)
    ]
    conf = files(tmp_path, PM.replace("notify: [dlh]", ""), store={"kind": "duckdb"})
    conf.settings.data.mkdir()

    async def fill() -> None:
        store = DuckStore(conf.settings.data / "readings.duckdb")
        await store.write(Batch(readings, 0))
        await store.close()

    asyncio.run(fill())
    rules_backtest(
        since="1d",
        until="",
        change=["pm.when.above=50"],
        file=None,
        only=None,
        everything=False,
        as_json=False,
        html=tmp_path / "page.html",
        settings=conf.path,
    )
    said = capsys.readouterr().out
    table = [line.split() for line in said.splitlines()]
    assert [row[1:3] for row in table if row[:1] == ["pm"]] == [["now", "0"]]
    assert [row[:2] for row in table if row[:1] == ["then"]] == [["then", "1"]]
    assert "aq1 0 → 1" in said
    assert "<svg" in (tmp_path / "page.html").read_text()


def test_a_change_that_leads_nowhere_is_refused_with_the_key(tmp_path: Path) -> None:
    conf = files(tmp_path, PM.replace("notify: [dlh]", ""), store={"kind": "duckdb"})
    with pytest.raises(typer.Exit):
        rules_backtest(change=["pm.when.above=much"], settings=conf.path)
