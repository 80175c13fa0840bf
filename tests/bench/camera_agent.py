"""Thousands of cameras in one process: RTSP and ONVIF on one port of every 127.2.0.0/16 address.

    python -m tests.bench.camera_agent 2000 30      # its port on stdout; then a line for a line:
    mark ─► ok        report ─► {"asked": {…}, "missed": {…}, "longest_gap_s": {…}, …}

DESCRIBE wants a Digest login; the clock is the machine's.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from typing import Any

FIRST = 0x7F020000
KINDS = ("OPTIONS", "DESCRIBE", "POST")
SDP = b"v=0\r\ns=x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
OK = b"RTSP/1.0 200 OK\r\nCSeq: %s\r\n"
CHALLENGE = b'WWW-Authenticate: Digest realm="cam", nonce="5f2c1d7a9be34c60", qop="auth"\r\n'
SOAP = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
    "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:UTCDateTime>"
    "<tt:Time><tt:Hour>{3}</tt:Hour><tt:Minute>{4}</tt:Minute><tt:Second>{5}</tt:Second></tt:Time>"
    "<tt:Date><tt:Year>{0}</tt:Year><tt:Month>{1}</tt:Month><tt:Day>{2}</tt:Day></tt:Date>"
    "</tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
    "</s:Body></s:Envelope>"
)
_CSEQ = re.compile(rb"CSeq: (\d+)")


def address(number: int) -> str:
    """Of a camera, from 1 on."""
    return socket.inet_ntoa((FIRST + number).to_bytes(4, "big"))


class Fleet:
    """When each camera was asked what."""

    def __init__(self, cameras: int, period_s: float) -> None:
        self._period_s = period_s
        self._last: dict[str, dict[str, float]] = {
            kind: {address(n): 0.0 for n in range(1, cameras + 1)} for kind in KINDS
        }
        self.mark()

    def mark(self) -> dict[str, Any]:
        self._asked = dict.fromkeys(KINDS, 0)
        self._missed = dict.fromkeys(KINDS, 0)
        self._longest = dict.fromkeys(KINDS, 0.0)
        return {"ok": True}

    def asked(self, kind: str, camera: str) -> None:
        now, times = time.monotonic(), self._last[kind]
        if before := times.get(camera):
            gap = now - before
            self._longest[kind] = max(self._longest[kind], gap)
            self._missed[kind] += max(0, round(gap / self._period_s) - 1)
        times[camera] = now
        self._asked[kind] += 1

    def report(self) -> dict[str, Any]:
        never = {kind: sum(not at for at in times.values()) for kind, times in self._last.items()}
        return {
            "asked": self._asked,
            "missed": self._missed,
            "longest_gap_s": {kind: round(gap, 2) for kind, gap in self._longest.items()},
            "never": never,
        }


class Camera(asyncio.Protocol):
    """One connection."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._name = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self._held += data
        if b"\r\n\r\n" not in self._held or (
            self._held.startswith(b"POST") and b"Envelope>" not in self._held[-12:]
        ):
            return
        request, self._held = self._held, b""
        kind = request.partition(b" ")[0].decode()
        if kind == "POST":
            self._fleet.asked(kind, self._name)
            body = SOAP.format(*time.gmtime()).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
            self._transport.write(head + body)
            return
        said = _CSEQ.search(request)
        number = said[1] if said else b"0"
        if kind == "DESCRIBE" and b"Authorization: Digest" not in request:
            head = b"RTSP/1.0 401 Unauthorized\r\nCSeq: " + number + b"\r\n" + CHALLENGE + b"\r\n"
            self._transport.write(head)
            return
        self._fleet.asked(kind, self._name)
        if kind == "DESCRIBE":
            length = b"Content-Length: %d\r\n\r\n" % len(SDP)
            self._transport.write(OK % number + length + SDP)
        else:
            self._transport.write(OK % number + b"Public: OPTIONS, DESCRIBE\r\n\r\n")


async def main() -> None:
    fleet = Fleet(int(sys.argv[1]), float(sys.argv[2]))
    loop = asyncio.get_running_loop()
    # All addresses of the loopback; the port is open for the length of the bench.
    server = await loop.create_server(lambda: Camera(fleet), "0.0.0.0", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    commands = {"mark": fleet.mark, "report": fleet.report}
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(commands[line.strip()]()), flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
