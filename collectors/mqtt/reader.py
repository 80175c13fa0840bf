"""One convention on one topic template of a broker: binds its pure `read` to topics.

topic ─► parser(topic) ─► read(heard, memory, locate) ─► items, proposals, what to publish
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from collectors.mqtt.conventions.base import Convention, Heard, Outcome
from collectors.mqtt.devices import Devices
from collectors.mqtt.fields import Rule
from collectors.mqtt.parse import Parsed, Parser, Place, place
from hub.api import Content, Proposal

Send = Callable[[str, bytes], None]


class Reader:
    """`memory` is shared by all templates of the convention on that broker."""

    def __init__(
        self,
        convention: Convention,
        fields: Mapping[str, Rule],
        memory: Any,
        devices: Devices,
        send: Send,
    ) -> None:
        self._convention = convention
        self._fields = fields
        self._memory = memory
        self._devices = devices
        self._send = send
        self._places: dict[str, Place] = {}
        """Of devices that payloads name; `Devices` bounds them."""
        self._strangers: list[str] = []
        """Unknown devices that the message at hand names."""

    def parser(self, topic: str, rest: str) -> Parser:
        """What reads the messages of one topic."""
        read, memory = self._convention.read, self._memory

        def parse(where: Place, payload: bytes, retained: bool, received_ns: int) -> Parsed:
            outcome = read(
                Heard(where, topic, rest, payload, retained, received_ns), memory, self._locate
            )
            for target, body in outcome.send:
                self._send(target, body)
            return self._items(outcome, topic), outcome.seq, outcome.faults

        return parse

    def _locate(self, name: str, sensor: str) -> Place:
        found = self._places.get(name)
        if found is None:
            device, known = self._devices.who(name)
            found = self._places[name] = place(
                device, known=known, fields=self._fields, sensors=self._devices.sensors(device)
            )
        if not found.known:
            self._strangers.append(found.device)
        return found

    def _items(self, outcome: Outcome, topic: str) -> tuple[Content, ...]:
        """The items, and a proposal for each unknown device that is named the first time."""
        strangers, self._strangers = self._strangers, []
        items = outcome.items
        if any(type(item) is Proposal for item in items):
            items = tuple(item for item in items if self._is_news(item))
        for device in dict.fromkeys(strangers) if items else ():
            if self._devices.propose(device):
                items += (Proposal("device", device, {"topic": topic, "via": "mqtt"}),)
        return items

    def _is_news(self, item: Content) -> bool:
        """Not a proposal of what the inventory has."""
        if not isinstance(item, Proposal):
            return True
        _, known = self._devices.who(item.device)
        if not known:
            self._devices.propose(item.device)
        return not known
