"""Sparkplug B 3.0: `spBv1.0/{group}/{NBIRTH|NDATA|DBIRTH|…}/{node}[/{device}]`, protobuf.

https://sparkplug.eclipse.org/specification/. A birth lists all metrics with name, alias and unit;
data may carry aliases alone. Every message but NDEATH has `seq`, 0 to 255 and round again; NDEATH
is the Will and carries the `bdSeq` of its birth.

    no birth heard, a gap in seq, an alias nobody named ─► NCMD `Node Control/Rebirth`

The memory (births, aliases, seq) is gone after a restart: the first message of each node then asks
for a rebirth, as the specification wants it (6.4.21), and is refused where it needs the birth.
Edge nodes are devices `{group}:{node}`, their devices `{group}:{node}:{device}`; in the inventory
give that as `topic_id`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from collectors.mqtt import deviceclock
from collectors.mqtt.conventions.base import (
    NOTHING,
    Convention,
    Heard,
    Locate,
    Outcome,
    Values,
    alive,
)
from collectors.mqtt.conventions.protobuf import I32, I64, LEN, VARINT, fields
from collectors.mqtt.fields import Rule
from collectors.mqtt.parse import Fault, Place
from collectors.mqtt.topics import valid_name
from hub.api import BadItem, Content, Reading

MAX_NODES = 2_000
MAX_METRICS = 200_000
"""Of all nodes together."""
PER_MESSAGE = 1_000
REBIRTH_EVERY_NS = 30_000_000_000
"""A node is asked for its birth no more often than this."""
REBIRTH = b"\x12\x1a\x0a\x14Node Control/Rebirth\x20\x0b\x70\x01"
"""The metric of the NCMD: `Node Control/Rebirth`, datatype 11 (Boolean), true."""

KINDS = ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH")
_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Signed integer datatypes; they come as two's complement in an unsigned field."""
_LAST_PLAIN = 10
"""Datatypes 1 to 10 are numbers."""


class Metric(NamedTuple):
    name: str = ""
    alias: int | None = None
    stamp: int | None = None
    datatype: int = 0
    historical: bool = False
    value: float | int | str | None = None
    unit: str = ""


class Payload(NamedTuple):
    stamp: int | None
    seq: int | None
    metrics: list[Metric]


class Known(NamedTuple):
    """A metric as its birth named it."""

    name: str
    datatype: int
    unit: str


@dataclass(slots=True)
class Node:
    """An edge node since its last birth."""

    bd_seq: int | None = None
    seq: int | None = None
    born: bool = False
    devices: dict[str, dict[int | str, Known]] = field(default_factory=dict)
    """Device (the node itself: "") → alias or name → metric."""
    asked_ns: int = 0


@dataclass(slots=True)
class Memory:
    nodes: dict[str, Node] = field(default_factory=dict)
    metrics: int = 0

    def node(self, name: str) -> Node:
        node = self.nodes.get(name)
        if node is None:
            if len(self.nodes) >= MAX_NODES:
                self.clear(self.nodes.pop(next(iter(self.nodes))))
            node = self.nodes[name] = Node()
        return node

    def clear(self, node: Node, device: str | None = None) -> None:
        """Forget a device's metrics, or all of the node's."""
        for name in [device] if device is not None else list(node.devices):
            self.metrics -= len(node.devices.pop(name, {}))


def read(heard: Heard, memory: Memory, locate: Locate) -> Outcome:
    levels = heard.topic.split("/")
    if len(levels) < 4 or levels[2] not in KINDS or levels[0] != "spBv1.0":
        return NOTHING  # STATE, NCMD, DCMD
    kind, group, name = levels[2], levels[1], levels[3]
    device = levels[4] if kind[0] == "D" and len(levels) == 5 else ""
    if (kind[0] == "D") != bool(device) or len(levels) > 5:
        raise BadItem(f"unknown_topic: {kind} of {len(levels)} levels")
    if heard.retained:
        return NOTHING  # births are never retained (6.4.4): this is somebody's mistake
    payload = decode(heard.payload)
    where = locate(":".join(filter(None, (group, name, device))), "")
    node = memory.node(f"{group}/{name}")
    work = _Work(heard, where, memory, node, device, f"spBv1.0/{group}/NCMD/{name}")
    if kind.endswith("DEATH"):
        return work.death(kind, payload, group, name, locate)
    work.follow(kind, payload)
    return work.birth(payload) if kind.endswith("BIRTH") else work.data(payload)


