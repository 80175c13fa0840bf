"""What DHCP servers say, in bytes (RFC 2131, 2132). Pure."""

from __future__ import annotations

from typing import NamedTuple

CLIENT = 68
_OFFER, _ACK, _NAK = 2, 5, 6
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _END, _KIND, _SERVER = 0, 255, 53, 54
_MOST_OPTIONS = 128


class Offer(NamedTuple):
    """A server offered, confirmed or refused an address. Addresses are IPv4 numbers."""

    server: int
    """As it names itself (option 54), or else where the packet came from."""
    mac: bytes
    """Of the frame's sender: the server, or the relay before it."""
    address: int
    """What is offered; 0 in a refusal."""


def offer(frame: bytes) -> Offer | None:
    """A server's word in an Ethernet frame; None for everything else."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4 or frame[23] != 17:
        return None
    udp = 14 + (frame[14] & 0xF) * 4
    if int.from_bytes(frame[20:22]) & 0x1FFF or int.from_bytes(frame[udp + 2 : udp + 4]) != CLIENT:
        return None
    said = frame[udp + 8 :]
    if len(said) < 240 or said[0] != 2 or said[236:240] != _COOKIE:
        return None
    options = _options(said[240:])
    if options.get(_KIND) not in (bytes([_OFFER]), bytes([_ACK]), bytes([_NAK])):
        return None
    named = options.get(_SERVER, b"")
    server = named if len(named) == 4 and any(named) else frame[26:30]
    if not any(server):
        return None
    return Offer(int.from_bytes(server), frame[6:12], int.from_bytes(said[16:20]))


def _options(data: bytes) -> dict[int, bytes]:
    """Those that are whole, each kind's first; a cut-off tail is left out."""
    found: dict[int, bytes] = {}
    at = 0
    for _ in range(_MOST_OPTIONS):
        if at >= len(data) or data[at] == _END:
            break
        if data[at] == _PAD:
            at += 1
            continue
        value = data[at + 2 : at + 2 + data[at + 1]] if at + 1 < len(data) else b""
        if at + 1 >= len(data) or len(value) < data[at + 1]:
            break
        found.setdefault(data[at], value)
        at += 2 + len(value)
    return found
