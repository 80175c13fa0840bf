"""Knows a message that its source sends again, so that it does not become a second record."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import msgspec

from hub.api import Redelivery
from hub.committer import Receipt
from hub.journal import Kind, Reader, Record
from hub.records import redeliveries_in

CAPACITY = 65_536
"""More than any broker keeps in flight: packet ids are 16 bit wide."""


class Window:
    """The last messages taken from each session, by packet id.

    A broker gives a packet id to another message only after it got our acknowledgement, and marks
    what it repeats as a duplicate; so same session, packet id and digest, with the duplicate flag
    set, is the same message.
    """

    def __init__(self) -> None:
        self._taken: OrderedDict[tuple[str, int], tuple[bytes, Receipt | None]] = OrderedDict()

    def load(self, folder: Path, last_id: int) -> int:
        """Fill it from the end of the journal; return how many messages were found."""
        span = 0
        while len(self._taken) < CAPACITY and span < min(last_id, CAPACITY):
            # A record may hold one message or many: look back as far as needed, but no further.
            span = min(max(4 * span, CAPACITY // 64, 1), CAPACITY)
            self._taken.clear()
            self._load(folder, max(0, last_id - span))
        return len(self._taken)

    def _load(self, folder: Path, after_id: int) -> None:
        reader = Reader(folder, after_id)
        try:
            while records := reader.read():
                for record in records:
                    if record.kind == Kind.READINGS:
                        for message in _redeliveries(record):
                            self.note(message, None)
        finally:
            reader.close()

    def note(self, message: Redelivery, receipt: Receipt | None) -> None:
        """Remember a message; `receipt` is None when it is known to be on disk."""
        key = message.session, message.packet_id
        self._taken.pop(key, None)
        self._taken[key] = message.digest, receipt
        if len(self._taken) > CAPACITY:
            self._taken.popitem(last=False)

    def seen(self, message: Redelivery) -> bool:
        """True when it is surely on disk; acknowledge it and do no more."""
        digest, receipt = self._taken.get((message.session, message.packet_id), (b"", None))
        return digest == message.digest and (receipt is None or receipt.durable())

    def pending(self, message: Redelivery) -> Receipt | None:
        """The receipt of the same message if it is still on its way to the disk."""
        digest, receipt = self._taken.get((message.session, message.packet_id), (b"", None))
        if digest == message.digest and receipt is not None and receipt.pending():
            return receipt
        return None


def _redeliveries(record: Record) -> list[Redelivery]:
    """What cannot be read, the readers of the journal complain of; here it must stop nobody."""
    try:
        return redeliveries_in(record.payload)
    except msgspec.DecodeError:
        return []
