"""A CCTV camera: RTSP's OPTIONS and DESCRIBE, snapshots and ONVIF's clock, the agent's heartbeats.

It streams nothing: the hub asks whether a camera lives and sees. RTSP as in RFC 2326; HTTP answers
on the same port, which saves a regency of cameras half of its sockets.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from PIL import Image, ImageDraw

from firmware_stubs.micropython import camera_core, node_core
from firmware_stubs.node import Message
from firmware_stubs.physics import NS, Physics
from hub import clock

FAULTS = ("dead", "hang", "frozen", "black", "wrong_auth", "unreachable")
"""dead: power is gone. hang: RTSP accepts and never answers, the agent goes on. frozen: the same
picture for ever. black: lens covered, pictures go on. wrong_auth: somebody changed the password.
unreachable: the way is broken."""

MAX_REQUEST = 16 * 1024
METHODS = "OPTIONS, DESCRIBE, SETUP, TEARDOWN, PLAY"


def page(request: str, picture: Callable[[], bytes], time_ns: int) -> bytes:
    """The reply to one HTTP request's head: a snapshot, or the clock."""
    if request.startswith("GET /snapshot.jpg "):
        return _http("200 OK", "image/jpeg", picture())
    if request.startswith("POST /onvif/device_service "):
        now = datetime.fromtimestamp(time_ns / NS, UTC)
        return _http("200 OK", "application/soap+xml", now.strftime(CLOCK).encode())
    return _http("404 Not Found", "text/plain", b"")


