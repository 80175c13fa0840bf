"""Every case of every convention, by real mosquittos through the whole hub to both stores.

Two hubs listen to all cases at once, one with each store. The cases' times are moved to now, in
payload and expectation alike, so that each store must hold exactly the rows, and each hub have
counted exactly the refusals, that the case files say.
"""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from paho.mqtt import publish

from collectors.mqtt.conventions import CONVENTIONS
from hub.reading import Quality, Series
from tests.hub_support import INVENTORY, Hub, running, wait_for
from tests.influx_support import influxd
from tests.mosquitto_support import Mosquitto, free_ports
from tests.mqtt_cases import FOLDER, Case, Said, load
from tests.mqtt_cases import INVENTORY as NAMES

CASE_S = 1_790_000_000
"""The time that most payloads of the cases carry."""
RECEIVED_S = range(CASE_S + 20, CASE_S + 31)
"""Expected times that count from the receive time of the cases, half a minute after `CASE_S`."""
SLACK_NS = 120_000_000_000
"""A row that carries the receive time may be so far from when the test published."""
ADDED = int(
    Quality.RATE | Quality.STUCK | Quality.SPIKE | Quality.NEIGHBOUR | Quality.DELAYED
)  # fmt: skip
"""What the hub thinks of values after the collector: cases of one device follow each other."""
STAMP = re.compile(r"\b(1790000000|1789999980|1789999990|1789996400)(\d{3}|\d{9})?\b")
ISO = re.compile(r"\b2026-09-21T\d\d:\d\d:\d\d")

Row = tuple[str, int, str, float]
"""Series key, time, field, value; the quality is a field."""


class Expected(NamedTuple):
    exact: dict[tuple[str, int, str], float]
    received: Counter[tuple[str, str, float]]
    """Of rows that carry the receive time."""
    refused: Counter[str]
    asked: Counter[tuple[int, str]]
    """Case and topic of what the hub publishes."""


