"""What one camera can be asked, by tier: evidence for its state, and fields to store."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from collectors.camera import onvif, picture, rtsp, wire
from collectors.camera.config import WEB, CameraConfig, CameraSection
from collectors.camera.rtsp import Rtsp
from collectors.camera.state import NS, Camera
from collectors.camera.verdict import Verdict, ended
from collectors.camera.web import Web, refusal
from collectors.camera.wire import Ended, Unfit
from hub.api import NeverWorks, Target, Value

PLAY_S = 2.0
Fields = dict[str, Value]
Now = Callable[[], int]
Answer = tuple[str, Verdict, Fields]
"""Of which proof (a name of `state.PROOFS`), how it ended, what was measured."""
Question = Callable[[], Awaitable[Answer | None]]
"""None: the camera's section does not ask for it."""


@dataclass
class Questions:
    """The clients of one camera; those that its section doesn't name are None."""

    camera: Camera
    now_ns: Now
    timeout_s: float
    rtsp: Rtsp | None = None
    tcp: wire.Door | None = None
    web: Web | None = None
    onvif: Web | None = None
    snapshot: str = ""
    """Path of a JPEG on `web`."""
    blurred_below: float = picture.BLURRED
    play: bool = False
    """Fetch the stream of `rtsp` for a moment."""
    events: str = ""
    """The maker whose event stream is followed on `web`."""

    def has(self, tier: str) -> bool:
        """Is there anything to ask in that tier?"""
        asked = {
            "rtsp": self.rtsp or self.tcp,
            "stream": self.rtsp,
            "play": self.rtsp if self.play else None,
            "onvif": self.onvif,
            "snapshot": self.web if self.snapshot else None,
        }
        return asked[tier] is not None

    async def ask(self, tier: str) -> Fields:
        """Every question of a tier, side by side. Raises nothing but cancellation."""
        asked: dict[str, tuple[Question, ...]] = {
            "rtsp": (self._options, self._connect),
            "stream": (self._describe,),
            "play": (self._play,),
            "onvif": (self._clock,),
            "snapshot": (self._look,),
        }
        fields: Fields = {}
        for found in await asyncio.gather(*map(self._prove, asked[tier])):
            fields |= found
        return fields

    async def _prove(self, question: Question) -> Fields:
        began_ns = self.now_ns()
        answer = await question()
        if answer is None:
            return {}
        name, verdict, fields = answer
        self.camera.proved(name, verdict, self.now_ns(), began_ns)
        return {f"{name}_ok": int(verdict.good), **fields}

    async def _options(self) -> Answer | None:
        if self.rtsp is None:
            return None
        verdict = await self.rtsp.options()
        return "rtsp", verdict, {} if verdict.ms is None else {"rtsp_ms": verdict.ms}

    async def _connect(self) -> Answer | None:
        if self.tcp is None:
            return None
        try:
            async with wire.connected(self.tcp, self.timeout_s):
                return "tcp", Verdict(True, "ok"), {}
        except Ended as end:
            return "tcp", ended(end), {}

    async def _describe(self) -> Answer | None:
        if self.rtsp is None:
            return None
        verdict, _ = await self.rtsp.describe()
        return "stream", verdict, {}

    async def _play(self) -> Answer | None:
        """Some seconds of the stream, counted and forgotten."""
        if self.rtsp is None or not self.play:
            return None
        verdict, seen = await self.rtsp.play(PLAY_S)
        fields: Fields = {}
        expected = self.camera.fps_expected
        if seen is not None and seen.fps is not None:
            fields = {"fps": seen.fps, "kbps": seen.kbps}
            if seen.still is not None:
                fields["frozen"] = int(seen.still)
            if expected and seen.fps < expected / 2:
                verdict = Verdict(True, "fewer than half of its pictures come", sick=True)
        return "play", verdict, fields

    async def _clock(self) -> Answer | None:
        if self.onvif is None:
            return None
        try:
            began_ns, began = self.now_ns(), asyncio.get_running_loop().time()
            answer = await self.onvif.ask(
                "POST", onvif.PATH, onvif.MAX_BODY, {"Content-Type": onvif.TYPE}, onvif.REQUEST
            )
            took_s = asyncio.get_running_loop().time() - began
            if answer.status == 401:  # it lives; the clock's question needs no password
                return "onvif", Verdict(True, "locked"), {}
            if answer.status not in (200, 400, 500):  # SOAP faults come with the latter two
                raise Unfit(refusal(answer.status, False))
            said_s = onvif.utc_s(answer.body)
        except Ended as end:
            return "onvif", ended(end), {}
        if said_s is None:
            return "onvif", Verdict(True, "ok"), {}
        # Whole seconds, cut off: it was on average half a second later, midway in the exchange.
        drift_s = said_s + 0.5 - (began_ns / NS + took_s / 2)
        return "onvif", Verdict(True, "ok"), {"clock_drift_s": drift_s}

    async def _look(self) -> Answer | None:
        """One picture, judged and forgotten."""
        if self.web is None or not self.snapshot:
            return None
        try:
            answer = await self.web.ask("GET", self.snapshot, picture.MAX_BYTES)
            if answer.status != 200:
                raise Unfit(refusal(answer.status, self.web.login is not None))
            # In a thread: libjpeg lets the others work meanwhile.
            seen = await asyncio.to_thread(picture.look, answer.body, self.blurred_below)
        except Ended as end:
            return "snapshot", ended(end), {}
        frozen = self.camera.showed(seen.fingerprint)
        faults = {"black": seen.black, "frozen": frozen, "blurred": seen.blurred}
        wrong = [name for name, is_so in faults.items() if is_so]
        name = f"the picture is {' and '.join(wrong)}" if wrong else "ok"
        fields: Fields = {
            "black": int(seen.black),
            "blurred": int(seen.blurred),
            "brightness": seen.brightness,
            "sharpness": seen.sharpness,
            "frozen": int(bool(self.camera.frozen)),
        }
        return "snapshot", Verdict(True, name, sick=bool(wrong)), fields


