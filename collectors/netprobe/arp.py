"""ARP in bytes (RFC 826), for Ethernet and IPv4. Pure."""

from __future__ import annotations

import struct
from typing import NamedTuple

SENDER, TARGET = slice(28, 32), slice(38, 42)
"""Where the asker's address and the one that is asked for stand in a frame."""
_FRAME = struct.Struct("!6x6xHHHBBH6s4s6x4x")
_ARP, _ETHERNET, _IPV4 = 0x0806, 1, 0x0800


class Claim(NamedTuple):
    """Somebody says that it has this address."""

    address: int
    """IPv4 as a number."""
    mac: bytes


def asking(template: bytes, address: int) -> bytes:
    """The template, a request for any address, as a request for that one."""
    return template[: TARGET.start] + address.to_bytes(4) + template[TARGET.stop :]


def probing(template: bytes) -> bytes:
    """The template as a probe (RFC 5227), which names no asker's address: nobody answers a question
    about the address that it comes from."""
    return template[: SENDER.start] + bytes(4) + template[SENDER.stop :]


def claim(frame: bytes) -> Claim | None:
    """What the sender of a frame says of itself, in a request as in an answer.

    None for what is no ARP, for a probe (RFC 5227: its sender has no address yet), and for senders
    that can't be: group addresses and all zeros.
    """
    if len(frame) < _FRAME.size:
        return None
    ethertype, hardware, protocol, mac_size, size, operation, mac, address = _FRAME.unpack_from(
        frame
    )
    known = (ethertype, hardware, protocol, mac_size, size) == (_ARP, _ETHERNET, _IPV4, 6, 4)
    if not known or operation not in (1, 2):
        return None
    first = address[0]
    if mac[0] & 1 or not any(mac) or first in (0, 127) or first >= 224:
        return None
    return Claim(int.from_bytes(address), mac)
