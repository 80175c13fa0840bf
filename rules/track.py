"""One rule on one series, on one device, or at one place: answers in, the machine's steps out.

Two clocks meet here. Conditions and timers run on the readings' own time, so that an alert's
`for` is judged by what was measured and not by how long messages took; between readings that
time passes as the hub's does (the line's `lag_ns` is the distance). Liveness is judged by arrival,
and so is what several series say together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hub.reading import Quality, Value
from rules.alert import AlertState, DataState, Signal, State, Step, Timing, due, restless, step
from rules.conditions import UNCHANGED, Absence, Edge
from rules.duration import SECOND
from rules.line import LOST_AFTER
from rules.question import Question, applies
from rules.rule import Rule

DEAF = int(Quality.RETAINED | Quality.LATE)
"""Readings with these flags are history: they update nothing and page nobody."""
DEAF_TO_THE_PAST = int(Quality.RETAINED)
"""Of a device that may be late, only these."""
NO_DOUBT = ~int(Quality.LATE)
"""And that it was late says nothing against its value."""

UNTOUCHED = AlertState()
"""Shared by all tracks to which nothing ever happened."""

Tags = tuple[tuple[str, str], ...]
Steps = tuple[Step, ...]


def alert_key(rule: str, device: str, tags: Tags = ()) -> str:
    """The name of an alert: `link_down:r-dlh:ifname=ether1`. `%` and `:` in parts are quoted."""
    parts = [rule, device, *(f"{key}={value}" for key, value in tags)]
    key = ":".join(parts)
    if key.count(":") < len(parts) and "%" not in key:
        return key  # nearly always
    return ":".join(part.replace("%", "%25").replace(":", "%3A") for part in parts)


_timing = lru_cache(maxsize=4096)(Timing)
"""The same for all tracks of a rule: there may be one for each port of a fleet."""


class Track:
    """What is common to both kinds."""

    __slots__ = (
        *("alert", "armed_ns", "calm", "cause", "device", "held_ns", "key", "rule"),
        *("series_key", "tags", "timing", "told"),
    )

    def __init__(self, rule: Rule, device: str, tags: Tags, series_key: str) -> None:
        self.rule = rule
        self.device = device
        self.tags = tags
        """The identity tags beside `device`."""
        self.series_key = series_key
        """Empty for absence: it is about the device."""
        self.key = alert_key(rule.name, device, tags)
        self.timing = _timing(rule.for_ns, rule.keep_firing_ns, rule.flapping)
        self.alert = UNTOUCHED
        self.calm = True
        """`alert.state.resting`, kept apart because every reading asks for it."""
        self.told = False
        """Somebody was notified that it fires."""
        self.cause = ""
        self.held_ns = 0
        """Its notification is held back at least until then."""
        self.armed_ns: int | None = None
        """The due time under which the watch has noted it."""

    def signal(self, signal: Signal, time_ns: int, who: str = "", why: str = "") -> Steps:
        """Hand a signal to the machine."""
        self.alert, steps = step(self.alert, signal, time_ns, self.timing, who, why)
        if steps:
            self.calm = self.alert.state.resting
        return steps

    def edge(self, edge: Edge, time_ns: int) -> Steps:
        """Hand a condition's edge to the machine, then let its time pass."""
        steps: Steps = ()
        if edge is Edge.TRUE:
            steps = self.signal(Signal.TRUE, time_ns)
        elif edge is Edge.FALSE:
            steps = self.signal(Signal.FALSE, time_ns)
        if due(self.alert, self.timing) is not None:
            steps += self.signal(Signal.TIME, time_ns)
        return steps

    def dump_alert(self) -> list[Any] | None:
        """None: nothing ever happened to it."""
        a = self.alert
        if a is UNTOUCHED:
            return None
        times = [a.since_ns, a.until_ns, a.false_ns, list(a.fired_ns)]
        return [str(a.state), *times, a.who, a.comment, self.told, self.cause, self.held_ns]

    def load_alert(self, data: list[Any] | None) -> None:
        if data is None:
            return
        state, since, until, false, fired, who, comment, *held = data
        self.told, self.cause, self.held_ns = held
        self.alert = AlertState(State(state), since, until, false, who, comment, tuple(fired))
        self.calm = self.alert.state.resting

    @property
    def since_ns(self) -> int:
        """When the trouble began."""
        return self.alert.since_ns

    @property
    def restless(self) -> bool:
        """It flaps, and goes on firing until it was quiet for a while."""
        return restless(self.alert, self.timing)

    def rewind_alert(self, now_ns: int) -> None:
        """The clock was set back: nothing began later than now."""
        a = self.alert
        if a is UNTOUCHED:
            return
        false = None if a.false_ns is None else min(a.false_ns, now_ns)
        self.alert = AlertState(
            *(a.state, min(a.since_ns, now_ns), min(a.until_ns, now_ns), false),
            *(a.who, a.comment, tuple(min(fired, now_ns) for fired in a.fired_ns)),
        )
        self.held_ns = min(self.held_ns, now_ns)


