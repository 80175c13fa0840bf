"""Named tokens in a file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from hub.web.tokens import TokenError, Tokens
from tests.web_support import NOW


def test_a_token_is_found_by_its_text_and_kept_only_as_a_hash(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    clear = tokens.create("Rina (NOC)".replace("(", "").replace(")", ""), "operator", NOW)
    found = tokens.find(clear)
    assert found is not None
    assert (found.name, found.role, found.created_ns) == ("Rina NOC", "operator", NOW)
    assert clear not in tokens.path.read_text()
    assert len(clear) > 43  # 256 bits
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600


def test_a_revoked_token_stops_working_in_another_process_too(tmp_path: Path) -> None:
    hub, cli = Tokens(tmp_path / "tokens.json"), Tokens(tmp_path / "tokens.json")
    clear = cli.create("wall", "viewer", NOW)
    assert hub.find(clear) is not None
    cli.revoke("wall")
    assert hub.find(clear) is None
    assert list(hub.list()) == []


@pytest.mark.parametrize("name", ["", " x", "a" * 65, "a\nb", "a<b>"])
def test_a_name_that_would_not_print_well_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TokenError, match="can't name a token"):
        Tokens(tmp_path / "tokens.json").create(name, "viewer", NOW)


def test_two_tokens_can_not_share_a_name(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    tokens.create("wall", "viewer", NOW)
    with pytest.raises(TokenError, match="already"):
        tokens.create("wall", "admin", NOW)
    with pytest.raises(TokenError, match="no token named 'x'"):
        tokens.revoke("x")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"tokens": [{}]}', json.dumps({"tokens": [{"name": "a"}]})]
)
def test_a_broken_file_names_itself_and_a_remedy_and_lets_nobody_in(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    with pytest.raises(TokenError, match=r"tokens\.json.*toba-hub token create"):
        Tokens(path).find("toba_x")
