"""What a rule is, once read. `model.py` makes rules of YAML; everybody else works with these."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rules.matching import Matcher

LANGUAGES = ("id", "en")
SEVERITIES = ("info", "warning", "critical")

Comparison = Literal["above", "below", "equals", "not_equals"]
Function = Literal["mean", "min", "max", "sum"]
COMPARISONS: tuple[Comparison, ...] = ("above", "below", "equals", "not_equals")
FUNCTIONS: tuple[Function, ...] = ("mean", "min", "max", "sum")


class Text(NamedTuple):
    """The same sentence in both languages."""

    id: str = ""
    en: str = ""

    def plain(self) -> dict[str, str]:
        """As `{"id": …, "en": …}`."""
        return {"id": self.id, "en": self.en}


NO_TEXT = Text()


class Window(NamedTuple):
    """`mean: 1h`: the function and how far it looks back (nanoseconds)."""

    function: Function
    length_ns: int


class Beside(NamedTuple):
    """What another series of the same device and measurement says: told apart by `tags`."""

    tags: tuple[tuple[str, str], ...]
    field: str
    value: float
    wanted: bool
    """It must say so; or it must not. One that was never heard, or not lately, says nothing."""


@dataclass(frozen=True, slots=True)
class When:
    """The condition. Either a comparison with `threshold`, or an absence of `absent_ns`."""

    measurement: str
    field: str = ""
    """Empty (absence only): any field counts as a sign of life."""
    comparison: Comparison = "above"
    threshold: float = 0.0
    clear: float | None = None
    """The level beyond which it is over again; None: as soon as the comparison fails."""
    window: Window | None = None
    absent_ns: int = 0
    only_if: tuple[tuple[str, float], ...] = ()
    """Other fields of the same reading and the values that they must have."""
    beside: tuple[Beside, ...] = ()
    good_only: bool = False
    """Readings of doubted quality count for nothing."""

    @property
    def is_absence(self) -> bool:
        return self.absent_ns > 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Times in nanoseconds; `where` empty: every series of the measurement."""

    name: str
    title: Text
    when: When
    where: Matcher = field(default_factory=lambda: Matcher({}))
    for_ns: int = 0
    at_once_if: tuple[tuple[str, float], ...] = ()
    """Fields of the same reading whose values make it fire without waiting for `for_ns`."""
    keep_firing_ns: int = 0
    severity: str = "warning"
    notify: tuple[str, ...] = ()
    advice: Text = NO_TEXT
    unit: str = ""
    means: Literal["", "down"] = ""
    """`down`: while it holds, the silence of everything that depends on the device is explained."""
    source: str = ""
    """The file it came from, for messages."""

    def meaning(self) -> str:
        """A short hash of all that decides when it fires; texts and recipients are left out.

        A reload keeps the state of alerts whose rule means the same as before.
        """
        when = self.when
        parts = [
            when.measurement,
            when.field,
            when.comparison,
            when.threshold,
            when.clear,
            list(when.window or ()),
            when.absent_ns,
            [list(pair) for pair in when.only_if],
            when.good_only,
            self.where.plain(),
            self.for_ns,
            self.keep_firing_ns,
            self.means,
        ]
        if when.beside:
            parts.append([[list(map(list, b.tags)), *b[1:]] for b in when.beside])
        if self.at_once_if:
            parts.append([list(pair) for pair in self.at_once_if])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
