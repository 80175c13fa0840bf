"""What an SNMP agent holds: object instances in order, each with its encoded value.

The octets come from `collectors.snmp.codec`, so that the project has one BER codec; it is checked
against pysnmp's and net-snmp's in the tests, not only against itself. The collector never imports
anything from here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from collectors.snmp import codec
from collectors.snmp.oids import BadOid, Oid, arcs, oid

Encoded: TypeAlias = bytes
"""Tag, length and content of a value."""


class Mib:
    """Instances in the order of their arcs; a value may be computed when it is asked for."""

    def __init__(self, values: Mapping[Oid, Encoded | Callable[[], Encoded]]) -> None:
        ordered = sorted((arcs(name), name) for name in values)
        self._arcs = [key for key, _ in ordered]
        self._names = [name for _, name in ordered]
        self._place = {name: at for at, name in enumerate(self._names)}
        self._values = values

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: Oid) -> bool:
        return name in self._place

    def beside(self, more: Mapping[Oid, Encoded | Callable[[], Encoded]]) -> Mib:
        """The same with more instances, or other values in their place."""
        return Mib({**self._values, **more})

    def get(self, name: Oid) -> Encoded | None:
        """The value of exactly this instance."""
        found = self._values.get(name)
        return found() if callable(found) else found

    def after(self, name: Oid) -> tuple[Oid, Encoded] | None:
        """The first instance that sorts behind `name`, or None at the end. Raises `BadOid`."""
        at = self._place.get(name)
        at = bisect_right(self._arcs, arcs(name)) if at is None else at + 1
        if at >= len(self._names):
            return None
        following = self._names[at]
        value = self.get(following)
        assert value is not None  # noqa: S101 - every name has a value
        return following, value

    def missing(self, name: Oid) -> codec.Absent:
        """Whether the agent has the object at all (another instance of it), as RFC 3416 asks."""
        column = arcs(name)[:-1]
        at = bisect_right(self._arcs, column)
        here = at < len(self._arcs) and self._arcs[at][: len(column)] == column
        return codec.Absent.NO_SUCH_INSTANCE if here else codec.Absent.NO_SUCH_OBJECT


class BadRecording(ValueError):
    """A line of a recording that can't be read; says file and line."""


def read_snmprec(path: Path) -> Mib:
    """A recording in snmpsim's format: `OID|tag|value` a line, `tag` + `x` for hexadecimal.

    Lines that are empty or begin with `#` are skipped; the first of two equal identifiers wins.
    Raises `BadRecording`.
    """
    values: dict[Oid, Encoded | Callable[[], Encoded]] = {}
    with path.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\r\n")
            if not line or line.startswith("#"):
                continue
            try:
                name, tag, value = line.split("|", 2)
                values.setdefault(oid(name), _recorded(tag, value))
            except (BadOid, ValueError, OverflowError) as error:
                raise BadRecording(f"{path}:{number}: {error}") from error
    return Mib(values)


def _recorded(tag: str, value: str) -> Encoded:
    kind = int(tag.removesuffix("x"))
    if tag.endswith("x"):
        return codec.tlv(kind, bytes.fromhex(value))
    if kind == codec.OCTETS or kind == codec.OPAQUE:
        return codec.tlv(kind, value.encode("utf-8", "surrogateescape"))
    if kind == codec.OBJECT_ID:
        return codec.tlv(kind, oid(value))
    if kind == codec.IP_ADDRESS:
        octets = bytes(int(part) for part in value.split("."))
        if len(octets) != 4:
            raise ValueError(f"{value!r} is no IP address")
        return codec.tlv(kind, octets)
    if kind == codec.NULL_TAG:
        return codec.NULL
    bits = {codec.INTEGER: 0, codec.COUNTER64: 64}.get(kind, 32)
    number = int(value)
    return codec.integer(number % (1 << bits) if bits else number, kind)
