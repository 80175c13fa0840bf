"""The recording rule of rain: each rain day's sum and its BMKG class, station by station.

    readings of `environment` ─► millimetres by rain day ─► at 00.00 UTC (07.00 WIB) ─► `rain_day`

A fold like `rules.airindex`; see `rules.rain` for the classes and for what of them is unverified.
Readings that come late count in their own day as long as that is not over. A day with less than 18
hours that have a reading gives no class: it may have rained in the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.reading import Reading, Value
from rules.airindex import SOURCE, UNFIT
from rules.duration import DAY, HOUR
from rules.rain import DAILY, daily_class, rain_day
from rules.recorded import Recorded
from rules.thing import Thing

MEASUREMENT = "rain_day"
FIELD = "rain_mm"
ENOUGH_HOURS = 18

FIELDS = {"rain_mm": "mm", "rain_class": "", "hours": "h"}
"""Of `rain_day`, with units. `rain_class`: 1 (none) to 6 (extreme); `hours` that had a reading."""

_CLASS = {band.key: number for number, band in enumerate(DAILY, 1)}


class RainDay:
    """See the module's docstring."""

    name = MEASUREMENT

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}
        """Device → millimetres of the running day, and a bit for each hour with a reading."""
        self._day = 0
        """When the running day began, UTC ns; 0: no tick came yet."""
        self._recorded = Recorded(MEASUREMENT)

    def know(self, things: Iterable[Thing]) -> None:
        """The inventory, from now on: nothing of it matters here."""

    def observe(self, readings: Iterable[Reading]) -> None:
        """Readings of one record, of whatever measurement."""
        for series, time_ns, fields, quality in readings:
            if series.measurement == SOURCE and FIELD in fields and not quality & UNFIT:
                self._add(series.device, time_ns, fields[FIELD])

    def _add(self, device: str, time_ns: int, millimetres: Value) -> None:
        if isinstance(millimetres, str) or not millimetres >= 0:
            return
        if self._day and rain_day(time_ns) == self._day:
            sums = self._sums.setdefault(device, [0.0, 0])
            sums[0] += millimetres
            sums[1] = int(sums[1]) | 1 << (time_ns - self._day) // HOUR

    def tick(self, now_ns: int) -> list[Reading]:
        """Time passed: at the first tick of a rain day the sums of the day before."""
        day = rain_day(now_ns)
        ended, self._day = self._day, max(day, self._day)
        if day <= ended or not ended:
            return []
        made = []
        for device, (millimetres, bits) in sorted(self._sums.items()):
            hours = int(bits).bit_count()
            fields: dict[str, Value] = {"rain_mm": round(millimetres, 6), "hours": hours}
            if hours >= ENOUGH_HOURS:
                fields["rain_class"] = _CLASS[daily_class(millimetres).key]
            made.append(self._recorded.note(device, ended + DAY, fields))
        self._sums.clear()
        return made

    def latest(self) -> list[Reading]:
        """The last day of each station, for who shows it after a restart."""
        return self._recorded.readings()

    def snapshot(self) -> dict[str, Any]:
        """Plain data for msgpack."""
        return {"day": self._day, "sums": self._sums, "last": self._recorded.snapshot()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._day = state["day"]
        self._sums = {device: [total, bits] for device, (total, bits) in state["sums"].items()}
        self._recorded.load(state["last"])
