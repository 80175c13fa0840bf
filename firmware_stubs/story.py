"""A day that is told: what becomes of air and water hour by hour, and which probe fails when.

    DAY ─ effects(device, time) ─► physics ─┐
        ─ faults at hours ─────────────────┴─► the same sensor nodes ─► whoever publishes

Hours count from the first midnight after the start. The nodes were without a network before: they
come back with a day of kept readings, which is what an index of 24 hours begins with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firmware_stubs.node import Sensor
from firmware_stubs.physics import DAY_S, NS, Effects
from firmware_stubs.script import Step

Curve = Sequence[tuple[float, float]]
"""(hour, strength), rising hours; straight lines in between, level outside."""


@dataclass(frozen=True)
class Story:
    """What happens, by hours."""

    curves: Mapping[str, Mapping[str, Curve]]
    """Device → effect of `firmware_stubs.physics` → its course."""
    faults: Sequence[tuple[float, str, str]]
    """(hour, fault of `firmware_stubs.faults`, device); none of them ends."""
    interval_s: int = 300
    """Between two reports of a node."""

    def effects(self, device: str, hour: float) -> Effects:
        return {name: _at(curve, hour) for name, curve in self.curves.get(device, {}).items()}

    def steps(self, hour: float, speed: float) -> list[Step]:
        """The faults as a script of seconds, from that hour on in a day that goes by so fast."""
        return [Step((at - hour) * 3600 / speed, "fault", *what) for at, *what in self.faults]

    def keep_yesterday(self, sensor: Sensor, now_ns: int) -> None:
        """Fill a node's buffer with the 24 hours before, which knew no trouble."""
        for second in range(-DAY_S, 0, self.interval_s):
            sensor.keep(now_ns + second * NS)


def _at(curve: Curve, hour: float) -> float:
    before = curve[0]
    for point in curve:
        if point[0] >= hour:
            width = point[0] - before[0]
            part = (hour - before[0]) / width if width > 0 else 1.0
            return before[1] + (point[1] - before[1]) * part
        before = point
    return before[1]


DAY = Story(
    curves={
        # From 6 o'clock on smoke, at last some 250 µg/m³: the 24-hour mean leaves "Baik" in the
        # morning and reaches "Sangat Tidak Sehat" late in the evening.
        "aq-balige": {"smoke": ((6, 0.0), (11, 1.9), (24, 1.9))},
        # What DLH Samosir measured over some days of July 2025, in one: 3.9 mg/L, then 1.8.
        "do-balige": {"fish_kill": ((2, 0.0), (6, 0.55), (10, 0.69), (12, 0.69), (18, 1.0))},
        "do-ajibata": {"fish_kill": ((2, 0.0), (6, 0.55), (10, 0.72))},
        "aq-porsea": {"smoke": ((5, 0.0), (6, 0.7))},
    },
    faults=(
        (8, "sensor_stuck", "aq-porsea"),
        (14, "sensor_silent", "do-ajibata"),
    ),
)

STORIES = {"day": DAY}
