"""The hub with 2 000 sensors and five rules that every message meets, ready to be loaded."""

from __future__ import annotations

import re
import threading
import time
import urllib.request
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml

from hub.journal import Kind, Reader
from hub.records import MESSAGE_BYTES
from tests.bench.publisher import LIMIT, SERIES, device
from tests.bench.report import cpu_s
from tests.hub_support import Hub, mqtt, wait_for
from tests.mosquitto_support import Mosquitto

RULES: list[dict[str, Any]] = [
    {"name": "pm25_high", "when": {"field": "pm25", "above": LIMIT, "clear_below": 45}},
    {"name": "pm25_hour", "when": {"field": "pm25", "mean": "1h", "above": LIMIT}, "for": "10m"},
    {"name": "hot", "when": {"field": "temperature", "above": 35}, "for": "5m"},
    {"name": "dry", "when": {"field": "humidity", "below": 20}, "for": "5m"},
    {"name": "silent", "when": {"absent": "30m"}, "where": {"kind": "sensor"}},
]
"""Each message meets all five; one is a window, one is crossed."""
_outline = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw, dict[str, bytes]]).decode
_REFUSED = re.compile(r'toba_hub_refused\w*\{.*collector="mqtt"')
BEHIND = 40_000
"""Messages that a reader of the journal may lag behind before the publisher waits."""


def rule_file(rules: Sequence[dict[str, Any]]) -> str:
    """YAML of these rules, all about `environment`, with what every rule needs."""
    return yaml.safe_dump(
        {
            "rules": [
                {
                    **rule,
                    "title": {
                        "id": f"{rule['name']} {{device}}",
                        "en": f"{rule['name']} {{device}}",
                    },
                    "when": {"measurement": "environment", **rule["when"]},
                    "severity": "warning",
                }
                for rule in rules
            ]
        }
    )


def itself(number: int) -> dict[str, Any]:
    """The section of a device that is called the same in topics."""
    return {}


def inventory(sensors: int, section: Callable[[int], dict[str, Any]] = itself) -> dict[str, Any]:
    site = {"site": "balige", "opd": "dlh"}
    return {
        "sites": [{"id": "balige", "name": "Balige", "lat": 2.33, "lon": 99.08}],
        "opds": [{"id": "dlh", "name": "Dinas Lingkungan Hidup", "site": "balige"}],
        "devices": [
            {
                "id": device(n),
                "name": device(n),
                "kind": "sensor",
                **site,
                "collect": {"mqtt": section(n)},
            }
            for n in range(sensors)
        ],
    }


class Loaded:
    """A running hub and how far each of its parts has come, in MQTT messages."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.pids: dict[str, int] = {}
        for name in ("ingest", "serve"):
            pid = hub.child(name)
            assert pid is not None, f"no {name} process\n{hub.log()}"
            self.pids[name] = pid
        self._ids: list[int] = [0]
        self._messages: list[int] = [0]
        """How many messages there are up to each of `_ids`."""
        self._lag = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._count, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    def durable(self) -> int:
        """Messages on disk; the hub acknowledges them."""
        return self._messages[-1]

    def progress(self) -> dict[str, int]:
        """How many messages are durable, folded and stored."""
        last_id, durable = self._ids[-1], self._messages[-1]
        backlog = self.hub.get("/api/v1/health")["backlog"]
        return {
            "durable": durable,
            "folded": self._up_to(last_id - int(backlog["engine"])),
            "stored": self._up_to(last_id - int(backlog["forward"])),
        }

    def _up_to(self, record_id: int) -> int:
        return self._messages[max(0, bisect_right(self._ids, record_id) - 1)]

    def keeps_up(self) -> bool:
        """False while a reader lags too far behind; known a fifth of a second late."""
        return self._lag < BEHIND

    def cpu(self) -> dict[str, float]:
        """Processor seconds so far, by process."""
        return {name: cpu_s([pid]) for name, pid in self.pids.items()}

    def refused(self) -> int:
        """Messages and values that the collector did not take, whatever the reason."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.hub.port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return sum(int(float(one.split()[-1])) for one in lines if _REFUSED.match(one))

    def settle(self, timeout_s: float = 60.0) -> None:
        """Wait until everything durable is folded and stored."""
        wait_for("the backlog to be worked off", self._idle, timeout_s)

    def _idle(self) -> bool:
        now = self.progress()
        return now["durable"] == min(now.values())

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            try:
                now = self.progress()
            except OSError:  # a busy hub answers late
                continue
            self._lag = now["durable"] - min(now.values())

    def _count(self) -> None:
        """Read the journal as the hub's own readers do."""
        reader = Reader(self.hub.data / "journal")
        while not self._stop.is_set():
            for record in reader.read():
                count = messages_in(record.payload) if record.kind == Kind.READINGS else 0
                self._messages.append(self._messages[-1] + count)
                self._ids.append(record.id)
            time.sleep(0.002)
        reader.close()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


def messages_in(payload: bytes) -> int:
    """MQTT messages of one record; a hub's own readings are none.

    `hub.records.redeliveries_in` would take as much of the processor as a part of the hub does.
    """
    _, _, messages = _outline(payload)
    return sum(map(len, messages.values())) // MESSAGE_BYTES


@contextmanager
def loaded_hub(
    folder: Path,
    broker: Mosquitto,
    rules: Sequence[dict[str, Any]] = RULES,
    store: Mapping[str, Any] | None = None,
    topics: Sequence[Mapping[str, Any]] | None = None,
    section: Callable[[int], dict[str, Any]] = itself,
) -> Iterator[Loaded]:
    """`toba-hub run`, subscribed to that broker; on DuckDB if no `store` is given, to the
    project's own topics if there are no others. `section`: of each sensor, under `collect.mqtt`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(rule_file(rules), encoding="utf-8")
    settings = {
        **mqtt(broker.port, **({"topics": list(topics)} if topics else {})),
        "store": dict(store or {"kind": "duckdb"}),
        "rules": {"library": False, "files": ["rules.yaml"]},
    }
    hub = Hub(folder, settings, inventory(SERIES, section))
    hub.start()
    try:
        wait_for("the hub's subscription", lambda: "broker is up" in hub.log(), 30)
        loaded = Loaded(hub)
        try:
            yield loaded
        finally:
            loaded.close()
    finally:
        hub.stop()
