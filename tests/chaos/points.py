"""Where a process dies: the named crash points, each a patch of one seam of the product."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import paho.mqtt.client as paho

import hub.journal.files
import hub.ledger
from collectors.mqtt import transport5
from collectors.mqtt.delivery import Publish
from hub.notify import outbox

INGEST = ("before_fsync", "after_fsync", "before_puback")
SERVE = ("stored_cursor_not_moved", "snapshot_half_written", "sent_not_marked")
RANDOM = "random"

LATEST = {
    "before_fsync": 150,
    "after_fsync": 150,
    "before_puback": 150,
    "stored_cursor_not_moved": 12,
    "snapshot_half_written": 4,
    "sent_not_marked": 12,
}
"""The point strikes at the latest when it is reached for the n-th time."""


class Trap:
    """Kills this very process when its point is reached for the n-th time."""

    def __init__(self, crash: str, hits: Path) -> None:
        """`crash` is `point:n` or, where the point has several ways, `point:n:way`."""
        self.point, number, self.way = (crash + "::").split(":")[:3]
        self._left = int(number or 1)
        self._hits = hits
        self.chance = random.Random()

    def due(self) -> bool:
        """Call it where the point is; True: `spring` now."""
        self._left -= 1
        return self._left == 0

    def spring(self) -> NoReturn:
        """Note the hit, which the kernel keeps, and end as `kill -9` does."""
        handle = os.open(self._hits, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(handle, f"{self.point} {os.getpid()}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
        raise AssertionError("still alive")


def install(trap: Trap) -> None:
    """Patch the seam of the trap's point in this process."""
    _SEAMS[trap.point](trap)


def _before_fsync(trap: Trap) -> None:
    """The batch is written and not synced. A power cut may leave any part of it, `kill -9` all."""
    pwrite, fdatasync = os.pwrite, os.fdatasync
    unsynced: dict[int, int] = {}

    def writes(handle: int, data: Any, offset: int) -> int:
        unsynced[handle] = min(offset, unsynced.get(handle, offset))
        return pwrite(handle, data, offset)

    def syncs(handle: int) -> None:
        if trap.due():
            first, end = unsynced.get(handle), os.fstat(handle).st_size
            if first is not None and trap.way != "whole" and trap.chance.random() < 0.5:
                os.ftruncate(handle, trap.chance.randint(first, end))
            trap.spring()
        fdatasync(handle)
        unsynced.pop(handle, None)

    os.pwrite, os.fdatasync = writes, syncs  # type: ignore[assignment]


def _after_fsync(trap: Trap) -> None:
    """The batch is on disk; neither the mark nor anybody who waits knows."""
    fdatasync = os.fdatasync

    def syncs(handle: int) -> None:
        fdatasync(handle)
        if trap.due():
            trap.spring()

    os.fdatasync = syncs  # type: ignore[assignment]


def _before_puback(trap: Trap) -> None:
    """The batch is on disk and known to be; some of its acknowledgements leave, or none."""
    send, ack = transport5.Connection._send_pubacks, paho.Client.ack

    def sends(self: transport5.Connection, messages: Sequence[Publish]) -> None:
        if trap.due():
            some = messages[: trap.chance.randint(0, len(messages) - 1)]
            if some:
                send(self, some)
            trap.spring()
        send(self, messages)

    def acks(self: paho.Client, mid: int, qos: int) -> Any:
        if trap.due():
            trap.spring()
        return ack(self, mid, qos)

    transport5.Connection._send_pubacks = sends  # type: ignore[method-assign]
    paho.Client.ack = acks  # type: ignore[method-assign]


def _stored_cursor_not_moved(trap: Trap) -> None:
    """The store has the batch; the forwarder's cursor does not say so yet."""
    move = hub.journal.files.Cursor.set

    def moves(self: hub.journal.files.Cursor, value: int) -> None:
        if self._path.name == "forward" and trap.due():
            trap.spring()
        move(self, value)

    hub.journal.files.Cursor.set = moves  # type: ignore[method-assign]


def _snapshot_half_written(trap: Trap) -> None:
    """The snapshot is inserted and not committed.

    With next to no cache SQLite spills its pages, so that half a transaction is in the file.
    """
    opened = hub.ledger.Ledger.__init__
    half = False

    def opens(self: hub.ledger.Ledger, path: Path) -> None:
        opened(self, path)
        self.db.execute("PRAGMA cache_size = 1")
        self.db.execute("PRAGMA cache_spill = 1")
        self.db.set_trace_callback(traces)

    def traces(statement: str) -> None:
        nonlocal half
        if "INTO snapshot" in statement:
            half = True
        elif statement.startswith("COMMIT"):
            if half and trap.due():
                trap.spring()
            half = False

    hub.ledger.Ledger.__init__ = opens  # type: ignore[method-assign]


def _sent_not_marked(trap: Trap) -> None:
    """A message went out; the outbox still owes it."""
    mark = outbox.sent

    def marks(conn: sqlite3.Connection, key: str, now_ns: int) -> None:
        if trap.due():
            trap.spring()
        mark(conn, key, now_ns)

    outbox.sent = marks


_SEAMS: dict[str, Callable[[Trap], None]] = {
    "before_fsync": _before_fsync,
    "after_fsync": _after_fsync,
    "before_puback": _before_puback,
    "stored_cursor_not_moved": _stored_cursor_not_moved,
    "snapshot_half_written": _snapshot_half_written,
    "sent_not_marked": _sent_not_marked,
}
