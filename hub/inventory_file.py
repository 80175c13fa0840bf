"""Reads the inventory: one YAML file, or a list of YAML and CSV files read as one.

A CSV file lists devices, one a row, with the columns id, name, kind, site, opd, address, depends_on
(`;` between several), and `collect.<collector>.<key>` for the collectors' sections; an empty cell
says nothing. The columns may be parted by semicolons too.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path as FilePath
from sys import intern
from typing import Any

from pydantic import BaseModel, ValidationError

from hub import yamlfile
from hub.inventory import Device, Inventory, Opd, Site
from hub.problems import Misconfigured, Path, Problem, from_pydantic, nearest
from hub.registry import Plugin
from hub.yamlfile import YamlFile

KEYS: Mapping[str, type[BaseModel]] = {"sites": Site, "opds": Opd, "devices": Device}
"""What a file holds."""

_Written = dict[tuple[str, str], tuple[YamlFile, Path]]
"""Key and id of an entry: where it stands."""


def read(
    paths: Iterable[FilePath],
    plugins: Mapping[str, Plugin] | None = None,
    configs: Mapping[str, BaseModel] | None = None,
) -> Inventory:
    """Read and check files as one inventory. Raises `Misconfigured` with every problem found.

    `configs`: the collectors' settings, for what a section may refer to there.
    """
    inventory, problems = Inventory(), []
    written: _Written = {}
    for path in paths:
        try:
            file = _file(path)
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


def places(paths: Iterable[FilePath], ids: Collection[str]) -> dict[str, tuple[str, int]]:
    """File and line of some devices, of files that were found good."""
    found: dict[str, tuple[str, int]] = {}
    for path in paths if ids else ():
        file = _file(path)
        for index, entry in enumerate((file.data or {}).get("devices") or ()):
            if entry["id"] in ids:
                found[entry["id"]] = file.name, file.lines.get(("devices", index), 0)
    return found


def from_data(data: dict[str, Any], name: str = "inventory") -> Inventory:
    """An inventory of plain data, checked as a file would be."""
    inventory = Inventory()
    written: _Written = {}
    file = YamlFile(name, data)
    problems = _take(file, inventory, written)
    yamlfile.raise_if(problems + _check_references(inventory, written))
    return inventory


def _share(devices: Iterable[Device]) -> None:
    """Keep once what many devices have alike: words, and how they are collected."""
    sections: dict[str, dict[str, dict[str, Any]]] = {}
    for device in devices:
        said = device.__dict__  # a frozen model; equal values change nothing of what it says
        said["collect"] = sections.setdefault(repr(device.collect), device.collect)
        for word in ("kind", "site", "opd"):
            said[word] = intern(said[word])


def _take(file: YamlFile, inventory: Inventory, written: _Written) -> list[Problem]:
    """Add a file's good entries to the inventory; return what is wrong with the others."""
    data = file.data if file.data is not None else {}
    if not isinstance(data, dict):
        return [file.problem((), "must hold sites:, opds: and devices:")]
    problems = [
        file.problem((key,), "no such key", nearest(str(key), KEYS))
        for key in data
        if key not in KEYS
    ]
    for key, model in KEYS.items():
        into = getattr(inventory, key)
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
            context = {"config": configs.get(name), "address": device.address}
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


def _file(path: FilePath) -> YamlFile:
    return _read_csv(path) if path.suffix.lower() == ".csv" else yamlfile.read(path)


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
    except UnicodeDecodeError:
        raise Misconfigured([yamlfile.not_utf8(path, 'save it as "CSV UTF-8"')]) from None
    except (OSError, csv.Error) as error:
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
