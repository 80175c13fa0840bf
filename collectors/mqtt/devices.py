"""Who is who over all brokers: the inventory, and the unknown devices heard so far."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.mqtt.topics import valid_name
from hub.api import BadItem, Series


class Devices:
    """Both kinds of name come from the network, so both are bounded."""

    def __init__(self, by_topic: Mapping[str, str], max_unknown: int) -> None:
        self.by_topic = by_topic
        """`{device}` level → id in the inventory."""
        self._max_unknown = max_unknown
        self._unknown: dict[str, bool] = {}
        self._sensors: dict[str, dict[str, Series]] = {}

    def who(self, heard: str) -> tuple[str, bool]:
        """The id of what calls itself so, and whether the inventory has it.

        Raises `BadItem` for an unknown one that can't be stored: a bad name, or one too many.
        """
        device = self.by_topic.get(heard)
        if device is not None:
            return device, True
        if valid_name(heard) and self._admit(heard):
            return heard, False
        raise BadItem(f"unknown_device: {heard[:80]!r}; is not in the inventory")

    def _admit(self, name: str) -> bool:
        if name not in self._unknown:
            if len(self._unknown) >= self._max_unknown:
                return False
            self._unknown[name] = False
        return True

    def propose(self, name: str) -> bool:
        """True the first time: somebody should look at this unknown device."""
        first = not self._unknown[name]
        self._unknown[name] = True
        return first

    def sensors(self, device: str) -> dict[str, Series]:
        """The sensors of a device heard so far; whoever adds keeps to `MAX_SENSORS`."""
        return self._sensors.setdefault(device, {})
