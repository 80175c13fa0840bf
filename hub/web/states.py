"""How a device, an office or a place is doing. Pure: live values, alerts and the time go in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from hub.clock import NS
from hub.inventory import Device, Inventory
from hub.web.live import DeviceLive, SeriesLive
from rules.transition import Alert

State = Literal["ok", "warning", "no_data", "critical", "down"]

ORDER: tuple[State, ...] = ("ok", "warning", "no_data", "critical", "down")
"""From best to worst."""
RANK: dict[str, int] = {state: rank for rank, state in enumerate(ORDER)}

OFF = frozenset({"down", "no_data"})
"""States in which nothing can be expected of a device."""

LOUD = frozenset({"firing", "acknowledged"})
"""States of an alert that colour its device; pending ones don't yet."""

SHORTEST_SILENCE_NS = 90 * NS
LONGEST_SILENCE_NS = 3600 * NS
RECENT = 8
"""Values by which a field's usual gap is told."""
GAPS = 4
"""A device is stale after that many of its usual gaps, within the two limits above."""


def worst(states: Iterable[State]) -> State:
    """The worst of them; of none, `ok`."""
    return max(states, key=RANK.__getitem__, default="ok")


def is_stale(live: DeviceLive | None, now_ns: int) -> bool:
    """Nothing came for much longer than usual, or ever."""
    if live is None or not live.told_ns:
        return True
    patience = min(max(GAPS * live.gap_ns, SHORTEST_SILENCE_NS), LONGEST_SILENCE_NS)
    return now_ns - live.told_ns > patience


def usual_gap_ns(one: SeriesLive, field: str) -> int:
    """How far apart the field's values usually come, of the few last ones; 0: not known."""
    ring = one.rings.get(field)
    times = [time_ms for time_ms, _ in ring.tail(RECENT)] if ring is not None else []
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    return gaps[len(gaps) // 2] * 1_000_000 if gaps else 0


def answers(live: DeviceLive) -> bool | None:
    """Whether any probe reaches it; None when no probe says. A probe that fell silent while
    another goes on has no say."""
    probes = [one for name in ("device", "camera") for one in live.of(name) if "up" in one.fields]
    newest = max((one.times["up"] for one in probes), default=0)
    said = [
        bool(one.fields["up"]) for one in probes if newest - one.times["up"] <= SHORTEST_SILENCE_NS
    ]
    return any(said) if said else None


def device_state(live: DeviceLive | None, alerts: Sequence[Alert], now_ns: int) -> State:
    """The one word for a device. Silence never looks healthy: it is `no_data`. A rule that says
    "down" is believed, even when some other probe still gets an answer."""
    stale = is_stale(live, now_ns)
    if any(one.means == "down" and one.state in LOUD for one in alerts):
        return "down"
    if live is not None and not stale and answers(live) is False:
        return "down"
    found: list[State] = ["no_data"] if stale else ["ok"]
    for alert in alerts:
        if alert.state in LOUD and alert.severity != "info":
            found.append("critical" if alert.severity == "critical" else "warning")
    return worst(found)


def off_since(live: DeviceLive | None, alerts: Sequence[Alert]) -> int:
    """Since when a device that is down or silent is so, in UTC nanoseconds; 0: unknown."""
    said = [one.since_ns for one in alerts if one.means == "down" and one.state in LOUD]
    heard = live.heard_ns if live is not None else 0
    return min(said) if said else heard


def alerts_by_device(alerts: Iterable[Alert]) -> dict[str, list[Alert]]:
    found: dict[str, list[Alert]] = {}
    for alert in alerts:
        found.setdefault(alert.device, []).append(alert)
    return found


def dependents(inventory: Inventory) -> dict[str, list[str]]:
    """Device: those whose traffic passes it next."""
    found: dict[str, list[str]] = {}
    for device in inventory.devices.values():
        for upstream in device.depends_on:
            found.setdefault(upstream, []).append(device.id)
    return found


def downstream(device: str, children: Mapping[str, Sequence[str]]) -> set[str]:
    """Every device behind that one, itself not counted; circles end."""
    found: set[str] = set()
    waiting = list(children.get(device, ()))
    while waiting:
        child = waiting.pop()
        if child not in found and child != device:
            found.add(child)
            waiting.extend(children.get(child, ()))
    return found


def upstream_chain(device: str, inventory: Inventory) -> list[str]:
    """The way to the core, nearest first (first `depends_on` of each); circles end."""
    chain: list[str] = []
    here: Device | None = inventory.devices.get(device)
    while here is not None and here.depends_on and here.depends_on[0] not in (device, *chain):
        chain.append(here.depends_on[0])
        here = inventory.devices.get(chain[-1])
    return chain


def office_ways(devices: Sequence[Device]) -> Sequence[Device]:
    """What an office is reached by: its routers; without any, each of its devices."""
    return [one for one in devices if one.kind == "router"] or devices


def office_online(states: Mapping[str, State], devices: Sequence[Device]) -> bool:
    """An office is online when one of its routers is; without routers, when any device is."""
    return any(states[one.id] not in OFF for one in office_ways(devices))
