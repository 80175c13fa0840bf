"""Runs a backtest: one replay for each set of rules. What is the same before and after a change is
judged once. See the drawing in `hub/backtest/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hub.backtest.history import History, Progress, Rows, Source
from hub.backtest.tally import RuleTally, Tally
from rules.replay import Replay
from rules.rule import Rule
from rules.thing import Thing
from rules.transition import Transition


@dataclass(frozen=True, slots=True)
class Report:
    start_ns: int
    stop_ns: int
    before: dict[str, RuleTally]
    after: dict[str, RuleTally] | None
    """With the changes; None: none were given."""
    series: int
    readings: int
    """In the store, as far as a rule looks at them."""
    fed: int
    """Of these, those that could matter and went through the rules."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


async def run(
    source: Source,
    things: Sequence[Thing],
    rules: Sequence[Rule],
    changed: Sequence[Rule] | None,
    start_ns: int,
    stop_ns: int,
    progress: Progress = lambda what, share: None,
    listen: Callable[[int, Sequence[Transition]], None] = lambda number, found: None,
) -> Report:
    """Judge what the store holds of `start_ns` to `stop_ns` by `rules` and, beside them, by
    `changed`. `listen` hears each set's transitions as they come (0: rules, 1: changed).

    Raises what the store raises.
    """
    history = History(source, things, start_ns, stop_ns, progress)
    sets = [rules] if changed is None else [rules, changed]
    await history.look([rule for one in sets for rule in one])
    same = frozenset() if changed is None else _same(rules, changed)
    watches = [Replay(rules, things, start_ns)]
    if changed is not None:
        # Beside what was changed, only what explains the silence of others must be judged twice.
        needed = [rule for rule in changed if rule.name not in same or rule.means == "down"]
        watches.append(Replay(needed, things, start_ns))
    tallies = [Tally(one, start_ns, stop_ns) for one in sets]

    def heard(number: int, found: Sequence[Transition]) -> None:
        if number == 1:
            found = [t for t in found if t.rule not in same]
        elif same:
            give(1, [t for t in found if t.rule in same])
        give(number, found)

    def give(number: int, found: Sequence[Transition]) -> None:
        if found:
            tallies[number].take(found)
            listen(number, found)

    for number, watch in enumerate(watches):
        heard(number, watch.begin())
    async for begin, end, fed, rows in history.hours(watches):
        for watch in watches:
            watch.pass_by(fed, end)
        _through(watches, rows, history.down_in(begin, end), heard)
        for number, watch in enumerate(watches):
            heard(number, watch.advance(history.awake_until(end)))
    for tally in tallies:
        tally.close()
    after = tallies[1].rules if changed is not None else None
    return Report(
        start_ns, stop_ns, tallies[0].rules, after, history.series, history.readings, history.fed
    )


def _same(rules: Sequence[Rule], changed: Sequence[Rule]) -> frozenset[str]:
    """Names of the rules that say the same by either set. Rules don't hear of each other, but that
    what is known as down explains the silence of others: with another rule of that kind any may say
    something else."""
    before, after = ({rule.name: rule for rule in one} for one in (rules, changed))
    same = {name for name, rule in before.items() if after.get(name) == rule}
    others = [rule for one in (before, after) for name, rule in one.items() if name not in same]
    return frozenset() if any(rule.means == "down" for rule in others) else frozenset(same)


def _through(
    watches: Sequence[Replay],
    rows: Rows,
    down: Sequence[tuple[int, int]],
    heard: Callable[[int, Sequence[Transition]], None],
) -> None:
    """One hour's readings in order of time through every watch, which sleep while the hub was
    down."""
    asleep, index, end = list(down), 0, len(rows)
    while index < end:
        time_ns, first = rows[index][0], index
        while index < end and rows[index][0] == time_ns:
            index += 1
        together = [row[2] for row in rows[first:index]]
        while asleep and asleep[0][1] <= time_ns:
            _sleep(watches, asleep.pop(0), heard)
        for number, watch in enumerate(watches):
            heard(number, watch.feed(together, time_ns))
    for span in asleep:
        _sleep(watches, span, heard)


def _sleep(
    watches: Sequence[Replay],
    span: tuple[int, int],
    heard: Callable[[int, Sequence[Transition]], None],
) -> None:
    for number, watch in enumerate(watches):
        heard(number, watch.advance(span[0]))
        heard(number, watch.sleep(span[1]))
