"""The simulated regency as a process of its own, as `toba-hub demo` starts it."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

INVENTORY = Path(__file__).parent.parent / "hub" / "regency" / "toba" / "inventory.yaml"


class FieldProcess:
    """A running field: `ask` sends a command and gives the answer."""

    def __init__(self, *options: str, inventory: Path = INVENTORY) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_stubs", "--inventory", str(inventory), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._rest = b""
        self.addresses = self._line(15.0)

    @property
    def broker(self) -> int:
        port: int = self.addresses["broker"]["port"]
        return port

    def device(self, name: str) -> dict[str, Any]:
        """The device in the inventory that the field gave back."""
        devices: list[dict[str, Any]] = self.addresses["inventory"]["devices"]
        return next(device for device in devices if device["id"] == name)

    def ask(self, **command: Any) -> dict[str, Any]:
        """Raises AssertionError when the field refuses."""
        answer = self.send(json.dumps(command))
        assert answer["ok"], answer
        return answer

    def send(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self._line(10.0)

    def stop(self) -> int:
        """End it by closing its input; the exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(30)
            raise
        finally:
            self.process.stdout.close()

    def _line(self, wait_s: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        stream = self.process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            until = time.monotonic() + wait_s
            while b"\n" not in self._rest:
                assert selector.select(max(0.0, until - time.monotonic())), "the field is silent"
                chunk = self.process.stdout.read1(1 << 20)  # type: ignore[attr-defined]
                assert chunk, "the field ended"
                self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running_field(*options: str, inventory: Path = INVENTORY) -> Iterator[FieldProcess]:
    """A field that is ended afterwards."""
    field = FieldProcess(*options, inventory=inventory)
    try:
        yield field
    finally:
        if field.process.poll() is None:
            field.stop()


def eventually(check: Callable[[], Any], wait_s: float = 10.0) -> Any:
    """What `check` gives as soon as it is true; fails when it never is."""
    until = time.monotonic() + wait_s
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < until, f"still {found!r} after {wait_s} s"
        time.sleep(0.05)
