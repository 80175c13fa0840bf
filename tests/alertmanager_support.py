"""A real Prometheus Alertmanager (Debian's) on a free loopback port, without peers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mosquitto_support import free_port

START_S = 30.0
CONFIG = """
global: {resolve_timeout: 1m}
route: {receiver: nobody}
receivers: [{name: nobody}]
"""


class Alertmanager:
    """Can be stopped and started again on its port; it forgets its alerts then, as always."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "alertmanager.yml").write_text(CONFIG)

    def start(self) -> None:
        program = shutil.which("prometheus-alertmanager")
        assert program, "apt-get install prometheus-alertmanager"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self._folder / 'alertmanager.yml'}",
                    f"--storage.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        said = (self._folder / "log").read_text(errors="replace")
        self.stop()
        raise AssertionError(f"alertmanager did not start:\n{said}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def alerts(self) -> list[dict[str, Any]]:
        """What is on, as its API tells; what is over is not among them."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found


@contextmanager
def alertmanager(folder: Path) -> Iterator[Alertmanager]:
    server = Alertmanager(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
