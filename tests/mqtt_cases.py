"""The cases of the payload conventions: messages in order, and what must come of each.

    collectors/mqtt/conventions/cases/<convention>/<case>.toml
        [[message]]   topic, payload | hex | cbor | sparkplug, retained
                      expected (lines), errors (reasons), publishes (topics)

They go through the real `Delivery` with the topics of `conventions/sample.yaml`, or of the case.
`cbor` and `sparkplug` are JSON texts that `tests/wire_support.py` encodes, written apart from the
decoders.
"""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from collectors.mqtt.config import Broker
from collectors.mqtt.delivery import Delivery
from collectors.mqtt.devices import Devices
from hub.api import Event, Proposal, Reading
from tests.collector_support import FakeHost, RecordingEmit
from tests.wire_support import cbor_of, sparkplug_of

FOLDER = Path(__file__).parents[1] / "collectors" / "mqtt" / "conventions"
RECEIVED_NS = 1_790_000_030_000_000_000
"""Half a minute after the time that most payloads carry."""
INVENTORY = {
    **{name: name for name in ("dev1", "aq1", "aq2", "buoy1", "plug1", "bridge", "node1")},
    "balige:pi1": "pi1",
    "balige:pi1:air": "pi1-air",
    "Datastreams(7)": "st7",
}
"""What topics and payloads call a device → its id."""


@dataclass(frozen=True)
class Publish:
    """A message as a transport hands it over."""

    topic: str
    payload: bytes
    retain: bool = False
    packet_id: int | None = None
    qos: int = 0
    duplicate: bool = False


@dataclass(frozen=True)
class Said:
    """One message of a case."""

    topic: str
    payload: bytes
    retained: bool
    expected: list[str]
    errors: list[str]
    publishes: list[str]


@dataclass(frozen=True)
class Case:
    convention: str
    name: str
    messages: list[Said]
    topics: list[dict[str, Any]]


def sample_topics() -> list[dict[str, Any]]:
    text = (FOLDER / "sample.yaml").read_text(encoding="utf-8")
    topics: list[dict[str, Any]] = yaml.safe_load(text)["topics"]
    return topics


def cases() -> list[Case]:
    return [load(path) for path in sorted((FOLDER / "cases").glob("*/*.toml"))]


def load(path: Path, change: Any = str) -> Case:
    """`change` may rewrite the file's text first: to move its times, say."""
    about = tomllib.loads(change(path.read_text(encoding="utf-8")))
    messages = [
        Said(
            one["topic"],
            _payload(one),
            one.get("retained", False),
            one.get("expected", []),
            one.get("errors", []),
            one.get("publishes", []),
        )
        for one in about["message"]
    ]
    return Case(path.parent.name, path.stem, messages, about.get("topics", sample_topics()))


def _payload(one: dict[str, Any]) -> bytes:
    if "sparkplug" in one:
        return sparkplug_of(one["sparkplug"])
    if "cbor" in one:
        return cbor_of(one["cbor"])
    if "hex" in one:
        return bytes.fromhex(one["hex"])
    return str(one["payload"]).encode()


def line(item: object) -> str:
    """An item as line protocol with the quality as a last field."""
    if isinstance(item, Event):
        return f"# event {item.device} {item.name}"
    if isinstance(item, Proposal):
        facts = ", ".join(f"{k}={v}" for k, v in item.facts.items() if k not in ("via", "topic"))
        return f"# proposal {item.device}" + (f": {facts}" if facts else "")
    assert isinstance(item, Reading)
    fields = ",".join(
        f"{name}={f'{value}i' if isinstance(value, int) else f'{value:.10g}'}"
        for name, value in sorted(item.fields.items())
    )
    return f"{item.series.key} {fields},quality={item.quality}i {item.time_ns}"


@dataclass
class Came:
    """What one message became."""

    items: list[object] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    published: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [line(item) for item in self.items]


class Bench:
    """A delivery whose messages are looked at one by one."""

    def __init__(self, topics: list[dict[str, Any]], inventory: dict[str, str] | None = None):
        self.host, self.emit = FakeHost(), RecordingEmit()
        broker = Broker.model_validate({"topics": topics})
        known = INVENTORY if inventory is None else inventory
        self.delivery = Delivery(broker, Devices(known, 500), self.host, self.emit)
        self.published: list[tuple[str, bytes]] = []
        self.delivery.publish = lambda topic, payload: self.published.append((topic, payload))

    def take(self, said: Said, received_ns: int = RECEIVED_NS) -> Came:
        self.delivery._received_ns = 0  # each message at the same time, as expectations say it
        before = len(self.emit.items), len(self.host.refused), len(self.published)
        self.delivery.take([Publish(said.topic, said.payload, said.retained)], received_ns)
        return Came(
            list(self.emit.items[before[0] :]),
            [reason for reason, _, _ in self.host.refused[before[1] :]],
            self.published[before[2] :],
        )


async def run(case: Case) -> list[Came]:
    await asyncio.sleep(0)
    bench = Bench(case.topics)
    return [bench.take(said) for said in case.messages]
