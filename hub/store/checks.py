"""What no store can hold, so both refuse it alike: reasons in words for the parked reading."""

from __future__ import annotations

import re
from math import isfinite

from hub.reading import Reading, Series, Value
from hub.store.base import LABEL_NAMES

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
TIME_MAX = 2**63 - 2
"""InfluxDB keeps the last nanosecond for itself."""
QUALITY = "quality"
"""The field in which a reading's quality is stored when it is not 0."""

_TYPES: dict[type, str] = {float: "float", int: "integer", bool: "integer", str: "string"}
_RESERVED_TAGS = frozenset({"time", "_measurement", "_field"})
_RESERVED = frozenset({*_RESERVED_TAGS, QUALITY, *LABEL_NAMES})
_TORN = re.compile(r"\\[,= ]")
"""InfluxDB 1.6 reads an escaped separator behind a backslash wrongly, except in tags."""


def field_trouble(name: str) -> str:
    """Why no field can be called so, or nothing."""
    if not name or name.endswith("\\") or any(ord(char) < 32 for char in name):
        return f"{name!r} can't name a field (empty, control character or closing backslash)"
    if _TORN.search(name):
        return f"{name!r} can't name a field: a backslash before a comma, space or equals sign"
    if name in _RESERVED:
        return f"no field can be called {name!r}: the hub uses that name itself"
    return _unicode_trouble(name, f"the field name {name!r}")


def series_trouble(series: Series) -> str:
    """Why a series can't be stored, or nothing. To be asked once per series."""
    measurement = series.measurement
    if measurement.startswith("#"):
        return f"measurement {measurement!r} would be a comment in line protocol"
    if _TORN.search(measurement):
        return f"measurement {measurement!r} has a backslash before a comma, space or equals sign"
    for key, _ in series.tags:
        if key in _RESERVED_TAGS:
            return f"no tag can be called {key!r}: stores use that name themselves"
    return _unicode_trouble(series.key, f"the series {series.key!r}")


def value_trouble(name: str, value: object) -> str:
    """Why a value can't be stored, or nothing."""
    if isinstance(value, float):
        return "" if isfinite(value) else f"{name} is {value}, which no store can hold"
    if isinstance(value, int):
        return "" if INT_MIN <= value <= INT_MAX else f"{name} = {value} does not fit in 64 bits"
    if isinstance(value, str):
        return _unicode_trouble(value, name)
    return f"{name} is a {type(value).__name__}, not a float, integer or string"


def reading_trouble(reading: Reading) -> str:
    """Why a reading as a whole can't be stored, or nothing. Its values are not looked at."""
    if not reading.fields:
        return "the reading has no fields"
    if not 0 <= reading.time_ns <= TIME_MAX:
        return f"its time {reading.time_ns} ns is not between 1970 and 2262"
    for key, _ in reading.series.tags:
        if key in reading.fields:
            return f"{key!r} is both a tag and a field"
    return ""


def conflict(name: str, measurement: str, value: Value, stored: type) -> str:
    """The words for a value of another type than the field has."""
    came = _TYPES.get(type(value), type(value).__name__)
    return f"field {name!r} of {measurement!r} is {_TYPES[stored]}, this is {came} ({value!r:.40})"


def _unicode_trouble(text: str, what: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return f"{what} holds half a surrogate pair, which is no Unicode text"
    return ""
