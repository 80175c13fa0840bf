"""A bad line: forwards Ethernet frames between two interfaces, echoes late or not at all.

    python -m tests.lossy_bridge LEFT RIGHT --delay-ms 40 --jitter-ms 5 --loss 0.1 --seed 7

Each way has the delay, up to the jitter on top of it, and the loss; ARP has none of them, since the
first echo to a host waits for it. Says `ready`; when its standard
input ends it says what it truly did to each echo request that it saw, as JSON: [target, number, ms]
where `ms` is what it held the request and its reply back together, and null when one was dropped.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import select
import socket
import struct
import sys
import time
from typing import NamedTuple

ETH_P_ALL, OUTGOING, SO_TIMESTAMPNS = 3, 4, 35
REQUEST, REPLY = 8, 0


class Echo(NamedTuple):
    """An ICMP echo: the host that is asked, and the last four bytes of its payload."""

    kind: int
    target: str
    number: int


def echo(frame: bytes) -> Echo | None:
    if len(frame) < 42 or frame[12:14] != b"\x08\x00" or frame[23] != 1:
        return None
    kind = frame[34]
    if kind not in (REQUEST, REPLY):
        return None
    target = frame[30:34] if kind == REQUEST else frame[26:30]
    end = 14 + int.from_bytes(frame[16:18])
    return Echo(kind, socket.inet_ntoa(target), int.from_bytes(frame[end - 4 : end]))


class Line:
    """Both ends, what is on its way, and what became of each echo."""

    def __init__(self, left: str, right: str, given: argparse.Namespace) -> None:
        self.ends = [self._open(left), self._open(right)]
        self._given = given
        self._chance = random.Random(given.seed)
        self._order = 0
        self._way: list[tuple[float, int, float, socket.socket, bytes]] = []
        self.held: dict[tuple[str, int], dict[int, float | None]] = {}

    @staticmethod
    def _open(name: str) -> socket.socket:
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        end.bind((name, ETH_P_ALL))
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        return end

    def hear(self, end: socket.socket) -> None:
        other = self.ends[1 - self.ends.index(end)]
        while True:
            try:
                frame, notes, _, address = end.recvmsg(2048, 64)
            except BlockingIOError:
                return
            if address[2] == OUTGOING:
                continue
            seconds, nanoseconds = struct.unpack("@ll", notes[0][2][:16])
            came = seconds + nanoseconds / 1e9
            said = echo(frame)
            if said is not None and self._chance.random() < self._given.loss:
                self.held.setdefault(said[1:], {})[said.kind] = None
                continue
            late_ms = self._given.delay_ms + self._given.jitter_ms * self._chance.random()
            late_s = late_ms / 1000 if said is not None else 0.0
            self._order += 1
            heapq.heappush(self._way, (came + late_s, self._order, came, other, frame))

    def wait_s(self) -> float | None:
        return max(0.0, self._way[0][0] - time.time()) if self._way else None

    def forward(self) -> None:
        while self._way and self._way[0][0] <= time.time():
            _, _, came, end, frame = heapq.heappop(self._way)
            now = time.time()
            end.send(frame)
            said = echo(frame)
            if said is not None:
                self.held.setdefault(said[1:], {})[said.kind] = (now - came) * 1000

    def truth(self) -> list[tuple[str, int, float | None]]:
        found = []
        for (target, number), ways in self.held.items():
            there, back = ways.get(REQUEST), ways.get(REPLY)
            found.append((target, number, None if there is None or back is None else there + back))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lossy_bridge", description=__doc__)
    parser.add_argument("left")
    parser.add_argument("right")
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--jitter-ms", type=float, default=0)
    parser.add_argument("--loss", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    line = Line(given.left, given.right, given)
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([*line.ends, sys.stdin], [], [], line.wait_s())
        for one in ready:
            if one is sys.stdin:
                print(json.dumps(line.truth()), flush=True)
                return
            line.hear(one)
        line.forward()


if __name__ == "__main__":
    main()
