"""Counts the pictures that RTP brings (RFC 3550; JPEG: RFC 2435), without decoding any. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

CLOCK_HZ = 90_000
"""Of every video (RFC 3551 §5)."""
MOST = 2000
"""Pictures whose times are kept."""
STILL = 5
"""The same picture so often is no chance."""
_HEADER = 12
_RTCP = range(192, 224)


class Seen(NamedTuple):
    """What a while of a stream was."""

    packets: int
    fps: float | None
    """By the camera's own clock; None for fewer than three pictures."""
    kbps: float
    still: bool | None
    """The same picture all the time; None: only JPEG tells."""


@dataclass(slots=True)
class Pictures:
    """One stream."""

    codec: str
    packets: int = 0
    size: int = 0
    _source: int | None = None
    _first: int = 0
    _times: set[int] = field(default_factory=set)
    """Of the pictures, by the camera's clock since the first."""
    _now: int | None = None
    _hash: Any = None
    _prints: list[bytes] = field(default_factory=list)
    """Of the whole pictures."""

    def take(self, packet: bytes) -> bool:
        """An RTP packet of the stream; False for what is none."""
        if len(packet) < _HEADER or packet[0] >> 6 != 2 or packet[1] in _RTCP:
            return False
        time, source = int.from_bytes(packet[4:8]), int.from_bytes(packet[8:12])
        if self._source is None:
            self._source, self._first = source, time
        if source != self._source:
            return False
        self.packets += 1
        self.size += len(packet)
        since = (time - self._first + (1 << 31)) % (1 << 32) - (1 << 31)
        if len(self._times) < MOST:
            self._times.add(since)
        if self.codec.upper() == "JPEG":
            self._compare(since, packet)
        return True

    def _compare(self, time: int, packet: bytes) -> None:
        if time != self._now:
            if self._hash is not None and self._now != 0 and len(self._prints) < MOST:
                # The first one may have been cut off by our coming.
                self._prints.append(self._hash.digest())
            self._now, self._hash = time, hashlib.blake2b(digest_size=16)
        self._hash.update(packet[_HEADER + 4 * (packet[0] & 0xF) :])

    def seen(self, seconds: float) -> Seen:
        """After so long."""
        lasted = max(self._times, default=0) - min(self._times, default=0)
        enough = len(self._times) >= 3 and lasted > 0
        fps = (len(self._times) - 1) * CLOCK_HZ / lasted if enough else None
        same = len(self._prints) >= STILL and len(set(self._prints)) == 1
        still = same if self.codec.upper() == "JPEG" and len(self._prints) >= STILL else None
        return Seen(self.packets, fps, self.size * 8 / 1000 / max(seconds, 0.1), still)
