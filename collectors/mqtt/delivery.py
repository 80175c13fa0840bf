"""From message to receipt: what both transports share.

    transport ─ take(all of one read) ─► parse each ─► emit at once ─► receipt ┐
    transport ◄─ acknowledge(packet ids, in order) ◄───────────────────────────┘  Acknowledger

What came in one read is acknowledged together, when its receipt is done. A message that was
refused is acknowledged too, else it would come for ever; so is one that is already in the journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from collectors.mqtt.config import Broker, Topic
from collectors.mqtt.conventions import CONVENTIONS
from collectors.mqtt.conventions.base import TooEarly, Unexplained
from collectors.mqtt.devices import Devices
from collectors.mqtt.early import Early
from collectors.mqtt.fields import ALIASES, Rule
from collectors.mqtt.parse import PARSERS, Parser, Place, place
from collectors.mqtt.reader import Reader
from collectors.mqtt.sequence import Sequences
from collectors.mqtt.topics import Template
from hub.api import (
    BadItem,
    BadSeries,
    Content,
    Emit,
    Host,
    Item,
    Message,
    Proposal,
    Reading,
    Redelivery,
    TryAgain,
)

SET_BACK_NS = 10_000_000_000
"""A clock that is behind by more was set; one that is behind by less is caught up with."""
MAX_TOPICS = 200_000
"""Topics whose place is remembered; beyond, the memory is emptied and filled anew."""


class Publish(Protocol):
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


_new = tuple.__new__
"""A named tuple without its constructor's call, for the two that every message needs."""
Batch = asyncio.Future[Any]
"""What many messages wait for together: `hub.api.Receipt.batch`."""


class Route(NamedTuple):
    """Where the messages of a topic belong; found once for each topic.

    A message is told from a later one with its packet id by a CRC over topic and payload and by
    its length: of messages that are sent again after a crash, one in four thousand million would
    be taken for the one that had its packet id before.
    """

    parser: Parser
    place: Place
    crc: int
    """Of the topic: where the digest of its messages begins."""
    convention: str
    """The parser's name in the settings."""


class Held(NamedTuple):
    """A message that came before what explains it."""

    publish: Publish
    route: Route
    received_ns: int
    again: Redelivery | None


class Shape(NamedTuple):
    """One configured topic, ready to be matched."""

    template: Template
    convention: str
    """The parser's name in the settings."""
    parser: Parser | Reader
    fields: Mapping[str, Rule]

    @property
    def known_only(self) -> bool:
        """Only devices of the inventory; others' messages are none of our business."""
        return self.convention == "status"

    def parser_of(self, topic: str, rest: str) -> Parser:
        parser = self.parser
        return parser.parser(topic, rest) if isinstance(parser, Reader) else parser


def rules_of(topic: Topic) -> dict[str, Rule]:
    """The common names, those of the convention, and on top what the topic's settings give."""
    convention = CONVENTIONS.get(topic.parser)
    own = {name: Rule(to.field, to.scale, to.offset) for name, to in topic.conversions().items()}
    return {**ALIASES, **(convention.aliases if convention else {}), **own}


def _nobody(fields: Mapping[str, Rule]) -> Place:
    """The place of a topic whose messages name their devices themselves."""
    return place("-", fields=fields)._replace(device="")


