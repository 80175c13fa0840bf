"""What the hub says of itself becomes readings, and readings become alerts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub import configuration, own
from hub import ingest as module
from hub.api import BadItem
from hub.committer import Committer
from hub.health import Health
from hub.ingest import Ingest
from hub.journal import Class, Journal, Kind, Reader, Record
from hub.link import Link
from hub.own import Fresh, Own
from hub.reading import Reading
from hub.records import readings_in
from tests.collector_support import until
from tests.hub_support import INVENTORY, Hub, mqtt, wait_for
from tests.influx_support import free_port, influxd
from tests.mosquitto_support import broker

T0 = 1_790_000_000_000_000_000


def records(folder: Path) -> list[Record]:
    reader = Reader(folder)
    try:
        found: list[Record] = []
        while some := reader.read():
            found += some
        return found
    finally:
        reader.close()


def readings(folder: Path, part: str) -> list[Reading]:
    return [
        reading
        for record in records(folder)
        if record.kind == Kind.READINGS
        for reading in readings_in(record.payload)
        if reading.series.key == f"hub,device=hub,part={part}"
    ]


@asynccontextmanager
async def ingesting(folder: Path) -> AsyncIterator[Ingest]:
    """The ingest process' inside, without collectors."""
    settings = folder / "toba-hub.yaml"
    settings.write_text(f"data: {folder}\ninventory: []\n", encoding="utf-8")
    conf = configuration.load(settings)
    ingest = Ingest(replace(conf, plugins={}))
    task = asyncio.create_task(ingest.run())
    try:
        await until((folder / "ingest.sock").exists)
        yield ingest
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_is_told_is_a_reading_in_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, now_ns=T0)
    committer = Committer(journal, Health())
    task = asyncio.create_task(committer.run())
    await Own(committer, lambda: T0).tell("broker main", {"broker_up": 1})
    committer.close()
    await task
    journal.close()
    [record] = records(tmp_path)
    [reading] = readings_in(record.payload)
    assert reading == Reading(reading.series, T0, {"broker_up": 1})
    assert reading.series.key == "hub,device=hub,part=broker\\ main"


@pytest.mark.parametrize("numbers", [{"brokr_up": 1}, {"broker_up": 1.0}, {"broker_up": True}])
async def test_what_no_rule_could_know_is_refused_by_name(
    tmp_path: Path, numbers: dict[str, Any]
) -> None:
    journal = Journal(tmp_path, now_ns=T0)
    with pytest.raises(BadItem, match=next(iter(numbers))):
        Own(Committer(journal, Health()), lambda: T0).tell("x", numbers)
    journal.close()


def test_what_is_new_is_told_again_until_it_was_told() -> None:
    fresh = Fresh()
    assert fresh.of(lost=0) == {"lost": 0}
    assert fresh.of(lost=3) == {"lost": 3}
    assert fresh.of(lost=5) == {"lost": 5}
    fresh.told(lost=5)
    assert fresh.of(lost=7) == {"lost": 2}


async def test_the_serve_process_is_heard_over_the_link(tmp_path: Path) -> None:
    async with ingesting(tmp_path):
        link = Link(tmp_path / "ingest.sock")
        await link.tell("serve", {"parked": 2, "store_down_s": 0})
        with pytest.raises(BadItem, match="no_such_field"):
            await link.tell("serve", {"no_such_field": 2})
        await link.close()
    [reading] = readings(tmp_path / "journal", "serve")
    assert reading.fields == {"parked": 2, "store_down_s": 0}


async def test_each_drop_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "EVERY_S", 0.01)
    folder = tmp_path / "journal"

    def lost() -> list[Any]:
        return [r.fields["lost"] for r in readings(folder, "ingest")]

    async with ingesting(tmp_path) as ingest:
        await until(lambda: len(lost()) >= 1)
        ingest.health_of.count("dropped", 3, reason="quota")
        await until(lambda: sum(lost()) == 3)
        ingest.health_of.count("dropped", 1, reason="journal_full")
        await until(lambda: sum(lost()) == 4)
        told = len(lost())
        await until(lambda: len(lost()) > told + 2)
    assert sum(lost()) == 4


async def test_a_full_journal_is_told_from_the_reserve_and_so_is_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOUSE_S", 0.01)
    folder, full = tmp_path / "journal", False
    room = Journal.room

    def no_room(journal: Journal, klass: int) -> bool:
        return room(journal, klass) and (klass == Class.ACT or not full)

    def told() -> list[Any]:
        return [r.fields["full"] for r in readings(folder, "journal")]

    monkeypatch.setattr(Journal, "room", no_room)
    async with ingesting(tmp_path):
        await until(lambda: told() == [0], "once at the start")
        full = True
        await until(lambda: told() == [0, 1])
        full = False
        await until(lambda: told() == [0, 1, 0])


def test_a_store_and_a_broker_that_are_away_raise_alerts_that_end_when_they_are_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    with broker(tmp_path / "broker") as server:
        hub = Hub(
            tmp_path / "hub",
            {
                **mqtt(server.port, reconnect_max_s=0.5),
                "store": {
                    "kind": "influxdb",
                    "url": f"http://127.0.0.1:{port}",
                    "database": "toba",
                    "linger_ms": 50,
                },
                "rules": {"set": {"store_away.when.above": 1, "broker_down.for": "1s"}},
            },
            INVENTORY,
        )

        def firing() -> set[str]:
            return {a["rule"] for a in hub.get("/api/v1/alerts") if a["state"] == "firing"}

        with influxd(tmp_path, port=port):
            hub.start()
        try:
            server.stop()
            wait_for("both alerts", lambda: {"store_away", "broker_down"} <= firing(), 60)
            server.start()
            with influxd(tmp_path, port=port):
                wait_for("no alert", lambda: not {"store_away", "broker_down"} & firing(), 60)
        finally:
            hub.stop()
