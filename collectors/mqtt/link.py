"""A broker as people see it: one line when it goes down, one when it is back."""

from __future__ import annotations

import asyncio

from collectors.mqtt.backoff import Backoff
from hub.api import Host

STABLE_S = 30.0
"""A connection that lived that long was good, even if no message came."""


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

    @property
    def is_up(self) -> bool:
        return self._is_up is True

    def up(self) -> None:
        """Connected and subscribed."""
        self._up_since = asyncio.get_running_loop().time()
        if self._is_up is not True:
            self._host.log.info("broker is up", broker=self._broker, address=self._address)
        self._is_up = self._was_up = True

    def progress(self) -> None:
        """Messages were acknowledged: the whole line works."""
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

    def down(self, reason: str) -> float:
        """It broke; gives the seconds to wait before the next try."""
        self._host.count("reconnects")
        lived = asyncio.get_running_loop().time() - self._up_since
        if self._is_up and lived >= STABLE_S:
            self._backoff.reset()
        about = {"broker": self._broker, "address": self._address, "reason": reason}
        if self._is_up is not False:
            self._host.log.warning("broker is down", **about)
        elif reason != self._reason:
            self._host.log.info("broker is still down, for another reason", **about)
        self._is_up, self._reason = False, reason
        return self._backoff.next_s()
