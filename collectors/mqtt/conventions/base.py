"""What all conventions share: the message as they get it, what they give, values by name and unit.

A convention is one pure function `read(heard, memory, locate) -> Outcome`:

- `heard`: the message, its topic's place and the receive time;
- `memory`: what earlier messages said that later ones need (units, aliases, counters). One of each
  kind and broker, made by the convention, bounded by it, kept by who calls, lost when the hub ends;
- `locate(name, sensor)`: the `Place` of a device that the payload names, where the topic does not.

What is wrong with the whole message raises `BadItem("reason: detail")`; what is wrong with one
value is a `Fault` beside the good ones.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import msgspec

from collectors.mqtt.fields import Rule
from collectors.mqtt.parse import (
    BEYOND_EARTH,
    MAX_FIELDS,
    Fault,
    Place,
    sensor_series,
    undecodable,
)
from collectors.mqtt.topics import valid_name
from collectors.mqtt.units import into
from hub.api import BadItem, Content, Event, Phrase, Quality, Reading, Series, Value

JOINED = Phrase("joined the LoRaWAN network")
RETAINED = int(Quality.RETAINED)


class Heard(NamedTuple):
    """One message as a convention gets it."""

    place: Place
    """Where the topic belongs; its device is empty where the payload names the device."""
    topic: str
    rest: str
    """What the template's closing `#` stands for: `SENSOR`, `availability`, ``."""
    payload: bytes
    retained: bool
    received_ns: int

    @property
    def quality(self) -> int:
        """RETAINED for what the broker remembers: it tells of the past."""
        return RETAINED if self.retained else 0


class TooEarly(BadItem):
    """What explains this message was not heard yet; the broker may be about to send it."""


class Unexplained(TooEarly):
    """The same, and without an explanation it is nothing that anybody misses."""


class Outcome(NamedTuple):
    """What a message held."""

    items: tuple[Content, ...] = ()
    faults: tuple[Fault, ...] = ()
    seq: int | None = None
    """The device's message counter, unsigned 32 bit, of a live message."""
    send: tuple[tuple[str, bytes], ...] = ()
    """Topic and payload of what should be published in answer."""


NOTHING = Outcome()
Locate = Callable[[str, str], Place]
"""Raises `BadItem` for a name that can't be taken or one device too many."""
Read = Callable[[Heard, Any, Locate], Outcome]


def none() -> None:
    """The memory of a convention that needs none."""


@dataclass(frozen=True, slots=True)
class Convention:
    """A parser as settings choose it."""

    read: Read
    memory: Callable[[], Any] = none
    aliases: Mapping[str, Rule] = field(default_factory=dict)
    """Names of this convention, on top of the common ones of `fields.py`."""
    names_devices: bool = False
    """Payload or topic name the device in a way of their own: templates need no `{device}`."""


K = TypeVar("K")
V = TypeVar("V")


def remember(memory: dict[K, V], key: K, value: V, most: int) -> None:
    """Keep it; beyond `most` the oldest is forgotten."""
    if key not in memory and len(memory) >= most:
        del memory[next(iter(memory))]
    memory[key] = value


_decode = msgspec.json.Decoder().decode


def decode_object(payload: bytes) -> dict[str, Any]:
    """A JSON object. Raises `BadItem`."""
    said = decode_json(payload)
    if not isinstance(said, dict):
        raise BadItem(f"wrong_shape: {type(said).__name__} where an object should be")
    return said


def decode_json(payload: bytes) -> Any:
    """Any JSON. Raises `BadItem`."""
    try:
        return _decode(payload)
    except (ValueError, RecursionError) as error:
        raise undecodable(payload, error) from None


def decode_text(payload: bytes) -> str:
    """Short text without space around it. Raises `BadItem`."""
    try:
        return payload.decode().strip()
    except UnicodeDecodeError as error:
        raise undecodable(payload, error) from None


