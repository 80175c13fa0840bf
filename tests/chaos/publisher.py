"""A QoS 1 publisher that counts what the broker acknowledged, and nothing else.

No message brings a time. A number that is used once stands in one field (the water level, which may
be anything); all else repeats. One sensor, the twin, always says the same to the byte.
"""

from __future__ import annotations

import select
import socket
import threading
import time

from tests.bench.publisher import connect_packet, publish_packet

SENSORS = 16
TWIN = "twin"
TWINS_EVERY = 10
"""One message of so many is the twin's."""
SHY = f"aq{SENSORS - 1:02d}"
"""Says nothing every other while, so that its silence is told."""
SHY_S = 7.0
BLOCK = 120
"""A sensor's messages between two crossings of the rule."""
GUSTS_S, GUST_S = 2.0, 0.2
"""For so long messages come evenly, then for as long all of a fifth of a second at once."""
HIGH, LOW = 80.0, 10.0
UNACKNOWLEDGED = 8_000
_ROUND = 60_000
"""Packet ids in use, from 1."""
_TWIN_BODY = b'{"m":{"rh":50.0}}'


def device(number: int) -> str:
    return f"aq{number:02d}"


class Publisher(threading.Thread):
    """Publishes at a rate until told to stop."""

    def __init__(self, port: int, rate: float, client_id: str = "chaos-publisher") -> None:
        super().__init__(name="publisher", daemon=True)
        self.sent = 0
        """Numbered messages; their numbers are 0, 1, 2 …"""
        self.acknowledged = bytearray()
        """By number: 1 if the broker has taken it."""
        self.twins_sent = 0
        self.twins_acknowledged = 0
        self.error = ""
        self._rate = rate
        self._in_flight: dict[int, int] = {}
        """Number by packet id; the twin's are -1."""
        self._packet_id = 0
        self._rest = b""
        self._stop_now = threading.Event()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(connect_packet(client_id))
        answer = self._socket.recv(4)
        assert answer == b"\x20\x02\0\0", f"the broker refused us: {answer!r}"

    def run(self) -> None:
        began, total = time.monotonic(), 0
        try:
            while not self._stop_now.is_set():
                elapsed = time.monotonic() - began
                if elapsed % (2 * GUSTS_S) > GUSTS_S:
                    elapsed -= elapsed % GUST_S
                shy = elapsed % (2 * SHY_S) > SHY_S
                due = min(int(elapsed * self._rate) - total, UNACKNOWLEDGED - len(self._in_flight))
                if due > 0:
                    ready = [self._message(n, shy) for n in range(total, total + due)]
                    self._socket.sendall(b"".join(ready))
                    total += due
                self._collect(0.005)
            end = time.monotonic() + 30
            while self._in_flight and time.monotonic() < end:
                self._collect(0.1)
            self._socket.sendall(b"\xe0\0")
        except (OSError, AssertionError) as error:
            self.error = f"the publisher ended: {error!r}"
        finally:
            self._socket.close()

    def finish(self) -> None:
        """Publish nothing more; wait until the broker has acknowledged what was."""
        self._stop_now.set()
        self.join(60)

    def _message(self, total: int, shy: bool) -> bytes:
        packet_id = self._next_packet_id()
        if total % TWINS_EVERY == 0:
            self._in_flight[packet_id] = -1
            self.twins_sent += 1
            return publish_packet(_topic(TWIN), packet_id, _TWIN_BODY)
        number, self.sent = self.sent, self.sent + 1
        self.acknowledged.append(0)
        self._in_flight[packet_id] = number
        sensor = number % (SENSORS - 1 if shy else SENSORS)
        high = (number // SENSORS + sensor * 7) // BLOCK % 2
        body = b'{"m":{"pm25":%.1f,"t":25.0,"wl":%d}}' % (HIGH if high else LOW, number)
        return publish_packet(_topic(device(sensor)), packet_id, body)

    def _next_packet_id(self) -> int:
        while True:
            self._packet_id = self._packet_id % _ROUND + 1
            if self._packet_id not in self._in_flight:
                return self._packet_id

    def _collect(self, wait_s: float) -> None:
        """Take in the acknowledgements that are there."""
        if not select.select([self._socket], [], [], wait_s)[0]:
            return
        block = self._socket.recv(1 << 16)
        assert block, "the broker hung up"
        block = self._rest + block
        whole = len(block) // 4 * 4
        self._rest = block[whole:]
        for offset in range(0, whole, 4):
            assert block[offset : offset + 2] == b"\x40\x02", f"no PUBACK: {block[offset:]!r}"
            number = self._in_flight.pop(int.from_bytes(block[offset + 2 : offset + 4], "big"))
            if number < 0:
                self.twins_acknowledged += 1
            else:
                self.acknowledged[number] = 1


def _topic(name: str) -> str:
    return f"toba/v1/dlh/balige/{name}/telemetry"
