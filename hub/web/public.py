"""The page for everybody: air, rain, lake and which offices can be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from hub.clock import NS
from hub.reading import Value
from hub.store.base import StoreDown, StoreRefused
from hub.store.query import Aggregate, Column, Query
from hub.web import views
from hub.web.backend import Backend
from hub.web.lists import ms
from hub.web.live import SeriesLive
from hub.web.showing import Showing
from hub.web.states import is_stale, office_online, office_ways

DAY_NS = 86_400 * NS
AIR_CLASSES = (
    (15.5, "good"),
    (55.4, "moderate"),
    (150.4, "unhealthy"),
    (250.4, "very_unhealthy"),
)
"""Upper ends of ISPU's classes for PM2.5, µg/m³ over 24 h (Permen LHK P.14/2020, lampiran)."""
AIR_LIMIT = AIR_CLASSES[1][0]
ENOUGH = 0.75
"""The part of 24 hours that must have data before their mean has a class."""
HOUR_NS = 3_600 * NS
WINDOW_NS = 300 * NS
LONGEST_GAP_NS = 1_200 * NS
"""A station that reports every 20 minutes or more often has no gaps."""
KEPT_S = 15.0

Windows = Sequence[tuple[int, float]]
"""(start of the window, value), oldest first; windows without data are left out."""
Past = Mapping[str, Windows]


CLASSES = ("good", "moderate", "unhealthy", "very_unhealthy", "hazardous")
"""By the number of the class, from 1."""
INDEX_NS = 2 * 3_600 * NS
"""An index is made every hour; one that is older than this says nothing of now."""


def air_class(pm25: float) -> str:
    """ISPU's class of a PM2.5 concentration in µg/m³."""
    return next((name for limit, name in AIR_CLASSES if pm25 <= limit), "hazardous")


