"""Sites, offices (OPD) and devices, and what depends on what.

One YAML file, or a list of YAML and CSV files read as one. A CSV file lists devices, one a row,
with the columns id, name, kind, site, opd, address, depends_on (`;` between several), and
`collect.<collector>.<key>` for the collectors' sections; an empty cell says nothing. The columns
may be parted by semicolons too.
"""

from __future__ import annotations

import csv
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path as FilePath
from sys import intern
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from hub import yamlfile
from hub.api import Target
from hub.problems import Misconfigured, Path, Problem, from_pydantic, nearest
from hub.reading import Series
from hub.registry import Plugin
from hub.yamlfile import YamlFile
from rules import duration, noise

KINDS = ("router", "switch", "ap", "sensor", "camera", "ups", "gateway", "server", "other")
ID = r"^[a-z0-9][a-z0-9_.-]{0,62}$"


class Site(BaseModel, extra="forbid", frozen=True):
    """A place."""

    id: str = Field(pattern=ID)
    name: str = Field(min_length=1)
    kecamatan: str = ""
    lat: float | None = Field(None, ge=-90, le=90)
    lon: float | None = Field(None, ge=-180, le=180)
    codes: dict[str, str] = {}
    """Official codes by scheme: kemendagri, bps."""


class Opd(BaseModel, extra="forbid", frozen=True):
    """An office of the regency (Organisasi Perangkat Daerah)."""

    id: str = Field(pattern=ID)
    name: str = Field(min_length=1)
    site: str


_Item = TypeVar("_Item", Site, Opd, "Device")
_GIVEN: set[str] = set()


class Device(BaseModel, extra="forbid", frozen=True):
    """Something that is watched."""

    id: str = Field(pattern=ID)
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


class _File(BaseModel, extra="forbid"):
    sites: list[Site] = []
    opds: list[Opd] = []
    devices: list[Device] = []


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
        """Plain data that `read` would accept."""
        return {
            "sites": [s.model_dump(exclude_defaults=True) for s in self.sites.values()],
            "opds": [o.model_dump(exclude_defaults=True) for o in self.opds.values()],
            "devices": [d.model_dump(exclude_defaults=True) for d in self.devices.values()],
        }


def read(
    paths: Iterable[FilePath],
    plugins: Mapping[str, Plugin] | None = None,
    configs: Mapping[str, BaseModel] | None = None,
) -> Inventory:
    """Read and check files as one inventory. Raises `Misconfigured` with every problem found.

    `configs`: the collectors' settings, for what a section may refer to there.
    """
    inventory, problems = Inventory(), []
    written: dict[tuple[str, str], tuple[YamlFile, Path]] = {}
    for path in paths:
        try:
            file = _read_csv(path) if path.suffix.lower() == ".csv" else yamlfile.read(path)
        except Misconfigured as error:
            problems += error.problems
            continue
        problems += file.problems
        problems += _take(file, inventory, written)
    problems += _check_references(inventory, written)
    if plugins is not None:
        problems += _check_sections(inventory, written, plugins, configs or {})
    yamlfile.raise_if(problems)
    _share(inventory.devices.values())
    return inventory


def _keep(mine: dict[str, _Item], theirs: Mapping[str, _Item]) -> None:
    for id, item in mine.items():
        known = theirs.get(id)
        if known == item:
            mine[id] = known


def _share(devices: Iterable[Device]) -> None:
    """Keep once what many devices have alike: words, and how they are collected."""
    sections: dict[str, dict[str, dict[str, Any]]] = {}
    for device in devices:
        said = device.__dict__  # a frozen model; equal values change nothing of what it says
        said["collect"] = sections.setdefault(repr(device.collect), device.collect)
        for word in ("kind", "site", "opd"):
            said[word] = intern(said[word])


def from_data(data: dict[str, Any], name: str = "inventory") -> Inventory:
    """An inventory of plain data, checked as a file would be."""
    inventory = Inventory()
    written: dict[tuple[str, str], tuple[YamlFile, Path]] = {}
    file = YamlFile(name, data)
    problems = _take(file, inventory, written)
    yamlfile.raise_if(problems + _check_references(inventory, written))
    return inventory


