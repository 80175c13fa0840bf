"""What a reload changes: two configurations held against each other, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel

from hub.configuration import Configuration
from hub.problems import Problem
from hub.rulebook import things
from hub.settings import Settings

AT_ONCE = {"rules", "inventory", "people", "teams", "channels", "maintenance", "grafana"}
"""Sections of the settings that a reload brings in force; the others need a restart."""


MANY = 5
"""So many devices and more than half of all are not removed unless that is said to be meant: an
inventory that was cut off, or is just being copied, looks like that."""

KINDS = ("rules", "devices", "channels", "teams", "people", "maintenance")


@dataclass(frozen=True, slots=True)
class Difference:
    """Names, by what became of them."""

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Changes:
    """All that a reload changes, and what waits for a restart."""

    rules: Difference
    devices: Difference
    channels: Difference
    teams: Difference
    people: Difference
    maintenance: Difference
    collectors: list[str]
    """Whose devices are others now."""
    restart: list[str]
    """Keys of the settings that changed and only count after a restart."""
    refilled: list[str] = field(default_factory=list)
    """New rules that know from the store what was before them."""
    not_refilled: str = ""
    """Why others do not."""

    def __bool__(self) -> bool:
        return any(bool(getattr(self, name)) for name in (*KINDS, "collectors", "restart"))

    def plain(self) -> dict[str, Any]:
        """As JSON; `read` takes it back."""
        return asdict(self)

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Changes:
        kinds: dict[str, Any] = {name: Difference(**said[name]) for name in KINDS}
        names = ("collectors", "restart", "refilled", "not_refilled")
        return cls(**kinds, **{name: said[name] for name in names})

    def lines(self) -> list[str]:
        """One line for each kind of change."""
        found = []
        for name in KINDS:
            part: Difference = getattr(self, name)
            words = [
                f"{len(names)} {how} ({_some(names)})"
                for how, names in asdict(part).items()
                if names
            ]
            if words:
                found.append(f"{name}: {', '.join(words)}")
        if self.collectors:
            found.append(f"told of their devices: {', '.join(self.collectors)}")
        if self.refilled:
            found.append(f"refilled from the store: {_some(self.refilled)}")
        if self.not_refilled:
            found.append(f"not refilled from the store, begin empty: {self.not_refilled}")
        if self.restart:
            found.append(f"needs a restart to count: {', '.join(self.restart)}")
        return found


def compare(
    before: Configuration, after: Configuration, running: Settings | None = None
) -> Changes:
    """What is different in `after`. `running`: what the process was started with, if `before` is
    not the first."""
    old, new, first = before.settings, after.settings, running or before.settings
    sections = [
        (name, first.collectors.get(name), new.collectors.get(name))
        for name in sorted({*first.collectors, *new.collectors})
    ]
    return Changes(
        rules=_difference(
            {rule.name: _bare(rule) for rule in before.rules},
            {rule.name: _bare(rule) for rule in after.rules},
        ),
        devices=_difference(_devices(before), _devices(after)),
        channels=_difference(old.channels, new.channels),
        teams=_difference(old.teams, new.teams),
        people=_difference(old.people, new.people),
        maintenance=_difference(
            {one.name: one for one in old.maintenance}, {one.name: one for one in new.maintenance}
        ),
        collectors=[
            name
            for name in after.plugins
            if before.inventory.targets(name) != after.inventory.targets(name)
        ],
        restart=[
            *_keys(first, new),
            *(f"collectors.{name}" for name, one, other in sections if one != other),
        ],
    )


def loss(changes: Changes, before: Configuration) -> Problem | None:
    """Most of the devices would be gone: is that meant?"""
    gone, had = changes.devices.removed, len(before.inventory.devices)
    if len(gone) < MANY or 2 * len(gone) <= had:
        return None
    what = f"{len(gone)} of {had} devices would be removed ({_some(gone)})"
    remedy = "is a file empty or cut off? if it is meant: toba-hub reload --remove-many"
    return Problem(str(before.path), 0, "inventory", what, remedy)


def _bare(rule: Any) -> tuple[Any, ...]:
    """All of a rule that people see or feel."""
    return rule.meaning(), rule.title, rule.advice, rule.severity, rule.notify, rule.unit


def _devices(conf: Configuration) -> dict[str, Any]:
    """Each device with all that the inventory says of it and of its place."""
    seen = {thing.id: thing for thing in things(conf.inventory)}
    return {id: (device, seen.get(id)) for id, device in conf.inventory.devices.items()}


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    return Difference(
        [name for name in after if name not in before],
        [name for name in before if name not in after],
        [name for name in after if name in before and before[name] != after[name]],
    )


def _keys(old: BaseModel, new: BaseModel) -> Iterable[str]:
    """The keys, two deep, in which the settings differ and that no reload reaches."""
    for name in type(old).model_fields:
        one, other = getattr(old, name), getattr(new, name)
        if name in AT_ONCE or name == "collectors" or one == other:
            continue
        if isinstance(one, BaseModel) and isinstance(other, BaseModel):
            for key in type(one).model_fields:
                if getattr(one, key) != getattr(other, key):
                    yield f"{name}.{key}"
        else:
            yield name


def _some(names: list[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
