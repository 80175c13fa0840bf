"""The rules that the hub ships: their cases, and whether the cases would notice a mistake."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import rules
from rules import ambient, duration, heat, lake, oxygen, rain
from rules.bands import Band
from rules.expression import Expression
from rules.model import parse_rules
from rules.rule import FUNCTIONS, Rule
from rules.testing import load, load_rules, rules_of, run_cases
from rules.text import span

LIBRARY = Path(rules.__file__).parent / "library"
FILES = sorted(path for path in LIBRARY.glob("*.yaml") if not path.stem.endswith("_test"))
TESTS = sorted(LIBRARY.glob("*_test.yaml"))
TEAMS = {"kominfo", "dlh", "bpbd", "perikanan", "dishub"}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_cases_beside_a_rule_hold(path: Path) -> None:
    results = run_cases(path)
    assert results
    assert [str(result) for result in results if not result.ok] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_rule_file_has_cases_beside_it(path: Path) -> None:
    assert path.with_name(f"{path.stem}_test.yaml") in TESTS


def test_the_library_covers_what_a_regency_starts_with() -> None:
    assert {path.stem for path in FILES} == {
        *("link_down", "router_down", "cpu_high", "traffic_high", "pm25_unhealthy"),
        *("dissolved_oxygen_low", "lake_level_high", "rain_heavy"),
        *("camera_silent", "camera_degraded", "camera_recording", "sensor_silent", "snmp_refused"),
        "snmp_unread",
        *(
            "snmp_break_in",
            "snmp_down",
            "broker",
            "hub",
            "probe_down",
            "ping_down",
            "lan",
            "rtp_stopped",
        ),
        *("ambient_so2", "ambient_no2", "ambient_o3", "ambient_co"),
        *("heat_index", "noise_level", "rain_class"),
        *("air_index", "ambient_air", "lake_level_low", "dissolved_oxygen_watch"),
        *(
            "wind_strong",
            "noise_high",
            "rain_days",
            "fish_kill_signs",
            "link_flapping",
            "link_lossy",
        ),
        *("temperature_high", "ups_on_battery", "signal_weak", "hardware_failing", "memory_high"),
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_rule_reads_without_a_problem_and_helps_in_both_languages(path: Path) -> None:
    found, problems = parse_rules(load_rules(path), path.name, teams=TEAMS)
    assert problems == []
    for rule in found:
        assert all(rule.title)
        assert all(rule.advice)
        assert rule.title.id != rule.title.en
        assert rule.notify


def test_no_name_is_used_in_two_files() -> None:
    taken: dict[str, str] = {}
    for path in FILES:
        found, problems = parse_rules(load_rules(path), path.name, taken=taken)
        assert problems == []
        taken |= {rule.name: rule.source for rule in found}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_advice_repeats_no_number_of_the_rule_that_settings_may_change(path: Path) -> None:
    for rule in load_rules(path)["rules"]:
        lengths = [rule["when"].get(key) for key in LENGTHS]
        for length in filter(None, [*lengths, rule.get("for")]):
            for language, said in rule["advice"].items():
                words = span(duration.parse(length), language)
                assert words not in said, f"{rule['name']}: {words}"


@cache
def library() -> dict[str, dict[str, Any]]:
    """By name, as the files say."""
    return {rule["name"]: rule for path in FILES for rule in load_rules(path)["rules"]}


def conditions(name: str) -> list[dict[str, Any]]:
    """What a rule of the library compares."""
    when = library()[name]["when"]
    return list(when.get("all", [when]))


@pytest.mark.parametrize(
    ("name", "parameter", "period"),
    [
        *(("pm25_over_standard", "pm25", "24h"), ("pm10_over_standard", "pm10", "24h")),
        *(("so2_over_standard", "so2", "24h"), ("no2_over_standard", "no2", "24h")),
        *(("o3_over_standard", "o3", "8h"), ("co_over_standard", "co", "8h")),
        ("co_high", "co", "1h"),
    ],
)
def test_the_limits_of_ambient_air_are_those_of_the_law(
    name: str, parameter: str, period: ambient.Period
) -> None:
    (when,) = conditions(name)
    assert (when["field"], when["mean"]) == (parameter, period)
    assert when["above"] == ambient.limit(parameter, period).micrograms


@pytest.mark.parametrize(
    ("name", "comparison", "ladder", "step"),
    [
        ("dissolved_oxygen_watch", "below", oxygen.LADDER, "warning"),
        ("dissolved_oxygen_low", "below", oxygen.LADDER, "alert"),
        ("dissolved_oxygen_critical", "below", oxygen.LADDER, "danger"),
        ("lake_level_very_low", "below", lake.LEVELS, "very_low"),
        ("lake_level_low", "below", lake.LEVELS, "low"),
        ("lake_level_high", "above", lake.LEVELS, "normal"),
        ("lake_level_critical", "above", lake.LEVELS, "high"),
        ("rain_heavy", "above", rain.HOURLY, "moderate"),
        ("rain_day_heavy", "above", rain.DAILY, "moderate"),
        ("rain_extreme", "above", rain.DAILY, "very_heavy"),
        ("heat_extreme_caution", "above", heat.BANDS, "caution"),
        ("heat_danger", "above", heat.BANDS, "extreme_caution"),
    ],
)
def test_rules_begin_where_a_ladder_has_its_steps(
    name: str, comparison: str, ladder: tuple[Band, ...], step: str
) -> None:
    (when,) = conditions(name)
    assert [when[comparison]] == [band.upper for band in ladder if band.key == step]


def test_landslides_and_fish_kills_are_announced_as_their_sources_say() -> None:
    ((day,), (days,)) = conditions("rain_landslide"), conditions("rain_landslide_three_days")
    assert (day["above"], days["above"]) == (rain.LANDSLIDE_DAY_MM, rain.LANDSLIDE_THREE_DAYS_MM)
    (falling,) = conditions("oxygen_falling")
    assert falling["below"] == -oxygen.FALL_MGL
    assert duration.parse(falling["per"]) == oxygen.FALL_WITHIN_NS
    turbidity, wind = conditions("water_turning")
    assert 1 + turbidity["above"] / 100 == oxygen.TURBIDITY_TIMES
    assert wind["above"] == pytest.approx(oxygen.WIND_MS, abs=0.05)


@pytest.mark.parametrize("name", ["heat_extreme_caution", "heat_danger"])
def test_heat_is_felt_in_the_rules_as_by_the_whole_formula(name: str) -> None:
    """Where NOAA's corrections for very dry and very wet air don't count."""
    (when,) = conditions(name)
    felt = Expression(when["expression"])
    for celsius in range(31, 44):
        for humidity in range(40, 86, 5):
            fields = {"temperature": celsius, "humidity": humidity}
            assert felt.value(fields) == pytest.approx(heat.heat_index(celsius, humidity), abs=0.01)


# -- mutation: a wrong number in a rule must make some case fail ------------------------

Change = Callable[[dict[str, Any]], None]

FLIPPED = {"above": "below", "below": "above", "equals": "not_equals", "not_equals": "equals"}
CLEAR = {"clear_below": "clear_above", "clear_above": "clear_below"}


def flipped(when: dict[str, Any]) -> dict[str, Any]:
    """The same condition the other way round, its clear level dropped (it would be invalid)."""
    return {FLIPPED.get(key, key): value for key, value in when.items() if key not in CLEAR}


def times(length: str, factor: float) -> str:
    return duration.text(int(duration.parse(length) * factor))


LENGTHS = (*FUNCTIONS, "per", "absent")
WHOLE = ("count", "changes")
"""Nothing happens a fraction of a time."""
TURNED = {"beside": "unless_beside", "unless_beside": "beside", "only": "outside", "all": "any"}
TURNED |= {value: key for key, value in TURNED.items()}


def wrong_conditions(when: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what was done to it, the condition with one thing wrong); those of parts, too."""

    def without(*keys: str) -> dict[str, Any]:
        return {key: value for key, value in when.items() if key not in keys}

    for key in ("all", "any"):
        for number, part in enumerate(when.get(key, ())):
            for what, wrong in wrong_conditions(part):
                parts = [*when[key][:number], wrong, *when[key][number + 1 :]]
                yield f"{number}: {what}", {**when, key: parts}
    if any(key in when for key in FLIPPED):
        yield "flipped comparison", flipped(when)
    for key in (*FLIPPED, *CLEAR):
        if key in when:
            # The lake's bands are half a metre apart at 904 m: step there by what matters.
            lake = when.get("field") == "water_level_m"
            step = 0.06 if lake else max(0.05 * abs(when[key]), 0.1)
            if when.get("field") == "count" or any(one in when for one in WHOLE):
                step = 1.0
            for sign in (-1, 1):
                level = when[key] + sign * step
                if key not in CLEAR or valid(when, key, level):
                    yield f"{key} {level:g}", clamped({**when, key: level})
    for key in LENGTHS:
        if key in when:
            yield f"{key} doubled", {**when, key: times(when[key], 2)}
            yield f"{key} halved", {**when, key: times(when[key], 0.5)}
    for key in set(FUNCTIONS) & set(when):
        other = "sum" if key != "sum" else "mean"
        yield f"{other} for {key}", {other if k == key else k: v for k, v in without("per").items()}
    for key, other in TURNED.items():
        if key in when:
            yield f"{other} for {key}", {other if k == key else k: v for k, v in when.items()}
    for key in (*CLEAR, "only_if", "beside", "unless_beside", "only", "outside", "as"):
        if key in when:
            yield f"no {key}", without(key)
    if "against" in when:
        yield "against nothing", without("against", "as")


