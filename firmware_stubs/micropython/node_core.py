"""A sensor node without its board: what is said, numbered, kept while offline and said again.

    sensors ─ measures ─► Node.report ─ payload ─► publish QoS 1 ─ PUBACK ─► done
                                          │ no broker
                                          └► Node.keep ─► Ring ─► Node.oldest, Node.forget

Runs under MicroPython and CPython: no clock, no network, no imports that a board lacks. The
payload is the hub's own convention:

    {"v":1,"id":"aq-balige","ts":1790000000,"seq":17,"fw":"1.0.0","up":3600,"tsync":true,
     "rssi":-71,"vbat":3.9,"heap":81920,"rst":"power","m":{"pm25":12.5,"t":23.1,"rh":81}}
"""

import json
import os

EPOCH_2000 = 946684800
"""Seconds from 1970 to 2000, where the ESP32 port's clock begins."""

SEQ_BLOCK = 64
"""Message numbers reserved by one write to flash; a restart skips what is left of the block."""


def unix_time(seconds: int, epoch_year: int) -> int:
    """Seconds since 1970 of a board's `time.time()`; `epoch_year` is `time.gmtime(0)[0]`."""
    return seconds + EPOCH_2000 if epoch_year == 2000 else seconds


def topic(opd: str, site: str, device: str, what: str) -> str:
    """`toba/v1/{opd}/{site}/{device}/{telemetry|status}`."""
    return "toba/v1/{}/{}/{}/{}".format(opd, site, device, what)


def status(state: str) -> str:
    """What is retained on the status topic: online, offline (as the Will), sleeping."""
    return json.dumps({"state": state})


class Ring:
    """Payloads that wait for the broker, oldest first; when full, the oldest is lost and counted.

    With a `path` they outlive a restart: one JSON line each. The file is removed when the ring
    is empty, not line by line: a restart in between says some twice, which the hub tolerates,
    and flash wears less.
    """

    def __init__(self, capacity: int, path: str = "") -> None:
        self.capacity = capacity
        self.dropped = 0
        self._path = path
        self._lines = self._load()
        self._written = len(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: str) -> None:
        self._lines.append(line)
        if len(self._lines) > self.capacity:
            self._lines.pop(0)
            self.dropped += 1
        if self._path:
            if self._written >= 2 * self.capacity:
                self._rewrite()
            else:
                with open(self._path, "a") as file:
                    file.write(line + "\n")
                self._written += 1

    def oldest(self) -> str:
        """The line that is next, or the empty string."""
        return self._lines[0] if self._lines else ""

    def forget(self) -> None:
        """Drop the oldest, since it has arrived."""
        self._lines.pop(0)
        if self._path and not self._lines:
            os.remove(self._path)
            self._written = 0

    def _load(self) -> list[str]:
        if not self._path:
            return []
        try:
            with open(self._path) as file:
                lines = file.read().split("\n")
        except OSError:
            return []
        # Power may have failed in the middle of a line.
        return [line for line in lines if line[:1] == "{" and line[-1:] == "}"][-self.capacity :]

    def _rewrite(self) -> None:
        with open(self._path + ".new", "w") as file:
            for line in self._lines:
                file.write(line + "\n")
        os.rename(self._path + ".new", self._path)
        self._written = len(self._lines)


class Node:
    """One sensor node.

    `first_seq` is the number that the board's flash holds (0 on a new board). Before a message
    with a number at or above `reserved` is sent, the board must store `reserved + SEQ_BLOCK`
    and say so with `reserve`: so the hub never sees a number twice and can count what it misses.
    """

    def __init__(
        self,
        device: str,
        fw: str = "1.0.0",
        first_seq: int = 0,
        reset: str = "power",
        capacity: int = 200,
        path: str = "",
    ) -> None:
        self.device = device
        self.fw = fw
        self.reset = reset
        self.seq = first_seq
        self.reserved = first_seq
        self.ring = Ring(capacity, path)

    def needs_reserve(self) -> bool:
        return self.seq >= self.reserved

    def reserve(self, until: int) -> None:
        """The board has stored that numbers below `until` may have been used."""
        self.reserved = until

    def report(
        self,
        measures: dict[str, float],
        ts: int,
        tsync: bool,
        up: int,
        rssi: int | None = None,
        vbat: float | None = None,
        heap: int | None = None,
    ) -> str:
        """The next payload. `ts`: Unix time, whole seconds or milliseconds; `up`: s since reset.

        `tsync` false says that the clock was never set, so the hub takes its own.
        """
        said: dict[str, object] = {
            "v": 1,
            "id": self.device,
            "ts": ts,
            "seq": self.seq,
            "fw": self.fw,
            "up": up,
            "tsync": tsync,
            "rst": self.reset,
        }
        for name, value in (("rssi", rssi), ("vbat", vbat), ("heap", heap)):
            if value is not None:
                said[name] = value
        said["m"] = measures
        self.seq = (self.seq + 1) & 0xFFFFFFFF
        return json.dumps(said)

    def keep(self, payload: str) -> None:
        """It was not acknowledged: say it again later, marked as late."""
        self.ring.add(payload[:-1] + ', "buf": true}')

    def oldest(self) -> str:
        """The payload to say again next, with `"buf": true`; empty when none waits."""
        return self.ring.oldest()

    def forget(self) -> None:
        """That one was acknowledged."""
        self.ring.forget()
