"""A whole regency of simulated devices over real protocols on loopback, with faults on command.

    inventory ─► Field.start ─► routers   SNMP agents on UDP ports   ◄─ the hub polls
                                cameras   RTSP servers on TCP ports  ◄─ the hub asks
                                sensors   ┐ QoS 1, MQTT 3.1.1
                                heartbeats┴─► embedded broker (or yours) ─► the hub

`start` gives the inventory back with the loopback's addresses in it. A device whose router is dead
is out of reach too: its agent keeps silent, its readings wait in its buffer and come late.
As a process of its own: `python -m firmware_stubs --inventory FILE`, see `control.py`.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from firmware_stubs.broker import EmbeddedBroker
from firmware_stubs.camera import Camera
from firmware_stubs.faults import Faults, Kind
from firmware_stubs.node import Message, Sensor, decode
from firmware_stubs.physics import NS, Effects, Physics, noise
from firmware_stubs.routers import Routers
from firmware_stubs.script import Step
from firmware_stubs.story import Story
from firmware_stubs.uplink import Uplink
from hub import clock

HOST = "127.0.0.1"
REMEMBERED = 600
"""Reports of each device that `history` keeps."""

CAMERA_FAULTS = {
    "camera_frozen": "frozen",
    "camera_dead": "dead",
    "camera_hangs": "hang",
    "camera_password": "wrong_auth",
    "camera_black": "black",
}


@dataclass(frozen=True)
class Addresses:
    """Where the field can be found."""

    inventory: dict[str, Any]
    """The inventory given, with addresses, ports, URLs and periods of the simulated devices."""
    broker_host: str
    broker_port: int

    def plain(self) -> dict[str, Any]:
        return {
            "inventory": self.inventory,
            "broker": {"host": self.broker_host, "port": self.broker_port},
        }


@dataclass
class Published:
    """What the broker acknowledged of one device."""

    count: int = 0
    kept: int = 0
    """Of them, said late after an outage."""
    last: dict[str, Any] = field(default_factory=dict)
    """The newest payload that was said in time."""
    topic: str = ""
    history: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def add(self, message: Message) -> None:
        said = decode(message.payload)
        self.count += 1
        self.topic = message.topic
        self.history.append(said)
        if message.kept:
            self.kept += 1
        else:
            self.last = said


class Field:
    """The simulated regency. `await start()`, `await fault(…)`, `await stop()`.

    `speed`: how much faster than the clock the day goes by; stamps stay true. `now`: UTC ns.
    `interval_s`, `beat_s`: between two reports of a sensor and of a camera. `ramp_s`: how long
    smoke, a fish kill and the like take to grow and to fade. `broker`: (host, port) of one that
    runs. `ping`: leave `netprobe` sections in the inventory. `story`: a day that is told from
    `begin()` on, with the hours of the first midnight after now; before, no sensor says a word.
    """

    def __init__(
        self,
        inventory: Mapping[str, Any],
        *,
        speed: float = 1.0,
        seed: int = 12,
        now: Callable[[], int] = clock.now_ns,
        interval_s: float = 3.0,
        beat_s: float = 5.0,
        ramp_s: float = 6.0,
        broker: tuple[str, int] | None = None,
        ping: bool = False,
        story: Story | None = None,
    ) -> None:
        self._inventory = copy.deepcopy(dict(inventory))
        self._now = now
        self._interval_s = interval_s
        self._beat_s = beat_s
        self._given_broker = broker
        self._ping = ping
        self._seed = seed
        self._story = story
        started = now()
        self.physics = Physics(seed, speed, started)
        self._faults = Faults(self._inventory, ramp_s)
        self._routers = Routers(self._collected("snmp"), self.physics)
        self._sensors = {
            device["id"]: Sensor(*_named(device), self.physics, started)
            for device in self._collected("mqtt")
        }
        self._cameras = {
            device["id"]: Camera(*_named(device), self.physics, started)
            for device in self._collected("camera")
        }
        self._published: dict[str, Published] = {}
        self._broker: EmbeddedBroker | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._uplinks: list[Uplink] = []
        self._links: list[asyncio.Task[None]] = []
        self._unreachable: set[str] = set()
        self._begun = asyncio.Event()
        self._midnight_ns = started + round((24 - self.physics.hour(started)) * 3600 * NS)
        if story is None:
            self._begun.set()
        else:
            for sensor in self._sensors.values():
                story.keep_yesterday(sensor, started)

    def _collected(self, by: str) -> list[dict[str, Any]]:
        """The devices that have a section for that collector."""
        devices = self._inventory.get("devices") or []
        return [device for device in devices if by in (device.get("collect") or {})]

    async def start(self) -> Addresses:
        """Start everything. Raises `OSError` when a port can't be had."""
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> Addresses:
        if self._given_broker is None:
            self._broker = EmbeddedBroker()
            host, port = HOST, await self._broker.start(HOST)
        else:
            host, port = self._given_broker
        await self._routers.start(HOST)
        for camera in self._cameras.values():
            await camera.start()
        sensors = Uplink(host, port, f"field-sensors-{self._seed}")
        cameras = Uplink(host, port, f"field-cameras-{self._seed}")
        self._uplinks = [sensors, cameras]
        self._links = [
            asyncio.create_task(sensors.run(lambda: self._greet(sensors)), name="sensors' uplink"),
            asyncio.create_task(cameras.run(_nothing), name="cameras' uplink"),
        ]
        for sensor in self._sensors.values():
            self._spawn(self._run_sensor(sensor, sensors), sensor.device)
        for camera in self._cameras.values():
            self._spawn(self._run_camera(camera, cameras), camera.device)
        self._spawn(self._routers.run(self._now), "field routers")
        return Addresses(self._rewritten(), host, port)

    def _spawn(self, work: Any, name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def stop(self) -> None:
        """End everything; may be called twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for uplink in self._uplinks:
            uplink.close()
        await asyncio.gather(*self._links, return_exceptions=True)
        self._links.clear()
        for camera in self._cameras.values():
            await camera.stop()
        await self._routers.stop()
        if self._broker is not None:
            await self._broker.stop()
            self._broker = None

    def failures(self) -> list[str]:
        """Tasks of the field that ended by an error, which is a bug of the field."""
        return [
            f"{task.get_name()}: {task.exception()!r}"
            for task in [*self._tasks, *self._links]
            if task.done() and not task.cancelled() and task.exception()
        ]

    async def fault(self, name: str, target: str | None = None) -> dict[str, str]:
        """Put a fault in force (again is no error). Raises `ValueError` naming what there is."""
        kind, target = self._faults.resolve(name, target)
        if target not in self._faults.targets(name):
            self._faults.put(kind, target, self._now())
            await self._apply(kind, target, True)
        return {"fault": name, "target": target}

    async def clear(self, name: str, target: str | None = None) -> dict[str, str]:
        """End a fault (none in force is no error). Raises `ValueError` naming what there is."""
        kind, target = self._faults.resolve(name, target)
        if self._faults.clear(kind, target, self._now()):
            await self._apply(kind, target, False)
        return {"clear": name, "target": target}

    def faults(self) -> list[dict[str, Any]]:
        """`{name, title {id, en}, target, active}` of what can be, and is, put in force."""
        return self._faults.listing()

    def published(self) -> dict[str, dict[str, Any]]:
        """By device: `count` acknowledged, `kept` of them late, `last` payload, `topic`."""
        return {
            device: {"count": said.count, "kept": said.kept, "last": said.last, "topic": said.topic}
            for device, said in self._published.items()
        }

    def history(self, device: str) -> list[dict[str, Any]]:
        """The newest payloads of a device that the broker acknowledged, oldest first."""
        said = self._published.get(device)
        return [*said.history] if said else []

    def routers(self) -> dict[str, dict[str, Any]]:
        """By router: what is true of it now; see `Routers.state`."""
        return self._routers.state()

    async def _apply(self, kind: Kind, target: str, active: bool) -> None:
        if kind.name == "router_dies":
            self._routers.dead(target, active)
            await self._reach()
        elif kind.name == "link_flaps":
            self._routers.flap(target, active)
        elif kind.name == "link_full":
            self._routers.full(target, active)
        elif kind.name == "router_busy":
            self._routers.busy(target, active)
        elif kind.name == "sensor_stuck":
            self._sensors[target].stuck = active
        elif kind.name == "sensor_silent":
            self._sensors[target].silent = active
            if not active:
                self._sensors[target].restart(self._now())
        elif kind.name in CAMERA_FAULTS:
            await self._cameras[target].fault(CAMERA_FAULTS[kind.name], active)
            if kind.name == "camera_dead" and not active:
                self._cameras[target].restart(self._now())

    async def _reach(self) -> None:
        """Cut off what lies behind dead routers, and nothing else."""
        cut: set[str] = set()
        for router in self._faults.targets("router_dies"):
            cut |= set(self._faults.behind(router))
        for device in cut ^ self._unreachable:
            out = device in cut
            if device in self._sensors:
                self._sensors[device].online = not out
            elif device in self._cameras:
                await self._cameras[device].fault("unreachable", out)
            else:
                self._routers.unreachable(device, out)
        self._unreachable = cut

    def _rewritten(self) -> dict[str, Any]:
        inventory = copy.deepcopy(self._inventory)
        for device in inventory.get("devices") or []:
            collect = device.get("collect") or {}
            device["address"] = HOST
            if port := self._routers.ports.get(device["id"]):
                collect["snmp"]["port"] = port
            if camera := self._cameras.get(device["id"]):
                collect["camera"]["rtsp"] = camera.url
                collect["camera"]["web"] = camera.web
                collect["camera"]["heartbeat_s"] = self._beat_s
            if not self._ping:
                # The kernel answers pings to loopback: a dead router would seem alive.
                collect.pop("netprobe", None)
        return inventory

    async def _greet(self, uplink: Uplink) -> None:
        for sensor in self._sensors.values():
            hello = sensor.hello()
            await uplink.publish(hello.topic, hello.payload, retain=hello.retain)

    async def _run_sensor(self, sensor: Sensor, uplink: Uplink) -> None:
        await self._begun.wait()
        if self._story is None:
            await self._phase(sensor.device, self._interval_s, uplink)
        else:  # evenly, so that something comes all the time
            place = list(self._sensors).index(sensor.device) / len(self._sensors)
            await asyncio.sleep(self._interval_s * place)
        async for time_ns in _every(self._interval_s, self._now):
            effects = self._effects(sensor.device, time_ns)
            for message in sensor.turn(time_ns, effects):
                await self._say(sensor, message, uplink)

    def _effects(self, device: str, time_ns: int) -> Effects:
        found = self._faults.effects(device, time_ns)
        if self._story is None:
            return found
        return {**self._story.effects(device, self.story_hour(time_ns)), **found}

    def story_hour(self, time_ns: int) -> float:
        """Hours since the story's midnight; negative before it."""
        return (time_ns - self._midnight_ns) / 3600 / NS

    def begin(self) -> list[Step]:
        """The story begins: sensors speak. Its faults, as a script from now on."""
        self._begun.set()
        if self._story is None:
            return []
        return self._story.steps(self.story_hour(self._now()), clock.speed())

    async def _say(self, sensor: Sensor, message: Message, uplink: Uplink) -> None:
        """Publish; then what was kept, a bounded number of them."""
        for _ in range(1 + 20 * message.kept):
            if not await uplink.publish(message.topic, message.payload, retain=message.retain):
                sensor.failed(message)
                return
            self._published.setdefault(sensor.device, Published()).add(message)
            following = sensor.delivered() if message.kept else None
            if following is None:
                return
            message = following

    async def _run_camera(self, camera: Camera, uplink: Uplink) -> None:
        await self._phase(camera.device, self._beat_s, uplink)
        async for time_ns in _every(self._beat_s, self._now):
            for message in camera.turn(time_ns):
                if await uplink.publish(message.topic, message.payload):
                    self._published.setdefault(camera.device, Published()).add(message)

    async def _phase(self, device: str, period_s: float, uplink: Uplink) -> None:
        """Wait for the broker, then a little, so that not all speak at once."""
        # asyncio.timeout, since wait_for of Python 3.11 can swallow the cancellation in `stop`.
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await uplink.connected.wait()
        await asyncio.sleep(
            min(period_s, 2.0) * (noise(self._seed, f"{device}/phase", 0, 1) + 1) / 2
        )


def _named(device: Mapping[str, Any]) -> tuple[str, str, str]:
    """Id, office and site, as its topics have them."""
    return device["id"], device.get("opd") or "opd", device["site"]


async def _every(period_s: float, now: Callable[[], int]) -> Any:
    """The time, now and every `period_s`, without drifting; a late turn is not made up for."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        yield now()
        due = max(due + period_s, loop.time())
        await asyncio.sleep(due - loop.time())


async def _nothing() -> None:
    """A camera's agent says nothing when it connects."""
