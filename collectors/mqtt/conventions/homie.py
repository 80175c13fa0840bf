"""Homie 4 (`homie/{device}/…`) and 5 (`homie/5/{device}/…`).

https://homieiot.github.io/specification/. A value is text on `{node}/{property}`; what it is stands
in retained attributes: `$datatype` and `$unit` beside it (4), `$description` of the device (5).
A value whose attributes were not heard yet can't be read. They come again from the broker at each
subscription, so the memory needs no copy.
"""

from __future__ import annotations

from collectors.mqtt.conventions.base import (
    NOTHING,
    Convention,
    Heard,
    Locate,
    Outcome,
    TooEarly,
    Unexplained,
    Values,
    alive,
    decode_object,
    decode_text,
    part,
    remember,
    to_number,
)
from collectors.mqtt.topics import valid_name
from hub.api import BadItem

MOST = 50_000
"""Properties that are remembered."""
STATES = {"ready": 1, "alert": 1, "sleeping": 1, "disconnected": 0, "lost": 0, "init": None}
NUMBERS = ("integer", "float")

Memory = dict[tuple[str, str], dict[str, str]]
"""(device's topic, `node/property`) → `datatype` and `unit`."""


def read(heard: Heard, memory: Memory, _locate: Locate) -> Outcome:
    levels = heard.rest.split("/") if heard.rest else []
    root = heard.topic[: len(heard.topic) - len(heard.rest)].rstrip("/")
    if not levels or len(levels) > 3:
        return NOTHING
    last = levels[-1]
    if last == "$state" and len(levels) == 1:
        return _lifecycle(heard)
    if last == "$description" and len(levels) == 1:
        _describe(heard, memory, root)
        return NOTHING
    if len(levels) == 3 and last in ("$datatype", "$unit"):
        key = root, "/".join(levels[:2])
        about = {**memory.get(key, {}), last[1:]: decode_text(heard.payload)[:40]}
        remember(memory, key, about, MOST)
        return NOTHING
    if len(levels) != 2 or any(level.startswith("$") for level in levels):
        return NOTHING  # names, settings, `/set`
    return _value(heard, memory.get((root, heard.rest)), *levels)


def _lifecycle(heard: Heard) -> Outcome:
    word = decode_text(heard.payload).lower()
    if not word:
        return NOTHING  # the device was removed
    if word not in STATES:
        raise BadItem(f"unknown_state: {word[:40]!r} is none of {', '.join(STATES)}")
    up = STATES[word]
    return NOTHING if up is None else Outcome(alive(heard, heard.place, up, word))


def _describe(heard: Heard, memory: Memory, root: str) -> None:
    if not heard.payload:
        return
    nodes = part(decode_object(heard.payload), "nodes")
    for node, about in nodes.items():
        properties = part(about, "properties") if isinstance(about, dict) else {}
        for name, said in properties.items():
            if isinstance(said, dict):
                key = root, f"{node}/{name}"[:200]
                words = {k: str(said[k])[:40] for k in ("datatype", "unit") if k in said}
                remember(memory, key, words, MOST)


def _value(heard: Heard, about: dict[str, str] | None, node: str, name: str) -> Outcome:
    values = Values(heard.place)
    known = name in heard.place.fields
    if about is None or "datatype" not in about:
        if not known:
            return NOTHING
        kind = Unexplained if heard.retained else TooEarly
        raise kind(f"no_datatype: {node}/{name}: its $datatype or $description was not heard")
    if about["datatype"] not in NUMBERS:
        return NOTHING
    number = to_number(decode_text(heard.payload))
    sensor = node if valid_name(node) else ""
    values.put(name, number, unit=about.get("unit", ""), sensor=sensor)
    return Outcome(values.readings(heard.received_ns, heard.quality), values.faults)


CONVENTION = Convention(read, memory=dict)
