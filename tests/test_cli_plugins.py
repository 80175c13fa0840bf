"""Verbs that collectors bring to the command line."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub.cli import plugins as cli_plugins
from hub.cli.main import cli
from hub.cli.plugins import Installation

PLUGIN = """\
import typer
from hub.api import NeverWorks, TryAgain

weather = typer.Typer(help="Ask a weather station.", no_args_is_help=True)

@weather.command("look")
def look(ctx: typer.Context, host: str, settings: str = "toba-hub.yaml") -> None:
    \"\"\"Look out of the window.\"\"\"
    if host == "away":
        raise TryAgain("nobody at home")
    if host == "never":
        raise NeverWorks("there is no window")
    print(f"{host}: {type(ctx.obj).__name__}")

def alone(place: str = "Balige") -> None:
    \"\"\"One verb by itself.\"\"\"
    print(f"rain at {place}")
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "weather_verbs.py").write_text(textwrap.dedent(PLUGIN))
    (tmp_path / "broken_verbs.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    points = {
        name: EntryPoint(name, value, cli_plugins.GROUP)
        for name, value in {
            "weather": "weather_verbs:weather",
            "rain": "weather_verbs:alone",
            "broken": "broken_verbs:verb",
            "check": "weather_verbs:alone",
        }.items()
    }
    monkeypatch.setattr(cli_plugins, "_points", lambda: points)
    yield
    sys.modules.pop("weather_verbs", None)


def say(*words: str) -> tuple[int, str, str]:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli, list(words))
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.usefixtures("installed")
class TestVerbsOfCollectors:
    def test_help_lists_them_behind_the_hubs_own(self) -> None:
        code, said, _ = say("--help")
        assert code == 0
        assert "Ask a weather station." in said
        assert "One verb by itself." in said
        assert said.index("doctor") < said.index("weather")

    def test_a_group_and_a_single_verb_run(self) -> None:
        assert say("weather", "look", "door")[:2] == (0, "door: Installation\n")
        assert say("rain", "--place", "Porsea")[:2] == (0, "rain at Porsea\n")

    @pytest.mark.parametrize(
        ("host", "why"), [("away", "nobody at home"), ("never", "there is no window")]
    )
    def test_expected_failures_are_one_line(self, host: str, why: str) -> None:
        assert say("weather", "look", host) == (1, "", f"toba-hub: {why}\n")

    def test_one_that_cannot_be_loaded_says_so_and_the_others_go_on(self) -> None:
        code, _, why = say("broken")
        assert code == 1
        assert "a_module_that_is_not_there" in why
        assert say("rain")[0] == 0
        assert say("--help")[0] == 0

    def test_the_hubs_own_verbs_cannot_be_replaced(self, tmp_path: Path) -> None:
        code, _, why = say("check", "-s", str(tmp_path / "none.yaml"))
        assert code != 0
        assert "none.yaml" in why


def test_a_verb_reads_its_collectors_settings_and_devices(tmp_path: Path) -> None:
    (tmp_path / "toba-hub.yaml").write_text("collectors: {snmp: {retries: 5}}\n")
    (tmp_path / "inventory.yaml").write_text(
        "sites: [{id: balige, name: Balige}]\n"
        "devices: [{id: r1, kind: router, site: balige, address: 10.0.0.1, collect: {snmp: {}}}]\n"
    )
    here = Installation()
    assert here.config(tmp_path / "toba-hub.yaml", "snmp").retries == 5
    (target,) = here.targets(tmp_path / "toba-hub.yaml", "snmp")
    assert target.address == "10.0.0.1"
