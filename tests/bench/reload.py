"""A thousand rules reloaded under 20 000 messages a second: how late the latest reading is judged.

The hub as a whole, with broker and board. One sensor more publishes a value over and under its
limit in turns, and the board's event stream says when the alert is there (or gone); meanwhile
`toba-hub reload` brings rules of which a tenth has another limit. The value is the longest delay
from a reload's beginning until a while after its end. No standing alert may move.
"""

from __future__ import annotations

import queue
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.latency import WITNESS, Seen, _listen, _wait
from tests.bench.loaded import RULES, Loaded, loaded_hub, rule_file
from tests.bench.mqtt import QUIET
from tests.bench.publisher import connect_packet, publish_packet
from tests.bench.report import Options, Result, median, say
from tests.bench.rules import _FIELDS
from tests.mosquitto_support import Mosquitto

RATE = 20_000
USUAL_S = 5.0
AFTER_S = 3.0
"""The serve process reads the files when the reload has been answered."""
STANDING = {
    "name": "humid",
    "when": {"field": "humidity", "above": 1},
    "where": {"device": "aq00*"},
}
LOUD = {"name": "loud", "when": {"field": "noise_dba", "above": 70}, "flapping": "off"}


def run(folder: Path, options: Options) -> list[Result]:
    broker = Mosquitto(folder / "broker", QUIET)
    broker.start()
    try:
        with loaded_hub(folder / "hub", broker, _rules(0)) as hub:
            load = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.publisher", str(broker.port), "toba", str(RATE)]
            )
            try:
                return [_measure(hub, broker.port, max(3, options.rounds))]
            finally:
                load.terminate()
                load.wait(10)
    finally:
        broker.stop()


def _rules(change: int) -> list[dict[str, Any]]:
    fields = [field for field in _FIELDS if field != "noise_dba"]
    others = [
        {
            "name": f"other_{n}",
            "when": {
                "field": fields[n % len(fields)] if n % 3 else "pm25",
                "above": 1000 + n + (change if n % 10 == 0 else 0),
            },
            "where": {"kind": "sensor"} if n % 3 else {"device": f"elsewhere-{n}"},
        }
        for n in range(1000 - len(RULES) - 1)
    ]
    return [*RULES[1:], STANDING, LOUD, *others]


def _measure(hub: Loaded, port: int, rounds: int) -> Result:
    seen: Seen = queue.Queue()
    url = f"http://127.0.0.1:{hub.hub.port}/api/v1/stream"
    threading.Thread(target=_listen, args=(url, seen), daemon=True).start()
    witness = Witness(port, seen)
    time.sleep(4.0)  # until the load is steady
    before, began = hub.durable(), time.monotonic()
    usual = witness.watch(lambda: time.monotonic() - began > USUAL_S)
    standing = _standing(hub)
    latest: list[float] = []
    lasted: list[float] = []
    for number in range(rounds):
        reload = Reload(hub, _rules(number + 1))
        latest.append(witness.watch(reload.over))
        lasted.append(reload.lasted_s)
        say(f"  reload {number + 1}: latest {latest[-1]:.2f} s; it took {reload.lasted_s:.1f} s")
    rate = (hub.durable() - before) / (time.monotonic() - began)
    assert standing, "no alert stands"
    assert _standing(hub) == standing, "an alert moved"
    witness.close()
    more = {"usual_s": round(usual, 3), "reload_s": round(median(lasted), 1), "rate": round(rate)}
    return Result(
        "reload", median(latest), "s late", more={**more, "worst_s": round(max(latest), 2)}
    )


def _standing(hub: Loaded) -> dict[str, tuple[str, Any]]:
    """How the alerts stand that nothing but a reload could move, and since when."""
    return {
        one["key"]: (one["state"], one["since_ms"])
        for one in hub.hub.get("/api/v1/alerts")
        if one["rule"] == "humid"
    }


class Reload:
    """One reload, by the command, beside everything."""

    def __init__(self, hub: Loaded, rules: list[dict[str, Any]]) -> None:
        (hub.hub.path.parent / "rules.yaml").write_text(rule_file(rules), encoding="utf-8")
        self._path = hub.hub.path
        self._began = time.monotonic()
        self._ended = 0.0
        threading.Thread(target=self._run).start()

    def _run(self) -> None:
        command = [sys.executable, "-m", "hub", "reload", "-s", str(self._path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "100 changed" in done.stdout or "99 changed" in done.stdout, done
        self._ended = time.monotonic()

    def over(self) -> bool:
        return bool(self._ended) and time.monotonic() - self._ended > AFTER_S

    @property
    def lasted_s(self) -> float:
        return self._ended - self._began


class Witness:
    """A sensor that is loud and quiet in turns."""

    def __init__(self, port: int, seen: Seen) -> None:
        self._seen = seen
        self._chance = random.Random(5)
        self._loud = False
        self._number = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(connect_packet("witness"))
        assert self._socket.recv(4) == b"\x20\x02\0\0"

    def watch(self, over: Callable[[], bool]) -> float:
        """Publish again and again until it is over; the longest delay, seconds."""
        worst = 0.0
        while not over():
            time.sleep(self._chance.uniform(0.02, 0.15))  # in no step with the board's own beat
            self._loud, self._number = not self._loud, self._number % 60_000 + 1
            sent = time.monotonic()
            body = b'{"m":{"noise_dba":%d}}' % (80 if self._loud else 40)
            to = f"toba/v1/dlh/balige/{WITNESS}/telemetry"
            self._socket.sendall(publish_packet(to, self._number, body))
            worst = max(worst, _wait(self._seen, there=self._loud) - sent)
            self._socket.recv(4096)  # acknowledgements
        return worst

    def close(self) -> None:
        self._socket.close()
