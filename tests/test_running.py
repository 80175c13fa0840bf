"""The runner keeps every schedule, whatever one collector or one device does. In virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from hub.api import BadItem, Collector, Emit, Hint, NeverWorks, Reading, Series, Target, TryAgain
from hub.health import Health
from hub.host import TargetHost
from hub.manifest import FieldSpec, Manifest, MeasurementSpec, TierSpec
from hub.redelivery import Window
from hub.registry import Plugin
from hub.running import Runner, tiers
from tests.virtual_time import keep_schedules_by_it, monotonic, run

FAST, SLOW = "liveness", "traffic"
PERIODS = {FAST: 30.0, SLOW: 60.0}

Poll = Callable[[str, str], Awaitable[None]]


class Log:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def _say(self, level: str, event: str, values: dict[str, Any]) -> None:
        self.lines.append((level, event, values))

    def debug(self, event: str, **values: Any) -> None:
        self._say("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        self._say("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._say("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._say("error", event, values)

    def said(self, event: str) -> int:
        return sum(event in known for _, known, _ in self.lines)


class Fake(Collector):
    """Does what the test says, and remembers when it was asked."""

    def __init__(self, config: Any, host: Any) -> None:
        super().__init__(config, host)
        self.asked: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.does: Poll = answers
        self.proving = {FAST, SLOW}
        self.says: int | None = None
        """What its readings say of whether it is up; None: nothing."""
        self.needless: set[tuple[str, str]] = set()
        self.streams: list[float] = []
        self.stream: Callable[[int], Awaitable[None]] = for_ever
        self.starts: list[Exception] = []
        self.ended = 0
        self.stopping: Callable[[], Awaitable[None]] | None = None

    async def start(self) -> None:
        if self.starts:
            raise self.starts.pop(0)

    async def stop(self) -> None:
        self.ended += 1
        if self.stopping is not None:
            await self.stopping()

    def needs(self, target: Target, tier: str) -> bool:
        return (target.id, tier) not in self.needless

    def proves(self, target: Target, tier: str) -> bool:
        return tier in self.proving

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        self.asked[target.id, tier].append(monotonic())
        await self.does(target.id, tier)
        if self.says is not None:
            emit(Reading(Series.of("device", target.id), 0, {"up": self.says}))

    async def run(self, emit: Emit) -> None:
        self.streams.append(monotonic())
        await self.stream(len(self.streams))

    def gaps(self, device: str, tier: str) -> set[int]:
        times = self.asked[device, tier]
        return {round(b - a) for a, b in itertools.pairwise(times)}


async def answers(_device: str, _tier: str) -> None:
    """A device that answers at once."""


async def for_ever(_number: int) -> None:
    await asyncio.sleep(1e9)


class Scene:
    def __init__(self, devices: Sequence[str], kind: str = "poll") -> None:
        manifest = Manifest(
            name="fake",
            kind=kind,  # type: ignore[arg-type]
            owner="us",
            summary={},
            tiers={t: TierSpec(period_s=p, timeout_s=10) for t, p in PERIODS.items()},
            measurements={
                "device": MeasurementSpec(tags=["device"], fields={"up": FieldSpec(type="int")})
            },
        )
        self.log, self.health = Log(), Health()
        targets = [Target(device, "router", "10.0.0.1", {}) for device in devices]
        own: Any = None
        host = TargetHost(self.log, Window(), self.health, "fake", lambda: 0, targets, own, own)
        plugin = Plugin("fake", Fake, manifest, Path())
        self.collector = Fake(None, host)
        pipeline: Any = type("P", (), {"emit": staticmethod(lambda *items, **more: None)})
        self.runner = Runner(plugin, self.collector, host, pipeline)

    async def for_seconds(self, seconds: float) -> None:
        task = asyncio.create_task(self.runner.run())
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def counts(self) -> Counter[str]:
        return Counter({name: int(number) for name, _, number, _ in self.health.lines()})


@pytest.fixture(autouse=True)
def virtual(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_schedules_by_it(monkeypatch)


def test_every_device_is_polled_in_each_tier_s_period_and_not_all_at_once() -> None:
    devices = [f"r{n}" for n in range(100)]
    scene = Scene(devices)
    run(scene.for_seconds(601))
    for device in devices:
        for tier, period in PERIODS.items():
            assert len(scene.collector.asked[device, tier]) in (601 // period, 601 // period + 1)
            assert scene.collector.gaps(device, tier) == {int(period)}
    firsts = sorted(scene.collector.asked[device, FAST][0] for device in devices)
    assert firsts[-1] - firsts[0] > 1.5
    assert max(Counter(round(first, 1) for first in firsts).values()) < 20
    assert scene.counts()["collector_overruns"] == 0
    assert scene.collector.ended == 1


def test_a_tier_that_a_device_does_not_need_is_not_polled_and_no_failure_of_it_stays() -> None:
    scene = Scene(["r1", "r2"])
    scene.collector.needless = {("r1", SLOW)}

    async def does(device: str, tier: str) -> None:
        if (device, tier) == ("r2", SLOW):
            raise TryAgain("no")

    scene.collector.does = does
    run(scene.for_seconds(299))
    assert scene.collector.asked["r1", SLOW] == []
    assert scene.collector.gaps("r1", FAST) == {30}
    assert scene.runner.down() == ["r2"]
    scene.collector.needless.add(("r2", SLOW))
    scene.runner._poller._launch(None, "r2", SLOW, False)  # type: ignore[arg-type]
    assert scene.runner.down() == []


def test_one_slow_target_of_many_delays_nobody_and_is_named() -> None:
    devices = [f"r{n}" for n in range(200)]
    scene = Scene(devices)

    async def does(device: str, tier: str) -> None:
        if device == "r7":
            await asyncio.sleep(1e6)

    scene.collector.does = does
    run(scene.for_seconds(300))
    for device in devices:
        if device != "r7":
            assert scene.collector.gaps(device, FAST) == {30}
            assert scene.collector.gaps(device, SLOW) == {60}
    assert scene.runner.down() == ["r7"]
    assert scene.log.lines == [
        (
            "warning",
            "does not answer",
            {
                "device": "r7",
                "tier": scene.log.lines[0][2]["tier"],
                "why": "no answer within 10 s",
                "exc_info": False,
            },
        )
    ]


def test_a_dead_device_is_only_asked_the_cheapest_question_until_it_answers() -> None:
    scene = Scene(["r1"])
    alive = False

    async def does(_device: str, _tier: str) -> None:
        if not alive:
            raise TryAgain("no route to host")

    async def story() -> None:
        nonlocal alive
        scene.collector.does = does
        task = asyncio.create_task(scene.runner.run())
        await asyncio.sleep(600)
        assert scene.runner.down() == ["r1"]
        assert len(scene.collector.asked["r1", FAST]) in (20, 21, 22)
        assert len(scene.collector.asked["r1", SLOW]) <= 1
        alive = True
        back = len(scene.collector.asked["r1", SLOW])
        answered = len(scene.collector.asked["r1", FAST])
        while len(scene.collector.asked["r1", FAST]) == answered:
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        assert len(scene.collector.asked["r1", SLOW]) == back + 1, "it need not wait for its turn"
        assert scene.runner.down() == []
        task.cancel()
        await asyncio.wait({task})

    run(story())
    assert scene.log.said("does not answer") == 1
    assert scene.log.said("answers again") == 1
    assert scene.counts()["collector_failures"] >= 20


def test_a_device_that_fails_in_one_tier_alone_goes_on_in_the_others() -> None:
    scene = Scene(["r1"])

    async def does(_device: str, tier: str) -> None:
        if tier == SLOW:
            raise OSError("Connection reset by peer")

    scene.collector.does = does
    run(scene.for_seconds(1200))
    assert len(scene.collector.asked["r1", SLOW]) in (20, 21), "as often as ever"
    assert len(scene.collector.asked["r1", FAST]) <= 42
    assert scene.log.said("does not answer") == 1, "once, not every minute"
    assert scene.log.lines[0][2]["tier"] == SLOW


def test_a_configuration_that_never_works_is_said_once_and_not_tried_again() -> None:
    scene = Scene(["r1", "r2"])

    async def does(device: str, _tier: str) -> None:
        if device == "r1":
            raise NeverWorks("SNMPv1 is not spoken here")

    scene.collector.does = does
    run(scene.for_seconds(600))
    assert len(scene.collector.asked["r1", FAST]) + len(scene.collector.asked["r1", SLOW]) <= 2
    assert len(scene.collector.asked["r2", FAST]) >= 20
    assert scene.log.said("not polled until its configuration changes") <= 2
    assert "SNMPv1" in str(scene.log.lines)


def test_a_crash_is_told_once_with_its_traceback_and_costs_only_its_device() -> None:
    scene = Scene(["r1", "r2"])

    async def does(device: str, _tier: str) -> None:
        if device == "r1":
            raise ZeroDivisionError

    scene.collector.does = does
    run(scene.for_seconds(600))
    assert scene.collector.gaps("r2", FAST) == {30}
    assert scene.counts()["collector_crashes"] >= 20
    assert [(event, values["exc_info"]) for _, event, values in scene.log.lines] == [
        ("does not answer", True)
    ]
    assert scene.runner.down() == ["r1"]


def test_a_bad_item_is_refused_and_the_device_stays_up() -> None:
    scene = Scene(["r1"])

    async def does(_device: str, tier: str) -> None:
        if tier == SLOW:
            raise BadItem("ifSpeed is text")
        Series.of("device", "\n")

    scene.collector.does = does
    run(scene.for_seconds(120))
    assert scene.runner.down() == []
    assert scene.health.by("refused", "reason")["bad_item"] >= 5


def test_a_cancellation_that_comes_out_of_a_library_ends_nothing() -> None:
    scene = Scene(["r1"], "poll+stream")

    async def does(_device: str, _tier: str) -> None:
        raise asyncio.CancelledError

    async def stream(_number: int) -> None:
        raise asyncio.CancelledError

    scene.collector.does, scene.collector.stream = does, stream
    run(scene.for_seconds(300))
    assert len(scene.collector.asked["r1", FAST]) >= 10
    assert len(scene.collector.streams) >= 5


def test_a_hint_polls_at_once_and_leaves_the_schedule_alone() -> None:
    scene = Scene(["r1", "r2"])

    async def story() -> None:
        task = asyncio.create_task(scene.runner.run())
        await asyncio.sleep(20)
        scene.runner.hint(Hint("r1", "linkDown", SLOW))
        scene.runner.hint(Hint("nobody", "linkDown"))
        await asyncio.sleep(0.01)
        assert 20.0 <= scene.collector.asked["r1", SLOW][-1] <= 20.01
        await asyncio.sleep(300)
        task.cancel()
        await asyncio.wait({task})

    run(story())
    times = scene.collector.asked["r1", SLOW]
    assert len(times) == len(scene.collector.asked["r2", SLOW]) + 1
    assert [round(t - times[0]) for t in times if not 20 <= t <= 20.01][:4] == [0, 60, 120, 180]
    assert scene.collector.gaps("r1", FAST) == {30}


def test_a_flood_of_hints_makes_one_poll_a_second_and_no_queue() -> None:
    scene = Scene(["r1"])

    async def story() -> None:
        task = asyncio.create_task(scene.runner.run())
        await asyncio.sleep(10)
        before = len(scene.collector.asked["r1", SLOW])
        for _ in range(1000):
            for _ in range(100):
                scene.runner.hint(Hint("r1", "trap"))
            await asyncio.sleep(0.01)
        assert len(scene.collector.asked["r1", SLOW]) - before in (10, 11)
        assert len(scene.runner._poller._heap) <= 4
        await asyncio.sleep(5)
        assert len(scene.collector.asked["r1", SLOW]) - before in (11, 12), "no backlog of them"
        task.cancel()
        await asyncio.wait({task})

    run(story())


def test_a_hint_during_a_poll_asks_again_afterwards() -> None:
    scene = Scene(["r1"])

    async def does(_device: str, tier: str) -> None:
        await asyncio.sleep(4 if tier == SLOW else 0)

    async def story() -> None:
        scene.collector.does = does
        task = asyncio.create_task(scene.runner.run())
        while not scene.collector.asked["r1", SLOW]:
            await asyncio.sleep(0.1)
        began = scene.collector.asked["r1", SLOW][0]
        for _ in range(5):
            scene.runner.hint(Hint("r1", "linkDown", SLOW))
        await asyncio.sleep(20)
        times = scene.collector.asked["r1", SLOW]
        assert [round(t - began) for t in times] == [0, 4], "what was read may be older"
        assert scene.counts()["collector_overruns"] == 0
        task.cancel()
        await asyncio.wait({task})

    run(story())


def test_a_poll_longer_than_its_period_is_counted_and_never_runs_twice_at_once() -> None:
    scene = Scene(["r1"])
    at_once = most = 0

    async def does(_device: str, _tier: str) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(50)
        at_once -= 1

    scene.collector.does = does
    scene.runner._poller._tiers = {FAST: TierSpec(period_s=30, timeout_s=60)}
    run(scene.for_seconds(605))
    assert most == 1
    assert scene.counts()["collector_overruns"] >= 9
    assert len(scene.collector.asked["r1", FAST]) in (10, 11)


def test_a_stream_that_breaks_is_started_again_with_growing_pauses() -> None:
    scene = Scene([], "stream")

    async def stream(number: int) -> None:
        if number <= 4:
            raise TryAgain("the broker went away")
        if number == 5:
            await asyncio.sleep(100)
            raise RuntimeError("a bug")
        await asyncio.sleep(1e9)

    scene.collector.stream = stream
    run(scene.for_seconds(1000))
    began = scene.collector.streams
    assert [round(b - a) for a, b in itertools.pairwise(began)] == [1, 2, 4, 8, 101]
    assert scene.log.said("stream broke") == 4
    assert scene.log.said("stream crashed") == 1


def test_a_stream_that_never_works_is_left_out_and_its_polls_go_on() -> None:
    scene = Scene(["r1"], "poll+stream")

    async def stream(_number: int) -> None:
        raise NeverWorks("the broker refuses this password")

    scene.collector.stream = stream
    run(scene.for_seconds(300))
    assert len(scene.collector.streams) == 1
    assert scene.collector.gaps("r1", FAST) == {30}


def test_a_start_is_tried_until_it_works_and_never_takes_the_others_down() -> None:
    scene = Scene(["r1"])
    scene.collector.starts = [TryAgain("port taken"), RuntimeError("a bug"), TryAgain("again")]
    run(scene.for_seconds(60))
    assert scene.collector.asked["r1", FAST][0] >= 7
    assert scene.log.said("can't start yet") == 2
    assert scene.log.said("crashed in its start") == 1
    never = Scene(["r1"])
    never.collector.starts = [NeverWorks("no such interface")]
    run(asyncio.wait_for(never.runner.run(), 5))
    assert not never.collector.asked
    assert never.log.said("left out") == 1


@pytest.mark.parametrize("how", ["hangs", "raises"])
def test_a_collector_that_does_not_stop_holds_nobody_up(how: str) -> None:
    scene = Scene(["r1"])

    async def stopping() -> None:
        if how == "raises":
            raise RuntimeError("a bug")
        await asyncio.sleep(1e9)

    async def story() -> None:
        scene.collector.stopping = stopping
        began = monotonic()
        await scene.for_seconds(10)
        assert monotonic() - began < 16

    run(story())
    assert scene.log.said("did not stop cleanly") == 1


def test_settings_change_tiers_and_a_period_of_nothing_is_refused() -> None:
    scene = Scene([])

    class Change(BaseModel):
        period_s: float | None = None
        timeout_s: float | None = None

    def config(change: Any) -> Any:
        return type("C", (), {"tiers": {FAST: change}})

    plugin = scene.runner._plugin
    assert tiers(plugin, config(Change(period_s=5)))[FAST] == TierSpec(period_s=5, timeout_s=10)
    assert tiers(plugin, config({"timeout_s": 2}))[FAST] == TierSpec(period_s=30, timeout_s=2)
    assert tiers(plugin, None)[SLOW].period_s == 60
    with pytest.raises(ValueError, match="period_s"):
        tiers(plugin, config({"period_s": 0}))


def test_refusals_are_all_counted_and_thinly_logged() -> None:
    scene = Scene([])
    host = scene.collector.host
    for _ in range(2500):
        host.refuse("wrong_type", "pm25 = 'x'", "aq1")
    host.refuse("time", "1970", "aq1")
    assert scene.health.by("refused", "reason") == {"wrong_type": 2500, "time": 1}
    assert scene.log.said("refused") == 6


# -- somebody must know now whether a device lives


def verdicts(scene: Scene, *asked: tuple[float, str]) -> list[tuple[float, bool | None]]:
    """Ask at these seconds for these devices: when each verdict came, and what it was."""

    async def ask(at: float, device: str) -> tuple[float, bool | None]:
        await asyncio.sleep(at)
        up = await scene.runner.probe(device)
        return monotonic(), up

    async def story() -> list[tuple[float, bool | None]]:
        task = asyncio.create_task(scene.runner.run())
        began = monotonic()
        found = await asyncio.gather(*(ask(at, device) for at, device in asked))
        task.cancel()
        await asyncio.wait({task})
        return [(round(when - began, 1), up) for when, up in found]

    return run(story())


def test_a_device_is_polled_now_for_who_must_know_whether_it_lives() -> None:
    scene = Scene(["r1", "r2"])
    assert verdicts(scene, (40, "r1"), (40, "r1"), (41, "nobody")) == [
        (40, True),
        (40, True),
        (41, None),
    ]
    assert len(scene.collector.asked["r1", FAST]) == 3, "twice by schedule, once for both"


async def fails(_device: str, _tier: str) -> None:
    raise TryAgain("no answer")


def test_what_a_poll_says_of_its_device_is_the_verdict() -> None:
    for says, does, expected in [
        (None, fails, False),
        (0, answers, False),  # a ping that is lost is a reading, not a failure
        (1, answers, True),
        (None, for_ever_, False),
        (None, broken, None),
        (None, refuses, None),
    ]:
        scene = Scene(["r1"])
        scene.collector.says, scene.collector.does = says, does
        assert [up for _, up in verdicts(scene, (5, "r1"))] == [expected], (says, does)


async def for_ever_(_device: str, _tier: str) -> None:
    await asyncio.sleep(1e9)


async def broken(_device: str, _tier: str) -> None:
    raise ZeroDivisionError


async def refuses(_device: str, _tier: str) -> None:
    raise NeverWorks("no address")


def test_only_a_tier_that_asks_the_device_gives_a_verdict() -> None:
    scene = Scene(["r1"])
    scene.collector.proving = {SLOW}
    assert [up for _, up in verdicts(scene, (5, "r1"))] == [True]
    assert len(scene.collector.asked["r1", SLOW]) == 2, "its turn, and the question"
    scene.collector.proving = set()
    assert [up for _, up in verdicts(scene, (5, "r1"))] == [None]


def test_where_the_cheapest_question_fails_no_dearer_one_is_waited_for() -> None:
    scene = Scene(["r1"])
    scene.collector.proving = {SLOW}

    async def does(_device: str, tier: str) -> None:
        if tier == FAST:
            raise TryAgain("no answer")

    scene.collector.does = does
    ((when, up),) = verdicts(scene, (45, "r1"))
    assert (when, up) == (45, None)


def test_a_poll_that_is_under_way_is_no_verdict_on_what_happened_since() -> None:
    scene = Scene(["r1"])
    begun: list[float] = []

    async def does(_device: str, tier: str) -> None:
        if tier == FAST:
            begun.append(monotonic())
            await asyncio.sleep(4)
            if len(begun) > 1:
                raise TryAgain("dead by now")

    scene.collector.does = does
    ((when, up),) = verdicts(scene, (2, "r1"))
    assert up is False
    assert len(begun) == 2
    assert when >= 8 - 0.1
