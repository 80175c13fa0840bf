"""One dead uplink is one message: a regency whose links break, told by a watch that also restarts.

The truth is kept apart from what the watch is told: elements (a core, offices, sensors, cameras)
break and are mended at any time, polls and messages notice that at any time, verdicts come late or
never, the hub is restarted from a snapshot and its tail, and is away for minutes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.reading import Reading, Series
from rules.inquiry import PATIENCE
from rules.topology import Topology
from rules.watch import Thing, Transition, Watch
from tests.rules_support import START, S, rules

POLL, TIMEOUT, TICK = 30, 15, 10
OFFICES = ("r-1", "r-2", "r-3")
NOTICED = POLL + TIMEOUT + TICK
"""Seconds after which each poller knows."""


def _office(router: str) -> Iterator[Thing]:
    yield Thing(router, router.upper(), "router", parents=("core",))
    number = router[-1]
    for name in (f"aq-{number}a", f"aq-{number}b"):
        yield Thing(name, name.upper(), "sensor", parents=(router,))
    yield Thing(f"cam-{number}", f"CAM-{number}", "camera", parents=(router,))


THINGS = (
    Thing("core", "CORE", "router"),
    *(thing for router in OFFICES for thing in _office(router)),
)
KINDS = {thing.id: thing.kind for thing in THINGS}
TOPOLOGY = Topology({thing.id: thing.parents for thing in THINGS})
LEAVES = [name for name, kind in KINDS.items() if kind != "router"]


class Timing(NamedTuple):
    """Seconds. Sensors publish three times and more in what makes them silent."""

    router_for: int = 90
    sensor_absent: int = 180
    camera_absent: int = 180

    def rules(self) -> list[Any]:
        return rules(f"""
  - name: router_down
    title: {{id: "{{name}} putus", en: "{{name}} is down"}}
    when: {{measurement: device, field: up, equals: 0}}
    where: {{kind: router}}
    for: {self.router_for}s
    severity: critical
    notify: [kominfo]
    means: down
  - name: sensor_silent
    title: {{id: "{{name}} diam", en: "{{name}} is silent"}}
    when: {{measurement: environment, absent: {self.sensor_absent}s}}
    where: {{kind: sensor}}
    notify: [dlh]
  - name: camera_silent
    title: {{id: "{{name}} diam", en: "{{name}} is silent"}}
    when: {{measurement: camera, absent: {self.camera_absent}s, only_if: {{up: 1}}}}
    where: {{kind: camera}}
    notify: [dishub]
""")

    def alone(self, device: str) -> int:
        """Seconds after which a fault must be told, if nothing above it is or was broken lately."""
        own = {"router": self.router_for, "sensor": self.sensor_absent}.get(
            KINDS[device], self.camera_absent
        )
        return own + NOTICED + PATIENCE // S + 2 * TICK

    def after(self, device: str) -> int:
        """The same, counted from the end of what was broken above it."""
        grace = {"sensor": self.sensor_absent, "camera": self.camera_absent}.get(KINDS[device], 0)
        return self.alone(device) + max(grace, 120) + NOTICED


class Fault(NamedTuple):
    """That element (its uplink, or itself) is dead from then on, for so many seconds."""

    device: str
    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass
class Luck:
    """All that is left to chance."""

    offsets: dict[str, float] = field(default_factory=dict)
    """Of each device's polls or messages, in parts of its period."""
    delays: Sequence[float] = (0.01,)
    """Seconds until each question reaches the collector, in turn. Negative: it never does."""
    restarts: Sequence[tuple[int, int]] = ()
    """After so many calls, from a snapshot so many calls ago."""
    asks_again: bool = True
    """After a restart; else it is remembered which questions were passed on."""
    away: Sequence[tuple[int, int]] = ()
    """Seconds in which the hub does not run: from, length."""


