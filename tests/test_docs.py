"""What the README says is true: examples are read, links lead somewhere, verbs exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from hub import configuration
from hub.cli.main import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_settings_inventory_table_and_rules_shown_are_valid(tmp_path: Path) -> None:
    settings, inventory, rules = blocks("yaml")
    (table,) = blocks("csv")
    (tmp_path / "token").write_text("123:abc")
    settings = settings.replace("/run/secrets/telegram", str(tmp_path / "token"))
    (tmp_path / "rules").mkdir()
    for name, text in {
        "toba-hub.yaml": settings,
        "inventory.yaml": inventory,
        "routers.csv": table,
        "rules/noise.yaml": rules,
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    conf = configuration.load(tmp_path / "toba-hub.yaml")
    devices = conf.inventory.devices
    assert set(devices) == {"r-dlh", "aq-balige", "r-core", "r-porsea"}
    assert devices["r-porsea"].depends_on == ["r-dlh", "r-core"]
    assert devices["r-porsea"].collect == {"snmp": {"community": "2024"}, "netprobe": {}}
    own = {Path(rule.source.split(":")[0]).parent.name for rule in conf.rules}
    assert own == {"library", "rules"}


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("*/**/README.md")))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    if ".venv" in page.parts or "node_modules" in page.parts:
        return
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_every_path_named_in_the_readme_is_there() -> None:
    for name in re.findall(r"`((?:hub|collectors|rules|grafana|tests)/[\w./-]+)`", README):
        assert (ROOT / name).exists(), name


def verbs() -> dict[str, Any]:
    """The hub's own verbs and those of its collectors, those of groups with both words."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: str) -> None:
        context = typer.Context(command)
        for name in command.list_commands(context):
            verb = command.get_command(context, name)
            found[f"{words}{name}"] = verb
            if hasattr(verb, "list_commands"):
                walk(verb, f"{words}{name} ")

    walk(get_command(cli), "")
    return found


VERBS = verbs()
UsageError = typer.BadParameter.__mro__[1]
"""click's, which typer has inside itself or beside itself, as its version goes."""


def taken(line: str) -> None:
    """Fails for a command line that the hub would not take."""
    words = re.split(r" (?:&&|[|>]) ", line)[0]
    _, *rest = shlex.split(words[words.index("toba-hub") :], comments=True)
    name = " ".join(rest[:2]) if " ".join(rest[:2]) in VERBS else rest[0]
    assert name in VERBS, f"{line}: no such verb"
    given = rest[len(name.split()) :]
    if given and not hasattr(VERBS[name], "list_commands"):
        VERBS[name].make_context(name, given)


def in_readme() -> list[str]:
    """Every whole command line of the README; `…` and `|` leave something to the reader."""
    lines = re.findall(r"`(toba-hub [^`]+)`", README.replace("\n", " "))
    return [line for line in lines if not re.search(r"[…|<]", line)]


@pytest.mark.parametrize("line", in_readme())
def test_every_command_line_of_the_readme_is_taken(line: str) -> None:
    taken(line)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_and_its_examples_are_taken(name: str) -> None:
    said = VERBS[name].help
    assert said
    for line in re.findall(r"^\s*(?:\S+ )?(toba-hub .+)$", "".join(said.split("```")[1::2]), re.M):
        taken(line)


@pytest.mark.parametrize("name", [name for name, verb in VERBS.items() if verb.params])
def test_every_option_says_what_it_is_for(name: str) -> None:
    assert [one.name for one in VERBS[name].params if not getattr(one, "help", "")] == []


def test_a_command_line_that_the_hub_would_not_take_is_found() -> None:
    taken("toba-hub silence device=x --hours 4 | less")
    for line in ("silense x", "silence --ours 4", "rules explain --lang id"):
        with pytest.raises((AssertionError, UsageError)):
            taken(f"toba-hub {line}")


def test_every_make_target_named_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in re.findall(
        r"make ([a-z-]+)", " ".join(re.findall(r"`[^`]+`|```sh.*?```", README, re.DOTALL))
    ):
        assert name in targets, name
