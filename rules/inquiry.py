"""Before anybody is told that a device is silent, what it depends on is asked, now. Pure.

    it falls silent ─► what it depends on is asked ─► the hub polls it ─► verdict, a record
                                   │                                         │
                                   └─── no verdict within `PATIENCE` ────────┴─► told, or explained

An alert that fires and that nobody is told of is on hold, for one of four reasons:

               a cause turns up              the cause is over
    ASKED ───────────────────────► CAUSED ───────────────────────► AFTER
      │                               ▲                              │ │
      │ all answered, or `PATIENCE`   └── the cause is up again ─────┘ │
      ▼                                                                │
     told ◄────────────────────────────────────────────────────────────┘
      ▲                   dead when asked itself, and still after a while; or had its grace
      └── SILENCED, when the silence is over

Verdicts only shorten the waiting: whether something is a cause, readings decide. So a verdict that
never comes (the hub's own trouble) delays a message by a minute at most and suppresses none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from rules.duration import MINUTE

PATIENCE = MINUTE
"""So long a verdict is waited for: two polls that time out, one of which was under way already."""


class Hold(StrEnum):
    """Why nobody was told of an alert that fires."""

    SILENCED = "silenced"
    CAUSED = "caused"
    AFTER = "after"
    """Its cause is over, and it gets a while to show that it lives."""
    ASKED = "asked"
    """What it depends on was asked and has not answered yet."""


TOLD_SINCE = {
    Hold.SILENCED: "no longer silenced",
    Hold.CAUSED: "its cause is over",
    Hold.AFTER: "its cause is over",
    Hold.ASKED: "what it depends on was asked",
}
"""What the transition says when it is told at last."""


class Inquiry:
    """What is asked and not answered, and which alerts are on hold. Times are the hub's."""

    def __init__(self) -> None:
        self.open: dict[str, int] = {}
        """Device → until when its verdict is waited for."""
        self.holds: dict[str, Hold] = {}
        """By key of the alert."""

    def ask(self, devices: Iterable[str], now_ns: int) -> None:
        """Somebody should poll these now. One that is asked already is not asked again."""
        for device in devices:
            self.open.setdefault(device, now_ns + PATIENCE)

    def answered(self, device: str) -> None:
        self.open.pop(device, None)

    def expire(self, now_ns: int) -> bool:
        """Wait no longer for what was asked too long ago; was there any?"""
        late = [device for device, until_ns in self.open.items() if until_ns <= now_ns]
        for device in late:
            del self.open[device]
        return bool(late)

    def waits_for(self, devices: Iterable[str]) -> bool:
        return bool(self.open) and any(device in self.open for device in devices)

    def rewind(self, now_ns: int) -> None:
        """The clock was set back."""
        for device, until_ns in self.open.items():
            self.open[device] = min(until_ns, now_ns + PATIENCE)

    def plain(self) -> list[Any]:
        """As plain data that `Inquiry.read` takes back."""
        return [dict(self.open), {key: str(hold) for key, hold in self.holds.items()}]

    @classmethod
    def read(cls, data: tuple[Mapping[str, int], Mapping[str, str]]) -> Inquiry:
        inquiry = cls()
        open_, holds = data
        inquiry.open.update(open_)
        inquiry.holds.update((key, Hold(hold)) for key, hold in holds.items())
        return inquiry
