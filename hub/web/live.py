"""The last values and a short past of every series, folded from the readings, in bounded memory.

It is what the board shows when the store is away. Rules of the fold:

- a reading older than what is known changes nothing (late data belong to the store);
- a retained message gives a value, but never counts as a sign of life;
- past `max_series` new series are counted and left out, past `max_rings` they get no past.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from hub.clock import NS
from hub.reading import Quality, Reading, Series, Value

T = TypeVar("T")

NOT_ALIVE = int(Quality.RETAINED | Quality.LATE)
MOST_NAMES = 10_000
"""Combinations of fields that are kept once."""
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[Value, ...]).decode
_unpack_older = msgspec.msgpack.Decoder(list[tuple[int, tuple[Value, ...]]]).decode
_SAME_NS = NS // 2
"""News that come closer together tell nothing of how often a device speaks."""
UNSHOWN = frozenset({"alert"})
"""Measurements that the hub writes about others: no sign of life of the device they name."""
DERIVED = frozenset({"air_index", "noise_level", "rain_day"})
"""Likewise, but shown among what the device measures."""


class Ring:
    """The last `size` points of one field, times in milliseconds, at least `step_ms` apart.

    A point within the step replaces the last one, so a fast series keeps as long a past as a
    slow one and its newest value is still the newest.
    """

    __slots__ = ("_next", "_started", "_times", "_values", "size", "step_ms")

    def __init__(self, size: int, step_ms: int) -> None:
        self.size = size
        self.step_ms = step_ms
        self._times = array("q")
        self._values = array("d")
        self._next = 0
        self._started = 0

    def add(self, time_ms: int, value: float) -> None:
        """Append; times must not go back."""
        times = self._times
        if times and time_ms - self._started < self.step_ms:
            newest = self._next - 1
            times[newest], self._values[newest] = time_ms, value
            return
        self._started = time_ms
        if len(times) < self.size:
            times.append(time_ms)
            self._values.append(value)
            self._next = len(times) % self.size
        else:
            times[self._next], self._values[self._next] = time_ms, value
            self._next = (self._next + 1) % self.size

    def points(self, since_ms: int = 0) -> list[tuple[int, float]]:
        """Oldest first."""
        start = self._next if len(self._times) == self.size else 0
        order = [*range(start, len(self._times)), *range(start)]
        return [(self._times[i], self._values[i]) for i in order if self._times[i] >= since_ms]

    def tail(self, count: int) -> list[tuple[int, float]]:
        return self.points()[-count:]


Names = tuple[str, ...]
"""Of fields that came together: the same tuple for all series with these fields."""


class Part(NamedTuple):
    """What came together at one time."""

    time_ns: int
    names: Names
    values: tuple[Value, ...]


class SeriesLive:
    """The last value of each field of one series, and their rings.

    Values are kept as they came together, packed, which is a fifth of what they take as objects,
    and put together for who looks. A sensor may send faster than anybody looks, so rings take a
    reading in only when somebody does, or the next step begins.
    """

    __slots__ = (
        *("_names", "_older", "_older_names", "_rings", "_values", "_waiting", "_waits_from_ns"),
        *("alive", "device", "quality", "series", "time_ns"),
    )

    def __init__(self, device: DeviceLive, series: Series) -> None:
        self.device = device
        self.series = series
        self.alive = series.measurement not in DERIVED
        """Whether its readings are signs of life."""
        self.time_ns = 0
        self.quality = 0
        self._names: Names = ()
        self._values = b""
        """Of the newest part."""
        self._older_names: tuple[Names, ...] = ()
        self._older = b""
        """What came before and has fields that the newest part has not: times and values of these
        parts, older ones first."""
        self._rings: dict[str, Ring] | None = None
        self._waiting = False
        """The newest part is not in the rings yet."""
        self._waits_from_ns = 0

    @property
    def fields(self) -> Mapping[str, Value]:
        """The last value of each field."""
        found: dict[str, Value] = {}
        for part in self._parts():
            found.update(zip(part.names, part.values, strict=True))
        return found

    @property
    def times(self) -> Mapping[str, int]:
        """When each of them was measured, UTC ns."""
        return {name: part.time_ns for part in self._parts() for name in part.names}

    def _parts(self) -> list[Part]:
        """Older ones first."""
        older = _unpack_older(self._older) if self._older else ()
        found = [
            Part(time_ns, names, values)
            for names, (time_ns, values) in zip(self._older_names, older, strict=True)
        ]
        if self._values:
            found.append(Part(self.time_ns, self._names, _unpack(self._values)))
        return found

    @property
    def rings(self) -> Mapping[str, Ring]:
        self._take_in()
        return self._rings or {}

    def put(self, time_ns: int, fields: Mapping[str, Value], quality: int) -> None:
        """A reading that is not older than the last one."""
        live = self.device.live
        names = live.names(fields)
        if names is not self._names or time_ns - self._waits_from_ns >= live.step_ns:
            self._take_in()
            self._waits_from_ns = time_ns
            if names is not self._names:
                self._keep(_lasting(self._parts(), names))
                self._names = names
        self._values = _pack([*fields.values()])
        self._waiting = True
        self.time_ns = time_ns
        self.quality = quality

    def _keep(self, parts: Sequence[Part]) -> None:
        """These are older than what comes now."""
        self._older_names = self.device.live.names(part.names for part in parts)
        self._older = _pack([(part.time_ns, part.values) for part in parts]) if parts else b""

    def _take_in(self) -> None:
        """The newest part into the rings, as far as there is room for rings."""
        if not self._waiting:
            return
        self._waiting = False
        for name, value in zip(self._names, _unpack(self._values), strict=True):
            if isinstance(value, str):
                continue
            ring = self._rings.get(name) if self._rings else None
            if ring is None:
                ring = self.device.live.ring()
                if ring is None:
                    continue
                self._rings = {**(self._rings or {}), name: ring}
            ring.add(self.time_ns // 1_000_000, value)


def _lasting(parts: Sequence[Part], names: Names) -> list[Part]:
    """Those that still have a field that no newer one has: never more than there are fields."""
    newer, found = set(names), []
    for part in reversed(parts):
        if not newer.issuperset(part.names):
            found.append(part)
            newer.update(part.names)
    return found[::-1]


class DeviceLive:
    """Everything heard of one device."""

    __slots__ = ("gap_ns", "generation", "heard_ns", "live", "series", "time_ns", "told_ns")

    def __init__(self, live: LiveState) -> None:
        self.live = live
        self.series: list[SeriesLive] = []
        self.heard_ns = 0
        """When the hub last got a sign of life; 0 never."""
        self.told_ns = 0
        """When the hub last got any news, a probe's "no answer" included; 0 never."""
        self.gap_ns = 0
        """How far apart news usually are (slow average)."""
        self.generation = 0
        self.time_ns = 0
        """Of the newest reading that was taken in."""

    def of(self, measurement: str) -> Iterator[SeriesLive]:
        return (one for one in self.series if one.series.measurement == measurement)


