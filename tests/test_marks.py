"""`toba-hub grafana push` as a person runs it: dashboards, and marks of alerts and maintenance."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from hub.engine import Engine
from hub.health import Health
from hub.journal import Class, Journal, Kind
from hub.ledger import Ledger
from hub.reading import Reading, Series
from hub.records import pack_map, pack_readings
from rules.model import parse_rules
from rules.thing import Thing
from tests.grafana_stub import TOKEN, grafana_stub

S = 1_000_000_000
START = 1_790_000_000 * S
RULE = {
    "name": "hot",
    "title": {"id": "Panas", "en": "Hot"},
    "when": {"measurement": "environment", "field": "temperature", "above": 30},
}
ACT = {
    "kind": "maintenance",
    "who": "rotua",
    "why": "ganti sensor",
    "key": "",
    "matcher": {"device": "aq1"},
    "until_ns": START + 3600 * S,
}


def fill(data: Path) -> None:
    """A journal with an alert that came and went and a maintenance window, folded into a ledger."""
    journal = Journal(data / "journal", now_ns=START)
    series = Series.of("environment", "aq1")
    readings = [(START + n * S, value) for n, value in enumerate((20.0, 31.0, 20.0))]
    drafts = [
        (
            at,
            Kind.READINGS,
            Class.POLLED,
            pack_readings("mqtt", [Reading(series, at, {"temperature": v})]),
        )
        for at, v in readings
    ]
    drafts.append((START + 5 * S, Kind.ACT, Class.ACT, pack_map(ACT)))
    journal.append(drafts)
    journal.close()
    rules, problems = parse_rules({"rules": [RULE]})
    assert not problems
    ledger = Ledger(data / "serve.db")
    engine = Engine(
        data / "journal", ledger, rules, [Thing("aq1", kind="sensor")], Health(),
        telling=Nobody(), show=lambda *_: None, event=lambda _: None, changed=lambda: None,
    )  # fmt: skip
    fold(engine)
    ledger.close()


class Nobody:
    """Is told nothing."""

    def owe(self, *_: object) -> None:
        pass

    def wants(self, *_: object) -> bool:
        return False

    tick = owe


def fold(engine: Engine) -> None:
    async def until_folded() -> None:
        task = asyncio.create_task(engine.run())
        async with asyncio.timeout(10):
            while engine.fold.last_id < 4:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(until_folded())


def push(settings: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "hub", "grafana", "push", "--yes", "-s", str(settings)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_alerts_and_maintenance_are_marked_once_however_often_it_is_pushed(tmp_path: Path) -> None:
    fill(tmp_path / "data")
    settings: dict[str, Any] = {"inventory": [], "rules": {"library": False}}
    path = tmp_path / "toba-hub.yaml"
    with grafana_stub() as stub:
        given = {"url": stub.url, "token": TOKEN, "influx_url": "http://influxdb:8086"}
        path.write_text(yaml.safe_dump({**settings, "grafana": given}), encoding="utf-8")
        first = push(path)
        assert "marked 1 alerts and 1 maintenance windows" in first.stdout, (
            first.stdout + first.stderr
        )
        again = push(path)
        assert "nothing was changed" in again.stdout
        assert stub.violations == []
        marks = sorted(stub.annotations.values(), key=lambda mark: mark["time"])
    assert [mark["text"] for mark in marks] == ["Panas", "ganti sensor (rotua)"]
    assert [(m["time"], m["timeEnd"]) for m in marks] == [
        ((START + S) // 1_000_000, (START + 2 * S) // 1_000_000),
        ((START + 5 * S) // 1_000_000, (START + 3600 * S) // 1_000_000),
    ]
