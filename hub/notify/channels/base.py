"""The seam of a notification channel: one method that sends, two ways to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from pydantic import BaseModel, Field

from hub.api import Log
from hub.clock import now_ns
from hub.notify.message import Message
from hub.notify.words import Language


class TryAgain(Exception):
    """The channel can't send now: network down, server busy.

    `retry_after_s` is what the server asked for, if it did.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NeverWorks(Exception):
    """The channel will never take this message: wrong token, no such chat. A person must act."""


class Channel(Protocol):
    """A way to reach people. `send` may be called again with a key that it saw before."""

    name: str

    async def send(self, message: Message) -> None:
        """Hand the message over; returning means that the other side has it.

        Raises TryAgain or NeverWorks. May be cancelled by a time-out.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a channel is built with."""

    log: Log
    now_ns: Callable[[], int] = now_ns


@runtime_checkable
class Repeating(Protocol):
    """A channel that must be told again and again what is still on, or it thinks it over."""

    name: str
    repeat_s: float

    async def repeat(self, messages: Sequence[Message]) -> None:
        """All that is on. Raises TryAgain or NeverWorks."""
        ...


class Policy(BaseModel, extra="forbid", frozen=True):
    """What all channels can be told in the settings."""

    language: Language | None = None
    """Instead of the team's."""
    timeout_s: float = Field(default=20, gt=0, le=300)
    """For one attempt."""
    ttl_s: float = Field(default=86_400, gt=0)
    """How long a message is tried before it expires; it is tried at least once."""
    fallback: str = ""
    """The channel that gets what this one refused for ever or let expire."""
    tries: int = Field(default=0, ge=0)
    """After so many failures a message goes to the fallback; 0: when its time to live is over."""
    audience: Literal["people", "machine"] = "people"
    """A machine is told each change at once and by itself: no groups, no quiet hours, no
    reminders; and it hears of every end, that of a silenced alert too."""
    group_by: list[Literal["rule", "site", "kecamatan", "opd", "kind", "severity"]] = [
        "rule",
        "site",
    ]
    """What is alike in these goes out as one message; empty: each by itself."""
    wait_s: float = Field(default=10, ge=0, le=600)
    """How long a message waits for others like it."""
    critical_wait_s: float = Field(default=2, ge=0, le=10)
    emergency: bool = False
    """Told directly when the disk is full and nothing can be written down any more."""
    per_minute: int = Field(default=0, ge=0, le=600)
    """More messages than that are told in one summary; 0: no limit."""
