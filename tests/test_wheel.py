"""What a stranger installs: the wheel in a clean venv, and the demo out of it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.mosquitto_support import free_port

ROOT = Path(__file__).parent.parent


def run(*words: str | Path, cwd: Path, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=timeout_s
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean venv with the locked dependencies and the wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    built = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("toba_hub-*.whl")
    venv.create(folder / "venv")  # our pip fills it: one of its own takes seconds to unpack
    into = (*pip, "--python", folder / "venv" / "bin" / "python", "install")
    locked = ("--only-binary", ":all:", "--require-hashes", "-r", ROOT / "requirements.lock")
    for what in (locked, ("--no-deps", wheel)):
        done = run(*into, *what, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder / "venv" / "bin"


def test_the_demo_from_the_wheel_shows_a_whole_minute_of_life(
    installed: Path, tmp_path: Path
) -> None:
    words = ("demo", "--seconds", "40", "--json", "--port", str(free_port()))
    done = run(installed / "toba-hub", *words, cwd=tmp_path, timeout_s=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said) == {"store", "readings", "alerts", "notifications", "drops"}
    assert said["store"] == "duckdb"
    for measurement in ("device", "interface", "environment", "camera"):
        assert said["readings"][measurement] > 0, said
    assert said["alerts"]["raised"] >= 1, said
    assert said["alerts"]["resolved"] >= 1, said
    assert said["notifications"]["sent"] >= 2, said
    assert said["notifications"]["failed"] == 0, said
    assert said["drops"] == {}, said
    assert "Traceback" not in done.stderr, done.stderr


def test_a_port_in_use_is_one_clear_line(installed: Path, tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        done = run(installed / "toba-hub", "demo", "--port", port, cwd=tmp_path, timeout_s=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"port {port}" in done.stderr
    assert "in use" in done.stderr


def test_help_names_every_verb(installed: Path, tmp_path: Path) -> None:
    done = run(installed / "toba-hub", "--help", cwd=tmp_path)
    for verb in ("demo", "run", "check", "doctor", "ack", "silence", "grafana", "journal", "token"):
        assert verb in done.stdout
