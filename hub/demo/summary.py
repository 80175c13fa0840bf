"""What came of a demo: rows in the store, alerts, messages, what was dropped."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from hub import logs
from hub.api import TryAgain
from hub.clock import NS, now_ns
from hub.configuration import Configuration
from hub.demo import story
from hub.ledger import Ledger
from hub.link import Link
from hub.store.base import Store, StoreDown, StoreRefused
from hub.store.choose import open_store
from hub.store.query import Column, Query

log = logs.get("demo")

MEASUREMENTS = {
    "device": "up",
    "interface": "oper_up",
    "environment": "*",
    "camera": "up",
    "alert": "active",
    "hub": "readings",
}
"""What is counted at the end, and by which field."""

ENVIRONMENT = ("pm25", "do_mgl", "rain_mm", "water_level_m", "temperature", "noise_dba")


async def dropped(conf: Configuration) -> dict[str, int]:
    """What the ingest process dropped or refused, by reason; ask while it runs."""
    link = Link(conf.settings.ingest_socket)
    try:
        health = await link.health()
    except TryAgain as error:
        log.error("can't ask what was dropped", why=str(error))
        return {"unknown": 1}
    finally:
        await link.close()
    return {**health["dropped"], **health["refused"]}


async def of(conf: Configuration, began_ns: int, drops: Mapping[str, int]) -> dict[str, Any]:
    """The JSON object of `toba-hub demo --json`; the hub has ended."""
    with closing(Ledger(conf.settings.ledger_file)) as ledger:
        try:
            counts = ledger.counts()
            owed = dict(ledger.db.execute("SELECT state, count(*) FROM owed GROUP BY state"))
        except sqlite3.Error:
            counts, owed = {}, {}
    return {
        "store": conf.settings.store.kind,
        "readings": await _readings(conf, began_ns),
        "alerts": {"raised": counts.get("raised", 0), "resolved": counts.get("resolved", 0)},
        "notifications": {
            "sent": owed.get("sent", 0),
            "failed": owed.get("failed", 0) + owed.get("expired", 0),
        },
        "drops": dict(drops),
    }


def told(conf: Configuration) -> list[dict[str, Any]]:
    """What every team was told, in order; see `story.told`."""
    with closing(Ledger(conf.settings.ledger_file)) as ledger:
        return story.told(ledger.db)


async def _readings(conf: Configuration, began_ns: int) -> dict[str, int]:
    """Rows found in the store since the demo began."""
    store = open_store(conf.settings.store, conf.settings.data, conf.inventory)
    await store.open()
    try:
        found = {}
        for measurement, field in MEASUREMENTS.items():
            names = ENVIRONMENT if field == "*" else (field,)
            found[measurement] = sum(
                [await _count(store, measurement, name, began_ns) for name in names]
            )
        return found
    finally:
        await store.close()


async def _count(store: Store, measurement: str, field: str, began_ns: int) -> int:
    columns = (Column(field, "count"),)
    query = Query(measurement, columns, began_ns - NS, now_ns() + 600 * NS)
    try:
        rows = await store.query(query)
    except (StoreDown, StoreRefused):
        return 0
    return sum(int(row[1][0] or 0) for series in rows for row in series.rows)
