"""Every case of every payload convention, through the real `Delivery`."""

from __future__ import annotations

from collections import Counter

import pytest

from collectors.mqtt.config import Topic
from collectors.mqtt.conventions import CONVENTIONS, sparkplug
from collectors.mqtt.conventions.base import Convention, Heard, Outcome
from collectors.mqtt.fields import ALIASES, CANONICAL
from collectors.mqtt.parse import place
from collectors.mqtt.units import _TABLE
from hub.api import Reading
from tests.bench.conventions import KINDS, NODES
from tests.bench.publisher import SERIES
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


def test_the_sparkplug_of_the_bench_goes_on_without_a_gap_where_its_cycle_begins_anew() -> None:
    memory, cycle = sparkplug.Memory(), KINDS["sparkplug"].length

    def read(topic: str, body: bytes) -> Outcome:
        there = place("aq", known=True, fields=ALIASES, sensors={})
        return sparkplug.read(Heard(there, topic, "", body, False, 1), memory, lambda *_: there)

    births = KINDS["sparkplug"].births()
    found = [read(*said) for said in births if "/node003" in said[0]]
    assert len(found) == 1 + SERIES // NODES
    for number in [*range(3, cycle, NODES), *range(3, cycle, NODES)]:
        found.append(read(*KINDS["sparkplug"].write(number, 12.5, 21.4, 81.0)))
        assert [one.fields for one in found[-1].items if isinstance(one, Reading)] == [
            {"pm25": 12.5, "temperature": 21.4, "humidity": 81.0}
        ]
    assert len(found) > 2 * 256
    assert not any(one.faults or one.send for one in found), "or it would ask for a rebirth"
