"""Home Assistant discovery: `homeassistant/{component}/[{node}/]{object}/config`, retained.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery. A config proposes its device for
the inventory and says how its state topic is read: device class and unit tell the field. State and
availability topics must be under a template with this parser as well:

    topics:
      - {template: "homeassistant/#", parser: homeassistant}    # the configs
      - {template: "toba/#", parser: homeassistant}             # what they point to

Of value templates only `{{ value }}` and `{{ value_json.x }}` are read (`x.y` and `['x']` too);
others are refused by name. The memory (entities by topic) comes again from the broker at each
subscription, since configs are retained: it needs no copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
    to_number,
)
from collectors.mqtt.conventions.discovery import CLASSES, IGNORED, expand
from collectors.mqtt.fields import Rule
from collectors.mqtt.parse import Fault
from collectors.mqtt.topics import valid_name
from collectors.mqtt.units import into
from hub.api import BadItem, Proposal

MAX_ENTITIES = 20_000
PER_TOPIC = 64
READ = ("sensor", "number")
"""Components whose states are numbers."""


class Entity(NamedTuple):
    """One value of a state topic."""

    device: str
    path: tuple[str, ...]
    """Where the value is in the JSON; empty: the payload itself."""
    rule: Rule


class Available(NamedTuple):
    device: str
    yes: str
    no: str
    path: tuple[str, ...]


@dataclass(slots=True)
class Memory:
    """What configs said."""

    states: dict[str, dict[str, Entity]] = field(default_factory=dict)
    """State topic → config topic → entity."""
    availability: dict[str, dict[str, Available]] = field(default_factory=dict)
    of_config: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Config topic → the topics that it filled in, so that it can be taken back."""

    def forget(self, config: str) -> None:
        for topic in self.of_config.pop(config, ()):
            for table in (self.states, self.availability):
                entries: dict[str, Any] = table.get(topic, {})
                for key in [k for k in entries if k.partition("\n")[0] == config]:
                    del entries[key]
                if not entries:
                    table.pop(topic, None)


def read(heard: Heard, memory: Memory, locate: Locate) -> Outcome:
    if heard.topic.endswith("/config"):
        return _config(heard, memory)
    if heard.topic in memory.states:
        return _state(heard, memory.states[heard.topic], locate)
    if heard.topic in memory.availability:
        return _availability(heard, memory.availability[heard.topic], locate)
    # Home Assistant's own birth, perhaps, or what another program left at the broker.
    kind = Unexplained if heard.retained or heard.topic.endswith("/status") else TooEarly
    raise kind("no_config: no discovery message says how this topic is read")


def _config(heard: Heard, memory: Memory) -> Outcome:
    memory.forget(heard.topic)
    if not heard.payload.strip():
        return NOTHING  # the entity was deleted
    said = expand(decode_object(heard.payload))
    levels = heard.topic.split("/")
    component = levels[1] if len(levels) > 2 else ""
    about = part(said, "device")
    device = _device(about)
    parts = part(said, "components") if component == "device" else {"": said}
    faults: list[Fault] = []
    topics: list[str] = []
    fields: list[str] = []
    for name, entity in parts.items():
        if not isinstance(entity, dict):
            raise BadItem(f"wrong_shape: component {name[:40]!r} is no object")
        whole = {**{k: v for k, v in said.items() if k != "components"}, **expand(entity)}
        kind = component if component != "device" else str(entity.get("platform", entity.get("p")))
        key = f"{heard.topic}\n{name}"
        topics += _learn_availability(memory, key, whole, device)
        if kind in READ:
            _learn_state(memory, key, whole, device, heard.place.fields, faults, topics, fields)
    if len(memory.of_config) >= MAX_ENTITIES:
        memory.forget(next(iter(memory.of_config)))
    memory.of_config[heard.topic] = tuple(topics)
    facts = _facts(about, said, component, heard.topic, fields)
    return Outcome((Proposal("device", device, facts),), tuple(faults))


def _learn_state(
    memory: Memory,
    key: str,
    said: Mapping[str, Any],
    device: str,
    rules: Mapping[str, Rule],
    faults: list[Fault],
    topics: list[str],
    fields: list[str],
) -> None:
    topic = said.get("state_topic")
    if not isinstance(topic, str) or not topic:
        faults.append(Fault("wrong_shape", f"state_topic is {topic!r:.60}"))
        return
    try:
        path = _path(said.get("value_template"))
        rule = _rule(said, path, rules)
    except BadItem as error:
        reason, _, detail = str(error).partition(": ")
        faults.append(Fault(reason, detail))
        return
    if rule is None:
        return  # of no use here: a counter, a version
    entries = memory.states.setdefault(topic, {})
    if len(entries) >= PER_TOPIC:
        faults.append(Fault("too_many_fields", f"{topic[:80]} has {PER_TOPIC} entities"))
        return
    entries[key] = Entity(device, path, rule)
    topics.append(topic)
    fields.append(rule.field)


def _rule(said: Mapping[str, Any], path: tuple[str, ...], rules: Mapping[str, Rule]) -> Rule | None:
    kind, unit = said.get("device_class"), said.get("unit_of_measurement", "")
    if not isinstance(unit, str) or not (kind is None or isinstance(kind, str)):
        raise BadItem(f"wrong_shape: device_class {kind!r:.30}, unit {unit!r:.30}")
    if kind in IGNORED:
        return None
    ours = CLASSES.get(kind or "")
    if ours is not None:
        rule = into(ours, unit)
        if rule is None:
            raise BadItem(f"wrong_unit: {unit[:20]!r} is no unit of {kind}")
        return rule
    # No class: the name of the value, or of the entity.
    for name in (path[-1] if path else "", str(said.get("name", ""))):
        found = rules.get(name) or rules.get(name.lower().replace(" ", "_"))
        if found is not None:
            stated = into(found.field, unit) if unit else found
            if stated is None:
                raise BadItem(f"wrong_unit: {name[:40]} in {unit[:20]!r} is no {found.field}")
            return stated
    return None


