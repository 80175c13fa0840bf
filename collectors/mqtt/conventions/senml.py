"""SenML, RFC 8428: a list of records in JSON or CBOR (told by the first byte).

Base fields (`bn bt bu bv bs`) hold for the later records too; a record's value is bv + v, its time
bt + t. A time below 2^28 is relative to now (§4.5.3). The name is bn + n: its last part is the
field (`urn:dev:ow:10e2073a01080063:temperature`), where it has none the unit tells; what stands
before is the device, unless the topic names it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from collectors.mqtt import deviceclock
from collectors.mqtt.conventions import cbor
from collectors.mqtt.conventions.base import (
    Convention,
    Heard,
    Locate,
    Outcome,
    Values,
    decode_json,
    remember,
)
from collectors.mqtt.conventions.senml_plan import MOST, Found, Plan, is_plain, made, probe
from collectors.mqtt.fields import Rule
from collectors.mqtt.parse import BEYOND_EARTH, Fault, Place
from collectors.mqtt.topics import valid_name
from collectors.mqtt.units import into
from hub.api import BadItem, Reading

VERSION = 10
RELATIVE = 1 << 28
MAX_RECORDS = 512
LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v",
    3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""What labels are called in CBOR (RFC 8428, table 4)."""
_BASE = frozenset({"bn", "bu", "bt", "bv"})
BY_UNIT = {
    "Cel": "temperature", "K": "temperature", "%RH": "humidity", "Pa": "pressure",
    "hPa": "pressure", "lx": "illuminance_lx", "pH": "ph", "%EL": "battery_pct",
    "NTU": "turbidity_ntu",
}  # fmt: skip
"""The field of a record whose name tells none."""


Memory = dict[tuple[str, int], tuple[Plan | None, int]]
"""Topic and length of a pack in CBOR → its plan, and how many plans there were before."""
PLANS = 4
"""A topic whose packs are of more kinds than that is read record by record."""


def read(heard: Heard, memory: Memory, locate: Locate) -> Outcome:
    payload = heard.payload
    if not payload or not 0x80 <= payload[0] <= 0x9F:
        return _read(heard, locate, _records(payload))
    key = heard.topic, len(payload)
    plan, number = memory.get(key, (None, 0))
    if plan is not None:
        received_ns = heard.received_ns
        found = plan.read(payload, lambda stamp: _when(stamp, received_ns), heard.quality)
        if found:
            return Outcome(found)
    outcome = _read(heard, locate, _records(payload))
    if number < PLANS and not outcome.faults:
        remember(memory, key, (_plan(heard, locate), number + 1), MOST)
    return outcome


def _read(
    heard: Heard, locate: Locate, pack: list[Any], found: list[Found] | None = None
) -> Outcome:
    base = _Base(heard, locate, found)
    for record in pack:
        if not isinstance(record, dict):
            raise BadItem(f"wrong_shape: a record is {type(record).__name__}, not an object")
        base.take({LABELS.get(label, label): value for label, value in record.items()})
    return base.outcome()


def _plan(heard: Heard, locate: Locate) -> Plan | None:
    """How such packs are read quickly; None: they can't be."""
    probed = probe(heard.payload)
    if probed is None:
        return None
    payload, spots = probed
    found: list[Found] = []
    try:
        pack = _records(payload)
        if not is_plain(pack) or _read(heard, locate, pack, found).faults:
            return None
        stamp = _number({LABELS.get(k, k): v for k, v in pack[0].items()}, "bt", 0.0)
    except BadItem:  # a number is where none belongs
        return None
    return made(heard.payload, spots, stamp, found)


def _records(payload: bytes) -> list[Any]:
    if not payload:
        raise BadItem("bad_json: empty")
    first = payload[0]
    pack = cbor.decode(payload) if 0x80 <= first <= 0x9F else decode_json(payload)
    if not isinstance(pack, list):
        raise BadItem(f"wrong_shape: {type(pack).__name__} where a list of records should be")
    if len(pack) > MAX_RECORDS:
        raise BadItem(f"too_many_fields: {len(pack)} records, {MAX_RECORDS} are allowed")
    return pack


