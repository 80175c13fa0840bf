"""From message to receipt: what both transports share.

    transport ─ take(message) ─► parse ─► emit ─► receipt ┐
    transport ◄─ acknowledge(packet ids, in order) ◄──────┘  Acknowledger

A message is acknowledged when its receipt is done, when it was refused (else it would come for
ever), or when it is already in the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from collectors.mqtt.config import Broker, Topic
from collectors.mqtt.fields import ALIASES, Rule
from collectors.mqtt.parse import PARSERS, Parser, Place, place
from collectors.mqtt.sequence import Sequences
from collectors.mqtt.topics import Template, valid_name
from hub.api import BadItem, BadSeries, Emit, Host, Proposal, Receipt, Redelivery, Series, TryAgain

MAX_TOPICS = 200_000
"""Topics whose place is remembered; beyond, the memory is emptied and filled anew."""


class Message(Protocol):
    """What a transport hands over; `mqtt5.PublishPacket` is one as it comes."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def qos(self) -> int: ...
    @property
    def retain(self) -> bool: ...
    @property
    def duplicate(self) -> bool: ...
    @property
    def packet_id(self) -> int | None: ...


Batch = asyncio.Future[Any]
"""What many messages wait for together: `hub.api.Receipt.batch`."""


class Shape(NamedTuple):
    """One configured topic, ready to be matched."""

    template: Template
    parser: Parser
    fields: Mapping[str, Rule]
    known_only: bool
    """Only devices of the inventory; others' messages are none of our business."""


def rules_of(topic: Topic) -> dict[str, Rule]:
    """The common names, and on top those that the topic's settings give."""
    own = {name: Rule(to.field, to.scale, to.offset) for name, to in topic.conversions().items()}
    return {**ALIASES, **own}


class Ignored(NamedTuple):
    """A topic that is subscribed to but not ours to read."""


class Devices:
    """Who is who over all brokers: the inventory, and the unknown ones heard so far.

    Both kinds of name come from the network, so both are bounded.
    """

    def __init__(self, by_topic: Mapping[str, str], max_unknown: int) -> None:
        self.by_topic = by_topic
        """`{device}` level → id in the inventory."""
        self._max_unknown = max_unknown
        self._unknown: dict[str, bool] = {}
        self._sensors: dict[str, dict[str, Series]] = {}

    def admit(self, name: str) -> bool:
        """May this unknown device be stored? False when too many came before it."""
        if name not in self._unknown:
            if len(self._unknown) >= self._max_unknown:
                return False
            self._unknown[name] = False
        return True

    def propose(self, name: str) -> bool:
        """True the first time: somebody should look at this unknown device."""
        first = not self._unknown[name]
        self._unknown[name] = True
        return first

    def sensors(self, device: str) -> dict[str, Series]:
        """The sensors of a device heard so far; whoever adds keeps to `MAX_SENSORS`."""
        return self._sensors.setdefault(device, {})


