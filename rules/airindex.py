"""The recording rule of air quality: rolling 24-hour means and their ISPU, hour by hour.

    readings of `environment` ─► hourly sums ─► at each full hour: means of 24 h ─► `air_index`

A fold over the log like the alerts: readings and ticks in, readings out, so a replay gives the
same index. A station is a device; a parameter is a field named in `rules.ispu.PARAMETERS`, µg/m³.

An hour has a mean when three quarters of the readings came that the station usually gives in one
(the median of its hours); a parameter has an index when 18 of 24 hours have a mean. That rule is
in use by others and was not found in the regulation's text; neither was it said there that PM2.5,
which must be published every hour, is a rolling mean. With less there is no number at all.

What is out of range, stuck, a spike or from a clock that can't be believed counts for nothing, nor
does a broker's retained message. Late readings count in their own hour, for the indices to come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from hub.reading import Quality, Reading, Value
from rules.duration import HOUR
from rules.ispu import PARAMETERS, Form, station
from rules.recorded import Recorded
from rules.thing import Thing

MEASUREMENT = "air_index"
SOURCE = "environment"
HOURS = 24
ENOUGH_HOURS = 18
ENOUGH_OF_AN_HOUR = 0.75
UNFIT = int(Quality.RANGE | Quality.STUCK | Quality.SPIKE | Quality.CLOCK | Quality.RETAINED)

FIELDS = {
    "ispu": "",
    "category": "",
    "dominant": "",
    "hours": "h",
    "indicative": "",
    **{f"{parameter}_ispu": "" for parameter in PARAMETERS},
    **{f"{parameter}_mean": "µg/m³" for parameter in PARAMETERS},
    **{f"{parameter}_hours": "h" for parameter in PARAMETERS},
}
"""Of `air_index`, with units. `category`: 1 (good) to 5; `hours`: of 24 that have a mean, of the
best parameter; `indicative`: 1 unless the inventory calls the station a reference instrument."""

_Hours = dict[int, list[float]]
"""Hour since 1970 → sum and number of its readings."""


class AirIndex:
    """See the module's docstring."""

    name = MEASUREMENT

    def __init__(self, *, form: Form = "continuous", top: int = 500) -> None:
        self._form: Form = form
        self._top = top
        self._reference: frozenset[str] = frozenset()
        self._stations: dict[str, dict[str, _Hours]] = {}
        self._oldest = 0
        """Hours before this one are over for good."""
        self._hour = 0
        """The running hour; 0: no tick came yet."""
        self._recorded = Recorded(MEASUREMENT)

    def know(self, things: Iterable[Thing]) -> None:
        """The inventory, from now on: which stations are reference instruments."""
        self._reference = frozenset(thing.id for thing in things if thing.reference)

    def observe(self, readings: Iterable[Reading]) -> None:
        """Readings of one record, of whatever measurement."""
        stations, oldest = self._stations, self._oldest
        for series, time_ns, fields, quality in readings:
            if series.measurement != SOURCE or quality & UNFIT:
                continue
            hour = time_ns // HOUR
            if hour < oldest:
                continue
            parameters = stations.get(series.device)
            if parameters is None:
                parameters = stations[series.device] = {}
            for name in fields:
                if name in _NAMES:
                    self._add(parameters, name, hour, fields[name])

    @staticmethod
    def _add(parameters: dict[str, _Hours], name: str, hour: int, value: Value) -> None:
        if isinstance(value, str) or value < 0:
            return
        hours = parameters.get(name)
        if hours is None:
            hours = parameters[name] = {}
        sums = hours.get(hour)
        if sums is None:
            hours[hour] = [value, 1]
        else:
            sums[0] += value
            sums[1] += 1

    def tick(self, now_ns: int) -> list[Reading]:
        """Time passed: at the first tick of an hour the index of every station, as of its start."""
        hour = now_ns // HOUR
        began, self._hour = self._hour, hour
        if hour <= began or not began:
            return []
        self._oldest = hour - HOURS
        made = []
        for device in sorted(self._stations):
            parameters = self._stations[device]
            _forget(parameters, self._oldest)
            if parameters:
                fields = self._fields(device, parameters, hour)
                made.append(self._recorded.note(device, hour * HOUR, fields))
            else:
                self._recorded.forget(device)
        return made

    def latest(self) -> list[Reading]:
        """The last index of each station, for who shows it after a restart."""
        return self._recorded.readings()

    def _fields(self, device: str, parameters: Mapping[str, _Hours], hour: int) -> dict[str, Value]:
        fields: dict[str, Value] = {"indicative": int(device not in self._reference), "hours": 0}
        means: dict[str, float] = {}
        for name in PARAMETERS:
            if name in parameters:
                hourly = hourly_means(parameters[name], hour)
                fields[f"{name}_hours"] = len(hourly)
                fields["hours"] = max(int(fields["hours"]), len(hourly))
                if len(hourly) >= ENOUGH_HOURS:
                    means[name] = fields[f"{name}_mean"] = sum(hourly) / len(hourly)
        if means:
            found = station(means, form=self._form, top=self._top)
            fields |= {f"{part.parameter}_ispu": part.value for part in found.parts}
            fields["ispu"], fields["category"] = found.value, found.category.number
            fields["dominant"] = found.dominant
        return fields

    def snapshot(self) -> dict[str, Any]:
        """Plain data for msgpack."""
        stations = {
            device: {name: [[hour, *sums] for hour, sums in hours.items()]
                     for name, hours in parameters.items()}
            for device, parameters in self._stations.items()
            if parameters
        }  # fmt: skip
        last = self._recorded.snapshot()
        return {"hour": self._hour, "oldest": self._oldest, "stations": stations, "last": last}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot, perhaps with other settings."""
        stations = {
            device: {
                name: {hour: [total, count] for hour, total, count in hours}
                for name, hours in parameters.items()
            }
            for device, parameters in state["stations"].items()
        }
        self._hour, self._oldest = state["hour"], state["oldest"]
        self._stations = stations
        self._recorded.load(state["last"])


_NAMES = frozenset(PARAMETERS)


def hourly_means(hours: _Hours, stop: int) -> list[float]:
    """The means of the 24 hours before `stop` that have enough readings, oldest first."""
    inside = [hours[hour] for hour in range(stop - HOURS, stop) if hour in hours]
    if not inside:
        return []
    needed = ENOUGH_OF_AN_HOUR * median(count for _, count in inside)
    return [total / count for total, count in inside if count >= needed]


def _forget(parameters: dict[str, _Hours], oldest: int) -> None:
    for name, hours in list(parameters.items()):
        for hour in [hour for hour in hours if hour < oldest]:
            del hours[hour]
        if not hours:
            del parameters[name]
