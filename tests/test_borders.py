"""The walls of the house: who may import whom, and who may ask for the time."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import hub

ROOT = Path(__file__).parent.parent
PACKAGES = ("hub", "collectors", "rules", "grafana", "firmware_stubs")

FLOORS = [
    [
        "hub.__main__",
        "hub.cli",
        "hub.backtest",
        "hub.backup",
        "hub.demo",
        "hub.importing",
        "hub.doctor",
        "hub.influx_setup",
        "hub.marks",
        "hub.oversights",
    ],
    ["hub.app"],
    ["hub.serve"],
    ["hub.people"],
    ["hub.backend"],
    ["hub.web"],
    [
        "hub.acts",
        "hub.configuration",
        "hub.engine",
        "hub.fieldlink",
        "hub.fold",
        "hub.forward",
        "hub.inforce",
        "hub.ingest",
        "hub.link",
        "hub.reload",
        "hub.report",
        "hub.ruleset",
        "hub.vigil",
    ],
    [
        "hub.running",
        "hub.host",
        "hub.polling",
        "hub.own",
        "hub.past",
        "hub.doubt",
        "hub.pipeline",
        "hub.probing",
        "hub.redelivery",
        "hub.ledger",
        "hub.outcome",
        "hub.proposals",
        "hub.rulebook",
    ],
    ["hub.committer", "hub.decoded", "hub.records", "hub.supervisor", "hub.store.choose"],
    [
        "hub.settings",
        "hub.settings_file",
        "hub.inventory",
        "hub.inventory_file",
        "hub.registry",
        "hub.notify",
    ],
    ["hub.discovery"],
]
"""Imports only run down this list (each floor may use itself). What is not named stands below."""


def modules(*packages: str) -> Iterator[tuple[str, Path]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__"), path


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions, also for types only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def floor(name: str) -> int:
    for number, names in enumerate(FLOORS):
        if any(within(name, known) for known in names):
            return number
    return len(FLOORS)


@pytest.mark.parametrize(("name", "path"), list(modules("hub")), ids=lambda v: str(v))
def test_imports_only_run_down(name: str, path: Path) -> None:
    up = [used for used in imports(path) if within(used, "hub") and floor(used) < floor(name)]
    assert not up, f"{name} imports what stands above it: {up}"


def test_collectors_know_nothing_of_the_hub_but_its_api() -> None:
    for name, path in modules("collectors"):
        own = ".".join(name.split(".")[:2])
        for used in imports(path):
            assert not within(used, "hub") or within(used, "hub.api"), f"{name}: {used}"
            if within(used, "collectors"):
                assert within(used, own), f"{name} reaches into another collector: {used}"


def test_rules_know_nothing_of_the_hub_but_readings() -> None:
    for name, path in modules("rules"):
        for used in imports(path):
            for other in ("hub", "collectors", "grafana", "firmware_stubs"):
                wrong = within(used, other) and not within(used, "hub.reading")
                assert not wrong, f"{name}: {used}"


def test_the_hub_names_no_collector_and_no_stub() -> None:
    for name, path in modules("hub"):
        for used in imports(path):
            assert not within(used, "collectors"), f"{name}: {used}"
            assert not within(used, "firmware_stubs"), f"{name}: {used}"


def test_only_the_probe_helper_imports_scapy() -> None:
    users = {
        name for name, path in modules(*PACKAGES) if any(within(u, "scapy") for u in imports(path))
    }
    assert users <= {"collectors.netprobe.helper"}


CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "localtime", "gmtime"},
    "datetime": {"now", "utcnow", "today"},
}


def test_nobody_reads_the_wall_clock_outside_the_clock() -> None:
    for name, path in modules(*PACKAGES):
        if name == "hub.clock" or "micropython" in name:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = ast.unparse(node.func.value).split(".")[-1]
                assert node.func.attr not in CLOCKS.get(owner, set()), (
                    f"{name}:{node.lineno} asks {owner}.{node.func.attr} for the time"
                )


def test_the_map_of_the_hub_leaves_no_module_out() -> None:
    room = ROOT / "hub"
    there = [p.stem for p in room.glob("*.py") if p.stem != "__init__"]
    there += [f"{p.name}/" for p in room.iterdir() if p.is_dir() and p.name != "__pycache__"]
    words = re.findall(r"(?:^| )(\w+/?)(?=[ ,;:]|$)", hub.__doc__ or "", re.MULTILINE)
    missing = [name for name in there if name not in words]
    assert missing == [], "hub/__init__.py says nothing of them"
    assert [name for name in words if name.endswith("/") and name not in there] == []


def test_a_border_that_is_crossed_is_found(tmp_path: Path) -> None:
    crossing = tmp_path / "x.py"
    crossing.write_text("def f():\n    from hub.journal import writer\n")
    assert imports(crossing) == {"hub.journal.writer"}
    assert floor("hub.web.app") < floor("hub.engine") < floor("hub.journal.writer")
