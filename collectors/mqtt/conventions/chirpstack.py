"""ChirpStack v4: `application/{id}/device/{devEui}/event/{up|join|status|log|…}`, JSON.

https://www.chirpstack.io/docs/chirpstack/integrations/events.html. `object` is there only where
the device profile has a codec. One uplink may be published again: `deduplicationId` tells.
"""

from __future__ import annotations

from collectors.mqtt import deviceclock
from collectors.mqtt.conventions.base import (
    JOINED,
    NOTHING,
    Convention,
    Heard,
    Locate,
    Outcome,
    Values,
    decode_object,
    part,
    remember,
)
from collectors.mqtt.conventions.lorawan import counter, strongest
from collectors.mqtt.fields import Rule
from hub.api import BadItem, Event

MOST = 20_000
"""Devices whose last uplink is remembered."""

Memory = dict[str, str]
"""Device → `deduplicationId` of its last uplink. Nothing of it must survive a restart."""


def read(heard: Heard, memory: Memory, _locate: Locate) -> Outcome:
    """`up`, `status`, `join` and errors of `log`; the other events are none of ours."""
    kind = heard.topic.rsplit("/", 1)[-1]
    if kind not in ("up", "status", "join", "log"):
        return NOTHING
    said = decode_object(heard.payload)
    if "devEUI" in said:
        raise BadItem("wrong_shape: this is ChirpStack v3 JSON (devEUI); v4 is read here")
    if not part(said, "deviceInfo"):
        raise BadItem("wrong_shape: no deviceInfo")
    time_ns, quality = deviceclock.judge(said.get("time"), heard.received_ns)
    quality |= heard.quality
    values = Values(heard.place)
    device = heard.place.device
    if kind in ("join", "log"):
        if heard.retained or (kind == "log" and said.get("level") != "ERROR"):
            return NOTHING
        if kind == "join":
            return Outcome((Event.saying(device, "joined", time_ns, JOINED),))
        text = f"{said.get('code', '')!s:.60}: {said.get('description', '')!s:.200}"
        return Outcome((Event(device, "lorawan_error", time_ns, text),))
    if kind == "status":
        if not said.get("batteryLevelUnavailable") and "batteryLevel" in said:
            values.put("battery_pct", said["batteryLevel"])
        return Outcome(values.readings(time_ns, quality), values.faults)
    again = said.get("deduplicationId")
    if isinstance(again, str) and not heard.retained:
        if memory.get(device) == again:
            return NOTHING
        remember(memory, device, again[:64], MOST)
    decoded = part(said, "object")
    if decoded:
        values.put_all(decoded)
    elif said.get("data"):
        values.refuse(
            "no_decoder", f"{said['data']!r:.60} was not decoded: give the device profile a codec"
        )
    strongest(values, said.get("rxInfo"))
    seq = None if heard.retained else counter(values, said.get("fCnt", 0))
    return Outcome(values.readings(time_ns, quality), values.faults, seq)


CONVENTION = Convention(
    read, memory=dict, aliases={"humidity_sensor": Rule("humidity"), "battery": Rule("battery_v")}
)