class LiveState:
    """A fold over readings. `generation` grows with each change."""

    def __init__(
        self,
        *,
        points: int = 240,
        step_s: float = 2.0,
        max_series: int = 200_000,
        max_rings: int = 6_000,
    ) -> None:
        self.points = points
        self.step_ms = int(step_s * 1000)
        self.step_ns = int(step_s * NS)
        self.max_series = max_series
        self.max_rings = max_rings
        self.generation = 0
        self.devices: dict[str, DeviceLive] = {}
        self._series: dict[str, SeriesLive] = {}
        self._names: dict[Hashable, Any] = {}
        self.ring_count = 0
        self.left_out = 0
        """Readings of series beyond `max_series`."""
        self.newest_ns = 0
        """Hub time of the newest news of anything; 0 when nothing was heard yet."""

    @property
    def series_count(self) -> int:
        return len(self._series)

    def observe(self, readings: Iterable[Reading], now_ns: int) -> None:
        """Fold readings in. `now_ns` is when the hub got them (their record's time)."""
        known, told = self._series.get, self._told
        for series, time_ns, fields, quality in readings:
            one = known(series.key)
            if one is None:
                if series.measurement in UNSHOWN:
                    continue
                one = self._admit(series)
                if one is None:
                    self.left_out += 1
                    continue
            device = one.device
            fresh = now_ns > device.told_ns or now_ns > device.heard_ns
            if fresh and one.alive and not quality & NOT_ALIVE:
                told(device, now_ns, alive=fields.get("up", 1) != 0)
            if time_ns >= one.time_ns:
                self.generation += 1
                device.generation = self.generation
                if time_ns == device.time_ns:
                    time_ns = device.time_ns  # one number for all that was read together
                else:
                    device.time_ns = time_ns
                one.put(time_ns, fields, quality)

    def find(self, device: str, measurement: str, field: str) -> list[SeriesLive]:
        """The device's series of that measurement which have that field, in order of their key."""
        known = self.devices.get(device)
        if known is None:
            return []
        found = [one for one in known.of(measurement) if field in one.fields]
        return sorted(found, key=lambda one: one.series.key)

    def _told(self, device: DeviceLive, now_ns: int, *, alive: bool) -> None:
        gap = now_ns - device.told_ns
        if gap > 0:
            if gap > _SAME_NS and device.told_ns:
                device.gap_ns = gap if not device.gap_ns else (device.gap_ns * 7 + gap) // 8
            device.told_ns = now_ns
            if now_ns > self.newest_ns:
                self.newest_ns = now_ns
        if alive and now_ns > device.heard_ns:
            device.heard_ns = now_ns

    def _admit(self, series: Series) -> SeriesLive | None:
        if len(self._series) >= self.max_series:
            return None
        device = self.devices.get(series.device)
        if device is None:
            device = self.devices[series.device] = DeviceLive(self)
        one = self._series[series.key] = SeriesLive(device, series)
        device.series.append(one)
        return one

    def names(self, fields: Iterable[T]) -> tuple[T, ...]:
        """The names of fields that came together, or several times such, always as the same
        tuple."""
        given = tuple(fields)
        found = self._names.get(given)
        if found is None:
            if len(self._names) >= MOST_NAMES:  # somebody makes them up
                self._names.clear()
            found = self._names[given] = given
        return found

    def ring(self) -> Ring | None:
        """A new ring, as long as there may be more of them."""
        if self.ring_count >= self.max_rings:
            return None
        self.ring_count += 1
        return Ring(self.points, self.step_ms)
