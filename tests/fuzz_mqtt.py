"""Breaks payloads of every convention in every way that comes to mind, and looks what parsers do.

    python -m tests.fuzz_mqtt --count 1000000            (`make fuzz`)

Starts from the payloads of all cases: bytes flipped, cut, doubled and spliced, JSON taken apart and
put together with other keys and values, topics exchanged. The messages go through the real
`Delivery`, so memories live on from one to the next. Found are: an exception that is no refusal, a
refusal without a reason, a payload that takes more than 50 ms of CPU, a value that no store can
hold, memory that grows without a bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collectors.mqtt.config import Broker
from collectors.mqtt.conventions import sparkplug
from collectors.mqtt.delivery import Delivery
from collectors.mqtt.devices import Devices
from hub.api import Message, Reading
from tests.collector_support import FakeHost, RecordingEmit
from tests.mqtt_cases import INVENTORY, RECEIVED_NS, Publish, cases, sample_topics

MOST_MS = 50.0
REASON = re.compile(r"[a-z0-9_]{3,40}")
OWN = [
    {"template": "toba/v1/{opd}/{site}/{device}/telemetry", "parser": "telemetry"},
    {"template": "toba/v1/{opd}/{site}/{device}/status", "parser": "status"},
    {"template": "luft/#", "parser": "sensorcommunity"},
]
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 7, 255, 2**31, 2**32, 2**63, -(2**63), 2**64, 1e15, -1e15, 1e16,
    1e308, 0.1, 1790000000, 1790000000000, 1790000000000000000, 946684800, "", "x", "1e999", "nan",
    "inf", "-inf", "1_0", "\x00", "\ud800", "é" * 40, "a" * 300, "../..", "${x}", "{{ value }}",
    "online", "offline", "{{ value_json.x }}", "2026-09-21T14:13:20Z", "0000-00-00", [], {}, [[]],
    [1, 2], {"a": {"b": {}}}, [{}], {"": ""}, {"1": 1}, "Cel", "%RH", "°F", "°C",
]  # fmt: skip


@dataclass
class Found:
    """What went wrong, and how much was tried."""

    count: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    readings: int = 0
    slowest_ms: float = 0.0
    slowest: tuple[str, bytes] = ("", b"")
    wrong: list[str] = field(default_factory=list)


class Mutator:
    """Deterministic by its seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        said = [(one.topic, one.payload) for case in cases() for one in case.messages]
        folder = Path(__file__).parents[1] / "collectors" / "mqtt" / "testcases"
        for path in sorted(folder.glob("*/input.bin")):
            kind = "status" if path.parent.name.startswith("status") else "telemetry"
            said.append((f"toba/v1/dlh/balige/aq1/{kind}", path.read_bytes()))
        self._seeds = said
        self._documents = [d for d in (_json(p) for _, p in said) if isinstance(d, dict | list)]
        self._keys = sorted({key for d in self._documents for key in _keys(d)})
        self._topics = [topic for topic, _ in said]

    def next(self) -> Publish:
        roll = self._random
        topic, payload = roll.choice(self._seeds)
        if roll.random() < 0.1:
            topic = roll.choice(self._topics)
        elif roll.random() < 0.03:
            topic = self._bend(topic.encode()).decode("utf-8", "replace").replace("+", "")
        document = _json(payload)
        if isinstance(document, dict | list) and roll.random() < 0.85:
            for _ in range(roll.randint(1, 3)):
                document = self._change(document, 0)
            payload = json.dumps(document).encode()
            if roll.random() < 0.15:
                payload = self._bend(payload)
        else:
            for _ in range(roll.randint(1, 3)):
                payload = self._bend(payload)
        return Publish(topic, payload, roll.random() < 0.1)

    def _change(self, said: Any, depth: int) -> Any:
        roll = self._random
        if depth > 12 or not isinstance(said, dict | list) or not said or roll.random() < 0.15:
            return self._any()
        if isinstance(said, list):
            at = roll.randrange(len(said))
            if roll.random() < 0.1:
                return said * roll.randint(2, 40) if len(said) < 200 else said[:1]
            return [*said[:at], self._change(said[at], depth + 1), *said[at + 1 :]]
        key = roll.choice(list(said))
        changed = dict(said)
        way = roll.random()
        if way < 0.15:
            del changed[key]
        elif way < 0.3:
            changed[roll.choice(self._keys)] = changed.pop(key)
        elif way < 0.45:
            changed[roll.choice(self._keys)] = self._any()
        else:
            changed[key] = self._change(said[key], depth + 1)
        return changed

    def _any(self) -> Any:
        roll = self._random
        return roll.choice(self._documents) if roll.random() < 0.15 else roll.choice(ODD)

    def _bend(self, payload: bytes) -> bytes:
        roll = self._random
        way = roll.randrange(8)
        at = roll.randint(0, len(payload))
        if way == 0:
            return payload[:at]
        if way == 1:
            return payload[:at] + bytes([roll.randrange(256)]) + payload[at + 1 :]
        if way == 2:
            return payload[:at] + roll.randbytes(roll.randint(1, 9)) + payload[at:]
        if way == 3:
            to = roll.randint(at, len(payload))
            return payload[:to] + payload[at:to] * roll.randint(1, 5) + payload[to:]
        if way == 4:
            other = roll.choice(self._seeds)[1]
            return payload[:at] + other[roll.randint(0, len(other)) :]
        if way == 5:
            to = roll.randint(at, len(payload))
            return payload[:at] + payload[to:]
        if way == 6:
            deep = roll.choice([b"[", b'{"a":', b"\x81", b"\x9f", b"\x12\x7f", b"\xc1"])
            return payload[:at] + deep * roll.choice([5, 300, 8000]) + payload[at:]
        return roll.randbytes(roll.randint(0, 200))


