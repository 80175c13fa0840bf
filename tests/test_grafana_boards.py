"""The committed dashboards, looked at as a reviewer would."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.board import Section, assemble
from grafana.build import build, load
from grafana.influxql import ask
from grafana.names import DASHBOARDS, DATABASE, DATASOURCE_UID, FOLDER_TITLE, FOLDER_UID
from grafana.panels import stats
from hub.configuration import OWN_FIELDS
from tests.grafana_support import VARIABLE, panels, variables

BOARDS = sorted(load())
PROVISIONING = DASHBOARDS.parent / "provisioning"
PANEL_TYPES = {"row", "stat", "timeseries", "state-timeline", "table", "bargauge"}
BUILT_IN = {
    "timeFilter",
    "__all",
    "__interval",
    "__value",
    "tag_device",
    "tag_ifname",
    "tag_sensor",
}
BUILT_IN |= {"tag_rule", "tag_opd", "tag_site", "tag_probe"}
NOT_PORTABLE = re.compile(r"\b(INTO|SLIMIT|SOFFSET|HOLT_WINTERS|INTEGRAL|SHOW SERIES)\b", re.I)


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return load()[request.param]


def test_committed_dashboards_are_what_the_code_says() -> None:
    assert build(check=True) == []


def test_a_dashboard_that_differs_from_the_code_is_found_and_put_right(tmp_path: Path) -> None:
    assert build(tmp_path) == BOARDS
    (tmp_path / "cameras.json").write_text("{}")
    (tmp_path / "old.json").write_text("{}")

    assert build(tmp_path, check=True) == ["cameras.json", "old.json"]
    assert build(tmp_path) == ["cameras.json", "old.json"]
    assert build(tmp_path, check=True) == []


def test_the_committed_dashboards_are_what_the_code_says() -> None:
    assert build(check=True) == []


def test_all_four_dashboards_have_uids_of_their_own() -> None:
    assert BOARDS == ["cameras.json", "command-center.json", "environment.json", "opd-network.json"]
    uids = [board["uid"] for board in load().values()]
    assert len(set(uids)) == 4
    assert all(re.fullmatch(r"toba-[a-z-]{1,35}", uid) for uid in uids)


def test_panel_ids_and_query_letters_are_unique(board: dict[str, Any]) -> None:
    assert _twice(panel["id"] for panel in panels(board)) == []
    for panel in panels(board):
        assert _twice(target["refId"] for target in panel.get("targets", [])) == []
    assert _twice(panel["title"] for panel in panels(board)) == []


def test_panels_lie_inside_the_grid_and_none_on_another(board: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels(board):
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_panels_that_overlap_would_be_seen(tmp_path: Path) -> None:
    made = stats("one", "why", [ask("SELECT 1")])
    two = assemble(
        "toba-x", "x", "x", tag="x", variables=[], sections=[Section("s", [(made, (24, 2))])]
    )  # fmt: skip
    plain = {"panels": [{"gridPos": p.grid_pos.to_json(), "title": "t"} for p in two.panels or []]}
    plain["panels"].append(plain["panels"][1])
    with pytest.raises(AssertionError, match="lies on"):
        test_panels_lie_inside_the_grid_and_none_on_another(plain)


def test_every_panel_has_a_unit_a_description_thresholds_and_a_query(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert panel["type"] in PANEL_TYPES
        if panel["type"] == "row":
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        values = [step["value"] for step in defaults["thresholds"]["steps"][1:]]
        assert values == sorted(values), panel["title"]
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["targets"], panel["title"]


def test_states_have_words_and_colours(board: dict[str, Any]) -> None:
    for panel in panels(board):
        if panel["type"] == "state-timeline":
            words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
            assert all(word["text"] and word["color"] for word in words.values())


def test_every_query_asks_our_data_source_in_portable_influxql(board: dict[str, Any]) -> None:
    asked = [
        *(target for panel in panels(board) for target in panel.get("targets", [])),
        *variables(board),
    ]
    assert asked
    for each in asked:
        assert each["datasource"] == {"type": "influxdb", "uid": DATASOURCE_UID}
        assert not NOT_PORTABLE.search(each["query"]), each["query"]
        if each["query"].startswith("SELECT"):
            assert each["query"].count("$timeFilter") == 1, each["query"]
    for mark in board["annotations"]["list"]:
        assert mark["datasource"]["uid"] in (DATASOURCE_UID, "-- Grafana --")


def test_every_variable_that_is_used_is_defined_and_each_defined_is_used(
    board: dict[str, Any],
) -> None:
    defined = {each["name"] for each in variables(board)}
    used = {found[1] or found[3] for found in VARIABLE.finditer(_texts(board))} - BUILT_IN
    assert used == defined
    for each in variables(board):
        if not each["includeAll"]:
            assert each["current"]["value"], f"{each['name']} has neither All nor a default"


def test_dashboards_ask_only_for_what_some_collector_or_the_hub_promises(
    board: dict[str, Any],
) -> None:
    promised: dict[str, set[str]] = {name: set(own) for name, own in OWN_FIELDS.items()}
    for path in (DASHBOARDS.parent.parent / "collectors").glob("*/manifest.toml"):
        for name, found in tomllib.loads(path.read_text("utf-8"))["measurements"].items():
            promised.setdefault(name, set()).update(found["fields"], found["tags"])
    queries = [t["query"] for panel in panels(board) for t in panel.get("targets", [])]
    queries += [mark["target"].get("query", "") for mark in board["annotations"]["list"]]
    asked = {
        (measurement, name)
        for query in queries
        for measurement in re.findall(r'FROM "(\w+)"', query)
        for name in re.findall(r'"(\w+)"', re.sub(r'AS "[^"]*"|FROM "\w+"', "", query))
    }
    assert len(asked) > 10
    labels = {"site", "opd", "kind", "device", "rule", "ifname", "sensor", "probe", "part"}
    unknown = {
        f"{measurement}.{name}"
        for measurement, name in asked
        if name not in labels and name not in promised.get(measurement, set())
    }
    assert unknown == set()


def test_links_lead_to_dashboards_and_variables_that_exist(board: dict[str, Any]) -> None:
    known = {each["uid"]: {v["name"] for v in variables(each)} for each in load().values()}
    for uid, variable in re.findall(r"/d/([\w-]+)\?var-(\w+)=", _texts(board)):
        assert variable in known[uid]


def test_days_begin_at_midnight_in_the_regency(board: dict[str, Any]) -> None:
    daily = [text for text in _texts(board).split("\n") if "time(1d)" in text]
    assert all("tz('Asia/Jakarta')" in text for text in daily)
    assert board["timezone"] == "Asia/Jakarta"


def test_provisioning_names_what_the_dashboards_and_push_name() -> None:
    (source,) = yaml.safe_load((PROVISIONING / "datasources/influx.yaml").read_text())[
        "datasources"
    ]
    assert source["uid"] == DATASOURCE_UID
    assert source["jsonData"]["dbName"] == DATABASE
    assert source["jsonData"]["version"] == "InfluxQL"
    assert "password" not in source
    assert str(source["secureJsonData"]["password"]).startswith("$")
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/hub.yaml").read_text())["providers"]
    assert (provider["folderUid"], provider["folder"]) == (FOLDER_UID, FOLDER_TITLE)


def _texts(board: dict[str, Any]) -> str:
    """Every string of a dashboard, one a line."""
    if isinstance(board, dict):
        return "\n".join(_texts(value) for value in board.values())
    if isinstance(board, list):
        return "\n".join(_texts(value) for value in board)
    return board if isinstance(board, str) else ""


def _twice(names: Any) -> list[Any]:
    return [name for name, count in Counter(names).items() if count > 1]
