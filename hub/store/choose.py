"""The store that the settings ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hub.rollup import TIERS, Tier
from hub.settings import Store as StoreSettings
from hub.store.base import Labels, NoLabels, Store
from hub.store.duckdb import DuckStore

if TYPE_CHECKING:
    from hub.store.influx import InfluxStore


def open_store(settings: StoreSettings, data: Path, labels: Labels) -> Store:
    """Make it; `Store.open` connects."""
    if settings.kind == "duckdb":
        return DuckStore(
            settings.path or data / "readings.duckdb",
            labels,
            threads=settings.threads,
            memory_mb=settings.memory_mib,
        )
    return _influx(settings, settings.database, labels)


def open_tiers(settings: StoreSettings) -> dict[Tier, Store]:
    """The stores of the rollups that are not in the readings' own store, nothing opened yet.

    Their rows have all tags of the points they are made of, so no label is looked up again.
    """
    if settings.kind == "duckdb":
        return {}
    return {
        tier: _influx(settings, tier_database(settings.database, tier), NoLabels())
        for tier in TIERS
    }


def tier_database(database: str, tier: Tier) -> str:
    """The database (1.x, 3) or bucket (2.x) of a tier: `toba-5m`."""
    return f"{database}-{tier.suffix}"


def _influx(settings: StoreSettings, database: str, labels: Labels) -> InfluxStore:
    # Its client takes a fifth of a second to import: only who writes there pays.
    from hub.store.influx import InfluxStore

    return InfluxStore(
        settings.url,
        database,
        labels=labels,
        org=settings.org,
        username=settings.username,
        password=settings.password.get_secret_value(),
        token=settings.token.get_secret_value(),
    )
