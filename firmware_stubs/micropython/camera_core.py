"""A camera agent without its board: heartbeats that tell a live picture from a frozen one.

    {"ts":1790000000,"seq":4,"fps":12.5,"kbps":1800.0,"uptime":3600,"storage_pct":41.0,
     "drift_ms":120,"recorded_s":2,"frame":"9a0b1c2d"}

`frame` is a fingerprint of the newest picture: the same one in every heartbeat is a frozen
camera, whatever its frame rate says. Runs under MicroPython and CPython.
"""

import binascii
import json


def fingerprint(picture: bytes) -> str:
    """Eight hexadecimal digits of a picture's bytes (CRC-32)."""
    return "%08x" % (binascii.crc32(picture) & 0xFFFFFFFF)


class Agent:
    """Counts what the camera delivers between two heartbeats."""

    def __init__(self) -> None:
        self.seq = 0
        self.frame = ""
        self._frames = 0
        self._bytes = 0

    def saw(self, picture: bytes) -> None:
        """A new picture came."""
        self.count(1, len(picture), fingerprint(picture))

    def count(self, frames: int, size: int, frame: str) -> None:
        """`frames` pictures of together `size` bytes came, the last one with that fingerprint.

        Pictures that equal the one before are no new frames.
        """
        if frame != self.frame:
            self._frames += frames
        self._bytes += size
        self.frame = frame

    def beat(
        self,
        ts: int,
        seconds: float,
        uptime: int,
        drift_ms: int = 0,
        storage_pct: float | None = None,
        recorded_s: float | None = None,
    ) -> str:
        """The payload for the `seconds` since the last one. `ts`: Unix time, s or ms;
        `recorded_s`: how long ago a picture was last recorded."""
        said: dict[str, object] = {
            "ts": ts,
            "seq": self.seq,
            "fps": round(self._frames / seconds, 1) if seconds > 0 else 0.0,
            "kbps": round(self._bytes * 8 / 1000 / seconds, 1) if seconds > 0 else 0.0,
            "uptime": uptime,
            "drift_ms": drift_ms,
        }
        if storage_pct is not None:
            said["storage_pct"] = storage_pct
        if recorded_s is not None:
            said["recorded_s"] = recorded_s
        if self.frame:
            said["frame"] = self.frame
        self.seq = (self.seq + 1) & 0xFFFFFFFF
        self._frames = 0
        self._bytes = 0
        return json.dumps(said)