@dataclass(slots=True)
class _Work:
    """One message on its way through."""

    heard: Heard
    where: Place
    memory: Memory
    node: Node
    device: str
    command: str
    faults: tuple[Fault, ...] = ()
    items: tuple[Content, ...] = ()
    ask: bool = False

    def follow(self, kind: str, payload: Payload) -> None:
        """Does it come next?"""
        node = self.node
        if kind == "NBIRTH":
            node.seq = payload.seq
            if payload.seq != 0:
                self._refuse("bad_seq", f"seq of a birth is {payload.seq}, not 0")
            return
        if payload.seq is None or not 0 <= payload.seq <= 255:
            self._refuse("bad_seq", f"seq is {payload.seq}")
            self.ask = True
            return
        if node.born and node.seq is not None:
            step = (payload.seq - node.seq) % 256
            lost = step - 1
            if lost > 0:  # 0 steps: the same message again
                self.ask = True
                numbers = {"messages_lost": lost}
                self.items += (Reading(self.where.health, self.heard.received_ns, numbers),)
        node.seq = payload.seq

    def birth(self, payload: Payload) -> Outcome:
        node = self.node
        if not self.device:
            self.memory.clear(node)
            node.born, node.bd_seq = True, None
            for metric in payload.metrics:
                if metric.name == "bdSeq" and isinstance(metric.value, int):
                    node.bd_seq = metric.value
        elif not node.born:
            self.ask = True
        self.memory.clear(node, self.device)
        if self.memory.metrics + 2 * len(payload.metrics) > MAX_METRICS:
            raise BadItem(f"too_many_metrics: {MAX_METRICS} are remembered of all nodes")
        table: dict[int | str, Known] = {}
        for metric in payload.metrics:
            known = Known(metric.name, metric.datatype, metric.unit)
            table[metric.name] = known
            if metric.alias is not None:
                table[metric.alias] = known
        node.devices[self.device] = table
        self.memory.metrics += len(table)
        self.items += alive(self.heard, self.where, 1, "online")
        return self._finish(payload, table)

    def data(self, payload: Payload) -> Outcome:
        if not self.node.born or self.device not in self.node.devices:
            self.ask = True
            # Metrics that name themselves can be read all the same.
            if not all(metric.name and metric.datatype for metric in payload.metrics):
                self._refuse("no_birth", "its birth was not heard, aliases mean nothing yet")
        return self._finish(payload, self.node.devices.get(self.device, {}))

    def death(self, kind: str, payload: Payload, group: str, name: str, locate: Locate) -> Outcome:
        node = self.node
        if kind == "DDEATH":
            self.follow(kind, payload)
            self.memory.clear(node, self.device)
            return self._done(alive(self.heard, self.where, 0, "offline"))
        own = next((m.value for m in payload.metrics if m.name == "bdSeq"), None)
        if own is None:
            raise BadItem("bad_bdseq: an NDEATH has a bdSeq")
        if node.born and node.bd_seq is not None and own != node.bd_seq:
            raise BadItem(f"stale_death: bdSeq {own} is not the birth's {node.bd_seq}")
        items = alive(self.heard, self.where, 0, "offline")
        for device in node.devices:
            if device:
                there = locate(f"{group}:{name}:{device}", "")
                items += alive(self.heard, there, 0, "offline")
        self.memory.clear(node)
        node.born, node.seq = False, None
        return self._done(items)

    def _finish(self, payload: Payload, table: dict[int | str, Known]) -> Outcome:
        by_time: dict[tuple[int, int], Values] = {}
        received_ns = self.heard.received_ns
        for metric in payload.metrics:
            name, datatype, unit = self._resolve(metric, table)
            if (
                name == ""
                or name == "bdSeq"
                or name.startswith(("Node Control/", "Device Control/"))
            ):
                continue
            if not 1 <= datatype <= _LAST_PLAIN or metric.value is None:
                continue  # texts, truths, tables, files, null
            rule, sensor = _rule(name, self.where)
            if rule is None:
                self._refuse("unknown_field", f"{name[:60]!r}")
                continue
            stamp = metric.stamp if metric.stamp is not None else payload.stamp
            when = deviceclock.judge(stamp, received_ns, buffered=metric.historical)
            values = by_time.setdefault(when, Values(self.where))
            values.put_by(rule, name, _signed(metric.value, datatype), unit=unit, sensor=sensor)
        found: tuple[Content, ...] = ()
        for (time_ns, quality), values in by_time.items():
            self.faults += values.faults
            values.faults = ()
            found += values.readings(time_ns, quality)
        return self._done(found)

    def _resolve(self, metric: Metric, table: dict[int | str, Known]) -> Known:
        key = metric.name or metric.alias
        known = table.get(key) if key is not None else None
        if known is None:
            if not metric.name and self.node.born:
                self._refuse("unknown_alias", f"alias {metric.alias} is of no birth")
                self.ask = True
            return Known(metric.name, metric.datatype, metric.unit)
        if not metric.unit and metric.datatype in (0, known.datatype):
            return known
        return Known(known.name, metric.datatype or known.datatype, metric.unit or known.unit)

    def _done(self, found: tuple[Content, ...]) -> Outcome:
        send: tuple[tuple[str, bytes], ...] = ()
        node, now_ns = self.node, self.heard.received_ns
        if self.ask and abs(now_ns - node.asked_ns) >= REBIRTH_EVERY_NS:
            node.asked_ns = now_ns
            send = ((self.command, rebirth(now_ns)),)
        return Outcome((*found, *self.items), self.faults, None, send)

    def _refuse(self, reason: str, detail: str) -> None:
        if len(self.faults) < PER_MESSAGE:
            self.faults += (Fault(reason, detail),)


