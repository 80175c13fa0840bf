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
from hub.ledger import Ledger
from hub.outcome import Acted, Outcome
from hub.proposals import Dismissal, Found, Proposed, document
from rules.act import Act
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
    found = Found.of(there, wires, known(), {})
    assert [one.device for one in found.devices] == ["aq-new"]
    assert [(one.edge.device, one.word) for one in found.neighbours] == [("r-dlh", Word.NEW)]


def test_what_a_person_dismissed_is_found_no_more_until_something_else_is_to_be_said() -> None:
    there = [device("aq-new"), device("aq-new")._replace(collector="snmp"), device("aq 2:x")]
    wires = [edge("r-dlh", "ge-0/0/1", "core"), edge("r-dlh", "ether2", "core", "r-core")]
    found = Found.of(there, wires, known(), {})
    keys = [one.key for one in found.listed]
    assert keys == [
        "device:aq-new",
        "device:aq-new",
        "device:aq%202%3Ax",
        "beside:r-dlh:ether2:core",
        "stranger:r-dlh:ge-0/0/1:core",
    ]
    said = {key: Dismissal(key, 5, "siti", "") for key in keys[:1] + keys[4:]}
    found = Found.of(there, wires, known(), said)
    assert [one.key for one in found.listed] == keys[2:4]
    assert [(one.key, by.who) for one, by in found.dismissed] == [
        (key, "siti") for key in (keys[0], keys[1], keys[4])
    ]
    assert "aq-new" not in document(found, known())
    # The port's neighbour has come into the inventory: that it is an uplink was never dismissed.
    wires[0] = edge("r-dlh", "ge-0/0/1", "core", "r-core", uplink=True)
    assert "new:r-dlh:ge-0/0/1:core" in [
        one.key for one in Found.of([], wires, known(), said).neighbours
    ]


def test_only_what_is_there_can_be_dismissed_and_only_what_was_can_be_taken_back() -> None:
    gone = {"device:b": Dismissal("device:b", 5, "siti", "")}
    found = Found.of([device("a"), device("b")], [], known(), gone)
    assert not found.refusal(Act("dismiss", "siti", key="device:a"))
    assert not found.refusal(Act("undismiss", "siti", key="device:b"))
    assert "'device:b'" in found.refusal(Act("dismiss", "siti", key="device:b"))
    assert "'device:a'" in found.refusal(Act("undismiss", "siti", key="device:a"))
    for kind in ("dismiss", "undismiss"):
        assert Act(kind, "siti").problem() == f"{kind} needs the key of what was found"


def test_folding_acts_again_after_a_crash_undoes_no_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "serve.db")
    acts = [
        Acted(number, number, Act(kind, "siti", "why", f"device:{id}"))
        for number, (kind, id) in enumerate(
            [("dismiss", "a"), ("undismiss", "a"), ("dismiss", "b"), ("dismiss", "c")], 1
        )
    ]

    def commit(some: list[Acted]) -> list[str]:
        ledger.commit(Outcome(acts=some), lambda db, fresh: None)
        return sorted(proposals.dismissals(ledger.db))

    assert commit(acts[:1]) == ["device:a"]
    assert commit(acts[:3]) == commit(acts[:1]) == ["device:b"]
    monkeypatch.setattr(proposals, "MOST", 1)
    assert commit(acts[3:]) == ["device:c"], "people can't fill the file either"
    ledger.close()


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
        {},
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
    wires = [edge("r-dlh", "ether1", "core", "r-core")]
    text = document(Found.of([], wires, known(), {}), known())
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
            assert found[0]["key"] in run(hub, "proposals")
            run(hub, "dismiss", found[0]["key"], "--who", "Siti", "--why", "milik kampus")
            wait_for("nothing to be listed", lambda: not hub.get("/api/v1/proposals")["items"])
            server.publish("toba/v1/dlh/balige/aq-new/telemetry", body)
            hub.stop()
            hub.start()
            assert "nothing" in run(hub, "proposals")
            told = run(hub, "proposals", "--dismissed")
            assert all(word in told for word in (found[0]["key"], "Siti", "milik kampus"))
            assert "aq-new" not in run(hub, "proposals", "--yaml")
            [act] = hub.get("/api/v1/acts")
            assert (act["kind"], act["who"], act["key"]) == ("dismiss", "Siti", "device:aq-new")
            hub.post(f"/api/v1/proposals/{act['key']}/dismiss", {"name": "Budi"}, "DELETE")
            assert "aq-new" in run(hub, "proposals")
            (folder / "found.yaml").write_text(run(hub, "proposals", "--yaml"))
            assert "1 added (aq-new)" in run(hub, "reload")
            wait_for("its answer", lambda: not hub.get("/api/v1/proposals")["items"])
            assert "nothing" in run(hub, "proposals")
