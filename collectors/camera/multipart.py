"""A body of parts that never ends (RFC 2046 §5.1): bytes in as they come, whole parts out. Pure."""

from __future__ import annotations

import re

from collectors.camera.wire import Ended, Unfit

MAX_PART = 64 * 1024
"""Bytes; event streams may carry pictures, which we would not read."""
_LENGTH = re.compile(rb"^content-length:\s*(\d{1,9})\s*$", re.IGNORECASE | re.MULTILINE)
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,200})', re.IGNORECASE)


def boundary(content_type: str) -> bytes:
    """Raises `Unfit` when that is no multipart."""
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/") or found is None:
        raise Unfit("garbage: the events are no multipart")
    # Some firmware says "boundary=--x" and means the line "--x", others the line "----x".
    return found[1].lstrip("-").encode("latin-1")


class Parts:
    """Cuts a stream at its boundaries; holds at most `MAX_PART` bytes."""

    def __init__(self, boundary: bytes) -> None:
        self._line = re.compile(rb"(?:^|\r?\n)-{2,}" + re.escape(boundary) + rb"[ \t]*\r?\n")
        self._held = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The bodies that are whole now. Raises `Ended` on a part that is too long."""
        self._held += piece
        found: list[bytes] = []
        while (body := self._next()) is not None:
            found.append(body)
        if len(self._held) > MAX_PART:
            raise Ended(f"a part of over {MAX_PART} bytes")
        return found

    def _next(self) -> bytes | None:
        begin = self._line.search(self._held)
        if begin is None:
            return None
        head, gap, rest = self._held[begin.end() :].partition(b"\r\n\r\n")
        if not gap:
            return None
        length = _LENGTH.search(head.replace(b"\r\n", b"\n"))
        if length is not None:
            size = int(length[1])
            if len(rest) < size:
                return None
            self._held = rest[size:]
            return rest[:size]
        following = self._line.search(rest)
        if following is None:
            return None
        self._held = rest[following.start() :]
        return rest[: following.start()]