def to_number(value: object) -> object:
    """A number that came as text; anything else, and any other text, as it is."""
    if isinstance(value, str) and len(value) < 64 and "_" not in value:
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def part(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object inside an object; empty when it is missing. Raises `BadItem`."""
    found = said.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadItem(f"wrong_shape: {name} is {type(found).__name__}, not an object")
    return found


def alive(heard: Heard, where: Place, up: int, word: str) -> tuple[Content, ...]:
    """A sign of life or its end, now: only of a device of the inventory, never a retained one."""
    if not where.known or heard.retained:
        return ()
    said = Phrase("the device says {word}", {"word": word})
    event = Event.saying(where.device, word, heard.received_ns, said)
    return Reading(where.health, heard.received_ns, {"up": up}), event


class Values:
    """Collects the values of one device at one time, by sensor."""

    def __init__(self, where: Place) -> None:
        self.where = where
        self.faults: tuple[Fault, ...] = ()
        self._by_sensor: dict[str, dict[str, Value]] = {}
        self._count = 0

    def put(self, name: str, value: object, *, unit: str = "", sensor: str = "") -> None:
        """Take a value by the name that the payload uses; `unit` is what the payload states."""
        rules = self.where.fields
        rule = rules.get(name) or rules.get(name.lower())
        if rule is None:
            self.refuse("unknown_field", f"{name[:60]!r}: give it a field in the topic's `fields`")
        else:
            self.put_by(rule, name, value, unit=unit, sensor=sensor)

    def put_by(
        self, rule: Rule, name: str, value: object, *, unit: str = "", sensor: str = ""
    ) -> None:
        """Take a value by a rule; a stated unit says more than the rule."""
        if type(value) is not float and type(value) is not int:
            reason = "null_value" if value is None else "wrong_type"
            self.refuse(reason, f"{name[:60]} is {value!r:.40}, not a number")
            return
        if not -BEYOND_EARTH < value < BEYOND_EARTH:  # NaN and infinity fail this too
            self.refuse("not_finite", f"{name[:60]} is beyond any sensor")
            return
        if unit:
            stated = into(rule.field, unit)
            if stated is None:
                self.refuse("wrong_unit", f"{name[:60]} in {unit[:20]!r} is no {rule.field}")
                return
            rule = stated
        self._count += 1
        if self._count > MAX_FIELDS:
            raise BadItem(f"too_many_fields: more than {MAX_FIELDS} values")
        fields = self._by_sensor.get(sensor)
        if fields is None:
            fields = self._by_sensor[sensor] = {}
        fields[rule.field] = value * rule.scale + rule.offset
        if rule.also is not None:
            fields[rule.also[0]] = value * rule.also[1]

    def put_all(self, said: Mapping[str, Any], *, sensor: str = "", deep: bool = True) -> None:
        """Every number of an object; one level down, the key names the sensor.

        `temperature_2` is the temperature of sensor 2, as Cayenne's decoders write it. What is
        neither a number nor known by name is the device's own business.
        """
        if len(said) > 4 * MAX_FIELDS:
            raise BadItem(f"too_many_fields: {len(said)} keys")
        rules = self.where.fields
        for name, value in said.items():
            rule = rules.get(name)
            if rule is not None and type(value) is not dict:  # nearly all
                self.put_by(rule, name, value, sensor=sensor)
            elif isinstance(value, dict):
                if deep:
                    self._put_part(name, value)
            elif type(value) in (int, float) or self._known(name):
                self._put_numbered(name, value, sensor)

    def _put_part(self, name: str, said: Mapping[str, Any]) -> None:
        rule = self.where.fields.get(_snake(name))
        if rule is not None and all(key.isdigit() for key in said):
            for channel, value in said.items():  # Cayenne in ChirpStack: {"temperatureSensor":
                self.put_by(rule, name, value, sensor=channel)  # {"1": 23.5}}
        elif valid_name(name):
            self.put_all(said, sensor=name, deep=False)

    def _put_numbered(self, name: str, value: object, sensor: str) -> None:
        found = None if self._known(name) else _NUMBERED.fullmatch(name)
        if found and self._known(found[1]) and not sensor:
            self.put(found[1], value, sensor=found[2])
        else:
            self.put(name, value, sensor=sensor)

    def _known(self, name: str) -> bool:
        return name in self.where.fields or name.lower() in self.where.fields

    def refuse(self, reason: str, detail: str) -> None:
        if len(self.faults) < MAX_FIELDS:
            self.faults += (Fault(reason, detail),)

    def readings(self, time_ns: int, quality: int) -> tuple[Reading, ...]:
        """Raises `BadItem` when all that there was had to be refused."""
        if self.faults and not self._by_sensor:
            reason, detail = self.faults[0]
            raise BadItem(f"{reason}: {detail}; no value is left")
        return tuple(
            Reading(self.series(sensor), time_ns, fields, quality)
            for sensor, fields in self._by_sensor.items()
        )

    def series(self, sensor: str) -> Series:
        """Of the device itself, or of one of its sensors."""
        where = self.where
        return sensor_series(where.device, sensor, where.sensors) if sensor else where.series


_NUMBERED = re.compile(r"(.+)_(\d{1,3})")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _snake(name: str) -> str:
    """`temperatureSensor` → `temperature`."""
    return _HUMP.sub("_", name).lower().removesuffix("_sensor")


def by_ending(name: str, rules: Mapping[str, Rule]) -> tuple[Rule, str] | None:
    """The rule of the longest known ending of `living_room_temperature`, and what is before it."""
    words = name.lower().split("_")
    for start in range(min(len(words), 12)):
        rule = rules.get("_".join(words[start:]))
        if rule is not None:
            return rule, "_".join(words[:start])
    return None
