"""Tasmota: `tele/{device}/{SENSOR|STATE|LWT}`; `FullTopic` may order the levels otherwise.

https://tasmota.github.io/docs/MQTT/. `{"Time": …, "BME280": {"Temperature": 20.6}, "TempUnit":
"C"}`: the key is the sensor, units stand beside. `Time` has no zone unless the device adds one;
then the receive time counts. LWT is `Online` or `Offline`, retained.
"""

from __future__ import annotations

from typing import Any

from collectors.mqtt import deviceclock
from collectors.mqtt.conventions.base import (
    NOTHING,
    Convention,
    Heard,
    Locate,
    Outcome,
    Values,
    alive,
    decode_object,
    decode_text,
    part,
)
from collectors.mqtt.fields import Rule
from collectors.mqtt.topics import valid_name
from hub.api import BadItem, Content, Reading

_UNITS = {"temperature": "TempUnit", "pressure": "PressureUnit", "wind_ms": "SpeedUnit"}


def read(heard: Heard, _memory: None, _locate: Locate) -> Outcome:
    kind = heard.topic.rsplit("/", 1)[-1]
    if kind not in ("SENSOR", "STATE", "LWT"):
        kind = next((k for k in ("SENSOR", "STATE", "LWT") if k in heard.topic.split("/")), "")
    if kind == "LWT":
        word = decode_text(heard.payload)
        if word not in ("Online", "Offline"):
            if not word:
                return NOTHING  # the retained message was deleted
            raise BadItem(f"unknown_state: {word[:40]!r} is neither Online nor Offline")
        return Outcome(alive(heard, heard.place, int(word == "Online"), word.lower()))
    if not kind:
        return NOTHING
    said = decode_object(heard.payload)
    time_ns, quality = _time(said.get("Time"), heard.received_ns)
    quality |= heard.quality
    values = Values(heard.place)
    if kind == "STATE":
        return _state(heard, said, values, time_ns, quality)
    for name, value in said.items():
        if isinstance(value, dict):
            if name == "ENERGY":  # of a plug, nothing of the environment
                continue
            if not valid_name(name):
                values.refuse("bad_name", f"{name[:60]!r} can't name a sensor")
                continue
            _sensor(said, name, value, values)
    return Outcome(values.readings(time_ns, quality), values.faults)


def _sensor(said: dict[str, Any], name: str, value: dict[str, Any], values: Values) -> None:
    rules = values.where.fields
    for key, number in value.items():
        rule = rules.get(f"{name}.{key}") or rules.get(key) or rules.get(key.lower())
        if rule is None:
            if type(number) in (int, float) and key not in _ASIDE:
                values.refuse("unknown_field", f"{name}.{key}"[:80])
            continue
        unit = said.get(_UNITS.get(rule.field, ""), "")
        if not isinstance(unit, str):
            values.refuse("wrong_unit", f"{_UNITS[rule.field]} is {unit!r:.40}")
            continue
        values.put_by(rule, key, number, unit=_WORDS.get(unit, unit), sensor=name)


_ASIDE = {
    "Id", "DewPoint", "HeatIndex", "CF1", "CF2.5", "CF10", "PM1", "PB0.3", "PB0.5", "PB1",
    "PB2.5", "PB5", "PB10", "Gas", "eCO2", "TVOC", "SeaPressure", "Battery", "RSSI",
}  # fmt: skip
"""Numbers that sensors add and that are no field of ours."""

_WORDS = {"hPa": "hPa", "mmHg": "mmHg", "ms": "m/s", "kmh": "km/h", "kn": "kn", "mph": "mph"}


def _state(
    heard: Heard, said: dict[str, Any], values: Values, time_ns: int, quality: int
) -> Outcome:
    items: tuple[Content, ...] = ()
    uptime = said.get("UptimeSec")
    if type(uptime) is int and 0 <= uptime < 1 << 40 and not heard.retained:
        health = {"up": 1, "uptime_s": float(uptime)}
        items = (Reading(heard.place.health, time_ns, health, quality),)
    signal = part(said, "Wifi").get("Signal")
    if signal is not None:
        values.put("rssi", signal)
    if isinstance(said.get("Vcc"), int | float):
        values.put("vbat", said["Vcc"])
    return Outcome((*values.readings(time_ns, quality), *items), values.faults)


def _time(stamp: object, received_ns: int) -> tuple[int, int]:
    """A time without a zone is the device's wall clock, which nobody knows: it says nothing."""
    if isinstance(stamp, str) and deviceclock.to_ns(stamp) is None:
        return received_ns, 0
    return deviceclock.judge(stamp, received_ns)


CONVENTION = Convention(
    read,
    aliases={
        "carbondioxide": Rule("co2_ppm"),
        "speed": Rule("wind_ms"),
        "directiondegrees": Rule("wind_dir_deg"),
    },
)
