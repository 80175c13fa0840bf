"""One field of one series: how fresh it is, and what is asked of it.

What a reading says of time and quality is the same for all rules on that field, so it is kept once.
And most readings change no answer: as long as a value stays in the line's quiet band, no threshold
on it can be crossed, and only windows have to be fed. The band is found anew whenever a reading
left it, and is empty while an alert that asks here is not at rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hub.reading import Value
from rules.alert import State
from rules.conditions import HUGE, NOWHERE, UNCHANGED
from rules.duration import DAY, MINUTE
from rules.expression import Expression

if TYPE_CHECKING:
    from rules.question import Question, Steps

FRESH_AT_LEAST = 2 * MINUTE
FRESH_BY_DEFAULT = 5 * MINUTE
"""How long one reading is believed before a second one shows the usual interval."""
LOST_AFTER = 10
"""Times as long as a reading is believed, and there is nothing any more to speak of."""
_NEVER = -1


class Line:
    """See the module. The watch reads and feeds the slots itself where nothing else happens."""

    __slots__ = (
        *("high", "interval_ns", "lag_ns", "low", "newest_ns", "quality"),
        *("questions", "value", "windows"),
    )

    def __init__(self) -> None:
        self.questions: tuple[Question, ...] = ()
        self.windows: tuple[Question, ...] = ()
        """Those of `questions` that must be fed even in the quiet band."""
        self.newest_ns = _NEVER
        self.interval_ns = 0
        """How far readings are apart, as seen; grows by doubling at most; 0: not known yet."""
        self.lag_ns = 0
        """How far the hub's time was ahead of the last reading's."""
        self.quality = 0
        self.value: float | None = None
        self.low, self.high = NOWHERE
        """The quiet band, both ends in it."""

    def add(self, question: Question) -> None:
        """One more condition on this line. The order is the rules', whoever was met first."""
        self._ask_all([*self.questions, question])

    def keep(self, wanted: Collection[int]) -> None:
        """Without the questions that are not of these ids (`id`)."""
        self._ask_all([question for question in self.questions if id(question) in wanted])

    def _ask_all(self, questions: list[Question]) -> None:
        self.questions = tuple(sorted(questions, key=lambda one: one.rank))
        self.windows = tuple(question for question in self.questions if question.windowed)
        self.low, self.high = NOWHERE

    @property
    def heard(self) -> bool:
        return self.newest_ns != _NEVER

    def fresh(self, time_ns: int) -> bool:
        """Is the last reading young enough to be believed at that (reading's) time?"""
        if self.newest_ns == _NEVER:
            return False
        interval = self.interval_ns
        limit = max(3 * interval, FRESH_AT_LEAST) if interval else FRESH_BY_DEFAULT
        return time_ns - self.newest_ns <= limit

    def lost(self, time_ns: int) -> bool:
        """Nothing ever, or nothing for so long that the last reading tells nothing at all."""
        silence_ns = time_ns - self.newest_ns
        return not self.fresh(self.newest_ns + silence_ns // LOST_AFTER)

    def fresh_value(self, time_ns: int) -> float | None:
        """The last value, if it can be believed at that time."""
        return self.value if self.fresh(time_ns) else None

    def read(
        self, value: Value, fields: Mapping[str, Value], time_ns: int, now_ns: int, quality: int
    ) -> Iterator[tuple[Question, Steps]]:
        """Ask everything of a reading that is neither late nor retained: whose alert moves."""
        newest = self.newest_ns
        if time_ns < newest or type(value) is str or not -HUGE < value < HUGE:  # type: ignore[operator]
            return
        self.quality = quality
        questions = self.questions
        applies = questions[0].applies(fields, quality, time_ns) if questions else True
        if applies is None:
            return
        doubtful = not self.fresh(time_ns)
        if newest not in (_NEVER, time_ns):
            gap, twice = time_ns - newest, 2 * self.interval_ns
            self.interval_ns = gap if gap < twice or not twice else twice
        self.newest_ns, self.lag_ns = time_ns, now_ns - time_ns
        if applies:
            self.value = value  # type: ignore[assignment]
        for question in questions:
            steps = self._ask(question, value, time_ns, applies, doubtful, time_ns == newest)  # type: ignore[arg-type]
            owner = question.owner
            if not owner.calm:
                steps += owner.confirm(fields, time_ns)
            if steps or not owner.calm or owner.moved or question.counted:
                yield question, steps
        self.settle()

    def _ask(
        self,
        question: Question,
        value: float,
        time_ns: int,
        applies: bool,
        doubtful: bool,
        again: bool,
    ) -> Steps:
        if again and question.windowed:
            return ()  # a repeated time counts once; elsewhere the last value of a time wins
        owner = question.owner
        indifferent = owner.calm or owner.joint
        steps: Steps = ()
        if doubtful and owner.alert.state is State.PENDING:
            steps = owner.doubt(question, time_ns)
        condition = question.condition
        edge = condition.feed(time_ns, value) if applies else condition.deny()
        if edge is UNCHANGED and indifferent:
            return steps
        return steps + owner.hear(question, edge, time_ns)

    def settle(self) -> None:
        """Find the quiet band anew: an alert took a step, or a value was outside."""
        low, high = -HUGE, HUGE
        for question in self.questions:
            owner, condition = question.owner, question.condition
            # A gap in what says yes to a joint alert puts off its waiting, calm as it may be now.
            busy = condition.holds if owner.joint else not owner.calm
            if busy or question.picky:
                low, high = NOWHERE
                break
            below, above = condition.quiet(self.value)
            low, high = max(low, below), min(high, above)
        self.low, self.high = low, high

    def dump(self) -> list[Any]:
        newest = self.newest_ns if self.heard else None
        return [newest, self.interval_ns, self.lag_ns, self.quality, self.value]

    def load(self, state: list[Any]) -> None:
        newest, self.interval_ns, self.lag_ns, self.quality, self.value = state
        self.newest_ns = _NEVER if newest is None else newest

    def rewind(self, now_ns: int) -> None:
        """The clock was set back to now: readings from the future are no past to compare with."""
        self.lag_ns = max(0, min(self.lag_ns, DAY))
        for question in self.questions:
            if question.counted:
                question.counted.rewind(now_ns - self.lag_ns)
        if self.newest_ns > now_ns:
            self.newest_ns = now_ns
            for question in self.questions:
                question.condition.restart()


class Derived(Line):
    """A line whose values are computed from several fields of a reading. Never quiet: which of
    the fields moved does not show in the one that it stands under."""

    __slots__ = ("_expression",)

    def __init__(self, expression: Expression) -> None:
        super().__init__()
        self._expression = expression

    def read(
        self, value: Value, fields: Mapping[str, Value], time_ns: int, now_ns: int, quality: int
    ) -> Iterator[tuple[Question, Steps]]:
        computed = self._expression.value(fields)
        if computed is not None:
            yield from super().read(computed, fields, time_ns, now_ns, quality)
