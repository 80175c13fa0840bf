"""Finds collectors by their entry points. The hub's own code never names one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

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


def find(points: Iterable[EntryPoint] | None = None) -> dict[str, Plugin]:
    """Every installed collector by name. Raises `Misconfigured` with all that can't be loaded."""
    found: dict[str, Plugin] = {}
    problems: list[Problem] = []
    for point in sorted(points if points is not None else entry_points(group=GROUP)):
        where = f"entry point {GROUP}:{point.name}"
        try:
            found[point.name] = _load(point, where)
        except Misconfigured as error:
            problems += error.problems
        except Exception as error:  # a plugin's import may fail in any way
            problems.append(Problem(where, 0, point.value, f"can't be loaded: {error!r}"))
    if problems:
        raise Misconfigured(problems)
    return found


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


def declared(plugins: Iterable[Plugin]) -> dict[str, set[str]]:
    """Which fields of which measurement some collector promises."""
    found: dict[str, set[str]] = {}
    for plugin in plugins:
        for measurement, spec in plugin.manifest.measurements.items():
            found.setdefault(measurement, set()).update(spec.fields)
    return found
