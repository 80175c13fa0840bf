"""What a broker throws away: acknowledged messages that a client will never get."""

from __future__ import annotations

from collections.abc import Mapping

from collectors.mqtt.config import Broker
from hub.api import Host


class Losses:
    """What the broker says it has thrown away since it started, from its `dropped_topic`."""

    def __init__(self, broker: Broker, host: Host) -> None:
        self._broker = broker.name
        self._host = host
        self.total: int | None = None
        """None: it does not tell."""
        self._fresh = 0

    def told(self, payload: bytes) -> None:
        """The broker's own count. What it dropped before we first heard is only logged."""
        try:
            total = int(payload)
        except ValueError:
            return
        if self.total is None:
            if total:
                self._host.log.warning(
                    "the broker has thrown messages away since it started",
                    broker=self._broker,
                    messages=total,
                    remedy="raise its limits of queued messages, see hub/deploy/mosquitto.conf",
                )
        else:
            # A smaller number counts from the broker's own restart.
            lost = total - self.total if total >= self.total else total
            if lost:
                self._host.count("broker_dropped", lost)
                self._host.log.error(
                    "the broker throws messages away", broker=self._broker, messages=lost
                )
            self._fresh += lost
        self.total = total

    def numbers(self) -> Mapping[str, int]:
        """For a reading of the hub's own health; what is new is told once."""
        if self.total is None:
            return {}
        fresh, self._fresh = self._fresh, 0
        return {"broker_dropped": self.total, "broker_lost": fresh}
