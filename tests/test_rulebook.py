"""Library and own rules together; single values changed and rules left out by the settings."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hub import rulebook, yamlfile
from hub.problems import Misconfigured
from hub.settings import Rules
from rules.rule import Rule

RULES = """\
rules:
  - name: hot
    title: {id: Panas, en: Hot}
    when: {measurement: environment, field: temperature, above: 30}
    for: 10m
    severity: warning
  - name: cold
    title: {id: Dingin, en: Cold}
    when: {measurement: environment, field: temperature, below: 10}
    severity: warning
"""
DECLARED = {"environment": {"temperature"}}


def read(folder: Path, text: str = RULES, **given: Any) -> list[Rule]:
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    lines = "rules:\n  set:\n" + "".join(f"    {key}: 1\n" for key in given.get("set", {}))
    return rulebook.read(
        Rules(**{"library": False, "files": [folder / "own.yaml"], **given}),
        declared=DECLARED,
        tags={"device", "sensor"},
        teams=set(),
        settings_file=yamlfile.parse(lines, "toba-hub.yaml"),
    )


def problems(folder: Path, text: str = RULES, **given: Any) -> list[tuple[str, int, str]]:
    with pytest.raises(Misconfigured) as caught:
        read(folder, text, **given)
    return [(Path(p.file).name, p.line, p.key) for p in caught.value.problems]


def test_single_values_are_changed_by_their_way(tmp_path: Path) -> None:
    before = {rule.name: rule for rule in read(tmp_path)}
    changed = {"hot.for": "30m", "hot.when.above": 35, "hot.severity": "critical"}
    after = {rule.name: rule for rule in read(tmp_path, set=changed)}
    assert after["hot"].severity == "critical"
    assert before["hot"].severity == "warning"
    assert "35" in repr(after["hot"].when)
    assert after["hot"].meaning() != before["hot"].meaning()
    assert after["cold"].meaning() == before["cold"].meaning()


def test_disabled_rules_are_left_out_and_their_mistakes_with_them(tmp_path: Path) -> None:
    broken = RULES.replace("field: temperature, above", "field: temprature, above")
    assert [rule.name for rule in read(tmp_path, broken, disable=["hot"])] == ["cold"]
    assert read(tmp_path, disable=["hot", "cold"]) == []


def test_a_disabled_rule_does_not_shift_the_lines_of_the_others(tmp_path: Path) -> None:
    broken = RULES.replace("field: temperature, below", "field: temprature, below")
    assert problems(tmp_path, broken, disable=["hot"]) == [("own.yaml", 9, "rules[1].when.field")]


@pytest.mark.parametrize("key", ["hut.for", "hot.for.x.y", "hot"])
def test_a_setting_that_leads_nowhere_is_blamed_on_the_settings(tmp_path: Path, key: str) -> None:
    ((file, line, where),) = problems(tmp_path, set={key: 1})
    assert (file, where) == ("toba-hub.yaml", f"rules.set.{key}")
    assert line == 3


def test_a_bad_value_is_blamed_on_the_settings_that_put_it_there(tmp_path: Path) -> None:
    for key, value in {"hot.severity": "awful", "hot.for": "soon", "hot.when.above": "x"}.items():
        found = problems(tmp_path, set={key: value})
        assert ("toba-hub.yaml", 3, f"rules.set.{key}") in found, key
        assert not [f for f in found if f[0] == "own.yaml"]


def test_an_unknown_rule_to_disable_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        read(tmp_path, disable=["hott"])
    assert "did you mean hot?" in str(caught.value)


@pytest.mark.parametrize("text", ["", "rules: 3\n", "rules: [3]\n", "- a\n", "rules:\n  - {}\n"])
def test_a_file_of_another_shape_is_no_traceback(tmp_path: Path, text: str) -> None:
    with suppress(Misconfigured):
        assert read(tmp_path, text, set={}) == []


def test_a_folder_of_rules_is_read_without_its_tests(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "a.yaml").write_text(RULES)
    (tmp_path / "r" / "a_test.yaml").write_text("tests: []\n")
    assert [r.name for r in read(tmp_path, files=[tmp_path / "r"])] == ["hot", "cold"]


def test_the_library_comes_first_and_a_name_may_stand_once(tmp_path: Path) -> None:
    library = rulebook.paths(Rules(files=[tmp_path / "own.yaml"]))
    assert library[-1] == tmp_path / "own.yaml"
    assert len(library) > 3
    twice = RULES + RULES.split("\n", 1)[1]
    assert {key for _, _, key in problems(tmp_path, twice)} == {"rules[2].name", "rules[3].name"}
