"""A packet socket on one interface: the thin edge to Ethernet frames."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple

from collectors.netprobe import bpf

ARP, IPV4, ALL = 0x0806, 0x0800, 0x0003  # linux/if_ether.h
_SOL_PACKET, _ADD_MEMBERSHIP, _STATISTICS, _PROMISCUOUS = 263, 1, 6, 1
_ADDRESS, _MASK = 0x8915, 0x891B  # SIOCGIFADDR, SIOCGIFNETMASK
Opener = Callable[..., socket.socket]


class Facts(NamedTuple):
    """What an interface of this machine is."""

    mac: str
    address: str
    """Its first IPv4 address; empty when it has none."""
    network: str
    """The network of that address."""


class Gone(Exception):
    """The interface was taken away."""


class Ear:
    """Hears what its filter lets through, and no more than `most` frames a second: what comes
    beyond that is counted by the kernel and dropped there."""

    def __init__(
        self,
        interface: str,
        protocol: int,
        program: bpf.Program | None = None,
        *,
        promiscuous: bool = False,
        most: int = 2000,
        opener: Opener = socket.socket,
    ) -> None:
        """Raises PermissionError, and OSError for an interface that isn't there."""
        self.interface = interface
        self._index = socket.if_nametoindex(interface)
        self._most, self._second, self._heard = most, 0.0, 0
        # Protocol 0 hears nothing, until the filter is in force.
        self._sock = opener(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._sock.setblocking(False)
            if program is not None:
                bpf.attach(self._sock, program)
            if promiscuous:
                request = struct.pack("=iHH8x", self._index, _PROMISCUOUS, 0)
                self._sock.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)
            self._sock.bind((interface, protocol))
        except BaseException:
            self._sock.close()
            raise

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def facts(self) -> Facts:
        mac: bytes = self._sock.getsockname()[4]
        return Facts(mac.hex(":"), *_addresses(self.interface))

    def filter(self, program: bpf.Program) -> None:
        bpf.attach(self._sock, program)

    def send(self, frame: bytes) -> None:
        """What can't be sent now (the link is down, the queue is full) is not sent."""
        with suppress(OSError):
            self._sock.send(frame)

    def frames(self, now: float, at_once: int) -> Iterator[bytes]:
        """What waits, as far as this second's share goes. Raises `Gone`."""
        if now - self._second >= 1:
            self._second, self._heard = now, 0
        for _ in range(min(at_once, self._most - self._heard)):
            try:
                frame = self._sock.recv(bpf.SNAP)
            except BlockingIOError:
                return
            except OSError:
                # The link went down, which ends, or the interface is no more.
                with suppress(OSError):
                    if socket.if_nametoindex(self.interface) == self._index:
                        continue
                raise Gone(self.interface) from None
            self._heard += 1
            yield frame

    def rests_until(self) -> float | None:
        """When it may be heard again; None: now."""
        return self._second + 1 if self._heard >= self._most else None

    def counted(self) -> int:
        """Frames that passed the filter since this was asked last, heard or not."""
        packets, _dropped = struct.unpack("=II", self._sock.getsockopt(_SOL_PACKET, _STATISTICS, 8))
        return int(packets)


def _addresses(interface: str) -> tuple[str, str]:
    """IPv4 address and network; empty for an interface without one."""
    asked = struct.pack("256s", interface.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            address, mask = (
                socket.inet_ntoa(fcntl.ioctl(sock.fileno(), what, asked)[20:24])
                for what in (_ADDRESS, _MASK)
            )
        except OSError:
            return "", ""
    return address, str(ipaddress.ip_network(f"{address}/{mask}", strict=False))
