"""The hub with 2 000 sensors and five rules that every message meets, ready to be loaded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from hub.journal.files import Mark
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
BEHIND = 40_000
"""Records that a reader of the journal may lag behind before the publisher waits."""


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


def inventory(sensors: int) -> dict[str, Any]:
    site = {"site": "balige", "opd": "dlh"}
    return {
        "sites": [{"id": "balige", "name": "Balige", "lat": 2.33, "lon": 99.08}],
        "opds": [{"id": "dlh", "name": "Dinas Lingkungan Hidup", "site": "balige"}],
        "devices": [
            {"id": device(n), "name": device(n), "kind": "sensor", **site, "collect": {"mqtt": {}}}
            for n in range(sensors)
        ],
    }


class Loaded:
    """A running hub and how far each of its parts has come, in records of the journal."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.pids: dict[str, int] = {}
        for name in ("ingest", "serve"):
            pid = hub.child(name)
            assert pid is not None, f"no {name} process\n{hub.log()}"
            self.pids[name] = pid
        self._mark = Mark(hub.data / "journal", write=False)
        self._behind: dict[str, int] = {"engine": 0, "forward": 0}
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def durable(self) -> int:
        """The last id on disk; behind it the hub acknowledges."""
        return self._mark.get()

    def progress(self) -> dict[str, int]:
        """The last id that is durable, folded and stored."""
        backlog = self.hub.get("/api/v1/health")["backlog"]
        durable = self.durable()
        return {
            "durable": durable,
            "folded": durable - int(backlog["engine"]),
            "stored": durable - int(backlog["forward"]),
        }

    def keeps_up(self) -> bool:
        """False while a reader lags too far behind; known a fifth of a second late."""
        return max(self._behind.values()) < BEHIND

    def cpu(self) -> dict[str, float]:
        """Processor seconds so far, by process."""
        return {name: cpu_s([pid]) for name, pid in self.pids.items()}

    def settle(self, timeout_s: float = 60.0) -> None:
        """Wait until everything durable is folded and stored."""
        wait_for("the backlog to be worked off", self._idle, timeout_s)

    def _idle(self) -> bool:
        now = self.progress()
        return now["durable"] - min(now.values()) <= 3

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            backlog = self.hub.get("/api/v1/health")["backlog"]
            self._behind = {name: int(backlog[name]) for name in self._behind}

    def close(self) -> None:
        self._stop.set()
        self._watcher.join(10)
        self._mark.close()


@contextmanager
def loaded_hub(
    folder: Path, broker: Mosquitto, rules: Sequence[dict[str, Any]] = RULES
) -> Iterator[Loaded]:
    """`toba-hub run` on DuckDB, subscribed to that broker."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.yaml").write_text(rule_file(rules), encoding="utf-8")
    settings = {
        **mqtt(broker.port),
        "rules": {"library": False, "files": ["rules.yaml"]},
    }
    hub = Hub(folder, settings, inventory(SERIES))
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
