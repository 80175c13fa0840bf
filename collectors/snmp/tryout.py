"""One device read once, everything that comes out and everything that doesn't, with reasons.

The real collector polls it, all four tiers; nothing here asks the device anything by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collectors.snmp.collector import SnmpCollector
from collectors.snmp.config import SnmpConfig
from collectors.snmp.finding import Told
from collectors.snmp.profile import fields_of, timeout_of
from hub.api import Event, Item, Log, Proposal, Reading, Receipt, Redelivery, Target, TryAgain

Began = Callable[[str, float], None]
"""Told what begins, and how many seconds it may take."""


@dataclass(slots=True)
class Tried:
    """What a poll of all tiers found."""

    address: str
    profile: str = ""
    title: str = ""
    chain: tuple[str, ...] = ()
    why: str = ""
    """Why it is this profile."""
    device: dict[str, Any] = field(default_factory=dict)
    """Fields of the device itself."""
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields by sensor."""
    ports: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields by ifName."""
    neighbours: list[dict[str, Any]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    """Everything that was looked for, found or not."""
    notes: list[str] = field(default_factory=list)
    """What the log would say."""

    def as_json(self) -> dict[str, Any]:
        """For programs; values have the units of the collector's manifest."""
        return {
            "address": self.address,
            "profile": {
                "name": self.profile,
                "title": self.title,
                "inherits": list(self.chain[1:]),
                "why": self.why,
            },
            "device": self.device,
            "hardware": self.parts,
            "interface": self.ports,
            "neighbours": self.neighbours,
            "looked_for": [
                {**one._asdict(), "unit": unit(one.field), "used": not one.why} for one in self.told
            ],
            "notes": self.notes,
        }


def unit(name: str) -> str:
    """The unit of `device.cpu_pct` as the manifest says it."""
    measurement, _, known = name.partition(".")
    return str(fields_of(measurement).get(known, {}).get("unit", ""))


class _Log:
    """A log that keeps what a person should know."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def debug(self, event: str, **values: Any) -> None: ...

    def info(self, event: str, **values: Any) -> None: ...

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append(event)

    def error(self, event: str, **values: Any) -> None:
        self.lines.append(event)


class _Host:
    """The hub, as far as one poll needs it."""

    log: Log

    def __init__(self, targets: Sequence[Target], log: Log) -> None:
        self.log = log
        self._targets = targets

    def now_ns(self) -> int:
        return 0

    def targets(self) -> Sequence[Target]:
        return self._targets

    def addresses(self) -> Mapping[str, str]:
        return {}

    def count(self, what: str, number: int = 1) -> None: ...

    def tell(self, part: str, numbers: Mapping[str, int]) -> None: ...

    def refuse(self, reason: str, detail: str = "", device: str = "") -> None: ...

    def taken(self, redelivery: Redelivery) -> Receipt | None:
        return None

    def recall(self) -> Mapping[str, Any]:
        return {}

    async def keep(self, facts: Mapping[str, Any]) -> None: ...


class _Emit:
    """Sorts what the collector hands over; it is kept by the time it is handed over."""

    def __init__(self, tried: Tried) -> None:
        self._tried = tried

    def __call__(self, *items: Item, redelivery: Redelivery | None = None) -> Receipt:
        for item in items:
            if isinstance(item, Reading):
                self._place(item).update(item.fields)
            elif isinstance(item, Proposal):
                self._tried.neighbours.append(dict(item.facts))
            elif isinstance(item, Event):
                self._tried.notes.append(item.text)
        done: Any = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done  # type: ignore[no-any-return]  # a future is awaited like a receipt

    def _place(self, reading: Reading) -> dict[str, Any]:
        if reading.series.measurement == "interface":
            return self._tried.ports.setdefault(reading.series.tag("ifname"), {})
        if reading.series.measurement == "hardware":
            return self._tried.parts.setdefault(reading.series.tag("sensor"), {})
        return self._tried.device


async def examine(
    address: str,
    section: Mapping[str, Any],
    config: SnmpConfig,
    *,
    others: Sequence[Target] = (),
    pause_s: float = 2.0,
    began: Began = lambda what, most_s: None,
) -> Tried:
    """Poll a device as the hub would. Raises `TryAgain` and `NeverWorks`, also when a tier takes
    longer than the hub would wait for it.

    `pause_s` is between two looks at the counters, which rates need; 0: one look, no rates.
    """
    tried = Tried(address)
    known = [target for target in others if target.address != address]
    target = Target(address, "other", address, section)
    log = _Log()
    host = _Host([*known, target], log)
    collector = SnmpCollector(config, host)
    emit = _Emit(tried)

    async def poll(tier: str) -> None:
        most_s = waits_s(config, tier)
        try:
            async with asyncio.timeout(most_s):
                await collector.poll(target, tier, emit)
        except TimeoutError:
            raise TryAgain(_too_slow(tried, tier, most_s)) from None

    await collector.start()
    try:
        began("tier liveness", waits_s(config, "liveness"))
        await poll("liveness")
        device = collector.device(target.id)
        device.told = tried.told
        for tier in ("inventory", "traffic", "health", "liveness"):
            began(f"tier {tier}", waits_s(config, tier))
            await poll(tier)
        if pause_s > 0 and tried.ports:
            began("the counters once more, for rates", pause_s + waits_s(config, "traffic"))
            await asyncio.sleep(pause_s)
            await poll("traffic")
        if device.chosen is not None:
            profile, tried.why = device.chosen
            tried.profile, tried.title, tried.chain = profile.name, profile.title, profile.chain
    finally:
        await collector.stop()
    tried.notes += log.lines
    return tried


def waits_s(config: SnmpConfig, tier: str) -> float:
    """So long the hub waits for a poll of this tier."""
    changed = config.tiers.get(tier)  # type: ignore[call-overload]  # one of its names
    return changed.timeout_s if changed and changed.timeout_s else timeout_of(tier)


def _too_slow(tried: Tried, tier: str, most_s: float) -> str:
    agent_ms = tried.device.get("agent_ms")
    pace = f" (it answers one request in {agent_ms:.0f} ms)" if agent_ms else ""
    return (
        f"{tried.address} is slow{pace}: tier {tier} is not read after {most_s:g} s, and the hub "
        f"waits no longer; give it more time in the settings, collectors.snmp.tiers: "
        f"{{{tier}: {{timeout_s: {4 * most_s:g}}}}}"
    )
