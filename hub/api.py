"""THE page for authors of collector plugins; a plugin imports nothing else of the hub.

    device ─► your collector ─ emit(Reading, …) ─► hub ─► durable receipt ─► acknowledge the device

A plugin is a folder `collectors/<name>/` (or a package of yours) with a `manifest.toml`, and one
class named in the entry point group `toba_hub.collectors`. The hub does the hard half: schedule,
jitter, time-out, back-off, logging once, metrics, validation, storage. The class only reads a
device and calls `emit`.

    class Thermometer(Collector):
        config: ThermometerConfig                      # pydantic; checked without the network

        async def poll(self, target, tier, emit):      # manifest: kind = "poll"
            value = await read(target.address)         # let TryAgain, NeverWorks, BadItem fly
            emit(Reading(Series.of("environment", target.id, sensor="t"), self.host.now_ns(),
                         {"temperature": value}))

A stream plugin has `run` instead of `poll`; it calls `await emit(…)` to know that what it handed
over is on disk, and only then acknowledges its source.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel

from hub.problems import Misconfigured, Problem
from hub.reading import BadSeries, Quality, Reading, Series, Value
from hub.units import MOLAR_MASS, micrograms
from hub.yamlfile import read_model as read_yaml

__all__ = [
    "MOLAR_MASS",
    "BadItem",
    "BadSeries",
    "Check",
    "Collector",
    "Content",
    "Emit",
    "Event",
    "Found",
    "Hint",
    "Host",
    "Installation",
    "Item",
    "Log",
    "Message",
    "Misconfigured",
    "NeverWorks",
    "Phrase",
    "Problem",
    "Proposal",
    "Quality",
    "Reading",
    "Receipt",
    "Redelivery",
    "Route",
    "Search",
    "Series",
    "Target",
    "TryAgain",
    "Value",
    "micrograms",
    "read_yaml",
]


class TryAgain(Exception):
    """The device or network failed this time; the hub backs off and asks again."""


class NeverWorks(Exception):
    """This configuration can't ever work; the hub stops asking and says so until it is changed."""


class BadItem(Exception):
    """This one message or value is bad; it is refused with this reason and counted."""


@dataclass(frozen=True, slots=True)
class Target:
    """A device of the inventory that has a section for your collector."""

    id: str
    kind: str
    """router, switch, sensor, camera …"""
    address: str
    """Host name or IP address; empty when the device speaks first."""
    section: Mapping[str, Any]
    """What the inventory says under `collect: {<your name>: …}`, checked by your `Section`."""
    site: str = ""


class Phrase(NamedTuple):
    """A statement that can be said in other languages: `Phrase("uptime fell to {s} s", {"s": 4})`.

    Its key is the English text; the manifest's `[messages.id]` has it in Bahasa Indonesia with the
    same holes. A value that is such a key itself is translated, too.
    """

    key: str
    values: Mapping[str, Value] = {}

    def __str__(self) -> str:
        values = {k: f"{v:g}" if isinstance(v, float) else v for k, v in self.values.items()}
        return self.key.format(**values)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: a trap, a reboot, a message refused. Shown on the timeline."""

    device: str
    name: str
    time_ns: int
    text: str = ""
    fields: Mapping[str, Value] = field(default_factory=dict)
    said: Sequence[Phrase] = ()
    """The text once more, for readers of other languages."""

    @classmethod
    def saying(
        cls,
        device: str,
        name: str,
        time_ns: int,
        *said: Phrase,
        fields: Mapping[str, Value] | None = None,
    ) -> Event:
        """With its text made of phrases."""
        return cls(device, name, time_ns, ", ".join(map(str, said)), fields or {}, said)


@dataclass(frozen=True, slots=True)
class Hint:
    """Poll that device now, somebody has reason to think that it changed."""

    device: str
    reason: str
    tier: str = ""
    """Empty: every tier."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A device or an edge that was found and that a person may take into the inventory."""

    kind: str
    """"device" or "edge"."""
    device: str
    facts: Mapping[str, Any]


