"""Who is told what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

import hub.notify
from hub import settings_file
from hub.notify.channels import ChannelConfig, Policy, build, unknown_fallbacks
from hub.notify.message import Facts
from hub.notify.routing import Router, Team
from hub.problems import Misconfigured
from tests.notify_support import ZONE, change, tools

TEAMS = {
    "dlh": Team(name="DLH", channels=["telegram", "mail"]),
    "kominfo": Team(language="en", channels=["mail", "noc"]),
    "nobody": Team(),
}


def router(**channels: Policy) -> Router:
    known = {"telegram": Policy(), "mail": Policy(), "noc": Policy(), **channels}
    return Router(TEAMS, known, lambda _: Facts(), language="id", zone=ZONE)


def test_a_team_is_told_on_each_of_its_channels_in_its_language() -> None:
    found = router().messages([change(notify=("dlh",))])
    assert [(m.channel, m.language) for m in found] == [("telegram", "id"), ("mail", "id")]


def test_teams_that_share_a_channel_hear_it_once() -> None:
    found = router().messages([change(notify=("dlh", "kominfo"))])
    assert [m.channel for m in found] == ["telegram", "mail", "noc"]
    assert len({m.key for m in found}) == 3


def test_a_channel_may_insist_on_its_language() -> None:
    found = router(mail=Policy(language="id")).messages([change(notify=("kominfo",))])
    assert [(m.channel, m.language) for m in found] == [("mail", "id"), ("noc", "en")]


@pytest.mark.parametrize("teams", [(), ("nobody",), ("unheard of",)])
def test_nobody_is_told_when_there_is_nobody(teams: tuple[str, ...]) -> None:
    def facts(_: object) -> Facts:
        raise AssertionError("nobody hears of it")

    lonely = Router(TEAMS, {"telegram": Policy()}, facts, language="id", zone=ZONE)
    assert lonely.messages([change(notify=teams)]) == []


def test_messages_come_in_the_order_of_their_transitions() -> None:
    both = [change(id="1-0", notify=("dlh",)), change(id="1-1", notify=("dlh",))]
    assert [m.transition for m in router().messages(both)] == ["1-0", "1-0", "1-1", "1-1"]


CHANNELS = TypeAdapter(dict[str, ChannelConfig])
EVERY_KIND: dict[str, Any] = {
    "log": {"type": "log"},
    "hook": {"type": "webhook", "url": "https://x.id/a", "fallback": "log"},
    "tg": {"type": "telegram", "token": "1:a", "chat_id": -100},
    "mail": {
        "type": "smtp",
        "host": "mail",
        "sender": "hub@toba.go.id",
        "recipients": ["a@toba.go.id"],
    },
    "other": {"type": "apprise", "url": "json://localhost/x"},
    "bus": {"type": "mqtt", "host": "broker"},
    "am": {"type": "alertmanager", "url": "http://am:9093"},
}


async def test_every_kind_of_channel_is_built_from_settings_without_the_network() -> None:
    built = build(CHANNELS.validate_python(EVERY_KIND), tools())
    assert {name: channel.name for name, (channel, _) in built.items()} == {
        name: name for name in EVERY_KIND
    }
    assert built["hook"][1].fallback == "log"
    for channel, _ in built.values():
        await channel.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "pigeon"},
        {"type": "telegram", "token": "1:a"},
        {"type": "telegram", "token": "", "chat_id": 1},
        {"type": "apprise", "url": "nope://x"},
        {"type": "mqtt", "host": "b", "prefix": "a/#"},
        {**EVERY_KIND["mail"], "recipients": ["not an address"]},
        {**EVERY_KIND["mail"], "security": "none", "username": "hub"},
        {"type": "log", "ttl_s": 0},
        {"type": "log", "tll_s": 5},
        {"type": "log", "group_by": ["sight"]},
        {"type": "mqtt", "host": "b", "audience": "people"},
        {"type": "alertmanager", "url": "http://am", "audience": "people"},
    ],
)
def test_mistakes_in_a_channel_are_found_when_settings_are_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CHANNELS.validate_python({"x": wrong})


def test_the_readmes_settings_are_what_the_hub_understands() -> None:
    readme = (Path(hub.notify.__file__).parent / "README.md").read_text(encoding="utf-8")
    sample = yaml.safe_load(readme.split("```yaml")[1].split("```")[0])
    for channel in sample["channels"].values():
        for key, value in channel.items():
            if isinstance(value, dict):  # {file: …}: a secret that the settings read from there
                channel[key] = "secret"
    configs = CHANNELS.validate_python(sample["channels"])
    assert {config.type for config in configs.values()} == {
        config["type"] for config in EVERY_KIND.values()
    }
    assert list(unknown_fallbacks(configs)) == []
    teams = {name: Team.model_validate(team) for name, team in sample["teams"].items()}
    assert {channel for team in teams.values() for channel in team.channels} <= configs.keys()


def test_fallbacks_that_lead_nowhere_are_named() -> None:
    configs = CHANNELS.validate_python(
        {
            "a": {"type": "log", "fallback": "b"},
            "b": {"type": "log", "fallback": "b"},
            "c": {"type": "log", "fallback": "nowhere"},
        }
    )
    assert [name for name, _ in unknown_fallbacks(configs)] == ["b", "c"]


def test_a_fallback_that_leads_nowhere_is_a_mistake_of_the_settings_with_its_line(
    tmp_path: Path,
) -> None:
    file = tmp_path / "toba-hub.yaml"
    file.write_text("channels:\n  a: {type: log}\n  b:\n    type: log\n    fallback: c\n")
    with pytest.raises(Misconfigured) as error:
        settings_file.read(file, {})
    (problem,) = error.value.problems
    assert problem.line == 5
    assert "no channel 'c'" in str(problem)