class Trust:
    """Whom we believe over TLS; made once, since reading the authorities takes long."""

    def __init__(self, config: CameraConfig) -> None:
        """Raises `NeverWorks` naming the file."""
        try:
            self._checked = ssl.create_default_context()
            if config.ca_file is not None:
                self._checked.load_verify_locations(config.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise NeverWorks(f"ca_file: {config.ca_file}: {error}") from error
        self._anybody = ssl.create_default_context()
        self._anybody.check_hostname = False
        self._anybody.verify_mode = ssl.CERT_NONE

    def of(self, section: CameraSection) -> ssl.SSLContext:
        return self._checked if section.verify_certificate else self._anybody


def questions(
    target: Target,
    section: CameraSection,
    config: CameraConfig,
    camera: Camera,
    trust: Trust,
    now_ns: Now,
) -> Questions:
    """What the section asks for. Raises `NeverWorks` where an address is missing."""
    made = Questions(camera, now_ns, config.timeout_s)
    credential = config.credentials.get(section.credential or "default")
    login = credential.login() if credential else None
    tls = trust.of(section)
    if section.rtsp:
        made.rtsp = Rtsp(rtsp.address(section.rtsp), config.timeout_s, login, tls)
        made.play = section.play
    if section.tcp is not None:
        _need(target, target.address, "tcp", "an address")
        made.tcp = wire.Door(target.address, section.tcp, "")
    address = f"[{target.address}]" if ":" in target.address else target.address
    url = section.web or (address and f"http://{address}")
    if url:
        made.web = Web(wire.door(url, WEB), config.timeout_s, login, tls)
    if section.snapshot:
        _need(target, url, "snapshot", "web, or an address")
        made.snapshot, made.blurred_below = section.snapshot, config.blurred_below
    if section.events:
        _need(target, url, "events", "web, or an address")
        made.events = section.events
    if section.onvif:
        _need(target, url, "onvif", "web, or an address")
        made.onvif = made.web
    return made


def _need(target: Target, given: str, what: str, missing: str) -> None:
    if not given:
        raise NeverWorks(f"{target.id}: {what} needs {missing}")
