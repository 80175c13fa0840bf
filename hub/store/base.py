"""The seam between the hub and a store: nine methods, two implementations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hub.reading import Reading, Series
from hub.store.query import Query, SeriesRows


class StoreDown(Exception):
    """The store can't be reached or is overloaded; keep the batch and try again.

    `retry_after_s` is what the server asked for, if it did.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreRefused(Exception):
    """The store will never take this: wrong credentials, no such database. A person must act."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Readings of the journal in order, `last_id` being the id of the last record in it.

    0: they come from elsewhere and are written each time, as rollups are.
    """

    readings: Sequence[Reading]
    last_id: int
    lane: str = "live"
    into: str = ""
    """Where an embedded store puts them instead of their own measurement: a tier of rollups. So
    they are of the same series as the readings, of which memory holds each once."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch: everything was stored but `rejected` (index in the batch: reason)."""

    rejected: Mapping[int, str] = field(default_factory=dict)


LABEL_NAMES = ("site", "opd", "kind")
"""The tags that `Labels` may give."""


class Labels(Protocol):
    """Tags that are looked up when data leaves: site, opd, kind. Renaming one resets nothing."""

    @property
    def generation(self) -> int:
        """A number that changes whenever an answer of `labels` may have changed."""
        ...

    def labels(self, series: Series) -> Mapping[str, str]:
        """Label to value; labels without a value are absent. An identity tag wins over a label."""
        ...


class NoLabels:
    """No inventory: nothing is added."""

    generation = 0

    def labels(self, series: Series) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a store knows of a measurement: its tags (labels too, where they are stored), and the
    types of its fields."""

    tags: tuple[str, ...] = ()
    fields: Mapping[str, type] = field(default_factory=dict)

    def numbers(self) -> list[str]:
        """The fields that are not text."""
        return sorted(name for name, kind in self.fields.items() if kind is not str)


class Store(Protocol):
    """Where readings are kept. On equal (series, time) the last write wins, field by field."""

    name: str

    async def open(self) -> None:
        """Connect and find out the version. Raises StoreDown, StoreRefused."""

    async def close(self) -> None: ...

    async def prepare(self, batch: Batch) -> Batch:
        """The same batch with all done that needs no server, so that it may be done while the
        batch before is being written. `write` takes either."""
        ...

    async def write(self, batch: Batch) -> Written:
        """Store a batch, all or (InfluxDB) point by point. Raises StoreDown, StoreRefused."""
        ...

    async def query(self, query: Query) -> list[SeriesRows]:
        """Answer a question. Raises StoreDown, StoreRefused."""
        ...

    async def last_id(self, lane: str) -> int:
        """The last journal id that is surely stored, 0 if the store keeps none (InfluxDB)."""
        ...

    async def shape(self, measurement: str) -> Shape:
        """What is known of a measurement, an empty shape where nothing is."""
        ...

    async def measurements(self) -> list[str]:
        """The names of everything that was ever written."""
        ...

    async def devices(self, measurement: str, since_ns: int) -> list[str]:
        """The devices that may have readings since then: none that has is left out."""
        ...

    async def trim(self, measurement: str, before_ns: int) -> int:
        """Delete some of the rows before a time; how many. 0: there are none left, or the server
        itself deletes them (InfluxDB)."""
        ...