def moved(to_s: int, number: int) -> Callable[[str], str]:
    """Rewrites a case: `CASE_S` and what is near it move so that it becomes `to_s`, and what must
    be unique over all messages gets a number."""

    def of_epoch(found: re.Match[str]) -> str:
        return f"{int(found[1]) - CASE_S + to_s}{found[2] or ''}"

    def of_iso(found: re.Match[str]) -> str:
        then = datetime.fromisoformat(found[0]).replace(tzinfo=UTC).timestamp()
        return datetime.fromtimestamp(then - CASE_S + to_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")

    def change(text: str) -> str:
        text = ISO.sub(of_iso, STAMP.sub(of_epoch, text))
        return text.replace("3ac7e3c4-", f"{number:08x}-")  # ChirpStack's deduplicationId

    return change


def moved_cases(now_s: int) -> list[Case]:
    """All cases, each at a second of its own."""
    paths = sorted((FOLDER / "cases").glob("*/*.toml"))
    return [load(path, moved(now_s - n, n)) for n, path in enumerate(paths)]


def is_kept(case: Case, said: Said) -> bool:
    """The broker can have one message of a topic before the hub comes; what replaces it is news."""
    first = next(one for one in case.messages if one.topic == said.topic)
    return said.retained and said is first


class Brokers:
    """A mosquitto for each case, since the hub remembers by broker what messages said."""

    def __init__(self, folder: Path, cases: list[Case]) -> None:
        self._threads = ThreadPoolExecutor(16)
        ports = free_ports(len(cases))
        self._pairs = [
            (Mosquitto(folder / f"{port}", port=port), case)
            for port, case in zip(ports, cases, strict=True)
        ]
        self._each(lambda broker, _: broker.start())
        self.sent: dict[int, int] = {}
        """Messages by port, in all."""

    def _each(self, act: Callable[[Mosquitto, Case], object]) -> None:
        list(self._threads.map(lambda pair: act(*pair), self._pairs))

    def stop(self) -> None:
        self._each(lambda broker, _: broker.stop())
        self._threads.shutdown()

    def settings(self, client_id: str) -> dict[str, Any]:
        brokers = [
            {"name": f"case{number}", "client_id": client_id, "port": broker.port, "canary_s": 0,
             "dropped_topic": "",
             "topics": [topic for topic in case.topics if topic["parser"] == case.convention]}
            for number, (broker, case) in enumerate(self._pairs)
        ]  # fmt: skip
        return {"collectors": {"mqtt": {"brokers": brokers}}}

    def publish(self, *, before: bool) -> None:
        """What the broker shall keep `before` the hub comes, or all the rest."""

        def say(broker: Mosquitto, case: Case) -> None:
            messages = [
                (said.topic, said.payload, 1, said.retained)
                for said in case.messages
                if is_kept(case, said) == before
            ]
            self.sent[broker.port] = self.sent.get(broker.port, 0) + len(messages)
            if messages:
                publish.multiple(messages, port=broker.port, client_id="field")

        self._each(say)

    def wait_for(self, said: str, count: Callable[[int], int]) -> None:
        """Wait until every broker has logged that so often as `count` says for what it got."""
        for broker, case in self._pairs:

            def logged(broker: Mosquitto = broker) -> bool:
                return broker.log().count(said) >= count(self.sent[broker.port])

            wait_for(f"{said!r} of {case.convention}/{case.name}", logged)

    def asked(self, client_id: str) -> Counter[tuple[int, str]]:
        """Case and topic of what the hub published."""
        line = re.compile(rf"Received PUBLISH from {client_id} \(.*?'(.*?)'")
        return Counter(
            (number, topic)
            for number, (broker, _) in enumerate(self._pairs)
            for topic in line.findall(broker.log())
        )


def rows_of(line: str) -> tuple[str, dict[str, float], int]:
    """Series key, fields and time of an expected line."""
    series, fields, stamp = re.fullmatch(r"(\S+) (\S+) (\d+)", line).groups()  # type: ignore[union-attr]
    pairs = (pair.split("=") for pair in fields.split(","))
    values = {name: float(value.rstrip("i")) for name, value in pairs}
    if not values["quality"]:
        del values["quality"]  # stores keep it where there is something to say
    return series, values, int(stamp)


def expected(cases: list[Case]) -> Expected:
    told: list[tuple[int, Said]] = [(n, s) for n, case in enumerate(cases) for s in case.messages]
    exact: dict[tuple[str, int, str], float] = {}
    received: Counter[tuple[str, str, float]] = Counter()
    for line in (line for _, said in told for line in said.expected if line[0] != "#"):
        series, values, stamp = rows_of(line)
        for name, value in values.items():
            if stamp // 1_000_000_000 in RECEIVED_S:
                received[series, name, round(value, 6)] += 1
            else:
                exact[series, stamp, name] = value  # of equal times the last one wins
    return Expected(
        exact,
        received,
        Counter(reason for _, said in told for reason in said.errors),
        Counter((n, topic) for n, said in told for topic in said.publishes),
    )


def plain(series: str, stamp: int, values: dict[str, Any]) -> Iterable[Row]:
    """A stored row's numbers; of the quality only what the collector said."""
    for name, value in values.items():
        said = int(value) & ~ADDED if name == "quality" and value is not None else value
        if isinstance(said, int | float) and not (name == "quality" and not said):
            yield series, stamp, name, float(said)


def from_influx(url: str) -> list[Row]:
    found: list[Row] = []
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
                found += plain(key, row.pop("time"), row)
    return found


def from_duckdb(hub: Hub) -> list[Row]:
    keys = dict(hub.rows("SELECT id, key FROM hub_series"))
    found: list[Row] = []
    for measurement in ("environment", "device"):
        about = hub.rows(f"DESCRIBE {measurement}")
        columns = [name for name, *_ in about if name not in ("series", "time")]
        listed = ", ".join(f'"{name}"' for name in columns)
        for number, stamp, *values in hub.rows(f"SELECT series, time, {listed} FROM {measurement}"):
            found += plain(keys[number], stamp, dict(zip(columns, values, strict=True)))
    return found


def test_what_each_convention_publishes_stands_in_both_stores(tmp_path: Path) -> None:
    cases = moved_cases(int(time.time()))
    counted = Counter(case.convention for case in cases)
    assert set(counted) == set(CONVENTIONS)
    assert min(counted.values()) >= 6
    wanted = expected(cases)
    devices = [
        {"id": device, "name": device, "kind": "sensor", "site": "balige", "opd": "dlh",
         "collect": {"mqtt": {"topic_id": heard}}}
        for heard, device in NAMES.items()
    ]  # fmt: skip
    inventory = {**INVENTORY, "devices": devices}
    brokers = Brokers(tmp_path / "brokers", cases)
    try:
        brokers.publish(before=True)
        with influxd(tmp_path) as url:
            influx = {"store": {"kind": "influxdb", "url": url, "database": "toba"}}
            with (
                running(tmp_path / "duckdb", brokers.settings("hub-duckdb"), inventory) as first,
                running(
                    tmp_path / "influx", {**brokers.settings("hub-influx"), **influx}, inventory
                ) as second,
            ):
                hubs = {"hub-duckdb": first, "hub-influx": second}
                for client_id in hubs:
                    brokers.wait_for(f"Sending SUBACK to {client_id}", lambda _: 1)
                brokers.publish(before=False)
                for client_id, hub in hubs.items():
                    has_it_all(hub, client_id, brokers, wanted)
                rows = {"influx": from_influx(url)}
        rows["duckdb"] = from_duckdb(first)
    finally:
        brokers.stop()
    for found in rows.values():
        assert_rows(wanted, found, time.time_ns())


def has_it_all(hub: Hub, client_id: str, brokers: Brokers, wanted: Expected) -> None:
    """Wait for everything to be stored; what was refused is counted, and devices were asked."""
    brokers.wait_for(f"Received PUBACK from {client_id}", lambda sent: sent)
    wait_for("the store", lambda: hub.get("/api/v1/health")["backlog"]["forward"] == 0)
    assert wait_for("the counters", lambda: refusals(hub, wanted.refused)) == wanted.refused
    assert brokers.asked(client_id) == wanted.asked


def refusals(hub: Hub, wanted: Counter[str]) -> Counter[str]:
    """The collector's refusals by reason as the hub tells them, when they are as many as wanted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{hub.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    lines = re.findall(r"^toba_hub_refused\S*\{(.*collector=\"mqtt\".*)\} (\d+)", text, re.M)
    found = Counter({re.search(r'reason="(\w+)"', labels)[1]: int(n) for labels, n in lines})  # type: ignore[index]
    return found if found.total() >= wanted.total() else Counter()


def assert_rows(wanted: Expected, found: list[Row], now_ns: int) -> None:
    """The store holds what the cases say, each value at its time, and nothing else."""
    exact, others = dict(wanted.exact), Counter[tuple[str, str, float]]()
    for series, stamp, name, value in found:
        if (series, stamp, name) in exact:
            assert value == pytest.approx(exact.pop((series, stamp, name))), (series, name)
        else:
            others[series, name, round(value, 6)] += 1
            assert abs(now_ns - stamp) < SLACK_NS, (series, name, value, stamp)
    assert not exact, f"missing: {list(exact)[:5]}"
    assert others == wanted.received
