"""Object identifiers, kept as their BER content octets, and the ones that are asked for.

An encoded identifier is hashable, a third of the size of a tuple, and `startswith` tells a
subtree exactly (an arc never ends in the middle of another). Only order needs the arcs.
Source of the numbers: SNMPv2-MIB (RFC 3418), IF-MIB (RFC 2863), HOST-RESOURCES-MIB (RFC 2790),
SNMP-FRAMEWORK-MIB (RFC 3411).
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TypeAlias, TypeVar

Oid: TypeAlias = bytes
"""BER content octets of an OBJECT IDENTIFIER, without tag and length."""

MAX_ARC = 0xFFFFFFFF

_T = TypeVar("_T", bound=Hashable)


@lru_cache(maxsize=65_536, typed=True)
def shared(value: _T) -> _T:
    """The same object for equal ones, for what a fleet's devices have alike: names, labels, speeds.

    What falls out of the cache is only held twice.
    """
    return value


class BadOid(ValueError):
    """Text or octets that are no object identifier."""


def _arc(number: int) -> bytes:
    if not 0 <= number <= MAX_ARC:
        raise BadOid(f"sub-identifier {number} is outside 0..2^32-1")
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(number & 0x7F | 0x80)
    return bytes(reversed(octets))


def from_arcs(numbers: tuple[int, ...]) -> Oid:
    """`(1, 3, 6, …)` encoded. Raises `BadOid`."""
    if len(numbers) < 2 or min(numbers) < 0 or numbers[0] > 2:
        raise BadOid(f"{numbers} can't begin an object identifier")
    if numbers[0] < 2 and numbers[1] > 39:
        raise BadOid(f"{numbers} can't begin an object identifier")
    return b"".join(map(_arc, (numbers[0] * 40 + numbers[1], *numbers[2:])))


def arcs(encoded: Oid) -> tuple[int, ...]:
    """The sub-identifiers, in the order that SNMP sorts by. Raises `BadOid`.

    Refused: no octets, a padded sub-identifier, one over 2^32-1 (some agents send negative
    indexes that way; read as signed they make walks loop), and one cut off at the end.
    """
    if not encoded or encoded[-1] & 0x80:
        raise BadOid(f"{encoded.hex()} ends inside a sub-identifier")
    numbers: list[int] = []
    number = 0
    fresh = True
    for octet in encoded:
        if fresh and octet == 0x80:
            raise BadOid(f"{encoded.hex()} has a padded sub-identifier")
        number = number << 7 | octet & 0x7F
        fresh = not octet & 0x80
        if fresh:
            if number > MAX_ARC:
                raise BadOid(f"{encoded.hex()} has a sub-identifier over 2^32-1")
            numbers.append(number)
            number = 0
    first = min(numbers[0] // 40, 2)
    return (first, numbers[0] - first * 40, *numbers[1:])


@lru_cache(maxsize=4096)
def oid(text: str) -> Oid:
    """`"1.3.6.1.2.1.1.3.0"` (a leading dot is fine) encoded. Raises `BadOid`."""
    try:
        numbers = tuple(int(part) for part in text.removeprefix(".").split("."))
    except ValueError as error:
        raise BadOid(f"{text!r} is no object identifier") from error
    return from_arcs(numbers)


def dotted(encoded: Oid) -> str:
    """For people: `1.3.6.1.2.1.1.3.0`. Raises `BadOid`."""
    return ".".join(map(str, arcs(encoded)))


@lru_cache(maxsize=65536)
def cell(column: Oid, index: int) -> Oid:
    """The instance of a column in a table with one integer index; shared by all devices."""
    return column + _arc(index)


def index_of(column: Oid, instance: Oid) -> int | None:
    """The single integer index of an instance of that column, or None when it is another's."""
    if not instance.startswith(column):
        return None
    number = 0
    tail = instance[len(column) :]
    for octet in tail[:-1]:
        if not octet & 0x80:
            return None
        number = number << 7 | octet & 0x7F
    return number << 7 | tail[-1] if tail and not tail[-1] & 0x80 else None


SYS_DESCR = oid("1.3.6.1.2.1.1.1.0")
SYS_OBJECT_ID = oid("1.3.6.1.2.1.1.2.0")
SYS_UPTIME = oid("1.3.6.1.2.1.1.3.0")
SYS_NAME = oid("1.3.6.1.2.1.1.5.0")
SYS_LOCATION = oid("1.3.6.1.2.1.1.6.0")
ENGINE_TIME = oid("1.3.6.1.6.3.10.2.1.3.0")
HR_SYSTEM_UPTIME = oid("1.3.6.1.2.1.25.1.1.0")

IF_NUMBER = oid("1.3.6.1.2.1.2.1.0")
IF_INDEX = oid("1.3.6.1.2.1.2.2.1.1")
IF_DESCR = oid("1.3.6.1.2.1.2.2.1.2")
IF_TYPE = oid("1.3.6.1.2.1.2.2.1.3")
IF_SPEED = oid("1.3.6.1.2.1.2.2.1.5")
IF_ADMIN_STATUS = oid("1.3.6.1.2.1.2.2.1.7")
IF_OPER_STATUS = oid("1.3.6.1.2.1.2.2.1.8")
IF_LAST_CHANGE = oid("1.3.6.1.2.1.2.2.1.9")
IF_IN_OCTETS = oid("1.3.6.1.2.1.2.2.1.10")
IF_IN_DISCARDS = oid("1.3.6.1.2.1.2.2.1.13")
IF_IN_ERRORS = oid("1.3.6.1.2.1.2.2.1.14")
IF_OUT_OCTETS = oid("1.3.6.1.2.1.2.2.1.16")
IF_OUT_DISCARDS = oid("1.3.6.1.2.1.2.2.1.19")
IF_OUT_ERRORS = oid("1.3.6.1.2.1.2.2.1.20")

IF_NAME = oid("1.3.6.1.2.1.31.1.1.1.1")
IF_HC_IN_OCTETS = oid("1.3.6.1.2.1.31.1.1.1.6")
IF_HC_OUT_OCTETS = oid("1.3.6.1.2.1.31.1.1.1.10")
IF_HIGH_SPEED = oid("1.3.6.1.2.1.31.1.1.1.15")
IF_ALIAS = oid("1.3.6.1.2.1.31.1.1.1.18")
IF_DISCONTINUITY = oid("1.3.6.1.2.1.31.1.1.1.19")
IF_TABLE_LAST_CHANGE = oid("1.3.6.1.2.1.31.1.5.0")

HR_STORAGE_TYPE = oid("1.3.6.1.2.1.25.2.3.1.2")
HR_STORAGE_DESCR = oid("1.3.6.1.2.1.25.2.3.1.3")
HR_STORAGE_UNITS = oid("1.3.6.1.2.1.25.2.3.1.4")
HR_STORAGE_SIZE = oid("1.3.6.1.2.1.25.2.3.1.5")
HR_STORAGE_USED = oid("1.3.6.1.2.1.25.2.3.1.6")
HR_STORAGE_RAM = "1.3.6.1.2.1.25.2.1.2"
HR_PROCESSOR_LOAD = oid("1.3.6.1.2.1.25.3.3.1.2")
