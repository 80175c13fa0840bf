"""Every case of every payload convention, through the real `Delivery`."""

from __future__ import annotations

from collections import Counter

import pytest

from collectors.mqtt.config import Topic
from collectors.mqtt.conventions import CONVENTIONS
from collectors.mqtt.conventions.base import Convention
from collectors.mqtt.fields import CANONICAL
from collectors.mqtt.units import _TABLE
from tests.mqtt_cases import FOLDER, Case, cases, run, sample_topics
from tests.test_mqtt_testcases import keeps_the_promise

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.convention}-{case.name}")
async def test_each_message_becomes_what_its_case_says(case: Case) -> None:
    for said, came in zip(case.messages, await run(case), strict=True):
        assert came.lines == said.expected, said.topic
        assert came.errors == said.errors, said.topic
        assert [topic for topic, _ in came.published] == said.publishes, said.topic
        keeps_the_promise(tuple(came.items))


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_has_six_good_cases_and_malformed_ones(name: str) -> None:
    mine = [case for case in CASES if case.convention == name]
    kinds = Counter(
        "good" if any(said.expected for said in case.messages) else "refused" for case in mine
    )
    assert kinds["good"] >= 6, kinds
    assert sum(any(said.errors for said in case.messages) for case in mine) >= 2, kinds


def test_every_convention_has_a_sample_in_the_readme() -> None:
    sample = (FOLDER / "sample.yaml").read_text(encoding="utf-8")
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert sample in readme
    assert {topic["parser"] for topic in sample_topics()} == set(CONVENTIONS)
    for topic in sample_topics():
        Topic.model_validate(topic)
    for name in CONVENTIONS:
        assert f"| `{name}` |" in readme, name


def test_names_and_units_of_conventions_lead_to_fields_of_ours() -> None:
    for name, convention in CONVENTIONS.items():
        assert isinstance(convention, Convention)
        assert {rule.field for rule in convention.aliases.values()} <= set(CANONICAL), name
    assert {ours for _, ours in _TABLE} == set(CANONICAL.values())
