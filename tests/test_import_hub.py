"""`toba-hub import` on the real hub: a year of old readings, nobody paged, the rollups right."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml

from hub.reading import Quality
from tests.hub_support import INVENTORY, Hub, running, wait_for
from tests.influx_support import influxd

STATIONS = ("aq1", "aq2", "aq3")
HOURS = 365 * 24
END = datetime(2026, 1, 1, tzinfo=UTC)
KEPT = {"raw": "20y", "five_minutes": "20y", "hourly": "20y"}
RULES = {
    "rules": [
        {
            "name": "pm_high",
            "title": {"id": "PM {value}", "en": "PM at {value}"},
            "when": {"measurement": "environment", "field": "pm25", "above": 50},
            "severity": "critical",
        }
    ]
}


def value(station: int, hour: int) -> float:
    """Above the rule's limit in the evening, whatever the station."""
    return 20.0 + station + (80.0 if hour % 24 in (19, 20) else 0.0) + hour % 7


def year(path: Path) -> Path:
    """Hourly readings of three stations, naive times of Western Indonesia."""
    lines = ["time,device,pm25,temperature [°F]"]
    for hour in range(HOURS):
        at = END - timedelta(hours=HOURS - hour)
        local = (at + timedelta(hours=7)).strftime("%Y-%m-%d %H:%M:%S")
        lines += [
            f"{local},{device},{value(number, hour)},{68 + number}"
            for number, device in enumerate(STATIONS)
        ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def command(hub_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub", "import", *words, "-s", str(hub_path)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def metric(hub: Hub, name: str) -> float:
    url = f"http://127.0.0.1:{hub.port}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith((f"toba_hub_{name} ", f"toba_hub_{name}{{")):
                return float(line.rsplit(" ", 1)[1])
    return 0.0


def unfinished(hub: Hub) -> int:
    """Rollup buckets of `environment` that wait to be computed."""
    with closing(sqlite3.connect(f"file:{hub.data / 'serve.db'}?mode=ro", uri=True)) as db:
        asked = "SELECT count(*) FROM rollup_dirty WHERE measurement = 'environment'"
        return int(db.execute(asked).fetchone()[0])


def settings(folder: Path, **more: Any) -> Mapping[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    return {
        "rules": {"library": False, "files": ["rules.yaml"]},
        "store": {"kind": "duckdb", "linger_ms": 50, "retention": KEPT},
        **more,
    }


def test_a_year_of_three_stations_pages_nobody_and_the_rollups_follow(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    file = year(tmp_path / "year.csv")
    with running(folder, settings(folder), INVENTORY) as hub:
        tried = command(hub.path, str(file), "--zone", "Asia/Jakarta", "--dry-run")
        assert tried.returncode == 0, tried.stderr
        assert f"dry run: {3 * HOURS} readings would be imported, 0 bad row(s)" in tried.stdout
        assert (
            "aq2     8760      2025-01-01 07:00  2026-01-01 06:00  pm25, temperature"
            in tried.stdout
        )
        for _ in range(2):  # the second time changes nothing
            done = command(hub.path, str(file), "--zone", "Asia/Jakarta")
            assert done.returncode == 0, done.stderr
            assert f"imported {3 * HOURS} readings into the running hub" in done.stdout
        wait_for(
            "the store to have it all",
            lambda: metric(hub, "stored_total") >= 6 * HOURS,
            120,
        )
        wait_for("the rollups", lambda: unfinished(hub) == 0, 400)
        assert hub.get("/api/v1/alerts") == []
        assert metric(hub, "transitions_total") == 0
    rows = hub.rows("SELECT count(*), count(DISTINCT time), min(quality) FROM environment")
    assert rows == [(3 * HOURS, HOURS, Quality.LATE | Quality.DELAYED)]
    for suffix in ("5m", "1h"):
        assert hub.rows(f"SELECT count(*) FROM environment_{suffix}") == [(3 * HOURS,)]
    means = hub.rows(
        "SELECT key, avg(pm25_sum / pm25_count), max(temperature_last) FROM environment_1h"
        " JOIN hub_series ON hub_series.id = series GROUP BY key ORDER BY key"
    )
    assert [key for key, _, _ in means] == [f"environment,device={one}" for one in STATIONS]
    for number, (_, mean, celsius) in enumerate(means):
        assert mean == pytest.approx(fmean(value(number, hour) for hour in range(HOURS)))
        assert celsius == pytest.approx((68 + number - 32) * 5 / 9)


def test_what_influxdb_would_drop_is_not_imported_and_the_remedy_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    store = {"kind": "influxdb", "url": "http://127.0.0.1:1", "database": "toba"}
    hub = Hub(folder, settings(folder, store=store), INVENTORY)
    file = tmp_path / "old.csv"
    file.write_text("time,device,pm25\n1704085200,aq1,1\n1704085260,aq1,2\n")
    refused = command(hub.path, str(file))
    assert refused.returncode == 1
    assert "2 of 2 readings are older than store.retention.raw (30d)" in refused.stderr
    assert "toba-hub influx setup" in refused.stderr.replace("\n", " ")
    assert not (folder / "data" / "journal").exists()
    taken = command(hub.path, str(file), "--beyond-retention")
    assert taken.returncode == 0, taken.stderr
    assert "imported 2 readings into the journal" in taken.stdout


DAYS = 14


def a_fortnight(path: Path) -> Path:
    """Of two stations, hour by hour, in long form, as a spreadsheet of another agency has it."""
    lines = ["waktu;stasiun;parameter;nilai"]
    for hour in range(DAYS * 24):
        at = (END - timedelta(hours=DAYS * 24 - hour)).strftime("%Y-%m-%dT%H:%M:%SZ")
        for number, device in enumerate(STATIONS[:2]):
            lines.append(f"{at};{device};pm25;{value(number, hour)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def asked(url: str, database: str, query: str) -> list[dict[str, Any]]:
    """Rows with their tags, from the real InfluxDB."""
    ask = urllib.parse.urlencode({"db": database, "epoch": "ns", "q": query})
    with urllib.request.urlopen(f"{url}/query?{ask}", timeout=20) as answer:
        (result,) = json.load(answer)["results"]
    assert "error" not in result, result
    return [
        {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
        for series in result.get("series", [])
        for row in series["values"]
    ]


def test_on_influxdb_old_readings_stand_at_their_times_and_the_rollups_follow(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "hub"
    file = a_fortnight(tmp_path / "fortnight.csv")
    count = DAYS * 24 * 2
    with influxd(tmp_path) as url:
        store = {"kind": "influxdb", "url": url, "database": "toba", "linger_ms": 50}
        given = settings(folder, store={**store, "retention": KEPT})
        hub = Hub(folder, given, INVENTORY)
        made = subprocess.run(
            [sys.executable, "-m", "hub", "influx", "setup", "-y", "-s", str(hub.path)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        hub.start()
        try:
            for _ in range(2):  # the second time changes nothing
                done = command(hub.path, str(file))
                assert done.returncode == 0, done.stderr
                assert f"imported {count} readings into the running hub" in done.stdout
            wait_for("the store", lambda: metric(hub, "stored_total") >= 2 * count, 120)
            wait_for("the rollups", lambda: unfinished(hub) == 0, 200)
            assert hub.get("/api/v1/alerts") == []
            assert metric(hub, "transitions_total") == 0
        finally:
            hub.stop()
        raw = asked(url, "toba", 'SELECT pm25, quality FROM environment GROUP BY "device"')
        assert len(raw) == count
        assert {row["quality"] for row in raw} == {Quality.LATE | Quality.DELAYED}
        first = END - timedelta(days=DAYS)
        assert min(row["time"] for row in raw) == first.timestamp() * 1_000_000_000
        for suffix in ("5m", "1h"):
            rows = asked(url, f"toba-{suffix}", 'SELECT * FROM environment GROUP BY "device"')
            assert len(rows) == count, suffix
            for number, device in enumerate(STATIONS[:2]):
                mine = [row for row in rows if row["device"] == device]
                total = sum(row["pm25_sum"] for row in mine) / sum(
                    row["pm25_count"] for row in mine
                )
                assert total == pytest.approx(fmean(value(number, h) for h in range(DAYS * 24)))


def test_without_a_hub_the_journal_takes_it_and_the_next_start_stores_it(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    hub = Hub(folder, settings(folder), INVENTORY)
    file = tmp_path / "old.jsonl"
    file.write_text(
        "\n".join(
            json.dumps({"time": 1_704_085_200 + 60 * n, "device": "aq1", "pm25": 90 + n})
            for n in range(1_200)
        )
    )
    done = command(hub.path, str(file))
    assert done.returncode == 0, done.stderr
    assert "imported 1200 readings into the journal" in done.stdout
    hub.start()
    try:
        wait_for("the store to have it all", lambda: metric(hub, "stored_total") >= 1_200)
        assert hub.get("/api/v1/alerts") == []
    finally:
        hub.stop()
    assert hub.rows("SELECT count(*), max(pm25) FROM environment") == [(1_200, 1_289.0)]


def test_one_bad_row_stops_a_file_and_is_named_unless_it_is_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    hub = Hub(folder, settings(folder), INVENTORY)
    file = tmp_path / "old.csv"
    file.write_text("time,device,pm25\n1704085200,aq1,1\n1704085260,aq9,2\n1704085320,aq1,x\n")
    refused = command(hub.path, str(file))
    assert refused.returncode == 1
    assert f"{file}:3: no device 'aq9' in the inventory" in refused.stderr
    assert f"{file}:4: pm25: 'x' is no number" in refused.stderr
    assert "2 bad row(s): nothing is imported" in refused.stderr
    assert not (folder / "data" / "journal").exists()
    skipped = command(hub.path, str(file), "--skip-bad")
    assert skipped.returncode == 0
    assert "imported 1 readings" in skipped.stdout


def test_a_mapping_with_a_mistake_is_named_with_file_line_and_key(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    hub = Hub(folder, settings(folder), INVENTORY)
    (tmp_path / "old.csv").write_text("time,device,pm25\n1704085200,aq1,1\n")
    (tmp_path / "map.yaml").write_text("time: time\ncolumn: {pm25: pm25}\n")
    wrong = command(hub.path, str(tmp_path / "old.csv"), "--map", str(tmp_path / "map.yaml"))
    assert wrong.returncode != 0
    assert "map.yaml:2" in wrong.stderr
    assert "columns" in wrong.stderr, "the nearest key is named"
    assert "'Asia/Jakata'" in command(hub.path, "x.csv", "--zone", "Asia/Jakata").stderr
