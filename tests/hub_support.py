"""The real hub, both processes under its supervisor, for tests that look at the whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tests.mosquitto_support import free_port

START_S = 40.0
STOP_S = 30.0

INVENTORY: dict[str, Any] = {
    "sites": [{"id": "balige", "name": "Balige", "lat": 2.33, "lon": 99.08}],
    "opds": [{"id": "dlh", "name": "Dinas Lingkungan Hidup", "site": "balige"}],
    "devices": [
        {
            "id": f"aq{n}",
            "name": f"Sensor udara {n}",
            "kind": "sensor",
            "site": "balige",
            "opd": "dlh",
            "collect": {"mqtt": {}},
        }
        for n in range(1, 6)
    ],
}


def wait_for(what: str, test: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """The first true answer. Raises AssertionError naming what never came."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = test()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {timeout_s:g} s for {what}")


class Hub:
    """`toba-hub run` in a folder of the test."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        inventory: Mapping[str, Any],
        port: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port or free_port()
        self.path = folder / "toba-hub.yaml"
        self.data = folder / "data"
        base = {
            "web": {"host": "127.0.0.1", "port": self.port, "auth": "demo"},
            "store": {"kind": "duckdb", "linger_ms": 50},
            "collectors": {},
            "rules": {"library": False},
        }
        self.path.write_text(yaml.safe_dump({**base, **settings}), encoding="utf-8")
        (folder / "inventory.yaml").write_text(yaml.safe_dump(dict(inventory)), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self._log = folder / "hub.log"

    def start(self) -> None:
        """Start it and wait until both processes answer."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hub", "run", "-s", str(self.path)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        try:
            wait_for("the hub to be healthy", self.healthy, START_S)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.log()}") from None

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise AssertionError(f"the hub did not end on Ctrl-C\n{self.log()}") from None
        finally:
            self.process = None

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def child(self, name: str) -> int | None:
        """Process id of "ingest" or "serve", found below the supervisor's own."""
        if self.process is None:
            return None
        for path in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for text in path.read_text().split():
                try:
                    words = Path(f"/proc/{text}/cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if b"hub.app" in words and name.encode() in words:
                    return int(text)
        return None

    def kill(self, name: str) -> bool:
        """kill -9 one process; False when it is not there right now."""
        pid = self.child(name)
        if pid is None:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def get(self, path: str) -> Any:
        """A JSON answer of the API. Raises OSError while it can't be had."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return json.load(answer)

    def post(self, path: str, body: Mapping[str, Any], method: str = "POST") -> Any:
        """A change by the API. Raises OSError when it is refused."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def healthy(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the hub ended with {self.process.returncode}\n{self.log()}")
        try:
            return bool(self.get("/healthz")["ok"])
        except (urllib.error.URLError, OSError, ValueError):
            return False

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the DuckDB file; the hub must be stopped, since it alone may have it open."""
        with duckdb.connect(str(self.data / "readings.duckdb"), read_only=True) as db:
            return db.execute(sql).fetchall()


@contextmanager
def running(
    folder: Path,
    settings: Mapping[str, Any],
    inventory: Mapping[str, Any] = INVENTORY,
    port: int | None = None,
) -> Iterator[Hub]:
    hub = Hub(folder, settings, inventory, port)
    hub.start()
    try:
        yield hub
    finally:
        hub.stop()


def mqtt(port: int, **more: Any) -> dict[str, Any]:
    """Settings for one broker."""
    return {"collectors": {"mqtt": {"brokers": [{"name": "main", "port": port, **more}]}}}
