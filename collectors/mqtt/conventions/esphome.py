"""ESPHome: `{device}/sensor/{object_id}/state` with a bare number, `{device}/status`.

https://esphome.io/components/mqtt. The object id is the sensor's name as people wrote it:
its ending tells the field (`living_room_temperature`), what stands before it is the sensor.
Units are not in the message: where a sensor has another one, give its object id in `fields`.
"""

from __future__ import annotations

from collectors.mqtt.conventions.base import (
    NOTHING,
    Convention,
    Heard,
    Locate,
    Outcome,
    Values,
    alive,
    by_ending,
    decode_text,
    to_number,
)
from collectors.mqtt.fields import Rule
from collectors.mqtt.parse import Fault
from hub.api import BadItem, Reading


def read(heard: Heard, _memory: None, _locate: Locate) -> Outcome:
    levels = heard.topic.split("/")
    if levels[-1] == "status":
        word = decode_text(heard.payload)
        if not word:
            return NOTHING
        if word not in ("online", "offline"):
            raise BadItem(f"unknown_state: {word[:40]!r} is neither online nor offline")
        return Outcome(alive(heard, heard.place, int(word == "online"), word))
    if len(levels) < 3 or levels[-1] != "state" or levels[-3] != "sensor":
        return NOTHING  # switches, lights, logs, commands
    name = levels[-2]
    number = _number(decode_text(heard.payload), name)
    if name.lower().endswith("uptime"):
        return _uptime(heard, number)
    values = Values(heard.place)
    found = by_ending(name, heard.place.fields)
    if found is None:
        values.refuse("unknown_field", f"{name[:60]!r}: give it a field in the topic's `fields`")
    else:
        rule, before = found
        values.put_by(rule, name, number, sensor=before.strip("_"))
    return Outcome(values.readings(heard.received_ns, heard.quality), values.faults)


def _number(text: str, name: str) -> float:
    number = to_number(text)
    if not isinstance(number, float):
        raise BadItem(f"wrong_type: {name[:60]} is {text[:40]!r}, not a number")
    return number


def _uptime(heard: Heard, seconds: float) -> Outcome:
    if heard.retained:
        return NOTHING
    if not 0 <= seconds < 1 << 40:
        return Outcome(faults=(Fault("not_finite", f"uptime is {seconds!r:.40}"),))
    health = {"up": 1, "uptime_s": seconds}
    return Outcome((Reading(heard.place.health, heard.received_ns, health),))


CONVENTION = Convention(
    read,
    aliases={
        "pm_2_5": Rule("pm25"),
        "pm_10_0": Rule("pm10"),
        "pm_10": Rule("pm10"),
        "wifi_signal": Rule("rssi_dbm"),
        "carbon_dioxide": Rule("co2_ppm"),
        "battery_level": Rule("battery_pct"),
        "battery": Rule("battery_v"),
    },
)
