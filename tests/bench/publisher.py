"""A QoS 1 publisher that costs next to nothing: every packet is encoded before it starts.

    python -m tests.bench.publisher PORT PREFIX RATE      # load in the background, until killed

MQTT 3.1.1 on a raw socket. The messages of one cycle have different packet ids, so none is used
again before the broker has acknowledged it.
"""

from __future__ import annotations

import random
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence

SERIES = 2_000
CYCLE = 60_000
"""Messages before everything comes again; a multiple of `SERIES`, below the 65 535 packet ids."""
CHUNK = 200
"""Messages in one write."""
HIGH_OF = 200
"""One of so many is over the limit: it crosses it, as does the next of its series: 1 % cross."""
LIMIT = 55.4
UNACKNOWLEDGED = 20_000


def device(number: int) -> str:
    return f"aq{number:04d}"


def topic(prefix: str, number: int) -> str:
    return f"{prefix}/v1/dlh/balige/{device(number)}/telemetry"


def payload(pm25: float, temperature: float, humidity: float) -> bytes:
    """Three fields, no time: the hub stamps it."""
    return b'{"m":{"pm25":%.1f,"t":%.1f,"rh":%.1f}}' % (pm25, temperature, humidity)


def publish_packet(topic: str, packet_id: int, payload: bytes) -> bytes:
    """PUBLISH, QoS 1 (MQTT 3.1.1, 3.3)."""
    name = topic.encode()
    body = struct.pack(">H", len(name)) + name + struct.pack(">H", packet_id) + payload
    return b"\x32" + _length(len(body)) + body


def connect_packet(client_id: str) -> bytes:
    """CONNECT with a clean session and no keep-alive (MQTT 3.1.1, 3.1)."""
    name = client_id.encode()
    body = b"\0\4MQTT\4\2\0\0" + struct.pack(">H", len(name)) + name
    return b"\x10" + _length(len(body)) + body


def _length(length: int) -> bytes:
    """The remaining length, seven bits a byte (2.2.3)."""
    out = bytearray()
    while True:
        length, low = divmod(length, 128)
        out.append(low | 0x80 if length else low)
        if not length:
            return bytes(out)


Write = Callable[[int, float, float, float], tuple[str, bytes]]
"""Number of the message, PM2.5, temperature, humidity → topic and payload."""


def own(prefix: str) -> Write:
    """The project's own convention."""
    return lambda number, *values: (topic(prefix, number % SERIES), payload(*values))


def cycle(write: Write, length: int) -> list[bytes]:
    """A cycle of so many messages, `CHUNK` of them in each element."""
    chance = random.Random(1)
    high = set(chance.sample(range(length), length // HIGH_OF))
    chunks = []
    for begin in range(0, length, CHUNK):
        parts = []
        for number in range(begin, begin + CHUNK):
            pm25 = chance.uniform(80, 90) if number in high else chance.uniform(5, 40)
            to, body = write(number, pm25, chance.uniform(18, 30), chance.uniform(50, 95))
            parts.append(publish_packet(to, number + 1, body))
        chunks.append(b"".join(parts))
    return chunks


class Publisher:
    """One connection to the broker."""

    def __init__(
        self, port: int, prefix: str, write: Write | None = None, length: int = CYCLE
    ) -> None:
        """`length`: of its cycle."""
        self.sent = 0
        self.acknowledged = 0
        self._chunks = cycle(write or own(prefix), length)
        self._next = 0
        self._rest = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(connect_packet(f"bench-{prefix}-{time.monotonic_ns()}"))
        answer = self._socket.recv(4)
        assert answer == b"\x20\x02\0\0", f"the broker refused us: {answer!r}"

    def send(self) -> None:
        """Publish one chunk; waits while the broker has too much to acknowledge."""
        while self.sent - self.acknowledged > UNACKNOWLEDGED:
            self.collect(0.1)
        self._socket.sendall(self._chunks[self._next])
        self._next = (self._next + 1) % len(self._chunks)
        self.sent += CHUNK
        self.collect(0)

    def announce(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish these before all others, and wait for the broker; they do not count as sent."""
        for number, (to, body) in enumerate(messages, 1):
            self._socket.sendall(publish_packet(to, number, body))
        while self.acknowledged < len(messages):
            self.collect(1)
        self.acknowledged = 0

    def collect(self, wait_s: float) -> None:
        """Take in the acknowledgements that are there: four bytes each."""
        if select.select([self._socket], [], [], wait_s)[0]:
            block = self._socket.recv(1 << 16)
            assert block, "the broker hung up"
            whole, self._rest = divmod(self._rest + len(block), 4)
            self.acknowledged += whole

    def pump(self, seconds: float, may_send: Callable[[int], bool]) -> None:
        """Publish for so long, as fast as `may_send` (asked with what was sent) lets us."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if may_send(self.sent):
                self.send()
            else:
                self.collect(0.001)

    def drain(self, timeout_s: float = 10.0) -> None:
        """Wait until the broker has acknowledged everything."""
        end = time.monotonic() + timeout_s
        while self.acknowledged < self.sent and time.monotonic() < end:
            self.collect(0.1)

    def close(self) -> None:
        self._socket.sendall(b"\xe0\0")
        self._socket.close()


def at_rate(rate: float) -> Callable[[int], bool]:
    """Lets so many messages a second through."""
    began = time.monotonic()
    return lambda sent: sent <= (time.monotonic() - began) * rate


def main() -> None:
    port, prefix, rate = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    publisher = Publisher(port, prefix)
    publisher.pump(3600, at_rate(rate))


if __name__ == "__main__":
    main()