def _http(status: str, kind: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def draw(seed: str, frame: int, black: bool) -> bytes:
    """A small JPEG: a street of boxes, always the same for a seed; its noise and a car are new."""
    if black:
        lens = Image.effect_noise((320, 240), 4).point(lambda tone: tone // 32)
        return _jpeg(lens)
    dice, image = random.Random(seed), Image.new("L", (320, 240), 140)
    pen = ImageDraw.Draw(image)
    for _ in range(30):
        x, y = dice.randrange(320), dice.randrange(240)
        pen.rectangle(
            (x, y, x + dice.randrange(8, 60), y + dice.randrange(8, 60)), dice.randrange(256)
        )
    pen.rectangle((frame * 7 % 320, 180, frame * 7 % 320 + 30, 200), 20)
    return _jpeg(Image.blend(image, Image.effect_noise((320, 240), 60), 0.05))


def _jpeg(image: Image.Image) -> bytes:
    made = io.BytesIO()
    image.save(made, "JPEG", quality=70)
    return made.getvalue()


def answer(request: str, *, wants_auth: bool, realm: str = "CCTV") -> str:
    """The reply to one RTSP request (start line and headers). Pure; unknown methods get 501."""
    lines = request.split("\r\n")
    start = lines[0].split()
    if len(start) != 3 or not start[2].startswith("RTSP/1."):
        return _reply("400 Bad Request", "0")
    method, url, _ = start
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    cseq = headers.get("cseq", "0")
    if wants_auth:
        challenge = f'Digest realm="{realm}", nonce="5f2c1d7a9be34c60", algorithm=MD5'
        return _reply("401 Unauthorized", cseq, {"WWW-Authenticate": challenge})
    if method == "OPTIONS":
        return _reply("200 OK", cseq, {"Public": METHODS})
    if method == "DESCRIBE":
        return _reply("200 OK", cseq, {"Content-Base": url, "Content-Type": "application/sdp"}, SDP)
    return _reply("501 Not Implemented", cseq)


CLOCK = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
    "<GetSystemDateAndTimeResponse><UTCDateTime>"
    "<Time><Hour>%H</Hour><Minute>%M</Minute><Second>%S</Second></Time>"
    "<Date><Year>%Y</Year><Month>%m</Month><Day>%d</Day></Date>"
    "</UTCDateTime></GetSystemDateAndTimeResponse></s:Body></s:Envelope>"
)
SDP = "\r\n".join(
    (
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=Session",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "a=framerate:12.5",
        "",
    )
)


def _reply(status: str, cseq: str, headers: dict[str, str] | None = None, body: str = "") -> str:
    lines = [f"RTSP/1.0 {status}", f"CSeq: {cseq}", "Server: toba-camera-stub"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", body])


@dataclass
class Camera:
    """One camera. `await start()`, then `turn` for each heartbeat."""

    device: str
    opd: str
    site: str
    physics: Physics
    started_ns: int
    fps: float = 12.5
    faults: set[str] = field(default_factory=set)
    host: str = "127.0.0.1"
    port: int = 0
    _agent: camera_core.Agent = field(init=False, default_factory=camera_core.Agent)
    _server: asyncio.Server | None = field(init=False, default=None)
    _open: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _beaten_ns: int = field(init=False, default=0)
    _frame: int = field(init=False, default=0)
    _still: bytes = field(init=False, default=b"")
    """The picture at which it froze."""

    @property
    def url(self) -> str:
        return f"rtsp://{self.host}:{self.port}/stream1"

    @property
    def web(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> int:
        """Listen; the port. A camera that comes back takes the same one."""
        self._server = await asyncio.start_server(
            self._connected, self.host, self.port, limit=MAX_REQUEST
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self.port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in [*self._open]:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def fault(self, name: str, active: bool = True) -> None:
        """Put a fault of `FAULTS` on or off. Raises `ValueError` for another name."""
        if name not in FAULTS:
            raise ValueError(f"a camera has no fault {name!r}; it has {', '.join(FAULTS)}")
        (self.faults.add if active else self.faults.discard)(name)
        if "dead" in self.faults:
            await self.stop()
        elif self._server is None:
            await self.start()

    def restart(self, time_ns: int) -> None:
        """Power came back: uptime and the heartbeats' numbers begin again."""
        self.started_ns = time_ns
        self._beaten_ns = 0
        self._agent = camera_core.Agent()

    def turn(self, time_ns: int) -> list[Message]:
        """The heartbeat since the last one; none while it is dead or cut off."""
        if self.faults & {"dead", "unreachable"}:
            return []
        seconds = (time_ns - self._beaten_ns) / NS if self._beaten_ns else 1 / self.fps
        self._beaten_ns = time_ns
        self._deliver(time_ns, seconds)
        payload = self._agent.beat(
            time_ns // 1_000_000,
            seconds,
            (time_ns - self.started_ns) // NS,
            drift_ms=round(60 + self.physics.wobble(self.device, "drift", time_ns, 45)),
            storage_pct=round(48 + self.physics.bias(self.device, "disk", 30), 1),
        )
        topic = node_core.topic(self.opd, self.site, self.device, "status")
        return [Message(self.device, topic, payload)]

    def _deliver(self, time_ns: int, seconds: float) -> None:
        """The pictures of those seconds reach the agent."""
        tremble = 1 + self.physics.wobble(self.device, "fps", time_ns, 0.03)
        frames = max(1, round(self.fps * tremble * seconds))
        if "frozen" not in self.faults:
            self._frame += frames
        picture = f"{self.device}/{self._frame}".encode()
        size = round(frames * 17_500 * (1 + self.physics.wobble(self.device, "kbps", time_ns, 0.1)))
        self._agent.count(frames, size, camera_core.fingerprint(picture))

    def _picture(self) -> bytes:
        if "frozen" not in self.faults or not self._still:
            self._still = draw(self.device, self._frame, "black" in self.faults)
        return self._still

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 a server's callback always runs in one
        self._open.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client left, or sent what is no request
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await reader.readuntil(b"\r\n\r\n")
            if self.faults & {"hang", "unreachable"}:
                await reader.read()  # until the client gives up
                return
            text = request.decode("utf-8", "replace")
            if " HTTP/1." in text.partition("\r\n")[0]:
                writer.write(page(text, self._picture, clock.now_ns()))
                await writer.drain()
                return
            writer.write(answer(text, wants_auth="wrong_auth" in self.faults).encode())
            await writer.drain()
