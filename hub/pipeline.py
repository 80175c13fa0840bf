"""Between a collector and the journal: hold readings against the manifest, count what is refused.

The pure half is `Checker`; `Pipeline` hands what passed to the journal and gives the receipt.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from hub.api import Event, Hint, Item, Message, Proposal, Reading, Receipt, Redelivery
from hub.clock import NS
from hub.committer import Committer, Hand
from hub.doubt import Doubts
from hub.health import Health
from hub.journal import Class, Kind
from hub.journal.record import MAX_PAYLOAD
from hub.journal.writer import Draft
from hub.manifest import FieldSpec, Manifest
from hub.reading import Quality, Series, Value
from hub.records import Sheaf, Wire, pack_event, pack_proposal
from hub.redelivery import Window
from rules.watch import LATE_AFTER

YEAR_2000 = 946_684_800 * NS
AHEAD_NS = 600 * NS
"""A reading may be this far in the future: clocks of a network differ by seconds."""
SERIES_PER_DEVICE = 1000
SERIES_PER_COLLECTOR = 500_000
TEXT = 4096
SMALL = 1024
"""A message of so many bytes at most shares its record with others."""
_INT64 = 2**63
_FLOAT = int(sys.float_info.max)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Refusal(NamedTuple):
    reason: str
    detail: str
    device: str


class Checker:
    """Holds one collector's readings against its manifest. Time is a parameter."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._promised = {
            name: {field: _range(spec) for field, spec in measurement.fields.items()}
            for name, measurement in manifest.measurements.items()
        }
        self._ranges: dict[str, Mapping[str, Range]] = {}
        """By the key of each series that may exist."""
        self._series_of: dict[str, int] = {}

    def is_good(
        self, key: str, time_ns: int, fields: Mapping[str, Value], quality: int, now_ns: int
    ) -> bool:
        """Nearly all readings: of a known series, in time, nothing to convert, refuse or doubt."""
        ranges = self._ranges.get(key)
        if ranges is None or type(time_ns) is not int or type(quality) is not int:
            return False
        for name, value in fields.items():
            kind, low, high = ranges.get(name, _NONE)
            if type(value) is not kind or not low <= value <= high:  # type: ignore[operator]
                return False
        return bool(fields) and now_ns - LATE_AFTER <= time_ns <= now_ns + AHEAD_NS

    def check(self, reading: Reading, now_ns: int) -> tuple[Reading | None, list[Refusal]]:
        """The reading as it may be stored, and what had to be left out of it."""
        series, time_ns, fields, quality = reading
        if series.key not in self._ranges:
            refusal = self._admit(series)
            if refusal is not None:
                return None, [refusal]
        specs = self._manifest.measurements[series.measurement].fields
        if type(time_ns) is not int or not YEAR_2000 <= time_ns <= now_ns + AHEAD_NS:
            return None, [Refusal("time", f"time_ns {time_ns!r}"[:200], series.device)]
        if time_ns < now_ns - LATE_AFTER:
            quality |= Quality.DELAYED  # so that a backtest leaves out what the rules left out
        kept: dict[str, Value] = {}
        refused: list[Refusal] = []
        for name, value in fields.items():
            spec = specs.get(name)
            if spec is None:
                refused.append(
                    Refusal("unknown_field", f"{series.measurement}.{name}", series.device)
                )
                continue
            good = _fit(value, spec)
            if good is None:
                detail = f"{series.measurement}.{name} = {value!r}, wanted {spec.type}"
                refused.append(Refusal("wrong_type", detail[:200], series.device))
                continue
            kept[name] = good
            if not isinstance(good, str) and _outside(good, spec):
                quality |= Quality.RANGE
        if not kept:
            return None, refused or [Refusal("empty", series.measurement, series.device)]
        return Reading(series, time_ns, kept, int(quality)), refused

    def _admit(self, series: Series) -> Refusal | None:
        """Decide once whether a series may exist; refusals are not remembered."""
        spec = self._manifest.measurements.get(series.measurement)
        if spec is None:
            return Refusal("unknown_measurement", series.measurement, series.device)
        unknown = [tag for tag, _ in series.tags if tag not in spec.tags]
        if unknown or not series.device:
            return Refusal("unknown_tag", f"{series.measurement} {unknown}", series.device)
        count = self._series_of.get(series.device, 0)
        if count >= SERIES_PER_DEVICE or len(self._ranges) >= SERIES_PER_COLLECTOR:
            return Refusal("too_many_series", series.key[:200], series.device)
        self._series_of[series.device] = count + 1
        self._ranges[series.key] = self._promised[series.measurement]
        return None


Range = tuple[type, float, float]
"""A numeric type, and the lowest and highest number of it that is good as it is."""


class _Nothing:
    """The type of no value at all."""


_NONE: Range = (_Nothing, 0, 0)


def _range(spec: FieldSpec) -> Range:
    if spec.type == "string":
        return _NONE  # texts are looked at one by one
    kind, most = (float, sys.float_info.max) if spec.type == "float" else (int, _INT64 - 1)
    low = -most if spec.min is None else max(-most, spec.min)
    return kind, low, most if spec.max is None else min(most, spec.max)


def _fit(value: Value, spec: FieldSpec) -> Value | None:
    """The value in the declared type, or None where that would change what it says."""
    if spec.type == "float":
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else None
        return float(value) if isinstance(value, int) and abs(value) <= _FLOAT else None
    if spec.type == "int":
        if isinstance(value, float) and not value.is_integer():
            return None
        return int(value) if isinstance(value, int | float) and -_INT64 <= value < _INT64 else None
    return value if isinstance(value, str) and _is_text(value) else None


