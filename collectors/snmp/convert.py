"""An agent's values to numbers and text as people mean them, pure. What is no number is None.

4294967293, signed        ─► -3      (RouterOS counts below zero that way)
2147483647                ─► None    (how agents say "I don't know" in an Integer32)
"45 PERCENT"              ─► 45.0    (Hikvision)
noSuchInstance            ─► None
-849, or 141 (µW)         ─► -8.49   (Huawei's optical power, two encodings in one column)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from collectors.snmp.codec import Value
from collectors.snmp.parse import Storage, text
from collectors.snmp.profile import Number, Text, Where

UNKNOWN = frozenset({2147483647, -2147483648})
"""The ends of Integer32 stand for "not known" wherever a sensor gives them."""
_FIGURE = re.compile(r"\s*([-+]?\d+(?:\.\d+)?)")
_HALF, _WHOLE = 1 << 31, 1 << 32


def raw_number(value: Value) -> float | None:
    """The number in a value; a text gives the one that it begins with."""
    if isinstance(value, int | float):
        return float(value)
    found = _FIGURE.match(text(value)) if isinstance(value, bytes) else None
    return float(found[1]) if found else None


def figure(spec: Number, values: Sequence[Value]) -> float | None:
    """What a profile's `Number` makes of its instances, in the order of `Number.columns`."""
    if spec.percent is not None:
        return _within(spec, _percent(spec, values))
    raw = raw_number(values[0])
    if raw is None or raw in UNKNOWN or raw in spec.absent:
        return None
    if spec.signed and _HALF <= raw < _WHOLE:
        raw -= _WHOLE
    if spec.map:
        mapped = spec.map.get(int(raw), spec.otherwise)
        return None if mapped is None else float(mapped)
    if spec.as_ == "dbm_or_microwatt":
        raw = raw / 100 if raw <= 0 else 10 * math.log10(raw / 1000)
    found = raw * spec.times / spec.divide
    rest = list(values[1:])
    if spec.factor is not None:
        factor = spec.factor.of.get(int(raw_number(rest.pop(0)) or 0))
        if factor is None:
            return None
        found *= factor
    if spec.digits is not None:
        found /= 10.0 ** (raw_number(rest.pop(0)) or 0.0)
    return _within(spec, found)


def storage(spec: Number, values: Sequence[Value], kind: str, label: str) -> Storage | None:
    """A row of memory, for the fold `memory`."""
    units, size, used = (value if isinstance(value, int) else None for value in values[:3])
    if units is None or size is None or used is None:
        return None
    return Storage(kind, label, units, size, used)


def _percent(spec: Number, values: Sequence[Value]) -> float | None:
    """used of total, used beside free, or total without what is free (of which some may lack)."""
    assert spec.percent is not None  # noqa: S101 - asked by the caller
    numbers = [raw_number(value) for value in values]
    used: float | None
    if spec.percent.used is None:
        total = numbers[0]
        free = [number for number in numbers[1:] if number is not None]
        if total is None or not free or numbers[1] is None:
            return None
        used = total - sum(free)
    else:
        used, other = numbers[0], numbers[1]
        if used is None or other is None:
            return None
        total = other if spec.percent.total is not None else used + other
    return 100.0 * used / total if total > 0 and 0 <= used <= total else None


def _within(spec: Number, found: float | None) -> float | None:
    if found is None or not math.isfinite(found):
        return None
    low, high = spec.between
    return found if low <= found <= high else None


def words(spec: Text, value: Value) -> str:
    """What a profile's `Text` makes of a value; empty where it is absent or doesn't fit."""
    said = " ".join(text(value).split())
    if not spec.pattern or not said:
        return said
    found = re.search(spec.pattern, said)
    return "" if found is None else (found[1] if found.groups() else found[0]).strip()


def holds(condition: Where, value: Value) -> bool:
    """Whether a row's value is as the profile wants it; an absent one never is."""
    if not isinstance(value, int | str | bytes):
        return False
    if condition.like and not re.search(condition.like, text(value)):
        return False
    if isinstance(value, int):
        return value not in condition.not_ and (not condition.is_ or value in condition.is_)
    said = text(value)
    return said not in condition.not_ and (not condition.is_ or said in condition.is_)
