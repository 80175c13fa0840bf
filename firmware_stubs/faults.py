"""What can go wrong in the field on command: names, titles, and which devices each can hit.

The list is the menu of the demo's buttons; what a fault does is `firmware_stubs.field`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firmware_stubs.physics import NS, profile_of

MOST_CUT = 8
"""Devices behind a router that a fault takes along when nobody names another."""


@dataclass(frozen=True)
class Kind:
    """A fault that can be commanded."""

    name: str
    title: Mapping[str, str]
    """What the button says, by language; `{target}` is the device's name, `{place}` its site's."""
    kind: str
    """Of the device that it hits: router, sensor, camera."""
    profiles: Sequence[str] = ()
    """Of a sensor that it can hit; empty: any."""
    effect: str = ""
    """The effect on `firmware_stubs.physics`, when it is the world that changes."""

    def hits(self, device: Mapping[str, Any]) -> bool:
        """Can it befall that device of the inventory?"""
        if device["kind"] != self.kind:
            return False
        return not self.profiles or profile_of(device["id"]) in self.profiles


def _kinds() -> dict[str, Kind]:
    it, place = "{target}", "{place}"
    kinds = (
        Kind("router_dies", {"id": f"{it} mati", "en": f"{it} dies"}, "router"),
        Kind(
            "link_flaps", {"id": f"Uplink {it} naik-turun", "en": f"{it}: uplink flaps"}, "router"
        ),
        Kind("link_full", {"id": f"Uplink {it} penuh", "en": f"{it}: uplink is full"}, "router"),
        Kind("router_busy", {"id": f"CPU {it} penuh", "en": f"{it}: CPU is busy"}, "router"),
        Kind("sensor_stuck", {"id": f"{it} macet", "en": f"{it} is stuck"}, "sensor"),
        Kind("sensor_silent", {"id": f"{it} diam", "en": f"{it} falls silent"}, "sensor"),
        Kind("camera_frozen", {"id": f"{it} membeku", "en": f"{it} freezes"}, "camera"),
        Kind("camera_dead", {"id": f"{it} mati", "en": f"{it} dies"}, "camera"),
        Kind("camera_hangs", {"id": f"RTSP {it} macet", "en": f"{it}: RTSP hangs"}, "camera"),
        Kind(
            "camera_password",
            {"id": f"Kata sandi {it} diganti", "en": f"{it}: password was changed"},
            "camera",
        ),
        Kind("camera_black", {"id": f"{it} gelap", "en": f"{it} turns black"}, "camera"),
        Kind(
            "pm25_rises",
            {"id": f"PM2.5 naik di {place}", "en": f"PM2.5 rises at {place}"},
            "sensor",
            ("aq",),
            "smoke",
        ),
        Kind(
            "do_falls",
            {"id": f"Oksigen terlarut turun di {place}", "en": f"Oxygen falls at {place}"},
            "sensor",
            ("do",),
            "fish_kill",
        ),
        Kind(
            "lake_rises",
            {"id": f"Muka air danau naik di {place}", "en": f"The lake rises at {place}"},
            "sensor",
            ("level",),
            "lake_rise",
        ),
        Kind(
            "heavy_rain",
            {"id": f"Hujan lebat di {place}", "en": f"Heavy rain at {place}"},
            "sensor",
            ("rain", "wx"),
            "heavy_rain",
        ),
    )
    return {kind.name: kind for kind in kinds}


KINDS = _kinds()


@dataclass
class Active:
    """A fault in force, or fading after it was cleared."""

    kind: Kind
    target: str
    since_ns: int
    ramp_ns: int
    cleared_ns: int | None = None
    _at_clear: float = field(default=0.0)

    def clear(self, time_ns: int) -> None:
        self._at_clear = self.strength(time_ns)
        self.cleared_ns = time_ns

    def strength(self, time_ns: int) -> float:
        """0 to 1: it grows for the length of the ramp, and fades as fast when cleared."""
        if self.cleared_ns is not None:
            return max(0.0, self._at_clear - (time_ns - self.cleared_ns) / self.ramp_ns)
        return min(1.0, max(0.0, (time_ns - self.since_ns) / self.ramp_ns))


class Faults:
    """Which faults are in force, by name and target."""

    def __init__(self, inventory: Mapping[str, Any], ramp_s: float) -> None:
        self._devices = {str(device["id"]): device for device in inventory.get("devices") or ()}
        self._places = {site["id"]: site.get("name") for site in inventory.get("sites") or ()}
        self._ramp_ns = max(1, round(ramp_s * NS))
        self._active: dict[tuple[str, str], Active] = {}

    def behind(self, router: str) -> list[str]:
        """Devices whose way to the core leads through that one, near and far."""
        found: list[str] = []
        front = {router}
        while front:
            front = {
                name
                for name, device in self._devices.items()
                if name not in found and front & set(device.get("depends_on") or ())
            }
            found += [name for name in self._devices if name in front]
        return found

    def default_target(self, kind: Kind) -> str:
        """Who is hit when nobody is named; empty when the inventory has no such device.

        Of routers, those that drag most along without taking half of the regency with them. Faults
        that could hit the same devices take different ones, so that the buttons can be combined.
        """
        names = [name for name, device in self._devices.items() if kind.hits(device)]
        if kind.kind == "router":
            cut = {name: len(self.behind(name)) for name in names}
            names.sort(key=lambda name: -cut[name] if cut[name] <= MOST_CUT else 1)
        peers = [
            other.name for other in KINDS.values() if (other.kind, other.effect) == (kind.kind, "")
        ]
        place = peers.index(kind.name) if kind.name in peers else 0
        if kind.kind == "sensor" and not kind.effect:
            place += 1  # the first is where smoke rises
        return names[place % len(names)] if names else ""

    def resolve(self, name: str, target: str | None) -> tuple[Kind, str]:
        """Kind and target. Raises `ValueError` saying what there is instead."""
        kind = KINDS.get(name)
        if kind is None:
            raise ValueError(f"no fault {name!r}; there are {', '.join(KINDS)}")
        target = target or self.default_target(kind)
        device = self._devices.get(target)
        if device is None:
            raise ValueError(f"no device {target!r} in the inventory")
        if not kind.hits(device):
            wanted = f" measuring {'/'.join(kind.profiles)}" if kind.profiles else ""
            raise ValueError(f"{name} hits a {kind.kind}{wanted}; {target} is a {device['kind']}")
        return kind, target

    def put(self, kind: Kind, target: str, time_ns: int) -> Active:
        active = Active(kind, target, time_ns, self._ramp_ns)
        self._active[kind.name, target] = active
        return active

    def clear(self, kind: Kind, target: str, time_ns: int) -> bool:
        """False when it was not in force."""
        active = self._active.get((kind.name, target))
        if active is None or active.cleared_ns is not None:
            return False
        active.clear(time_ns)
        return True

    def targets(self, name: str) -> set[str]:
        """Devices that the fault of that name hits now."""
        return {
            target
            for (kind, target), active in self._active.items()
            if kind == name and active.cleared_ns is None
        }

    def effects(self, device: str, time_ns: int) -> dict[str, float]:
        """What the world does at that device now."""
        found: dict[str, float] = {}
        for (_, target), active in [*self._active.items()]:
            if target == device and active.kind.effect:
                found[active.kind.effect] = active.strength(time_ns)
        return found

    def listing(self) -> list[dict[str, Any]]:
        """Each fault with who it would hit, and each that is in force, for buttons."""
        rows: list[dict[str, Any]] = []
        for kind in KINDS.values():
            usual = self.default_target(kind)
            active = self.targets(kind.name)
            rows += [
                {
                    "name": kind.name,
                    "title": self._title(kind, target),
                    "target": target,
                    "active": target in active,
                }
                for target in [usual, *sorted(active - {usual})]
                if target
            ]
        return rows

    def _title(self, kind: Kind, target: str) -> dict[str, str]:
        device = self._devices[target]
        place = self._places.get(device["site"]) or device["site"]
        name = device.get("name") or target
        return {
            language: text.format(target=name, place=place) for language, text in kind.title.items()
        }
