"""SenML in CBOR once more, quickly: a device's packs differ in their numbers and in nothing else.

    first pack ─► read as any ─► numbers found, each with what it becomes ─► Plan
    the next   ─► one `struct` tells text from numbers ─► same text? ─► readings

A plan is only made where every step is plain: one time for all records or none, no base value,
only numbers that fill 2 to 9 bytes, devices of the inventory. Whatever is not exactly as the plan
says, a number beyond any sensor too, is read record by record, with all its refusals.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from collectors.mqtt.fields import Rule
from collectors.mqtt.parse import BEYOND_EARTH
from hub.api import Reading, Series

MOST = 20_000
"""Plans that are remembered, of all devices."""
_FORMS = {0x18: "B", 0x19: "H", 0x1A: "I", 0x1B: "Q", 0xF9: "e", 0xFA: "f", 0xFB: "d"}
"""First byte of a number → how `struct` reads what follows."""
_SIZES = {form: struct.calcsize(f">{form}") for form in _FORMS.values()}
_PROBE = 100
"""Numbers are told apart by putting 100, 101, 102 … in their places."""
_BASE_TIME = frozenset({-3, "bt"})
_LABELS = frozenset({-2, -4, 0, 1, 2, "bn", "bu", "n", "u", "v"})

Entry = tuple[str, int, float, float, tuple[str, float] | None]
"""Field, number of its value, scale, offset, and another field that goes with it."""
When = Callable[[float], tuple[int, int]]
"""Time and quality of a stamp."""


class Found(NamedTuple):
    """A value that reading found, as the pack has it, and what it becomes."""

    series: Series
    rule: Rule
    value: float


class Plan(NamedTuple):
    """How packs of one length and one text are read."""

    unpack: Callable[[bytes], tuple[Any, ...]]
    """Text, number, text, number … text."""
    fixed: tuple[bytes, ...]
    stamp: int
    """Which number is the time; -1: there is none."""
    groups: tuple[tuple[Series, tuple[Entry, ...]], ...]

    def read(self, payload: bytes, when: When, quality: int) -> tuple[Reading, ...]:
        """Nothing: it is not what the plan is for."""
        parts = self.unpack(payload)
        if parts[::2] != self.fixed:
            return ()
        numbers = parts[1::2]
        time_ns, doubts = when(numbers[self.stamp] if self.stamp >= 0 else 0)
        found = []
        for series, entries in self.groups:
            fields: dict[str, float | int | str] = {}
            for field, number, scale, offset, also in entries:
                value = numbers[number]
                if not -BEYOND_EARTH < value < BEYOND_EARTH:  # NaN fails this too
                    return ()
                fields[field] = value * scale + offset
                if also is not None:
                    fields[also[0]] = value * also[1]
            found.append(Reading(series, time_ns, fields, doubts | quality))
        return tuple(found)


def probe(payload: bytes) -> tuple[bytes, list[tuple[int, str]]] | None:
    """The same pack with 100, 101 … for its numbers, and where they stand; None: there is no plan
    for such packs."""
    spots = list(_numbers(payload))
    if not spots or len(spots) > 100:
        return None
    probed = bytearray(payload)
    for number, (at, form) in enumerate(spots):
        struct.pack_into(f">{form}", probed, at, _PROBE + number)
    return bytes(probed), spots


def is_plain(pack: Sequence[Mapping[Any, Any]]) -> bool:
    """Nothing but names, units, values and one time, which stands in the first record."""
    first, *others = pack
    return first.keys() - _BASE_TIME <= _LABELS and all(one.keys() <= _LABELS for one in others)


def made(
    payload: bytes, spots: Sequence[tuple[int, str]], stamp: float, values: Sequence[Found]
) -> Plan | None:
    """The plan, from what reading the probe gave; None where not every number is a value or the
    time, and every value a number: what a plan takes for text must be text."""
    when = round(stamp) - _PROBE if stamp else -1
    numbers = [value - _PROBE for _, _, value in values]
    if sorted([*numbers, when]) != [*([] if stamp else [-1]), *range(len(spots))]:
        return None
    groups: dict[Series, list[Entry]] = {}
    for number, (series, rule, _) in zip(numbers, values, strict=True):
        entry = (rule.field, round(number), rule.scale, rule.offset, rule.also)
        groups.setdefault(series, []).append(entry)
    form, fixed, before = ">", [], 0
    for at, letter in spots:
        form += f"{at - before}s{letter}"
        fixed.append(payload[before:at])
        before = at + _SIZES[letter]
    form += f"{len(payload) - before}s"
    fixed.append(payload[before:])
    return Plan(
        struct.Struct(form).unpack,
        tuple(fixed),
        when,
        tuple((series, tuple(entries)) for series, entries in groups.items()),
    )


def _numbers(payload: bytes) -> Iterator[tuple[int, str]]:
    """Where the numbers of a well-formed item stand that take more than their first byte."""
    at, end = 0, len(payload)
    while at < end:
        byte = payload[at]
        at += 1
        form = _FORMS.get(byte)
        if form is not None:
            yield at, form
            at += _SIZES[form]
        elif 0x40 <= byte < 0x78 and byte & 31 < 24:  # short bytes and text
            at += byte & 31
        elif byte in (0x58, 0x78) and at < end:  # with a length of one byte
            at += 1 + payload[at]
        elif byte & 31 > 23 or byte >= 0xC0:
            return  # nothing that a plan is made for; what follows stays text
