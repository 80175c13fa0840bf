"""A real mosquitto on a free loopback port, for as long as a test needs it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_S = 15.0


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """As many different ones."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Mosquitto:
    """A broker that can be stopped and started again on its port, keeping its sessions on disk."""

    def __init__(self, folder: Path, config: str = "", port: int | None = None) -> None:
        self.port = port or free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        store = folder / f"store-{self.port}"
        store.mkdir(exist_ok=True)
        anonymous = "" if "allow_anonymous" in config else "allow_anonymous true\n"
        user = "" if "user " in config else "user root\n"
        self._file.write_text(
            f"listener {self.port} 127.0.0.1\n{anonymous}{user}"
            f"persistence true\npersistence_location {store}/\nlog_type all\n"
            f"max_queued_messages 0\nmax_inflight_messages 0\n{config}\n"
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self._file)], stderr=log, stdout=log
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise AssertionError(f"mosquitto did not start:\n{self.log()}")

    def stop(self, *, kill: bool = False) -> None:
        """End it by its own process id; `kill` = at once, nothing is saved."""
        if self._process is None:
            return
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def log(self) -> str:
        """What it said so far: every packet, in and out."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def publish(self, topic: str, payload: str | bytes, *options: str, qos: int = 1) -> None:
        """Publish by the real `mosquitto_pub`; returns when the broker acknowledged."""
        body = payload.encode() if isinstance(payload, str) else payload
        subprocess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-V", "5", "-q", str(qos),
             "-t", topic, "-s", *options],
            input=body, check=True, timeout=20,
        )  # fmt: skip


@contextmanager
def broker(folder: Path, config: str = "") -> Iterator[Mosquitto]:
    """A running broker with its handle, ended afterwards."""
    server = Mosquitto(folder, config)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def mosquitto(folder: Path, config: str = "") -> Iterator[int]:
    """A running broker's port."""
    with broker(folder, config) as server:
        yield server.port
