"""The readings of the journal's last records, decoded once for the two who read them.

The rule engine and the forwarder follow the journal a fraction of a second apart. Whoever comes
first decodes a record and leaves the readings for the other one; who lags further behind than this
remembers, or meets what the other never reads, decodes for itself.
"""

from __future__ import annotations

from hub.journal import Record
from hub.reading import Reading
from hub.records import readings_in

MOST = 80_000
"""Readings that are remembered: some 40 MB at the most."""


class Decoded:
    """Shared by two readers of one journal, in one thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[int, list[Reading]] = {}
        self._count = 0

    def readings(self, record: Record) -> list[Reading]:
        """What `hub.records.readings_in` says of the payload, raising what it raises.

        Nobody may change the list: the other one gets the same.
        """
        kept = self._kept.pop(record.id, None)
        if kept is not None:
            self._count -= len(kept)
            return kept
        found = readings_in(record.payload)
        self._kept[record.id] = found
        self._count += len(found)
        while self._count > self._most:
            oldest = next(iter(self._kept))
            self._count -= len(self._kept.pop(oldest))
        return found
