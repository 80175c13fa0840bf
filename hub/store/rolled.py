"""A store with rollups beside it: asks them where they answer as the readings would.

Where the tiers rest: in DuckDB as tables `environment_5m` and `environment_1h` of the same file. In
InfluxDB as databases (buckets) `toba-5m` and `toba-1h` of their own, and not as retention policies
of one database, because only that is the same in 1.x, 2.x and 3: 2.x has one retention a bucket
and maps `db.rp` only where somebody set up a mapping, 3 has no retention policies at all. A hyphen,
since 3's names may have no underscore.

An InfluxDB row of a tier has all tags of the points it is made of, labels included, so a device
that moved to another site keeps two lines there, too, and nothing is counted twice.

`last` of several series in one group needs the time of each value, which rollups don't keep: that,
`first` and `percentile` are asked of the readings. Text has no rollups.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from hub import logs
from hub.clock import monotonic
from hub.rollup import (
    FIVE,
    TIERS,
    Span,
    Tier,
    cut,
    fitting,
    piece_query,
    put_together,
    rolled_fields,
)
from hub.store.base import (
    LABEL_NAMES,
    Batch,
    Labels,
    Shape,
    Store,
    StoreRefused,
    Written,
)
from hub.store.query import Query, SeriesRows
from hub.store.rows import arrange

log = logs.get("store")

SHAPE_S = 60.0
"""How long a measurement's shape is believed; a field that is not in it is looked for at once."""


class Progress(Protocol):
    """What is known of the rollups' state; see `hub/dirty.py`."""

    began: bool

    def unfinished(self, tier: Tier, measurement: str, span: Span) -> list[Span]: ...


class RolledStore:
    """`store` with its rollups. `others`: the stores of the tiers that are not in `store` itself.

    Writes go to `store` alone; `write_rows` writes rollups.
    """

    def __init__(
        self,
        store: Store,
        others: Mapping[Tier, Store],
        progress: Progress,
        *,
        raw_kept_ns: int | None,
        now: Callable[[], int],
    ) -> None:
        self.readings = store
        self.name = store.name
        self._others = others
        self._progress = progress
        self._raw_kept_ns = raw_kept_ns
        self._now = now
        self._shapes: dict[tuple[Tier | None, str], tuple[float, Shape]] = {}
        self._complained = ""

    @property
    def labels(self) -> Labels:
        """Looked up when data leaves; may be replaced."""
        found: Labels = self.readings.labels  # type: ignore[attr-defined]  # both stores have it
        return found

    @labels.setter
    def labels(self, labels: Labels) -> None:
        self.readings.labels = labels  # type: ignore[attr-defined]

    async def open(self) -> None:
        """Open the readings; tiers are opened when they are first used."""
        await self.readings.open()

    async def close(self) -> None:
        for store in self._others.values():
            await store.close()
        await self.readings.close()

    async def prepare(self, batch: Batch) -> Batch:
        return await self.readings.prepare(batch)

    async def write(self, batch: Batch) -> Written:
        return await self.readings.write(batch)

    async def last_id(self, lane: str) -> int:
        return await self.readings.last_id(lane)

    async def shape(self, measurement: str) -> Shape:
        return await self.readings.shape(measurement)

    async def measurements(self) -> list[str]:
        """Of readings; not the tables that hold rollups."""
        found = await self.readings.measurements()
        ours = {self.place(tier, name)[1] for tier in TIERS for name in found}
        return [name for name in found if self._others or name not in ours]

    async def devices(self, measurement: str, since_ns: int) -> list[str]:
        return await self.readings.devices(measurement, since_ns)

    async def trim(self, measurement: str, before_ns: int) -> int:
        return await self.readings.trim(measurement, before_ns)

    def place(self, tier: Tier | None, measurement: str) -> tuple[Store, str]:
        """The store that holds a tier of a measurement, and what it is called there."""
        if tier is None:
            return self.readings, measurement
        other = self._others.get(tier)
        return (
            (self.readings, f"{measurement}_{tier.suffix}")
            if other is None
            else (other, measurement)
        )

    async def tier_shape(self, tier: Tier | None, measurement: str, field: str = "") -> Shape:
        """The shape, as it was lately; asked for again when it lacks `field`."""
        known = self._shapes.get((tier, measurement))
        fresh = known is not None and monotonic() - known[0] < SHAPE_S
        if known is not None and fresh and (not field or field in known[1].fields):
            return known[1]
        store, name = self.place(tier, measurement)
        found = await store.shape(name)
        self._shapes[tier, measurement] = monotonic(), found
        return found

    async def query(self, query: Query) -> list[SeriesRows]:
        """Answer from the coarsest tier that has the answer, the rest from finer ones.

        Raises BadQuery, StoreDown, StoreRefused.
        """
        query.check()
        if query.stop_ns <= query.start_ns:
            return []
        kept_from_ns = self._now() - self._raw_kept_ns if self._raw_kept_ns is not None else 0
        tiers = fitting(query, kept_from_ns=kept_from_ns) if self._progress.began else ()
        if tiers:
            try:
                answer = await self._rolled(query, tiers)
            except StoreRefused as error:  # a tier's database is not there; the readings are
                if self._complained != str(error):
                    log.error("rollups can't be read, asking the readings", why=str(error))
                self._complained = str(error)
            else:
                if answer is not None:
                    return answer
        return await self.readings.query(query)

    async def _rolled(self, query: Query, tiers: tuple[Tier, ...]) -> list[SeriesRows] | None:
        """The answer of rollups and readings together; None where only the readings can tell."""
        kinds = await self._kinds(query)
        if kinds is None:
            return None
        span = query.start_ns, query.stop_ns
        pieces = cut(
            span, tiers, lambda tier, s: self._progress.unfinished(tier, query.measurement, s)
        )
        if all(piece.tier is None for piece in pieces):
            return None
        answers = []
        for piece in pieces:
            store, name = self.place(piece.tier, query.measurement)
            answers.append(await store.query(piece_query(query, piece, name)))
        return arrange(query, put_together(query, answers, kinds))

    async def _kinds(self, query: Query) -> dict[str, type] | None:
        """The types of the asked fields; None if one is text, or if `last` meets several series."""
        kinds: dict[str, type] = {}
        for name in {column.field for column in query.columns}:
            shape = await self.tier_shape(None, query.measurement, name)
            kind = shape.fields.get(name)
            if kind is None:  # its readings may all be past their retention
                for tier in TIERS:
                    rolled = rolled_fields(await self.tier_shape(tier, query.measurement))
                    kind = kind or rolled.get(name)
            if kind is str:
                return None
            if kind is not None:
                kinds[name] = kind
        if any(column.aggregate == "last" for column in query.columns):
            shape = await self.tier_shape(None, query.measurement)
            below = await self.tier_shape(FIVE, query.measurement)
            identity = {*shape.tags, *below.tags}.difference(LABEL_NAMES)
            single = {tag for tag, wanted in query.where.items() if isinstance(wanted, str)}
            if not identity <= {*query.group_by, *single}:
                return None
        return kinds
