"""Sensor.Community (luftdaten.info): what its firmware posts, sent on over MQTT.

https://github.com/opendata-stuttgart/meta/wiki/APIs. Values are text. **P1 is PM10, P2 is PM2.5**;
pressure is in Pa. In the firmware's own API the sensor stands before the name (`SDS_P1`,
`BME280_temperature`). The payload has no time.
"""

from __future__ import annotations

from collectors.mqtt.conventions.base import (
    Convention,
    Heard,
    Locate,
    Outcome,
    Values,
    decode_object,
    to_number,
)
from collectors.mqtt.fields import Rule
from collectors.mqtt.topics import valid_name
from hub.api import BadItem

_ASIDE = {"samples", "min_micro", "max_micro", "interval", "P0", "N05", "N1", "N25", "N4", "N10",
          "TS", "GPS_lat", "GPS_lon", "GPS_height", "GPS_timestamp", "signal_quality"}  # fmt: skip


def read(heard: Heard, _memory: None, locate: Locate) -> Outcome:
    said = decode_object(heard.payload)
    listed = said.get("sensordatavalues")
    if not isinstance(listed, list):
        raise BadItem("wrong_shape: no list sensordatavalues")
    where = heard.place
    if not where.device:
        chip = said.get("esp8266id") or said.get("esp32id") or said.get("sensor")
        if not isinstance(chip, str | int):
            raise BadItem("no_device: neither {device} in the template nor esp8266id in it")
        where = locate(f"esp8266-{chip}" if "esp8266id" in said else str(chip), "")
    values = Values(where)
    if len(listed) > 256:
        raise BadItem(f"too_many_fields: {len(listed)} values")
    for entry in listed:
        name = entry.get("value_type") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            values.refuse("wrong_shape", f"{entry!r:.60} has no value_type")
        elif name.rpartition("_")[2] not in _ASIDE and name not in _ASIDE:
            _put(values, name, entry.get("value"))
    return Outcome(values.readings(heard.received_ns, heard.quality), values.faults)


def _put(values: Values, name: str, value: object) -> None:
    before, _, last = name.rpartition("_")
    rules = values.where.fields
    rule = rules.get(name) or rules.get(last) or rules.get(last.lower())
    if rule is None:
        values.refuse("unknown_field", f"{name[:60]!r}")
        return
    values.put_by(rule, name, to_number(value), sensor=before if valid_name(before) else "")


CONVENTION = Convention(
    read,
    names_devices=True,
    aliases={
        "P1": Rule("pm10"),
        "P2": Rule("pm25"),
        "pressure": Rule("pressure", 0.01),
        "signal": Rule("rssi_dbm"),
        "LAeq": Rule("noise_dba"),
    },
)