Content = Reading | Event | Hint | Proposal


class Redelivery(NamedTuple):
    """Names a message that its source sends again until acknowledged (MQTT QoS 1).

    It goes to the journal with the readings, so that the same message coming again after a
    crash is known (`Host.taken`) and acknowledged without becoming a second record.
    """

    session: str
    packet_id: int
    """16 bit wide; a session uses it for one message at a time."""
    digest: int
    """64 bits that tell the message from another one that gets the same packet id later."""


class Message(NamedTuple):
    """What one message held, whose source keeps it until we acknowledge."""

    redelivery: Redelivery
    items: Sequence[Content]
    size: int
    """Bytes that it came as."""


Item = Content | Message


class Receipt(Awaitable[object], Protocol):
    """Await it to know that everything handed over in that call is on disk.

    Raises `TryAgain` when it can't be (disk or quota full): do not acknowledge, the source
    keeps it.
    """

    @property
    def batch(self) -> Future[Any]:
        """What everything handed over since the last fsync waits for together.

        Watch it (`add_done_callback`) where thousands of messages a second are acknowledged, so
        that a batch costs one wake-up. It is not yours alone: never cancel it.
        """
        ...


class Emit(Protocol):
    """Hand items over, never blocking; await the receipt only if your source needs it."""

    def __call__(self, *items: Item) -> Receipt: ...


class Log(Protocol):
    """A structured log: `log.warning("agent is slow", device="r1", seconds=4.2)`."""

    def debug(self, event: str, **values: Any) -> Any: ...
    def info(self, event: str, **values: Any) -> Any: ...
    def warning(self, event: str, **values: Any) -> Any: ...
    def error(self, event: str, **values: Any) -> Any: ...


class Host(Protocol):
    """What the hub gives a collector."""

    log: Log

    def now_ns(self) -> int:
        """UTC now in nanoseconds."""
        ...

    def targets(self) -> Sequence[Target]:
        """The devices that have a section for this collector, in inventory order."""
        ...

    def addresses(self) -> Mapping[str, str]:
        """Whose each address (IP or host name) of the whole inventory is: device ids by address,
        also of devices without a section for this collector."""
        ...

    def count(self, what: str, number: int = 1) -> None:
        """Add to a counter of this collector, shown in /metrics and on the board."""
        ...

    def tell(self, part: str, numbers: Mapping[str, int]) -> None:
        """How a part of the hub stands, such as a broker's connection: a reading of `hub` with
        that part, for rules to watch. Fields are those of `hub/own.py`."""
        ...

    def refuse(self, reason: str, detail: str = "", device: str = "") -> None:
        """Count (and log, thinned out) one item that was refused, with its reason."""
        ...

    def taken(self, redelivery: Redelivery) -> Receipt | None:
        """The receipt of a message that came before; None when it must be handed over.

        To be asked when the source says that it sends a message again: acknowledge that with
        the receipt, and do no more.
        """
        ...

    def recall(self) -> Mapping[str, Any]:
        """What this collector kept last (`keep`), before a restart, too. Empty: nothing, or it
        can't be read any more, which is logged."""
        ...

    async def keep(self, facts: Mapping[str, Any]) -> None:
        """Keep these facts (as JSON has them, a few MiB at most) over a restart, in the place of
        those kept before; on disk when it returns. For what is learned slowly and changes seldom.

        Raises `TryAgain` when they can't be written, `BadItem` when they are too many.
        """
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTP route under /api/v1/<path>; `{name}` parts reach the handler as keywords."""

    method: str
    path: str
    handle: Callable[..., Awaitable[Mapping[str, Any]]]
    """`async handle(body: bytes, **path_parts) -> JSON object`; `BadItem` answers 400."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that `toba-hub doctor` looked at for a collector."""

    level: Literal["good", "warn", "bad"]
    what: str
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """What `toba-hub discover` wants to be asked, and how politely."""

    addresses: Sequence[str]
    at_once: int
    """Addresses at the same time."""
    per_second: float
    """Packets, all together."""
    timeout_s: float = 1.0
    tries: int = 2
    port: int | None = None
    """Where the devices listen, if not at the protocol's own port."""
    communities: Sequence[str] = ()
    """Words to try, in this order, before what the settings say."""


