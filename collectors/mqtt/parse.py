"""Payload in, readings out: pure, no clock, no I/O.

A parser takes `(place, payload, retained, received_ns)` and gives `Parsed`. What is wrong with the
whole message raises `BadItem`; what is wrong with one value is a fault beside the good ones.

`telemetry` reads the project's own convention:

    {"v":1,"id":"aq1","ts":1790000000,"seq":17,"up":3600,"rssi":-71,"vbat":3.9,"buf":false,
     "m":{"pm25":12.5,"t":23.1,"rh":81}}

`status` reads what a device or its Will says about itself: `online`, `offline`, `sleeping`, bare or
as `{"state": …}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from collectors.mqtt import deviceclock
from collectors.mqtt.fields import ALIASES, Rule
from collectors.mqtt.topics import valid_name
from hub.api import BadItem, Content, Event, Phrase, Quality, Reading, Series, Value

MAX_FIELDS = 64
"""Fields of one message; more is no sensor."""

MAX_SENSORS = 64
"""Sensors of one device."""

BEYOND_EARTH = 1e15
"""Larger than anything in any unit we take; keeps sums and means of stores finite."""


class Place(NamedTuple):
    """Where a topic belongs; made once per topic."""

    device: str
    """Id in the inventory."""
    known: bool
    """In the inventory?"""
    series: Series
    """`environment` of that device and the topic's `{sensor}`, if it has one."""
    health: Series
    """`device` with probe=mqtt."""
    fields: Mapping[str, Rule]
    """Payload name → canonical field."""
    facts: Mapping[str, str]
    """opd and site as the topic says, for a proposal."""
    sensors: dict[str, Series]
    """`environment` of the device's sensors by name; grows with what payloads name."""


class Fault(NamedTuple):
    """One value that was refused."""

    reason: str
    detail: str


Parsed = tuple[tuple[Content, ...], int | None, tuple[Fault, ...]]
"""What a message held: items; the device's message counter when the message is live (neither
retained nor buffered); what was refused. A plain tuple, since one is made for every message."""

_RETAINED = int(Quality.RETAINED)

Parser = Callable[[Place, bytes, bool, int], Parsed]


def place(
    device: str,
    sensor: str = "",
    *,
    known: bool = True,
    fields: Mapping[str, Rule] = ALIASES,
    facts: Mapping[str, str] | None = None,
    sensors: dict[str, Series] | None = None,
) -> Place:
    """A `Place` with its series made; `sensors` is shared by all places of the device.

    Raises `BadItem` for a name that can't be taken, or for one sensor too many.
    """
    if sensors is None:
        sensors = {}
    return Place(
        device,
        known,
        sensor_series(device, sensor, sensors),
        Series.of("device", device, probe="mqtt"),
        fields,
        facts or {},
        sensors,
    )


def sensor_series(device: str, sensor: str, sensors: dict[str, Series]) -> Series:
    """`environment` of a device's sensor. Raises `BadItem` for a bad name or one too many."""
    series = sensors.get(sensor)
    if series is None:
        if sensor and not valid_name(sensor):
            raise BadItem(f"bad_name: {sensor[:80]!r} can't name a sensor")
        if len(sensors) >= MAX_SENSORS:
            raise BadItem(f"too_many_sensors: {device} has {MAX_SENSORS} already")
        series = sensors[sensor] = Series.of("environment", device, sensor=sensor)
    return series


class _Telemetry(msgspec.Struct):
    m: dict[str, Any]
    ts: Any = None
    seq: Any = None
    up: Any = None
    rssi: Any = None
    vbat: Any = None
    buf: bool = False
    tsync: bool = True
    sensor: str = ""


_decode_telemetry = msgspec.json.Decoder(_Telemetry).decode
_decode_any = msgspec.json.Decoder().decode


