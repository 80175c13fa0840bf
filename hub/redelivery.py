"""Knows a message that its source sends again, so that it does not become a second record."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from hub.api import Redelivery
from hub.committer import Receipt, on_disk
from hub.journal import Kind, Reader, Record
from hub.records import redeliveries_in

CAPACITY = 65_536
"""How many messages are looked for in the journal: more than any broker keeps in flight."""


class Window:
    """The last message taken under each packet id of each session.

    A broker gives a packet id to another message only after it got our acknowledgement, and marks
    what it repeats as a duplicate; so same session, packet id and digest, with the duplicate flag
    set, is the same message. Packet ids are 16 bit wide, which bounds the memory.
    """

    def __init__(self) -> None:
        self._taken: dict[str, dict[int, tuple[int, Receipt | None]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._taken.values()))

    def load(self, folder: Path, last_id: int) -> int:
        """Fill it from the end of the journal; return how many messages were found."""
        span = 0
        while len(self) < CAPACITY and span < min(last_id, CAPACITY):
            # A record may hold one message or many: look back as far as needed, but no further.
            span = min(max(4 * span, CAPACITY // 64, 1), CAPACITY)
            self._taken.clear()
            self._load(folder, max(0, last_id - span))
        return len(self)

    def _load(self, folder: Path, after_id: int) -> None:
        reader = Reader(folder, after_id)
        try:
            while records := reader.read():
                for record in records:
                    if record.kind == Kind.READINGS:
                        self.note(_redeliveries(record), None)
        finally:
            reader.close()

    def note(self, messages: Iterable[Redelivery], receipt: Receipt | None) -> None:
        """Remember messages; `receipt` is None when they are known to be on disk."""
        session: str | None = None
        ids: dict[int, tuple[int, Receipt | None]] = {}
        for of_session, packet_id, digest in messages:
            if of_session != session:
                session = of_session
                ids = self._taken.setdefault(session, {})
            ids[packet_id] = digest, receipt

    def taken(self, message: Redelivery) -> Receipt | None:
        """The receipt of the same message if it is on disk or on its way there."""
        found = self._taken.get(message.session, {}).get(message.packet_id)
        if found is None or found[0] != message.digest:
            return None
        receipt = found[1]
        if receipt is None:
            return on_disk()
        return receipt if receipt.pending() or receipt.durable() else None


def _redeliveries(record: Record) -> list[Redelivery]:
    """What cannot be read, the readers of the journal complain of; here it must stop nobody."""
    try:
        return redeliveries_in(record.payload)
    except (msgspec.DecodeError, ValueError):
        return []
