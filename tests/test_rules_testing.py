"""The case runner: does it see what it should, and does it say what is wrong?"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import rules
from hub.cli.main import cli
from rules import hours
from rules.model import PLACEHOLDERS, RULE_KEYS, parse_rules
from rules.testing import CaseError, numbers, run_cases
from rules.when import WHEN_KEYS
from tests.rules_support import PM

HEAD = """
things:
  - {id: aq1, kind: sensor, site: b, site_name: Balige}
cases:
  - name: smoke
    interval: 1m
    series:
      - {measurement: environment, device: aq1, sensor: pm, fields: {pm25: 20 80x5 _x3 1}}
"""


def run(tmp_path: Path, cases: str, rule: str = PM) -> list[str]:
    (tmp_path / "pm.yaml").write_text("rules:" + rule, encoding="utf-8")
    (tmp_path / "pm_test.yaml").write_text(HEAD + cases, encoding="utf-8")
    return [f for result in run_cases(tmp_path / "pm_test.yaml") for f in result.failures]


def test_values_are_written_briefly() -> None:
    assert numbers("20 20x2 _ _x2 5+1x3 -1.5 3-1x2") == [
        *(20, 20, 20, None, None, None, 5, 6, 7, -1.5, 3, 2)
    ]
    for wrong in ("x", "5x", "1..2x3", "20x999999999", "1,5"):
        with pytest.raises((CaseError, ValueError)):
            numbers(wrong)


def test_expectations_that_hold_are_silent(tmp_path: Path) -> None:
    good = """
    acts:
      - {at: 3m, kind: acknowledge, who: siti, key: "pm:aq1:sensor=pm"}
    expect:
      - {at: 1m, alerts: [{rule: pm, state: pending}]}
      - {at: 2m, alerts: [{rule: pm, sensor: pm, title.id: "PM 80 µg/m³ di Balige", value: 80.0}]}
      - {at: 3m30s, alerts: [{rule: pm, state: acknowledged, acknowledged_by: siti}]}
      - {at: 9m, alerts: []}
"""
    assert run(tmp_path, good) == []


def test_a_missing_an_unexpected_and_a_different_alert_are_told(tmp_path: Path) -> None:
    wrong = """
    expect:
      - {at: 30s, alerts: [{rule: pm}]}
      - {at: 3m, alerts: []}
      - {at: 4m, alerts: [{rule: pm, severity: critical}]}
"""
    found = run(tmp_path, wrong)
    assert found[0].startswith("at 30s: expected")
    assert "no alert" in found[0]
    assert found[1].startswith("at 3m: unexpected: pm:aq1:sensor=pm is firing")
    assert found[2].startswith("at 4m: expected")
    assert "warning" in found[2]


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ("    expect: []\n", "expects nothing"),
        ("    expect:\n      - {alerts: []}\n", "no `at:`"),
        ("    expect:\n      - {at: 5, alerts: []}\n", "no unit"),
        (
            "    acts: [{at: 1m, kind: shout, who: x}]\n    expect: [{at: 1m, alerts: []}]\n",
            "shout",
        ),
    ],
)
def test_a_case_that_can_t_run_says_why(tmp_path: Path, cases: str, message: str) -> None:
    with pytest.raises(CaseError, match=message):
        run(tmp_path, cases)


def test_a_rule_that_is_wrong_is_named_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"pm\.yaml.*severity"):
        run(tmp_path, "    expect: [{at: 1m, alerts: []}]\n", PM + "    severity: fatal\n")


def test_a_test_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "x_test.yaml").write_text("cases: [", encoding="utf-8")
    with pytest.raises(CaseError, match=r"x_test\.yaml"):
        run_cases(tmp_path / "x_test.yaml")


MISTAKES = """\
thing: []
things:
  - {id: aq1, kindd: sensor}
