"""What the pages and the API need of the hub; the serve process implements it, tests fake it.

    browser ─► app.py ─► api.py, stream.py ─► Backend ─► journal, engine, store

Nothing here opens a file or a socket. Times are UTC nanoseconds inside; the JSON that leaves has
milliseconds (`…_ms`), because JavaScript's numbers can't hold nanoseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypedDict

from hub.inventory import Inventory
from hub.notify.onduty import TeamNow
from hub.proposals import Found
from hub.report.model import Report
from hub.store.query import Query, SeriesRows
from hub.web.live import LiveState
from rules.transition import Alert

ActKind = Literal["acknowledge", "unacknowledge", "silence", "unsilence", "dismiss", "undismiss"]


@dataclass(frozen=True, slots=True)
class Regency:
    """Whose board it is; from `hub/regency/<id>/`."""

    id: str
    name: str
    zone: str = "Asia/Jakarta"
    """IANA time zone in which people see times."""
    languages: tuple[str, ...] = ("id", "en")
    """The first is the default."""
    bounds: tuple[float, float, float, float] = (-90.0, -180.0, 90.0, 180.0)
    """South, west, north, east in degrees."""
    map: Mapping[str, Any] = field(default_factory=dict)
    """GeoJSON FeatureCollection; polygons with properties.kind lake or regency are drawn."""


class StoreHealth(TypedDict, total=False):
    name: str
    up: bool
    since_ns: int
    reason: str


class HealthReport(TypedDict, total=False):
    """How the hub itself is. Keys that are missing are unknown, never assumed good."""

    ok: bool
    reasons: list[str]
    """Why `ok` is false, one sentence each, with a remedy."""
    processes: dict[str, bool]
    """Name: alive."""
    store: StoreHealth
    lag_s: float
    """Age of the oldest record that the board has not folded yet."""
    backlog: dict[str, int]
    """Records waiting, by cursor (forward, engine, notify, web)."""
    drops: dict[str, int]
    """Readings lost or refused, by reason."""
    collectors: dict[str, dict[str, float | int | str]]
    """Counters by collector; `state` is a word: running, backing_off, stopped."""


Sample = tuple[str, Mapping[str, str], float, str]
"""(name, labels, value, "counter" or "gauge"), as `hub.health.Health.lines` gives."""


class Backend(Protocol):
    """What the serve process does for the web."""

    regency: Regency
    inventory: Inventory
    """A reload gives another object or another `generation`."""
    live: LiveState

    def now_ns(self) -> int:
        """UTC now in nanoseconds."""
        ...

    def units(self) -> Mapping[tuple[str, str], str]:
        """(measurement, field) to unit, as the collectors' manifests promise."""
        ...

    def transitions(self) -> int:
        """How many there were since the start: a new number is news that can't wait."""
        ...

    def alerts(self) -> Sequence[Alert]:
        """Alerts that are pending, firing or acknowledged."""
        ...

    def explain(self, device: str, rule: str = "") -> Sequence[Mapping[str, Any]]:
        """Why the device's alerts fire or don't, each as `rules.explain.Explanation.plain()`.
        `LookupError` for a device or rule that is not there."""
        ...

    def silences(self) -> Sequence[Mapping[str, Any]]:
        """Silences in force: id, matcher {attribute: [patterns]}, who, why, until_ns."""
        ...

    def history(self, limit: int, device: str = "") -> Sequence[Mapping[str, Any]]:
        """The newest transitions first, each as `asdict(rules.transition.Transition)`; of one
        device, if one is named."""
        ...

    def events(self, limit: int, device: str = "") -> Sequence[Mapping[str, Any]]:
        """What devices said lately (traps, restarts, a camera's state), the newest first: device,
        name, time_ns, text, collector, said {language: text}."""
        ...

    def acted(self, limit: int) -> Sequence[Mapping[str, Any]]:
        """What people did, the newest first: `asdict(rules.act.Act)`, `time_ns`, and the record's
        `id`, which is also that of the silence it began."""
        ...

    def found(self) -> Found:
        """What collectors met that the inventory does not have."""
        ...

    def duty(self) -> Sequence[TeamNow]:
        """How each team stands: who is on duty, who is next, what would be handed over."""
        ...

    async def availability(self, month: str) -> Report:
        """The report of a month (`2026-10`; empty: the last one). Raises ValueError with words
        for who asked, sqlite3.Error."""
        ...

    def health(self) -> HealthReport: ...

    def metrics(self) -> Iterable[Sample]:
        """What /metrics tells beyond the web's own numbers (`Health.lines()` of each process)."""
        ...

    async def act(
        self,
        kind: ActKind,
        who: str,
        why: str,
        *,
        key: str = "",
        matcher: Mapping[str, str] | None = None,
        until_ns: int | None = None,
    ) -> None:
        """Write a person's act to the journal; durable when it returns. `LookupError` when no
        alert or silence has that key; `ValueError` when the act makes no sense."""
        ...

    async def query(self, query: Query) -> list[SeriesRows]:
        """Ask the store. Raises StoreDown, StoreRefused."""
        ...

    def faults(self) -> Sequence[Mapping[str, Any]]:
        """Faults of the simulated field: name, target, title {id, en}, active; empty outside
        the demo."""
        ...

    async def fault(self, name: str, target: str) -> None:
        """Start a fault. `LookupError` when there is no such fault or target."""
        ...

    async def clear(self, name: str, target: str) -> None: ...

    async def route(self, method: str, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        """Hand a request to the plugins' routes; 404 when none has that path."""
        ...

    async def changed(self) -> None:
        """Return when anything may have changed since the last call."""
        ...
