"""Which faults there are, whom they hit, how they grow and fade."""

from __future__ import annotations

from typing import Any

import pytest

from firmware_stubs import script
from firmware_stubs.faults import KINDS, Active, Faults
from firmware_stubs.physics import NS


def device(name: str, kind: str, *parents: str) -> dict[str, Any]:
    return {"id": name, "name": name.upper(), "kind": kind, "site": "s", "depends_on": [*parents]}


INVENTORY = {
    "sites": [{"id": "s", "name": "Balige"}],
    "devices": [
        device("core", "router"),
        device("mid", "router", "core"),
        device("leaf", "router", "mid"),
        device("aq-1", "sensor", "leaf"),
        device("do-1", "sensor", "core"),
        device("cam-1", "camera", "mid"),
    ],
}


def test_what_lies_behind_a_router_is_found_near_and_far() -> None:
    faults = Faults(INVENTORY, 1.0)
    assert faults.behind("mid") == ["leaf", "cam-1", "aq-1"]
    assert faults.behind("aq-1") == []
    assert len(faults.behind("core")) == 5


def test_a_circle_of_dependencies_ends() -> None:
    devices = [device("a", "router", "b"), device("b", "router", "a")]
    assert set(Faults({"devices": devices}, 1.0).behind("a")) == {"a", "b"}


@pytest.mark.parametrize(
    ("name", "target", "words"),
    [
        ("melts", None, "there are router_dies"),
        ("router_dies", "nobody", "no device 'nobody'"),
        ("router_dies", "aq-1", "hits a router; aq-1 is a sensor"),
        ("pm25_rises", "do-1", "hits a sensor measuring aq; do-1"),
        ("lake_rises", None, "no device ''"),
    ],
)
def test_what_can_not_be_is_refused_with_a_reason(
    name: str, target: str | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Faults(INVENTORY, 1.0).resolve(name, target)


def test_the_menu_names_every_fault_that_some_device_can_have() -> None:
    rows = Faults(INVENTORY, 1.0).listing()
    assert {row["name"] for row in rows} == set(KINDS) - {"lake_rises", "heavy_rain"}
    assert all(set(row["title"]) == {"id", "en"} for row in rows)
    titles = {row["name"]: row["title"]["id"] for row in rows}
    assert titles["pm25_rises"] == "PM2.5 naik di Balige"
    assert titles["router_dies"] == "CORE mati"


def test_a_fault_grows_along_its_ramp_and_fades_from_where_it_was() -> None:
    active = Active(KINDS["pm25_rises"], "aq-1", 0, 10 * NS)
    assert [active.strength(s * NS) for s in (0, 5, 10, 20)] == [0.0, 0.5, 1.0, 1.0]
    early = Active(KINDS["pm25_rises"], "aq-1", 0, 10 * NS)
    early.clear(5 * NS)
    assert [early.strength(s * NS) for s in (5, 7, 10, 20)] == pytest.approx([0.5, 0.3, 0.0, 0.0])


def test_the_script_ends_every_fault_that_it_begins() -> None:
    begun = {(step.fault, step.target) for step in script.DEMO if step.action == "fault"}
    ended = {(step.fault, step.target) for step in script.DEMO if step.action == "clear"}
    assert begun == ended
    assert {name for name, _ in begun} == {"pm25_rises", "router_dies"}
    assert max(step.at_s for step in script.DEMO) <= 30


async def test_a_script_plays_its_steps_in_order() -> None:
    class Stage:
        def __init__(self) -> None:
            self.acts: list[tuple[str, str]] = []

        async def fault(self, name: str, target: str | None = None) -> None:
            self.acts.append(("fault", name))

        async def clear(self, name: str, target: str | None = None) -> None:
            self.acts.append(("clear", name))

    stage = Stage()
    await script.play(stage, pace=1000)
    assert stage.acts == [
        ("fault", "pm25_rises"),
        ("fault", "router_dies"),
        ("clear", "pm25_rises"),
        ("clear", "router_dies"),
    ]
