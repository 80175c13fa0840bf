"""Settings: the file, the environment over it, secrets in files of their own, and every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub import settings_file
from hub.problems import Misconfigured
from hub.settings import Settings


def write(folder: Path, text: str) -> Path:
    path = folder / "toba-hub.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(folder: Path, text: str = "", **environment: str) -> Settings:
    return settings_file.read(write(folder, text), environment)


def problems(folder: Path, text: str, **environment: str) -> list[tuple[str, int, str, str]]:
    with pytest.raises(Misconfigured) as caught:
        read(folder, text, **environment)
    return [(Path(p.file).name, p.line, p.key, p.message) for p in caught.value.problems]


@pytest.mark.parametrize("wrong", ["kc.toba.go.id", "ftp://kc.toba.go.id", "https://"])
def test_a_public_address_that_no_phone_could_follow_is_a_mistake(
    tmp_path: Path, wrong: str
) -> None:
    path = tmp_path / "toba-hub.yaml"
    path.write_text(f"web:\n  public_url: '{wrong}'\n")
    with pytest.raises(Misconfigured, match=r"yaml:2: web.public_url: must be http"):
        settings_file.read(path, {})


def test_an_empty_file_means_the_defaults_of_toba(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert (found.web.host, found.web.port) == ("127.0.0.1", 8080)
    assert found.timezone == "Asia/Jakarta"
    assert found.store.kind == "influxdb"
    assert found.web.auth == "tokens"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    text = "web: {port: 9000, host: 10.0.0.1}\nstore: {token: from-file}\n"
    found = read(tmp_path, text, TOBA_WEB__PORT="9001", TOBA_STORE__TOKEN="from-env")
    assert (found.web.port, found.web.host) == (9001, "10.0.0.1")
    assert found.store.token.get_secret_value() == "from-env"


def test_the_variable_that_names_the_file_is_no_setting(tmp_path: Path) -> None:
    assert read(tmp_path, TOBA_SETTINGS="/etc/toba-hub.yaml").web.port == 8080


def test_a_secret_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "other").write_text("swordfish")
    found = read(
        tmp_path,
        f"store: {{token: {{file: {tmp_path}/secret}}, password: {{file: below/other}}}}\n",
    )
    assert found.store.token.get_secret_value() == "hunter2"
    assert found.store.password.get_secret_value() == "swordfish"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_s_file_that_can_not_be_read_is_named(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "none").write_bytes(content)
    ((file, line, key, message),) = problems(tmp_path, "\nstore:\n  token: {file: none}\n")
    assert (file, line, key) == ("toba-hub.yaml", 3, "store.token.file")
    assert "none can't be read" in message


def test_paths_are_relative_to_the_file_s_folder(tmp_path: Path) -> None:
    (tmp_path / "kabupaten").mkdir()
    text = (
        "data: here\ninventory: [a.yaml, /b.csv]\nstore: {path: x.duckdb}\nregency: kabupaten\n"
        "rules: {files: [r]}\n"
    )
    found = read(tmp_path, text)
    assert found.data == tmp_path / "here"
    assert found.inventory == [tmp_path / "a.yaml", Path("/b.csv")]
    assert found.store.path == tmp_path / "x.duckdb"
    assert found.rules.files == [tmp_path / "r"]
    assert found.regency_folder == tmp_path / "kabupaten"
    assert read(tmp_path).regency_folder.name == "toba"
    assert read(tmp_path).data == tmp_path / "data"


def test_a_data_folder_too_deep_for_a_socket_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    ((_, line, key, message),) = problems(tmp_path, f"\ndata: /{'x' * 100}\n")
    assert (line, key) == (2, "data")
    assert "too long" in message


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("web:\n  prot: 1\n", 2, "web.prot"),
        ("web:\n  port: lots\n", 2, "web.port"),
        ("timezone: Asia/Djakarta\n", 1, "timezone"),
        ("\nregency: atlantis\n", 2, "regency"),
        ("store: {kind: oracle}\n", 1, "store.kind"),
        ("journal: {segment_mib: 0}\n", 1, "journal.segment_mib"),
        ("web: {port: 1}\nweb: {port: 2}\n", 2, "web"),
        ("log: {level: loud}\n", 1, "log.level"),
    ],
)
def test_a_mistake_is_named_with_line_and_key(
    tmp_path: Path, text: str, line: int, key: str
) -> None:
    assert [(found[1], found[2]) for found in problems(tmp_path, text)] == [(line, key)]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "3\n"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "key: value" in problems(tmp_path, text)[0][3]


def test_all_mistakes_are_found_at_once_and_the_good_parts_stay(tmp_path: Path) -> None:
    path = write(tmp_path, "web: {port: -1, host: 10.0.0.9}\nlanguage: jv\nstore: {batch: 0}\n")
    found, wrong = settings_file.read_leniently(path, {"TOBA_WEB__HOST": "10.0.0.8"})
    assert {p.key for p in wrong} == {"web.port", "language", "store.batch"}
    assert (found.web.port, found.web.host, found.language) == (8080, "10.0.0.8", "id")