class PublicView:
    """The page's content, asked of the store at most once in `KEPT_S`, however many look."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._page: views.PublicPage | None = None

    async def page(self) -> views.PublicPage:
        now_ns = self.backend.now_ns()
        if self._page is None or now_ns - self._page.now_ms * 1_000_000 > KEPT_S * NS:
            self._page = await self._make()
        return self._page

    async def _make(self) -> views.PublicPage:
        showing = Showing(self.backend)
        past = await self._over_day("pm25", "mean", WINDOW_NS)
        rain = await self._over_day("rain_mm", "sum", HOUR_NS)
        sums = {device: sum(value for _, value in rows) for device, rows in rain.items() if rows}
        counts = showing.counts()
        newest = self.backend.live.newest_ns
        return views.PublicPage(
            now_ms=ms(showing.now_ns),
            regency=showing.regency(),
            air=[self._air(showing, one, past) for one in self._live(showing, "pm25")],
            rain=[
                self._value(showing, one, "rain_mm", sums.get(one.series.device))
                for one in self._live(showing, "rain_mm")
            ],
            lake=[
                self._value(showing, one, field, None)
                for field in ("water_level_m", "do_mgl")
                for one in self._live(showing, field)
            ],
            offices=counts.opds,
            services=_services(showing),
            stale=not newest or showing.now_ns - newest > 120 * NS,
        )

    def _live(self, showing: Showing, field: str) -> list[SeriesLive]:
        """The field's series whose device is known and not silent, in the order of places."""
        found = []
        for device in showing.inventory.devices.values():
            if not is_stale(self.backend.live.devices.get(device.id), showing.now_ns):
                found += self.backend.live.find(device.id, "environment", field)
        return [one for one in found if not isinstance(one.fields[field], str)]

    def _air(self, showing: Showing, one: SeriesLive, past: Past) -> views.PublicAir:
        device = showing.inventory.devices[one.series.device]
        now, windows = float(one.fields["pm25"]), past.get(device.id, [])
        data_ns, mean = covered_ns(windows, showing.now_ns), _mean(windows)
        hour = _mean([row for row in windows if row[0] > showing.now_ns - HOUR_NS - WINDOW_NS])
        enough = mean is not None and data_ns >= ENOUGH * DAY_NS
        index = self._index(showing, device.id)
        ispu, number = _whole(index.get("ispu")), _whole(index.get("category"))
        by_pm25 = air_class(mean) if enough and mean is not None else ""
        return views.PublicAir(
            station=device.title,
            site=self._place(showing, device.site),
            pm25=now,
            time_ms=ms(one.times["pm25"]),
            mean_1h=hour,
            mean_24h=mean,
            data_s=data_ns / NS,
            category=by_pm25 if number is None else CLASSES[number - 1],
            over=max(now, hour or 0.0) > AIR_LIMIT or bool(showing.alarm(device.id, "µg/m³")),
            limit=AIR_LIMIT,
            ispu=ispu,
            dominant="" if ispu is None else str(index["dominant"]),
            index_ms=None if ispu is None else _whole(index["time_ms"]),
            indicative=not device.reference,
        )

    def _index(self, showing: Showing, device: str) -> Mapping[str, Value]:
        """What the station's last index says, with its time; empty when there is none of now."""
        known = self.backend.live.devices.get(device)
        for one in known.of("air_index") if known else ():
            if showing.now_ns - one.time_ns <= INDEX_NS:
                # Only what came with the last one: an index of before is none of now.
                fresh = {k: v for k, v in one.fields.items() if one.times[k] == one.time_ns}
                return {**fresh, "time_ms": ms(one.time_ns) or 0}
        return {}

    def _value(
        self, showing: Showing, one: SeriesLive, field: str, over_day: float | None
    ) -> views.PublicValue:
        device = showing.inventory.devices[one.series.device]
        unit = self.backend.units().get(("environment", field), "")
        return views.PublicValue(
            station=device.title,
            site=self._place(showing, device.site),
            field=field if over_day is None else f"{field}_24h",
            value=float(one.fields[field]) if over_day is None else over_day,
            unit=unit,
            time_ms=ms(one.times[field]),
            alarm=showing.alarm(device.id, unit),
        )

    def _place(self, showing: Showing, site: str) -> str:
        known = showing.inventory.sites.get(site)
        return known.name if known else site

    async def _over_day(self, field: str, aggregate: Aggregate, window_ns: int) -> Past:
        """By device, the windows of the last 24 hours that have data; empty when history is
        unreachable."""
        now_ns = self.backend.now_ns()
        query = Query(
            measurement="environment",
            columns=(Column(field, aggregate, name="value"),),
            start_ns=now_ns - DAY_NS,
            stop_ns=now_ns,
            group_by=("device",),
            window_ns=window_ns,
        )
        try:
            answered = await self.backend.query(query)
        except (StoreDown, StoreRefused):
            return {}
        return {
            one.tags["device"]: [
                (time_ns, float(value))
                for time_ns, (value, *_rest) in one.rows
                if value is not None
            ]
            for one in answered
        }


def _whole(value: Value | None) -> int | None:
    return value if isinstance(value, int) else None


def covered_ns(windows: Windows, now_ns: int) -> int:
    """How much time the windows speak for: each until the next one, `LONGEST_GAP_NS` at most."""
    times = [*(time_ns for time_ns, _ in windows), now_ns]
    covered = sum(min(end - start, LONGEST_GAP_NS) for start, end in pairwise(times))
    return min(covered, DAY_NS)


def _mean(windows: Windows) -> float | None:
    return sum(value for _, value in windows) / len(windows) if windows else None


def _services(showing: Showing) -> list[views.PublicService]:
    found = []
    for opd in showing.inventory.opds.values():
        devices = [one for one in showing.inventory.devices.values() if one.opd == opd.id]
        if devices:
            online = office_online(showing.states, devices)
            since = [showing.device(one.id, 0).off_since_ms for one in office_ways(devices)]
            site = showing.inventory.sites.get(opd.site)
            found.append(
                views.PublicService(
                    name=opd.name,
                    site=site.name if site else "",
                    state="online" if online else "offline",
                    # Cut off since the last of its ways went.
                    since_ms=None if online else max((one for one in since if one), default=None),
                )
            )
    return found
