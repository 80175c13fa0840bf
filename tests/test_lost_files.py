"""Somebody removes or spoils a file of the data folder while the hub is down: it goes on, judges
and stores what comes from then on, and says what happened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub_support import Hub, mqtt, wait_for
from tests.mosquitto_support import Mosquitto, broker
from tests.reload_support import DIRTY, write

OTHERS = {name: {"enabled": False} for name in ("snmp", "camera", "netprobe")}


class Scene:
    """A hub with one rule, and sensors that speak when a test wants."""

    def __init__(self, folder: Path, server: Mosquitto) -> None:
        settings = mqtt(server.port)
        settings["collectors"] |= OTHERS
        settings["rules"] = {"library": False, "files": ["rules.yaml"]}
        self.hub = Hub(folder, settings, INVENTORY)
        write(folder, DIRTY)
        self.server = server

    def judged(self, device: str) -> None:
        """A value above the limit is received and becomes an alert, one below it ends it."""
        wait_for(f"{device} to be well", lambda: self._is(device, "resolved", 1))
        wait_for(f"{device} to fire", lambda: self._is(device, "firing", 100))

    def _is(self, device: str, state: str, value: float) -> bool:
        self.server.publish(f"toba/v1/dlh/balige/{device}/telemetry", f'{{"m":{{"pm25":{value}}}}}')
        found: list[dict[str, Any]] = self.hub.get("/api/v1/alerts")
        states = {alert["device"]: alert["state"] for alert in found}
        return states.get(device, "resolved") == state

    def runs(self, device: str) -> str:
        """Start, let a sensor make an alert, end; what the log said."""
        before = len(self.hub.log())
        self.hub.start()
        try:
            self.judged(device)
            wait_for("all to be stored", lambda: self.backlog() == 0)
            self.healthz = json.dumps(self.hub.get("/healthz"))
        finally:
            self.hub.stop()
        return self.hub.log()[before:]

    def backlog(self) -> int:
        return int(self.hub.get("/api/v1/health")["backlog"]["forward"])

    def stored(self, device: str) -> int:
        sql = (
            "SELECT count(*) FROM environment e JOIN hub_series s ON s.id = e.series "
            f"WHERE s.key LIKE '%{device}%' AND pm25 = 100"
        )
        return int(self.hub.rows(sql)[0][0])


INVENTORY: dict[str, Any] = {
    "sites": [{"id": "balige", "name": "Balige"}],
    "opds": [{"id": "dlh", "name": "DLH", "site": "balige"}],
    "devices": [
        {"id": f"aq{n}", "kind": "sensor", "site": "balige", "opd": "dlh", "collect": {"mqtt": {}}}
        for n in range(1, 7)
    ],
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A hub that ran for a while and is down now."""
    folder = tmp_path_factory.mktemp("lost")
    with broker(folder) as server:
        found = Scene(folder / "hub", server)
        found.runs("aq1")
        assert found.stored("aq1")
        yield found


def test_what_the_hub_keeps_is_its_user_s_alone(scene: Scene) -> None:
    open_to_others = [
        str(path)
        for path in [scene.hub.data, *scene.hub.data.rglob("*")]
        if path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_without_its_journal_it_begins_a_new_one_and_judges_and_stores_on(scene: Scene) -> None:
    shutil.rmtree(scene.hub.data / "journal")
    said = scene.runs("aq2")
    assert scene.stored("aq1"), "what was stored stays"
    assert scene.stored("aq2")
    assert "it belongs to another journal" in said
    assert "set aside" in scene.healthz


def test_without_its_ledger_alerts_are_folded_anew(scene: Scene) -> None:
    for path in scene.hub.data.glob("serve.db*"):
        path.unlink()
    scene.runs("aq3")
    assert scene.stored("aq3")
    assert "set aside" not in scene.healthz


def test_a_spoiled_ledger_is_set_aside_with_a_loud_line(scene: Scene) -> None:
    for path in scene.hub.data.glob("serve.db-*"):
        path.unlink()
    (scene.hub.data / "serve.db").write_bytes(b"this is no database" * 500)
    said = scene.runs("aq4")
    assert scene.stored("aq4")
    assert "alerts of before are set aside" in said
    assert "file is not a database" in said
    assert "file is not a database" in scene.healthz
    assert "Traceback" not in said
    assert "process died" not in said
    assert any(
        b"no database" in p.read_bytes()[:99] for p in scene.hub.data.glob("serve.db.aside*")
    )


def test_without_its_readings_the_store_goes_on_with_what_the_journal_holds(scene: Scene) -> None:
    for path in scene.hub.data.glob("readings.duckdb*"):
        path.unlink()
    said = scene.runs("aq5")
    assert scene.stored("aq5")
    assert "process died" not in said


def test_a_data_folder_that_is_moved_away_is_said_on_the_board(scene: Scene) -> None:
    scene.hub.start()
    # Opening the store makes its folder, and on a slow machine does so after the first page.
    wait_for("the store to be open", (scene.hub.data / "readings.duckdb").exists)
    aside = scene.hub.data.with_name("elsewhere")
    scene.hub.data.rename(aside)
    try:
        wait_for("the hub to be unwell", lambda: not scene.hub.healthy())
        assert "is gone: bring it back, or restart" in str(scene.hub.get("/api/v1/health"))
    finally:
        aside.rename(scene.hub.data)
        scene.hub.stop()
