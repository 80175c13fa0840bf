"""Does the RTSP server answer, and does it have the stream? RFC 2326 §10.1 and §10.2."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from dataclasses import dataclass

from collectors.camera import sdp
from collectors.camera.auth import Login, authorization
from collectors.camera.verdict import Verdict, ended
from collectors.camera.wire import Answer, Door, Ended, Line, connected, door

MAX_BODY = 64 * 1024
SCHEMES = ("rtsp", "rtsps")


def address(url: str) -> Door:
    """Raises `ValueError` saying what is wrong."""
    return door(url, SCHEMES)


@dataclass(frozen=True, slots=True)
class Rtsp:
    """One camera's RTSP server. Its questions raise nothing but cancellation."""

    where: Door
    timeout_s: float
    login: Login | None = None
    tls: ssl.SSLContext | None = None

    async def options(self) -> Verdict:
        """Is anybody there? The cheapest question; needs no password."""
        began = _now()
        try:
            async with connected(self.where, self.timeout_s, self.tls) as line:
                answer = await line.ask(_request("OPTIONS", self.where.url, 1), MAX_BODY)
        except Ended as end:
            return ended(end)
        return judge(answer, (_now() - began) * 1000)

    async def describe(self) -> tuple[Verdict, sdp.Video | None]:
        """Is the stream there, and is it a video? Logs in when asked to."""
        began = _now()
        try:
            async with connected(self.where, self.timeout_s, self.tls) as line:
                answer, tried = await self._describe(line)
            verdict = judge_description(answer, tried, (_now() - began) * 1000)
            return verdict, sdp.video(answer.body) if answer.status == 200 else None
        except Ended as end:
            return ended(end), None

    async def _describe(self, line: Line) -> tuple[Answer, bool]:
        """The answer, and whether a password was tried."""
        answer = await line.ask(_request("DESCRIBE", self.where.url, 1), MAX_BODY)
        if answer.status != 401 or self.login is None:
            return answer, False
        offers = answer.headers.get("www-authenticate", [])
        header = authorization(offers, self.login, "DESCRIBE", self.where.url, secrets.token_hex(8))
        return await line.ask(_request("DESCRIBE", self.where.url, 2, header), MAX_BODY), True


def judge(answer: Answer, ms: float) -> Verdict:
    """What an answer to OPTIONS says."""
    if answer.status == 200:
        return Verdict(True, "ok", ms)
    if answer.status == 401:
        return Verdict(True, "locked", ms)
    return Verdict(False, f"status {answer.status}", ms)


def judge_description(answer: Answer, tried: bool, ms: float) -> Verdict:
    """What an answer to DESCRIBE says; `tried`: with a password."""
    if answer.status == 200:
        return Verdict(True, "ok", ms)
    if answer.status == 401 and not tried:
        return Verdict(True, "locked", ms)
    names = {401: "wrong password", 403: "forbidden", 404: "no such stream", 503: "stream stopped"}
    return Verdict(True, names.get(answer.status, f"status {answer.status}"), ms, sick=True)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _request(method: str, url: str, number: int, authorization: str = "") -> bytes:
    lines = [f"{method} {url} RTSP/1.0", f"CSeq: {number}", "User-Agent: toba-hub"]
    if method == "DESCRIBE":
        lines.append("Accept: application/sdp")
    if authorization:
        lines.append(f"Authorization: {authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
