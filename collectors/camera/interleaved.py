"""RTSP's answers and RTP in one TCP connection (RFC 2326 §10.12): bytes in, both out. Pure."""

from __future__ import annotations

from typing import NamedTuple

from collectors.camera.wire import MAX_HEAD, Answer, Ended, read_head

MAX_BODY = 64 * 1024
_DOLLAR = ord("$")


class Packet(NamedTuple):
    """What came on one channel: RTP on an even one, RTCP on the odd one beside it."""

    channel: int
    data: bytes


class Interleaved:
    """Cuts the stream; keeps one unfinished answer or packet, 72 KiB at most."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Answer | Packet]:
        """What is whole now. Raises `Ended` for what is neither."""
        self._rest += data
        found: list[Answer | Packet] = []
        while self._rest:
            size, item = self._packet() if self._rest[0] == _DOLLAR else self._answer()
            if item is None:
                break
            found.append(item)
            self._rest = self._rest[size:]
        return found

    def _packet(self) -> tuple[int, Packet | None]:
        if len(self._rest) < 4:
            return 0, None
        size = 4 + int.from_bytes(self._rest[2:4])
        if len(self._rest) < size:
            return 0, None
        return size, Packet(self._rest[1], self._rest[4:size])

    def _answer(self) -> tuple[int, Answer | None]:
        head, end, rest = self._rest.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD:
            raise Ended(f"answer over {MAX_HEAD} bytes")
        if not end:
            return 0, None
        answer = read_head(head)
        length = answer.header("content-length") or "0"
        if not (length.isascii() and length.isdigit() and len(length) < 16):
            raise Ended("garbage: the answer's length is no number")
        if int(length) > MAX_BODY:
            raise Ended(f"answer over {MAX_BODY} bytes")
        if len(rest) < int(length):
            return 0, None
        size = len(head) + len(end) + int(length)
        return size, Answer(answer.status, answer.headers, rest[: int(length)])