def telemetry(where: Place, payload: bytes, retained: bool, received_ns: int) -> Parsed:
    """Readings of the project's own JSON convention. Raises `BadItem` with `reason: detail`."""
    try:
        said = _decode_telemetry(payload)
    except (ValueError, RecursionError) as error:
        raise undecodable(payload, error) from None
    measured = said.m
    if len(measured) > MAX_FIELDS:
        raise BadItem(f"too_many_fields: {len(measured)} fields, {MAX_FIELDS} are allowed")
    buffered = said.buf
    time_ns, quality = deviceclock.judge(said.ts, received_ns, buffered=buffered, synced=said.tsync)
    if retained:
        quality |= _RETAINED
    fields, faults = _convert(measured, where.fields)
    if said.rssi is not None or said.vbat is not None:
        radio = {"rssi": said.rssi, "vbat": said.vbat}
        more, faulty = _convert({k: v for k, v in radio.items() if v is not None}, ALIASES)
        fields, faults = {**fields, **more}, faults + faulty
    if faults and not fields:
        raise BadItem(f"{faults[0].reason}: {faults[0].detail}; no value is left")
    items: tuple[Content, ...] = ()
    if fields:
        series = where.series
        if said.sensor:
            series = sensor_series(where.device, said.sensor, where.sensors)
        items = (Reading(series, time_ns, fields, quality),)
    if retained or buffered:
        return items, None, faults
    if said.up is not None:
        if type(said.up) is int and 0 <= said.up < 1 << 40:
            health: dict[str, Value] = {"up": 1, "uptime_s": float(said.up)}
            items = (*items, Reading(where.health, time_ns, health, quality))
        else:
            faults += (Fault("wrong_type", f"up is {said.up!r:.40}"),)
    seq = said.seq
    if seq is not None and (type(seq) is not int or not 0 <= seq < 1 << 32):
        faults += (Fault("wrong_type", f"seq is {seq!r:.40}, not an unsigned 32-bit number"),)
        seq = None
    return items, seq, faults


_STATES = {"online": 1, "offline": 0, "sleeping": 1}


def status(where: Place, payload: bytes, retained: bool, received_ns: int) -> Parsed:
    """What a device says of itself, or the broker by its Will.

    Only a device of the inventory is believed. `offline` is a hint, not a verdict: it becomes a
    reading `up=0` and an event; a retained message tells of the past and becomes nothing.
    JSON without `state` (a camera's heartbeat, say) belongs to somebody else.
    """
    if not where.known or retained or not payload:
        return (), None, ()
    word, stamp = _state(payload)
    if word is None:
        return (), None, ()
    up = _STATES.get(word)
    if up is None:
        raise BadItem(f"unknown_state: {word[:40]!r} is none of {', '.join(_STATES)}")
    # A Will was written when the device connected: its own time is not when it happened.
    time_ns, quality = (
        (received_ns, 0) if word == "offline" else deviceclock.judge(stamp, received_ns)
    )
    event = Event.saying(
        where.device, word, time_ns, Phrase("the device says {word}", {"word": word})
    )
    return (Reading(where.health, time_ns, {"up": up}, quality), event), None, ()


def _state(payload: bytes) -> tuple[str | None, object]:
    try:
        text = payload.decode().strip()
    except UnicodeDecodeError as error:
        raise undecodable(payload, error) from None
    if not text.startswith(("{", "[", '"')):
        return text.lower(), None
    try:
        said = _decode_any(payload)
    except (ValueError, RecursionError) as error:
        raise undecodable(payload, error) from None
    if isinstance(said, str):
        return said.lower(), None
    state = said.get("state") if isinstance(said, dict) else None
    return (state.lower(), said.get("ts")) if isinstance(state, str) else (None, None)


def _convert(
    measured: Mapping[str, Any], rules: Mapping[str, Rule]
) -> tuple[dict[str, Value], tuple[Fault, ...]]:
    """Values by canonical name and in its unit, and what can't be taken."""
    fields: dict[str, Value] = {}
    faults: tuple[Fault, ...] = ()
    for name, value in measured.items():
        rule = rules.get(name) or rules.get(name.lower())
        kind = type(value)
        if rule is None:
            faults += (Fault("unknown_field", f"{name[:40]!r}"),)
        elif kind is not float and kind is not int:
            reason = "null_value" if value is None else "wrong_type"
            faults += (Fault(reason, f"{name[:40]} is {value!r:.40}, not a number"),)
        elif not -BEYOND_EARTH < value < BEYOND_EARTH:  # NaN and infinity fail this too
            faults += (Fault("not_finite", f"{name[:40]} is beyond any sensor"),)
        else:
            field, scale, offset, also = rule
            fields[field] = value * scale + offset
            if also is not None:
                fields[also[0]] = value * also[1]
    return fields, faults


def undecodable(payload: bytes, error: Exception) -> BadItem:
    """Name the fault as its cause, since Python and JSON call many things one."""
    if isinstance(error, msgspec.ValidationError):
        return BadItem(f"wrong_shape: {error}")
    try:
        text = payload.decode()
    except UnicodeDecodeError as bad:
        return BadItem(f"bad_utf8: byte {bad.start} of {len(payload)}")
    if any(word in text for word in ("NaN", "Infinity", "nan", "inf")):
        return BadItem(f"not_finite: NaN and Infinity are no JSON; {error}")
    if isinstance(error, RecursionError):
        return BadItem("bad_json: nested too deeply")
    return BadItem(f"bad_json: {error}")


PARSERS: Mapping[str, Parser] = {"telemetry": telemetry, "status": status}
"""Conventions by the name that settings use. A new one is a function here and a folder of cases."""