_Written = dict[tuple[str, str], tuple[YamlFile, Path]]


def _take(file: YamlFile, inventory: Inventory, written: _Written) -> list[Problem]:
    """Add a file's good entries to the inventory; return what is wrong with the others."""
    data = file.data if file.data is not None else {}
    if not isinstance(data, dict):
        return [file.problem((), "must hold sites:, opds: and devices:")]
    problems = [
        file.problem((key,), "no such key", nearest(str(key), _File.model_fields))
        for key in data
        if key not in _File.model_fields
    ]
    models: list[tuple[str, type[BaseModel], dict[str, Any]]] = [
        ("sites", Site, inventory.sites),
        ("opds", Opd, inventory.opds),
        ("devices", Device, inventory.devices),
    ]
    for key, model, into in models:
        entries = data.get(key) or []
        if not isinstance(entries, list):
            problems.append(file.problem((key,), "must be a list", "begin each entry with `- id:`"))
            continue
        for index, entry in enumerate(entries):
            at: Path = (key, index)
            try:
                item: Any = model.model_validate(entry)
            except ValidationError as error:
                problems += [file.problem(*found) for found in from_pydantic(error, model, at)]
                item = _good_parts(model, entry, error, f"{file.name}:{index}")
            if item.id in into:
                first, path = written[key, item.id]
                line = first.lines.get(path, 0)
                problems.append(
                    file.problem(
                        (*at, "id"), f"{item.id!r} stands twice", f"first: {first.name}:{line}"
                    )
                )
                continue
            into[item.id] = item
            written[key, item.id] = (file, at)
    return problems


def _good_parts(model: type[BaseModel], entry: Any, error: ValidationError, spare_id: str) -> Any:
    """What is left of an entry with mistakes, so that the rest of it is checked too, and others
    that name it are not blamed. Only for complaints: with any problem no inventory comes out."""
    parts = dict(entry) if isinstance(entry, dict) else {}
    given = parts.get("id")
    for loc in [item["loc"] for item in error.errors()]:
        if loc[:1] == ("collect",) and len(loc) > 1 and isinstance(parts.get("collect"), dict):
            parts["collect"] = {k: v for k, v in parts["collect"].items() if k != loc[1]}
        elif loc:
            parts.pop(str(loc[0]), None)
    empty = {name: "" for name, field in model.model_fields.items() if field.is_required()}
    parts["id"] = given if isinstance(given, str) and given else spare_id
    return model.model_construct(**{**empty, **parts})


def _check_references(inventory: Inventory, written: _Written) -> list[Problem]:
    problems = []

    def complain(key: str, item_id: str, path: Path, message: str, remedy: str = "") -> None:
        file, at = written[key, item_id]
        problems.append(file.problem(at + path, message, remedy))

    for opd in inventory.opds.values():
        if opd.site and opd.site not in inventory.sites:
            remedy = nearest(opd.site, inventory.sites)
            complain("opds", opd.id, ("site",), f"no site {opd.site!r}", remedy)
    for device in inventory.devices.values():
        if device.site and device.site not in inventory.sites:
            remedy = nearest(device.site, inventory.sites)
            complain("devices", device.id, ("site",), f"no site {device.site!r}", remedy)
        if device.opd and device.opd not in inventory.opds:
            remedy = nearest(device.opd, inventory.opds)
            complain("devices", device.id, ("opd",), f"no OPD {device.opd!r}", remedy)
        for index, parent in enumerate(device.depends_on):
            if parent not in inventory.devices:
                remedy = nearest(parent, inventory.devices)
                path: Path = ("depends_on", index)
                complain("devices", device.id, path, f"no device {parent!r}", remedy)
    for circle in _circles(inventory):
        way = " → ".join([*circle, circle[0]])
        complain(
            "devices", circle[0], ("depends_on",), f"depends on itself: {way}", "cut the circle"
        )
    return problems


