"""What a rule says of a value."""

from __future__ import annotations

import pytest

from rules.rule import Rule, Text, When
from rules.text import detail


def rule(unit: str = "", **when: object) -> Rule:
    return Rule("r", Text("a", "b"), When("device", "up", **when), unit=unit)  # type: ignore[arg-type]


@pytest.mark.parametrize("comparison", ["equals", "not_equals"])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_truth_has_no_number_beside_its_title(comparison: str, threshold: float) -> None:
    said = detail(rule(comparison=comparison, threshold=threshold), 0.0)
    assert said.plain() == {"id": "", "en": ""}


def test_everything_else_has_its_limit_in_both_languages() -> None:
    assert detail(rule(comparison="above", threshold=1.0), 1.5).en == "up 1.5 (limit: above 1)"
    assert "sama dengan 2" in detail(rule(comparison="equals", threshold=2.0), 2.0).id
    assert "%" in detail(rule("%", comparison="equals", threshold=0.0), 0.0).id
    assert "30 detik" in detail(rule(absent_ns=20 * 10**9), 30.0).id
