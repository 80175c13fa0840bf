"""What the README says is true: examples are read, links lead somewhere, verbs exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from hub import configuration
from hub.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_settings_and_inventory_shown_are_valid(tmp_path: Path) -> None:
    settings, inventory = blocks("yaml")
    (tmp_path / "token").write_text("123:abc")
    (tmp_path / "routers.csv").write_text("id,kind,site\n")
    settings = settings.replace("/run/secrets/telegram", str(tmp_path / "token"))
    (tmp_path / "toba-hub.yaml").write_text(settings, encoding="utf-8")
    (tmp_path / "inventory.yaml").write_text(inventory, encoding="utf-8")
    conf = configuration.load(tmp_path / "toba-hub.yaml")
    assert set(conf.inventory.devices) == {"r-dlh", "aq-balige"}


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


def test_every_verb_named_in_the_readme_exists() -> None:
    command = get_command(cli)
    for words in re.findall(r"`toba-hub ([a-z-]+)", README):
        assert words in command.commands, words  # type: ignore[attr-defined]


def test_every_make_target_named_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in re.findall(
        r"make ([a-z-]+)", " ".join(re.findall(r"`[^`]+`|```sh.*?```", README, re.DOTALL))
    ):
        assert name in targets, name


def test_the_commands_page_of_the_help_lists_every_verb() -> None:
    command = get_command(cli)
    for name, verb in command.commands.items():  # type: ignore[attr-defined]
        assert verb.help, f"{name} has no help"
