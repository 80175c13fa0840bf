"""What the README says is true: examples are read, links lead somewhere, verbs exist."""

from __future__ import annotations

import re
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
    """The hub's own verbs and those of its collectors."""
    command: Any = get_command(cli)
    context = typer.Context(command)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}


def test_every_verb_named_in_the_readme_exists() -> None:
    for words in re.findall(r"`toba-hub ([a-z-]+)", README):
        assert words in verbs(), words


def test_every_make_target_named_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in re.findall(
        r"make ([a-z-]+)", " ".join(re.findall(r"`[^`]+`|```sh.*?```", README, re.DOTALL))
    ):
        assert name in targets, name


def test_the_commands_page_of_the_help_lists_every_verb() -> None:
    for name, verb in verbs().items():
        assert verb.help, f"{name} has no help"