class Regency:
    """Plays a story to its end. `said` is what people were told: (second, device, state)."""

    def __init__(
        self, faults: Iterable[Fault], luck: Luck, until: int, timing: Timing | None = None
    ) -> None:
        self.faults, self.luck, self.timing = list(faults), luck, timing or Timing()
        self.rules = self.timing.rules()
        self.watch = Watch(self.rules, THINGS)
        self.all: list[Transition] = []
        self._asked: dict[str, int] = {}
        self._questions = 0
        self._log: list[tuple[str, tuple[Any, ...]]] = []
        self._kept = {max(0, at - back) for at, back in luck.restarts}
        self._snapshots: dict[int, bytes] = {}
        """Before so many calls."""
        self._events: list[tuple[float, int, str, Any]] = []
        self._number = 0
        self._plan(until)
        self._play(until)

    @property
    def said(self) -> list[tuple[int, str, str]]:
        return [((t.time_ns - START) // S, t.device, t.after) for t in self.all if t.notify]

    @property
    def fired(self) -> list[tuple[int, str]]:
        return [(at, device) for at, device, state in self.said if state == "firing"]

    def reachable(self, device: str, at: float) -> bool:
        path = (device, *TOPOLOGY.ancestors(device))
        return not any(f.device in path and f.start <= at < f.end for f in self.faults)

    def _runs(self, at: float) -> bool:
        return not any(start <= at < start + length for start, length in self.luck.away)

    # what happens

    def _push(self, at: float, what: str, value: Any = None) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, what, value))

    def _plan(self, until: int) -> None:
        for at in range(0, until, TICK):
            self._push(at, "tick")
        for device, kind in KINDS.items():
            period = self.timing.sensor_absent / 3.2 if kind == "sensor" else POLL
            at = self.luck.offsets.get(device, 0.5) * period
            while at < until:
                self._push(at, "message" if kind == "sensor" else "poll", (device, False))
                at += period

    def _play(self, until: int) -> None:
        while self._events:
            at, _, what, value = heapq.heappop(self._events)
            if at >= until or not self._runs(at):
                continue
            now = START + round(at * S)
            if what == "tick":
                self._call("tick", now)
            elif what == "message":
                if self.reachable(value[0], at):
                    self._read(now, value[0], 1)
            elif what == "poll":
                # One that was not answered at once is dead when its time-out is over.
                alive = self.reachable(value[0], at)
                self._push(at if alive else at + TIMEOUT, "polled", (*value, alive))
            elif what == "polled":
                device, asked, alive = value
                if KINDS[device] != "sensor":
                    self._read(now, device, int(alive))
                if asked:
                    verdict = None if KINDS[device] == "sensor" else alive
                    self._call("verdict", now, device, verdict)
            self._ask(at)

    def _ask(self, at: float) -> None:
        """What the edge does: pass each question on once."""
        questions = dict(self.watch.questions())
        for device, until in questions.items():
            if self._asked.get(device) != until:
                delay = self.luck.delays[self._questions % len(self.luck.delays)]
                self._questions += 1
                if delay >= 0:
                    what = "polled" if KINDS[device] == "sensor" else "poll"
                    value = (device, True, None) if what == "polled" else (device, True)
                    self._push(at + delay, what, value)
        self._asked = questions

    def _read(self, now: int, device: str, up: int) -> None:
        kind = KINDS[device]
        if kind == "sensor":
            reading = Reading(Series.of("environment", device), now, {"pm25": 9.0})
        elif kind == "camera":
            reading = Reading(Series.of("camera", device), now, {"up": up})
        else:
            reading = Reading(Series.of("device", device, probe="snmp"), now, {"up": up})
        self._call("observe", [reading], now)

    # the watch, called and started again

    def _call(self, name: str, *given: Any) -> None:
        if len(self._log) in self._kept:
            self._snapshots[len(self._log)] = msgspec.msgpack.encode(self.watch.snapshot())
        self._log.append((name, given))
        found = getattr(self.watch, name)(len(self._log), *given)
        self.all += found
        for at, back in self.luck.restarts:
            if len(self._log) == at:
                self._restart(max(0, at - back))

    def _restart(self, first: int) -> None:
        """The process died; its snapshot is of that many calls, the journal has the others."""
        snapshot = msgspec.msgpack.decode(self._snapshots[first])
        self.watch = Watch.restore(self.rules, THINGS, snapshot)
        again = [
            one
            for number, (name, given) in enumerate(self._log[first:], first + 1)
            for one in getattr(self.watch, name)(number, *given)
        ]
        assert again == (self.all[-len(again) :] if again else [])
        if self.luck.asks_again:
            self._asked = {}


def root(regency: Regency, device: str) -> str:
    """The device that explains it, by the board's own way."""
    from hub.web.causes import roots

    alerts = {alert.key: alert for alert in regency.watch.alerts()}
    (key,) = [key for key, alert in alerts.items() if alert.device == device]
    return alerts[roots(alerts.values()).get(key, key)].device


# -- one cut, one message


@pytest.mark.parametrize("cut", ["core", "r-2"])
def test_one_cut_uplink_is_one_message_and_one_more_when_it_is_back(cut: str) -> None:
    story = Regency([Fault(cut, 600, 1800)], Luck(), 4200)
    assert [(device, state) for _, device, state in story.said] == [
        (cut, "firing"), (cut, "resolved")
    ]  # fmt: skip


def test_while_it_lasts_every_child_is_explained_by_it() -> None:
    story = Regency([Fault("core", 600, 9000)], Luck(), 2400)
    assert {root(story, device) for device in KINDS} == {"core"}


