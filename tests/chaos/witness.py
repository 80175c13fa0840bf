"""Reads every record of the journal as it comes, counts identities and folds the rules.

A reader of its own with a cursor of its own, never killed and never restored: what the engine made
of snapshots and tails through a hundred deaths must be what one uninterrupted fold gives.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from pathlib import Path

from hub.journal import Kind, Reader
from hub.journal.files import Cursor
from hub.records import readings_in, unpack_map
from rules.act import Act
from rules.rule import Rule
from rules.thing import Thing
from rules.watch import Transition, Watch
from tests.chaos.child import WITNESS
from tests.chaos.publisher import TWIN

IDENTITY = "water_level_m"
"""The field in which a message's number stands."""


class Witness(threading.Thread):
    """What the journal holds, complete up to `last_id`."""

    def __init__(self, data: Path, rules: Sequence[Rule], things: Sequence[Thing]) -> None:
        super().__init__(name="witness", daemon=True)
        self.times = array("q")
        """When a message was received, by its number; 0: never."""
        self.twice: list[tuple[int, int]] = []
        """Number and time received of what came into the journal again."""
        self.numbers = 0
        """How many different ones there are."""
        self.twins = 0
        self.transitions: list[Transition] = []
        self.problems: list[str] = []
        self.last_id = 0
        self._watch = Watch(rules, things)
        self._reader = Reader(data / "journal")
        self._cursor = Cursor(data / "journal", WITNESS)
        self._stop_now = threading.Event()

    def run(self) -> None:
        try:
            while not self._stop_now.wait(0.02):
                self._collect()
            self._collect()
        except Exception as error:
            self.problems.append(f"BUG of the harness: the witness ended: {error!r}")
        finally:
            self._reader.close()

    def finish(self) -> None:
        """Read to the end, which no longer moves."""
        self._stop_now.set()
        self.join(120)

    def _collect(self) -> None:
        while records := self._reader.read():
            for lost in self._reader.lost:
                self.problems.append(f"journal: {lost}")
            self._reader.lost.clear()
            for record in records:
                if record.id != self.last_id + 1:
                    self.problems.append(f"journal: id {record.id} follows {self.last_id}")
                self.last_id = record.id
                if record.kind == Kind.READINGS:
                    self._readings(record.id, record.time_ns, record.payload)
                elif record.kind == Kind.TICK:
                    self.transitions += self._watch.tick(record.id, record.time_ns)
                elif record.kind == Kind.ACT:
                    act = Act(**unpack_map(record.payload))
                    self.transitions += self._watch.act(record.id, record.time_ns, act)
            self._cursor.set(self.last_id)

    def _readings(self, record_id: int, time_ns: int, payload: bytes) -> None:
        readings = readings_in(payload)
        self.transitions += self._watch.observe(record_id, readings, time_ns)
        for reading in readings:
            if reading.series.measurement != "environment":
                continue
            if reading.series.device == TWIN:
                self.twins += 1
            number = reading.fields.get(IDENTITY)
            if isinstance(number, float):
                self._count(int(number), time_ns)

    def _count(self, number: int, time_ns: int) -> None:
        if number >= len(self.times):
            self.times.extend([0] * (number + 1 - len(self.times)))
        if self.times[number]:
            self.twice.append((number, time_ns))
        else:
            self.times[number] = time_ns
            self.numbers += 1
