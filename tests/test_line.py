"""The whole line on real servers: what the field said is what the store holds and Grafana shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grafana.build import load
from tests.grafana_support import Span, chosen, render, targets
from tests.influx_support import free_port, influxd
from tests.line_support import AWAY_S, FIRING, FLAPPING, ODD_PORT, Line, whole_line
from tests.line_truth import stored

COLLECTORS = Path(__file__).parent.parent / "collectors"
TYPES = {"float": "float", "int": "integer", "string": "string"}
ALERT = {
    "active": "integer", "severity": "integer", "state": "string", "text": "string",
    "since_ms": "integer", "changed": "integer", "value": "float",
}  # fmt: skip
EVER = Span(0, 4_000_000_000_000_000_000)

ONLY_BOUNDED = {
    "toba-opd-network / Waktu tempuh rata-rata / A": "how long the loopback takes, nobody says",
    "toba-opd-network / Waktu tempuh (RTT) / A": "how long the loopback takes, nobody says",
    "toba-opd-network / Jitter / A": "nor how evenly it answers",
    "toba-cameras / Waktu jawab RTSP / A": "how long a camera took to answer, no camera says",
}
"""Queries whose values can only be held between bounds, and why."""

NOBODY_HAS = {
    "toba-opd-network / Baterai UPS / A": "the simulated regency has no UPS",
    "toba-environment / ISPU sekarang / A": "an index needs eighteen hours of readings",
    "toba-environment / ISPU per stasiun / A": "likewise",
    "toba-environment / ISPU: kelas dan parameter kritis / A": "likewise",
    "toba-opd-network / Sinyal LTE dan radio / B": "nor a radio link between two antennas",
    "toba-cameras / Ketajaman gambar / A": "how sharp a picture is, the hub alone finds out",
    "toba-cameras / Aliran video / A": "whether a stream has video, likewise",
    "toba-cameras / Aliran yang lewat (RTP) / A": "the hub sees streams that pass, and none does",
    **{
        f"toba-opd-network / Temuan di jaringan lokal / {query}": "no network is swept here"
        for query in "ABCD"
    },
}
"""Queries about what nobody publishes here; test_grafana_panels.py has them."""

ONLY_WHILE_CALM = {
    "toba-cameras / Ketersediaan / A",
    "toba-command-center / Ketersediaan kamera / A",
    "toba-opd-network / Ketersediaan / A",
}
"""Means over everything: with a fault setting in or fading in it, they are known between bounds."""

ALERT_PANELS = {"Alarm aktif", "Alarm kritis", "Daftar alarm aktif", "Riwayat alarm"}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    with whole_line(tmp_path_factory.mktemp("line")) as played:
        yield played


def others() -> set[str]:
    """The queries that are not about alerts."""
    return {each.name for each in targets() if 'FROM "alert"' not in each.text}


def test_every_panel_says_what_the_field_published_while_all_is_well(line: Line) -> None:
    assert line.calm.problems == []
    assert line.calm.compared >= ONLY_WHILE_CALM


def test_no_panel_is_left_out_but_those_that_nobody_can_check(line: Line) -> None:
    compared = line.calm.compared | line.fired.compared | line.after.compared
    assert others() - compared == set(ONLY_BOUNDED) | set(NOBODY_HAS)


def test_every_panel_says_what_the_field_published_while_faults_are_on(line: Line) -> None:
    assert line.fired.problems == []
    assert set(line.fired.unchecked) == set(NOBODY_HAS)
    assert others() - line.fired.compared <= set(ONLY_BOUNDED) | set(NOBODY_HAS) | ONLY_WHILE_CALM


def test_every_panel_says_what_the_field_published_when_faults_and_an_outage_are_over(
    line: Line,
) -> None:
    assert line.after.problems == []
    assert set(line.after.unchecked) == set(NOBODY_HAS)
    assert others() - line.after.compared <= set(ONLY_BOUNDED) | set(NOBODY_HAS) | ONLY_WHILE_CALM


def test_labels_and_raw_counters_are_what_inventory_and_agents_say(line: Line) -> None:
    assert line.truth_problems == []


def test_every_alert_panel_shows_each_alert_while_it_fires(line: Line) -> None:
    about_alerts = {each.panel["title"] for each in targets() if 'FROM "alert"' in each.text}
    assert about_alerts == ALERT_PANELS
    assert line.alerts_while_fired == []
    assert line.listed["fired"] == FIRING


def test_no_alert_panel_shows_a_ghost_afterwards(line: Line) -> None:
    assert line.alerts_after == []
    assert line.listed["after"] == set()


def test_every_transition_is_stored_once_with_its_own_time(line: Line) -> None:
    rows = stored(line.influx, "alert", EVER, 'AND "changed" = 1')
    kept = [
        (tags["rule"], tags["device"], row["state"], row["time"] // 1_000_000)
        for tags, rows in rows
        for row in rows
    ]
    said = [(t["rule"], t["device"], t["after"], t["time_ms"]) for t in line.history]

    assert sorted(kept) == sorted(said)
    for rule, device in FIRING:
        # People may be told of a state later than it began; that is written down, and no change.
        mine = [
            t["after"]
            for t in line.history
            if (t["rule"], t["device"]) == (rule, device) and t["before"] != t["after"]
        ]
        assert (mine.count("firing"), mine.count("resolved")) == (1, 1), (rule, device)
    assert ("link_down", FLAPPING) in {(rule, device) for rule, device, _, _ in said}


def test_nothing_is_lost_while_the_store_is_away(line: Line) -> None:
    assert line.outage["away_s"] >= AWAY_S
    assert sum(node["published"] for node in line.nodes.values()) > 150
    for device, node in line.nodes.items():
        assert node["stored"] >= node["published"] > 8, device
        assert (node["missing"], node["unsaid"], node["different"]) == (0, 0, 0), device
    assert line.health["drops"] == {}


def test_the_board_says_that_history_is_away_and_goes_on_from_memory(line: Line) -> None:
    seen = line.outage
    assert seen["store"]["up"] is False
    assert "can't be reached" in seen["store"]["reason"]
    assert seen["ok"] is False
    assert seen["board_has_history"] is False
    source, points = seen["chart"]
    assert source == "memory"
    assert points > 3
    assert seen["devices_heard_meanwhile"] == seen["devices"]
    assert seen["backlog"] > 0
    assert line.health["store"]["up"] is True
    assert line.health["ok"] is True


def test_what_was_sent_is_what_is_stored_tag_by_tag_and_to_the_nanosecond(line: Line) -> None:
    rows = {
        (tags["device"], row["time"]): (tags, row)
        for tags, rows in stored(line.influx, "environment", EVER, "AND \"kind\" = 'ap'")
        for row in rows
    }
    assert len(rows) == len(line.spoken)
    for spoken in line.spoken:
        tags, row = rows[spoken.point.tags["device"], spoken.point.time_ns]
        assert tags == spoken.point.tags, spoken.payload
        # What the hub thinks of a value (`quality`) is its own word, not the sensor's.
        own = ("time", "quality")
        fields = {key: value for key, value in row.items() if value is not None and key not in own}
        assert fields == spoken.point.fields, spoken.payload


def test_every_field_has_the_type_that_a_manifest_promises(line: Line) -> None:
    promised: dict[str, dict[str, str]] = {"alert": ALERT}
    for path in COLLECTORS.glob("*/manifest.toml"):
        for measurement, spec in tomllib.loads(path.read_text())["measurements"].items():
            fields = {name: TYPES[field["type"]] for name, field in spec["fields"].items()}
            promised.setdefault(measurement, {"quality": "integer"}).update(fields)
    for measurement in line.series:
        (answer,) = line.influx.ask(f'SHOW FIELD KEYS FROM "{measurement}"')
        kept = {str(row[0]): row[1] for row in answer.rows}
        assert kept.items() <= promised[measurement].items(), measurement
        assert len(kept) >= 6, measurement


def test_a_port_whose_name_needs_every_escape_is_one_series(line: Line) -> None:
    (port,) = [
        tags
        for tags in line.series["interface"]
        if tags["device"] == "r-dinkes" and tags["ifname"].startswith("ether1,")
    ]
    assert port["ifname"] == ODD_PORT
    where = f"\"ifname\" = '{ODD_PORT}'"
    (answer,) = line.influx.ask(f'SELECT count("oper_up") FROM "interface" WHERE {where}')
    assert answer.rows[0][1] > 10


def test_a_choice_in_a_variable_narrows_the_panels_to_it(line: Line) -> None:
    (board,) = [each for each in load().values() if each["uid"] == "toba-opd-network"]
    choice = {**chosen(board), "device": as_regex("r-dinkes"), "ifname": as_regex(ODD_PORT)}
    ports = [
        each for each in targets() if each.board == board["uid"] and 'FROM "interface"' in each.text
    ]
    assert len(ports) >= 6
    for target in ports:
        answers = line.influx.ask(render(target.text, line.played, choice, "10s"))
        assert [answer.tags for answer in answers] == [
            {"device": "r-dinkes", "ifname": ODD_PORT}
        ], target.name


def as_regex(text: str) -> str:
    """What Grafana's format `regex` makes of a value."""
    return re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", text)


def test_the_demo_writes_to_a_local_influxdb(tmp_path: Path) -> None:
    with influxd(tmp_path) as url:
        said = demo(tmp_path, url, seconds=25)

    assert said["store"] == "influxdb"
    for measurement in ("device", "interface", "environment", "camera", "alert"):
        assert said["readings"][measurement] > 0, said
    assert said["alerts"]["raised"] > 0
    assert said["drops"] == {}


def demo(folder: Path, url: str, *, seconds: int) -> dict[str, Any]:
    """What the demo prints."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "hub", "demo", "--store", "influxdb"),
            *("--seconds", str(seconds), "--json", "--port", str(free_port())),
        ],
        env={**os.environ, "INFLUX_URL": url},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, Any] = json.loads(done.stdout)
    return said
