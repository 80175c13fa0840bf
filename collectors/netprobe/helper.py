# SPDX-License-Identifier: GPL-2.0-only
#
# This file alone imports scapy, which is GPL-2.0-only, and runs as a program of its own
# (python -m collectors.netprobe.helper). The hub speaks to it over a pipe:
#
#   hub    {"ping": [[1, "10.12.1.7"], …], "count": 3, "gap_ms": 200, "timeout_ms": 2000}
#          {"sweep": 2, "interface": "eth0", "networks": ["10.12.1.0/24"], "seconds": 5,
#           "since_s": 120, "dhcp": true}
#          {"listen": 3, "interface": "eth1", "source": "10.12.1.201", "seconds": 5}
#   helper {"ready": "raw", "lans": {"eth0": [mac, address, network]}, "rtp": ["eth1"],
#           "unheard": {interface: why}}                       first line; or {"error", "remedy"}
#   helper {"target": 1, "sent": 3, "lost": 1, "rtt_ms": 1.9, "jitter_ms": 0.2, "why": ""}
#                                                              as each is done
#          {"target": 2, "hosts": [[address, mac, age_s], …], "frames": 12,
#           "servers": [[server, mac, offered, age_s], …]}
#          {"target": 3, "flowing": true, "frames": 7}
#          {"target": 2, "error": "eth0: no such interface"}
"""Sends ICMP echo requests for the hub, sweeps networks and listens to them: opens its sockets,
drops every privilege, then takes orders."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import secrets
import selectors
import socket
import statistics
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

from scapy.config import conf

conf.ipv6_enabled = False  # before the layers are loaded: no routes are looked up, start is quicker

from scapy.layers.dhcp import BOOTP, DHCP  # noqa: E402
from scapy.layers.inet import ICMP, IP, UDP, IPerror  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

from collectors.netprobe import wire  # noqa: E402
from collectors.netprobe.ear import Facts, Gone  # noqa: E402
from collectors.netprobe.probes import Job, Probes, Result  # noqa: E402
from collectors.netprobe.watch import Ears, Unheard, Watch, open_ears  # noqa: E402

SOL_RAW, ICMP_FILTER, SO_TIMESTAMPNS = 255, 1, 35  # linux; Python has no names for them
MAX_LINE = 1 << 20
TOGETHER_S = 0.02
"""A result waits so long for others: then the hub wakes, and writes to its disk, once for all."""
BURST = 64
"""Packets sent before answers are read again, so that round trips stay true."""
NOBODY = 65_534
CANT, GONE = 3, 4
"""Exit status when no kind of socket may be opened, and when an interface was taken away."""
EVERYBODY = "ff:ff:ff:ff:ff:ff"
REMEDY = (
    "give the hub CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW; "
    "Docker: cap_add: [NET_RAW]), "
    "or allow ICMP sockets to everybody: sysctl net.ipv4.ping_group_range='0 2147483647'"
)
Opener = Callable[[int, int, int], socket.socket]


def open_socket(opener: Opener = socket.socket) -> tuple[socket.socket, str]:
    """A raw ICMP socket, or a datagram one that needs no capability. Raises PermissionError."""
    try:
        raw = opener(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        # Only echo replies and "unreachable" are of use; a set bit keeps a type out.
        raw.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << 0 | 1 << 3) & 0xFFFFFFFF))
        return _ready(raw), "raw"
    except PermissionError:
        return _ready(opener(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)), "datagram"


def _ready(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return sock


def drop_privileges() -> None:
    """Become nobody without any capability, for good; what isn't permitted needs no dropping."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: no program gets it back either
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
    libc.prctl(47, 4, 0, 0, 0)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    libc.capset(header, bytes(24))
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS


class Frames:
    """Ethernet frames, as scapy builds them."""

    def request(self, facts: Facts) -> bytes:
        """Asks who has any address. Without one of our own it is a probe (RFC 5227)."""
        ours = facts.address or "0.0.0.0"
        question = ARP(op=1, hwsrc=facts.mac, psrc=ours, pdst="0.0.0.0")
        return bytes(Ether(src=facts.mac, dst=EVERYBODY) / question)

    def discover(self, facts: Facts) -> bytes:
        """Asks every DHCP server for an offer to all, which is never taken."""
        mac = bytes.fromhex(facts.mac.replace(":", ""))
        said = BOOTP(op=1, chaddr=mac, xid=secrets.randbits(32), flags=0x8000)
        options = [("message-type", "discover"), ("param_req_list", [1, 3, 6]), "end"]
        return bytes(
            Ether(src=facts.mac, dst=EVERYBODY)
            / IP(src="0.0.0.0", dst="255.255.255.255")
            / UDP(sport=68, dport=67)
            / said
            / DHCP(options=options)
        )