def _is_text(value: str) -> bool:
    """Half a surrogate pair, which JSON lets through, is nothing that can be written down."""
    return len(value) <= TEXT and (value.isascii() or not _SURROGATE.search(value))


def _outside(value: float, spec: FieldSpec) -> bool:
    return (spec.min is not None and value < spec.min) or (
        spec.max is not None and value > spec.max
    )


class Pipeline:
    """What a collector's `emit` is."""

    def __init__(
        self,
        name: str,
        manifest: Manifest,
        committer: Committer,
        window: Window,
        health: Health,
        now: Callable[[], int],
        hint: Callable[[Hint], None],
        refuse: Callable[[str, str, str], None],
        doubts: Doubts | None = None,
    ) -> None:
        self.name = name
        self.doubts = doubts
        self._checker = Checker(manifest)
        self._class = Class.ACKNOWLEDGED if manifest.klass == "acknowledged" else Class.POLLED
        self._small = SMALL if self._class == Class.ACKNOWLEDGED else -1
        self._committer = committer
        self._window = window
        self._health = health
        self._count = health.counter("readings", collector=name)
        self._now = now
        self._hint = hint
        self._refuse = refuse

    def emit(self, *items: Item) -> Receipt:
        """See `hub.api.Emit`."""
        now_ns = self._now()
        drafts: list[Draft | Hand] = []
        messages: list[Redelivery] = []
        loose: list[Item] = []
        count = 0
        for item in items:
            if type(item) is Message:
                if loose:
                    count += self._keep(loose, None, now_ns, drafts)
                    loose = []
                messages.append(item.redelivery)
                count += self._keep(item.items, item, now_ns, drafts)
            else:
                loose.append(item)
        if loose:
            count += self._keep(loose, None, now_ns, drafts)
        receipt = self._committer.submit(drafts, self._class)
        if receipt.pending():
            self._count(count)
        else:
            self._count_refused(count, len(messages) or 1)
        if messages:
            self._window.note(messages, receipt)
        return receipt

    def _keep(
        self,
        items: Iterable[Item],
        message: Message | None,
        now_ns: int,
        drafts: list[Draft | Hand],
    ) -> int:
        """Add the records of items that came together; how many readings they hold."""
        readings: list[Wire] = []
        others: list[Draft] = []
        doubts = self.doubts
        for item in items:
            if type(item) is Reading:
                series, time_ns, fields, quality = item
                if not self._checker.is_good(series.key, time_ns, fields, quality, now_ns):
                    checked = self._checked(item, now_ns)
                    if checked is None:
                        continue
                    series, time_ns, fields, quality = checked
                if doubts is not None and series.measurement in doubts.specs:
                    quality = doubts.of(series.key, time_ns, fields, quality)
                readings.append((series.key, time_ns, fields, quality))
            elif isinstance(item, Hint):
                self._hint(item)
            elif isinstance(item, Event | Proposal):
                others += self._other(item, now_ns)
            else:
                raise TypeError(f"{type(item).__name__} is nothing that can be emitted here")
        if message is not None and message.size <= self._small:
            again, size = message.redelivery, message.size
            drafts.append(Hand(self.name, readings, again, now_ns, size))
        elif readings or message is not None:
            drafts += self._records(readings, message and message.redelivery, now_ns)
        drafts += others
        return len(readings)

    def _checked(self, reading: Reading, now_ns: int) -> Reading | None:
        good, refused = self._checker.check(reading, now_ns)
        for refusal in refused:
            self._refuse(*refusal)
        return good

    def _records(
        self, readings: list[Wire], message: Redelivery | None, now_ns: int
    ) -> list[Draft]:
        """One record, which readers take whole; two where that would be too large for one."""
        sheaf = Sheaf(self.name)
        sheaf.add(readings, message, now_ns)
        payload = sheaf.pack()
        if len(payload) <= MAX_PAYLOAD or len(readings) < 2:
            return [(now_ns, Kind.READINGS, self._class, payload)]
        half = len(readings) // 2
        return [
            *self._records(readings[:half], message, now_ns),
            *self._records(readings[half:], None, now_ns),
        ]

    def _other(self, item: Event | Proposal, now_ns: int) -> list[Draft]:
        """The record of an event or proposal; none when it holds what can't be written down."""
        kind = Kind.EVENT if isinstance(item, Event) else Kind.PROPOSAL
        try:
            payload = (
                pack_event(self.name, item)
                if isinstance(item, Event)
                else pack_proposal(self.name, item)
            )
        except (TypeError, ValueError, OverflowError) as error:
            self._refuse("unwritable", f"{kind.name.lower()}: {error}"[:200], item.device)
            return []
        if len(payload) > MAX_PAYLOAD:
            self._refuse("too_large", kind.name.lower(), item.device)
            return []
        return [(now_ns, kind, self._class, payload)]

    def _count_refused(self, readings: int, messages: int) -> None:
        """What was polled is dropped and counted; the rest stays with its source."""
        reason = "hub_ending" if self._committer.room(self._class) else "journal_full"
        if self._class == Class.POLLED:
            self._health.count("dropped", readings, reason=reason)
        else:
            self._health.count("held", messages, reason=reason)