class _Base:
    """Base fields as they stand, and what the records gave so far."""

    def __init__(self, heard: Heard, locate: Locate, found: list[Found] | None) -> None:
        """`found` is told each value of a device of the inventory."""
        self._heard = heard
        self._found = found
        self._locate = locate
        self._name, self._unit = "", ""
        self._time, self._value = 0.0, 0.0
        self._values: dict[tuple[str, float], Values] = {}
        self._faults: tuple[Fault, ...] = ()

    def take(self, record: dict[Any, Any]) -> None:
        self._version(record)
        if not record.keys().isdisjoint(_BASE):
            self._name = _text(record, "bn", self._name)
            self._unit = _text(record, "bu", self._unit)
            self._time = _number(record, "bt", self._time)
            self._value = _number(record, "bv", self._value)
        if "v" not in record:
            if any(label in record for label in ("vs", "vb", "vd", "s")):
                name = f"{self._name}{_text(record, 'n', '')}"
                self._refuse("wrong_type", f"{name[:80]!r} has no number v")
            return
        name = self._name + _text(record, "n", "")
        value = _number(record, "v", 0.0) + self._value
        stamp = self._time + _number(record, "t", 0.0)
        unit = _text(record, "u", self._unit)
        rules = self._heard.place.fields
        before, rule, last = _split(name, unit, rules.get)
        if rule is None:
            self._refuse("unknown_field", f"{name[:80]!r} in {unit[:20]!r}")
            return
        where = self._where(before)
        values = self._values.get((where.device, stamp))
        if values is None:
            values = self._values[where.device, stamp] = Values(where)
        sensor = before if self._heard.place.device and valid_name(before) else ""
        values.put_by(rule, last or name, value, unit=unit, sensor=sensor)
        stated = into(rule.field, unit) if unit else rule
        if self._found is not None and where.known and stated is not None:
            self._found.append(Found(values.series(sensor), stated, value))

    def _where(self, name: str) -> Place:
        if self._heard.place.device:
            return self._heard.place
        if not name:
            raise BadItem("no_device: neither {device} in the template nor a base name")
        return self._locate(name, "")

    def _version(self, record: dict[Any, Any]) -> None:
        if record.get("bver", VERSION) != VERSION:
            raise BadItem(f"wrong_version: bver is {record['bver']!r:.40}, {VERSION} is read")
        for label in record:
            if isinstance(label, str) and label.endswith("_"):
                raise BadItem(f"must_understand: label {label[:40]!r} (RFC 8428, 4.4)")

    def _refuse(self, reason: str, detail: str) -> None:
        if len(self._faults) < MAX_RECORDS:
            self._faults += (Fault(reason, detail),)

    def outcome(self) -> Outcome:
        items: list[Reading] = []
        for (_device, stamp), values in self._values.items():
            time_ns, quality = _when(stamp, self._heard.received_ns)
            self._faults += values.faults
            values.faults = ()
            items += values.readings(time_ns, quality | self._heard.quality)
        if self._faults and not items:
            reason, detail = self._faults[0]
            raise BadItem(f"{reason}: {detail}; no value is left")
        return Outcome(tuple(items), self._faults)


def _when(stamp: float, received_ns: int) -> tuple[int, int]:
    """Time and quality of a record's stamp."""
    if stamp == 0:
        return received_ns, 0
    if abs(stamp) < RELATIVE:
        # In seconds before now; a record older than ten minutes is late like any other.
        return deviceclock.judge(received_ns + round(stamp * 1e6) * 1000, received_ns)
    return deviceclock.judge(float(stamp), received_ns)


def _split(
    name: str, unit: str, rule_of: Callable[[str], Rule | None]
) -> tuple[str, Rule | None, str]:
    """Device or sensor part, rule, and last part of a name."""
    before, last = _parted(name)
    rule = rule_of(last) or rule_of(last.lower())
    if rule is not None:
        return before, rule, last
    field = BY_UNIT.get(unit)
    return name.rstrip(":/.-_"), rule_of(field) if field else None, ""


@lru_cache(4096)
def _parted(name: str) -> tuple[str, str]:
    """A name's device or sensor part, and its last part."""
    found = _LAST.match(name)
    return (found[1] or "", found[2]) if found else ("", name)


_LAST = re.compile(r"^(?:(.{0,200})[:/._-])?([^:/]+)$", re.DOTALL)


def _text(record: dict[Any, Any], label: str, otherwise: str) -> str:
    value = record.get(label, otherwise)
    if not isinstance(value, str) or len(value) > 256:
        raise BadItem(f"wrong_type: {label} is {value!r:.40}, not a text")
    return value


def _number(record: dict[Any, Any], label: str, otherwise: float) -> float:
    value = record.get(label)
    if value is None and label not in record:
        return otherwise
    if type(value) is not float and type(value) is not int:
        raise BadItem(f"wrong_type: {label} is {value!r:.40}, not a number")
    if not -BEYOND_EARTH < value < BEYOND_EARTH:
        raise BadItem(f"not_finite: {label} is beyond any sensor")
    return float(value)


CONVENTION = Convention(
    read,
    memory=dict,
    names_devices=True,
    aliases={"voltage": Rule("battery_v"), "battery": Rule("battery_pct")},
)
