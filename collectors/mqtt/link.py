"""A broker as people see it: one line when it goes down, one when it is back.

Two clients of one client_id end each other for ever, as the protocol has it (MQTT 5, 3.1.4-3): who
comes ends who is there. Each finds the broker well, connects, works, and is hung up on at once, by
most brokers without a word. Such connections prove nothing: the pauses between them grow.
"""

from __future__ import annotations

import asyncio

from collectors.mqtt.backoff import Backoff
from hub.api import Host, TryAgain

STABLE_S = 30.0
"""A connection that lived that long was good, even if no message came."""
MOMENT_S = 5.0
"""One that was ended sooner than that is suspicious …"""
SEVERAL = 3
"""… when it happens so often in a row."""
TAKEN_OVER = "another client uses our client_id; give every hub its own"
ENDED_AT_ONCE = (
    "the broker hung up right after we had come (does another client use our client_id?)"
)


class HungUp(TryAgain):
    """The broker ended a connection that it had accepted."""

    def __init__(self, reason: str = "the broker hung up") -> None:
        super().__init__(reason)


class Link:
    """Says up and down once each, and how long to wait before the next try."""

    def __init__(self, broker: str, address: str, host: Host, backoff: Backoff) -> None:
        self._broker = broker
        self._address = address
        self._host = host
        self._backoff = backoff
        self._is_up: bool | None = None
        self._was_up = False
        self._up_since = 0.0
        self._reason = ""
        self._ended_at_once = 0
        """Connections that the broker ended after a moment, in a row."""

    @property
    def is_up(self) -> bool:
        return self._is_up is True

    def up(self) -> None:
        """Connected and subscribed."""
        self._up_since = asyncio.get_running_loop().time()
        if self._is_up is not True and not self._is_shaky:
            self._say_up()
        self._is_up = self._was_up = True

    def progress(self) -> None:
        """Messages were acknowledged: the whole line works."""
        if self._is_shaky:
            if self._lived_s < STABLE_S:
                return
            self._ended_at_once = 0
            self._say_up()
        self._backoff.reset()

    def note_new_session(self) -> None:
        """The broker kept nothing for us: our first visit, or it lost what it had."""
        if self._was_up:
            self._host.count("sessions_lost")
            self._host.log.warning(
                "broker has no session of ours: messages sent meanwhile are lost",
                broker=self._broker,
                remedy="let the broker persist sessions and raise its session expiry",
            )

    def down(self, error: TryAgain) -> float:
        """It broke; gives the seconds to wait before the next try."""
        self._host.count("reconnects")
        was_shaky = self._is_shaky
        if self._is_up:
            self._judge(error)
        reason = str(error)
        if self._is_shaky and isinstance(error, HungUp) and reason != TAKEN_OVER:
            reason = ENDED_AT_ONCE
        about = {"broker": self._broker, "address": self._address, "reason": reason}
        if self._is_up is not False and not (was_shaky and reason == self._reason):
            self._host.log.warning("broker is down", **about)
        elif reason != self._reason:
            self._host.log.info("broker is still down, for another reason", **about)
        self._is_up, self._reason = False, reason
        return self._backoff.next_s()

    def _judge(self, error: TryAgain) -> None:
        """What a connection that worked says of the line, now that it is over."""
        lived_s = self._lived_s
        if isinstance(error, HungUp) and lived_s < (STABLE_S if self._is_shaky else MOMENT_S):
            self._ended_at_once += 1
            return
        self._ended_at_once = 0
        if lived_s >= STABLE_S:
            self._backoff.reset()

    @property
    def _is_shaky(self) -> bool:
        return self._ended_at_once >= SEVERAL

    @property
    def _lived_s(self) -> float:
        return asyncio.get_running_loop().time() - self._up_since

    def _say_up(self) -> None:
        self._host.log.info("broker is up", broker=self._broker, address=self._address)
