"""A message to ourselves through the broker: finds one that is connected but delivers nothing.

    every `canary_s`: was anything delivered since the last one left?
        yes ─► send the next            no ─► deaf: hang up, and connect anew

Whatever the broker delivers is a proof; the canary only sees to it that there is something.
Silence is not judged
- while messages wait for our own journal: the broker may hold the rest back until we acknowledge;
- before a canary came back for the first time: the broker may forbid it. MQTT 5 brokers say so in
  their PUBACK, others say nothing or hang up. That is said once, and nobody is called deaf.
"""

from __future__ import annotations

from collectors.mqtt.config import Broker
from hub.api import Host, TryAgain

PAYLOAD = b"canary"
REFUSALS = 2
"""Connections that the broker ended after an unproven canary, before none is sent any more."""
_WILD = str.maketrans("/+#", "___")


class Canary:
    """Of one broker; lives as long as the collector, over all its connections."""

    def __init__(self, broker: Broker, host: Host) -> None:
        self._broker = broker
        self._host = host
        self.topic = f"{broker.canary_topic}/{broker.client_id.translate(_WILD)}"
        """Our own: what another hub sends is none of our business."""
        self.deaf = False
        """The last judgement, until something is heard again."""
        self._off = broker.canary_s == 0
        self._proven = False
        self._complained = False
        self._on_its_way = False
        self._heard = True
        self._refusals = 0

    @property
    def wanted(self) -> bool:
        """Subscribe to the topic, and ask `next` each `canary_s`."""
        return not self._off

    def next(self, waiting: int) -> bytes | None:
        """Judge the last one, and give what to publish now; `waiting` messages are not
        acknowledged by us. Raises `TryAgain` when the broker is deaf."""
        if self._off or waiting:
            return None
        if self._on_its_way and not self._heard:
            if self._proven:
                self.deaf = True
                self._host.count("deaf")
                raise TryAgain(
                    f"connected but deaf: nothing was delivered for {self._broker.canary_s:g} s, "
                    f"not even our own message on {self.topic}"
                )
            self._complain("it does not come back")
        self._on_its_way, self._heard = True, False
        return PAYLOAD

    def heard(self) -> None:
        """The broker delivered something."""
        self._heard, self.deaf = True, False

    def back(self, _payload: bytes) -> None:
        """It delivered the canary."""
        self._on_its_way, self._proven, self._refusals = False, True, 0
        self.heard()

    def refused(self, why: str) -> None:
        """The broker said that it does not take it, or does not let us hear it."""
        self._off = True
        self._complain(f"the broker refuses it: {why}")

    def ended(self) -> None:
        """The connection is over."""
        if self._on_its_way and not self._heard and not self._proven:
            # mosquitto 2 acknowledges what an MQTT 3.1.1 client may not publish, and hangs up.
            self._refusals += 1
            if self._refusals == REFUSALS:
                self._off = True
                self._complain("the broker hangs up when it is sent")
        self._on_its_way = False

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            self._host.log.warning(
                "no canary: a broker that is connected but delivers nothing will not be found",
                broker=self._broker.name,
                why=why,
                remedy=f"let {self._broker.username or self._broker.client_id!r} write and read "
                f"{self.topic}, or set canary_s: 0",
            )
