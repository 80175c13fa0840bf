"""What a recording rule recorded last of each device: for its snapshot, and for who shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hub.reading import Reading, Series, Value


class Recorded:
    """The last reading of a measurement, device by device."""

    def __init__(self, measurement: str) -> None:
        self._measurement = measurement
        self._last: dict[str, tuple[int, dict[str, Value]]] = {}

    def note(self, device: str, time_ns: int, fields: dict[str, Value]) -> Reading:
        """These are the last; as a reading."""
        self._last[device] = time_ns, fields
        return self._reading(device, time_ns, fields)

    def forget(self, device: str) -> None:
        """Nothing is known of it any more."""
        self._last.pop(device, None)

    def readings(self) -> list[Reading]:
        return [self._reading(device, at, fields) for device, (at, fields) in self._last.items()]

    def _reading(self, device: str, time_ns: int, fields: Mapping[str, Value]) -> Reading:
        return Reading(Series.of(self._measurement, device), time_ns, fields)

    def snapshot(self) -> dict[str, Any]:
        """Plain data for msgpack."""
        return {device: [at, fields] for device, (at, fields) in self._last.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self._last = {device: (at, fields) for device, (at, fields) in state.items()}