cases:
  - nam: dusty
    series:
      - {measurement: environment, device: aq1, fields: {pm25: 80x99999999, pm10: banyak}}
    acts: [{at: soon, kind: acknowledge}]
    expect:
      - {alerts: [{rule: pm}]}
      - {at: 5, alerts: none}
"""


def test_every_mistake_in_a_file_of_cases_is_named_with_its_line_and_other_files_go_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "a_test.yaml").write_text(MISTAKES, encoding="utf-8")
    (tmp_path / "b_test.yaml").write_text("", encoding="utf-8")
    assert run(tmp_path, "    expect: [{at: 0m, alerts: []}]\n") == []
    done = CliRunner(env={"COLUMNS": "300"}).invoke(cli, ["rules", "test", str(tmp_path)])
    assert done.exit_code == 78
    assert "1 of 1 cases" in done.stdout
    said = done.stderr.replace(f"{tmp_path}/", "")
    for line in (
        "a_test.yaml:1: thing: unknown key `thing` (did you mean `things`?)",
        "a_test.yaml:3: things[0].kindd: unknown key `kindd` (did you mean `kind`?)",
        "a_test.yaml:5: cases[0].nam: unknown key `nam` (did you mean `name`?)",
        "a_test.yaml:7: cases[0].series[0]: nobody says how far its values are apart",
        "a_test.yaml:7: cases[0].series[0].fields.pm25: '80x99999999'",
        "a_test.yaml:7: cases[0].series[0].fields.pm10: 'banyak' is no value (write 20,",
        "a_test.yaml:8: cases[0].acts[0].at:",
        "a_test.yaml:10: cases[0].expect[0].at: `at` is missing",
        "a_test.yaml:11: cases[0].expect[1].at:",
        "a_test.yaml:11: cases[0].expect[1].alerts: `alerts` must be a list",
        "b_test.yaml: a file of cases has keys and values, here is nothing",
    ):
        assert line in said


# -- the page for officers -------------------------------------------------------------------

LIBRARY = Path(rules.__file__).with_name("library")
README = Path(rules.__file__).with_name("README.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    return [part.split("```")[0] for part in README.split("```yaml\n")[1:]]


def test_the_readme_s_examples_are_rules_and_their_cases_hold(tmp_path: Path) -> None:
    found = blocks()
    pairs = list(zip(found[::2], found[1::2], strict=True))
    assert len(pairs) == 2
    for number, (rule, cases) in enumerate(pairs):
        good, problems = parse_rules(yaml.safe_load(rule), "README.md")
        assert problems == []
        assert good
        (tmp_path / f"rules{number}.yaml").write_text(rule, encoding="utf-8")
        (tmp_path / f"rules{number}_test.yaml").write_text(cases, encoding="utf-8")
        results = run_cases(tmp_path / f"rules{number}_test.yaml")
        assert [str(r) for r in results if not r.ok] == []


def test_every_key_of_a_condition_stands_in_an_example() -> None:
    """Of the README or of the library, and its cases are run."""
    texts = [path.read_text(encoding="utf-8") for path in LIBRARY.glob("*.yaml")]
    examples = "\n".join([*blocks(), *texts])
    for key in WHEN_KEYS:
        if key not in ("max", "min", "any", "outside"):  # as `mean`, `all` and `only`
            assert f"{key}:" in examples, key


def test_the_readme_s_calendar_is_one() -> None:
    text = README.split("```yaml calendar\n")[1].split("```")[0]
    calendars, problems = hours.read(yaml.safe_load(text))
    assert problems == []
    assert set(calendars.by_name) == {"working_hours", "market"}


def test_the_readme_explains_every_key_and_placeholder() -> None:
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    explained = {word for row in rows for word in row.replace(",", " ").split()}
    for key in (*RULE_KEYS, *WHEN_KEYS):
        assert f"`{key}`" in explained, key
    for name in PLACEHOLDERS:
        assert f"`{{{name}}}`" in README, name
