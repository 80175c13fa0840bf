"""Credentials by group: what can't work is named before anything is asked; no secret is told."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import configuration
from hub.problems import Misconfigured
from tests.hub_support import running, wait_for
from tests.snmp_support import free_udp_port, real_snmpd

SECRETS = {
    "community": "rahasia-komunitas",
    "auth_password": "rahasia-otentikasi",
    "priv_password": "rahasia-privasi",
    "inline": "rahasia-inventaris",
}
V3 = {"version": 3, "user": "toba", "auth": "sha256", "priv": "aes128"}
PASSWORDS = {key: SECRETS[key] for key in ("auth_password", "priv_password")}


def written(
    folder: Path, credentials: Mapping[str, Any], *sections: Mapping[str, Any]
) -> tuple[Path, list[str]]:
    """The settings' path and their lines' problems, `file:line key: message (remedy)`."""
    settings = {
        "web": {"port": 0},
        "store": {"kind": "duckdb"},
        "rules": {"library": False},
        "collectors": {"snmp": {"credentials": dict(credentials)}},
    }
    devices = [
        {
            "id": f"r{number}",
            "kind": "router",
            "site": "balige",
            "address": "127.0.0.1",
            "collect": {"snmp": dict(section)},
        }
        for number, section in enumerate(sections, 1)
    ]
    inventory = {"sites": [{"id": "balige", "name": "Balige"}], "devices": devices}
    path = folder / "toba-hub.yaml"
    path.write_text(yaml.safe_dump(settings))
    (folder / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    try:
        configuration.load(path)
    except Misconfigured as error:
        return path, [str(problem).replace(f"{folder}/", "") for problem in error.problems]
    return path, []


def test_a_device_refers_to_a_group_by_its_name(tmp_path: Path) -> None:
    groups = {
        "opd-v3": {**V3, **PASSWORDS},
        "old": {"version": 1, "community": "2024x"},
        "plain": {"version": "3", "user": "toba"},
    }
    sections = [{"credential": name} for name in groups]
    assert written(tmp_path, groups, *sections, {"version": "1", "community": "x"})[1] == []


def test_an_unknown_credential_names_device_file_and_line(tmp_path: Path) -> None:
    groups = {"opd-v3": {**V3, **PASSWORDS}}
    _, said = written(tmp_path, groups, {"credential": "opd-v3"}, {"credential": "opd-v4"})
    assert len(said) == 1
    lines = (tmp_path / "inventory.yaml").read_text().splitlines()
    line = lines.index("      credential: opd-v4") + 1
    assert said[0] == (
        f"inventory.yaml:{line}: devices[1].collect.snmp.credential: no credential 'opd-v4' "
        "(settings, collectors.snmp.credentials; known there: opd-v3)"
    )


@pytest.mark.parametrize(
    ("group", "says"),
    [
        ({**V3, "auth_password": SECRETS["auth_password"]}, "priv and priv_password belong"),
        ({"version": 3, "user": "u", "priv": "aes128", "priv_password": "x" * 9}, "priv without"),
        ({"version": 3, "user": "u", "auth": "sha256", "auth_password": "short"}, "too short"),
        ({"version": 3, "auth": "sha256", "auth_password": "x" * 9}, "needs a user"),
        ({"version": 3, "user": "u", "community": SECRETS["community"]}, "knows no community"),
        ({"version": "2c", "user": "u"}, "are of version 3, this is 2c"),
        ({"version": "2c"}, "has no community"),
        ({"version": "2"}, "one of '1', '2c' or '3'"),
        ({**V3, **PASSWORDS, "auth": SECRETS["auth_password"]}, "no such protocol (known: md5"),
        ({**V3, **PASSWORDS, "priv": SECRETS["priv_password"]}, "no such protocol (known: des"),
        ({**V3, **PASSWORDS, "auth_passwort": SECRETS["auth_password"]}, "no such key"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:18],
)
def test_a_group_that_cannot_work_is_named_without_its_secrets(
    tmp_path: Path, group: dict[str, Any], says: str
) -> None:
    _, said = written(tmp_path, {"opd": group})
    assert said
    assert says.lower() in said[0].lower()
    assert said[0].startswith("toba-hub.yaml:")
    assert "collectors.snmp.credentials.opd" in said[0]
    assert not [secret for secret in SECRETS.values() if secret in "\n".join(said)]


def test_a_credential_beside_a_community_is_ambiguous(tmp_path: Path) -> None:
    groups = {"opd": {"community": SECRETS["community"]}}
    _, said = written(tmp_path, groups, {"credential": "opd", "community": "rahasia-lain"})
    assert "credential beside version or community (leave one of them out)" in said[0]
    assert "rahasia" not in said[0]


def test_secrets_come_from_files_and_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "auth").write_text(SECRETS["auth_password"] + "\n")
    groups = {"opd_v3": {**V3, "auth_password": {"file": "auth"}, "priv_password": "x" * 8}}
    path, said = written(tmp_path, groups, {"credential": "opd_v3"})
    assert said == []
    variable = "TOBA_COLLECTORS__SNMP__CREDENTIALS__OPD_V3__PRIV_PASSWORD"
    monkeypatch.setenv(variable, SECRETS["priv_password"])
    found = configuration.load(path)
    config = found.plugins["snmp"].configure(
        found.settings.collectors["snmp"], found.settings.folder
    )
    user = config.credentials["opd_v3"].as_user()
    assert user.auth_password == SECRETS["auth_password"].encode()
    assert user.priv_password == SECRETS["priv_password"].encode()
    assert "rahasia" not in repr(user) + repr(config)


def test_no_secret_is_told_by_a_hub_whose_devices_refuse_and_are_silent(tmp_path: Path) -> None:
    """Log, board, API, metrics, `check` and the journal's export, all searched."""
    (tmp_path / "snmpd").mkdir()
    lines = "createUser toba SHA-256 another-password AES another-password\nrouser toba priv\n"
    silent = free_udp_port()
    with real_snmpd(tmp_path / "snmpd", conf_lines=lines) as port:
        groups = {
            "opd-v3": {
                "version": "3",
                "user": "toba",
                "auth": "sha256",
                "auth_password": SECRETS["auth_password"],
                "priv": "aes128",
                "priv_password": SECRETS["priv_password"],
            },
            "old": {"community": SECRETS["community"]},
        }
        device = {"kind": "router", "site": "balige", "address": "127.0.0.1"}
        inventory: dict[str, Any] = {
            "sites": [{"id": "balige", "name": "Balige"}],
            "devices": [
                {**device, "id": "r1", "collect": {"snmp": {"credential": "opd-v3", "port": port}}},
                {**device, "id": "r2", "collect": {"snmp": {"credential": "old", "port": silent}}},
            ],
        }
        inline = {"community": SECRETS["inline"], "port": silent}
        inventory["devices"].append({**device, "id": "r3", "collect": {"snmp": inline}})
        snmp = {"credentials": groups, "timeout_s": 0.2, "retries": 0}
        settings = {"collectors": {"snmp": snmp}, "log": {"level": "debug"}}
        with running(tmp_path / "hub", settings, inventory) as hub:
            wait_for("both complaints", lambda: _complains(hub.log(), "r1", "r2", "r3"))
            told = [hub.log()]
            for path in ("/metrics", "/api/v1/health", "/api/v1/devices/r1", "/api/v1/overview"):
                with urllib.request.urlopen(f"http://127.0.0.1:{hub.port}{path}") as answer:
                    told.append(answer.read().decode())
        for verb in (["check"], ["journal", "export"]):
            done = subprocess.run(
                [sys.executable, "-m", "hub", *verb, "-s", str(hub.path)],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            told.append(done.stdout + done.stderr)
    assert "wrong authentication password or protocol" in told[0]
    for text in told:
        assert text
        assert not [secret for secret in SECRETS.values() if secret in text]


def _complains(log: str, *devices: str) -> bool:
    return all(f"{device}:" in log for device in devices)


def test_the_journal_s_copy_of_the_inventory_holds_no_community(tmp_path: Path) -> None:
    path, said = written(tmp_path, {}, {"community": SECRETS["inline"]}, {"community": "2024"})
    assert said == []
    text = configuration.load(path).inventory_text()
    assert SECRETS["inline"] not in text
    assert "2024" not in text
    assert text.count("**********") == 2
    assert "address: 127.0.0.1" in text
