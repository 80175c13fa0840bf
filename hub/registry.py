"""Finds collectors by their entry points. The hub's own code never names one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from hub import manifest
from hub.api import Collector
from hub.manifest import Manifest
from hub.problems import Misconfigured, Problem

GROUP = "toba_hub.collectors"


@dataclass(frozen=True, slots=True)
class Plugin:
    """A collector that is installed here."""

    name: str
    collector: type[Collector]
    manifest: Manifest
    folder: Path

    def configure(self, section: Mapping[str, Any], folder: Path) -> Any:
        """Its part of the settings as its own model; relative paths in there begin at `folder`.

        Raises pydantic's `ValidationError`, and `Misconfigured` for files that it names.
        """
        plain = {key: value for key, value in section.items() if key != "enabled"}
        return self.collector.Config.model_validate(plain, context={"folder": folder})

    @property
    def searches(self) -> bool:
        """Can it look for devices?"""
        return self.collector.search.__func__ is not Collector.search.__func__  # type: ignore[attr-defined]

    def public(self, section: Mapping[str, Any]) -> Any:
        """A device's section without its secrets, for showing."""
        return self.collector.Section.model_validate(section).model_dump(
            mode="json", exclude_unset=True
        )


class Installed(NamedTuple):
    """What `find_leniently` found."""

    plugins: dict[str, Plugin]
    problems: list[Problem]
    """Each collector that can't be loaded, once."""
    promises_known: bool
    """False: one of those has no manifest to be read, so nobody knows all that is measured here."""


class Anything(BaseModel, extra="allow"):
    """Settings or a section of which nobody can say what may stand in them."""


class Unloaded(Collector):
    """Stands where a collector can't be loaded, so that nothing else is blamed for it."""

    Config = Anything
    Section = Anything


def find(points: Iterable[EntryPoint] | None = None) -> dict[str, Plugin]:
    """Every installed collector by name. Raises `Misconfigured` with all that can't be loaded."""
    installed = find_leniently(points)
    if installed.problems:
        raise Misconfigured(installed.problems)
    return installed.plugins


def find_leniently(points: Iterable[EntryPoint] | None = None) -> Installed:
    """Every installed collector by name, for checking the rest of a configuration: those that
    can't be loaded stand among them as `Unloaded`, with their manifest's promise."""
    found: dict[str, Plugin] = {}
    problems: list[Problem] = []
    promises_known = True
    for point in sorted(points if points is not None else entry_points(group=GROUP)):
        where = f"entry point {GROUP}:{point.name}"
        try:
            found[point.name] = _load(point, where)
            continue
        except Misconfigured as error:
            problems += error.problems
        except Exception as error:  # a plugin's import may fail in any way
            problems.append(
                Problem(where, 0, point.value, f"can't be loaded: {error!r}", _remedy(point))
            )
        promise = _promise(point)
        promises_known = promises_known and promise is not None
        nothing = Manifest(name=point.name, kind="poll", owner="", summary={}, measurements={})
        found[point.name] = Plugin(point.name, Unloaded, promise or nothing, Path())
    return Installed(found, problems, promises_known)


def _load(point: EntryPoint, where: str) -> Plugin:
    cls = point.load()
    if not (isinstance(cls, type) and issubclass(cls, Collector)):
        raise Misconfigured([Problem(where, 0, point.value, "is no hub.api.Collector")])
    folder = Path(inspect.getfile(cls)).parent
    promise = manifest.load(folder / "manifest.toml")
    if promise.name != point.name:
        raise Misconfigured(
            [Problem(str(folder / "manifest.toml"), 0, "name", f"must be {point.name!r}")]
        )
    return Plugin(point.name, cls, promise, folder)


def _remedy(point: EntryPoint) -> str:
    return f"mend it, or take it away: pip uninstall {point.dist.name}" if point.dist else "mend it"


def _promise(point: EntryPoint) -> Manifest | None:
    """The manifest in the folder of a module that can't be imported; None: there is none."""
    try:
        spec = find_spec(point.module.rpartition(".")[0] or point.module)
        if spec is None or spec.origin is None:
            return None
        return manifest.load(Path(spec.origin).parent / "manifest.toml")
    except (Misconfigured, ImportError, ValueError):
        return None


def declared(plugins: Iterable[Plugin]) -> dict[str, set[str]]:
    """Which fields of which measurement some collector promises."""
    found: dict[str, set[str]] = {}
    for plugin in plugins:
        for measurement, spec in plugin.manifest.measurements.items():
            found.setdefault(measurement, set()).update(spec.fields)
    return found
