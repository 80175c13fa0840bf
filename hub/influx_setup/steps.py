"""What should be there, and the steps that are missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from hub.clock import NS
from hub.influx_setup.server import Login
from hub.rollup import FIVE, HOUR
from hub.settings import Settings
from hub.store.choose import tier_database


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should be there. `databases`: name to seconds its rows are kept, 0 for ever."""

    databases: Mapping[str, int]
    reader: Login
    writer: Login
    org: str

    @classmethod
    def of(cls, settings: Settings) -> Wanted:
        store, keep, grafana = settings.store, settings.store.retention, settings.grafana
        kept = {store.database: keep.raw_ns}
        if store.rollups:
            kept[tier_database(store.database, FIVE)] = keep.five_minutes_ns
            kept[tier_database(store.database, HOUR)] = keep.hourly_ns
        return cls(
            {name: (length or 0) // NS for name, length in kept.items()},
            Login(grafana.influx_username, grafana.influx_password.get_secret_value()),
            Login(store.username, store.password.get_secret_value()),
            store.org,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be made or changed. `loses`: rows may be deleted by it."""

    what: str
    do: Callable[[], Awaitable[None]]
    loses: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is missing, and what a person should know besides."""

    server: str
    steps: list[Step]
    notes: list[str]


def kept_for(seconds: int) -> str:
    if not seconds:
        return "for ever"
    return f"{seconds // 86_400} days" if seconds % 86_400 == 0 else f"{seconds // 3600} hours"


def retention_step(
    database: str, now_s: int, wanted_s: int, do: Callable[[], Awaitable[None]]
) -> Step:
    shorter = wanted_s != 0 and (now_s == 0 or wanted_s < now_s)
    warning = "; older rows will be deleted by the server" if shorter else ""
    what = (
        f"change {database}: keep rows {kept_for(wanted_s)} instead of {kept_for(now_s)}{warning}"
    )
    return Step(what, do, loses=shorter)
