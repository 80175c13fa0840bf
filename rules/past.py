"""New rules that know the past: what they would say had they been there before.

A rule that looks back (a window, `for`, yesterday) would be blind at first. So what the store holds
of that time goes through a watch of its own, with the new rules alone (`judge`), and the rules in
force take over what it knows (`refill.py`). An absence looks back on nothing that is stored: it
counts from now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub.reading import Reading
from rules.duration import DAY, MINUTE
from rules.replay import Replay, conditions
from rules.rule import Rule
from rules.thing import Thing
from rules.windows import BUCKETS

MARGIN = 5 * MINUTE
"""So much more is read, so that a window is surely spanned and the series' rhythm known."""


def looks_back(rule: Rule) -> int:
    """How far its answer reaches into the past, nanoseconds; 0: the next reading says all."""
    if rule.when.is_absence:
        return 0
    back = 0
    for when in conditions(rule):
        length = when.window.length_ns if when.window else 0
        length += length // BUCKETS  # the bucket that has begun before it
        if when.against and not when.against.sibling:
            length += DAY
        back = max(back, length)
    back += rule.for_ns
    return back + MARGIN if back else 0


def judge(
    rules: Sequence[Rule], things: Iterable[Thing], readings: Sequence[Reading], now_ns: int
) -> Replay:
    """What these rules know after these readings, which are in order of time."""
    past = Replay(rules, things, readings[0].time_ns if readings else now_ns)
    past.begin()
    first = 0
    while first < len(readings) and readings[first].time_ns <= now_ns:
        time_ns, last = readings[first].time_ns, first
        while last < len(readings) and readings[last].time_ns == time_ns:
            last += 1
        past.feed(readings[first:last], time_ns)
        first = last
    past.advance(now_ns)
    return past
