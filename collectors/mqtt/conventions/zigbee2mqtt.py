"""Zigbee2MQTT: `zigbee2mqtt/{device}`, `…/{device}/availability`, `zigbee2mqtt/bridge/state`.

https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html. Availability is opt-in there,
`online` bare (1.x) or `{"state": "online"}` (2.x), retained. States may be retained too.
"""

from __future__ import annotations

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
)
from collectors.mqtt.fields import Rule
from hub.api import BadItem

_OWN = {
    "action_duration", "brightness", "calibration", "device_temperature", "max_temperature",
    "min_temperature", "last_seen", "power_outage_count", "sensitivity", "trigger_count",
    "reporting_time", "elapsed", "position", "color_temp", "angle", "update_available",
    "temperature_calibration", "humidity_calibration", "local_temperature_calibration",
}  # fmt: skip
"""Numbers about the device itself."""


def read(heard: Heard, _memory: None, _locate: Locate) -> Outcome:
    last = heard.topic.rsplit("/", 1)[-1]
    if last == "availability" or heard.topic.endswith("/bridge/state"):
        return _availability(heard)
    # set, get: what others tell the device. bridge/…: about the network, not about sensors.
    if heard.rest or "/bridge" in heard.topic:
        return NOTHING
    if not heard.payload:
        return NOTHING  # a retained state was deleted
    said = decode_object(heard.payload)
    values = Values(heard.place)
    values.put_all({k: v for k, v in said.items() if k not in _OWN}, deep=False)
    # `last_seen` is when the coordinator heard the device: ISO 8601 or milliseconds, or left out.
    stamp = said.get("last_seen")
    if isinstance(stamp, str) and deviceclock.to_ns(stamp) is None:
        stamp = None  # ISO_8601_local before a zone was written: nobody knows which
    time_ns, quality = deviceclock.judge(stamp, heard.received_ns)
    return Outcome(values.readings(time_ns, quality | heard.quality), values.faults)


def _availability(heard: Heard) -> Outcome:
    text = decode_text(heard.payload)
    if not text:
        return NOTHING
    word = decode_object(heard.payload).get("state") if text.startswith("{") else text
    if word not in ("online", "offline"):
        raise BadItem(f"unknown_state: {word!r:.40} is neither online nor offline")
    return Outcome(alive(heard, heard.place, int(word == "online"), word))


CONVENTION = Convention(
    read,
    aliases={
        "battery": Rule("battery_pct"),
        "voltage": Rule("battery_v", 0.001),
        "illuminance_lux": Rule("illuminance_lx"),
        "carbon_dioxide": Rule("co2_ppm"),
    },
)
