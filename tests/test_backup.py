"""A backup made under load is a hub that goes on: nothing acknowledged is missing or twice."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from hub import backup, configuration
from hub.api import TryAgain
from hub.journal import Reader
from hub.journal.files import Cursor, Mark
from hub.supervisor import FolderLock
from tests.hub_support import INVENTORY, Hub, mqtt, running, wait_for
from tests.mosquitto_support import Mosquitto
from tests.test_kill import Publisher, stored

RULES = {
    "rules": [
        {
            "name": "too_much",
            "title": {"id": "Terlalu banyak", "en": "Too much"},
            "when": {"measurement": "environment", "field": "pm25", "above": 1e6},
            "severity": "warning",
        }
    ]
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    yield broker
    broker.stop()


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub", *map(str, words)], capture_output=True, text=True, timeout=120
    )


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody looks."""


def check_cursors(data: Path) -> None:
    """No cursor stands behind the end of the journal, and all that lies behind each is there."""
    with duckdb.connect(str(data / "readings.duckdb"), read_only=True) as db:
        lanes = dict(db.execute("SELECT lane, last_id FROM hub_lanes").fetchall())
    [stored_id] = [last_id for lane, last_id in lanes.items() if lane.startswith("live")]
    with sqlite3.connect(data / "serve.db") as db:
        row = db.execute("SELECT last_id FROM snapshot").fetchone()
    folded_id = row[0] if row else 0  # its first snapshot may not have been made yet
    assert Cursor(data / "journal", "forward").get() <= stored_id
    for last_id in (folded_id, stored_id):
        reader = Reader(data / "journal", last_id)
        assert Mark(data / "journal", write=False).get() >= last_id
        while reader.read():
            pass
        assert reader.lost == []
        assert reader.next_id == Mark(data / "journal", write=False).get() + 1
        reader.close()


def transitions(data: Path) -> list[tuple[int, ...]]:
    """Ids in order: the number of the journal's record, and which of those it made."""
    with sqlite3.connect(data / "serve.db") as db:
        ids = [row[0] for row in db.execute("SELECT id FROM transition")]
    return sorted(tuple(int(part) for part in one.split("-")) for one in ids)


def value(number: int) -> int:
    """Every fiftieth crosses the limit: alerts come and go all the time."""
    return number if number % 50 else 2_000_000 + number


def check_all_up_to_some_message(found: list[float]) -> None:
    """One publisher's messages arrive in order; the last few may still be in the journal."""
    assert len(found) > 100, "the machine was too busy to say anything"
    assert sorted(found) == sorted(value(n) + 0.5 for n in range(len(found)))


def caught_up(hub: Hub) -> bool:
    backlog = hub.get("/api/v1/health")["backlog"]
    return bool(backlog["forward"] <= 3 and backlog["engine"] <= 3)


