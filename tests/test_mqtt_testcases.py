"""Every folder under collectors/mqtt/testcases: a raw payload and what must come of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from collectors.mqtt.config import Topic
from collectors.mqtt.delivery import rules_of
from collectors.mqtt.parse import PARSERS, place
from collectors.mqtt.topics import Template
from hub.api import BadItem, Event, Reading
from hub.manifest import load
from tests.collector_support import as_line, read_lines

FOLDER = Path(__file__).parents[1] / "collectors" / "mqtt"
CASES = sorted(case.name for case in (FOLDER / "testcases").iterdir())
RECEIVED_NS = 1_790_000_030_000_000_000
"""Half a minute after the time that most payloads carry."""


def line(item: object) -> str:
    """An item as line protocol with the quality as a last field."""
    if isinstance(item, Event):
        return f"# event {item.device} {item.name}"
    assert isinstance(item, Reading)
    return f"{as_line(item)},quality={item.quality}i {item.time_ns}"


@pytest.mark.parametrize("name", CASES)
def test_a_payload_becomes_what_its_folder_says(name: str) -> None:
    case = FOLDER / "testcases" / name
    about = tomllib.loads((case / "case.toml").read_text(encoding="utf-8"))
    kind = about["topic"].rsplit("/", 1)[-1]
    parser = kind if kind in PARSERS else "telemetry"
    topic = Topic(
        template=about.get("template", f"toba/v1/{{opd}}/{{site}}/{{device}}/{kind}"),
        parser=parser,
        fields=about.get("fields", {}),
    )
    levels = Template(topic.template).match(about["topic"])
    assert levels is not None
    where = place(levels["device"], levels.get("sensor", ""), fields=rules_of(topic))
    errors: list[str] = []
    items: tuple[object, ...] = ()
    try:
        items, _seq, faults = PARSERS[parser](
            where, (case / "input.bin").read_bytes(), about.get("retained", False), RECEIVED_NS
        )
        errors = [fault.reason for fault in faults]
    except BadItem as error:
        errors = [str(error).partition(":")[0]]
    assert [line(item) for item in items] == read_lines(case / "expected.lp")
    assert errors == read_lines(case / "expected.err")
    keeps_the_promise(items)


def keeps_the_promise(items: tuple[object, ...]) -> None:
    """What is emitted is what the manifest declares, in its types."""
    promised = load(FOLDER / "manifest.toml").measurements
    types = {"float": float, "int": int, "string": str}
    for item in items:
        if isinstance(item, Reading):
            spec = promised[item.series.measurement]
            assert {name for name, _ in item.series.tags} <= set(spec.tags)
            for name, value in item.fields.items():
                assert type(value) is types[spec.fields[name].type], name
