"""Watches cameras by what they say and by what they answer.

MQTT status, POST token ─► heartbeat ───┐
polls, by tier ─► questions ─► verdict ─┼─► Camera (pure) ─► judgement ─► emit
event streams, Frigate ─► verdict ──────┘
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from collectors.camera import diagnose, frigate, heartbeat
from collectors.camera.config import Broker, CameraConfig, CameraSection
from collectors.camera.happenings import MAKERS, Happening
from collectors.camera.heartbeat import Goodbye
from collectors.camera.listener import Hear, listen
from collectors.camera.questions import Questions, Trust, questions
from collectors.camera.state import Camera, Judgement, State
from collectors.camera.stream import follow
from collectors.camera.verdict import Verdict
from collectors.camera.web import Web
from hub.api import (
    BadItem,
    Check,
    Collector,
    Emit,
    Event,
    Hint,
    Host,
    NeverWorks,
    Phrase,
    Reading,
    Receipt,
    Route,
    Series,
    Target,
    TryAgain,
    Value,
)

JUDGED = "rtsp"
"""The tier in which every camera is told of, also one that has nothing to be asked."""

SPREAD_S = 0.02
"""Event streams are opened so far apart on average."""


class CameraCollector(Collector):
    """Heartbeats (MQTT, HTTP) and answers, judged together."""

    Config = CameraConfig
    Section = CameraSection
    config: CameraConfig

    def __init__(self, config: Any, host: Host) -> None:
        super().__init__(config, host)
        self._emit: Emit | None = None
        self._cameras: dict[str, Camera] = {}
        self._known: dict[str, Target] = {}
        self._questions: dict[str, Questions] = {}
        self._tokens: dict[bytes, str] = {}
        self._in_frigate: dict[str, str] = {}
        """Devices by their name in Frigate."""
        self._judged: dict[str, Judgement] = {}

    @classmethod
    async def diagnose(cls, config: Any, targets: Sequence[Target]) -> Sequence[Check]:
        """The broker of the heartbeats, if there are cameras that could send some."""
        if config.broker is None or not targets:
            return []
        return [await diagnose.examine(config.broker)]

    async def start(self) -> None:
        """Read the sections. Raises `NeverWorks` when two cameras share a token."""
        now_ns, trust = self.host.now_ns(), Trust(self.config)
        known, self._known = self._known, {target.id: target for target in self.host.targets()}
        self._questions, self._tokens, self._in_frigate = {}, {}, {}
        self._cameras = {id: self._cameras[id] for id in self._known if id in self._cameras}
        for target in self.host.targets():
            section = CameraSection.model_validate(target.section)
            interval_s = section.heartbeat_s or self.config.heartbeat_s
            if known.get(target.id) != target:
                self._cameras[target.id] = Camera(
                    now_ns, interval_s, section.heartbeat, section.fps, section.maintenance
                )
            camera = self._cameras[target.id]
            self._questions[target.id] = questions(
                target, section, self.config, camera, trust, self.host.now_ns
            )
            if section.frigate:
                other = self._in_frigate.setdefault(section.frigate, target.id)
                if other != target.id:
                    raise NeverWorks(
                        f"{other} and {target.id} are both {section.frigate} in Frigate"
                    )
            if section.heartbeat_token:
                key = _hash(section.heartbeat_token.get_secret_value())
                other = self._tokens.setdefault(key, target.id)
                if other != target.id:
                    raise NeverWorks(f"{other} and {target.id} have the same heartbeat_token")

    async def retarget(self) -> None:
        """Go on with what is known of the cameras that stayed as they are."""
        await self.start()

    def needs(self, target: Target, tier: str) -> bool:
        """Where the section names no such proof there is nothing to ask."""
        return tier == JUDGED or self._questions[target.id].has(tier)

    def proves(self, target: Target, tier: str) -> bool:
        """A camera that only sends heartbeats is asked nothing: its silence is no answer."""
        return self._questions[target.id].has(tier)

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        """Ask what the tier asks, and say what the camera is now."""
        self._emit = emit
        camera = self._cameras[target.id]
        fields: dict[str, Value]
        fields = {} if camera.maintenance else await self._questions[target.id].ask(tier)
        for name, value in fields.items():
            if name.endswith("_ok"):
                self.host.count(f"{name.removesuffix('_ok')}_{'good' if value else 'bad'}")
        if fields or tier == JUDGED:
            self._tell(target.id, fields, self.host.now_ns(), emit)

    async def run(self, emit: Emit) -> None:
        """Listen to heartbeats until cancelled."""
        self._emit = emit
        broker = self.config.broker
        # Before the group, which would wrap a wrong file's error.
        tls = broker.tls.context() if broker and broker.tls else None
        async with asyncio.TaskGroup() as group:
            for device, asked in self._questions.items():
                if asked.events and asked.web and not asked.camera.maintenance:
                    group.create_task(self._follow(device, asked.web, asked.events))
            # A regency without cameras needs no broker for them.
            if broker is not None and (self._known or self.config.model_fields_set):
                await self._listen(broker, tls)
            await asyncio.Event().wait()

    async def _listen(self, broker: Broker, tls: ssl.SSLContext | None) -> None:
        topics: dict[str, Hear] = {
            broker.pattern: lambda topic, *said: self._heard(broker.device(topic), *said)
        }
        if self._in_frigate:
            topics[f"{broker.frigate}/stats"] = self._frigate_says
            topics[f"{broker.frigate}/available"] = self._frigate_is
        await listen(broker, tls, self.host, topics)

    async def _follow(self, device: str, web: Web, maker: str) -> None:
        """Stay on a camera's event stream."""
        path, read = MAKERS[maker]
        camera = self._cameras[device]

        def prove(verdict: Verdict) -> None:
            camera.proved("events", verdict, self.host.now_ns())
            self.host.count("keepalives" if verdict.good else "streams_broken")
            if not verdict.good and self._emit:
                self._tell(device, {"events_ok": 0}, self.host.now_ns(), self._emit)

        def tell(said: Happening) -> None:
            if self._emit:
                phrase = Phrase("the camera reports {what}", {"what": said.name})
                self._emit(Event.saying(device, said.name, self.host.now_ns(), phrase))

        await asyncio.sleep(random.uniform(0, min(10.0, SPREAD_S * len(self._cameras))))
        await follow(web, path, read, prove, tell)

    def _frigate_says(self, topic: str, payload: bytes, retained: bool) -> None:
        """`stats`: pictures a second of each of its cameras."""
        if retained or self._emit is None:
            return
        try:
            rates = frigate.fps(payload)
        except BadItem as error:
            reason, _, detail = str(error).partition(": ")
            self.host.refuse(reason, detail)
            return
        now_ns = self.host.now_ns()
        for name, rate in rates.items():
            device = self._in_frigate.get(name)
            if device is not None and not self._cameras[device].maintenance:
                self._cameras[device].proved("frigate", frigate.verdict(rate), now_ns)
                self._tell(device, {"fps": rate}, now_ns, self._emit)

    def _frigate_is(self, topic: str, payload: bytes, retained: bool) -> None:
        """`available`: offline is Frigate's own Will, and says nothing of its cameras."""
        if payload != b"online":
            for device in self._in_frigate.values():
                self._cameras[device].forget("frigate")

    def routes(self) -> Sequence[Route]:
        """`POST /api/v1/heartbeat/{token}`, for cameras and agents without MQTT."""
        return (Route("POST", "heartbeat/{token}", self._posted),)

    def _heard(self, device: str, payload: bytes, retained: bool) -> None:
        """A message on a status topic; sensors' own are none of our business."""
        if device not in self._cameras:
            self.host.count("ignored")
        elif retained:
            self.host.count("retained_ignored")  # the broker's memory, no sign of life
        else:
            try:
                self._take(device, payload)
            except BadItem as error:
                reason, _, detail = str(error).partition(": ")
                self.host.refuse(reason, detail, device)

    async def _posted(self, body: bytes, token: str) -> Mapping[str, Any]:
        device = self._tokens.get(_hash(token))
        if device is None:
            self.host.refuse("unknown_token")
            raise BadItem("unknown_token: no camera has this token")
        receipt = self._take(device, body)
        if receipt is not None:
            await receipt
        return {"device": device}

    def _take(self, device: str, payload: bytes) -> Receipt | None:
        """One live message of a camera. Raises `BadItem`."""
        if self._emit is None:
            raise TryAgain("the camera collector is still starting")
        now_ns = self.host.now_ns()
        said = heartbeat.parse(payload, now_ns)
        if isinstance(said, Goodbye):
            self._emit(
                Hint(device, f"it says {said.word}"),
                Event.saying(
                    device, said.word, now_ns, Phrase("the camera says {word}", {"word": said.word})
                ),
            )
            return None
        for detail in said.refused:
            self.host.refuse("wrong_value", detail, device)
        if not said.live:
            self.host.count("late_ignored")
            return None
        self.host.count("heartbeats")
        camera = self._cameras[device]
        camera.beat(said, now_ns)
        told = {
            "fps": said.fps,
            "kbps": said.kbps,
            "uptime_s": said.uptime_s,
            "storage_pct": said.storage_pct,
            "recording_gap_s": said.recording_gap_s,
            "clock_drift_s": said.drift_s,
        }
        fields: dict[str, Value] = {k: v for k, v in told.items() if v is not None}
        if camera.frozen is not None:
            fields["frozen"] = int(camera.frozen)
        return self._tell(device, fields, now_ns, self._emit)

    def _tell(
        self, device: str, fields: dict[str, Value], now_ns: int, emit: Emit
    ) -> Receipt | None:
        """Emit what was measured with the camera's state, and an event when that changed."""
        camera = self._cameras[device]
        age_s = camera.age_s(now_ns)
        if age_s is not None:
            fields["heartbeat_age_s"] = age_s
        judged = camera.judge(now_ns)
        events: list[Event] = []
        if judged is not None:
            fields["state"] = int(judged.state)
            if judged.state is not State.MAINTENANCE:
                fields["up"] = int(judged.state > 0)
            before = self._judged.get(device)
            self._judged[device] = judged
            if before is not None and before.state != judged.state:
                name = judged.state.name.lower()
                events.append(Event.saying(device, name, now_ns, *judged.faults))
        if not fields:
            return None
        return emit(Reading(Series.of("camera", device), now_ns, fields), *events)


def _hash(token: str) -> bytes:
    """Tokens are looked up by their hash, so that comparing tells nothing by its time."""
    return hashlib.sha256(token.encode()).digest()
