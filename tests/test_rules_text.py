"""What a rule says of a value."""

from __future__ import annotations

import pytest

from hub import registry
from hub.configuration import OWN_FIELDS
from hub.reading import Quality
from rules import text, words
from rules.duration import HOUR
from rules.rule import (
    COMPARISONS,
    FUNCTIONS,
    LANGUAGES,
    Against,
    Rule,
    Text,
    When,
    Window,
)
from rules.text import detail


def rule(unit: str = "", **when: object) -> Rule:
    return Rule("r", Text("a", "b"), When("device", "up", **when), unit=unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("comparison", ["equals", "not_equals"])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_truth_has_no_number_beside_its_title(comparison: str, threshold: float) -> None:
    said = detail(rule(comparison=comparison, threshold=threshold), 0.0)
    assert said.plain() == {"id": "", "en": ""}


def test_everything_else_has_its_limit_in_both_languages() -> None:
    assert detail(rule(comparison="above", threshold=1.0), 1.5).en == "Answers 1.5 (limit: above 1)"
    assert "sama dengan 2" in detail(rule(comparison="equals", threshold=2.0), 2.0).id
    assert "%" in detail(rule("%", comparison="equals", threshold=0.0), 0.0).id
    assert "30 detik" in detail(rule(absent_ns=20 * 10**9), 30.0).id


def test_both_languages_have_every_word_of_the_catalogue() -> None:
    for catalogue in (text._WORDS, text._FUNCTIONS, text._COMPARISONS, text._YESTERDAY):
        assert set(catalogue) == set(LANGUAGES)
    for catalogue in (text._FUNCTIONS, text._COMPARISONS):
        assert set(catalogue["id"]) == set(catalogue["en"])
    assert set(text._FUNCTIONS["id"]) == set(FUNCTIONS)
    assert set(text._COMPARISONS["id"]) == set(COMPARISONS)
    assert set(words.DOUBTS) == {str(one.name).lower() for one in Quality}
    assert set(text._JOINT) == {(lang, kind) for lang in LANGUAGES for kind in ("parts", "place")}


def test_the_detail_says_what_the_value_is_held_against() -> None:
    window = Window("rate", 3 * HOUR, HOUR)
    rule = Rule("r", Text("", ""), When("m", "do_mgl", "below", -0.5, window=window), unit="mg/L")
    assert detail(rule, -0.7).en == (
        "Dissolved oxygen rate of change 3 hours per 1 hour -0.7 mg/L (limit: below -0.5 mg/L)"
    )
    when = When("m", "util_pct", "above", 50.0, against=Against((), percent=True))
    assert detail(Rule("r", Text("", ""), when), 80.0).id == (
        "Pemakaian tautan dibanding kemarin 80 % (batas: di atas 50 %)"
    )
    when = When("m", "pm25", "above", 20.0, against=Against((("sensor", "reference"),)))
    assert "dibanding reference 21" in detail(Rule("r", Text("", ""), when), 21.0).id


def test_a_field_begins_a_sentence_with_a_capital_where_it_is_a_word() -> None:
    assert [text.named(field, "id") for field in ("temperature", "ph", "rogue_dhcp", "x_1")] == [
        *("Suhu", "pH", "Server DHCP liar", "x_1")
    ]


def test_what_is_true_or_not_is_told_in_words() -> None:
    down = rule(comparison="equals", threshold=0.0)
    assert text.truth(down, 1.0, "id") == "Menjawab: ya"
    assert text.truth(down, 0.0, "en") == "Answers: no"
    refused = Rule("r", Text("a", "b"), When("device", "refused", "equals", 1.0))
    assert text.truth(refused, 0.0, "id") == "Ditolak: tidak"
    camera = Rule("r", Text("a", "b"), When("camera", "state", "equals", 0.0))
    assert text.truth(camera, 2.0, "id") == "Keadaan: ONLINE"


def test_every_field_that_a_rule_asks_or_a_plugin_promises_has_a_word_in_both_languages() -> None:
    promised = {**registry.declared(registry.find().values()), **OWN_FIELDS}
    fields = set().union(*promised.values())
    assert {"up", "pm25", "channels_dead"} <= fields
    nameless = sorted(fields - words.FIELDS.keys())
    assert nameless == [], "say in rules/words.py what people call these fields"
    assert all(len(both) == 2 and all(both) for both in words.FIELDS.values())
