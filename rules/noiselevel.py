"""The recording rule of noise: each morning the day-and-night level Lsm of every microphone.

    readings of `environment` ─► hourly energy ─► at 6 o'clock: Ls, Lm, Lsm ─► `noise_level`

A fold like `rules.airindex`. The day is 06-22 and the night that follows 22-06 in the regency's own
time; see `rules.noise` for the decree and what of it is unverified. An hour counts when it has a
reading, a day when 12 of its 16 hours and 6 of the night's 8 do (that is ours). Levels are added up
as energy: a mean of decibels would hide the loud minutes. A node that measures dB(A) now and then
gives an estimate of Leq, not an official measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from math import log10
from typing import Any

from hub.reading import Reading, Value
from rules import noise
from rules.airindex import SOURCE, UNFIT
from rules.duration import HOUR, SECOND
from rules.recorded import Recorded
from rules.thing import Thing

MEASUREMENT = "noise_level"
FIELD = "noise_dba"
MORNING = 6
HOURS = noise.DAY_HOURS + noise.NIGHT_HOURS
ENOUGH = 0.75

FIELDS = {
    "lsm": "dB(A)",
    "ls": "dB(A)",
    "lm": "dB(A)",
    "limit_dba": "dB(A)",
    "over_dba": "dB(A)",
    "day_hours": "h",
    "night_hours": "h",
}
"""Of `noise_level`, with units. `limit_dba` and `over_dba` (Lsm above it) where the inventory names
the device's `noise_zone`."""

_Hours = dict[int, list[float]]
"""Hour since 1970 → sum of energy and number of readings."""


class NoiseLevel:
    """See the module's docstring."""

    name = MEASUREMENT

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone
        self._limits: Mapping[str, int] = {}
        self._devices: dict[str, _Hours] = {}
        self._hour = 0
        """The running hour; 0: no tick came yet."""
        self._recorded = Recorded(MEASUREMENT)

    def know(self, things: Iterable[Thing]) -> None:
        """The inventory, from now on: in which zone a device stands."""
        self._limits = {t.id: noise.LIMITS[t.noise_zone] for t in things if t.noise_zone}

    def observe(self, readings: Iterable[Reading]) -> None:
        """Readings of one record, of whatever measurement."""
        devices = self._devices
        for series, time_ns, fields, quality in readings:
            if series.measurement != SOURCE or quality & UNFIT:
                continue
            level = fields.get(FIELD)
            if type(level) is float or type(level) is int:
                hours = devices.get(series.device)
                if hours is None:
                    hours = devices[series.device] = {}
                self._add(hours, time_ns // HOUR, level)

    def _add(self, hours: _Hours, hour: int, level: float) -> None:
        if hour < self._hour - HOURS:
            return
        sums = hours.setdefault(hour, [0.0, 0])
        sums[0] += 10 ** (0.1 * min(level, 300.0))
        sums[1] += 1

    def tick(self, now_ns: int) -> list[Reading]:
        """Time passed: at the first tick after six in the morning the level of every device."""
        hour = now_ns // HOUR
        began, self._hour = self._hour, hour
        if hour <= began or not began:
            return []
        local = datetime.fromtimestamp(hour * HOUR // SECOND, self._zone)
        if local.hour != MORNING:
            return []
        made = []
        for device in sorted(self._devices):
            hours = self._devices[device]
            for old in [one for one in hours if one < hour - HOURS]:
                del hours[old]
            fields = self._fields(device, hours, hour)
            if fields:
                made.append(self._recorded.note(device, hour * HOUR, fields))
            else:
                self._recorded.forget(device)
        return made

    def latest(self) -> list[Reading]:
        """The last level of each device, for who shows it after a restart."""
        return self._recorded.readings()

    def _fields(self, device: str, hours: _Hours, stop: int) -> dict[str, Value]:
        """Empty without a reading in those 24 hours."""
        start, dusk = stop - HOURS, stop - noise.NIGHT_HOURS
        day = _levels(hours, start, dusk)
        night = _levels(hours, dusk, stop)
        if not day and not night:
            return {}
        fields: dict[str, Value] = {"day_hours": len(day), "night_hours": len(night)}
        if len(day) < ENOUGH * noise.DAY_HOURS or len(night) < ENOUGH * noise.NIGHT_HOURS:
            return fields
        ls, lm = noise.energy_mean(day), noise.energy_mean(night)
        level = noise.lsm(ls, lm)
        fields |= {"ls": ls, "lm": lm, "lsm": level}
        if device in self._limits:
            limit = self._limits[device]
            fields |= {"limit_dba": float(limit), "over_dba": level - limit}
        return fields

    def snapshot(self) -> dict[str, Any]:
        """Plain data for msgpack."""
        devices = {
            device: [[hour, *sums] for hour, sums in hours.items()]
            for device, hours in self._devices.items()
            if hours
        }
        return {"hour": self._hour, "devices": devices, "last": self._recorded.snapshot()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._hour = state["hour"]
        self._devices = {
            device: {hour: [total, count] for hour, total, count in hours}
            for device, hours in state["devices"].items()
        }
        self._recorded.load(state["last"])


def _levels(hours: _Hours, start: int, stop: int) -> list[float]:
    """Leq of each hour that has a reading."""
    inside = (hours[hour] for hour in range(start, stop) if hour in hours)
    return [10 * log10(energy / count) for energy, count in inside]
