"""Turns the backend's state into the shapes of `views`. Reads, never changes; takes the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from hub.inventory import Device
from hub.web import causes, links, states, views
from hub.web.backend import Backend
from hub.web.headlines import headline
from hub.web.lists import events, history, ms
from hub.web.live import DeviceLive, LiveState, Ring, SeriesLive
from hub.web.pace import Pace
from hub.web.states import State
from rules.transition import Alert

SPARK_POINTS = 48
MOST_ALERTS = 300
"""Sent to a browser; the worst and newest come first, the rest is counted."""

SEVERITY_RANK = {"info": 0, "warning": 1, "critical": 2}
EMPTY = DeviceLive(LiveState())


class Showing:
    """One look at the backend at `now_ns`: states are computed once and shared by all views."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.now_ns = backend.now_ns()
        self.inventory = backend.inventory
        self.units = backend.units()
        self.all_alerts = [
            one for one in backend.alerts() if one.state in ("pending", *states.LOUD)
        ]
        self._by_device = states.alerts_by_device(self.all_alerts)
        self._state: dict[str, State] = {}

    @cached_property
    def states(self) -> Mapping[str, State]:
        """Of every device in the inventory."""
        return {id: self.state(id) for id in self.inventory.devices}

    def state(self, id: str) -> State:
        """Of one device, without looking at the others."""
        found = self._state.get(id)
        if found is None:
            live, alerts = self.backend.live.devices.get(id), self._by_device.get(id, ())
            found = self._state[id] = states.device_state(live, alerts, self.now_ns)
        return found

    def loud(self, id: str) -> int:
        """How many alerts of a device are told of."""
        return sum(one.state in states.LOUD for one in self._by_device.get(id, ()))

    @cached_property
    def _children(self) -> Mapping[str, list[str]]:
        return states.dependents(self.inventory)

    async def overview(self) -> views.Overview:
        """Everything; others go on while it is put together."""
        pace, devices = Pace(), []
        for id in list(self.inventory.devices):
            await pace.step()
            if id in self.inventory.devices:  # it may be removed meanwhile
                devices.append(self.device(id, SPARK_POINTS))
        alerts, left_out = self.alerts()
        return views.Overview(
            now_ms=ms(self.now_ns),
            regency=self.regency(),
            counts=self.counts(),
            health=self.health(),
            alerts=alerts,
            alerts_left_out=left_out,
            sites=[
                views.SiteInfo(one.id, one.name, one.lat, one.lon)
                for one in self.inventory.sites.values()
            ],
            opds=[views.OpdInfo(o.id, o.name, o.site) for o in self.inventory.opds.values()],
            inventory=[device_info(one) for one in self.inventory.devices.values()],
            devices=devices,
            faults=self.faults(),
        )

    def regency(self) -> views.RegencyInfo:
        one = self.backend.regency
        return views.RegencyInfo(one.id, one.name, one.zone, list(one.languages), one.bounds)

    def devices(self, spark: int, only: Iterable[str] | None = None) -> list[views.DeviceNow]:
        ids = self.inventory.devices if only is None else only
        return [self.device(id, spark) for id in ids if id in self.inventory.devices]

    def device(self, id: str, spark: int) -> views.DeviceNow:
        device = self.inventory.devices[id]
        live = self.backend.live.devices.get(id, EMPTY)
        shown = list(headline(device, live))
        ring = shown[0][0].rings.get(shown[0][1]) if shown else None
        state, alerts = self.state(id), self._by_device.get(id, ())
        since_ns = states.off_since(live, alerts) if state in states.OFF else 0
        return views.DeviceNow(
            id=id,
            state=state,
            heard_ms=ms(live.heard_ns) if live.heard_ns else None,
            alerts=self.loud(id),
            headline=[self.metric(one, field) for one, field in shown],
            spark=_spark(ring, spark),
            off_since_ms=ms(since_ns) if since_ns else None,
        )

    def metric(self, one: SeriesLive, field: str) -> views.Metric:
        measurement = one.series.measurement
        return views.Metric(
            measurement=measurement,
            field=field,
            tags=dict(one.series.inner),
            value=one.fields[field],
            unit=self.units.get((measurement, field), ""),
            time_ms=ms(one.times[field]),
            quality=one.quality,
        )

    def readings(self, id: str) -> list[views.Metric]:
        """Every last value of a device, in a steady order."""
        live = self.backend.live.devices.get(id, EMPTY)
        ordered = sorted(live.series, key=lambda one: one.series.key)
        return [self.metric(one, field) for one in ordered for field in sorted(one.fields)]

    def alerts(self, device: str = "") -> tuple[list[views.AlertInfo], int]:
        """Troubles of their own first, then what follows from them; among these the worst, then
        the newest; and how many more there are."""
        found = self._by_device.get(device, []) if device else self.all_alerts
        ordered = sorted(
            found,
            key=lambda a: (
                a.state == "pending",
                a.key in self._roots,
                a.state == "acknowledged",
                -SEVERITY_RANK.get(a.severity, 1),
                -a.since_ns,
            ),
        )
        shown = [self.alert(one) for one in ordered[:MOST_ALERTS]]
        return shown, len(ordered) - len(shown)

    def alert(self, alert: Alert) -> views.AlertInfo:
        return views.AlertInfo(
            key=alert.key,
            rule=alert.rule,
            device=alert.device,
            name=alert.name or alert.device,
            kind=alert.kind,
            site=alert.site,
            opd=alert.opd,
            tags=dict(alert.tags),
            state=alert.state,
            data_state=alert.data_state,
            severity=alert.severity,
            value=alert.value,
            unit=alert.unit,
            since_ms=ms(alert.since_ns),
            who=alert.acknowledged_by,
            why=alert.comment,
            title=dict(alert.title),
            detail=dict(alert.detail),
            advice=dict(alert.advice),
            cause=alert.cause,
            drags=[] if alert.key in self._roots else self.drags(alert),
            root=self._roots.get(alert.key, ""),
            silenced_until_ms=ms(alert.silenced_until) if alert.silenced_until else None,
            silenced_by=alert.silenced_by,
        )

    @cached_property
    def _roots(self) -> Mapping[str, str]:
        return causes.roots(self.all_alerts)

    @cached_property
    def _dragged(self) -> Mapping[str, set[str]]:
        return causes.dragged(self.all_alerts, self._roots)

    def drags(self, alert: Alert) -> list[str]:
        """What its trouble takes along: devices whose alerts it explains and, when its own device
        is down, the silent ones behind that."""
        found = set(self._dragged.get(alert.key, ()))
        device = alert.device
        if device in self.inventory.devices and self.state(device) in states.OFF:
            behind = states.downstream(device, self._children)
            found |= {id for id in behind if self.state(id) in states.OFF}
        return sorted(found)

    def alarm(self, device: str, unit: str) -> Mapping[str, str]:
        """The title of the worst alert that is told of the device about a value in that unit, by
        language; empty: there is none."""
        alerts = self._by_device.get(device, ())
        loud = [one for one in alerts if one.unit == unit and one.state in states.LOUD]
        loud.sort(key=lambda one: SEVERITY_RANK.get(one.severity, 1))
        return dict(loud[-1].title) if loud else {}

    def behind(self, device: str) -> list[str]:
        return sorted(states.downstream(device, self._children))

    def counts(self) -> views.Counts:
        opds: dict[str, list[Device]] = {}
        for device in self.inventory.devices.values():
            if device.opd:
                opds.setdefault(device.opd, []).append(device)
        online = {id: states.office_online(self.states, found) for id, found in opds.items()}
        worst = {id: states.worst(self.states[d.id] for d in opds[id]) for id in opds}
        by_state = dict.fromkeys(states.ORDER, 0)
        for state in self.states.values():
            by_state[state] += 1
        return views.Counts(
            opds=views.Tally(
                up=sum(online.values()),
                total=len(opds),
                trouble=sum(online[id] and worst[id] != "ok" for id in opds),
            ),
            links=self._links(),
            sensors=self._tally("sensor"),
            cameras=self._tally("camera"),
            alerts=self._alert_counts(),
            devices={str(state): count for state, count in by_state.items()},
        )

    def _tally(self, kind: str) -> views.Tally:
        found = [self.states[d.id] for d in self.inventory.devices.values() if d.kind == kind]
        up = [state for state in found if state not in states.OFF]
        return views.Tally(len(up), len(found), sum(state != "ok" for state in up))

    def _links(self) -> views.Tally:
        """The links of the inventory, heard or not."""
        found = [
            up
            for id, device in self.inventory.devices.items()
            for up in links.of(
                device,
                self.backend.live.devices.get(id, EMPTY),
                reached=self.states[id] not in states.OFF,
                now_ns=self.now_ns,
            )
        ]
        return views.Tally(found.count(True), len(found), 0, found.count(None))

    def _alert_counts(self) -> dict[str, int]:
        counted = dict.fromkeys([*SEVERITY_RANK, "acknowledged", "pending", "explained"], 0)
        for alert in self.all_alerts:
            word = alert.severity if alert.state == "firing" else alert.state
            if alert.key in self._roots:
                word = "explained"
            if word in counted:
                counted[word] += 1
        return counted

    def health(self) -> views.HealthInfo:
        said = self.backend.health()
        newest = self.backend.live.newest_ns
        reasons = list(said.get("reasons", []))
        return views.HealthInfo(
            ok=said.get("ok", False),
            reasons=reasons,
            history=said.get("store", {}).get("up", False),
            newest_ms=ms(newest) if newest else None,
            drops=sum(said.get("drops", {}).values()),
            lag_s=said.get("lag_s"),
        )

    def faults(self) -> list[views.FaultInfo]:
        return [
            views.FaultInfo(
                str(one["name"]),
                str(one.get("target", "")),
                dict(one.get("title", {})),
                bool(one.get("active", False)),
            )
            for one in self.backend.faults()
        ]

    def detail(self, id: str) -> views.DeviceDetail:
        """Raises KeyError when the inventory has no such device."""
        return views.DeviceDetail(
            device=device_info(self.inventory.devices[id]),
            now=self.device(id, SPARK_POINTS),
            readings=self.readings(id),
            alerts=self.alerts(id)[0],
            chain=states.upstream_chain(id, self.inventory),
            behind=self.behind(id),
            history=history(self.backend.history(50, id)),
            events=events(self.backend.events(50, id)),
        )


def device_info(one: Device) -> views.DeviceInfo:
    return views.DeviceInfo(
        one.id, one.title, one.kind, one.site, one.opd, one.address, list(one.depends_on)
    )


def _spark(ring: Ring | None, count: int) -> list[tuple[int, float]]:
    return ring.tail(count) if ring is not None else []
