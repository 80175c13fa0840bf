"""Messages that come before what explains them: kept for a moment, then read again.

    connected ─ queued values, retained values … ─► TooEarly ─► hold ─┐
              ─ retained configs, datatypes, datastreams ─► memory    │
    every half second, for five seconds: read again what is held ◄────┘

After a connection the broker first sends what it kept in the session, then what is retained, in
whatever order. Memories are empty after a start, so the first values can't be read yet; they are
neither refused nor acknowledged until those seconds are over. Nothing is held at other times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

EVERY_S = 0.5
TRIES = 10
MOST = 10_000
MOST_BYTES = 16 << 20

T = TypeVar("T")
Batch = asyncio.Future[Any]


class Early(Generic[T]):
    """`again` reads held messages once more, may `hold` them once more, and gives the receipt of
    what it handed over, if anything."""

    def __init__(self, again: Callable[[Sequence[T]], Batch | None]) -> None:
        self._again = again
        self._held: list[T] = []
        self._bytes = 0
        self._tries = 0
        self._receipts: list[Batch] = []
        self.done: Batch | None = None
        """What comes now may be acknowledged after this; None: nothing is held."""

    def connected(self) -> None:
        """A connection begins: hold for a while. Must be called in an event loop."""
        if not self._tries:
            asyncio.get_running_loop().call_later(EVERY_S, self._try)
        self._tries = TRIES

    def hold(self, message: T, size: int) -> bool:
        """False: it is too late, or too much is held already."""
        if not self._tries or len(self._held) >= MOST or self._bytes + size > MOST_BYTES:
            return False
        self._held.append(message)
        self._bytes += size
        if self.done is None:
            self.done = asyncio.get_running_loop().create_future()
        return True

    def _try(self) -> None:
        self._tries -= 1
        held, self._held, self._bytes = self._held, [], 0
        if held and (receipt := self._again(held)) is not None:
            self._receipts.append(receipt)
        if not self._held and self.done is not None:
            _pass_on(self._receipts, self.done)
            self._receipts, self.done = [], None
        if self._tries:
            asyncio.get_running_loop().call_later(EVERY_S, self._try)


def _pass_on(receipts: list[Batch], done: Batch) -> None:
    """Let `done` be done, or fail, as all the receipts are; none of them is ever cancelled."""

    def look(_: object = None) -> None:
        if done.done() or not all(receipt.done() for receipt in receipts):
            return
        for receipt in receipts:
            error = None if receipt.cancelled() else receipt.exception()
            if receipt.cancelled() or error is not None:
                done.set_exception(error or RuntimeError("the receipt was cancelled"))
                done.exception()  # looked at, also when nobody waits for it any more
                return
        done.set_result(None)

    for receipt in receipts:
        receipt.add_done_callback(look)
    look()
