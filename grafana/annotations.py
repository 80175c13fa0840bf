"""Marks of alerts and maintenance in Grafana's own store, for dashboards that are not ours.

Ours read alerts from InfluxDB; these marks show the same on every other dashboard that asks for
the tag `alarm`, and maintenance windows on ours, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from grafana.client import Grafana
from grafana.names import ALERT_TAG, MAINTENANCE_TAG
from rules.transition import Transition


def annotate(
    grafana: Grafana, transitions: Iterable[Transition], *, language: str = "id"
) -> list[int]:
    """A mark where an alert fires, stretched to a region when it is resolved.

    Can be repeated: a mark that is there already is found by its tags and not made twice.
    Returns the annotations' ids. Raises `PushError`.
    """
    touched = []
    for change in transitions:
        if change.after == "firing":
            touched.append(_find(grafana, change) or _mark(grafana, change, language))
        elif change.after == "resolved":
            found = _find(grafana, change)
            if found:
                grafana.patch(f"/annotations/{found}", {"timeEnd": _ms(change.time_ns)})
                touched.append(found)
    return touched


def annotate_maintenance(
    grafana: Grafana,
    start_ns: int,
    stop_ns: int,
    text: str,
    devices: Iterable[str] = (),
    *,
    name: str = "",
) -> int:
    """A region for a maintenance window; its annotation id. Raises `PushError`.

    `name` tells the window from others: with it, the same window is never marked twice.
    """
    tags = [MAINTENANCE_TAG, *(f"device:{device}" for device in devices)]
    if name:
        found = _tagged(grafana, [MAINTENANCE_TAG, f"window:{name}"])
        if found:
            return found
        tags.append(f"window:{name}")
    body = {"time": _ms(start_ns), "timeEnd": _ms(stop_ns), "tags": tags, "text": text}
    return int(grafana.post("/annotations", body)["id"])


def _mark(grafana: Grafana, change: Transition, language: str) -> int:
    body: dict[str, Any] = {
        "time": _ms(change.time_ns),
        "tags": [*_name(change), f"rule:{change.rule}", f"device:{change.device}", change.severity],
        "text": change.title.get(language) or next(iter(change.title.values()), change.rule),
    }
    return int(grafana.post("/annotations", body)["id"])


def _find(grafana: Grafana, change: Transition) -> int:
    """The id of the mark of this alert's present episode, 0 if there is none."""
    return _tagged(grafana, _name(change))


def _tagged(grafana: Grafana, tags: Iterable[str]) -> int:
    """The id of an annotation with all these tags, 0 if there is none."""
    query = [("tags", tag) for tag in tags] + [("type", "annotation"), ("limit", "1")]
    found = grafana.get(f"/annotations?{urlencode(query)}")
    return int(found[0]["id"]) if found else 0


def _name(change: Transition) -> list[str]:
    """Tags that no other episode has: the alert's key and when it began."""
    return [ALERT_TAG, f"key:{change.key}", f"since:{_ms(change.since_ns)}"]


def _ms(time_ns: int) -> int:
    return time_ns // 1_000_000
