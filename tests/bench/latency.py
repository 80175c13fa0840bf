"""From a sensor's publish to its alert on the board, while 10 000 messages a second come in.

One sensor more publishes a value over and under its limit in turns; the board's event stream says
when the alert is there (or gone). The value is the 99th percentile. Pollers take ten seconds.
"""

from __future__ import annotations

import json
import queue
import random
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.bench.loaded import RULES, Loaded, loaded_hub
from tests.bench.mqtt import QUIET
from tests.bench.publisher import SERIES, device
from tests.bench.report import Options, Result, say
from tests.mosquitto_support import Mosquitto

BACKGROUND = 10_000
WITNESS = device(SERIES - 1)
"""Its `noise_dba` is only published here."""
_RULE = {"name": "loud", "when": {"field": "noise_dba", "above": 70}, "flapping": "off"}
_LOST_S = 15.0
Seen = queue.Queue[tuple[bool, float]]
"""Is the alert on the board, and since when (monotonic seconds)."""


def run(folder: Path, options: Options) -> list[Result]:
    broker = Mosquitto(folder / "broker", QUIET)
    broker.start()
    try:
        with loaded_hub(folder / "hub", broker, [*RULES[1:], _RULE]) as hub:
            load = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.publisher", str(broker.port), "toba",
                 str(BACKGROUND)],
            )  # fmt: skip
            try:
                return [_measure(hub, broker.port, options)]
            finally:
                load.terminate()
                load.wait(10)
    finally:
        broker.stop()


def _measure(hub: Loaded, port: int, options: Options) -> Result:
    seen: Seen = queue.Queue()
    url = f"http://127.0.0.1:{hub.hub.port}/api/v1/stream"
    threading.Thread(target=_listen, args=(url, seen), daemon=True).start()
    client = paho.Client(CallbackAPIVersion.VERSION2, "witness")
    client.connect("127.0.0.1", port)
    client.loop_start()
    time.sleep(3.0)  # until the load is steady
    before, began = hub.durable(), time.monotonic()
    chance, delays = random.Random(5), []
    end = time.monotonic() + options.seconds * options.rounds
    loud = True
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.02, 0.4))  # in no step with the board's own beat
        sent = time.monotonic()
        body = json.dumps({"m": {"noise_dba": 80.0 if loud else 40.0}})
        client.publish(f"toba/v1/dlh/balige/{WITNESS}/telemetry", body, qos=1)
        delays.append(_wait(seen, there=loud) - sent)
        loud = not loud
    rate = (hub.durable() - before) / (time.monotonic() - began)
    client.disconnect()
    client.loop_stop()
    delays.sort()
    p99 = delays[min(len(delays) - 1, round(len(delays) * 0.99))]
    p50 = delays[len(delays) // 2]
    say(f"  {len(delays)} alerts: p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms")
    more: dict[str, object] = {"p50_ms": round(p50 * 1e3, 1), "alerts": len(delays)}
    return Result(
        "latency",
        p99 * 1e3,
        "ms p99",
        peer="poller (10 s)",
        peer_value=10_000.0,
        more={**more, "background": round(rate)},
    )


def _wait(seen: Seen, *, there: bool) -> float:
    """When the board showed the alert, or showed it no more."""
    while True:
        found, at = seen.get(timeout=_LOST_S)
        if found is there:
            return at


def _listen(url: str, seen: Seen) -> None:
    """Tell each time when the alert appears in the event stream and when it goes."""
    shown = False
    try:
        with urllib.request.urlopen(url, timeout=60) as stream:
            for line in stream:
                if not line.startswith(b"data:"):
                    continue
                at = time.monotonic()
                alerts = json.loads(line[5:]).get("alerts")
                if alerts is None:
                    continue  # as before
                now = any(a["rule"] == "loud" and a["state"] == "firing" for a in alerts)
                if now is not shown:
                    shown = now
                    seen.put((shown, at))
    except OSError:
        pass  # the hub ended