def _json(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _keys(said: Any) -> Iterator[str]:
    if isinstance(said, dict):
        for key, value in said.items():
            yield key
            yield from _keys(value)
    elif isinstance(said, list):
        for value in said:
            yield from _keys(value)


class Fuzzer:
    """A delivery that is fed; call `feed` inside an event loop."""

    def __init__(self) -> None:
        self.found = Found()
        self._host, self._emit = FakeHost(), RecordingEmit()
        self._devices = Devices(INVENTORY, 500)
        broker = Broker.model_validate({"topics": [*sample_topics(), *OWN]})
        self.delivery = Delivery(broker, self._devices, self._host, self._emit)
        self.delivery.publish = self._sent

    def _sent(self, topic: str, payload: bytes) -> None:
        if not topic.startswith("spBv1.0/") or not payload:
            self.found.wrong.append(f"published {topic!r} {payload!r}")

    def feed(self, message: Publish) -> None:
        before = time.process_time()
        self.delivery.take([message], RECEIVED_NS)
        took_ms = (time.process_time() - before) * 1e3
        found = self.found
        found.count += 1
        if took_ms > found.slowest_ms:
            found.slowest_ms, found.slowest = took_ms, (message.topic, message.payload)
        if took_ms > MOST_MS:
            self._complain(message, f"took {took_ms:.0f} ms of CPU")
        for reason, detail, _ in self._host.refused:
            found.refused[reason] += 1
            if reason == "parser_failed" or not REASON.fullmatch(reason) or not detail:
                self._complain(message, f"refused as {reason!r}: {detail[:200]}")
        self._host.refused.clear()
        for item in self._emit.items:
            self._look(message, item)
        self._emit.items.clear()

    def _look(self, message: Publish, item: object) -> None:
        assert not isinstance(item, Message)
        if not isinstance(item, Reading):
            return
        self.found.readings += 1
        if type(item.time_ns) is not int or item.time_ns <= 0 or not item.fields:
            self._complain(message, f"gave {item}")
        for name, value in item.fields.items():
            if type(value) not in (int, float) or not abs(value) < 1e25:
                self._complain(message, f"gave {name} = {value!r}")

    def _complain(self, message: Publish, what: str) -> None:
        if len(self.found.wrong) < 20:
            self.found.wrong.append(f"{message.topic!r} {message.payload[:300]!r} {what}")

    def memories(self) -> dict[str, int]:
        """How much conventions remember."""
        kept = {}
        for name, memory in self.delivery._memories.items():
            if isinstance(memory, sparkplug.Memory):
                kept["sparkplug nodes"] = len(memory.nodes)
                kept["sparkplug metrics"] = memory.metrics
            elif hasattr(memory, "of_config"):
                kept[f"{name} configs"] = len(memory.of_config)
            elif memory is not None:
                kept[name] = len(memory)
        return kept


def fuzz(count: int, seed: int, *, tell: bool = False) -> Fuzzer:
    fuzzer, mutator = Fuzzer(), Mutator(seed)

    async def work() -> None:
        began = time.monotonic()
        for number in range(1, count + 1):
            fuzzer.feed(mutator.next())
            if number % 10_000 == 0:
                await asyncio.sleep(0)
                if tell:
                    rate = number / (time.monotonic() - began)
                    sys.stderr.write(f"\r{number} of {count}, {rate:.0f}/s ")

    asyncio.run(work())
    if tell:
        sys.stderr.write("\n")
    return fuzzer


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.fuzz_mqtt", description=__doc__)
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    told = options.parse_args()
    fuzzer = fuzz(told.count, told.seed, tell=True)
    found = fuzzer.found
    report = {
        "payloads": found.count,
        "seed": told.seed,
        "readings": found.readings,
        "refused": dict(found.refused.most_common()),
        "slowest_ms": round(found.slowest_ms, 2),
        "slowest": [found.slowest[0], repr(found.slowest[1][:80]), len(found.slowest[1])],
        "memories": fuzzer.memories(),
        "wrong": found.wrong,
    }
    sys.stdout.write(json.dumps(report, ensure_ascii=False, indent=1) + "\n")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
