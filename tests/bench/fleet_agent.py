"""Ten thousand routers in one process: one UDP socket for 127.1.0.0/16, replies from templates.

    python -m tests.bench.fleet_agent 10000 24      # its port on stdout; then a line for a line:
    mark ─► ok        report ─► {"asked": …, "gap_s": {…}, …}

Every router has the same ports, so a request that one of them was asked before is answered by
patching uptime and counters into the reply that was made then. Port `p` carries `p` Mbit/s in and
twice that out, over the router's own uptime, so whoever computes rates rightly finds just that.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
import sys
import time
from typing import Any, NamedTuple

from collectors.snmp import codec
from collectors.snmp import oids as o
from collectors.snmp.oids import Oid, cell, oid
from firmware_stubs.snmp_agent import answer
from firmware_stubs.snmp_mib import Mib

PORT_BPS = 1_000_000
"""In, for each number of the port; out is twice as much."""
IN_OCTETS_PER_TICK = PORT_BPS // 8 // 100
FIRST = 0x7F010000
"""127.1.0.0: the address before the first router's."""
_IP_PKTINFO = 8
_PKTINFO = struct.Struct("=I4s4s")
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO.size)
_UPTIME = b"\x43\x04\xfe\xed\xbe\xef"
_COUNTER = b"\x46\x08\xfe\xed\xbe\xef"
_MARKS = re.compile(
    re.escape(_UPTIME) + b"|" + re.escape(_COUNTER) + rb"([\x00-\xff]{4})", re.DOTALL
)


def address(number: int) -> str:
    """Of a router, from 1 on."""
    return socket.inet_ntoa((FIRST + number).to_bytes(4, "big"))


class Template(NamedTuple):
    """A reply and where it is to be patched."""

    octets: bytearray
    request_id: int
    uptimes: list[int]
    counters: list[tuple[int, int]]
    """Offset, and octets per tick of uptime."""
    traffic: bool
    """Asks for the octets of the first port: once a traffic poll."""


def mib(ports: int) -> Mib:
    """A router of so many gigabit ports; what changes holds a mark instead of a value."""

    def text(words: str) -> bytes:
        return codec.tlv(codec.OCTETS, words.encode())

    ram = codec.tlv(codec.OBJECT_ID, oid(o.HR_STORAGE_RAM))
    values: dict[Oid, Any] = {
        o.SYS_DESCR: text("RouterOS RB5009UG+S+"),
        o.SYS_OBJECT_ID: codec.tlv(codec.OBJECT_ID, oid("1.3.6.1.4.1.14988.1")),
        o.SYS_UPTIME: _UPTIME,
        o.SYS_NAME: text("router"),
        o.IF_NUMBER: codec.integer(ports),
        o.HR_SYSTEM_UPTIME: _UPTIME,
        cell(o.HR_STORAGE_TYPE, 65536): ram,
        cell(o.HR_STORAGE_DESCR, 65536): text("main memory"),
        cell(o.HR_STORAGE_UNITS, 65536): codec.integer(1024),
        cell(o.HR_STORAGE_SIZE, 65536): codec.integer(1 << 20),
        cell(o.HR_STORAGE_USED, 65536): codec.integer(400_000),
        cell(o.HR_PROCESSOR_LOAD, 1): codec.integer(14),
    }
    for port in range(1, ports + 1):
        columns = {
            o.IF_DESCR: text(f"ether{port}"),
            o.IF_TYPE: codec.integer(6),
            o.IF_SPEED: codec.integer(1_000_000_000, codec.GAUGE32),
            o.IF_ADMIN_STATUS: codec.integer(1),
            o.IF_OPER_STATUS: codec.integer(1),
            o.IF_IN_DISCARDS: codec.integer(0, codec.COUNTER32),
            o.IF_IN_ERRORS: codec.integer(0, codec.COUNTER32),
            o.IF_OUT_DISCARDS: codec.integer(0, codec.COUNTER32),
            o.IF_OUT_ERRORS: codec.integer(0, codec.COUNTER32),
            o.IF_NAME: text(f"ether{port}"),
            o.IF_HC_IN_OCTETS: _COUNTER + (port * IN_OCTETS_PER_TICK).to_bytes(4, "big"),
            o.IF_HC_OUT_OCTETS: _COUNTER + (2 * port * IN_OCTETS_PER_TICK).to_bytes(4, "big"),
            o.IF_HIGH_SPEED: codec.integer(1000, codec.GAUGE32),
            o.IF_ALIAS: text(""),
            o.IF_DISCONTINUITY: codec.integer(0, codec.TIME_TICKS),
        }
        values |= {cell(column, port): value for column, value in columns.items()}
    return Mib(values)