class Helper:
    """The loop: orders in, packets out, answers in, results out."""

    def __init__(
        self,
        sock: socket.socket,
        mode: str,
        ears: Ears,
        orders: int,
        results: int,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """`orders` and `results` are the pipe's ends; `now` gives seconds that never jump, `wall`
        those of the clock by which the kernel stamps packets."""
        self._now, self._wall = now, wall
        self._sock = sock
        self._raw = mode == "raw"
        self._orders = orders
        self._results = results
        self._probes = Probes()
        self._watch = Watch(ears, Frames(), now)
        self._secret = secrets.token_bytes(wire.SECRET_BYTES)
        blank = Raw(wire.payload(self._secret, 0))
        self._template = bytes(ICMP(type=8, id=os.getpid() & 0xFFFF) / blank)
        self._rest = b""
        self._said: list[dict[str, Any]] = []
        """What waits to be told, and …"""
        self._tell_at = 0.0
        """… until when."""

    def run(self) -> None:
        """Until the hub closes the pipe."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._orders, selectors.EVENT_READ, self._take_orders)
            waiting.register(self._sock, selectors.EVENT_READ, self._hear)
            open_ = True
            while open_:
                self._watch.register(waiting)
                for key, _ in waiting.select(self._wait_s()):
                    open_ = key.data() and open_
                self._send()
                for result in self._probes.finished(self._now()):
                    self._tell(as_json(result))
                for said in self._watch.step():
                    self._tell(said)
                if self._said and self._now() >= self._tell_at:
                    tell(self._results, *self._said)
                    self._said.clear()

    def _wait_s(self) -> float | None:
        now = self._now()
        waits = [self._probes.wait_s(now), self._watch.wait_s()]
        if self._said:
            waits.append(max(0.0, self._tell_at - now))
        return min((wait for wait in waits if wait is not None), default=None)

    def _take_orders(self) -> bool:
        data = os.read(self._orders, 65_536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                self._take(json.loads(line))
            except Unheard as error:
                self._tell({"target": error.target, "error": str(error)})
            except (ValueError, TypeError, KeyError) as error:
                self._tell({"refused": f"{error}"[:200]})
        if len(self._rest) > MAX_LINE:
            self._tell({"refused": f"a line of more than {MAX_LINE} bytes"})
            return False
        return bool(data)

    def _take(self, order: dict[str, Any]) -> None:
        if "sweep" in order:
            self._watch.sweep(order)
        elif "listen" in order:
            self._watch.listen(order)
        else:
            for job in jobs(order):
                self._probes.add(job, self._now())

    def _send(self) -> None:
        for _ in range(BURST):
            due = self._probes.due(self._now(), 1)
            if not due:
                break
            try:
                self._sock.sendto(wire.fill(self._template, due[0].number), (due[0].address, 0))
            except OSError as error:
                self._probes.failed(due[0].number, error.strerror or repr(error))

    def _hear(self) -> bool:
        for _ in range(4 * BURST):
            try:
                packet, notes, _flags, (source, _port) = self._sock.recvmsg(2048, 64)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error about an earlier packet, told through the socket
            message = wire.without_ip(packet) if self._raw else packet
            number = wire.answered(message, self._secret)
            if number is not None:
                waited_s = wire.waited_s(notes, self._wall())
                self._probes.heard(number, source, self._now() - waited_s)
            elif message[:1] == b"\x03" and self._secret in message:
                self._unreachable(message, source)
        return True

    def _unreachable(self, message: bytes, source: str) -> None:
        """Somebody on the way says that a probe of ours can't go on."""
        said = ICMP(message)
        if IPerror in said and Raw in said:
            number = wire.numbered(bytes(said[Raw]), self._secret)
            if number is not None:
                self._probes.failed(number, f"{said.sprintf('%ICMP.code%')} says {source}")

    def _tell(self, said: dict[str, Any]) -> None:
        if not self._said:
            self._tell_at = self._now() + TOGETHER_S
        self._said.append(said)


def tell(pipe: int, *said: dict[str, Any]) -> None:
    """A line of JSON each."""
    data = b"".join(json.dumps(one).encode() + b"\n" for one in said)
    while data:
        data = data[os.write(pipe, data) :]


def jobs(order: dict[str, Any]) -> list[Job]:
    """An order's jobs. Raises ValueError, TypeError or KeyError for one that can't be."""
    count, gap_ms, timeout_ms = (int(order[key]) for key in ("count", "gap_ms", "timeout_ms"))
    if not (1 <= count <= 100 and 0 <= gap_ms <= 60_000 and 1 <= timeout_ms <= 60_000):
        raise ValueError("count, gap_ms or timeout_ms is out of range")
    found = []
    for target, address in order["ping"]:
        try:
            socket.inet_pton(socket.AF_INET, address)
        except OSError:
            raise ValueError(f"{address!r} is no IPv4 address") from None
        found.append(Job(int(target), address, count, gap_ms / 1000, timeout_ms / 1000))
    return found


def as_json(result: Result) -> dict[str, Any]:
    """A result as the hub reads it; `rtt_ms` is the median, null when nothing came back,
    `jitter_ms` the mean step from one round trip to the next, null for fewer than two."""
    steps = [abs(after - before) for before, after in pairwise(result.rtt_ms)]
    return {
        "target": result.target,
        "sent": result.sent,
        "lost": result.lost,
        "rtt_ms": round(statistics.median(result.rtt_ms), 3) if result.rtt_ms else None,
        "jitter_ms": round(statistics.fmean(steps), 3) if steps else None,
        "why": result.why,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m collectors.netprobe.helper")
    parser.add_argument("--lan", action="append", default=[], help="interface to sweep")
    parser.add_argument("--rtp", action="append", default=[], help="interface streams pass by")
    given = parser.parse_args()
    try:
        sock, mode = open_socket()
    except PermissionError:
        tell(1, {"error": "no permission to send ICMP", "remedy": REMEDY})
        return CANT
    ears = open_ears(given.lan, given.rtp)
    now = partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    wall = partial(time.clock_gettime, time.CLOCK_REALTIME)
    drop_privileges()
    helper = Helper(sock, mode, ears, 0, 1, now, wall)
    try:
        tell(1, {"ready": mode, **ears.ready()})
        helper.run()
    except Gone as error:
        sys.stderr.write(f"netprobe helper: the interface {error} was taken away\n")
        return GONE
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # the hub may be gone before we are ready
    return 0


if __name__ == "__main__":
    sys.exit(main())
