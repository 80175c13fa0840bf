"""`toba-hub discover`: look for devices, write an inventory of them, show what changed."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from hub import configuration, discovery, registry, yamlfile
from hub.api import BadItem, Found, Misconfigured, Search
from hub.cli.common import DEFAULT, Settings, fail, out, plainly, table
from hub.clock import now_ns, to_datetime
from hub.discovery import TO_FILL, Changes, Known, Thing, Words
from hub.inventory import Device, Inventory
from hub.registry import Plugin

DEFAULT_FILE = Path("found.yaml")
PRIVATE = 0o600
"""The file may hold communities."""
INTERRUPTED = 130


@plainly
def discover(
    blocks: Annotated[
        list[str], typer.Argument(metavar="CIDR...", help="Such as 10.12.0.0/24, or one address.")
    ],
    settings: Settings = DEFAULT,
    file: Annotated[
        Path, typer.Option("--out", "-o", help="The inventory file that is written, or compared.")
    ] = DEFAULT_FILE,
    append: Annotated[
        bool, typer.Option("--append", help="Add new devices at the end of a file that is there.")
    ] = False,
    community: Annotated[
        list[str] | None,
        typer.Option(
            "--community", "-c", help="To try, in this order; then those of the settings."
        ),
    ] = None,
    site: Annotated[str, typer.Option(help="Of the inventory, for all that is found.")] = "",
    opd: Annotated[str, typer.Option(help="The office, likewise.")] = "",
    port: Annotated[int | None, typer.Option(help="If not the protocol's own.")] = None,
    at_once: Annotated[int, typer.Option(min=1, max=4096, help="Addresses at a time.")] = 64,
    per_second: Annotated[float, typer.Option(min=0.1, help="Packets, all together.")] = 100.0,
    timeout: Annotated[float, typer.Option(min=0.05, help="Seconds to wait for an answer.")] = 1.0,
    tries: Annotated[int, typer.Option(min=1, max=10, help="Questions to one address.")] = 2,
    yes: Annotated[bool, typer.Option("--yes", help="More than 65 536 addresses, too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object; no file by itself.")
    ] = False,
) -> None:
    """Look for devices in address blocks and write them as an inventory file, ready to keep.

    Asks each address politely (`--per-second`, `--at-once`) with the communities given, or with the
    settings' credentials, or with "public". What the inventory has already is not written again.
    When the file is there, nothing is overwritten: you see what is new, gone, moved or changed,
    and `--append` adds what is new. Ctrl-C keeps what was found so far.

    ```
    toba-hub discover 10.12.0.0/22
    toba-hub discover 10.12.1.0/24 -c public -c rahasia --site balige --opd dlh
    toba-hub discover 10.12.0.0/22 --append              # later: what is new since
    ```
    """
    addresses = discovery.hosts(blocks, None if yes else discovery.MOST)
    plugins, things, configs = _installed(settings)
    _place_is_known(things, site, opd)
    known = _known(things, file)
    wanted = Search(addresses, at_once, per_second, timeout, tries, port, tuple(community or ()))
    hunt = Hunt(plugins, configs, wanted)
    hunt.run()
    made = discovery.things(hunt.found, known)
    refused = [found for founds in hunt.found.values() for found in founds if found.refusal]
    changes = discovery.compare(made, known, hunt.asked, refused)
    where = Place(file, site or TO_FILL, opd, TO_FILL not in things.sites and not site)
    written = ""
    if changes.new and (not as_json or file != DEFAULT_FILE):
        written = where.write(changes.new, " ".join(blocks), append=append)
    if as_json:
        sys.stdout.write(json.dumps(_plain(hunt, changes, plugins), ensure_ascii=False) + "\n")
    else:
        _tell(hunt, changes, written, where)
    if hunt.interrupted:
        raise typer.Exit(INTERRUPTED)


class Hunt:
    """Asks, shows how far it is, and keeps what answered, however it ends."""

    def __init__(
        self, plugins: Mapping[str, Plugin], configs: Mapping[str, Any], wanted: Search
    ) -> None:
        self.found: dict[str, list[Found]] = {name: [] for name in plugins}
        self.asked: set[str] = set()
        self.wanted = wanted
        self.interrupted = False
        self._plugins = plugins
        self._configs = configs

    def run(self) -> None:
        """Until every address was asked, or Ctrl-C."""
        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            try:
                asyncio.run(self._run(bar))
            except KeyboardInterrupt:
                self.interrupted = True

    async def _run(self, bar: Progress) -> None:
        for name, plugin in self._plugins.items():
            answers = plugin.collector.search(self._configs[name], self.wanted)
            if answers is None:
                continue
            total = len(self.wanted.addresses)
            task = bar.add_task(name, total=total)
            done = 0
            async with aclosing(answers) as stream:  # type: ignore[type-var]
                async for address, found in stream:
                    done += 1
                    self.asked.add(address)
                    if found is not None:
                        self.found[name].append(found)
                    words = f"{done} of {total} asked, {len(self.found[name])} found"
                    bar.update(task, completed=done, description=words)


class Place:
    """Where new devices are written, and how."""

    def __init__(self, file: Path, site: str, opd: str, with_site: bool) -> None:
        self.file = file
        self._site, self._opd, self._with_site = site, opd, with_site

    def write(self, new: Sequence[Thing], blocks: str, *, append: bool) -> str:
        """What was done, in words; empty when there is a file and nobody said `--append`."""
        day = to_datetime(now_ns()).date()
        if not self.file.exists():
            head = (
                f"Found by `toba-hub discover {blocks}` on {day}.\n"
                "Look over kinds and names, write site and opd, then list this file:\n"
                f"inventory: [inventory.yaml, {self.file.name}]"
            )
            text = discovery.document(new, head, self._site, self._opd, with_site=self._with_site)
            self._put(text)
            return f"wrote {self.file}"
        if not append:
            return ""
        before = self.file.read_text(encoding="utf-8").rstrip("\n")
        text = "\n".join([before, *discovery.entries(new, self._site, self._opd)]) + "\n"
        ids: set[str] = set()
        with suppress(Misconfigured):
            ids = {str(device["id"]) for device in _devices(text, self.file)}
        if not ids >= {thing.id for thing in new}:
            raise BadItem(f"{self.file} does not end with its list of devices: use another --out")
        self._put(text)
        return f"added {len(new)} to {self.file}"

    def _put(self, text: str) -> None:
        self.file.touch(PRIVATE)
        self.file.write_text(text, encoding="utf-8")


# ---------------------------------------------------------------- what is known


def _installed(settings: Path) -> tuple[Mapping[str, Plugin], Inventory, Mapping[str, Any]]:
    """The collectors that can search, the inventory, the collectors' settings. Without a settings
    file, as on the first day, those are the defaults."""
    if settings == DEFAULT and not settings.exists():
        plugins: Mapping[str, Plugin] = registry.find()
        things, sections, folder = Inventory(), {}, Path()
    else:
        conf = configuration.load(settings)
        plugins, things = conf.plugins, conf.inventory
        sections, folder = conf.settings.collectors, conf.settings.folder
    able = {
        name: plugin
        for name, plugin in plugins.items()
        if plugin.searches and sections.get(name, {}).get("enabled", True)
    }
    if not able:
        fail("no collector that is installed and enabled can look for devices")
    configs = {name: able[name].configure(sections.get(name, {}), folder) for name in able}
    return able, things, configs


def _place_is_known(things: Inventory, site: str, opd: str) -> None:
    for what, id, ids in (("site", site, things.sites), ("opd", opd, things.opds)):
        if id and id not in ids:
            known = ", ".join(sorted(ids)) or "none yet"
            raise BadItem(f"--{what} {id}: the inventory has no such {what}; it has: {known}")


def _known(things: Inventory, file: Path) -> list[Known]:
    """The inventory's devices and those of the file, which an earlier search wrote."""
    found = {device.id: device for device in things.devices.values()}
    if file.exists():
        for plain in _devices(file.read_text(encoding="utf-8"), file):
            device = Device.model_validate(plain)
            found.setdefault(device.id, device)
    return [
        Known(device.id, _numeric(device.address), Words.of(device.note))
        for device in found.values()
        if device.address
    ]