class Delivery:
    """Takes a broker's messages; lives as long as the collector, over all its connections."""

    def __init__(self, broker: Broker, devices: Devices, host: Host, emit: Emit) -> None:
        self.session = f"{broker.name}/{broker.client_id}"
        self._max_payload = broker.max_payload_bytes
        self._devices = devices
        self._host = host
        self._emit = emit
        self._sequences = Sequences()
        self._received_ns = 0
        self._routes: dict[str, tuple[Parser, Place] | Ignored] = {}
        self._shapes = [
            Shape(
                Template(topic.template),
                PARSERS[topic.parser],
                rules_of(topic),
                known_only=topic.parser == "status",
            )
            for topic in broker.topics
        ]

    def take(self, message: Message, received_ns: int) -> Batch | None:
        """Read one message and hand it over.

        Gives what must be done before it may be acknowledged; None when it may be at once.
        Never raises for what a message holds.
        """
        # No two messages share a receive time: one that brings no time of its own would overwrite
        # the one before it in every store, though both were acknowledged.
        self._received_ns = received_ns = max(received_ns, self._received_ns + 1)
        payload = message.payload
        if len(payload) > self._max_payload:
            self._refuse(f"too_large: {len(payload)} bytes", message.topic)
            return None
        redelivery = None
        packet_id = message.packet_id
        if packet_id:
            redelivery = Redelivery(self.session, packet_id, _digest(message))
            if message.duplicate:
                self._host.count("redelivered")
                if self._host.seen(redelivery):
                    return None
        receipt = self._handed_over(message, payload, received_ns, redelivery)
        return None if receipt is None else receipt.batch

    def _handed_over(
        self, message: Message, payload: bytes, received_ns: int, redelivery: Redelivery | None
    ) -> Receipt | None:
        topic = message.topic
        route = self._routes.get(topic)
        if route is None:
            try:
                route = self._find(topic)
            except (BadItem, BadSeries) as error:
                self._refuse(str(error), topic)
                return None
        if isinstance(route, Ignored):
            self._host.count("ignored")
            return None
        parser, where = route
        try:
            items, seq, faults = parser(where, payload, message.retain, received_ns)
        except (BadItem, BadSeries) as error:
            self._refuse(str(error), topic, where.device)
            return None
        except Exception as error:  # a poison message must not stop the others
            self._host.log.error("BUG: the parser failed", topic=topic, error=repr(error))
            self._refuse(f"parser_failed: {error!r}", topic, where.device)
            return None
        for reason, detail in faults:
            self._host.refuse(reason, f"{detail} ({topic})", where.device)
        if seq is not None and (lost := self._sequences.lost(where.device, seq)):
            self._host.count("sequence_lost", lost)
        if not items:
            return None
        if not where.known and self._devices.propose(where.device):
            facts = {**where.facts, "topic": topic, "via": "mqtt"}
            return self._emit(
                *items, Proposal("device", where.device, facts), redelivery=redelivery
            )
        return self._emit(*items, redelivery=redelivery)

    def _find(self, topic: str) -> tuple[Parser, Place] | Ignored:
        """Where a topic belongs, remembered. Raises `BadItem` or `BadSeries`."""
        route = self._look_up(topic)
        if len(self._routes) >= MAX_TOPICS:
            self._routes.clear()
        self._routes[topic] = route
        return route

    def _look_up(self, topic: str) -> tuple[Parser, Place] | Ignored:
        for shape in self._shapes:
            levels = shape.template.match(topic)
            if levels is None:
                continue
            heard = levels["device"]
            device = self._devices.by_topic.get(heard)
            if device is None and shape.known_only:
                return Ignored()
            if device is None and not (valid_name(heard) and self._devices.admit(heard)):
                raise BadItem(f"unknown_device: {heard[:80]!r}; is not in the inventory")
            return shape.parser, place(
                device or heard,
                levels.get("sensor", ""),
                known=device is not None,
                fields=shape.fields,
                facts={k: v for k, v in levels.items() if k in ("opd", "site")},
                sensors=self._devices.sensors(device or heard),
            )
        raise BadItem("unknown_topic: no template matches")

    def _refuse(self, reason: str, topic: str, device: str = "") -> None:
        word, _, detail = reason.partition(": ")
        self._host.refuse(word, f"{detail} ({topic[:200]})", device)


def _digest(message: Message) -> bytes:
    return blake2b(b"%b\0%b" % (message.topic.encode(), message.payload), digest_size=8).digest()


class Acknowledger:
    """Acknowledges a connection's messages in the order they came, each after its receipt.

    A receipt is watched, never awaited: cancelling us must not cancel what others wait for too.
    """

    def __init__(
        self,
        send: Callable[[list[Message]], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """`send` acknowledges; `failed` is told, once, when a receipt fails."""
        self._send = send
        self._failed = failed
        self._groups: deque[tuple[Batch | None, list[Message]]] = deque()
        self._watched: Batch | None = None
        self._open = True
        self.waiting = 0
        """Messages not yet acknowledged."""

    def add(self, message: Message, batch: Batch | None) -> None:
        """Queue one message; call `flush` after the last of a batch."""
        self.waiting += 1
        groups = self._groups
        if groups and groups[-1][0] is batch:
            groups[-1][1].append(message)
        else:
            groups.append((batch, [message]))

    def flush(self, _done: object = None) -> None:
        """Acknowledge, in one write, what may be."""
        if not self._open:
            return
        ready: list[Message] = []
        groups = self._groups
        failure: BaseException | None = None
        while groups:
            batch, messages = groups[0]
            if batch is not None:
                if not batch.done():
                    break
                failure = _failure(batch)
                if failure is not None:
                    break
            ready += messages
            groups.popleft()
        if ready:
            self.waiting -= len(ready)
            self._send(ready)
        if failure is not None:
            self.close()
            self._failed(failure if isinstance(failure, Exception) else TryAgain(repr(failure)))
        elif groups and groups[0][0] is not self._watched:
            self._watched = groups[0][0]
            if self._watched is not None:
                self._watched.add_done_callback(self.flush)

    def close(self) -> None:
        """Acknowledge nothing more; the broker keeps the rest and sends it again."""
        self._open = False
        for batch, _ in self._groups:
            if batch is not None:
                batch.add_done_callback(_failure)  # a failure is no news to anybody now
        self._groups.clear()


def _failure(batch: Batch) -> BaseException | None:
    """Why a done receipt is no permission to acknowledge."""
    return TryAgain("the receipt was cancelled") if batch.cancelled() else batch.exception()
