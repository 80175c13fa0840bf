"""/metrics in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hub.web.backend import Backend, Sample
from hub.web.showing import Showing
from hub.web.stream import Feed

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(backend: Backend, feed: Feed) -> str:
    """Everything the hub and the web count; one TYPE line a name."""
    by_name: dict[str, tuple[str, list[str]]] = {}
    for name, labels, value, kind in [*backend.metrics(), *_web(backend, feed)]:
        full = _name(name, kind)
        by_name.setdefault(full, (kind, []))[1].append(f"{full}{_labels(labels)} {value:g}")
    lines = []
    for full, (kind, samples) in sorted(by_name.items()):
        lines += [f"# TYPE {full} {kind}", *samples]
    return "\n".join(lines) + "\n"


def _web(backend: Backend, feed: Feed) -> Iterator[Sample]:
    showing, report = Showing(backend), backend.health()
    yield "up", {}, 1.0, "gauge"
    yield "healthy", {}, float(report.get("ok", False)), "gauge"
    yield "store_up", {}, float(report.get("store", {}).get("up", False)), "gauge"
    yield from _each("process_up", "process", report.get("processes", {}), "gauge")
    yield from _each("drops", "reason", report.get("drops", {}), "counter")
    yield from _each("backlog_records", "cursor", report.get("backlog", {}), "gauge")
    counts = showing.counts()
    yield from _each("alerts", "state", counts.alerts, "gauge")
    yield from _each("devices", "state", counts.devices, "gauge")
    yield "live_series", {}, float(backend.live.series_count), "gauge"
    yield "live_left_out", {}, float(backend.live.left_out), "counter"
    yield "streams", {}, float(feed.clients), "gauge"
    yield "streams_refused", {}, float(feed.refused), "counter"


def _each(
    name: str, label: str, numbers: Mapping[str, float | int | bool], kind: str
) -> Iterable[Sample]:
    return ((name, {label: key}, float(value), kind) for key, value in numbers.items())


def _name(name: str, kind: str) -> str:
    clean = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    suffix = "_total" if kind == "counter" and not clean.endswith("_total") else ""
    return f"toba_hub_{clean}{suffix}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    pairs = [f'{key}="{_escape(value)}"' for key, value in sorted(labels.items())]
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