class Ignored(NamedTuple):
    """A topic that is subscribed to but not ours to read."""


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
        self.private: dict[str, Callable[[bytes], None]] = {}
        """Topics whose messages are no sensor's, and who takes their payloads."""
        self._routes: dict[str, Route | Ignored] = {}
        self.publish: Callable[[str, bytes], None] | None = None
        """How to answer a device, while there is a connection."""
        self._early: Early[Held] = Early(self._take_again)
        self._memories: dict[str, Any] = {}
        """What conventions remember, by their name."""
        self._shapes = [self._shape(topic) for topic in broker.topics]

    def _shape(self, topic: Topic) -> Shape:
        name, fields = topic.parser, rules_of(topic)
        convention = CONVENTIONS.get(name)
        if convention is None:
            return Shape(Template(topic.template), name, PARSERS[name], fields)
        memory = self._memories.setdefault(name, convention.memory())
        reader = Reader(convention, fields, memory, self._devices, self._answer)
        template = Template(topic.template, device=not convention.names_devices)
        return Shape(template, name, reader, fields)

    def _answer(self, topic: str, payload: bytes) -> None:
        if self.publish is not None:
            self._host.count("answers")
            self.publish(topic, payload)

    def connected(self) -> None:
        """A connection begins, and with it what the broker kept for us, in whatever order."""
        if any(memory is not None for memory in self._memories.values()):
            self._early.connected()

    def convention_of(self, topic: str) -> str:
        """The parser of a topic that was heard before; empty: it belongs to none."""
        route = self._routes.get(topic)
        return route.convention if isinstance(route, Route) else ""

    def take(self, publishes: Iterable[Publish], received_ns: int) -> tuple[Batch, ...]:
        """Read messages and hand them over.

        Gives what must be done before they may be acknowledged; nothing when they may be at once.
        Never raises for what a message holds.
        """
        handed: list[Item] = []
        before: dict[Batch, None] = {}
        # No two messages share a receive time: one that brings no time of its own would overwrite
        # the one before it in every store, though both were acknowledged.
        # Unless the clock was set back: then time goes on from there.
        if received_ns > self._received_ns - SET_BACK_NS:
            received_ns = max(received_ns, self._received_ns + 1)
        session, routes, longest = self.session, self._routes, self._max_payload
        for publish in publishes:
            payload = publish.payload
            route = routes.get(publish.topic)
            if not isinstance(route, Route) or len(payload) > longest:
                route = self._route(publish)
                if route is None:
                    continue
            packet_id = publish.packet_id
            if not packet_id:
                handed += self._read(publish, route, received_ns, None)
                received_ns += 1
                continue
            digest = crc32(payload, route.crc) << 32 | len(payload)
            again = _new(Redelivery, (session, packet_id, digest))
            if publish.duplicate:
                self._host.count("redelivered")
                receipt = self._host.taken(again)
                if receipt is not None:
                    before[receipt.batch] = None
                    continue
            items = self._read(publish, route, received_ns, again)
            received_ns += 1
            if items:
                handed.append(_new(Message, (again, items, len(payload))))
        self._received_ns = received_ns
        if handed:
            before[self._emit(*handed).batch] = None
        if self._early.done is not None:
            before[self._early.done] = None
        return tuple(before)

    def _take_again(self, held: Sequence[Held]) -> Batch | None:
        """Read what was too early, and hand it over."""
        handed: list[Item] = []
        for publish, route, received_ns, again in held:
            items = self._read(publish, route, received_ns, again)
            if items and again is not None:
                handed.append(Message(again, items, len(publish.payload)))
            else:
                handed += items
        return self._emit(*handed).batch if handed else None

    def _route(self, publish: Publish) -> Route | None:
        """Where a message belongs whose topic is not known yet; None when it is not to be read."""
        topic = publish.topic
        if len(publish.payload) > self._max_payload:
            self._refuse(f"too_large: {len(publish.payload)} bytes", topic)
            return None
        route = self._routes.get(topic)
        if route is None:
            try:
                route = self._find(topic)
            except (BadItem, BadSeries) as error:
                self._refuse(str(error), topic)
                return None
        if isinstance(route, Ignored):
            if tell := self.private.get(topic):
                tell(publish.payload)
                return None
            self._host.count("ignored")
            return None
        return route

    def _read(
        self, publish: Publish, route: Route, received_ns: int, again: Redelivery | None
    ) -> Sequence[Content]:
        """What one message holds; what is refused is counted."""
        topic, payload = publish.topic, publish.payload
        parser, where, _, _ = route
        try:
            items, seq, faults = parser(where, payload, publish.retain, received_ns)
        except TooEarly as error:
            held = Held(publish, route, received_ns, again)
            if self._early.hold(held, len(payload)):
                return ()
            if isinstance(error, Unexplained):
                self._host.count("ignored")
            else:
                self._refuse(str(error), topic, where.device)
            return ()
        except (BadItem, BadSeries) as error:
            self._refuse(str(error), topic, where.device)
            return ()
        except Exception as error:  # a poison message must not stop the others
            self._host.log.error("BUG: the parser failed", topic=topic, error=repr(error))
            self._refuse(f"parser_failed: {error!r}", topic, where.device)
            return ()
        for reason, detail in faults:
            self._host.refuse(reason, f"{detail} ({topic})", where.device)
        if seq is not None and (lost := self._sequences.lost(where.device, seq)):
            self._host.count("sequence_lost", lost)
            items = (*items, Reading(where.health, received_ns, {"messages_lost": lost}))
        if items and not where.known and self._devices.propose(where.device):
            facts = {**where.facts, "topic": topic, "via": "mqtt"}
            return *items, Proposal("device", where.device, facts)
        return items

    def _find(self, topic: str) -> Route | Ignored:
        """Where a topic belongs, remembered. Raises `BadItem` or `BadSeries`."""
        route = self._look_up(topic)
        if len(self._routes) >= MAX_TOPICS:
            self._routes.clear()
        self._routes[topic] = route
        return route

    def _look_up(self, topic: str) -> Route | Ignored:
        if topic in self.private:
            return Ignored()
        for shape in self._shapes:
            levels = shape.template.match(topic)
            if levels is None:
                continue
            heard = levels.get("device")
            if shape.known_only and heard not in self._devices.by_topic:
                return Ignored()
            if heard is None:
                where = _nobody(shape.fields)
            else:
                device, known = self._devices.who(heard)
                where = place(
                    device,
                    levels.get("sensor", ""),
                    known=known,
                    fields=shape.fields,
                    facts={k: v for k, v in levels.items() if k in ("opd", "site")},
                    sensors=self._devices.sensors(device),
                )
            parser = shape.parser_of(topic, levels.get("rest", ""))
            return Route(parser, where, crc32(topic.encode()), shape.convention)
        raise BadItem("unknown_topic: no template matches")

    def _refuse(self, reason: str, topic: str, device: str = "") -> None:
        word, _, detail = reason.partition(": ")
        self._host.refuse(word, f"{detail} ({topic[:200]})", device)