def test_a_silent_child_has_its_parent_asked_before_anybody_is_told() -> None:
    """The router is next polled by its schedule long after the sensor is missed."""
    timing = Timing(router_for=0, sensor_absent=30, camera_absent=900)
    story = Regency(
        [Fault("r-1", 602, 900)], Luck({"aq-1a": 0.1, "aq-1b": 0.1, "r-1": 0.06}), 1400, timing
    )
    assert [device for _, device in story.fired] == ["r-1"]


def test_a_child_that_is_dead_when_its_parent_is_back_is_told_then_and_once() -> None:
    for device in ("aq-1a", "cam-1", "r-1"):
        story = Regency([Fault("core", 600, 1200), Fault(device, 900, 9000)], Luck(), 4000)
        assert [d for _, d in story.fired] == ["core", device]
        at = story.fired[1][0]
        assert 1800 < at <= 1800 + story.timing.after(device)


def test_who_can_be_asked_need_not_be_waited_for_as_long_as_who_must_speak_by_itself() -> None:
    timing = Timing(sensor_absent=900, camera_absent=900)
    faults = [Fault("core", 600, 1800), Fault("cam-1", 900, 9000), Fault("aq-1a", 900, 9000)]
    story = Regency(faults, Luck(), 6000, timing)
    told = {device: at for at, device in story.fired}
    assert 2400 + 120 <= told["cam-1"] <= 2400 + 120 + NOTICED + 2 * TICK
    assert 2400 + 900 <= told["aq-1a"] <= 2400 + 900 + NOTICED + 2 * TICK


def test_a_parent_that_flaps_is_the_only_one_that_people_hear_of() -> None:
    faults = [Fault("core", at, 200) for at in range(600, 4200, 400)]
    story = Regency(faults, Luck(), 7200)
    assert {device for _, device, _ in story.said} == {"core"}


def test_a_dead_sensor_is_told_of_although_its_router_stumbles_every_other_minute() -> None:
    """The router is never down for long enough to be an alert, and can't hide it for ever."""
    stumbles = [Fault("r-1", at, 40) for at in range(600, 6000, 120)]
    story = Regency([*stumbles, Fault("aq-1a", 900, 9000)], Luck(), 6000)
    assert [device for _, device in story.fired] == ["aq-1a"]


def test_without_any_verdict_children_are_told_after_a_bounded_wait() -> None:
    story = Regency([Fault("aq-1a", 600, 9000)], Luck(delays=(-1.0,)), 2000)
    ((at, device),) = story.fired
    assert device == "aq-1a"
    assert at <= 600 + 180 + PATIENCE // S + 2 * TICK


def test_the_hub_s_own_absence_is_nobody_s_downtime() -> None:
    """Neither while it is away, nor for what broke and was mended meanwhile."""
    for away in (120, 600, 3600):
        luck = Luck(away=[(600, away)])
        assert Regency([], luck, 8000).said == []
        mended = Fault("core", 610, max(away - 60, 30))
        assert Regency([mended], luck, 8000).said == []


def test_a_child_whose_patience_ends_just_after_its_parent_is_back_gets_another_chance() -> None:
    """Its last message was lost with the uplink, its next one is still to come."""
    timing = Timing(sensor_absent=900)
    for repaired in range(1300, 1520, 20):
        luck = Luck({"aq-1a": 0.99, "aq-1b": 0.5})
        story = Regency([Fault("core", 600, repaired - 600)], luck, 4000, timing)
        assert {device for _, device, _ in story.said} == {"core"}


def test_a_poll_that_was_under_way_when_the_parent_came_back_proves_nothing() -> None:
    timing = Timing(router_for=0)
    luck = Luck({"core": 1 / 30, "r-1": 27 / 30, "r-2": 0.2, "r-3": 0.2})
    story = Regency([Fault("core", 600, 28)], luck, 1500, timing)
    assert [(device, state) for _, device, state in story.said] == [
        ("core", "firing"), ("core", "resolved")
    ]  # fmt: skip


def test_who_waits_for_its_chance_waits_for_the_hub_to_listen_again() -> None:
    timing = Timing(sensor_absent=900)
    luck = Luck({"aq-1a": 0.99, "aq-1b": 0.99}, away=[(1530, 900)])
    story = Regency([Fault("core", 600, 900)], luck, 4000, timing)
    assert {device for _, device, _ in story.said} == {"core"}


def test_a_restart_between_question_and_verdict_changes_nothing() -> None:
    faults = [Fault("aq-1a", 300, 900), Fault("r-2", 300, 900)]
    luck = Luck(delays=(8.0, -1.0, 29.0), asks_again=False)
    straight = Regency(faults, luck, 1500)
    luck.restarts = [(number, 1) for number in range(150, 700)]
    assert Regency(faults, luck, 1500).all == straight.all