class Fleet:
    """All routers, and when each was asked for its traffic."""

    def __init__(self, devices: int, ports: int) -> None:
        self._mib = mib(ports)
        self._began = time.monotonic()
        self._templates: dict[bytes, Template] = {}
        self._id_at: dict[int, int] = {}
        """Where the request id stands, by the length of the request."""
        self._last = [0.0] * (devices + 1)
        self._polls = [0] * (devices + 1)
        self.asked = 0
        self._marked_at = 0.0
        self.mark()

    def mark(self) -> None:
        """Count from now on; when each router was last asked stays known."""
        self.asked = 0
        self._longest, self._shortest = 0.0, float("inf")
        self._worst = 0
        self._polls = [0] * len(self._polls)
        self._marked_at = time.monotonic()

    def reply(self, data: bytes, number: int) -> bytes | None:
        """The answer of one router; None for what is no request."""
        self.asked += 1
        at = self._id_at.get(len(data)) or self._find_id(data)
        if not at:
            return None
        key = data[:at] + data[at + 4 :]
        template = self._templates.get(key)
        if template is None:
            template = self._templates[key] = self._make(data)
        now = time.monotonic()
        if template.traffic:
            self._note(number, now)
        ticks = int((now - self._began + 86_400 + number) * 100)
        octets = template.octets
        octets[template.request_id : template.request_id + 4] = data[at : at + 4]
        for place in template.uptimes:
            octets[place : place + 4] = ticks.to_bytes(4, "big")
        for place, per_tick in template.counters:
            octets[place : place + 8] = (ticks * per_tick).to_bytes(8, "big")
        return octets

    def _find_id(self, data: bytes) -> int:
        try:
            request_id = codec.decode(data).request_id
        except codec.Malformed:
            return 0
        at = data.index(b"\x02\x04" + request_id.to_bytes(4, "big")) + 2
        self._id_at[len(data)] = at
        return at

    def _make(self, data: bytes) -> Template:
        message = codec.decode(data)
        octets = bytearray(answer(self._mib, message))
        uptimes, counters = [], []
        for mark in _MARKS.finditer(octets):
            if mark[1] is None:
                uptimes.append(mark.start() + 2)
            else:
                counters.append((mark.start() + 2, int.from_bytes(mark[1], "big")))
        first = cell(o.IF_HC_IN_OCTETS, 1)
        asked = [name for name, _ in message.varbinds]
        # Looking for ports asks for this too, to see whether there is one; not for the state.
        traffic = first in asked and cell(o.IF_OPER_STATUS, 1) in asked
        head = octets.index(message.request_id.to_bytes(4, "big"))
        return Template(octets, head, uptimes, counters, traffic)

    def _note(self, number: int, now: float) -> None:
        self._polls[number] += 1
        before, self._last[number] = self._last[number], now
        if before:
            gap = now - before
            self._shortest = min(self._shortest, gap)
            if gap > self._longest:
                self._longest, self._worst = gap, number

    def report(self) -> dict[str, Any]:
        """What came since `mark`: gaps between two traffic polls of one router, and how many
        polls the least and most polled router had."""
        now, polls = time.monotonic(), self._polls[1:]
        # Who was not asked lately is late, too, though no gap has ended.
        waiting = max(now - last for last in self._last[1:])
        return {
            "asked": self.asked,
            "seconds": now - self._marked_at,
            "longest_gap_s": max(self._longest, waiting),
            "shortest_gap_s": self._shortest,
            "fewest_polls": min(polls),
            "most_polls": max(polls),
            "never_polled": sum(not last for last in self._last[1:]),
            "worst": address(self._worst) if self._worst else "",
        }


def serve(devices: int, ports: int) -> None:
    """Until standard input ends."""
    fleet = Fleet(devices, ports)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_IP, _IP_PKTINFO, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    sock.bind(("0.0.0.0", 0))  # the routers' addresses are all of 127.1.0.0/16
    sock.setblocking(False)
    print(sock.getsockname()[1], flush=True)
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sock:
                    _answer(sock, fleet)
                    continue
                command = sys.stdin.readline().strip()
                if not command:
                    return
                if command == "mark":
                    fleet.mark()
                print(json.dumps(fleet.report()), flush=True)


def _answer(sock: socket.socket, fleet: Fleet) -> None:
    """Everything that waits at the socket, up to some hundred datagrams."""
    for _ in range(200):
        try:
            data, ancillary, _, peer = sock.recvmsg(2048, _ANCILLARY)
        except BlockingIOError:
            return
        _, to, _ = _PKTINFO.unpack(ancillary[0][2])
        number = int.from_bytes(to, "big") - FIRST
        octets = fleet.reply(data, number)
        if octets is not None:
            source = (socket.SOL_IP, _IP_PKTINFO, _PKTINFO.pack(0, to, bytes(4)))
            sock.sendmsg([octets], [source], 0, peer)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
