"""OGC SensorThings over MQTT: `v1.1/Datastreams(42)/Observations`.

https://docs.ogc.org/is/18-088/18-088.html#mqtt-extension. An observation tells neither its field
nor its unit; in this order:
1. settings: `fields: {"Datastreams(42)": pm25}`;
2. the datastream, expanded inside the observation or heard before on `v1.1/Datastreams(42)`:
   name of its ObservedProperty or its own, and the symbol of its unit.
The device is `datastream-42`, or what the inventory calls `topic_id: "Datastreams(42)"`, or the
`{device}` of the template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from collectors.mqtt import deviceclock
from collectors.mqtt.conventions.base import (
    NOTHING,
    Convention,
    Heard,
    Locate,
    Outcome,
    TooEarly,
    Values,
    decode_object,
    remember,
    to_number,
)
from collectors.mqtt.fields import Rule
from hub.api import BadItem

MOST = 20_000
"""Datastreams that are remembered."""

Memory = dict[str, tuple[str, str]]
"""`Datastreams(42)` → name and unit, as the server told them. After a restart they must be told
again; settings need no memory."""

_ENTITY = re.compile(r"(?:.*/)?(Datastreams\('?([A-Za-z0-9._:-]{1,48})'?\))(/Observations)?")
_SYMBOLS = {"degree Celsius": "°C", "degC": "°C", "percent": "%"}


def read(heard: Heard, memory: Memory, locate: Locate) -> Outcome:
    said = decode_object(heard.payload)
    found = _ENTITY.fullmatch(heard.topic)
    stream = said.get("Datastream")
    if found is None:
        if not isinstance(stream, dict) or "@iot.id" not in stream:
            raise BadItem("no_datastream: the topic names none, nor does the observation")
        key, number = f"Datastreams({stream['@iot.id']})", str(stream["@iot.id"])
    elif found[3] is None:
        _learn(memory, found[1], said)
        return NOTHING
    else:
        key, number = found[1], found[2]
    if isinstance(stream, dict) and "unitOfMeasurement" in stream:
        _learn(memory, key, stream)
    if "result" not in said:
        raise BadItem("wrong_shape: an observation has a result")
    where = heard.place
    rule, unit = where.fields.get(key), ""
    if rule is None:
        name, unit = memory.get(key, ("", ""))
        rule = _by_name(name, where.fields)
    if rule is None:
        raise TooEarly(f"unknown_datastream: {key}: give it a field in the topic's `fields`")
    if not where.device:
        where = _named(locate, key, number)
    values = Values(where)
    result = to_number(said["result"])  # some servers keep what came as text
    values.put_by(rule, key, result, unit=unit)
    stamp = said.get("phenomenonTime") or said.get("resultTime")
    if isinstance(stamp, str):
        stamp = stamp.rpartition("/")[2]  # an interval: its end
    time_ns, quality = deviceclock.judge(stamp, heard.received_ns)
    return Outcome(values.readings(time_ns, quality | heard.quality), values.faults)


def _named(locate: Locate, key: str, number: str) -> Any:
    try:
        return locate(key, "")  # what the inventory calls so
    except BadItem:
        return locate(f"datastream-{number}", "")


def _learn(memory: Memory, key: str, stream: Mapping[str, Any]) -> None:
    observed = stream.get("ObservedProperty")
    name = observed.get("name") if isinstance(observed, dict) else stream.get("name")
    about = stream.get("unitOfMeasurement")
    unit = about.get("symbol") if isinstance(about, dict) else ""
    if isinstance(name, str) and isinstance(unit, str):
        remember(memory, key, (name[:100], _SYMBOLS.get(unit, unit)[:20]), MOST)


def _by_name(name: str, rules: Mapping[str, Rule]) -> Rule | None:
    """`Air Temperature` → temperature."""
    words = re.split(r"[^a-z0-9.]+", name.lower())
    for start in range(min(len(words), 8)):
        rule = rules.get("_".join(words[start:]))
        if rule is not None:
            return rule
    return None


CONVENTION = Convention(read, memory=dict, names_devices=True)