def _circles(inventory: Inventory) -> list[list[str]]:
    """Every circle of depends_on once, each beginning with its first device."""
    found: list[list[str]] = []
    done: set[str] = set()
    for start in inventory.devices:
        way: list[str] = []
        # Not by recursion: a chain of links may be longer than Python's stack.
        ahead = [iter([start])]
        while ahead:
            device = next(ahead[-1], None)
            if device is None:
                ahead.pop()
                if way:
                    done.add(way.pop())
            elif device in way:
                circle = way[way.index(device) :]
                if not any(set(circle) == set(known) for known in found):
                    found.append(circle)
            elif device not in done and device in inventory.devices:
                way.append(device)
                ahead.append(iter(inventory.devices[device].depends_on))
    return found


def _check_sections(
    inventory: Inventory,
    written: _Written,
    plugins: Mapping[str, Plugin],
    configs: Mapping[str, BaseModel],
) -> list[Problem]:
    problems = []
    for device in inventory.devices.values():
        file, at = written["devices", device.id]
        for name, section in device.collect.items():
            here: Path = (*at, "collect", name)
            plugin = plugins.get(name)
            if plugin is None:
                remedy = nearest(name, plugins)
                problems.append(file.problem(here, f"no collector {name!r} is installed", remedy))
                continue
            model = plugin.collector.Section
            context = {"config": configs.get(name)}
            try:
                model.model_validate(_as_text(section, model, file, here), context=context)
            except ValidationError as error:
                problems += [file.problem(*found) for found in from_pydantic(error, model, here)]
    return problems


def _as_text(
    section: dict[str, Any], model: type[BaseModel], file: YamlFile, at: Path
) -> dict[str, Any]:
    """The section itself, its values as they were written where the model wants text: a community
    may be 2024."""
    try:
        model.model_validate(section)
    except ValidationError as error:
        for loc in [item["loc"] for item in error.errors()]:
            text = file.texts.get((*at, *loc[:1]))
            if text is not None:
                section[str(loc[0])] = text
    return section


def _read_csv(path: FilePath) -> YamlFile:
    """A CSV file of devices as the same data a YAML file would give."""
    devices: list[dict[str, Any]] = []
    file = YamlFile(str(path), {"devices": devices})
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            # Where the comma is the decimal sign, spreadsheets write semicolons.
            head = text.readline()
            text.seek(0)
            reader = csv.DictReader(text, delimiter=";" if ";" in head and "," not in head else ",")
            for row in reader:
                file.lines["devices", len(devices)] = reader.line_num
                if None in row:
                    at: Path = ("devices", len(devices))
                    file.problems.append(file.problem(at, "more cells than the header has columns"))
                device, texts = _row(row)
                file.texts |= {("devices", len(devices), *at): text for at, text in texts.items()}
                devices.append(device)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Misconfigured([Problem(str(path), 0, "", f"can't be read: {error}")]) from None
    return file


def _row(row: Mapping[str | None, Any]) -> tuple[dict[str, Any], dict[Path, str]]:
    """A row as a device, and the texts of the cells that may be more than text."""
    device: dict[str, Any] = {}
    texts: dict[Path, str] = {}
    for column, cell in row.items():
        text = (cell or "").strip() if isinstance(cell, str) else ""
        if column is None or not text:
            continue
        if column == "depends_on":
            device[column] = [part.strip() for part in text.split(";") if part.strip()]
        elif column.startswith("collect."):
            _, collector, *key = column.split(".", 2)
            section = device.setdefault("collect", {}).setdefault(collector, {})
            if key:
                section[key[0]] = _cell(text)
                texts["collect", collector, key[0]] = text
        elif column in ("lat", "lon"):
            device[column] = text.replace(",", ".")  # some spreadsheets' decimal sign
        else:
            device[column] = text
    return device, texts


def _cell(text: str) -> Any:
    """Numbers, lists and truths as JSON writes them; everything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
