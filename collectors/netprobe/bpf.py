"""Filters that the kernel runs on a packet socket, so that only what matters wakes us.

Classic BPF (linux/filter.h): a program is a list of instructions (code, jump if true, jump if
false, constant), and what it returns is how many bytes of the packet are kept.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence

Program = list[tuple[int, int, int, int]]

LOAD_HALF, LOAD_BYTE, LOAD_WORD = 0x28, 0x30, 0x20  # from a fixed place of the frame
LOAD_HALF_AT_X, HEADER_LENGTH = 0x48, 0xB1  # from behind the IP header, whose length goes to X
IF_EQUAL, IF_BITS, RETURN = 0x15, 0x45, 0x06

SNAP = 1600
MOST_SOURCES = 1000
_ATTACH = 26  # SO_ATTACH_FILTER
_ETHERTYPE, _IPV4, _FRAGMENT, _PROTOCOL, _SOURCE = 12, 0x0800, 20, 23, 26
_UDP, _TCP = 17, 6

_TO_WHOM, _US = 0xFFFFF004, 0  # SKF_AD_OFF + SKF_AD_PKTTYPE, PACKET_HOST

NOTHING: Program = [(RETURN, 0, 0, 0)]
TO_US: Program = [
    (LOAD_WORD, 0, 0, _TO_WHOM),
    (IF_EQUAL, 0, 1, _US),
    (RETURN, 0, 0, SNAP),
    (RETURN, 0, 0, 0),
]
"""What is addressed to this machine alone."""
TO_OTHERS: Program = [*TO_US[:2], (RETURN, 0, 0, 0), (RETURN, 0, 0, SNAP)]
"""What is not: broadcasts, most of all."""


def udp_to(port: int) -> Program:
    """Whole IPv4 datagrams to that port."""
    return [
        (LOAD_HALF, 0, 0, _ETHERTYPE),
        (IF_EQUAL, 0, 8, _IPV4),
        (LOAD_BYTE, 0, 0, _PROTOCOL),
        (IF_EQUAL, 0, 6, _UDP),
        (LOAD_HALF, 0, 0, _FRAGMENT),
        (IF_BITS, 4, 0, 0x1FFF),
        (HEADER_LENGTH, 0, 0, 14),
        (LOAD_HALF_AT_X, 0, 0, 16),
        (IF_EQUAL, 0, 1, port),
        (RETURN, 0, 0, SNAP),
        (RETURN, 0, 0, 0),
    ]


def sent_by(sources: Sequence[int]) -> Program:
    """UDP and TCP over IPv4 that comes from one of these addresses, `MOST_SOURCES` at most."""
    if not sources:
        return NOTHING
    program: Program = [
        (LOAD_HALF, 0, 0, _ETHERTYPE),
        (IF_EQUAL, 1, 0, _IPV4),
        (RETURN, 0, 0, 0),
        (LOAD_BYTE, 0, 0, _PROTOCOL),
        (IF_EQUAL, 2, 0, _UDP),
        (IF_EQUAL, 1, 0, _TCP),
        (RETURN, 0, 0, 0),
        (LOAD_WORD, 0, 0, _SOURCE),
    ]
    for source in sources[:MOST_SOURCES]:
        # Each returns by itself: a jump reaches 255 instructions at most.
        program += [(IF_EQUAL, 0, 1, source), (RETURN, 0, 0, SNAP)]
    return [*program, (RETURN, 0, 0, 0)]


def attach(sock: socket.socket, program: Program) -> None:
    """Put it in force on a socket, instead of the one before."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH, whole)
