"""A sensor node on a PC: the board's own core, measuring simulated air and water."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from firmware_stubs.micropython import node_core
from firmware_stubs.physics import NS, Effects, Physics, profile_of


@dataclass
class Message:
    """What is to be published for a device now."""

    device: str
    topic: str
    payload: str
    retain: bool = False
    kept: bool = False
    """Said again after an outage: `Sensor.delivered` must be told when it was acknowledged."""


@dataclass
class Sensor:
    """One simulated node. It decides what to say; who uses it publishes."""

    device: str
    opd: str
    site: str
    physics: Physics
    started_ns: int
    stuck: bool = False
    silent: bool = False
    online: bool = True
    """False while the way to the broker is broken: messages are kept."""
    core: node_core.Node = field(init=False)
    _last: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.profile = profile_of(self.device)
        self._boot(self.started_ns, "power", 0)

    def _boot(self, time_ns: int, reset: str, first_seq: int) -> None:
        self.started_ns = time_ns
        self.core = node_core.Node(self.device, first_seq=first_seq, reset=reset, capacity=500)

    def topic(self, what: str) -> str:
        return node_core.topic(self.opd, self.site, self.device, what)

    def restart(self, time_ns: int) -> None:
        """Its watchdog bit: it forgets what it kept, its message numbers jump to the next block."""
        block = node_core.SEQ_BLOCK
        self._boot(time_ns, "wdt", (self.core.seq // block + 1) * block)

    def hello(self) -> Message:
        return Message(self.device, self.topic("status"), node_core.status("online"), retain=True)

    def turn(self, time_ns: int, effects: Effects) -> list[Message]:
        """Measure once; what is to be published, live first. Nothing while it is silent."""
        if self.silent:
            return []
        measures = self.physics.sample(self.profile, self.device, time_ns, effects)
        if self.stuck and self._last:
            measures = self._last
        self._last = measures
        payload = self._payload(measures, time_ns)
        if not self.online:
            self.core.keep(payload)
            return []
        messages = [Message(self.device, self.topic("telemetry"), payload)]
        if kept := self.core.oldest():
            messages.append(Message(self.device, self.topic("telemetry"), kept, kept=True))
        return messages

    def keep(self, time_ns: int) -> None:
        """Measure what nobody could be told at that time."""
        measures = self.physics.sample(self.profile, self.device, time_ns, {})
        self.core.keep(self._payload(measures, time_ns))

    def delivered(self) -> Message | None:
        """The oldest kept message has arrived; the next one, if there is another."""
        self.core.forget()
        kept = self.core.oldest()
        if not kept:
            return None
        return Message(self.device, self.topic("telemetry"), kept, kept=True)

    def failed(self, message: Message) -> None:
        """The broker did not acknowledge."""
        if not message.kept and not message.retain:
            self.core.keep(message.payload)

    def _payload(self, measures: dict[str, float], time_ns: int) -> str:
        wobble = self.physics.wobble
        return self.core.report(
            measures,
            ts=time_ns // 1_000_000,
            tsync=True,
            up=(time_ns - self.started_ns) // NS,
            rssi=round(
                -66
                + self.physics.bias(self.device, "rssi", 8)
                + wobble(self.device, "rssi", time_ns, 3)
            ),
            vbat=round(3.92 + wobble(self.device, "vbat", time_ns, 0.03), 2),
            heap=81_920,
        )


def decode(payload: str | bytes) -> dict[str, Any]:
    """A payload as the object it is."""
    said: dict[str, Any] = json.loads(payload)
    return said
