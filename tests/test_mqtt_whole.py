"""Every good case of every convention, by a real mosquitto through the whole hub to both stores.

The cases' times are moved to now, in payload and expectation alike, so that the stores must hold
exactly the rows that the case files say.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from collectors.mqtt.conventions import CONVENTIONS
from hub.reading import Series
from tests.hub_support import INVENTORY, Hub, mqtt, running, wait_for
from tests.influx_support import influxd
from tests.mosquitto_support import Mosquitto
from tests.mqtt_cases import FOLDER, Case, load, sample_topics
from tests.mqtt_cases import INVENTORY as NAMES

CASE_S = 1_790_000_000
"""The time that most payloads of the cases carry."""
SLACK_NS = 120_000_000_000
"""A row that carries the receive time may be so far from when the test published."""
RECEIVED_S = range(CASE_S + 20, CASE_S + 31)
"""Expected times that count from the receive time of the cases, half a minute after `CASE_S`."""

Row = tuple[str, str, float]
"""Series key, field, value."""


def moved(to_s: int, number: int) -> Callable[[str], str]:
    """Rewrites a case: its 2026-09-21T14:13:20Z (also as +07:00) becomes another second, and
    what must be unique over all messages gets a number."""
    there = datetime.fromtimestamp(to_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    local = datetime.fromtimestamp(to_s + 7 * 3600, UTC).strftime("%Y-%m-%dT%H:%M:%S")

    def change(text: str) -> str:
        text = text.replace(str(CASE_S), str(to_s)).replace("2026-09-21T14:13:20", there)
        text = text.replace("2026-09-21T21:13:20", local)
        return text.replace("3ac7e3c4-", f"{number:08x}-")  # ChirpStack's deduplicationId

    return change


def good_cases(now_s: int) -> list[Case]:
    """All live cases with readings and nothing refused, each at a second of its own."""
    found: list[Case] = []
    for path in sorted((FOLDER / "cases").glob("*/*.toml")):
        case = load(path, moved(now_s - len(found), len(found)))
        if is_plain(case):
            found.append(case)
    return found


def is_plain(case: Case) -> bool:
    """Readings by the sample's topics, nothing refused, nothing of the past, no counter's jump."""
    lines = [line for said in case.messages for line in said.expected]
    return (
        case.topics == sample_topics()
        and any(line.startswith("environment") for line in lines)
        and not any(said.errors for said in case.messages)
        and not any(said.retained and said.expected for said in case.messages)
        and not any("# proposal" in line for line in lines)
        and all(",quality=0i " in line for line in lines if not line.startswith("#"))
        and not any("messages_lost" in line or line.endswith(" joined") for line in lines)
        and not any(said.publishes for said in case.messages)
    )


def rows_of(line: str) -> tuple[list[Row], int]:
    """The fields of an expected line, and its time."""
    series, fields, stamp = re.fullmatch(r"(\S+) (\S+),quality=0i (\d+)", line).groups()  # type: ignore[union-attr]
    pairs = (pair.split("=") for pair in fields.split(","))
    return [(series, name, float(value.rstrip("i"))) for name, value in pairs], int(stamp)


def publish_all(port: int, cases: list[Case]) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, "field")
    client.connect("127.0.0.1", port)
    client.loop_start()
    for case in cases:
        for said in case.messages:
            client.publish(said.topic, said.payload, qos=1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


def from_influx(url: str) -> list[tuple[str, str, float, int]]:
    found = []
    for measurement in ("environment", "device"):
        ask = urllib.parse.urlencode(
            {"db": "toba", "epoch": "ns", "q": f'SELECT * FROM "{measurement}" GROUP BY *'}
        )
        with urllib.request.urlopen(f"{url}/query?{ask}", timeout=20) as answer:
            said: dict[str, Any] = json.load(answer)
        for series in said["results"][0].get("series", []):
            tags = {k: v for k, v in series["tags"].items() if k in ("sensor", "probe") and v}
            key = Series.of(measurement, series["tags"]["device"], **tags).key
            for values in series["values"]:
                row = dict(zip(series["columns"], values, strict=True))
                stamp = row.pop("time")
                found += [
                    (key, name, float(value), stamp)
                    for name, value in row.items()
                    if value is not None and isinstance(value, int | float)
                ]
    return found


def from_duckdb(hub: Hub) -> list[tuple[str, str, float, int]]:
    keys = dict(hub.rows("SELECT id, key FROM hub_series"))
    found = []
    for measurement in ("environment", "device"):
        about = hub.rows(f"DESCRIBE {measurement}")
        columns = [name for name, *_ in about if name not in ("series", "time")]
        listed = ", ".join(f'"{name}"' for name in columns)
        for number, stamp, *values in hub.rows(f"SELECT series, time, {listed} FROM {measurement}"):
            found += [
                (keys[number], name, float(value), stamp)
                for name, value in zip(columns, values, strict=True)
                if value is not None
            ]
    return found


@pytest.mark.parametrize("store", ["duckdb", "influx"])
def test_what_each_convention_publishes_stands_in_the_store(tmp_path: Path, store: str) -> None:
    cases = good_cases(int(time.time()))
    counted = Counter(case.convention for case in cases)
    assert set(counted) == set(CONVENTIONS), "every convention is shown"
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    devices = [
        {"id": device, "name": device, "kind": "sensor", "site": "balige", "opd": "dlh",
         "collect": {"mqtt": {"topic_id": heard}}}
        for heard, device in NAMES.items()
    ]  # fmt: skip
    inventory = {**INVENTORY, "devices": devices}
    try:
        with influxd(tmp_path) as url:
            settings = mqtt(broker.port, topics=sample_topics(), canary_s=0)
            if store == "influx":
                settings["store"] = {"kind": "influxdb", "url": url, "database": "toba"}
            with running(tmp_path / "hub", settings, inventory) as hub:
                wait_for("the subscription", lambda: "SUBACK" in broker.log())
                publish_all(broker.port, cases)
                count = sum(len(case.messages) for case in cases)
                wait_for(
                    "the hub to have acknowledged everything",
                    lambda: broker.log().count("Received PUBACK from toba-hub") >= count,
                    60,
                )
                wait_for(
                    "the store to have caught up",
                    lambda: hub.get("/api/v1/health")["backlog"]["forward"] == 0,
                    60,
                )
                found = from_influx(url) if store == "influx" else []
            if store == "duckdb":
                found = from_duckdb(hub)
    finally:
        broker.stop()
    assert_rows(cases, found, time.time_ns())


def assert_rows(cases: list[Case], found: list[tuple[str, str, float, int]], now_ns: int) -> None:
    """The store holds what the cases say, each value at its time, and nothing else."""
    exact: dict[tuple[str, str, int], float] = {}
    received: Counter[Row] = Counter()
    for case in cases:
        for line in (line for said in case.messages for line in said.expected):
            if line.startswith("#"):
                continue
            rows, stamp = rows_of(line)
            for series, name, value in rows:
                if stamp // 1_000_000_000 in RECEIVED_S:
                    received[series, name, round(value, 6)] += 1
                else:
                    exact[series, name, stamp] = value  # of equal times the last one wins
    others: Counter[Row] = Counter()
    for series, name, value, stamp in found:
        if (series, name, stamp) in exact:
            assert value == pytest.approx(exact.pop((series, name, stamp))), (series, name)
        else:
            others[series, name, round(value, 6)] += 1
            assert abs(now_ns - stamp) < SLACK_NS, (series, name, value, stamp)
    assert not exact, f"missing: {list(exact)[:5]}"
    assert others == received