def mutants(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(what was done to it, the rule with one thing wrong)."""

    def changed(**values: Any) -> dict[str, Any]:
        return {k: v for k, v in {**copy.deepcopy(rule), **values}.items() if v is not None}

    when = rule["when"]
    for what, wrong in wrong_conditions(when):
        yield what, changed(when=wrong)
    if "for" in rule:
        yield "no for", changed(**{"for": None, "at_once_if": None})
        yield "for doubled", changed(**{"for": times(rule["for"], 2)})
        yield "for halved", changed(**{"for": times(rule["for"], 0.5)})
    if "at_once_if" in rule:
        yield "no witness", changed(at_once_if=None)
        none = dict.fromkeys(rule["at_once_if"], 0)
        yield "witness that denies", changed(at_once_if=none)
    if "keep_firing" in rule:
        yield "no keep_firing", changed(keep_firing=None)
        yield "keep_firing doubled", changed(keep_firing=times(rule["keep_firing"], 2))
        yield "keep_firing halved", changed(keep_firing=times(rule["keep_firing"], 0.5))
    for key, value in (rule.get("flapping") or {}).items():
        other = value + 1 if key == "times" else times(value, 2)
        yield f"flapping {key} {other}", changed(flapping={**rule["flapping"], key: other})
    if "together" in rule:
        yield "not together", changed(together=None)
        more = rule["together"]["at_least"] + 1
        yield "more together", changed(together={**rule["together"], "at_least": more})
    for key in rule.get("where", {}) if "absent" not in when else ():
        rest = {k: v for k, v in rule["where"].items() if k != key}
        yield f"where without {key}", changed(where=rest)
    if "means" in rule:
        yield "no means", changed(means=None)
    severity = {"info": "warning", "warning": "critical", "critical": "warning"}[rule["severity"]]
    yield "severity", changed(severity=severity)
    yield "notify", changed(notify=["kesehatan"])


def valid(when: dict[str, Any], key: str, level: float) -> bool:
    return level < when["above"] if key == "clear_below" else level > when["below"]


def clamped(when: dict[str, Any]) -> dict[str, Any]:
    """Keep the clear level on its side when the threshold was moved beyond it."""
    if "clear_below" in when:
        when["clear_below"] = min(when["clear_below"], when["above"])
    if "clear_above" in when:
        when["clear_above"] = max(when["clear_above"], when["below"])
    return when


def every_mutant() -> Iterator[Any]:
    for path in FILES:
        data = load_rules(path)
        for index, rule in enumerate(data["rules"]):
            for what, wrong in mutants(rule):
                mutated = {"rules": [*data["rules"]]}
                mutated["rules"][index] = wrong
                yield pytest.param(path, mutated, id=f"{rule['name']}: {what}")


@pytest.mark.parametrize(("path", "mutated"), list(every_mutant()))
def test_a_rule_with_one_thing_wrong_fails_a_case(path: Path, mutated: dict[str, Any]) -> None:
    test = path.with_name(f"{path.stem}_test.yaml")
    wrong, problems = parse_rules(mutated, path.name)
    assert problems == [], "the mutant must be a rule, else it proves nothing"
    by_name: dict[str, Rule] = {rule.name: rule for rule in rules_of(test, load(test))}
    by_name |= {rule.name: rule for rule in wrong}
    assert any(not result.ok for result in run_cases(test, list(by_name.values())))
