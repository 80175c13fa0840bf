"""The data of Kabupaten Toba, and of an invented regency: another is another folder."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from firmware_stubs.physics import PROFILES
from hub import configuration, inventory_file, registry
from hub.clock import from_datetime
from hub.configuration import Configuration
from hub.demo.settings import NoRegency, at_home, folder_of, settings_for
from hub.inventory import Inventory
from rules.testing import run_cases

FOLDER = Path(__file__).parent.parent / "hub" / "regency" / "toba"


@pytest.fixture(scope="module")
def toba() -> Inventory:
    return inventory_file.read([FOLDER / "inventory.yaml"])


@pytest.fixture(scope="module")
def regency() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "regency.yaml").read_text())
    return found


@pytest.fixture(scope="module")
def outline() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "map.geojson").read_text())
    return found


def test_the_regency_has_its_kecamatan_offices_and_devices(toba: Inventory) -> None:
    assert len(toba.sites) == 16
    assert len(toba.opds) == 44
    kinds = Counter(device.kind for device in toba.devices.values())
    assert kinds == {"router": 45, "camera": 16, "sensor": 10}


def test_every_collector_accepts_its_sections() -> None:
    inventory_file.read([FOLDER / "inventory.yaml"], registry.find())


def test_every_office_has_one_router_at_its_own_place(toba: Inventory) -> None:
    for opd in toba.opds.values():
        router = toba.devices[f"r-{opd.id}"]
        assert (router.opd, router.site) == (opd.id, opd.site)


def test_every_device_reaches_the_core(toba: Inventory) -> None:
    for device in toba.devices.values():
        here = device
        while here.id != "r-core":
            (parent,) = here.depends_on
            here = toba.devices[parent]
            assert here.kind == "router"


def test_addresses_are_private_and_each_is_used_once(toba: Inventory) -> None:
    addresses = [device.address for device in toba.devices.values()]
    assert len(set(addresses)) == len(addresses)
    assert all(address.startswith("10.12.") for address in addresses)


def test_every_device_is_collected_by_what_fits_its_kind(toba: Inventory) -> None:
    wanted = {"router": {"snmp", "netprobe"}, "camera": {"camera", "netprobe"}, "sensor": {"mqtt"}}
    for device in toba.devices.values():
        assert set(device.collect) == wanted[device.kind], device.id
        if device.kind == "sensor":
            assert device.id.split("-")[0] in PROFILES


def test_no_two_kecamatan_share_a_point(toba: Inventory) -> None:
    points = [(site.lat, site.lon) for site in toba.sites.values()]
    assert len(set(points)) == 16


def test_both_schemes_of_codes_are_there_and_unique(regency: dict[str, Any]) -> None:
    rows = regency["kecamatan"]
    assert len({row["site"] for row in rows}) == 16
    assert all(row["kemendagri"].startswith(regency["codes"]["kemendagri"] + ".") for row in rows)
    assert all(row["bps"].startswith(regency["codes"]["bps"]) for row in rows)
    assert len({row["kemendagri"] for row in rows}) == len({row["bps"] for row in rows}) == 16


def test_the_map_shows_each_kecamatan_where_the_inventory_has_it(
    toba: Inventory, regency: dict[str, Any], outline: dict[str, Any]
) -> None:
    points = {
        feature["properties"]["site"]: feature
        for feature in outline["features"]
        if feature["geometry"]["type"] == "Point"
    }
    codes = {row["site"]: row for row in regency["kecamatan"]}
    assert set(points) == set(toba.sites) == set(codes)
    for site in toba.sites.values():
        assert points[site.id]["geometry"]["coordinates"] == [site.lon, site.lat]
        assert points[site.id]["properties"]["kemendagri"] == codes[site.id]["kemendagri"]
        assert points[site.id]["properties"]["bps"] == codes[site.id]["bps"]


def test_every_kecamatan_lies_in_the_regency_and_none_in_the_lake(
    toba: Inventory, regency: dict[str, Any], outline: dict[str, Any]
) -> None:
    rings = {
        feature["properties"]["kind"]: feature["geometry"]["coordinates"][0]
        for feature in outline["features"]
        if feature["geometry"]["type"] == "Polygon"
    }
    assert set(rings) == {"lake", "regency"}
    bounds = regency["bounds"]
    for ring in rings.values():
        assert ring[0] == ring[-1], "RFC 7946: a ring is closed"
        assert _area(ring) > 0, "RFC 7946: an outer ring runs counter-clockwise"
        assert all(bounds["west"] <= lon <= bounds["east"] for lon, _ in ring)
        assert all(bounds["south"] <= lat <= bounds["north"] for _, lat in ring)
    for site in toba.sites.values():
        assert site.lat is not None
        assert site.lon is not None
        assert _inside((site.lon, site.lat), rings["regency"]), site.id
        assert not _inside((site.lon, site.lat), rings["lake"]), site.id


def test_the_map_says_that_it_is_approximate(outline: dict[str, Any]) -> None:
    assert "approximate" in outline["properties"]["accuracy"]


def _area(ring: list[list[float]]) -> float:
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))


def _inside(point: tuple[float, float], ring: list[list[float]]) -> bool:
    x, y = point
    odd = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


# -- another regency ----------------------------------------------------------------------


def conf_of(regency: str, folder: Path) -> Configuration:
    """What `toba-hub demo --regency …` runs with, as far as it needs no device."""
    home = folder_of(regency)
    folder.mkdir()
    (folder / "inventory.yaml").write_text((home / "inventory.yaml").read_text())
    written = settings_for(
        {"broker": {"host": "127.0.0.1", "port": 1883}},
        store={"kind": "duckdb"}, host="127.0.0.1", port=8080, level="info",
    )  # fmt: skip
    path = folder / "toba-hub.yaml"
    path.write_text(yaml.safe_dump(at_home(written, home)))
    return configuration.load(path)


def test_another_regency_has_its_own_zone_offices_limits_and_rule(tmp_path: Path) -> None:
    toba, other = conf_of("toba", tmp_path / "1"), conf_of("teluk-biru", tmp_path / "2")
    assert (toba.settings.timezone, other.settings.timezone) == ("Asia/Jakarta", "Asia/Jayapura")
    assert other.settings.teams["perikanan"].name == "Dinas Kelautan dan Perikanan"
    assert len(other.inventory.opds) == 9
    limits = [{rule.name: rule.when.threshold for rule in conf.rules} for conf in (toba, other)]
    assert (limits[0]["pm25_unhealthy"], limits[1]["pm25_unhealthy"]) == (55.4, 35)
    assert "lake_level_high" in limits[0]
    assert "lake_level_high" not in limits[1], "there is no lake"
    assert limits[1]["small_boats"] == 8
    assert "small_boats" not in limits[0]


def test_its_working_hours_are_its_own(tmp_path: Path) -> None:
    """Saturday, 8 o'clock in WIT: the offices of Teluk Biru are open, those of Toba are not."""
    saturday_ns = from_datetime(datetime(2026, 11, 28, 8, 0, tzinfo=ZoneInfo("Asia/Jayapura")))
    is_open = [
        conf_of(name, tmp_path / name).calendars.by_name["working_hours"].at(saturday_ns).open
        for name in ("toba", "teluk-biru")
    ]
    assert is_open == [False, True]


