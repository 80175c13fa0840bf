"""Doubts about a value at ingest: too quick, stuck, a spike, unlike its neighbours, uncalibrated.

Only fields whose manifest declares a limit are looked at. A doubted value is stored as it came; the
flag stands beside it, and rules that ask for `quality: good` pass over it. Incremental: a field of
a series costs its last value and five before; time is a parameter.

- rate: it changed by more than `rate` a minute. Readings closer than a minute count as one minute.
- stuck: the very same number for `stuck_s`, in five readings at least.
- spike: further than `spike` from the median of the last five. The third in a row is a new level.
- neighbour: further than `neighbour` from more than half of the other devices of its site that
  spoke within half an hour, two of them at least.
- calibration: the inventory says when it was calibrated last, and that is too long ago.

What was lived through before a start of the hub is forgotten: a stuck probe is found anew after
its time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

from hub.clock import NS, from_datetime
from hub.inventory import Device, Inventory
from hub.manifest import FieldSpec, Manifest
from hub.reading import Quality, Series, Value

MINUTE_NS = 60 * NS
SAMPLE_NS = 10 * NS
"""Of a field that speaks more often, one value in ten seconds is remembered; the others are only
held against what that one leaves believable, which is a comparison."""
RECENT = 5
NEW_LEVEL = 3
NEIGHBOURS = 2
LATELY_NS = 1_800 * NS
HUGE = 1e300
UNJUDGED = int(Quality.RETAINED | Quality.LATE | Quality.RANGE | Quality.CLOCK)
"""What came late says nothing of now, and what is no value at all nothing of the others."""
RATE, STUCK, SPIKE = int(Quality.RATE), int(Quality.STUCK), int(Quality.SPIKE)
NEIGHBOUR, CALIBRATION = int(Quality.NEIGHBOUR), int(Quality.CALIBRATION)


class Neighbours:
    """The last values of one field at one site, by size: with thousands of devices at a site a
    comparison costs hardly more than with ten."""

    __slots__ = ("_last", "_values")

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}
        """Device → (time, value), who spoke last at the end."""
        self._values: list[float] = []

    def compare(self, device: str, time_ns: int, value: float, most: float) -> int:
        """NEIGHBOUR if the value is further than `most` from what the others say."""
        self._drop(device)
        self._drop_before(time_ns - LATELY_NS)
        values = self._values
        others = len(values)
        unlike = others - (bisect_right(values, value + most) - bisect_left(values, value - most))
        self._last[device] = time_ns, value
        insort(values, value)
        return NEIGHBOUR if others >= NEIGHBOURS and 2 * unlike > others else 0

    def _drop(self, device: str) -> None:
        known = self._last.pop(device, None)
        if known is not None:
            del self._values[bisect_left(self._values, known[1])]

    def _drop_before(self, time_ns: int) -> None:
        """Forget who has not spoken since then."""
        while self._last:
            device, (at, _) = next(iter(self._last.items()))
            if at >= time_ns:
                return
            self._drop(device)


class Place:
    """A device among those of its site that measure the same."""

    __slots__ = ("_all", "_device")

    def __init__(self, device: str, neighbours: Neighbours) -> None:
        """`neighbours` is shared by all devices of the site."""
        self._device = device
        self._all = neighbours

    def compare(self, time_ns: int, value: float, most: float) -> int:
        """NEIGHBOUR if the value is further than `most` from what the others say."""
        return self._all.compare(self._device, time_ns, value, most)


class Field:
    """One field of one series."""

    __slots__ = (
        *("_count", "_odd", "_place", "_recent", "_since_ns", "_spec", "_stuck_ns", "_told"),
        *("high", "last", "last_ns", "low", "next_ns"),
    )

    def __init__(self, spec: FieldSpec, place: Place | None = None) -> None:
        """`place`: where its device's neighbours are, and its name among them."""
        self._spec = spec
        self._place = place
        self._stuck_ns = HUGE if spec.stuck_s is None else spec.stuck_s * NS
        self._recent: list[float] = []
        self._odd = 0
        """Spikes in a row."""
        self._told = 0
        """What holds until the next sample: stuck, unlike its neighbours."""
        self._since_ns = self._count = 0
        """Since when and how often the last sample's value came."""
        self.last = HUGE
        self.last_ns = 0
        self.next_ns = 0
        self.low, self.high = -HUGE, HUGE
        """Before `next_ns` a value in between is believed, and changes nothing."""

    def feed(self, time_ns: int, value: float) -> int:
        """`Quality` bits of a value; a time before the last sample's is not judged."""
        gap_ns = time_ns - self.last_ns
        if gap_ns <= 0:
            return 0
        flags = 0
        rate = self._spec.rate
        if rate is not None and self.last != HUGE:
            step = abs(value - self.last)
            if step > rate and step * MINUTE_NS > rate * gap_ns:
                flags = RATE
        if self._is_spike(value):
            self._odd += 1
            if self._odd < NEW_LEVEL:
                return flags | SPIKE
            self._recent.clear()
        self._odd = 0
        if time_ns >= self.next_ns:
            self._remember(time_ns, value)
        return flags | self._told

    def _is_spike(self, value: float) -> bool:
        spike = self._spec.spike
        if spike is None or len(self._recent) < RECENT:
            return False
        return abs(value - sorted(self._recent)[RECENT // 2]) > spike

    def _remember(self, time_ns: int, value: float) -> None:
        """Take a value as the sample of the next ten seconds."""
        if value != self.last:
            self._since_ns, self._count = time_ns, 0
        self._count += 1
        self.last, self.last_ns, self.next_ns = value, time_ns, time_ns + SAMPLE_NS
        self._recent.append(value)
        del self._recent[:-RECENT]
        told = 0
        if self._count >= RECENT and time_ns - self._since_ns >= self._stuck_ns:
            told = STUCK
        if self._place is not None and self._spec.neighbour is not None:
            told |= self._place.compare(time_ns, value, self._spec.neighbour)
        self._told = told
        self.low, self.high = (HUGE, -HUGE) if told else self._believable(value)

    def _believable(self, value: float) -> tuple[float, float]:
        rate, spike = self._spec.rate, self._spec.spike
        low, high = -HUGE, HUGE
        if rate is not None:
            low, high = value - rate, value + rate
        if spike is not None and len(self._recent) == RECENT:
            middle = sorted(self._recent)[RECENT // 2]
            low, high = max(low, middle - spike), min(high, middle + spike)
        return low, high


class Doubts:
    """All fields of one collector that its manifest wants looked at."""

    def __init__(self, manifest: Manifest, inventory: Inventory) -> None:
        looked_at = {
            name: {field: spec for field, spec in measurement.fields.items() if spec.is_doubted}
            for name, measurement in manifest.measurements.items()
        }
        self.specs = {name: specs for name, specs in looked_at.items() if specs}
        """By measurement; of any other nothing is doubted, and nobody need ask."""
        self._looked: dict[str, tuple[float, dict[str, Field]]] = {}
        """By series key: when its calibration runs out, and its fields."""
        self._sites: dict[tuple[str, str, str], Neighbours] = {}
        self.know(inventory)

    def know(self, inventory: Inventory) -> None:
        """The inventory, from now on: who is whose neighbour, and what is calibrated."""
        self._devices = inventory.devices
        self._looked.clear()
        self._sites.clear()

    def of(self, key: str, time_ns: int, fields: Mapping[str, Value], quality: int) -> int:
        """The quality of a reading, with what its fields and its device's calibration add."""
        looked = self._looked.get(key)
        if looked is None:
            looked = self._meet(key)
        due_ns, parts = looked
        if not parts or quality & UNJUDGED:
            return quality
        for name, value in fields.items():
            one = parts.get(name)
            # Nearly always it says nothing new.
            if one is None or (time_ns < one.next_ns and one.low <= value <= one.high):  # type: ignore[operator]
                continue
            quality |= one.feed(time_ns, value)  # type: ignore[arg-type]  # none is text
        return quality | CALIBRATION if time_ns >= due_ns else quality

    def _meet(self, key: str) -> tuple[float, dict[str, Field]]:
        series = Series.parse(key)
        device = self._devices.get(series.device)
        parts = {}
        for name, spec in self.specs.get(series.measurement, {}).items():
            place = None
            if spec.neighbour is not None and device is not None:
                group = (device.site, series.measurement, name)
                place = Place(device.id, self._sites.setdefault(group, Neighbours()))
            parts[name] = Field(spec, place)
        self._looked[key] = (_due_ns(device), parts)
        return self._looked[key]


def _due_ns(device: Device | None) -> float:
    """When its calibration runs out, UTC ns; without a date never."""
    if device is None or device.calibrated is None:
        return HUGE
    last_day = device.calibrated + timedelta(days=device.calibrate_days)
    return from_datetime(datetime.combine(last_day, time(), UTC))
