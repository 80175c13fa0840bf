"""What alerts must come of a script, worked out the slow way: from everything that was ever read.

Nothing of the rules' own machinery is used here: no windows that roll, no heap of who is due, no
quiet band, no snapshots. Each question goes through its whole history again at every reading, and
every alert is looked at on every tick.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hub.reading import Quality, Reading
from rules.rule import Rule, When
from rules.thing import Thing

S = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
LATE = 5 * MINUTE

Said = tuple[str, str, str, tuple[str, ...]]
"""Key, before, after, teams that are told."""


def exceeds(when: When, number: Fraction, held: bool) -> bool:
    """The comparison with its clear level, by cases."""
    limit = Fraction(when.threshold)
    clear = limit if when.clear is None else Fraction(when.clear)
    if when.comparison == "above":
        return number > limit or (held and when.clear is not None and number >= clear)
    if when.comparison == "below":
        return number < limit or (held and when.clear is not None and number <= clear)
    return (number == limit) is (when.comparison == "equals")


@dataclass
class Asked:
    """One condition on one series: all that it was ever fed with."""

    when: When
    fed: list[tuple[int, Fraction]] = field(default_factory=list)
    """Since the clock was last set back behind a reading."""
    times: list[int] = field(default_factory=list)
    newest: int | None = None
    lag: int = 0
    holds: bool | None = None
    counted: int = 0
    """How many readings were in the window when it was last looked at."""
    clock: int = 0
    """How far a count was looked at: it is not moved back."""
    begun: int | None = None
    """When a count's first reading came."""

    def interval(self) -> int:
        found = 0
        for gap in self.times:
            found = gap if not found or gap < 2 * found else 2 * found
        return found

    def fresh(self, time: int) -> bool:
        if self.newest is None:
            return False
        usual = self.interval()
        return time - self.newest <= (max(3 * usual, 2 * MINUTE) if usual else 5 * MINUTE)

    def inside(self, time: int) -> list[tuple[int, Fraction]]:
        assert self.when.window is not None
        width = self.when.window.length_ns // 60
        if self.when.window.function == "count":
            time = self.clock = max(time, self.clock)
            self.begun = self.fed[0][0] if self.begun is None and self.fed else self.begun
        found = [one for one in self.fed if one[0] // width > time // width - 60]
        if self.when.window.function == "count":
            self.fed = found  # what left the window stays out, wherever the clock is set
        return found

    def spanned(self, time: int) -> int:
        """Since when readings follow one another without a gap of a whole window."""
        assert self.when.window is not None
        if self.when.window.function == "count":
            return time - (self.begun or 0)
        width, begun = self.when.window.length_ns // 60, self.fed[0][0]
        for (before, _), (after, _) in pairwise(self.fed):
            if after // width - before // width >= 60:
                begun = after
        return time - begun

    def needed(self) -> int:
        assert self.when.window is not None
        function, length = self.when.window.function, self.when.window.length_ns
        if self.when.comparison == "above" and function in ("sum", "max", "count", "changes"):
            return 0
        if self.when.comparison == "below" and function == "min":
            return 0
        return length // 2 if function in ("mean", "p95", "rate") else length - length // 60

    def number(self, time: int) -> Fraction | None:
        """What is compared; None: nothing can be said yet."""
        window = self.when.window
        if window is None:
            return self.fed[-1][1]
        values = [value for _, value in self.inside(time)]
        self.counted = len(values)
        if self.spanned(max(time, self.clock)) < self.needed():
            return None
        if window.function == "count":
            return Fraction(len(values))
        if window.function == "changes":
            all_ = [value for _, value in self.fed][-len(values) - 1 :]
            return Fraction(sum(a != b for a, b in pairwise(all_)))
        if window.function == "p95":
            return next(
                v for v in sorted(values) if 20 * sum(other > v for other in values) <= len(values)
            )
        if window.function == "rate":
            return self.slope(time)
        total = sum(values, Fraction(0))
        return {
            "sum": total,
            "mean": total / len(values),
            "min": min(values),
            "max": max(values),
        }[window.function]

    def slope(self, time: int) -> Fraction | None:
        assert self.when.window is not None
        points = [(Fraction(t // 1_000_000), v) for t, v in self.inside(time)]
        t_mean = sum((t for t, _ in points), Fraction(0)) / len(points)
        v_mean = sum((v for _, v in points), Fraction(0)) / len(points)
        below = sum(((t - t_mean) ** 2 for t, _ in points), Fraction(0))
        if not below:
            return None
        above = sum(((t - t_mean) * (v - v_mean) for t, v in points), Fraction(0))
        return above / below * (self.when.window.per_ns // 1_000_000)

    def judge(self, time: int) -> str:
        """The edge: "true", "false" or nothing."""
        number = self.number(time)
        return "" if number is None else self.turn(exceeds(self.when, number, bool(self.holds)))

    def turn(self, answer: bool) -> str:
        if answer is self.holds:
            return ""
        self.holds = answer
        return str(answer).lower()

    def count_falls(self, time: int) -> str:
        """Readings left the window of a count by time alone."""
        before = self.counted
        return self.judge(time) if before and len(self.inside(time)) != before else ""

    def rewind(self, now: int) -> None:
        self.lag = max(0, min(self.lag, DAY))
        self.clock = min(self.clock, now - self.lag)
        if self.newest is not None and self.newest > now:
            self.newest = now
            if self.when.window:
                self.fed.clear()
                self.counted, self.clock, self.begun = 0, 0, None


@dataclass
class Alarm:
    """One alert, its times in the open."""

    rule: Rule
    key: str
    state: str = "ok"
    since: int = 0
    false: int | None = None
    fired: list[int] = field(default_factory=list)
    told: bool = False
    silent: bool = False
    """It fires, and nobody was told because of a silence."""
    said: list[tuple[str, str]] = field(default_factory=list)

    @property
    def up(self) -> bool:
        return self.state in ("firing", "acknowledged")

    def go(self, state: str) -> None:
        self.said.append((self.state, state))
        self.state = state

    def flaps(self) -> bool:
        flapping = self.rule.flapping
        if flapping is None or len(self.fired) < flapping.times:
            return False
        return self.fired[-1] - self.fired[-flapping.times] <= flapping.within_ns

    def patience(self) -> int:
        quiet = self.rule.flapping.quiet_ns if self.rule.flapping and self.flaps() else 0
        return max(self.rule.keep_firing_ns, quiet)

    def true(self, time: int) -> None:
        self.false = None
        if self.up or self.state == "pending":
            return
        self.since = time
        if self.rule.for_ns:
            self.go("pending")
        else:
            self.fire(time)

    def fire(self, time: int) -> None:
        self.fired.append(time)
        self.go("firing")

    def untrue(self, time: int) -> None:
        if self.state == "pending":
            self.go("ok")
        elif self.up and not self.patience():
            self.end()
        elif self.up and self.false is None:
            self.false = time

    def end(self) -> None:
        if self.flaps():
            self.fired.clear()
        self.false = None
        self.go("resolved")

    def passes(self, time: int) -> None:
        if self.state == "pending" and time >= self.since + self.rule.for_ns:
            self.fire(time)
        elif self.false is not None and time >= self.false + self.patience():
            self.end()

    def rewind(self, now: int) -> None:
        self.since = min(self.since, now)
        self.false = None if self.false is None else min(self.false, now)
        self.fired = [min(time, now) for time in self.fired]


@dataclass
class Heard:
    """An absence's signs of life."""

    last: int | None = None
    expected: int = 0
    holds: bool | None = None


class Oracle:
    """Rules without `means`, hours, siblings and yesterday; every device at one site."""

    def __init__(self, rules: Sequence[Rule], things: Sequence[Thing], start: int) -> None:
        self.rules, self.things = rules, {thing.id: thing for thing in things}
        self.now, self.ticked = start, start
        self.asked: dict[tuple[str, int, str], Asked] = {}
        """By rule, part and series."""
        self.alarms: dict[str, Alarm] = {}
        self.heard: dict[str, Heard] = {}
        self.silences: dict[str, tuple[Mapping[str, Any], int]] = {}
        self.moved = False
        """An answer that a joint alert asks for has just changed."""
        for rule in rules:
            for thing in things:
                if rule.when.is_absence and rule.where.matches(thing.attributes()):
                    self.heard[self.alarm(rule, thing.id).key] = Heard(expected=start)

    def alarm(self, rule: Rule, device: str, tags: str = "") -> Alarm:
        key = f"{rule.name}:{device}{tags}"
        return self.alarms.setdefault(key, Alarm(rule, key))

    def enter(self, now: int) -> None:
        if self.now - now > S:
            for asked in self.asked.values():
                asked.rewind(now)
            for alarm in self.alarms.values():
                alarm.rewind(now)
            for heard in self.heard.values():
                heard.last = None if heard.last is None else min(heard.last, now)
                heard.expected = min(heard.expected, now)
            self.ticked = min(self.ticked, now)
            self.now = now
        self.now = max(self.now, now)

    # -- what comes in ----------------------------------------------------------------

    def observe(self, reading: Reading, now: int) -> list[Said]:
        series, time, fields, quality = reading
        if not any(self.concerns(rule, reading) for rule in self.rules):
            return []  # nor is its time looked at
        self.enter(now)
        now = self.now
        if quality & (Quality.LATE | Quality.RETAINED) or time < now - LATE:
            return []
        time = now if time > now + LATE else time
        for rule in self.rules:
            if rule.when.is_absence and rule.when.measurement == series.measurement:
                self.sign(rule, series.device, now)
            for part, when in enumerate(rule.when.parts or (rule.when,)):
                if when.measurement == series.measurement and when.field in fields:
                    self.read(rule, part, when, reading._replace(time_ns=time), now)
            if self.moved:  # only now have all parts heard the reading
                self.together(rule, self.alarm_of(rule, series.device, series.tags), now)
                self.moved = False
        return self.out()

    def concerns(self, rule: Rule, reading: Reading) -> bool:
        series, _, fields, _ = reading
        if rule.when.is_absence:
            return f"{rule.name}:{series.device}" in self.heard
        return any(when.field in fields for when in rule.when.parts or (rule.when,))

    def sign(self, rule: Rule, device: str, now: int) -> None:
        heard = self.heard.get(f"{rule.name}:{device}")
        if heard is None:
            return
        alarm = self.alarm(rule, device)
        heard.last = now
        if heard.holds is not False:
            heard.holds = False
            alarm.untrue(now)
        alarm.passes(now)

    def read(self, rule: Rule, part: int, when: When, reading: Reading, now: int) -> None:
        series, time, fields, quality = reading
        asked = self.asked.setdefault((rule.name, part, series.key), Asked(when))
        alarm = self.alarm_of(rule, series.device, series.tags)
        value = fields[when.field]
        if not isinstance(value, int | float) or not abs(value) < 1e300:
            return
        if asked.newest is not None and time < asked.newest:
            return
        if when.good_only and quality:
            return
        if any(name not in fields for name, _ in when.only_if):
            return
        applies = all(fields[name] == wanted for name, wanted in when.only_if)
        joint = bool(rule.when.parts or rule.together)
        at = now if joint else time
        again = asked.newest == time
        doubtful = not asked.fresh(time) and (not joint or asked.holds)
        if asked.newest is not None and not again:
            asked.times.append(time - asked.newest)
        asked.newest, asked.lag = time, now - time
        if again and when.window:
            return
        if doubtful and alarm.state == "pending":
            alarm.since = at
        if applies:
            asked.fed.append((time, Fraction(value)))
        edge = asked.judge(time) if applies else asked.turn(answer=False)
        if joint:
            self.moved |= bool(edge)
        else:
            self.follow(alarm, edge, at)

    def alarm_of(self, rule: Rule, device: str, tags: tuple[tuple[str, str], ...]) -> Alarm:
        if rule.together:
            return self.alarm(rule, f"site-{self.things[device].site}")
        if rule.when.parts:
            return self.alarm(rule, device)
        named = "".join(f":{key}={value}" for key, value in tags if key != "device")
        return self.alarm(rule, device, named)

    def follow(self, alarm: Alarm, edge: str, at: int) -> None:
        if edge == "true":
            alarm.true(at)
        elif edge == "false":
            alarm.untrue(at)
        alarm.passes(at)

    def members(self, rule: Rule, alarm: Alarm) -> Iterator[list[Asked]]:
        """The conditions of each member of a joint alert."""
        device = alarm.key.split(":", 1)[1]
        if rule.when.parts:
            for part in range(len(rule.when.parts)):
                yield [
                    asked
                    for (name, number, key), asked in self.asked.items()
                    if (name, number) == (rule.name, part) and f"device={device}," in key
                ]
            return
        for thing in self.things:
            yield [
                asked
                for (name, _, key), asked in self.asked.items()
                if name == rule.name and f"device={thing}," in key
            ]

    def answer(self, rule: Rule, alarm: Alarm, now: int | None = None) -> bool | None:
        yes = perhaps = 0
        for member in self.members(rule, alarm):
            said = [
                asked.holds if now is None or asked.fresh(now - asked.lag) else None
                for asked in member
            ]
            if True in said:
                yes += 1
            elif None in said or not said:
                perhaps += bool(rule.when.parts) or any(asked.holds for asked in member)
        needed = rule.together.at_least if rule.together else rule.when.needed
        if yes >= needed:
            return True
        return None if yes + perhaps >= needed else False

    def together(self, rule: Rule, alarm: Alarm, now: int) -> None:
        answer = self.answer(rule, alarm)
        if answer is True:
            alarm.true(now)
        elif answer is False:
            alarm.untrue(now)
        self.joint_time(rule, alarm, now)

    def joint_time(self, rule: Rule, alarm: Alarm, now: int) -> None:
        believed = self.answer(rule, alarm, now)
        if believed is not None and believed is self.answer(rule, alarm):
            alarm.passes(now)

    def tick(self, now: int) -> list[Said]:
        self.enter(now)
        now = self.now
        if now - self.ticked > MINUTE:
            for heard in self.heard.values():
                heard.expected = now
        self.ticked = now
        for alarm in list(self.alarms.values()):
            rule = alarm.rule
            if rule.when.is_absence:
                self.silence_of(alarm, now)
            elif rule.when.parts or rule.together:
                self.joint_time(rule, alarm, now)
        for (name, part, key), asked in list(self.asked.items()):
            rule = next(rule for rule in self.rules if rule.name == name)
            if not rule.when.parts and not rule.together:
                self.single_time(rule, key, asked, now)
            assert part == 0 or rule.when.parts
        self.silences = {id_: one for id_, one in self.silences.items() if one[1] > now}
        return [*self.out(), *self.released()]

    def silence_of(self, alarm: Alarm, now: int) -> None:
        heard = self.heard[alarm.key]
        since = max(heard.expected, heard.last or 0)
        if not heard.holds and now >= since + alarm.rule.when.absent_ns:
            heard.holds = True
            alarm.true(now)
        alarm.passes(now)

    def single_time(self, rule: Rule, key: str, asked: Asked, now: int) -> None:
        pairs = tuple(tuple(pair.split("=")) for pair in key.split(",")[1:])
        device = dict(pairs)["device"]  # type: ignore[arg-type]
        alarm = self.alarm_of(rule, device, pairs)  # type: ignore[arg-type]
        time = now - asked.lag
        if rule.when.window and rule.when.window.function == "count":
            self.follow(alarm, asked.count_falls(time), time)
        elif asked.fresh(time):
            alarm.passes(time)

    # -- people ---------------------------------------------------------------------------

    def act(self, id_: str, now: int, act: Any) -> list[Said]:
        self.enter(now)
        if act.kind == "silence":
            self.silences[id_] = dict(act.matcher), act.until_ns
        elif act.kind == "unsilence":
            for known, (matcher, _) in list(self.silences.items()):
                if known == act.key or (not act.key and matcher == dict(act.matcher)):
                    del self.silences[known]
        elif (alarm := self.alarms.get(act.key)) is not None:
            if act.kind == "acknowledge" and alarm.up:
                alarm.go("acknowledged")
            elif act.kind == "unacknowledge" and alarm.state == "acknowledged":
                alarm.go("firing")
        return self.out()

    def silenced(self, alarm: Alarm) -> bool:
        device = alarm.key.split(":")[1]
        known = {"rule": alarm.rule.name, "device": device, "key": alarm.key}
        return any(
            until > self.now and all(value in ("*", known[key]) for key, value in matcher.items())
            for matcher, until in self.silences.values()
        )

    def out(self) -> list[Said]:
        """What was said since, and to whom."""
        found: list[Said] = []
        for alarm in self.alarms.values():
            for before, after in alarm.said:
                told: tuple[str, ...] = ()
                if after == "firing" and before != "acknowledged":
                    alarm.silent = self.silenced(alarm)
                    alarm.told = not alarm.silent
                    told = alarm.rule.notify if alarm.told else ()
                elif after == "acknowledged":
                    alarm.told, alarm.silent = True, False
                elif after in ("ok", "resolved"):
                    told = alarm.rule.notify if alarm.told and not self.silenced(alarm) else ()
                    alarm.told = alarm.silent = False
                found.append((alarm.key, before, after, told))
            alarm.said.clear()
        return found

    def released(self) -> list[Said]:
        found: list[Said] = []
        for alarm in self.alarms.values():
            if alarm.silent and not self.silenced(alarm):
                alarm.silent, alarm.told = False, True
                found.append((alarm.key, alarm.state, alarm.state, alarm.rule.notify))
        return found
