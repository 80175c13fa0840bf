"""How often rules fired, for how long, with how much flapping, and whom they called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hub.clock import NS
from rules.duration import DAY, MINUTE
from rules.rule import Rule
from rules.transition import Transition

FLAP_NS = 15 * MINUTE
"""Firing again so soon after it was over is a flap."""


@dataclass(slots=True)
class Count:
    """One rule on one device."""

    fired: int = 0
    firing_s: float = 0.0
    flaps: int = 0
    open: bool = False
    """Still firing at the end."""


@dataclass(slots=True)
class RuleTally:
    rule: str
    fired: int = 0
    firing_s: float = 0.0
    flaps: int = 0
    still_open: int = 0
    devices: dict[str, Count] = field(default_factory=dict)
    days: list[int] = field(default_factory=list)
    """How often it fired, by day from the start."""
    told: dict[str, int] = field(default_factory=dict)
    """How often each team would have been called, ends included."""


class Tally:
    """Counts transitions, keeps none."""

    def __init__(self, rules: Sequence[Rule], start_ns: int, stop_ns: int) -> None:
        days = -(-(stop_ns - start_ns) // DAY)
        self.rules = {rule.name: RuleTally(rule.name, days=[0] * days) for rule in rules}
        self._start, self._stop = start_ns, stop_ns
        self._since: dict[str, int] = {}
        self._over: dict[str, int] = {}
        self._device: dict[str, tuple[str, str]] = {}

    def take(self, transitions: Sequence[Transition]) -> None:
        for t in transitions:
            tally = self.rules[t.rule]
            for team in t.notify:
                tally.told[team] = tally.told.get(team, 0) + 1
            if t.after == "firing" and t.before not in ("firing", "acknowledged"):
                self._fires(tally, t)
            elif t.after == "resolved" and t.key in self._since:
                self._ends(t.key, t.time_ns)
                self._over[t.key] = t.time_ns

    def _fires(self, tally: RuleTally, t: Transition) -> None:
        count = tally.devices.setdefault(t.device, Count())
        flap = t.time_ns - self._over.get(t.key, -FLAP_NS) < FLAP_NS and t.key in self._over
        tally.fired, count.fired = tally.fired + 1, count.fired + 1
        tally.flaps, count.flaps = tally.flaps + flap, count.flaps + flap
        day = min(len(tally.days) - 1, (t.time_ns - self._start) // DAY)
        tally.days[day] += 1
        self._since[t.key], self._device[t.key] = t.time_ns, (t.rule, t.device)

    def _ends(self, key: str, time_ns: int) -> Count:
        rule, device = self._device[key]
        seconds = (time_ns - self._since.pop(key)) / NS
        tally = self.rules[rule]
        tally.firing_s += seconds
        tally.devices[device].firing_s += seconds
        return tally.devices[device]

    def close(self) -> None:
        """Count what still fires up to the end."""
        for key in list(self._since):
            self._ends(key, self._stop).open = True
            self.rules[self._device[key][0]].still_open += 1