@dataclass(frozen=True, slots=True)
class Found:
    """A device that answered a search, and what it says of itself."""

    address: str
    name: str = ""
    """Empty when it doesn't say; many devices may have the same."""
    kind: str = "other"
    """As the inventory calls it: router, switch, ap, camera, ups, server, other …"""
    model: str = ""
    place: str = ""
    """Where it says that it stands."""
    section: Mapping[str, Any] = field(default_factory=dict)
    """What must stand under `collect: {<your name>: …}` for it to be polled."""
    addresses: frozenset[str] = frozenset()
    """All its own addresses, if it tells: two answers may come from one device."""
    refusal: str = ""
    """It is there, but does not let us in: why."""


class Installation(Protocol):
    """What a verb of yours may ask of the hub around it: it is `ctx.obj` of its `typer.Context`.

    A verb is an entry point of the group `toba_hub.commands`: a function, or a `typer.Typer` with
    several. Its errors `TryAgain`, `NeverWorks` and `Misconfigured` become one clear line each.
    """

    def config(self, settings: Path, collector: str) -> Any:
        """What that settings file says for a collector, as its `Config`. Raises `Misconfigured`."""
        ...

    def targets(self, settings: Path, collector: str) -> Sequence[Target]:
        """The inventory's devices for a collector. Raises `Misconfigured`."""
        ...

    def now_ns(self) -> int:
        """UTC now in nanoseconds."""
        ...


class NoConfig(BaseModel, extra="forbid"):
    """The configuration of a collector that has none."""


class Collector:
    """Base of every plugin. Override `poll` or `run`, as the manifest's kind says."""

    Config: type[BaseModel] = NoConfig
    """Settings under `collectors.<name>`; unknown keys are errors."""
    Section: type[BaseModel] = NoConfig
    """A device's section under `collect.<name>` in the inventory. Where both are checked, its
    validators find the settings under "config" in their context."""

    def __init__(self, config: Any, host: Host) -> None:
        self.config = config
        self.host = host

    async def start(self) -> None:
        """Open what is shared by all polls. May raise `TryAgain` or `NeverWorks`."""

    async def stop(self) -> None:
        """Close what `start` opened."""

    async def retarget(self) -> None:
        """The inventory changed: `host.targets()` is another. Devices that were polled before may
        come with another section; `run` is cancelled and called again after this."""

    def needs(self, target: Target, tier: str) -> bool:
        """Is there anything to ask this device in that tier? Asked before each poll, so that
        thousands of devices without it cost nothing."""
        return True

    def proves(self, target: Target, tier: str) -> bool:
        """Does a poll in that tier ask the device itself, so that it tells whether the device
        lives: by an `up` that it emits, or by failing? Not one that only sums up what came by
        itself, or looks at something else."""
        return True

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        """Read one device once. Cancelled at the tier's time-out."""
        raise NotImplementedError

    async def run(self, emit: Emit) -> None:
        """Read a stream until cancelled. When it raises `TryAgain`, it is started again."""
        raise NotImplementedError

    @classmethod
    async def diagnose(cls, config: Any, targets: Sequence[Target]) -> Sequence[Check]:
        """For `toba-hub doctor`: look at what it needs (broker, rights), change nothing."""
        return ()

    @classmethod
    def search(cls, config: Any, search: Search) -> AsyncIterator[tuple[str, Found | None]] | None:
        """For `toba-hub discover`: each address once, in any order, and what answered there.

        None instead: this collector can't look for devices.
        """
        return None

    def routes(self) -> Sequence[Route]:
        """HTTP routes that this collector answers."""
        return ()
