"""One condition asked of one line: where a reading becomes an edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hub.reading import Value
from rules.against import Sibling, Yesterday
from rules.alert import Step
from rules.conditions import Edge, Level, Stage
from rules.percentile import Percentile
from rules.rate import Rate
from rules.rule import Function, When
from rules.windows import Changes, Count, Simple, Windowed

if TYPE_CHECKING:
    from rules.line import Line
    from rules.track import Comparing, Joint

Steps = tuple[Step, ...]
Other = Callable[[int], float | None]


class Question:
    """Its answer is the condition's; its owner is the track that acts on it."""

    __slots__ = (
        *("condition", "counted", "line", "owner", "picky", "rank", "series_key", "when"),
        *("windowed", "witnesses", "_other"),
    )

    def __init__(
        self,
        when: When,
        series_key: str,
        line: Line,
        owner: Comparing | Joint,
        rank: tuple[int, int],
        witnesses: tuple[Line, ...] = (),
        other: Line | None = None,
    ) -> None:
        """`rank` orders the questions of a line. `witnesses` are the lines of `when.beside`,
        `other` that of the sibling if the condition compares with one."""
        self.when = when
        self.rank = rank
        self.series_key = series_key
        self.condition = condition(when, other.fresh_value if other else None)
        self.witnesses = witnesses
        self._other = other
        self.windowed = when.window is not None
        self.counted = self.condition if isinstance(self.condition, Count) else None
        """Set when the clock alone can change the answer."""
        self.picky = when.needs_own_line
        self.line = line
        self.owner = owner
        line.add(self)

    def lines(self) -> Iterator[Line]:
        """All lines that it reads or looks at."""
        yield self.line
        yield from self.witnesses
        if self._other is not None:
            yield self._other

    def applies(self, fields: Mapping[str, Value], quality: int, time_ns: int) -> bool | None:
        """Do quality, hours, companions and what is beside allow it? None: the reading says
        nothing."""
        if not self.picky:
            return True
        when = self.when
        if quality and when.good_only:
            return None
        if when.hours and not when.hours.at(time_ns).open:
            return False
        for beside, line in zip(when.beside, self.witnesses, strict=True):
            says = line.fresh(time_ns) and line.value == beside.value
            if says is not beside.wanted:
                return False
        return applies(when.only_if, fields)

    def edge(self, edge: Edge, time_ns: int) -> Steps:
        """Tell the owner; what follows for the alert."""
        return self.owner.hear(self, edge, time_ns)

    @property
    def value(self) -> float | None:
        return self.condition.shown(self.line.value)

    def holds(self, at_ns: int | None = None) -> bool | None:
        """The answer; None: there is none, or none that can be believed at that (hub's) time."""
        line = self.line
        if at_ns is not None and not self.counted and not line.fresh(at_ns - line.lag_ns):
            return None
        return self.condition.holds

    @property
    def due_ns(self) -> int | None:
        """When (hub's time) the clock alone changes the answer."""
        due = self.counted.due_ns if self.counted else None
        return None if due is None else due + self.line.lag_ns

    def tick(self, now_ns: int) -> Steps:
        """The clock says; only a count listens."""
        if self.counted is None:
            return ()
        time_ns = now_ns - self.line.lag_ns
        return self.edge(self.counted.passed(time_ns), time_ns)


WINDOWS: dict[Function, type[Windowed[Any]]] = {
    **dict.fromkeys(("mean", "min", "max", "sum"), Simple),
    "p95": Percentile,
    "rate": Rate,
    "count": Count,
    "changes": Changes,
}


def condition(when: When, other: Other | None = None) -> Stage:
    """The stages of a condition that compares. Absence needs the clock: see `track.py`."""
    level = Level(when.comparison, when.threshold, when.clear)
    last: Stage = level
    if when.against and other:
        last = Sibling(level, other, percent=when.against.percent)
    elif when.against:
        last = Yesterday(level, percent=when.against.percent)
    if when.window is None:
        return last
    return WINDOWS[when.window.function](when.window, last, when.comparison)


def applies(only_if: tuple[tuple[str, float], ...], fields: Mapping[str, Value]) -> bool | None:
    """Do the companion fields have their values? None: one of them is not in the reading."""
    answer = True
    for name, wanted in only_if:
        value = fields.get(name)
        if value is None:
            return None
        answer = answer and value == wanted
    return answer