class Comparing(Track):
    """A comparison on one series; the question's line feeds it."""

    __slots__ = ("question",)
    joint = moved = False

    def ask(self, question: Question) -> None:
        """The one condition."""
        self.question = question

    def hear(self, question: Question, edge: Edge, time_ns: int) -> Steps:
        return self.edge(edge, time_ns)

    def doubt(self, question: Question, time_ns: int) -> Steps:
        return self.signal(Signal.DOUBT, time_ns)

    def confirm(self, fields: Mapping[str, Value], time_ns: int) -> Steps:
        """Does the same reading bring a second witness, so that nobody need wait?"""
        if self.rule.at_once_if and applies(self.rule.at_once_if, fields):
            return self.signal(Signal.AT_ONCE, time_ns)
        return ()

    def value_at(self, now_ns: int) -> float | None:
        return self.question.value

    def due(self) -> int | None:
        """When (hub's time) it wants to be asked, if nothing is read before."""
        when = due(self.alert, self.timing)
        times = (None if when is None else when + self.question.line.lag_ns, self.question.due_ns)
        return min((time for time in times if time is not None), default=None)

    def tick(self, now_ns: int) -> Steps:
        if self.question.counted:
            return self.question.tick(now_ns)
        line = self.question.line
        time_ns = now_ns - line.lag_ns
        if not line.fresh(time_ns):
            return ()
        return self.signal(Signal.TIME, time_ns)

    def data_state(self, now_ns: int) -> DataState:
        line = self.question.line
        if line.lost(now_ns - line.lag_ns):
            return DataState.NO_DATA
        if not line.fresh(now_ns - line.lag_ns):
            return DataState.STALE
        return DataState.SUSPECT if line.quality else DataState.OK

    def dump(self) -> list[Any]:
        return self.question.condition.dump()

    def load(self, data: list[Any]) -> None:
        self.question.condition.load(data)

    def rewind(self, now_ns: int) -> None:
        self.rewind_alert(now_ns)


class Joint(Track):
    """One alert for several series: so many of its members must say yes.

    Members are the parts of a condition on one device, or the devices of a place; a member says yes
    when any of its series does. Times are the hub's, since the series' own times differ. Nothing is
    concluded before a reading has moved all that it moves: else an alert would end and begin again
    because one field was looked at before another.
    """

    __slots__ = ("_members", "_parts", "moved", "needed")
    joint = True

    def __init__(self, rule: Rule, device: str) -> None:
        super().__init__(rule, device, (), "")
        self.moved = False
        """An answer changed, and what follows from it is not concluded yet."""
        parts = range(len(rule.when.parts))
        self._parts = bool(parts)
        self._members: dict[str, list[Question]] = {str(number): [] for number in parts}
        self.needed = rule.together.at_least if rule.together else rule.when.needed

    def ask(self, member: str, question: Question) -> None:
        """One more condition of that member."""
        self._members.setdefault(member, []).append(question)

    @staticmethod
    def part_of(rule: Rule, member: str) -> int:
        """Which part of the rule a member stands for; -1: the only condition."""
        return int(member) if rule.when.parts else -1

    def asked(self, member: str) -> Sequence[Question]:
        return self._members.get(member, ())

    @property
    def questions(self) -> Iterator[Question]:
        for questions in self._members.values():
            yield from questions

    def answer(self, at_ns: int | None = None) -> bool | None:
        """None: it depends on what is not known (or, given a time, no longer believed)."""
        yes = unknown = 0
        for questions in self._members.values():
            said = [question.holds(at_ns) for question in questions]
            if True in said:
                yes += 1
            elif None in said or not said:
                unknown += self._parts or self._was_known(questions)
        if yes >= self.needed:
            return True
        return False if yes + unknown < self.needed else None

    def _was_known(self, questions: list[Question]) -> bool:
        """A device of a place that never gave an answer is nobody's witness."""
        return any(question.condition.holds for question in questions)

    def hear(self, question: Question, edge: Edge, time_ns: int) -> Steps:
        self.moved |= edge is not UNCHANGED
        return ()

    def conclude(self, now_ns: int) -> Steps:
        """What the answers, some of them new, come to."""
        self.moved = False
        answer = self.answer()
        steps: Steps = ()
        if answer is not None:
            steps = self.signal(Signal.TRUE if answer else Signal.FALSE, now_ns)
        return steps + self._pass(now_ns)

    def doubt(self, question: Question, time_ns: int) -> Steps:
        """A gap in what said no makes the yes of the others no younger."""
        if not question.condition.holds:
            return ()
        return self.signal(Signal.DOUBT, time_ns + question.line.lag_ns)

    def confirm(self, fields: Mapping[str, Value], time_ns: int) -> Steps:
        """One reading is no second witness of what several say."""
        return ()

    def _pass(self, now_ns: int) -> Steps:
        """Let time pass if what is still believed gives the same answer."""
        when = due(self.alert, self.timing)
        if when is None or now_ns < when or self.answer(now_ns) in (None, not self.answer()):
            return ()
        return self.signal(Signal.TIME, now_ns)

    def value_at(self, now_ns: int) -> float | None:
        """How many members say yes."""
        said = ([q.condition.holds for q in questions] for questions in self._members.values())
        return float(sum(True in one for one in said))

    def due(self) -> int | None:
        times = [due(self.alert, self.timing), *(question.due_ns for question in self.questions)]
        return min((time for time in times if time is not None), default=None)

    def tick(self, now_ns: int) -> Steps:
        steps: Steps = ()
        for question in self.questions:
            if question.due_ns is not None and question.due_ns <= now_ns:
                steps += question.tick(now_ns)
        return steps + (self.conclude(now_ns) if self.moved else self._pass(now_ns))

    def data_state(self, now_ns: int) -> DataState:
        questions = list(self.questions)
        if all(q.line.lost(now_ns - q.line.lag_ns) for q in questions):
            return DataState.NO_DATA
        if self.answer(now_ns) is None:
            return DataState.STALE
        doubted = any(q.line.quality for q in questions if q.condition.holds)
        return DataState.SUSPECT if doubted else DataState.OK

    def dump(self) -> list[Any]:
        """[member, series, condition] of each question."""
        return [
            [member, question.series_key, question.condition.dump()]
            for member, questions in self._members.items()
            for question in questions
        ]

    def load(self, data: list[Any]) -> None:
        states = {(member, series_key): state for member, series_key, state in data}
        for member, questions in self._members.items():
            for question in questions:
                state = states.get((member, question.series_key))
                if state is not None:
                    question.condition.load(state)

    def rewind(self, now_ns: int) -> None:
        self.rewind_alert(now_ns)


