"""Sites, offices (OPD) and devices, and what depends on what. `inventory_file.py` reads them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, field_validator
from pydantic_core import PydanticCustomError

from hub.api import Target
from hub.problems import nearest
from hub.reading import Series
from rules import duration, noise

KINDS = ("router", "switch", "ap", "sensor", "camera", "ups", "gateway", "server", "other")
ID = r"[a-z0-9][a-z0-9_.-]{0,62}"


def _is_id(given: str) -> str:
    if not re.fullmatch(ID, given):
        near = re.sub(r"[^a-z0-9_.-]+", "-", given.lower()).strip("-_.")[:63]
        such = f", such as {near}" if near else ""
        remedy = f"small letters, digits, `-`, `_` and `.`, 63 at most{such}"
        raise PydanticCustomError(
            "id", "{given} can't be an id", {"given": repr(given), "remedy": remedy}
        )
    return given


Id = Annotated[str, AfterValidator(_is_id)]


class Site(BaseModel, extra="forbid", frozen=True):
    """A place."""

    id: Id
    name: str = Field(min_length=1)
    kecamatan: str = ""
    lat: float | None = Field(None, ge=-90, le=90)
    lon: float | None = Field(None, ge=-180, le=180)
    codes: dict[str, str] = {}
    """Official codes by scheme: kemendagri, bps."""


class Opd(BaseModel, extra="forbid", frozen=True):
    """An office of the regency (Organisasi Perangkat Daerah)."""

    id: Id
    name: str = Field(min_length=1)
    site: str


_Item = TypeVar("_Item", Site, Opd, "Device")
_GIVEN: set[str] = set()


class Device(BaseModel, extra="forbid", frozen=True):
    """Something that is watched."""

    id: Id
    name: str = ""
    kind: str
    """One of `KINDS`."""
    site: str
    opd: str = ""
    address: str = ""
    depends_on: list[str] = []
    collect: dict[str, dict[str, Any]] = {}
    lat: float | None = None
    lon: float | None = None
    note: str = ""
    reference: bool = False
    """A certified instrument: its air quality index is not just indicative."""
    noise_zone: str = ""
    """What stands there (KepMenLH 48/1996), such as `perumahan` or `sekolah`: whose limit holds."""
    calibrated: date | None = None
    """When it was calibrated last, such as 2026-03-01; without it nobody is reminded."""
    calibrate_days: int = Field(365, ge=1)
    """How long that lasts."""
    late_after: str = ""
    """How long its readings may take to arrive and still count for alerts, such as 1h: for nodes
    that keep readings while they have no network. Empty: five minutes."""

    def model_post_init(self, context: Any, /) -> None:
        # Nobody asks which fields were given; a set of them for each device would take as much as
        # what the device says.
        object.__setattr__(self, "__pydantic_fields_set__", _GIVEN)

    @field_validator("late_after")
    @classmethod
    def _is_duration(cls, length: str) -> str:
        if length:
            try:
                duration.parse(length)
            except duration.DurationError as error:
                raise PydanticCustomError(
                    "duration", "{why}", {"why": str(error), "remedy": "such as 15m or 1h"}
                ) from None
        return length

    @field_validator("noise_zone")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        if zone and zone not in noise.LIMITS:
            raise PydanticCustomError(
                "noise_zone",
                "no such zone: {zone}",
                {"zone": repr(zone), "remedy": nearest(zone, noise.LIMITS)},
            )
        return zone

    @field_validator("kind")
    @classmethod
    def _is_known(cls, kind: str) -> str:
        if kind not in KINDS:
            raise PydanticCustomError(
                "kind",
                "no such kind of device: {kind}",
                {"kind": repr(kind), "remedy": nearest(kind, KINDS)},
            )
        return kind

    @field_validator("address")
    @classmethod
    def _can_be(cls, address: str) -> str:
        """A name is looked up later; what looks like an IP address must be one."""
        if re.fullmatch(r"[\d.]+", address) or address.count(":") > 1:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                remedy = (
                    "such as 10.12.1.7; without a port, which stands in the collector's section"
                )
                raise PydanticCustomError(
                    "address",
                    "is no IP address: {given}",
                    {"given": repr(address), "remedy": remedy},
                ) from None
        return address

    @property
    def title(self) -> str:
        return self.name or self.id


@dataclass(slots=True)
class Inventory:
    """What the regency has, by id."""

    sites: dict[str, Site] = field(default_factory=dict)
    opds: dict[str, Opd] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    generation: int = 0
    """Changes when labels may have changed."""

    def labels(self, series: Series) -> Mapping[str, str]:
        """site, opd and kind of a series' device: looked up when data leaves, never stored here."""
        device = self.devices.get(series.device)
        if device is None:
            return {}
        named = {"site": device.site, "opd": device.opd, "kind": device.kind}
        return {key: value for key, value in named.items() if value}

    def targets(self, collector: str) -> list[Target]:
        """The devices that have a section for this collector."""
        return [
            Target(d.id, d.kind, d.address, d.collect[collector], d.site)
            for d in self.devices.values()
            if collector in d.collect
        ]

    def keep(self, before: Inventory) -> None:
        """Go on with the objects of `before` for whatever did not change: somebody may still hold
        that inventory, and two of a large network take much."""
        _keep(self.sites, before.sites)
        _keep(self.opds, before.opds)
        _keep(self.devices, before.devices)

    def addresses(self) -> dict[str, str]:
        """Device ids by address; of several devices at one address the first."""
        found: dict[str, str] = {}
        for device in self.devices.values():
            if device.address:
                found.setdefault(device.address, device.id)
        return found

    def dump(self) -> dict[str, Any]:
        """Plain data that `inventory_file.read` would accept."""
        return {
            "sites": [s.model_dump(exclude_defaults=True) for s in self.sites.values()],
            "opds": [o.model_dump(exclude_defaults=True) for o in self.opds.values()],
            "devices": [d.model_dump(exclude_defaults=True) for d in self.devices.values()],
        }


def _keep(mine: dict[str, _Item], theirs: Mapping[str, _Item]) -> None:
    for id, item in mine.items():
        known = theirs.get(id)
        if known == item:
            mine[id] = known