def test_a_parent_is_asked_as_soon_as_a_child_stumbles_and_not_waited_for_for_ever() -> None:
    watch = Watch(Timing().rules(), THINGS)
    reading = Reading(Series.of("device", "r-1", probe="snmp"), START, {"up": 0})
    watch.observe(1, [reading], START)
    assert list(watch.questions()) == ["core"]
    watch.tick(2, START + PATIENCE - 1)
    assert list(watch.questions()) == ["core"]
    watch.tick(3, START + PATIENCE)
    assert list(watch.questions()) == []


# -- any story

elements = st.sampled_from(sorted(KINDS))
parts = st.floats(0, 0.99, allow_nan=False)


@st.composite
def lucks(draw: st.DrawFn, *, away: bool = True) -> Luck:
    offsets = {name: draw(parts) for name in KINDS}
    delays = draw(st.lists(st.sampled_from([0.01, 0.01, 1.0, 7.5, 29.0, -1.0]), min_size=1))
    restarts = draw(st.lists(st.tuples(st.integers(1, 2500), st.integers(1, 80)), max_size=4))
    gone = draw(st.lists(st.tuples(st.integers(300, 3000), st.integers(61, 900)), max_size=1))
    return Luck(offsets, delays, restarts, gone if away else ())


timings = st.builds(
    Timing,
    router_for=st.sampled_from([0, 30, 90]),
    sensor_absent=st.sampled_from([180, 300, 900]),
    camera_absent=st.sampled_from([120, 180]),
)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["core", *OFFICES]), st.integers(600, 700), st.integers(300, 1500),
       timings, lucks(away=False))  # fmt: skip
def test_one_cut_is_one_message_in_every_order_of_noticing(
    cut: str, start: int, length: int, timing: Timing, luck: Luck
) -> None:
    story = Regency([Fault(cut, start, length)], luck, start + length + 1500, timing)
    assert [(device, state) for _, device, state in story.said] == [
        (cut, "firing"), (cut, "resolved")
    ]  # fmt: skip


@st.composite
def faults(draw: st.DrawFn) -> list[Fault]:
    """Up to four, at most two of one element, far enough apart to be told apart."""
    found: list[Fault] = []
    for _ in range(draw(st.integers(1, 4))):
        one = Fault(draw(elements), draw(st.integers(300, 3600)), draw(st.integers(75, 2400)))
        mine = [other for other in found if other.device == one.device]
        if len(mine) < 2 and all(
            one.start > other.end + 1200 or other.start > one.end + 1200 for other in mine
        ):
            found.append(one)
    return found


@settings(max_examples=50, deadline=None)
@given(faults(), timings, lucks())
def test_who_is_told_of_is_broken_itself_and_who_stays_broken_is_told_of_once(
    broken: list[Fault], timing: Timing, luck: Luck
) -> None:
    until = max(one.end for one in broken) + 2400
    story = Regency(broken, luck, until, timing)
    away = [(start, start + length) for start, length in luck.away]
    for fault in broken:
        times = [at for at, device in story.fired if device == fault.device]
        mine = [at for at in times if fault.start <= at <= fault.end + _late(fault, away)]
        assert len(mine) <= 1, "told twice"
        free = max([fault.start, *_disturbed(fault, broken, away, timing)])
        if free + timing.after(fault.device) <= fault.end:
            assert mine, f"{fault} was never told of"
    for at, device in story.fired:
        assert any(
            f.device == device and f.start <= at <= f.end + _late(f, away) for f in broken
        ), f"{device} was told of at {at} and is not broken"


def _late(fault: Fault, away: Sequence[tuple[int, int]]) -> int:
    """What was mended is known after a poll or a message, or when the hub is back."""
    known = fault.end + 300 + NOTICED
    return max([known, *(end + 300 + NOTICED for start, end in away if start < known)]) - fault.end


def _disturbed(
    fault: Fault, broken: Sequence[Fault], away: Sequence[tuple[int, int]], timing: Timing
) -> Iterator[int]:
    """When what kept people from being told of it ended."""
    above = TOPOLOGY.ancestors(fault.device)
    for other in broken:
        if other.device in above and other.start < fault.end and other.end > fault.start - 300:
            yield other.end
    for start, end in away:
        if start < fault.end and end > fault.start - 300:
            yield end


def test_who_no_longer_depends_on_the_dead_one_is_told_of_after_a_reload() -> None:
    story = Regency([Fault("core", 600, 9000), Fault("r-1", 600, 9000)], Luck(), 1500)
    assert [device for _, device in story.fired] == ["core"]
    alone = [replace(thing, parents=()) if thing.id == "r-1" else thing for thing in THINGS]
    now = START + 1500 * S
    said = story.watch.reload(9000, now, story.rules, alone)
    for second in range(1, 300, 10):
        said += story.watch.tick(9000 + second, now + second * S)
    assert {one.device for one in said if one.notify} == {"r-1"}