class Acknowledger:
    """Acknowledges a connection's messages in the order they came, each after its receipt.

    A receipt is watched, never awaited: cancelling us must not cancel what others wait for too.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Publish]], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """`send` acknowledges; `failed` is told, once, when a receipt fails."""
        self._send = send
        self._failed = failed
        self._groups: deque[tuple[list[Publish], tuple[Batch, ...]]] = deque()
        self._watched: Batch | None = None
        self._open = True
        self.waiting = 0
        """Messages not yet acknowledged."""

    def add(self, publishes: list[Publish], before: tuple[Batch, ...]) -> None:
        """Acknowledge these messages behind those that wait, when `before` is done."""
        if publishes and self._open:
            self.waiting += len(publishes)
            self._groups.append((publishes, before))
            self._flush()

    def _flush(self, _done: object = None) -> None:
        """Acknowledge, in one write, what may be."""
        if not self._open:
            return
        ready: list[Publish] = []
        groups = self._groups
        undone: Batch | None = None
        failure: BaseException | None = None
        while groups:
            publishes, before = groups[0]
            undone = next((batch for batch in before if not batch.done()), None)
            failure = next(filter(None, map(_failure, before)), None) if undone is None else None
            if undone is not None or failure is not None:
                break
            ready += publishes
            groups.popleft()
        if ready:
            self.waiting -= len(ready)
            self._send(ready)
        if failure is not None:
            self.close()
            self._failed(failure if isinstance(failure, Exception) else TryAgain(repr(failure)))
        elif groups and undone is not self._watched:
            self._watched = undone
            if undone is not None:
                undone.add_done_callback(self._flush)

    def close(self) -> None:
        """Acknowledge nothing more; the broker keeps the rest and sends it again."""
        self._open = False
        for _, before in self._groups:
            for batch in before:
                batch.add_done_callback(_failure)  # a failure is no news to anybody now
        self._groups.clear()


def _failure(batch: Batch) -> BaseException | None:
    """Why a done receipt is no permission to acknowledge."""
    return TryAgain("the receipt was cancelled") if batch.cancelled() else batch.exception()
