"""ICMP echo in bytes (RFC 792), where a packet library would cost a millisecond a packet.

The payload is a secret of this process and the probe's number, so that other people's answers on
the same raw socket, and forged ones, are told from ours.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

SECRET_BYTES = 12
PAYLOAD_BYTES = SECRET_BYTES + 4
ECHO_REPLY = 0
_HEADER = struct.Struct("!BBHHH")
_NUMBER = struct.Struct("!I")
_STAMP = struct.Struct("@ll")
_STAMPED = 35  # SCM_TIMESTAMPNS of linux
LONGEST_WAIT_S = 5.0


def payload(secret: bytes, number: int) -> bytes:
    """What a probe carries."""
    return secret + _NUMBER.pack(number)


def fill(template: bytes, number: int) -> bytes:
    """The template (an echo request with an empty number) as the probe of that number.

    The number's lower half is the sequence number too, for people who read a capture.
    """
    kind, code, _, ident, _ = _HEADER.unpack_from(template)
    body = template[_HEADER.size : -4] + _NUMBER.pack(number)
    seq = number & 0xFFFF
    total = checksum(_HEADER.pack(kind, code, 0, ident, seq) + body)
    return _HEADER.pack(kind, code, total, ident, seq) + body


def checksum(packet: bytes) -> int:
    """RFC 1071."""
    if len(packet) % 2:
        packet += b"\0"
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def without_ip(packet: bytes) -> bytes:
    """A raw socket's packet without its IPv4 header; empty when that is cut off."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return b""
    return packet[(packet[0] & 0xF) * 4 :]


def answered(message: bytes, secret: bytes) -> int | None:
    """The number of the probe that an ICMP message answers; None when it answers none of ours."""
    if len(message) < _HEADER.size + PAYLOAD_BYTES or message[0] != ECHO_REPLY:
        return None
    return numbered(message[_HEADER.size :], secret)


def numbered(body: bytes, secret: bytes) -> int | None:
    """The number in a payload of ours."""
    if len(body) < PAYLOAD_BYTES or body[:SECRET_BYTES] != secret:
        return None
    return int.from_bytes(body[SECRET_BYTES:PAYLOAD_BYTES])


def waited_s(notes: Iterable[tuple[int, int, bytes]], wall_s: float) -> float:
    """How long a packet lay in the socket, by the kernel's stamp among its ancillary data.

    So a busy machine, which wakes us late, makes no round trip longer. 0 where there is no stamp,
    or none that can be: somebody set the clock.
    """
    for level, kind, data in notes:
        if level == socket.SOL_SOCKET and kind == _STAMPED and len(data) >= _STAMP.size:
            seconds, nanoseconds = _STAMP.unpack_from(data)
            waited = wall_s - (seconds + nanoseconds / 1e9)
            return waited if 0 <= waited <= LONGEST_WAIT_S else 0.0
    return 0.0
