"""Does the RTSP server answer, has it the stream, do pictures come? RFC 2326 §10.1 to §10.7."""

from __future__ import annotations

import asyncio
import re
import secrets
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from collectors.camera import sdp
from collectors.camera.auth import Login, authorization
from collectors.camera.interleaved import Interleaved
from collectors.camera.pictures import Pictures, Seen
from collectors.camera.verdict import Verdict, ended
from collectors.camera.wire import Answer, Door, Ended, Line, Unfit, connected, door

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
                asking = _Asking(line, self.login)
                answer = await asking.ask("DESCRIBE", self.where.url, ACCEPT)
            verdict = judge_description(answer, asking.tried, (_now() - began) * 1000)
            return verdict, sdp.video(answer.body) if answer.status == 200 else None
        except Ended as end:
            return ended(end), None

    async def play(self, seconds: float) -> tuple[Verdict, Seen | None]:
        """Do pictures come? Fetches the stream for so long, over the same TCP connection."""
        patience_s = 2 * self.timeout_s + seconds
        try:
            async with connected(self.where, patience_s, self.tls) as line:
                return await self._play(_Asking(line, self.login), line, seconds)
        except Ended as end:
            return ended(end), None

    async def _play(
        self, asking: _Asking, line: Line, seconds: float
    ) -> tuple[Verdict, Seen | None]:
        answer = await asking.ask("DESCRIBE", self.where.url, ACCEPT)
        if answer.status != 200:
            return judge_description(answer, asking.tried, 0.0)._replace(ms=None), None
        video = sdp.video(answer.body)
        base = answer.header("content-base") or answer.header("content-location")
        base = _url(base, self.where.url)
        answer = await asking.ask("SETUP", _url(video.control, base), TRANSPORT)
        if answer.status == 461:  # only over UDP: nothing that we could look at
            return Verdict(True, "no stream over TCP"), None
        if answer.status != 200:
            return Verdict(True, f"SETUP: status {answer.status}", sick=True), None
        session = _session(answer)
        line.say(asking.request("PLAY", base, {"Session": session, "Range": "npt=0-"}))
        verdict, seen = await self._watch(line, Pictures(video.codec), seconds)
        line.say(asking.request("TEARDOWN", base, {"Session": session}))
        return verdict, seen

    async def _watch(
        self, line: Line, pictures: Pictures, seconds: float
    ) -> tuple[Verdict, Seen | None]:
        """Until the time is over, or no picture has come within the time-out."""
        stream, began = Interleaved(), 0.0
        until = _now() + self.timeout_s
        while _now() < until:
            try:
                async with asyncio.timeout_at(until):
                    data = await line.some()
            except TimeoutError:
                break
            except Ended:
                if not pictures.packets:
                    raise
                return Verdict(True, "the stream breaks off", sick=True), None
            for item in stream.feed(data):
                if isinstance(item, Answer):
                    if item.status != 200:
                        return Verdict(True, f"PLAY: status {item.status}", sick=True), None
                elif item.channel == 0 and pictures.take(item.data) and not began:
                    began = _now()
                    until = began + seconds
        if not pictures.packets:
            return Verdict(True, "it plays, and no pictures come", sick=True), None
        seen = pictures.seen(_now() - began)
        if seen.still:
            return Verdict(True, "the picture is frozen", sick=True), seen
        return Verdict(True, "ok"), seen


ACCEPT = {"Accept": "application/sdp"}
TRANSPORT = {"Transport": "RTP/AVP/TCP;unicast;interleaved=0-1"}
_SESSION = re.compile(r"[!-:<-~]{1,128}")


@dataclass(slots=True)
class _Asking:
    """Requests in a row on one connection: numbered, and logged in once we are asked to."""

    line: Line
    login: Login | None
    tried: bool = False
    """A password was."""
    _number: int = 0
    _offers: Sequence[str] = field(default_factory=list)

    async def ask(self, method: str, url: str, headers: Mapping[str, str]) -> Answer:
        answer = await self.line.ask(self.request(method, url, headers), MAX_BODY)
        if answer.status != 401 or self.login is None:
            return answer
        self._offers, self.tried = answer.headers.get("www-authenticate", []), True
        return await self.line.ask(self.request(method, url, headers), MAX_BODY)

    def request(self, method: str, url: str, headers: Mapping[str, str]) -> bytes:
        self._number += 1
        header = ""
        if self.tried and self.login is not None:
            header = authorization(self._offers, self.login, method, url, secrets.token_hex(8))
        return _request(method, url, self._number, headers, header)


def _url(said: str, base: str) -> str:
    """What a camera calls something, as a whole URL. Raises `Unfit` when that can't be."""
    if any(not "!" <= char <= "~" for char in said):
        raise Unfit("garbage: the description names no URL")
    if said.startswith(("rtsp://", "rtsps://")):
        return said
    return f"{base.rstrip('/')}/{said}" if said else base


def _session(answer: Answer) -> str:
    session = answer.header("session").partition(";")[0].strip()
    if not _SESSION.fullmatch(session):
        raise Unfit("garbage: SETUP gives no session")
    return session


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


def _request(
    method: str,
    url: str,
    number: int,
    headers: Mapping[str, str] | None = None,
    authorization: str = "",
) -> bytes:
    lines = [f"{method} {url} RTSP/1.0", f"CSeq: {number}", "User-Agent: toba-hub"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