def _devices(text: str, file: Path) -> list[Any]:
    """The devices of an inventory file's text. Raises `Misconfigured`."""
    data = yamlfile.parse(text, str(file)).data
    return (data.get("devices") if isinstance(data, dict) else None) or []


def _numeric(address: str) -> str:
    """An inventory may hold names; a search meets numbers."""
    with suppress(OSError):
        return str(socket.getaddrinfo(address, None, type=socket.SOCK_DGRAM)[0][4][0])
    return address


# ---------------------------------------------------------------- what is said


def _tell(hunt: Hunt, changes: Changes, written: str, where: Place) -> None:
    total, asked = len(hunt.wanted.addresses), len(hunt.asked)
    if hunt.interrupted:
        out.print(f"[yellow]stopped[/] after {asked} of {total} addresses; what was found is kept")
    rows = [
        *(("new", t.id, t.found.address, t.found.kind, t.says.note) for t in changes.new),
        *(("gone", k.id, k.address, "", "no answer to what was tried") for k in changes.gone),
        *(("moved", c.known.id, c.now, "", f"was {c.was}") for c in changes.moved),
        *(("name", c.known.id, c.known.address, "", f"{c.was} → {c.now}") for c in changes.renamed),
        *(
            ("model", c.known.id, c.known.address, "", f"{c.was} → {c.now}")
            for c in changes.altered
        ),
        *(("refused", "", f.address, "", f.refusal) for f in changes.refused),
    ]
    if rows:
        table(("", "id", "address", "kind", "what it says"), rows)
    out.print(
        f"{asked} addresses asked; {len(changes.new)} new, {len(changes.same)} as before",
        highlight=False,
    )
    if written:
        out.print(f"{written}; look it over, then list it under `inventory:`", highlight=False)
        if TO_FILL in where.file.read_text(encoding="utf-8"):
            out.print(f"site: {TO_FILL} stands where a site must be written", highlight=False)
    elif changes.new:
        out.print(f"{where.file} is there and was left alone; --append adds what is new")


def _plain(hunt: Hunt, changes: Changes, plugins: Mapping[str, Plugin]) -> dict[str, Any]:
    return {
        "asked": len(hunt.asked),
        "of": len(hunt.wanted.addresses),
        "new": [
            {
                "id": t.id,
                "name": t.found.name,
                "kind": t.found.kind,
                "address": t.found.address,
                "also": list(t.others),
                "model": t.found.model,
                "place": t.found.place,
                "collect": {name: plugins[name].public(s) for name, s in t.collect.items()},
            }
            for t in changes.new
        ],
        "same": [k.id for k in changes.same],
        "gone": [{"id": k.id, "address": k.address} for k in changes.gone],
        **{
            what: [{"id": c.known.id, "was": c.was, "now": c.now} for c in found]
            for what, found in (
                ("moved", changes.moved),
                ("renamed", changes.renamed),
                ("altered", changes.altered),
            )
        },
        "refused": [{"address": f.address, "why": f.refusal} for f in changes.refused],
    }
