"""Readings as InfluxDB line protocol. Pure.

    environment,device=aq1,opd=dlh,sensor=pm,site=balige pm25=12.5,uplinks=3i,text="a \\"b\\"" 17...

What comes before the fields is made once per series and kept until the labels change. Integers
get their `i`, floats their shortest exact form; in a string only backslash and quote are escaped
(line breaks may stand as they are). Source: InfluxData, "Line protocol reference", 1.x to 3.

Readings of nothing but finite numbers, which nearly all are, are made many at a time: all their
numbers are written by one call and filled into the joined forms of their lines by another. That is
less than half the price of a line for itself. What is not so simple gets its line for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import NamedTuple, cast

import msgspec

from hub.reading import Reading, Series, Value, escape_measurement, escape_tag
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
    """`lines[n]` is what reading number `indices[n]` became, of the `count` that were given."""

    lines: list[bytes] = field(default_factory=list)
    indices: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    count: int = 0


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


class _Form(NamedTuple):
    """Fields of certain names that are all numbers of certain types."""

    names: tuple[str, ...]
    kinds: tuple[type, ...]
    """Of the fields, and of the time behind them."""
    text: bytes
    """The rest of a line, a `%b` for each number; empty: no number can be filled in here."""


@dataclass(slots=True)
class _Prefix:
    """What is kept of a series."""

    text: str
    """What comes before the fields."""
    tags: frozenset[str]
    """The names that no field may have."""
    form: _Form
    """Of the last reading."""
    filled: bytes
    """`text` to be joined with a form's."""


_NO_FORM = _Form((), (), b"")
_json = msgspec.json.Encoder().encode
"""Writes numbers as line protocol wants them, several times faster than `repr`."""


class LineFormatter:
    """Formats for one database. Keeps a prefix per series, as long as the labels stay the same."""

    def __init__(self, labels: Labels | None = None) -> None:
        self.labels = labels or NoLabels()
        """May be replaced; the prefixes are then made anew."""
        self._made_for = (self.labels, self.labels.generation)
        self._prefixes: dict[str, _Prefix] = {}
        self._tags: dict[frozenset[str], frozenset[str]] = {}
        """Each to itself: many series have the same."""
        self._forms: dict[tuple[tuple[str, ...], tuple[type, ...]], _Form] = {}
        self._keys = _FieldKeys()

    def format(self, readings: Sequence[Reading], lines: Lines | None = None) -> Lines:
        """A line per reading, or the reason why it can't be one; behind `lines`, if given."""
        labels, generation = self._made_for
        if labels is not self.labels or generation != self.labels.generation:
            self._made_for = (self.labels, self.labels.generation)
            self._prefixes.clear()
        lines = lines or Lines()
        first, lines.count = lines.count, lines.count + len(readings)
        indices, made, others = self._together(readings)
        if others:
            found = dict(zip(indices, made, strict=True))
            for index in others:
                try:
                    found[index] = self._line(readings[index]).encode()
                except _Refused as refusal:
                    lines.rejected[first + index] = str(refusal)
                except UnicodeEncodeError:
                    why = "half a surrogate pair, which is no Unicode text"
                    lines.rejected[first + index] = why
            indices = sorted(found)
            made = [found[index] for index in indices]
        lines.lines += made
        lines.indices += [first + index for index in indices] if first else indices
        return lines

    def _together(self, readings: Sequence[Reading]) -> tuple[list[int], list[bytes], list[int]]:
        """Which readings are only numbers, their lines, and which are left."""
        texts: list[bytes] = []
        values: list[Value] = []
        kinds: list[type] = []
        indices: list[int] = []
        others: list[int] = []
        prefixes = self._prefixes
        for index, reading in enumerate(readings):
            series, time_ns, fields, quality = reading
            prefix = prefixes.get(series.key)
            if prefix is None or prefix.form.names != tuple(fields):
                prefix = self._learn(reading)
            if prefix is None or quality or not prefix.form.text or not 0 <= time_ns <= TIME_MAX:
                others.append(index)
                continue
            form = prefix.form
            texts += (prefix.filled, form.text)
            values += fields.values()
            values.append(time_ns)
            kinds += form.kinds
            indices.append(index)
        if not texts:
            return [], [], others
        if not _simple(values, kinds, len(indices)):
            for index in indices:
                prefixes[readings[index].series.key].form = _NO_FORM
            return [], [], list(range(len(readings)))
        text = b"".join(texts) % tuple(_json(values)[1:-1].split(b","))
        return indices, text[:-1].split(b"\n"), others

    def _learn(self, reading: Reading) -> _Prefix | None:
        """The prefix of a series with the form of its fields; None if it can't be stored."""
        try:
            prefix = self._prefixes.get(reading.series.key) or self._prefix(reading.series)
            fits = prefix.tags.isdisjoint(reading.fields)
            prefix.form = self._form(reading) if fits else _NO_FORM
        except (_Refused, UnicodeEncodeError):
            return None
        return prefix

    def _form(self, reading: Reading) -> _Form:
        names, kinds = tuple(reading.fields), tuple(map(type, reading.fields.values()))
        form = self._forms.get((names, kinds))
        if form is None:
            text = ""
            if names and {*kinds} <= {float, int}:
                parts = [
                    self._keys[name].replace("%", "%%") + ("%b" if kind is float else "%bi")
                    for name, kind in zip(names, kinds, strict=True)
                ]
                text = f"{','.join(parts)} %b\n"
            form = self._forms[names, kinds] = _Form(names, (*kinds, int), text.encode())
        return form

    def _line(self, reading: Reading) -> str:
        series, time_ns, fields, quality = reading
        prefix = self._prefixes.get(series.key) or self._prefix(series)
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
        if not parts or not 0 <= time_ns <= TIME_MAX or not prefix.tags.isdisjoint(fields):
            raise _Refused(reading_trouble(reading))
        if quality:
            parts.append(f"quality={int(quality)}i")
        return f"{prefix.text}{','.join(parts)} {time_ns}"

    def _prefix(self, series: Series) -> _Prefix:
        trouble = series_trouble(series)
        if trouble:
            raise _Refused(trouble)
        tags = {**self.labels.labels(series), **dict(series.tags)}
        for key, value in tags.items():
            if value.endswith("\\") or any(ord(char) < 32 for char in value):
                raise _Refused(f"label {key} = {value!r} ends in a backslash or has a line break")
        pairs = [f"{escape_tag(key)}={escape_tag(tags[key])}" for key in sorted(tags) if tags[key]]
        text = ",".join([escape_measurement(series.measurement), *pairs]) + " "
        names = frozenset(key for key, _ in series.tags)
        self._prefixes[series.key] = prefix = _Prefix(
            text, self._tags.setdefault(names, names), _NO_FORM, text.replace("%", "%%").encode()
        )
        return prefix


def _simple(values: list[Value], kinds: list[type], lines: int) -> bool:
    """Are these numbers of those types, finite, and none bigger than 64 bits?"""
    if [*map(type, values)] != kinds:
        return False
    numbers = cast("list[float]", values)
    # A line's time is an integer and was looked at. A NaN is never a maximum within the bounds.
    if kinds.count(int) > lines and not (min(numbers) >= INT_MIN and max(numbers) <= INT_MAX):
        return False
    return isfinite(sum(numbers))


def _seldom(name: str, value: object) -> str:
    """The form of strings and truths; raises for everything that can't be stored."""
    trouble = value_trouble(name, value)
    if trouble:
        raise _Refused(trouble)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{int(value)}i" if isinstance(value, int) else repr(value)