def test_its_data_are_whole(tmp_path: Path) -> None:
    folder = folder_of("teluk-biru")
    facts = yaml.safe_load((folder / "regency.yaml").read_text())
    conf = conf_of("teluk-biru", tmp_path / "hub")
    outline = json.loads((folder / "map.geojson").read_text())
    rings = [
        feature["geometry"]["coordinates"][0]
        for feature in outline["features"]
        if feature["properties"]["kind"] == "regency"
    ]
    inventory_file.read([folder / "inventory.yaml"], registry.find())
    assert {row["site"] for row in facts["kecamatan"]} == set(conf.inventory.sites)
    for site in conf.inventory.sites.values():
        assert site.lat is not None
        assert site.lon is not None
        assert any(_inside((site.lon, site.lat), ring) for ring in rings), site.id
    assert all(_area(ring) > 0 for ring in rings)
    kinds = Counter(device.kind for device in conf.inventory.devices.values())
    assert kinds == {"router": 10, "camera": 4, "sensor": 7}
    test = folder / "rules" / "small_boats_test.yaml"
    rules = [rule for rule in conf.rules if rule.name == "small_boats"]
    assert [result.ok for result in run_cases(test, rules)] == [True]


def test_a_folder_of_one_s_own_is_a_regency_too_and_any_other_name_is_told(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(folder_of("teluk-biru"), mine)
    assert folder_of(str(mine)) == mine
    with pytest.raises(NoRegency, match="there is teluk-biru, toba, or a folder"):
        folder_of("atlantis")