def _rule(name: str, where: Place) -> tuple[Rule | None, str]:
    """The field of `Sensors/Air/Temperature`, and the sensor: `Sensors.Air`."""
    last, sensor = _parted(name)
    rules = where.fields
    return rules.get(name) or rules.get(last) or rules.get(last.lower()), sensor


@lru_cache(4096)
def _parted(name: str) -> tuple[str, str]:
    """The last part of a metric's name, and the sensor that stands before it."""
    before, _, last = name.rpartition("/")
    sensor = ".".join(before.split("/"))[:64]
    return last, sensor if valid_name(sensor) else ""


def _signed(value: Any, datatype: int) -> Any:
    bits = _BITS.get(datatype)
    if bits is None or not isinstance(value, int):
        return value
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def rebirth(now_ns: int) -> bytes:
    """Payload of an NCMD that asks for the birth: timestamp = 1 (ms), and the metric."""
    number, stamp = now_ns // 1_000_000, bytearray(b"\x08")
    while number >= 0x80:
        stamp.append(number & 0x7F | 0x80)
        number >>= 7
    stamp.append(number)
    return bytes(stamp) + REBIRTH


# --- protobuf: sparkplug_b.proto's numbers ---------------------------------------------------


def decode(data: bytes) -> Payload:
    """timestamp = 1, metrics = 2, seq = 3. Raises `BadItem`."""
    stamp = seq = None
    metrics: list[Metric] = []
    for number, kind, value, end in fields(data, 0, len(data)):
        if number == 2 and kind == LEN:
            if len(metrics) >= PER_MESSAGE:
                raise BadItem(f"too_many_fields: more than {PER_MESSAGE} metrics")
            metrics.append(_metric(data, value, end))
        elif number == 1 and kind == VARINT:
            stamp = value
        elif number == 3 and kind == VARINT:
            seq = value
    return Payload(stamp, seq, metrics)


def _metric(data: bytes, at: int, end: int) -> Metric:
    name, alias, stamp, datatype, unit = "", None, None, 0, ""
    historical = null = False
    value: float | int | str | None = None
    for number, kind, start, stop in fields(data, at, end):
        if kind == VARINT:
            if number == 2:
                alias = start
            elif number == 3:
                stamp = start
            elif number == 4:
                datatype = start
            elif number == 5:
                historical = bool(start)
            elif number == 7:
                null = bool(start)
            elif number in (10, 11):
                value = start
        elif kind == LEN:
            if number == 1:
                name = _text(data, start, stop)
            elif number == 9:
                unit = _unit(data, start, stop)
        elif (number, kind) == (12, I32):
            value = round_float(data, start)
        elif (number, kind) == (13, I64):
            value = struct.unpack_from("<d", data, start)[0]
    return Metric(name, alias, stamp, datatype, historical, None if null else value, unit)


def round_float(data: bytes, at: int) -> float:
    """A 32-bit float as the shortest decimal that means it: 21.4, not 21.399999618530273."""
    value: float = struct.unpack_from("<f", data, at)[0]
    return float(f"{value:.7g}")


def _unit(data: bytes, at: int, end: int) -> str:
    """`engUnit` of the metric's properties: keys = 1, values = 2; a value's text is its 8."""
    keys: list[str] = []
    texts: list[str] = []
    for number, kind, start, stop in fields(data, at, end):
        if number == 1 and kind == LEN:
            keys.append(_text(data, start, stop))
        elif number == 2 and kind == LEN:
            texts.append(next(_strings(data, start, stop), ""))
    pairs = dict(zip(keys, texts, strict=False))
    return pairs.get("engUnit", pairs.get("Engineering Units", ""))[:20]


def _strings(data: bytes, at: int, end: int) -> Iterator[str]:
    for number, kind, start, stop in fields(data, at, end):
        if number == 8 and kind == LEN:
            yield _text(data, start, stop)


def _text(data: bytes, start: int, stop: int) -> str:
    if stop - start > 256:
        raise BadItem(f"wrong_shape: a name of {stop - start} bytes")
    try:
        return data[start:stop].decode()
    except UnicodeDecodeError:
        raise BadItem(f"bad_utf8: byte {start} of {len(data)}") from None


CONVENTION = Convention(
    read, memory=Memory, names_devices=True, aliases={"battery": Rule("battery_pct")}
)
