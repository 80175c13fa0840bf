"""What a rule is, once read. `model.py` makes rules of YAML; everybody else works with these."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from rules.alert import DAMPED, Flapping
from rules.expression import Expression
from rules.hours import Hours
from rules.matching import Matcher

LANGUAGES = ("id", "en")
SEVERITIES = ("info", "warning", "critical")

Comparison = Literal["above", "below", "equals", "not_equals"]
Function = Literal["mean", "min", "max", "sum", "p95", "rate", "count", "changes"]
COMPARISONS: tuple[Comparison, ...] = ("above", "below", "equals", "not_equals")
FUNCTIONS: tuple[Function, ...] = ("mean", "min", "max", "sum", "p95", "rate", "count", "changes")

Pairs = tuple[tuple[str, str], ...]


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
    per_ns: int = 0
    """Of a rate: the time in which it changes by so much."""


class Against(NamedTuple):
    """What a value is compared with, before the threshold is."""

    sibling: Pairs = ()
    """Identity tags in which the other series differs; empty: its own value of yesterday."""
    percent: bool = False
    """In percent of the other value; else the difference."""


class Beside(NamedTuple):
    """What another series of the same device and measurement says: told apart by `tags`."""

    tags: Pairs
    field: str
    value: float
    wanted: bool
    """It must say so; or it must not. One that was never heard, or not lately, says nothing."""


class Together(NamedTuple):
    """One alert for many series: so many of them at one place."""

    at_least: int
    of: Literal["site", "opd"]


EVERYTHING = Matcher({})


@dataclass(frozen=True, slots=True)
class When:
    """The condition: a comparison with `threshold`, an absence of `absent_ns`, or `parts`."""

    measurement: str
    field: str = ""
    """Empty (absence only): any field counts as a sign of life. Of an expression, its text."""
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
    expression: Expression | None = None
    """Computes the value from several fields of one reading."""
    against: Against | None = None
    hours: Hours | None = None
    """Asked only then; at all other times the answer is no."""
    parts: tuple[When, ...] = ()
    """Conditions on the same device, any series of it; `needed` of them must hold."""
    needed: int = 0
    where: Matcher = EVERYTHING
    """Of a part: which series of the device."""

    @property
    def is_absence(self) -> bool:
        return self.absent_ns > 0

    @property
    def needs_own_line(self) -> bool:
        """It takes only some readings, or each of them needs a full look."""
        return bool(
            self.only_if
            or self.beside
            or self.good_only
            or self.hours
            or self.against
            or self.expression
            or (self.window and self.window.function == "count")
        )

    def plain(self) -> list[Any]:
        """All that decides when it holds."""
        return [
            *(self.measurement, self.field, self.comparison, self.threshold, self.clear),
            *(list(self.window or ()), self.absent_ns, [list(pair) for pair in self.only_if]),
            *(self.good_only, str(self.expression or ""), list(self.against or ())),
            *(self.hours.plain() if self.hours else [], self.needed, self.where.plain()),
            [[list(map(list, beside.tags)), *beside[1:]] for beside in self.beside],
            [part.plain() for part in self.parts],
        ]


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
    flapping: Flapping | None = DAMPED
    """From when on it counts as restless; None: never."""
    together: Together | None = None

    @property
    def is_joint(self) -> bool:
        """One alert for several series, of a device or of a place."""
        return bool(self.when.parts or self.together)

    def meaning(self) -> str:
        """A short hash of all that decides when it fires; texts and recipients are left out.

        A reload keeps the state of alerts whose rule means the same as before.
        """
        parts = [
            *(self.when.plain(), self.where.plain(), self.for_ns, self.keep_firing_ns),
            *(self.means, list(self.flapping or ()), list(self.together or ())),
            [list(pair) for pair in self.at_once_if],
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def means_the_same(self, other: Rule) -> bool:
        """Whether what is known for the one goes on to count for the other."""
        return self is other or self.meaning() == other.meaning()