class Missing(Track):
    """An absence: the device should say something from time to time."""

    __slots__ = ("_hours", "_only_if", "absence", "easy")
    joint = moved = False

    def __init__(self, rule: Rule, device: str) -> None:
        super().__init__(rule, device, (), "")
        self._hours = rule.when.hours
        self._only_if = rule.when.only_if
        self.easy = not self._only_if
        """Any reading is a sign of life."""
        self.absence = Absence(rule.when.absent_ns)

    def read(self, fields: Mapping[str, Value], now_ns: int) -> Steps:
        """A sign of life, if the companions say so."""
        only_if = self._only_if
        if only_if and not applies(only_if, fields):
            return ()
        return self.edge(self.absence.heard(now_ns), now_ns)

    @property
    def waiting(self) -> bool:
        """Nobody has told it yet since when to wait."""
        return self.absence.expected_ns is None

    @property
    def since_ns(self) -> int:
        """When the silence began, not when it had lasted too long."""
        return max(0, self.alert.since_ns - self.rule.when.absent_ns)

    def value_at(self, now_ns: int) -> float | None:
        if self.calm:
            return self.absence.value
        return self.absence.silence_s(now_ns)

    def due(self) -> int | None:
        if self.calm:  # no timer of its alert runs: nearly always, of thousands of devices
            return self.absence.due_ns
        times = (due(self.alert, self.timing), self.absence.due_ns, self._turn_ns())
        return min((time for time in times if time is not None), default=None)

    def _turn_ns(self) -> int | None:
        """When the hours end in which something is expected."""
        return self._hours.at(self.alert.since_ns).to_ns if self._hours and not self.calm else None

    def tick(self, now_ns: int) -> Steps:
        absence = self.absence
        if self._hours is None:
            return self.edge(absence.tick(now_ns), now_ns)
        hours = self._hours.at(now_ns)
        if not hours.open:
            absence.woke(hours.to_ns)
            return self.edge(absence.excuse(), now_ns)
        if max(absence.expected_ns or 0, absence.heard_ns or 0) < hours.from_ns:
            absence.woke(hours.from_ns)
        return self.edge(absence.tick(now_ns), now_ns)

    def data_state(self, now_ns: int) -> DataState:
        silence_s, absent_ns = self.absence.silence_s(now_ns), self.rule.when.absent_ns
        if self.absence.heard_ns is None or silence_s * SECOND > LOST_AFTER * absent_ns:
            return DataState.NO_DATA
        return DataState.STALE if self.absence.holds else DataState.OK

    def dump(self) -> list[Any]:
        return self.absence.dump()

    def load(self, data: list[Any]) -> None:
        self.absence.load(data)

    def rewind(self, now_ns: int) -> None:
        self.rewind_alert(now_ns)
        self.absence.rewind(now_ns)