def test_a_backup_under_load_goes_on_elsewhere(tmp_path: Path, broker: Mosquitto) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(RULES))
    settings = {
        "rules": {"library": False, "files": [str(rules)]},
        "journal": {"segment_mib": 1},
    }
    copies = [tmp_path / f"copy{n}.tar" for n in range(2)]
    with running(tmp_path / "hub", {**settings, **mqtt(broker.port)}) as hub:
        wait_for("the subscription", lambda: "SUBACK" in broker.log())
        publisher = Publisher(broker.port)
        number = 0
        for copy in copies:
            making = subprocess.Popen(
                [sys.executable, "-m", "hub", "backup", str(copy), "-s", str(hub.path)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            while making.poll() is None or number % 1000:  # load before, during and after
                publisher.publish(value(number))
                number += 1
                time.sleep(0.002)
            assert making.stderr is not None
            with making.stderr:
                assert making.returncode == 0, making.stderr.read().decode() + hub.log()
        wait_for("the acknowledgements", lambda: len(publisher.acknowledged()) == number)
        publisher.close()
        wait_for("journal and store to be one", partial(caught_up, hub))
    check_all_up_to_some_message(stored(hub))
    told = transitions(hub.data)
    lengths = []
    for copy in copies:
        other = Hub(copy.with_suffix(""), settings, INVENTORY)
        backup.restore(copy, other.data, quiet)
        check_cursors(other.data)
        other.start()
        try:
            wait_for("journal and store to be one", partial(caught_up, other))
        finally:
            other.stop()
        found = stored(other)
        check_all_up_to_some_message(found)
        again = transitions(other.data)
        assert again == told[: len(again)]
        lengths.append((len(found), len(again)))
    assert lengths == sorted(set(lengths))  # each later copy holds more


@pytest.fixture(scope="module")
def rested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a hub that ran for a moment."""
    folder = tmp_path_factory.mktemp("rested") / "hub"
    with running(folder, {}) as hub:
        wait_for("a tick", lambda: in_mark(hub.data) > 2)
    return folder


@pytest.fixture
def resting(tmp_path: Path, rested: Path) -> Path:
    """Settings of a hub that rests; a copy of its own for each test."""
    shutil.copytree(rested, tmp_path / "hub", ignore=shutil.ignore_patterns("*.sock"))
    return tmp_path / "hub" / "toba-hub.yaml"


def in_mark(data: Path) -> int:
    reader = Reader(data / "journal")
    try:
        return reader.backlog()
    finally:
        reader.close()


def test_a_resting_hub_is_backed_up_with_all_that_it_needs(tmp_path: Path, resting: Path) -> None:
    data = resting.parent / "data"
    (data / "tokens.json").write_text("{}")
    target = tmp_path / "b.tar"
    told: list[tuple[str, int, int]] = []
    size = backup.write(
        configuration.load(resting), target, readings=True, progress=lambda *a: told.append(a)
    )
    assert size == target.stat().st_size
    assert target.stat().st_mode & 0o077 == 0
    assert told[-1][1] == told[-1][2] > 0
    folder = tmp_path / "again"
    made = backup.restore(target, folder, quiet)
    assert (folder / "tokens.json").read_text() == "{}"
    assert (folder / "configuration" / "toba-hub.yaml").read_bytes() == resting.read_bytes()
    assert {"serve.db", "readings.duckdb", "journal/mark", "journal/identity"} <= set(made["sums"])
    assert in_mark(folder) == in_mark(data)
    assert not list(data.glob(".backup-*"))


def test_readings_may_be_left_out(tmp_path: Path, resting: Path) -> None:
    target = tmp_path / "b.tar"
    done = command("backup", target, "--no-readings", "-s", resting)
    assert done.returncode == 0, done.stderr
    with tarfile.open(target) as tar:
        assert "readings.duckdb" not in tar.getnames()
        assert "serve.db" in tar.getnames()


def test_nothing_is_overwritten(tmp_path: Path, resting: Path) -> None:
    target = tmp_path / "b.tar"
    conf = configuration.load(resting)
    backup.write(conf, target, readings=False, progress=quiet)
    with pytest.raises(backup.Refused, match="is there already"):
        backup.write(conf, target, readings=False, progress=quiet)
    with pytest.raises(backup.Refused, match="is not empty"):
        backup.restore(target, resting.parent, quiet)
    done = command("restore", target, resting.parent / "data")
    assert done.returncode == 1
    assert "is not empty" in done.stderr


def test_a_running_hubs_folder_is_never_restored_into(tmp_path: Path, resting: Path) -> None:
    target, folder = tmp_path / "b.tar", resting.parent / "data"
    backup.write(configuration.load(resting), target, readings=False, progress=quiet)
    lock = FolderLock.take(folder, "http://127.0.0.1:1")
    try:
        with pytest.raises(backup.Refused, match="running"):
            backup.restore(target, folder, quiet)
        with pytest.raises(TryAgain, match="serve process does not answer"):
            backup.write(
                configuration.load(resting), tmp_path / "c.tar", readings=False, progress=quiet
            )
    finally:
        lock.release()
    assert not list(tmp_path.glob("c.tar*"))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20_000])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"TOBAJRN1") + 100
    content[at] ^= 1
    path.write_bytes(bytes(content))


def _strange(path: Path) -> None:
    path.write_bytes(b"no tar at all" * 100)


def _leading_out(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("../out")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_cut, "no whole backup"),
        (_flip, "spoiled"),
        (_strange, "no whole backup"),
        (_leading_out, "leads out"),
    ],
)
def test_a_spoiled_backup_leaves_nothing_behind(
    tmp_path: Path, resting: Path, spoil: Any, words: str
) -> None:
    target, folder = tmp_path / "b.tar", tmp_path / "again"
    backup.write(configuration.load(resting), target, readings=False, progress=quiet)
    spoil(target)
    with pytest.raises(backup.Refused, match=words):
        backup.restore(target, folder, quiet)
    assert not folder.exists()
    assert not (tmp_path / "out").exists()


def test_a_newer_backup_is_refused_by_name(tmp_path: Path) -> None:
    target = tmp_path / "b.tar"
    content = json.dumps({"format": 99, "version": "9.9", "sums": {}}).encode()
    with tarfile.open(target, "w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    with pytest.raises(backup.Refused, match="newer toba-hub"):
        backup.restore(target, tmp_path / "again", quiet)