_TEMPLATE = re.compile(
    r"\s*\{\{\s*(value|value_json((?:\.\w+|\[(?:'[^']+'|\"[^\"]+\")\])+))\s*\}\}\s*"
)
_STEP = re.compile(r"\.(\w+)|\['([^']+)'\]|\[\"([^\"]+)\"\]")


def _path(template: object) -> tuple[str, ...]:
    """`{{ value_json.a.b }}` → a, b. Raises `BadItem` naming a template that does more."""
    if template is None:
        return ()
    found = _TEMPLATE.fullmatch(template) if isinstance(template, str) else None
    if found is None:
        raise BadItem(f"value_template: {template!r:.120} is more than {{{{ value_json.x }}}}")
    return tuple("".join(step) for step in _STEP.findall(found[2] or ""))


def _learn_availability(
    memory: Memory, key: str, said: Mapping[str, Any], device: str
) -> list[str]:
    listed = said.get("availability")
    entries = listed if isinstance(listed, list) else [listed] if isinstance(listed, dict) else []
    found = [expand(entry) for entry in entries[:8] if isinstance(entry, dict)]
    own = ("availability_topic", "payload_available", "payload_not_available")
    found.append({k.removeprefix("availability_"): said[k] for k in own if k in said})
    topics = []
    for entry in found:
        topic = entry.get("topic")
        template = entry.get("value_template", said.get("availability_template"))
        if not isinstance(topic, str) or not topic:
            continue
        try:
            path = _path(template)
        except BadItem:
            continue
        yes, no = entry.get("payload_available"), entry.get("payload_not_available")
        one = Available(device, str(yes or "online"), str(no or "offline"), path)
        known = memory.availability.setdefault(topic, {})
        if len(known) < PER_TOPIC:
            known[key] = one
            topics.append(topic)
    return topics


def _device(about: Mapping[str, Any]) -> str:
    """The id: the first identifier, as far as it may name a device."""
    listed = about.get("identifiers", about.get("connections"))
    first = listed[0] if isinstance(listed, list) and listed else listed
    if isinstance(first, list) and first:
        first = first[-1]
    if not isinstance(first, str | int) or isinstance(first, bool):
        raise BadItem("no_device: the config names no device (dev.ids)")
    name = re.sub(r"[^A-Za-z0-9._:-]+", "_", str(first)).strip("_")[:64]
    if not valid_name(name):
        raise BadItem(f"bad_name: {first!r:.60} can't name a device")
    return name


def _facts(
    about: Mapping[str, Any],
    said: Mapping[str, Any],
    component: str,
    topic: str,
    fields: list[str],
) -> dict[str, Any]:
    names = {
        "name": "name", "manufacturer": "manufacturer", "model": "model",
        "sw_version": "firmware", "suggested_area": "place", "via_device": "behind",
    }  # fmt: skip
    facts: dict[str, Any] = {
        ours: str(about[theirs])[:200] for theirs, ours in names.items() if about.get(theirs)
    }
    if isinstance(said.get("expire_after"), int):
        facts["expire_after_s"] = said["expire_after"]
    return {
        "via": "mqtt",
        "by": "homeassistant",
        "component": component,
        "topic": topic,
        **facts,
        **({"fields": ", ".join(fields)} if fields else {}),
    }


def _state(heard: Heard, entities: Mapping[str, Entity], locate: Locate) -> Outcome:
    if not heard.payload:
        return NOTHING
    said: Any = None
    values: dict[str, Values] = {}
    for entity in entities.values():
        if entity.path:
            said = decode_object(heard.payload) if said is None else said
            value: object = _walk(said, entity.path)
        else:
            value = decode_text(heard.payload)
        name = entity.path[-1] if entity.path else entity.rule.field
        value = to_number(value)
        if value is None or value in ("unknown", "unavailable", "None", ""):
            continue
        if entity.device not in values:
            values[entity.device] = Values(locate(entity.device, ""))
        values[entity.device].put_by(entity.rule, name, value)
    items: list[Any] = []
    faults: tuple[Fault, ...] = ()
    for one in values.values():
        items += one.readings(heard.received_ns, heard.quality)
        faults += one.faults
    return Outcome(tuple(items), faults)


def _walk(said: Any, path: tuple[str, ...]) -> object:
    for step in path:
        said = said.get(step) if isinstance(said, dict) else None
    return said


def _availability(heard: Heard, entries: Mapping[str, Available], locate: Locate) -> Outcome:
    if heard.retained or not heard.payload:
        return NOTHING
    states: dict[str, int] = {}
    word: object = ""
    for one in entries.values():
        text = decode_text(heard.payload)
        word = _walk(decode_object(heard.payload), one.path) if one.path else text
        if word in (one.yes, one.no):
            states[one.device] = int(word == one.yes)
    if not states:
        raise BadItem(f"unknown_state: {word!r:.40} is none of the config's two")
    items: tuple[Any, ...] = ()
    for device, up in states.items():
        items += alive(heard, locate(device, ""), up, "online" if up else "offline")
    return Outcome(items)


CONVENTION = Convention(read, memory=Memory, names_devices=True)
