"""Readings as InfluxDB line protocol. Pure.

    environment,device=aq1,opd=dlh,sensor=pm,site=balige pm25=12.5,uplinks=3i,text="a \\"b\\"" 17...

What comes before the fields is made once per series and kept until the labels change. Integers
get their `i`, floats their shortest exact form; in a string only backslash and quote are escaped
(line breaks may stand as they are). Source: InfluxData, "Line protocol reference", 1.x to 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hub.reading import Reading, Series, escape_measurement, escape_tag
from hub.store.base import Labels, NoLabels
from hub.store.checks import (
    INT_MAX,
    INT_MIN,
    TIME_MAX,
    field_trouble,
    reading_trouble,
    series_trouble,
    value_trouble,
)


@dataclass(slots=True)
class Lines:
    """`lines[n]` is what reading number `indices[n]` of the batch became."""

    lines: list[bytes] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)


class _Refused(Exception):
    """This reading can't be a line; says why."""


class _FieldKeys(dict[str, str]):
    """Field name to its escaped form with the equals sign; names are checked at first sight."""

    def __missing__(self, name: str) -> str:
        trouble = field_trouble(name)
        if trouble:
            raise _Refused(trouble)
        self[name] = key = escape_tag(name) + "="
        return key


class LineFormatter:
    """Formats for one database. Keeps a prefix per series, as long as the labels stay the same."""

    def __init__(self, labels: Labels | None = None) -> None:
        self.labels = labels or NoLabels()
        """May be replaced; the prefixes are then made anew."""
        self._made_for = (self.labels, self.labels.generation)
        self._prefixes: dict[Series, tuple[str, frozenset[str]]] = {}
        """What comes before the fields, and the names that no field may have then."""
        self._keys = _FieldKeys()

    def format(self, readings: Sequence[Reading]) -> Lines:
        """A line per reading, or the reason why it can't be one."""
        labels, generation = self._made_for
        if labels is not self.labels or generation != self.labels.generation:
            self._made_for = (self.labels, self.labels.generation)
            self._prefixes.clear()
        result = Lines()
        for index, reading in enumerate(readings):
            try:
                line = self._line(reading).encode()
            except _Refused as refusal:
                result.rejected[index] = str(refusal)
            except UnicodeEncodeError:
                result.rejected[index] = "half a surrogate pair, which is no Unicode text"
            else:
                result.lines.append(line)
                result.indices.append(index)
        return result

    def _line(self, reading: Reading) -> str:
        series, time_ns, fields, quality = reading
        prefix, tags = self._prefixes.get(series) or self._prefix(series)
        keys = self._keys
        parts = []
        for name, value in fields.items():
            kind = type(value)
            if kind is float and value - value == 0.0:  # type: ignore[operator]  # finite
                parts.append(f"{keys[name]}{value!r}")
            elif kind is int and INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
                parts.append(f"{keys[name]}{value}i")
            else:
                parts.append(keys[name] + _seldom(name, value))
        if not parts or not 0 <= time_ns <= TIME_MAX or not tags.isdisjoint(fields):
            raise _Refused(reading_trouble(reading))
        if quality:
            parts.append(f"quality={int(quality)}i")
        return f"{prefix}{','.join(parts)} {time_ns}"

    def _prefix(self, series: Series) -> tuple[str, frozenset[str]]:
        trouble = series_trouble(series)
        if trouble:
            raise _Refused(trouble)
        tags = {**self.labels.labels(series), **dict(series.tags)}
        for key, value in tags.items():
            if value.endswith("\\") or any(ord(char) < 32 for char in value):
                raise _Refused(f"label {key} = {value!r} ends in a backslash or has a line break")
        pairs = [f"{escape_tag(key)}={escape_tag(tags[key])}" for key in sorted(tags) if tags[key]]
        text = ",".join([escape_measurement(series.measurement), *pairs]) + " "
        self._prefixes[series] = prefix = text, frozenset(key for key, _ in series.tags)
        return prefix


def _seldom(name: str, value: object) -> str:
    """The form of strings and truths; raises for everything that can't be stored."""
    trouble = value_trouble(name, value)
    if trouble:
        raise _Refused(trouble)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{int(value)}i" if isinstance(value, int) else repr(value)
