"""Reading rules: what is right comes out, and every mistake is named with its key and a remedy."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import duration
from rules.model import Problem, parse_rules
from rules.rule import Beside, When, Window

GOOD = """
name: pm25_unhealthy
title: {id: "PM2.5 tidak sehat di {site}", en: "PM2.5 unhealthy at {site}"}
when: {measurement: environment, field: pm25, mean: 1h, above: 55.4, clear_below: 45}
where: {kind: sensor, device: [aq1, "x-*"], sensor: pm}
for: 10m
keep_firing: 1m30s
severity: critical
notify: [dlh, bpbd]
advice: {id: "Pakai masker.", en: "Wear a mask."}
unit: µg/m³
means: down
"""


def rule(change: str = "", **values: Any) -> dict[str, Any]:
    """The good rule, with some top keys replaced; None takes one out."""
    data: dict[str, Any] = yaml.safe_load(GOOD) | values | (yaml.safe_load(change) or {})
    return {key: value for key, value in data.items() if value is not None}


def problems(*found: Any, **options: Any) -> list[Problem]:
    return parse_rules({"rules": list(found)}, "r.yaml", **options)[1]


def when(text: str) -> dict[str, Any]:
    return rule(when=yaml.safe_load(text))


def test_a_good_rule_comes_out_as_it_was_written() -> None:
    [found], wrong = parse_rules({"rules": [rule()]}, "r.yaml")
    assert wrong == []
    assert found.when == When(
        *("environment", "pm25", "above", 55.4, 45.0),
        window=Window("mean", duration.HOUR),
    )
    assert (found.for_ns, found.keep_firing_ns) == (10 * duration.MINUTE, 90 * duration.SECOND)
    assert found.where.plain() == {
        "kind": ["sensor"],
        "device": ["aq1", "x-*"],
        "sensor": ["pm"],
    }
    assert (found.severity, found.notify, found.means) == ("critical", ("dlh", "bpbd"), "down")
    assert found.source == "r.yaml"


@pytest.mark.parametrize(
    ("data", "path", "message", "remedy"),
    [
        (rule(severty="warning"), ("severty",), "unknown key `severty`", "did you mean `severity`"),
        (rule(severity="fatal"), ("severity",), "unknown severity `fatal`", "critical"),
        (rule(name=None), ("name",), "no name", "pm25"),
        (rule(name="PM 2.5"), ("name",), "'PM 2.5'", "small letters"),
        (rule(title=None), ("title",), "no title", "title"),
        (rule(title="PM"), ("title",), "here is text", 'id: "…"'),
        (rule(title={"id": "PM"}), ("title", "en"), "missing in English", "add"),
        (rule(title={"id": "", "en": "PM"}), ("title", "id"), "missing in Bahasa Indonesia", "add"),
        (
            rule(title={"id": "{sit}", "en": "x"}),
            ("title", "id"),
            "unknown placeholder `sit`",
            "did you mean `site`",
        ),
        (rule(title={"id": "{site", "en": "x"}), ("title", "id"), "braces", "{{"),
        (rule(title={"id": "{value:.1f}", "en": "x"}), ("title", "id"), "format", "formatted"),
        (rule(advice={"id": "{x y}", "en": "x"}), ("advice", "id"), "placeholder", "known"),
        (rule(**{"for": "10"}), ("for",), "'10' is no duration", "90s"),
        (rule(**{"for": 10}), ("for",), "10 has no unit", "10m"),
        (rule(**{"for": "1 hour"}), ("for",), "'1 hour' is no duration", "1h30m"),
        (
            rule(at_once_if={"wind": 1}, **{"for": None}),
            ("at_once_if",),
            "`at_once_if` without `for`: it is at once anyway",
            "drop it",
        ),
        (rule(keep_firing="9000d"), ("keep_firing",), "longer than a year", ""),
        (rule(notify=["DLH!"]), ("notify", 0), "'DLH!' is no team", "dlh"),
        (rule(means="dead"), ("means",), "unknown means `dead`", "down"),
        (rule(unit=5), ("unit",), "must be text", ""),
        (rule(where={"kind": []}), ("where", "kind"), "needs a name", "aq-*"),
        (rule(where={"kind": True}), ("where", "kind"), "True", "quotes"),
        (rule(where={"sites": "x"}), ("where", "sites"), "unknown key `sites`", "`site`"),
        (rule(where="all"), ("where",), "here is text", "key: value"),
        (rule(when=None), ("when",), "no condition", "when"),
        (when("{field: a, above: 1}"), ("when", "measurement"), "is missing", "measurement"),
        (when("{measurement: m, above: 1}"), ("when", "field"), "is missing", "field"),
        (when("{measurement: m, field: f}"), ("when",), "compares with nothing", "above"),
        (
            when("{measurement: m, field: f, abov: 1, above: 1}"),
            ("when", "abov"),
            "unknown key `abov`",
            "did you mean `above`",
        ),
        (
            when("{measurement: m, field: f, above: 1, below: 2}"),
            ("when", "below"),
            "`above` and `below`",
            "two rules",
        ),
        (
            when("{measurement: m, field: f, above: 50, clear_below: 60}"),
            ("when", "clear_below"),
            "wrong side of the threshold 50",
            "at most 50",
        ),
        (
            when("{measurement: m, field: f, below: 4, clear_above: 3}"),
            ("when", "clear_above"),
            "wrong side",
            "at least 4",
        ),
        (
            when("{measurement: m, field: f, below: 4, clear_below: 3}"),
            ("when", "clear_below"),
            "doesn't go with `below`",
            "use `clear_above`",
        ),
        (
            when("{measurement: m, field: f, equals: 4, clear_below: 3}"),
            ("when", "clear_below"),
            "doesn't go with `equals`",
            "drop",
        ),
        (when("{measurement: m, field: f, above: '5'}"), ("when", "above"), "'5' is no number", ""),
        (when("{measurement: m, field: f, equals: yes}"), ("when", "equals"), "truths", "1"),
        (when("{measurement: m, field: f, above: .nan}"), ("when", "above"), "no number", ""),
        (
            when("{measurement: m, field: f, above: 1, mean: 1h, sum: 1h}"),
            ("when", "sum"),
            "`mean` and `sum`",
            "two rules",
        ),
        (
            when("{measurement: m, field: f, above: 1, mean: 0s}"),
            ("when", "mean"),
            "at least 1s",
            "",
        ),
        (
            when("{measurement: m, absent: 5m, above: 5}"),
            ("when", "above"),
            "don't go together",
            "drop `above`",
        ),
        (when("{measurement: m, absent: 0s}"), ("when", "absent"), "longer than 0", "15m"),
        (when("{measurement: m, absent: soon}"), ("when", "absent"), "'soon'", "2d"),
        (
            rule(when={"measurement": "m", "absent": "5m"}, where={"sensor": "x"}),
            ("where",),
            "from whom",
            "kind",
        ),
        (
            when("{measurement: m, field: f, above: 1, only_if: {x: on}}"),
            ("when", "only_if", "x"),
            "truths",
            "write 1",
        ),
        (
            when("{measurement: m, field: f, above: 1, quality: best}"),
            ("when", "quality"),
            "unknown quality",
            "good",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key_and_a_remedy(
    data: dict[str, Any], path: tuple[str | int, ...], message: str, remedy: str
) -> None:
    found = problems(data)
    assert [p.path for p in found] == [("rules", 0, *path)], found
    assert message in found[0].message
    assert remedy in found[0].remedy


def test_all_mistakes_are_found_in_one_go_and_good_rules_come_back() -> None:
    bad = rule(name="bad", severity="x", colour="red", **{"for": "soon"})
    worse = {"name": "worse", "when": {"measurement": "m", "field": "f", "above": "high"}}
    good, wrong = parse_rules({"rules": [bad, rule(), worse, 7]}, "r.yaml")
    assert [r.name for r in good] == ["pm25_unhealthy"]
    assert {p.path for p in wrong} == {
        ("rules", 0, "severity"),
        ("rules", 0, "colour"),
        ("rules", 0, "for"),
        ("rules", 2, "title"),
        ("rules", 2, "when", "above"),
        ("rules", 3),
    }


def test_a_name_used_twice_names_the_other_file() -> None:
    [found] = problems(rule(), rule())
    assert found.path == ("rules", 1, "name")
    [found] = problems(rule(), taken={"pm25_unhealthy": "library/pm25.yaml"})
    assert "library/pm25.yaml" in found.message


def test_fields_that_no_manifest_declares_are_found() -> None:
    declared = {"environment": {"pm25", "pm10"}, "device": {"up"}}
    assert problems(rule(), declared=declared) == []
    [found] = problems(
        when("{measurement: environment, field: pm2.5, above: 1}"), declared=declared
    )
    assert (found.path[2:], found.remedy) == (("when", "field"), "did you mean `pm25`?")
    [found] = problems(when("{measurement: enviroment, field: pm25, above: 1}"), declared=declared)
    assert found.remedy == "did you mean `environment`?"
    [found] = problems(
        when("{measurement: device, field: up, above: 1, only_if: {upp: 1}}"), declared=declared
    )
    assert found.path[2:] == ("when", "only_if", "upp")
    [found] = problems(rule(at_once_if={"pm25 ": 1}), declared=declared)
    assert (found.path[2:], found.remedy) == (("at_once_if", "pm25 "), "did you mean `pm25`?")


def test_tags_and_teams_are_checked_when_they_are_known() -> None:
    assert problems(rule(), tags={"sensor"}, teams={"dlh", "bpbd"}) == []
    [found] = problems(rule(), tags={"ifname", "sensors"})
    assert (found.path[2:], found.remedy) == (("where", "sensor"), "did you mean `sensors`?")
    [found] = problems(rule(), teams={"dlh"})
    assert found.path[2:] == ("notify", 1)


@pytest.mark.parametrize("data", [None, {"rules": None}, {"rules": []}])
def test_a_file_of_which_all_is_commented_out_holds_no_rules(data: object) -> None:
    assert parse_rules(data, "r.yaml") == ([], [])


@pytest.mark.parametrize("data", [[], "x", 5, {}, {"rules": {}}])
def test_a_file_that_is_no_list_of_rules_is_one_problem(data: object) -> None:
    found, wrong = parse_rules(data, "r.yaml")
    assert (found, len(wrong)) == ([], 1)


def test_an_empty_list_of_rules_is_fine() -> None:
    assert parse_rules({"rules": []}, "r.yaml") == ([], [])


def test_texts_and_recipients_are_no_part_of_a_rule_s_meaning() -> None:
    def meaning(**values: Any) -> str:
        [found], wrong = parse_rules({"rules": [rule(**values)]})
        assert wrong == []
        return found.meaning()

    same = [
        {"title": {"id": "a", "en": "b"}},
        {"advice": None},
        {"notify": []},
        {"severity": "info"},
        {"unit": "x"},
    ]
    other = [{"for": "11m"}, {"where": None}, {"means": None}, {"keep_firing": None}]
    other.append({"at_once_if": {"humidity": 1}})
    assert {meaning(**one) for one in same} == {meaning()}
    assert len({meaning(), *(meaning(**one) for one in other)}) == 6
    assert meaning(when=rule()["when"] | {"above": 55}) != meaning()


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "when", "title", "id", "above", "measurement", "where", "for"])
            | st.integers(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(junk)
def test_no_junk_breaks_the_reader(data: Any) -> None:
    for whole in (
        data,
        {"rules": [data]},
        {"rules": [rule(when=data)]},
        {"rules": [rule(where=data)]},
    ):
        for problem in parse_rules(whole, "r.yaml")[1]:
            assert problem.message
            assert str(problem)


@given(st.integers(0, duration.LONGEST // 1_000_000).map(lambda ms: ms * 1_000_000))
def test_a_duration_is_read_back_from_its_text(length_ns: int) -> None:
    assert duration.parse(duration.text(length_ns)) == length_ns


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{probe: icmp}", "needs the tags of another series and one field"),
        ("{up: 1}", "needs the tags of another series and one field"),
        ("{probe: icmp, up: 1, loss: 2}", "needs the tags of another series and one field"),
        ("{probe: icmp, up: on}", "truths"),
    ],
)
def test_what_is_beside_needs_a_tag_and_one_number(given: str, message: str) -> None:
    text = "{measurement: m, field: up, equals: 0, beside: GIVEN}"
    [found] = problems(when(text.replace("GIVEN", given)))
    assert found.path[2:4] == ("when", "beside")
    assert message in f"{found.message} {found.remedy}"


def test_what_is_beside_is_read_and_part_of_the_meaning() -> None:
    plain = "{measurement: m, field: up, equals: 0%s}"
    ways = ["", ", beside: {probe: icmp, up: 1}", ", unless_beside: {probe: icmp, up: 1}"]
    found = [parse_rules({"rules": [when(plain % way)]})[0][0] for way in ways]
    assert [rule.when.beside for rule in found] == [
        (),
        (Beside((("probe", "icmp"),), "up", 1.0, True),),
        (Beside((("probe", "icmp"),), "up", 1.0, False),),
    ]
    assert len({rule.meaning() for rule in found}) == 3


ENV = "measurement: m, field: f, above: 1"
PART = "{measurement: m, field: f, above: 1}"


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        (when("{measurement: m, expression: 'a +'}"), ("when", "expression"), "column 4"),
        (
            when("{measurement: m, expression: a, above: 1, field: f}"),
            ("when", "expression"),
            "drop one",
        ),
        (when("{measurement: m, expression: a}"), ("when",), "compares with nothing"),
        (when(f"{{{ENV}, per: 1h}}"), ("when", "per"), "`per` without `rate`"),
        (when(f"{{{ENV}, rate: 1h, per: 0s}}"), ("when", "per"), "1s or longer"),
        (when(f"{{{ENV}, p95: 1h, rate: 1h}}"), ("when", "rate"), "in one condition"),
        (when(f"{{{ENV}, as: percent}}"), ("when", "as"), "without `against`"),
        (when(f"{{{ENV}, against: tomorrow}}"), ("when", "against"), "yesterday"),
        (when(f"{{{ENV}, against: {{}}}}"), ("when", "against"), "yesterday"),
        (when(f"{{{ENV}, against: {{sensor: 5}}}}"), ("when", "against", "sensor"), "no name"),
        (when(f"{{{ENV}, only: lunch}}"), ("when", "only"), "unknown calendar `lunch`"),
        (when(f"{{{ENV}, only: {{days: mo}}}}"), ("when", "only", "days"), "no day"),
        (
            when(f"{{{ENV}, only: working_hours, outside: working_hours}}"),
            ("when", "outside"),
            "one of them",
        ),
        (when(f"{{all: [{PART}]}}"), ("when", "all"), "2 to 8"),
        (when(f"{{all: [{PART}, {PART}], above: 1}}"), ("when", "above"), "beside `all`"),
        (
            when(f"{{any: [{PART}, {{measurement: m, absent: 5m}}]}}"),
            ("when", "any", 1, "absent"),
            "rule of its own",
        ),
        (
            when(f"{{any: [{PART}, {{measurement: m, field: f}}]}}"),
            ("when", "any", 1),
            "compares with nothing",
        ),
        (rule(flapping={"time": 3}), ("flapping", "time"), "did you mean `times`"),
        (rule(flapping={"times": 1}), ("flapping", "times"), "from 2 to 100"),
        (rule(flapping="never"), ("flapping",), "here is text"),
        (rule(together={"of": "site"}), ("together", "at_least"), "from 2"),
        (rule(together={"at_least": 3, "of": "town"}), ("together", "of"), "unknown of `town`"),
        (
            {**when("{measurement: m, absent: 5m}"), "together": {"at_least": 2}},
            ("together",),
            "one comparison",
        ),
    ],
)
def test_a_mistake_in_a_newer_kind_is_named_with_its_key(
    data: dict[str, Any], path: tuple[str | int, ...], message: str
) -> None:
    found = problems(data)
    assert [p.path for p in found] == [("rules", 0, *path)], found
    assert message in str(found[0])


def test_every_new_key_is_part_of_a_rule_s_meaning() -> None:
    ways = [
        *("", ", mean: 1h", ", p95: 1h", ", rate: 1h", ", rate: 1h, per: 1m", ", count: 1h"),
        *(", against: yesterday", ", against: yesterday, as: percent", ", against: {sensor: b}"),
        *(", only: working_hours", ", outside: working_hours", ", quality: good"),
    ]
    found = [parse_rules({"rules": [when(f"{{{ENV}{way}}}")]}) for way in ways]
    assert [wrong for _, wrong in found] == [[]] * len(ways)
    more = [
        when(f"{{all: [{PART}, {PART}]}}"),
        when(f"{{any: [{PART}, {PART}]}}"),
        when("{measurement: m, expression: f, above: 1}"),
        {**when(f"{{{ENV}}}"), "flapping": "off"},
        {**when(f"{{{ENV}}}"), "flapping": {"times": 6}},
        {**when(f"{{{ENV}}}"), "together": {"at_least": 2}},
    ]
    rules = [one for (one,), _ in found] + [parse_rules({"rules": [data]})[0][0] for data in more]
    assert len({one.meaning() for one in rules}) == len(rules)
