"""RTP that passes by (RFC 3550), over UDP or interleaved in RTSP's TCP connection (RFC 2326,
10.12). Pure.

One packet proves nothing: any two bits may look like RTP's version. A stream is a row of packets of
one source (SSRC) whose numbers go on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

ENOUGH = 5
"""Packets in a row that make a stream."""
MOST_SOURCES = 8
MAX_DROPOUT = 100
"""So many numbers may be missing between two packets: lost, or not seen by us."""
_UDP, _TCP = 17, 6
_RTCP = range(192, 224)
"""Second bytes of RTCP packets, which share RTP's form (RFC 5761)."""
_HEADER = 12
_MOST_TRIED = 64


class Packet(NamedTuple):
    """The head of an RTP packet."""

    ssrc: int
    number: int


def source(frame: bytes) -> int:
    """Whose IPv4 frame it is, as a number; 0 for what is none."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return 0
    return int.from_bytes(frame[26:30])


def packets(frame: bytes) -> Iterator[Packet]:
    """All that may be RTP in an IPv4 frame: one in a datagram, some in a piece of TCP."""
    if not source(frame):
        return
    body = 14 + (frame[14] & 0xF) * 4
    # What follows the datagram in a short Ethernet frame is padding.
    end = min(len(frame), 14 + int.from_bytes(frame[16:18]))
    protocol = frame[23]
    if protocol == _UDP and end >= body + 8:
        found = _packet(frame[body + 8 : end])
        if found is not None:
            yield found
    elif protocol == _TCP and end >= body + 20:
        yield from _interleaved(frame[body + (frame[body + 12] >> 4) * 4 : end])


def _interleaved(data: bytes) -> Iterator[Packet]:
    """`$`, channel, length, packet: these begin anywhere in a piece of a TCP stream."""
    at = -1
    for _ in range(_MOST_TRIED):
        at = data.find(b"$", at + 1)
        if at < 0:
            return
        length = int.from_bytes(data[at + 2 : at + 4])
        found = _packet(data[at + 4 : at + 4 + length]) if length >= _HEADER else None
        if found is not None and data[at + 1] < 32:
            yield found
            at += 3 + length


def _packet(data: bytes) -> Packet | None:
    if len(data) < _HEADER or data[0] >> 6 != 2 or data[1] in _RTCP:
        return None
    return Packet(int.from_bytes(data[8:12]), int.from_bytes(data[2:4]))


class Flow:
    """Does a stream of this sender pass by?"""

    def __init__(self) -> None:
        self.frames = 0
        """Of any kind."""
        self._rows: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """By SSRC: the newest number, and how many packets in a row led to it."""

    def heard(self, frame: bytes) -> bool:
        """A frame of the sender; True when it makes a stream."""
        self.frames += 1
        return any(self._goes_on(packet) for packet in packets(frame))

    def _goes_on(self, packet: Packet) -> bool:
        last, row = self._rows.pop(packet.ssrc, (None, 0))
        step = 0 if last is None else (packet.number - last) % 65536
        row = row + 1 if last is not None and 0 < step <= MAX_DROPOUT else 1
        self._rows[packet.ssrc] = packet.number, row
        if len(self._rows) > MOST_SOURCES:
            self._rows.popitem(last=False)
        return row >= ENOUGH
