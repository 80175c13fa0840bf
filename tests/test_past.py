"""A new rule knows from the store what was before it, and the journal knows what it was told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub import past, ruleset
from hub.journal import Class, Kind
from hub.past import MOST_READINGS, Answering
from hub.reading import Quality, Reading
from hub.records import wire
from hub.ruleset import RuleSet
from hub.store.base import Batch
from hub.store.duckdb import DuckStore
from rules.duration import DAY, HOUR
from rules.past import judge, looks_back
from rules.refill import REFILLED
from rules.replay import Replay
from rules.rule import Rule
from rules.transition import Transition
from tests.reload_support import files
from tests.rules_support import AQ, MINUTE, PM, SILENT, START, THINGS, S, rules
from tests.test_backtest import MEAN, OTHERS, RAIN
from tests.test_engine import World, fold, run_until

BOTH = """
  - name: both
    title: {id: "{name}", en: "{name}"}
    when:
      all:
        - {measurement: environment, field: pm25, mean: 30m, above: 50}
        - {measurement: environment, field: rain_mm, sum: 1h, below: 10}
"""
CALM = '    flapping: "off"\n'
NEW = [MEAN, RAIN, BOTH, PM.replace("name: pm", "name: again"), *OTHERS[:10]]


def brief(said: Sequence[Transition]) -> list[tuple[object, ...]]:
    """What counts. That something was resolved before it came, a new rule says to nobody."""
    return sorted(
        (
            t.time_ns,
            t.key,
            t.before.replace("resolved", "ok"),
            t.after,
            t.since_ns,
            t.notify,
            t.value,
        )
        for t in said
    )


def fed(watch: Replay, readings: Sequence[Reading]) -> list[Transition]:
    return [t for one in readings for t in watch.feed([one], one.time_ns)]


def story(levels: Sequence[tuple[int, float]]) -> list[Reading]:
    found, now = [], START
    for length, level in levels:
        for minute in range(length):
            now += MINUTE
            if level:
                fields = {"pm25": level + minute % 2, "rain_mm": float(level > 80)}
                found.append(Reading(AQ, now, fields))
    return found


@given(
    levels=st.lists(
        st.tuples(st.integers(3, 90), st.sampled_from([0, 10.0, 44.0, 55.0, 60.0, 90.0])),
        min_size=2,
        max_size=8,
    ),
    share=st.floats(0.1, 0.9),
    text=st.sampled_from(NEW),
)
@settings(max_examples=60, deadline=None)
def test_a_refilled_rule_goes_on_as_one_that_was_always_there(
    levels: list[tuple[int, float]], share: float, text: str
) -> None:
    readings = story(levels)
    cut = int(len(readings) * share)
    before, after = readings[:cut], readings[cut:]
    now = before[-1].time_ns + 20 * S if before else START
    old, new = rules(PM), rules(text.rstrip() + "\n" + CALM)
    always, late = Replay([*old, *new], THINGS, START), Replay(old, THINGS, START)
    for watch in (always, late):
        watch.begin()
        fed(watch, before)
        watch.advance(now)
    late.reload(10**6, now, [*old, *new], THINGS)
    late.refill(10**6 + 1, now, judge(new, THINGS, before, now), {new[0].name: now + HOUR})

    def standing(watch: Replay) -> list[tuple[str, str, int, float | None]]:
        return [(a.key, a.state, a.since_ns, a.value) for a in watch.alerts() if not a.until_ns]

    assert standing(late) == standing(always)
    assert brief(fed(late, after)) == brief(fed(always, after))
    assert standing(late) == standing(always)


def test_a_rule_looks_back_as_far_as_its_windows_and_its_waiting() -> None:
    assert looks_back(rules(PM)[0]) == 6 * MINUTE
    assert looks_back(rules(PM.replace("    for: 1m\n", ""))[0]) == 0
    assert looks_back(rules(SILENT)[0]) == 0
    assert looks_back(rules(MEAN)[0]) == 76 * MINUTE
    yesterday = PM.replace("above: 55.4, clear_below: 45", "above: 5, against: yesterday")
    assert looks_back(rules(yesterday)[0]) > DAY


def test_only_rules_that_mean_something_new_are_refilled() -> None:
    before = rules(PM, MEAN)
    worded = rules(PM, MEAN.replace("PM {value}", "Debu {value}"))
    assert past.new_rules(before, worded) == []
    moved = rules(PM, MEAN.replace("above: 55", "above: 60"), SILENT)
    assert [rule.name for rule in past.new_rules(before, moved)] == ["pm_hour"]


def configuration_of(folder: Path, found: Sequence[Rule]) -> RuleSet:
    """A record with these rules and the tests' things."""
    made = ruleset.of(files(folder, MEAN.replace("    notify: [dlh]\n", "")))
    return RuleSet(found, made.things, made.payload, made.sha256)


HOUR_OF_DUST = [Reading(AQ, START - n * MINUTE, {"pm25": 90.0}) for n in range(90, 0, -1)]


async def test_whatever_is_folded_again_gives_the_same_refilled_alert(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    made = configuration_of(tmp_path, rules(MEAN))
    world.write(2)
    now = START + 3 * MINUTE
    late = Reading(AQ, now - 30 * MINUTE - S, {"pm25": 0.0}, int(Quality.DELAYED))
    stored = past.pack(rules(MEAN), [wire(one) for one in [late, *HOUR_OF_DUST]])
    world.journal.append(
        [
            (now, Kind.CONFIG, Class.ACT, made.payload),
            (now, Kind.PAST, Class.ACKNOWLEDGED, stored),
        ]
    )
    last = world.journal.append([(now + S, Kind.TICK, Class.ACT, b"")])[1]
    await run_until(world.engine(), last)
    history = world.ledger.history(10)
    found = [(one["rule"], one["after"], one["why"], one["value"]) for one in history]
    assert ("pm_hour", "firing", REFILLED, 90.0) in found
    outcome = world.outcome()
    world.crash()
    again = World.engine(world)
    assert [one.state for one in again.fold.watch.alerts() if one.rule == "pm_hour"] == ["firing"]
    world.ledger.db.execute("DELETE FROM snapshot")
    world.ledger.db.execute("DELETE FROM configuration")
    await fold(world.engine(), world.records())
    assert world.outcome() == outcome
    world.ledger.close()
    world.journal.close()


async def test_the_store_is_asked_for_what_new_rules_look_back_to_and_not_for_more() -> None:
    store = DuckStore(None)
    long_ago = Reading(AQ, START - 3 * HOUR, {"pm25": 1.0})
    await store.write(Batch([long_ago, *HOUR_OF_DUST], 7))
    answering = Answering(store, lambda: START, lambda: 7, lambda: 7)
    said = await answering.answer(past.ask(rules(MEAN), THINGS))
    names, readings = past.unpack(past.pack(rules(MEAN), said["readings"]), THINGS)
    await store.close()
    assert names == {"pm_hour"}
    assert readings == [one for one in HOUR_OF_DUST if one.time_ns >= START - 76 * MINUTE]


async def test_more_readings_than_a_record_may_hold_are_refused_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MOST_READINGS * 100 < 16 * 2**20, "a record holds no more"
    monkeypatch.setattr(past, "MOST_READINGS", 70)
    store = DuckStore(None)
    await store.write(Batch(HOUR_OF_DUST, 7))
    answering = Answering(store, lambda: START, lambda: 7, lambda: 7)
    said = await answering.answer(past.ask(rules(MEAN), THINGS))
    await store.close()
    assert said == {"too_much": "76 readings of environment, more than 70"}
