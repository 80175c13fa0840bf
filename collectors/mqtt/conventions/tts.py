"""The Things Stack v3: `v3/{application}@{tenant}/devices/{device}/up`.

https://www.thethingsindustries.com/docs/integrations/other-integrations/mqtt/ and "Data formats".
Empty, 0 and false are left out of its JSON: a missing `f_cnt` is 0. MQTT there is QoS 0, so a gap
in `f_cnt` is all that tells of a loss.
"""

from __future__ import annotations

from typing import Any

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
)
from collectors.mqtt.conventions.lorawan import counter, strongest
from collectors.mqtt.fields import Rule
from hub.api import BadItem, Event


def read(heard: Heard, _memory: None, _locate: Locate) -> Outcome:
    """Uplinks and joins; other messages of the application server are none of ours."""
    said = decode_object(heard.payload)
    if "join_accept" in said:
        return _joined(heard, said)
    if "uplink_message" not in said:
        if "end_device_ids" in said:  # downlink and service messages
            return NOTHING
        raise BadItem("wrong_shape: neither uplink_message nor end_device_ids; is this v3?")
    up = part(said, "uplink_message")
    values = Values(heard.place)
    decoded = part(up, "decoded_payload")
    if decoded:
        values.put_all(decoded)
    elif up.get("frm_payload"):
        values.refuse(
            "no_decoder",
            f"{up['frm_payload']!r:.60} was not decoded: give the device a payload formatter",
        )
    strongest(values, up.get("rx_metadata"))
    battery = part(up, "last_battery_percentage").get("value")
    if battery is not None:
        values.put("battery_pct", battery)
    stamp = up.get("received_at") or said.get("received_at")
    time_ns, quality = deviceclock.judge(stamp, heard.received_ns)
    seq = None if heard.retained else counter(values, up.get("f_cnt", 0))
    readings = values.readings(time_ns, quality | heard.quality)
    return Outcome(readings, values.faults, seq)


def _joined(heard: Heard, said: dict[str, Any]) -> Outcome:
    if heard.retained:
        return NOTHING
    time_ns, _ = deviceclock.judge(said.get("received_at"), heard.received_ns)
    return Outcome((Event.saying(heard.place.device, "joined", time_ns, JOINED),))


CONVENTION = Convention(read, aliases={"battery": Rule("battery_v")})
