"""The past of new rules, on its way from the store into the journal.

    reload (ingest) ─ questions ─► answer (serve, which has the store) ─► PAST record behind the
    CONFIG record ─► engine: `judge` (rules/past.py) ─► Watch.refill

The fold must give the same alerts whenever it is done again, so it never asks a store: what was
read is a record like all that it judges by. One is bounded by `MOST_READINGS`. What arrived in the
moment between the answer and the record is missing in the new rules' windows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any, Protocol

from hub.reading import Quality, Reading, Series
from hub.records import pack_map, unpack_map, wire
from hub.store.base import LABEL_NAMES, Shape
from hub.store.query import Column, Query, SeriesRows
from rules.past import looks_back
from rules.replay import conditions, fields_needed
from rules.rule import Rule
from rules.thing import Thing
from rules.watch import LATE_AFTER
from rules.when import THING_KEYS

MOST_READINGS = 50_000
"""Of one reload: 2.5 MiB, for which nothing else is folded for 0.6 s where both cores are busy."""
CATCH_UP, LOOK_S = 60, 0.05
"""How often it is looked whether the store has caught up, and how long apart."""
QUALITY = "quality"
DELAYED = int(Quality.DELAYED)


class Source(Protocol):
    """The part of a store that is asked."""

    async def query(self, query: Query) -> list[SeriesRows]: ...

    async def shape(self, measurement: str) -> Shape: ...


class TooMuch(Exception):
    """More readings than a record may hold."""


@dataclass(frozen=True, slots=True)
class Question:
    """What must be read of one measurement."""

    measurement: str
    fields: tuple[str, ...]
    devices: tuple[str, ...]
    back_ns: int


def new_rules(before: Iterable[Rule], after: Iterable[Rule]) -> list[Rule]:
    """Those that look back and were not there, or meant something else."""
    known = {(rule.name, rule.meaning()) for rule in before}
    return [rule for rule in after if looks_back(rule) and (rule.name, rule.meaning()) not in known]


def questions(rules: Sequence[Rule], things: Sequence[Thing]) -> list[Question]:
    """One for each measurement that these rules look at."""
    found = []
    for measurement, fields in fields_needed(rules, {}).items():
        asking = [r for r in rules if any(w.measurement == measurement for w in conditions(r))]
        who = [rule.where.only(frozenset(THING_KEYS)) for rule in asking]
        devices = tuple(
            thing.id for thing in things if any(one.matches(thing.attributes()) for one in who)
        )
        back_ns = max(map(looks_back, asking))
        if devices:
            found.append(Question(measurement, tuple(sorted(fields)), devices, back_ns))
    return found


async def read(source: Source, asked: Question, now_ns: int) -> list[Reading]:
    """The readings up to now. Raises `TooMuch` and what the store raises."""
    shape = await source.shape(asked.measurement)
    fields = [name for name in asked.fields if name in shape.fields]
    if not fields:
        return []
    where, start_ns = {"device": asked.devices}, max(0, now_ns - asked.back_ns)
    counted = Query(
        asked.measurement, tuple(Column(one, "count") for one in fields), start_ns, now_ns, where
    )
    for answer in await source.query(counted):
        number = max(value or 0 for _, values in answer.rows for value in values)
        if int(number) > MOST_READINGS:
            raise TooMuch(
                f"{number:,} readings of {asked.measurement}, more than {MOST_READINGS:,}"
            )
    doubt = [QUALITY] if QUALITY in shape.fields else []
    columns = tuple(Column(one) for one in (*fields, *doubt))
    tags = tuple(tag for tag in shape.tags if tag not in LABEL_NAMES)
    found = []
    for answer in await source.query(
        Query(asked.measurement, columns, start_ns, now_ns, where, group_by=tags)
    ):
        series = Series.of(asked.measurement, **answer.tags)
        for time_ns, values in answer.rows:
            given = {
                name: value
                for name, value in zip(fields, values, strict=False)
                if value is not None
            }
            quality = int(values[-1] or 0) if doubt else 0
            if given:
                found.append(Reading(series, time_ns, given, quality))
    return found


class Answering:
    """The serve process' side."""

    def __init__(
        self,
        source: Source,
        now: Callable[[], int],
        durable: Callable[[], int],
        stored: Callable[[], int],
    ) -> None:
        """`durable` and `stored`: the newest record in the journal, and in the store."""
        self._source = source
        self._now = now
        self._durable, self._stored = durable, stored

    async def answer(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """`{"questions": […]}` → `{"readings": […]}` or why there are none."""
        found: list[Reading] = []
        await self._catch_up()
        try:
            for one in said["questions"]:
                asked = Question(
                    one["measurement"], tuple(one["fields"]), tuple(one["devices"]), one["back_ns"]
                )
                found += await read(self._source, asked, self._now())
                if len(found) > MOST_READINGS:
                    raise TooMuch(f"more than {MOST_READINGS:,} readings")
        except TooMuch as error:
            return {"too_much": str(error)}
        return {"readings": [wire(reading) for reading in found]}

    async def _catch_up(self) -> None:
        """Let the store take in what has arrived by now; not if it is far behind."""
        until = self._durable()
        for _ in range(CATCH_UP):
            if self._stored() >= until:
                return
            await asyncio.sleep(LOOK_S)


def ask(rules: Sequence[Rule], things: Sequence[Thing]) -> dict[str, Any]:
    """What `Answering` is told."""
    return {"questions": [asdict(one) for one in questions(rules, things)]}


def pack(rules: Sequence[Rule], wires: Sequence[Any]) -> bytes:
    """The record: names of the rules, readings."""
    return pack_map({"rules": [rule.name for rule in rules], "readings": wires})


def unpack(payload: bytes, things: Iterable[Thing]) -> tuple[frozenset[str], list[Reading]]:
    """Names of the rules, and the readings in order of time; those that were history when they
    came are left out, as live.

    Raises msgspec.DecodeError, BadSeries or ValueError for what is no such record.
    """
    said = unpack_map(payload)
    patient = {thing.id for thing in things if thing.late_after_ns > LATE_AFTER}
    found = []
    for key, time_ns, fields, quality in said["readings"]:
        series = Series.parse(key)
        if not quality & DELAYED or series.device in patient:
            found.append(Reading(series, time_ns, fields, quality))
    found.sort(key=itemgetter(1))  # of equal times as they stand in the record
    return frozenset(said["rules"]), found
