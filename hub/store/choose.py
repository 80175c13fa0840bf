"""The store that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from hub.settings import Store as StoreSettings
from hub.store.base import Labels, Store
from hub.store.duckdb import DuckStore
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
    return InfluxStore(
        settings.url,
        settings.database,
        labels=labels,
        org=settings.org,
        username=settings.username,
        password=settings.password.get_secret_value(),
        token=settings.token.get_secret_value(),
    )
