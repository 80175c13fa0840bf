"""The rules against an oracle that remembers everything: random rules, readings, gaps, restarts,
clock jumps, acknowledgements and silences."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.reading import Quality, Reading, Series
from rules.model import parse_rules
from rules.rule import Rule
from rules.watch import Act, Thing, Watch
from tests.rules_oracle import Oracle, S

START = 1_700_002_800 * S
THINGS = [Thing(f"aq{n}", f"Sensor {n}", "sensor", "balige", "Balige") for n in range(3)]
SERIES = [Series.of("environment", thing.id, sensor="pm") for thing in THINGS]
SERIES.append(Series.of("environment", "aq0", sensor="second"))
FIELDS = ("pm25", "rain_mm")
SEEDS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
"""Stories that are told in every run."""


def condition(dice: Random, *, part: bool = False) -> dict[str, Any]:
    comparison = dice.choice(["above", "above", "below", "equals", "not_equals"])
    threshold = dice.randrange(1, 9) + (0.5 if comparison in ("above", "below") else 0)
    found: dict[str, Any] = {"measurement": "environment", "field": dice.choice(FIELDS)}
    kind = dice.choice([None, None, "mean", "min", "max", "sum", "p95", "rate", "count", "changes"])
    if kind == "count" and part:
        kind = "changes"
    if kind:
        found[kind] = dice.choice(["1m", "3m", "10m"])
        comparison = "above" if comparison in ("equals", "not_equals") else comparison
        threshold = dice.randrange(1, 9) + 0.5
    if kind == "rate":
        found["per"] = dice.choice(["1m", "10m"])
        threshold = dice.choice([-1, 1]) * (dice.random() * 2 + 0.123456789)
    found[comparison] = threshold
    if comparison in ("above", "below") and dice.random() < 0.4:
        way = -1 if comparison == "above" else 1
        found["clear_below" if way < 0 else "clear_above"] = threshold + way * dice.randrange(3)
    if dice.random() < 0.2 and kind != "count":
        found["only_if"] = {"flag": 1}
    if dice.random() < 0.2:
        found["quality"] = "good"
    return found


def rule(dice: Random, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": f"r{number}",
        "title": {"id": "x {value}", "en": "y {value}"},
        "notify": ["dlh"],
        "when": condition(dice),
    }
    shape = dice.random()
    if shape < 0.15:
        found["when"] = {"measurement": "environment", "absent": dice.choice(["1m", "4m"])}
        found["where"] = {"device": dice.choice(["aq*", "aq1"])}
    elif shape < 0.3:
        parts = [condition(dice, part=True) for _ in range(dice.randrange(2, 4))]
        found["when"] = {dice.choice(["all", "any"]): parts}
    elif shape < 0.4 and "count" not in found["when"]:
        found["together"] = {"at_least": 2, "of": "site"}
    if dice.random() < 0.5:
        found["for"] = dice.choice(["20s", "1m", "3m"])
    if dice.random() < 0.3:
        found["keep_firing"] = dice.choice(["20s", "2m"])
    found["flapping"] = dice.choice(
        ["off", {"times": 2, "within": "30m", "quiet": "2m"}, {"times": 3, "within": "10m"}]
    )
    return found


def rules(dice: Random) -> list[Rule]:
    data = [rule(dice, number) for number in range(dice.randrange(1, 6))]
    found, problems = parse_rules({"rules": data})
    assert problems == []
    return found


def story(dice: Random, found: list[Rule], length: int) -> list[tuple[Any, ...]]:
    """Hours in which devices keep their moods for a while."""
    script: list[tuple[Any, ...]] = []
    mood: list[int | None] = [dice.randrange(10) for _ in SERIES]
    for _ in range(length):
        gap = dice.choice([0, 1, 5, 10, 10, 20])
        if dice.random() < 0.02:
            gap = dice.choice([70, 400, 2000, -2, -30, -900])
        if dice.random() < 0.15:
            mood[dice.randrange(len(mood))] = dice.choice([None, *range(10)])
        what = dice.random()
        if what < 0.03:
            kind = dice.choice(["acknowledge", "acknowledge", "unacknowledge", "silence"])
            key = f"{dice.choice(found).name}:{dice.choice(KEYS)}"
            script.append((kind, gap, key, dice.randrange(20, 900)))
        elif what < 0.05:
            script.append(("unsilence", gap, "", 0))
        elif what < 0.4:
            script.append(("tick", gap))
        else:
            number = dice.randrange(len(SERIES))
            value = mood[number]
            if value is not None:
                script.append(("read", gap, number, fields(dice, value), age(dice), doubt(dice)))
    return script


KEYS = ("aq0:sensor=pm", "aq0:sensor=second", "aq1:sensor=pm", "aq1", "aq0", "site-balige")


def fields(dice: Random, value: int) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name in FIELDS if dice.random() < 0.8}
    if dice.random() < 0.7:
        found["flag"] = int(dice.random() < 0.8)
    if dice.random() < 0.03:
        found["pm25"] = dice.choice(["text", float("nan"), float("inf")])
    return found


def age(dice: Random) -> int:
    return dice.choice([0, 0, 0, 0, 2, 15, 200, 400, -5, -400])


def doubt(dice: Random) -> int:
    return dice.choice([0] * 8 + [int(Quality.STUCK), int(Quality.RETAINED), int(Quality.LATE)])


def brief(said: Any) -> list[Any]:
    return sorted((t.key, t.before, t.after, t.notify) for t in said)


def tell(seed: int, length: int) -> int:
    """One story to both; how many transitions there were."""
    dice = Random(seed)
    found = rules(dice)
    watch, oracle = Watch(found, THINGS), Oracle(found, THINGS, START)
    watch.tick(0, START)
    now, number = START, 0
    for step, (kind, gap, *rest) in enumerate(story(dice, found, length), start=1):
        now += gap * S
        if dice.random() < 0.05:
            packed = msgspec.msgpack.encode(watch.snapshot())
            watch = Watch.restore(found, THINGS, msgspec.msgpack.decode(packed))
        if kind == "tick":
            real, wanted = watch.tick(step, now), oracle.tick(now)
        elif kind == "read":
            place, given_, old, quality = rest
            reading = Reading(SERIES[place], now - old * S, given_, quality)
            real, wanted = watch.observe(step, [reading], now), oracle.observe(reading, now)
        else:
            key, length_ = rest
            matcher = (
                {} if kind in ("acknowledge", "unacknowledge") else {"rule": key.split(":")[0]}
            )
            matcher = {"device": "*"} if kind == "unsilence" or not step % 3 else matcher
            act = Act(kind, "siti", "why", key if "ack" in kind else "", matcher, now + length_ * S)
            real, wanted = watch.act(step, now, act), oracle.act(str(step), now, act)
        assert brief(real) == sorted(wanted), f"seed {seed}, step {step}: {kind} {rest}"
        number += len(real)
    states = {key: alarm.state for key, alarm in oracle.alarms.items() if alarm.state != "ok"}
    assert {a.key: a.state for a in watch.alerts() if a.state != "resolved"} == {
        key: state for key, state in states.items() if state != "resolved"
    }
    return number


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 250))
@example(0, 400)
def test_any_story_gives_the_alerts_that_its_whole_history_gives(seed: int, length: int) -> None:
    tell(seed, length)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stories_that_are_always_told(seed: int) -> None:
    tell(seed, 400)


def test_the_stories_are_about_something() -> None:
    assert sum(tell(seed, 200) for seed in SEEDS) > 100
