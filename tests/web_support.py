"""A backend with a plausible regency behind it, for tests of the web."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from hub import inventory_file
from hub.clock import NS
from hub.edges import Edge
from hub.inventory import Inventory
from hub.notify.onduty import TeamNow
from hub.proposals import Dismissal, Found, Proposed
from hub.reading import Reading, Series, Value
from hub.report.model import Report
from hub.store.base import StoreDown
from hub.store.query import Query, SeriesRows
from hub.web.backend import HealthReport, Regency, Sample
from hub.web.live import LiveState
from rules.act import Act
from rules.transition import Alert, Transition

NOW = 1_795_305_600 * NS  # 2026-11-22 07:00 WIB
UNITS = {
    ("interface", "in_bps"): "bit/s",
    ("interface", "out_bps"): "bit/s",
    ("device", "rtt_ms"): "ms",
    ("device", "cpu_pct"): "%",
    ("environment", "pm25"): "µg/m³",
    ("environment", "temperature"): "°C",
    ("environment", "humidity"): "%",
    ("environment", "water_level_m"): "m",
    ("environment", "do_mgl"): "mg/L",
    ("environment", "rain_mm"): "mm",
    ("environment", "turbidity_ntu"): "NTU",
    ("camera", "rtsp_ms"): "ms",
    ("camera", "heartbeat_age_s"): "s",
}


def toba() -> Regency:
    """The regency that the project ships."""
    folder = Path(str(resources.files("hub.regency") / "toba"))
    said = yaml.safe_load((folder / "regency.yaml").read_text(encoding="utf-8"))
    bounds = said["bounds"]
    return Regency(
        id=said["id"],
        name=said["name"],
        zone=said["time_zone"],
        languages=tuple(said["languages"]),
        bounds=(bounds["south"], bounds["west"], bounds["north"], bounds["east"]),
        map=json.loads((folder / "map.geojson").read_text(encoding="utf-8")),
    )


def toba_inventory() -> Inventory:
    folder = Path(str(resources.files("hub.regency") / "toba"))
    return inventory_file.read([folder / "inventory.yaml"])


def small_inventory() -> Inventory:
    """One place, two offices, a core router, two routers behind it, a camera and a sensor."""
    return inventory_file.from_data(
        {
            "sites": [{"id": "balige", "name": "Balige", "lat": 2.33, "lon": 99.08}],
            "opds": [
                {"id": "dlh", "name": "Dinas Lingkungan Hidup", "site": "balige"},
                {"id": "dishub", "name": "Dinas Perhubungan", "site": "balige"},
            ],
            "devices": [
                {"id": "r-core", "name": "Inti", "kind": "router", "site": "balige"},
                _behind("r-dlh", "router", "dlh", "r-core"),
                _behind("r-dishub", "router", "dishub", "r-core"),
                _behind("cam-1", "camera", "dishub", "r-dishub"),
                _behind("aq-1", "sensor", "dlh", "r-dlh"),
            ],
        }
    )


def _behind(id: str, kind: str, opd: str, upstream: str) -> dict[str, Any]:
    place = {"site": "balige", "opd": opd}
    return {"id": id, "name": id.upper(), "kind": kind, "depends_on": [upstream], **place}


@dataclass
class FakeBackend:
    """All of `hub.web.backend.Backend`, in memory; acts are only written down."""

    inventory: Inventory = field(default_factory=small_inventory)
    regency: Regency = field(default_factory=toba)
    live: LiveState = field(default_factory=LiveState)
    time_ns: int = NOW
    current: dict[str, Alert] = field(default_factory=dict)
    past: list[Transition] = field(default_factory=list)
    quiet: list[dict[str, Any]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)
    proposed: list[Proposed] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    dismissed: dict[str, Dismissal] = field(default_factory=dict)
    report: HealthReport = field(
        default_factory=lambda: HealthReport(
            ok=True,
            reasons=[],
            store={"name": "duckdb", "up": True},
            processes={"ingest": True, "serve": True},
            drops={},
            lag_s=0.02,
        )
    )
    offered: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    routes: dict[tuple[str, str], tuple[int, dict[str, Any]]] = field(default_factory=dict)
    answers: list[SeriesRows] = field(default_factory=list)
    asked: list[Query] = field(default_factory=list)
    store_down: bool = False
    months: Report | None = None
    fired: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)
    whys: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What `explain` answers, by device."""
    teams: list[TeamNow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._news = asyncio.Event()

    def transitions(self) -> int:
        return self.fired + len(self.acts)

    def now_ns(self) -> int:
        return self.time_ns

    def units(self) -> Mapping[tuple[str, str], str]:
        return UNITS

    def alerts(self) -> Sequence[Alert]:
        return list(self.current.values())

    def explain(self, device: str, rule: str = "") -> Sequence[Mapping[str, Any]]:
        if device not in self.inventory.devices:
            raise LookupError(f"the inventory has no device {device!r}")
        return [one for one in self.whys.get(device, ()) if rule in ("", one["rule"])]

    def duty(self) -> Sequence[TeamNow]:
        return self.teams

    def silences(self) -> Sequence[Mapping[str, Any]]:
        return self.quiet

    def history(self, limit: int, device: str = "") -> Sequence[Mapping[str, Any]]:
        found = [one for one in reversed(self.past) if device in ("", one.device)]
        return [asdict(one) for one in found[:limit]]

    def events(self, limit: int, device: str = "") -> Sequence[Mapping[str, Any]]:
        return [one for one in self.said if device in ("", one["device"])][:limit]

    def found(self) -> Found:
        return Found.of(self.proposed, self.edges, self.inventory, self.dismissed)

    def acted(self, limit: int) -> Sequence[Mapping[str, Any]]:
        return [
            {"id": number, "time_ns": self.time_ns, **one, "matcher": one["matcher"] or {}}
            for number, one in reversed([*enumerate(self.acts, 1)][-limit:])
        ]

    async def availability(self, month: str) -> Report:
        if self.months is None:
            raise ValueError(f"{month!r} is no month; write it as 2026-10")
        return self.months

    def health(self) -> HealthReport:
        return self.report

    def metrics(self) -> Iterable[Sample]:
        yield "refused", {"collector": "mqtt", "reason": 'not "JSON"'}, 3.0, "counter"

    async def act(
        self,
        kind: str,
        who: str,
        why: str,
        *,
        key: str = "",
        matcher: Mapping[str, str] | None = None,
        until_ns: int | None = None,
    ) -> None:
        if kind in ("acknowledge", "unacknowledge"):
            if key not in self.current:
                raise LookupError(key)
            old = asdict(self.current[key])
            state = "acknowledged" if kind == "acknowledge" else "firing"
            changed = {"state": state, "acknowledged_by": who, "comment": why}
            self.current[key] = Alert(**{**old, **changed})
        elif kind in ("dismiss", "undismiss"):
            if refusal := self.found().refusal(Act(kind, who, why, key)):
                raise LookupError(refusal)
            self.dismissed.pop(key, None)
            if kind == "dismiss":
                self.dismissed[key] = Dismissal(key, self.time_ns, who, why)
        elif kind == "unsilence":
            self.quiet = [one for one in self.quiet if one["id"] != key]
        self.acts.append(
            {"kind": kind, "who": who, "why": why, "key": key, "matcher": matcher}
            | {"until_ns": until_ns}
        )
        self.wake()

    async def query(self, query: Query) -> list[SeriesRows]:
        self.asked.append(query)
        if self.store_down:
            raise StoreDown("connection refused")
        return [one for one in self.answers if set(one.tags) == set(query.group_by)]

    def faults(self) -> Sequence[Mapping[str, Any]]:
        return list(self.offered.values())

    async def fault(self, name: str, target: str) -> None:
        self.offered[name, target]["active"] = True

    async def clear(self, name: str, target: str) -> None:
        self.offered[name, target]["active"] = False

    async def route(self, method: str, path: str, body: bytes) -> tuple[int, Mapping[str, Any]]:
        return self.routes.get((method, path), (404, {"detail": f"no route {path}"}))

    async def changed(self) -> None:
        await self._news.wait()
        self._news.clear()

    def wake(self) -> None:
        self._news.set()

    def observe(self, measurement: str, device: str, fields: dict[str, Value], **tags: str) -> None:
        """A reading of now."""
        series = Series.of(measurement, device, **tags)
        self.live.observe([Reading(series, self.time_ns, fields)], self.time_ns)
        self.wake()

    def fire(self, rule: str, device: str, severity: str = "warning", **more: Any) -> Alert:
        """Put an alert among the current ones."""
        known = self.inventory.devices.get(device)
        site = self.inventory.sites.get(known.site) if known else None
        opd = self.inventory.opds.get(known.opd) if known else None
        alert = Alert(
            **{
                "key": f"{rule}/{device}",
                "rule": rule,
                "device": device,
                "name": known.title if known else device,
                "kind": known.kind if known else "",
                "site": known.site if known else "",
                "site_name": site.name if site else "",
                "opd": known.opd if known else "",
                "opd_name": opd.name if opd else "",
                "lat": None,
                "lon": None,
                "tags": {},
                "state": "firing",
                "data_state": "ok",
                "severity": severity,
                "value": None,
                "unit": "",
                "since_ns": self.time_ns - 300 * NS,
                "until_ns": 0,
                "title": {"id": rule, "en": rule},
                "advice": {"id": "", "en": ""},
                "detail": {},
                "notify": (),
                "acknowledged_by": "",
                "comment": "",
                "silenced_until": 0,
                "silenced_by": "",
                "cause": "",
                "drags": 0,
                **more,
            }
        )
        self.current[alert.key] = alert
        self.fired += 1
        self.wake()
        return alert


def wave(seed: int, time_ns: int, low: float, high: float, period_s: float = 900.0) -> float:
    """A smooth, seeded line between two values: plausible, and the same every time."""
    turn = time_ns / NS / period_s * math.tau + seed * 1.7
    shape = (
        math.sin(turn) + 0.5 * math.sin(2.7 * turn + seed) + 0.25 * math.sin(7.3 * turn)
    ) / 1.75
    return low + (high - low) * (0.5 + 0.5 * shape)
