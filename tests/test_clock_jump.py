"""The machine's clock is set back by a day under a running hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.hub_support import INVENTORY, Hub, mqtt, wait_for
from tests.mosquitto_support import Mosquitto, broker
from tests.reload_support import DIRTY, write

DAY_NS = 86_400_000_000_000


def faked(clock: Path) -> dict[str, str]:
    """The environment of a process whose wall clock is moved by what stands in that file."""
    [library] = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "NO_FAKE_STAT": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def test_a_clock_set_back_by_a_day_is_said_and_alerts_and_storing_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    with broker(tmp_path) as server:
        hub = Hub(
            tmp_path / "hub",
            {**mqtt(server.port), "rules": {"files": ["rules.yaml"]}},
            INVENTORY,
        )
        write(tmp_path / "hub", DIRTY)
        with monkeypatch.context() as environment:
            for name, value in faked(clock).items():
                environment.setenv(name, value)
            hub.start()
        try:
            sent = said(hub, server, 80.0, "firing")
            clock.write_text("-1d\n")
            wait_for("the log to say so", lambda: "the clock jumped" in hub.log())
            assert "by_s=-864" in hub.log() or "by_s=-863" in hub.log()
            for value, state in ((10.0, "resolved"), (90.0, "firing")):
                sent += said(hub, server, value, state)
            # The last of all: when the hub has it, no other one is on its way.
            server.publish("toba/v1/dlh/balige/aq1/telemetry", '{"m":{"pm25":91.5}}')
            sent += 1
            wait_for("the last one", lambda: "91.5" in str(hub.get("/api/v1/devices/aq1")))
            wait_for(
                "all to be stored", lambda: not hub.get("/api/v1/health")["backlog"]["forward"]
            )
        finally:
            hub.stop()
        rows = hub.rows("SELECT time, pm25 FROM environment ORDER BY time")
    assert len(rows) == sent
    times = [row[0] for row in hub.rows("SELECT time FROM environment WHERE pm25 = 80")]
    later = [row[0] for row in hub.rows("SELECT time FROM environment WHERE pm25 < 80")]
    assert max(later) < min(times) - DAY_NS // 2, "what came after it has the clock's time"
    assert len(set(later)) == len(later)


def said(hub: Hub, server: Mosquitto, value: float, state: str) -> int:
    """Publish until the alert is in that state; how many messages it took."""
    sent = 0

    def reached() -> bool:
        nonlocal sent
        sent += 1
        body = f'{{"m":{{"pm25":{value}}}}}'
        server.publish("toba/v1/dlh/balige/aq1/telemetry", body)
        states = {alert["device"]: alert["state"] for alert in alerts(hub)}
        return states.get("aq1", "resolved") == state

    wait_for(f"{value} to be {state}", reached)
    return sent


def alerts(hub: Hub) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hub.get("/api/v1/alerts")
    return found
