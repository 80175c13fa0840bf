"""What is measured: a `Series` says what, a `Reading` says when and how much.

A series is made once and found again by its key, so the hot path builds no tag
dictionaries. The key is InfluxDB line protocol's own prefix
(`environment,device=aq1,sensor=pm`), tags sorted, escaped as line protocol wants.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag
from sys import intern
from typing import ClassVar, NamedTuple

MOST_RECENT = 4096
"""Series that are found by their parts faster than by their key."""
Tags = tuple[tuple[str, str], ...]
Value = float | int | str
"""A field's value. Truths are the integers 0 and 1: InfluxQL can't average booleans."""


class Quality(IntFlag):
    """Why a value is doubted; 0 is good. The value itself is always kept as it came."""

    GOOD = 0
    RANGE = 1
    RATE = 2
    STUCK = 4
    SPIKE = 8
    NEIGHBOUR = 16
    CALIBRATION = 32
    CLOCK = 64
    RETAINED = 128
    LATE = 256
    DELAYED = 512
    """It took longer to arrive than most sources may; whether it still counts, its device says."""


def escape_measurement(text: str) -> str:
    """Line protocol's escapes for a measurement name."""
    return text.replace(",", "\\,").replace(" ", "\\ ")


def escape_tag(text: str) -> str:
    """Line protocol's escapes for a tag key, tag value or field key."""
    return text.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")


class BadSeries(ValueError):
    """A measurement or tag that no store can hold: empty, a line break, or a closing backslash."""


class Series:
    """One line over time: a measurement and the identity tags that tell it from others.

    `device` is always among the tags. Make it with `Series.of`, which returns the same
    object for the same name; two series are equal when they are the same object's key.
    """

    __slots__ = ("device", "inner", "key", "measurement")

    measurement: str
    device: str
    inner: Tags
    """The tags beside `device`: one tuple for all that have them alike, as a thousand routers have
    their `ether1`."""
    key: str

    _known: ClassVar[dict[str, Series]] = {}
    _recent: ClassVar[dict[tuple[str, Tags], Series]] = {}
    """By measurement and tags: some of them, since the key finds all."""
    _inner: ClassVar[dict[Tags, Tags]] = {}
    _devices: ClassVar[dict[str, str]] = {}
    """The names of devices, once for all series of each."""

    @classmethod
    def known(cls, key: str) -> Series | None:
        """The series of a key if it was made before; for hot paths, before `parse`."""
        return cls._known.get(key)

    @classmethod
    def of(cls, measurement: str, device: str, **tags: str) -> Series:
        """The series of that name. Empty tag values are left out, as stores do."""
        pairs = [("device", device), *((k, v) for k, v in tags.items() if v != "")]
        return cls.make(measurement, tuple(sorted(pairs)))

    @classmethod
    def make(cls, measurement: str, tags: Tags) -> Series:
        """The series with these sorted tags. Raises `BadSeries`."""
        found = cls._recent.get((measurement, tags))
        if found is not None:
            return found
        for text in (measurement, *(part for pair in tags for part in pair)):
            if not text or text.endswith("\\") or any(map(_unwritable, text)):
                raise BadSeries(f"{text!r} can't name a series (empty, control character or \\)")
        key = ",".join(
            [escape_measurement(measurement)]
            + [f"{escape_tag(k)}={escape_tag(v)}" for k, v in tags]
        )
        found = cls._known.get(key)
        if found is None:
            found = cls._known[key] = object.__new__(cls)
            found.key = key
            found.measurement = intern(measurement)
            device = dict(tags).get("device", "")
            found.device = cls._devices.setdefault(device, device)
            inner = tuple([(intern(name), value) for name, value in tags if name != "device"])
            found.inner = cls._inner.setdefault(inner, inner)
        if len(cls._recent) >= MOST_RECENT:
            cls._recent.clear()
        cls._recent[found.measurement, found.tags] = found
        return found

    @classmethod
    def parse(cls, key: str) -> Series:
        """The series of a key that `Series.key` gave."""
        found = cls._known.get(key)
        if found is not None:
            return found
        name, *pairs = _split(key, ",")
        return cls.make(
            _plain(name, ", "),
            tuple((_plain(k), _plain(v)) for k, v in (_split(pair, "=") for pair in pairs)),
        )

    @property
    def tags(self) -> Tags:
        """All of them, sorted."""
        return tuple(sorted((("device", self.device), *self.inner))) if self.device else self.inner

    def tag(self, name: str) -> str:
        """A tag's value, or the empty string."""
        for key, value in self.tags:
            if key == name:
                return value
        return ""

    def __repr__(self) -> str:
        return f"Series({self.key})"

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Series) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


class Reading(NamedTuple):
    """What one series was at one time.

    `time_ns` is UTC nanoseconds since 1970; `fields` in the units of the
    collector's manifest (µg/m³,
    °C, bit/s …); `quality` a `Quality`.
    """

    series: Series
    time_ns: int
    fields: Mapping[str, Value]
    quality: int = 0


def _unwritable(char: str) -> bool:
    """A control character, or half a surrogate pair, which has no UTF-8."""
    return char < " " or "\ud800" <= char <= "\udfff"


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that no backslash escapes."""
    parts, current, before = [], "", ""
    for char in text:
        if char == separator and before != "\\":
            parts.append(current)
            current = ""
        else:
            current += char
        before = char
    return [*parts, current]


def _plain(text: str, escaped: str = ", =") -> str:
    for char in escaped:
        text = text.replace("\\" + char, char)
    return text
