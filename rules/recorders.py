"""The recording rules: folds over the log that make readings of readings.

Each meets every reading and every tick, gives readings when something is over, and rests in the
rules' snapshot under its name. Rules then watch what it made like anything that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, Protocol

from hub.reading import Reading
from rules import airindex, noiselevel, rainday
from rules.airindex import AirIndex
from rules.ispu import Form
from rules.noiselevel import NoiseLevel
from rules.rainday import RainDay
from rules.thing import Thing

FIELDS: Mapping[str, Mapping[str, str]] = {
    module.MEASUREMENT: module.FIELDS for module in (airindex, noiselevel, rainday)
}
"""Measurement → its fields, with units."""


class Recorder(Protocol):
    """One recording rule."""

    name: str
    """Of its measurement."""

    def know(self, things: Iterable[Thing]) -> None: ...
    def observe(self, readings: Iterable[Reading]) -> None: ...
    def tick(self, now_ns: int) -> list[Reading]: ...
    def latest(self) -> list[Reading]: ...
    def snapshot(self) -> dict[str, Any]: ...
    def load(self, state: Mapping[str, Any]) -> None: ...


def standard(*, form: Form = "continuous", top: int = 500, zone: tzinfo = UTC) -> Recorders:
    """Air, noise and rain. `form` and `top`: see `rules.ispu`; `zone`: whose mornings noise has."""
    return Recorders((AirIndex(form=form, top=top), NoiseLevel(zone), RainDay()))


class Recorders:
    """All of them as one."""

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._all = recorders

    def know(self, things: Sequence[Thing]) -> None:
        """The inventory, from now on."""
        for one in self._all:
            one.know(things)

    def observe(self, readings: Sequence[Reading]) -> None:
        """Readings of one record."""
        for one in self._all:
            one.observe(readings)

    def tick(self, now_ns: int) -> list[Reading]:
        """Time passed; what is over and therefore known."""
        return [reading for one in self._all for reading in one.tick(now_ns)]

    def latest(self) -> list[Reading]:
        """What each made last, for who shows it after a restart."""
        return [reading for one in self._all for reading in one.latest()]

    def snapshot(self) -> dict[str, Any]:
        return {one.name: one.snapshot() for one in self._all}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot, which may know less than all of them."""
        for one in self._all:
            if one.name in state:
                one.load(state[one.name])
