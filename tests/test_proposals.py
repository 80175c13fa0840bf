"""What collectors found and the inventory does not have: kept, shown, and made into a file."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import inventory_file, proposals, registry
from hub.edges import Edge, Word
from hub.inventory import Inventory
from hub.proposals import Found, Proposed, document
from tests.hub_support import INVENTORY, Hub, mqtt, running, wait_for
from tests.mosquitto_support import broker

NETWORK: dict[str, Any] = {
    "sites": [{"id": "balige", "name": "Balige"}, {"id": "porsea", "name": "Porsea"}],
    "opds": [{"id": "dlh", "name": "DLH", "site": "porsea"}],
    "devices": [
        {"id": "r-core", "kind": "router", "site": "balige", "address": "10.0.0.1"},
        {"id": "r-dlh", "kind": "router", "site": "porsea", "address": "10.0.0.2"},
        {"id": "r-laguboti", "kind": "router", "site": "balige", "depends_on": ["r-core"]},
    ],
}


def known() -> Inventory:
    return inventory_file.from_data(NETWORK)


def edge(device: str, port: str, name: str, neighbour: str = "", uplink: bool = False) -> Edge:
    return Edge(device, port, name, "lldp", neighbour, uplink, 1)


def device(id: str, at: int = 1, /, **facts: str) -> Proposed:
    return Proposed("mqtt", id, {"via": "mqtt", **facts}, at, at)


def test_what_the_inventory_has_is_no_longer_found() -> None:
    there = [device("aq-new"), device("r-dlh")]
    wires = [
        edge("r-laguboti", "ether1", "core", "r-core", uplink=True),
        edge("r-dlh", "ether1", "core", "r-core", uplink=True),
        edge("removed", "ether1", "core", "r-core"),
    ]
    found = Found.of(there, wires, known())
    assert [one.device for one in found.devices] == ["aq-new"]
    assert [(one.edge.device, one.word) for one in found.neighbours] == [("r-dlh", Word.NEW)]


def read(folder: Path, text: str) -> Inventory:
    """The file beside the inventory it was made for."""
    first, second = folder / "inventory.yaml", folder / "found.yaml"
    first.write_text(yaml.safe_dump(NETWORK))
    second.write_text(text, encoding="utf-8")
    return inventory_file.read([first, second], registry.find())


def test_the_file_can_be_kept_as_it_is(tmp_path: Path) -> None:
    said = {"name": "Pelampung: #3", "model": "X\n- id: evil", "place": "dermaga"}
    found = Found.of(
        [device("aq-7", site="porsea", opd="dlh"), device("Buoy 3", **said)],
        [
            edge("r-dlh", "ether1", "core", "r-core", uplink=True),
            edge("r-dlh", "ether4", "cam\nsites: []"),
            edge("r-dlh", "ether5", "10.0.0.9"),
        ],
        known(),
    )
    text = document(found, known())
    devices = read(tmp_path, text).devices
    assert list(devices)[3:] == ["aq-7", "buoy-3"]
    assert (devices["aq-7"].site, devices["aq-7"].opd) == ("porsea", "dlh")
    assert (devices["buoy-3"].name, devices["buoy-3"].site) == ("Pelampung: #3", "to-fill")
    assert "site: to-fill   # TO FILL; it says it stands in: dermaga" in text
    assert devices["buoy-3"].collect == {"mqtt": {}}
    assert "#   r-dlh: depends_on: [r-core]   (lldp, port ether1)\n" in text
    assert "not there: cam sites: []   (lldp, port ether4)\n" in text
    assert "(lldp, port ether5); toba-hub discover 10.0.0.9\n" in text
    chosen = read(tmp_path, document(found, known(), "balige")).devices
    assert {chosen[id].site for id in ("aq-7", "buoy-3")} == {"balige"}


def test_without_new_devices_the_file_is_remarks_alone() -> None:
    text = document(Found.of([], [edge("r-dlh", "ether1", "core", "r-core")], known()), known())
    assert "r-dlh and r-core are neighbours" in text
    assert yaml.safe_load(text) is None


def test_kept_again_a_proposal_gets_younger_and_the_oldest_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proposals, "MOST", 3)
    db = sqlite3.connect(":memory:")
    db.executescript(proposals.SCHEMA)
    first = [device("a", 1), device("b", 2), device("c", 3)]
    for _ in range(2):
        proposals.keep(db, first)
    proposals.keep(db, [device("a", 9, name="A"), device("d", 4)])
    assert [(one.device, one.first_ns, one.last_ns) for one in proposals.kept(db)] == [
        ("a", 1, 9), ("d", 4, 4), ("c", 3, 3)
    ]  # fmt: skip
    assert proposals.kept(db)[0].facts == {"via": "mqtt", "name": "A"}


def run(hub: Hub, *words: str) -> str:
    command = [sys.executable, "-m", "hub", *words, "-s", str(hub.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_an_unknown_sensor_is_found_kept_and_taken_into_the_inventory(tmp_path: Path) -> None:
    others = {name: {"enabled": False} for name in ("snmp", "camera", "netprobe")}
    with broker(tmp_path) as server:
        settings = mqtt(server.port)
        settings["collectors"] |= others
        settings["inventory"] = ["inventory.yaml", "found.yaml"]
        folder = tmp_path / "hub"
        folder.mkdir()
        (folder / "found.yaml").write_text("devices: []\n")
        with running(folder, settings, INVENTORY) as hub:
            body = json.dumps({"m": {"pm25": 12}})
            server.publish("toba/v1/dlh/balige/aq-new/telemetry", body)
            found = wait_for("the proposal", lambda: hub.get("/api/v1/proposals")["items"])
            assert [(one["what"], one["device"]) for one in found] == [("device", "aq-new")]
            assert "aq-new" in run(hub, "proposals")
            (folder / "found.yaml").write_text(run(hub, "proposals", "--yaml"))
            assert "1 added (aq-new)" in run(hub, "reload")
            wait_for("its answer", lambda: not hub.get("/api/v1/proposals")["items"])
            assert "nothing" in run(hub, "proposals")
