"""What an agent's values mean, pure: text, speeds, states, processor and memory load."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from collectors.snmp.codec import Value
from collectors.snmp.oids import HR_STORAGE_RAM, Oid, index_of

UP = 1
"""ifAdminStatus and ifOperStatus: 1 is up, everything else is not."""

IF_SPEED_PEGGED = 0xFFFFFFFF
"""ifSpeed can't say more; ifHighSpeed does."""
HIGHEST_MBIT = 4_000_000
"""An ifHighSpeed above 4 Tbit/s is bit/s by mistake (D-Link DES-3028)."""

NOMINAL_SPEED_TYPES = frozenset({1, 23, 24, 53, 131, 135, 136, 209})
"""ifTypes (other, ppp, softwareLoopback, propVirtual, tunnel, l2vlan, l3ipvlan, bridge) whose
speed is a number somebody made up: no line rate to measure or clamp against, unless overridden."""


def number(value: Value) -> int | None:
    """A whole number, or None for everything that stands in for one."""
    return value if isinstance(value, int) else None


def text(value: Value) -> str:
    """OCTET STRING as people write it: UTF-8, else Latin-1; control characters and NUL padding
    out; an OBJECT IDENTIFIER as it is; empty for what is absent."""
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        return ""
    try:
        raw = value.decode()
    except UnicodeDecodeError:
        raw = value.decode("latin-1")
    return "".join(c if c.isprintable() else " " for c in raw.rstrip("\0")).strip()


def column(rows: Iterable[tuple[Oid, Value]], root: Oid) -> dict[int, Value]:
    """A walked column by its integer index; instances with another kind of index are left out."""
    found: dict[int, Value] = {}
    for name, value in rows:
        index = index_of(root, name)
        if index is not None:
            found[index] = value
    return found


def speed_bps(high_mbit: int | None, if_speed: int | None) -> int | None:
    """The port's speed in bit/s, or None when the agent doesn't know or says nonsense.

    ifHighSpeed is rounded to Mbit/s, so where ifSpeed agrees with it, ifSpeed is taken.
    """
    fine = if_speed if if_speed and 0 < if_speed < IF_SPEED_PEGGED else None
    if not high_mbit or high_mbit < 0 or high_mbit > HIGHEST_MBIT:
        return fine
    if fine is not None and abs(fine - high_mbit * 1_000_000) <= 500_000:
        return fine
    return high_mbit * 1_000_000


class Storage(NamedTuple):
    """One row of hrStorageTable; sizes in allocation units."""

    kind: str
    descr: str
    units: int
    size: int
    used: int


_NOT_REALLY_USED = frozenset({"memory buffers", "cached memory"})
"""net-snmp counts these into the used part of "Physical memory" and lists them beside it."""


def mem_pct(rows: Iterable[Storage]) -> float | None:
    """Memory in use, per cent of RAM, without what the system gives back on demand."""
    size = used = given_back = 0
    for row in rows:
        if row.units <= 0 or row.size < 0 or row.used < 0:
            continue
        if row.descr.lower() in _NOT_REALLY_USED:
            given_back += row.units * row.used
        elif row.kind == HR_STORAGE_RAM:
            size += row.units * row.size
            used += row.units * row.used
    if size == 0:
        return None
    if given_back <= used:
        used -= given_back
    return min(100.0, 100.0 * used / size)


def port_names(if_names: Mapping[int, Value], descrs: Mapping[int, Value]) -> dict[int, str]:
    """A name for each index, unique in the device: ifName, else ifDescr, else `if<index>`.

    Two ports of the same name keep apart by their index: the first keeps the plain name.
    """
    found: dict[int, str] = {}
    taken: set[str] = set()
    for index in sorted(if_names.keys() | descrs.keys()):
        name = text(if_names.get(index)) or text(descrs.get(index)) or f"if{index}"
        name = name.rstrip("\\") or f"if{index}"
        if name in taken:
            name = f"{name}#{index}"
        taken.add(name)
        found[index] = name
    return found
