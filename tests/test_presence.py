"""What answered since when: kept once, through crashes, lost ledgers and clocks that run back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from hub import engine as module
from hub import timesheet
from hub.clock import NS
from hub.engine import Engine
from hub.journal import Class, Journal, Kind, Reader, Record
from hub.ledger import Ledger
from hub.outcome import Outcome
from hub.presence import (
    DOWN,
    HOLD,
    HUB,
    SHUT,
    UP,
    Presence,
    Span,
    Work,
    recording,
    still_open,
    watched,
)
from hub.reading import Quality, Reading, Series
from hub.records import pack_map, pack_readings
from rules.act import Act
from rules.thing import Thing
from tests.report_support import folding

T = 1_790_000_000 * NS
PING = Series.of("device", "r1", probe="icmp")
THINGS = [Thing("r1", kind="router"), Thing("r2", kind="router")]


def ended(presence: Presence) -> Sequence[Span]:
    return presence.news()[0]


def see(presence: Presence, series: Series, second: float, quality: int = 0, **fields: int) -> None:
    time_ns = T + round(second * NS)
    presence.observe([Reading(series, time_ns, fields, quality)], time_ns)


def test_a_change_ends_a_span_and_sameness_does_not() -> None:
    presence = Presence()
    for second, up in ((0, 1), (30, 1), (60, 0), (90, 0), (120, 1)):
        see(presence, PING, second, up=up)
    assert ended(presence) == [
        Span(PING.key, T, T + 60 * NS, 1),
        Span(PING.key, T + 60 * NS, T + 120 * NS, 0),
    ]


def test_a_port_that_is_no_uplink_is_nothing_and_one_shut_on_purpose_is_not_down() -> None:
    presence, port = Presence(), Series.of("interface", "r1", ifname="ether1")
    see(presence, port, 0, uplink=0, oper_up=0, admin_up=1)
    see(presence, port, 60, uplink=1, oper_up=0, admin_up=0)
    see(presence, port, 120, uplink=1, oper_up=1, admin_up=1)
    see(presence, port, 130, uplink=1, in_bps=7)
    assert ended(presence) == [Span(port.key, T + 60 * NS, T + 120 * NS, SHUT)]


def test_a_camera_that_is_worked_on_is_not_down() -> None:
    presence, camera = Presence(), Series.of("camera", "cam-1")
    see(presence, camera, 0, state=3)
    see(presence, camera, 30, state=0, up=0)
    see(presence, camera, 60, fps=12)
    see(presence, camera, 90, state=2, up=1)
    assert [span.state for span in ended(presence)] == [SHUT, 0]


CAMERA = Series.of("camera", "cam-1")
RECORDING = recording("cam-1")


def gaps(*told: tuple[float, float]) -> list[tuple[float, float]]:
    """What is kept as gaps of a camera that says, at those seconds, how old its newest picture is;
    (since, until) in seconds."""
    presence = Presence()
    for second, gap_s in told:
        time_ns = T + round(second * NS)
        presence.observe([Reading(CAMERA, time_ns, {"recording_gap_s": gap_s})], time_ns)
    spans = [*ended(presence), *still_open(presence.snapshot())]
    found = [span for span in spans if (span.series, span.state) == (RECORDING, DOWN)]
    return [((span.since_ns - T) / NS, (span.until_ns - T) / NS) for span in found]


def test_a_recording_gap_is_as_long_as_the_camera_says_and_no_longer() -> None:
    assert gaps((0, 2), (60, 300), (120, 1)) == []
    assert gaps((0, 2), (400, 399), (460, 459.4), (520, 3), (580, 3)) == [(1, 460)]
    assert gaps((0, 2), (400, 390), (800, 400), (860, 460)) == [(10, 400), (400, 860)]
    assert gaps((400, 399), (900, 899)) == [(1, 900)], "it still goes on, as far as was said"


def test_a_gap_of_the_time_in_which_nobody_listened_is_known_afterwards() -> None:
    presence = Presence()
    for second in (0, 30, 60):
        presence.tick(T + second * NS)
        see(presence, CAMERA, second, recording_gap_s=2)
    presence.tick(T + 9000 * NS)
    see(presence, CAMERA, 9000, recording_gap_s=8900)
    assert presence.news()[0] == [
        Span(HUB, T, T + 60 * NS, UP),
        Span(RECORDING, T, T + 60 * NS, UP),
    ]
    presence.tick(T + 9030 * NS)
    gap = Span(RECORDING, T + 100 * NS, T + 9000 * NS, DOWN)
    assert gap in still_open(presence.snapshot()), "nothing is known of later"


@pytest.mark.parametrize("quality", [Quality.RETAINED, Quality.LATE])
def test_what_is_no_news_says_nothing(quality: int) -> None:
    presence = Presence()
    see(presence, PING, 0, up=1)
    see(presence, PING, 30, quality, up=0)
    old = Reading(PING, T - 3600 * NS, {"up": 0})
    presence.observe([old], T + 60 * NS)
    see(presence, PING, 60, up=1)
    assert ended(presence) == []


def test_a_clock_that_is_set_back_ends_nothing_before_it_began() -> None:
    presence = Presence()
    for second, up in ((0, 1), (100, 1), (40, 0), (70, 1), (130, 1)):
        see(presence, PING, second, up=up)
    assert all(span.until_ns > span.since_ns for span in ended(presence))
    assert sum(s.until_ns - s.since_ns for s in ended(presence)) <= 100 * NS


def test_a_device_is_watched_while_it_stands_in_the_inventory() -> None:
    presence = Presence()
    presence.configured(THINGS, T)
    presence.configured(THINGS[:1], T + 60 * NS)
    presence.configured(THINGS, T + 90 * NS)
    presence.configured([], T + 100 * NS)
    assert sorted(ended(presence)) == sorted(
        [
            Span(watched("r2"), T, T + 60 * NS, UP),
            Span(watched("r1"), T, T + 100 * NS, UP),
            Span(watched("r2"), T + 90 * NS, T + 100 * NS, UP),
        ]
    )


def test_planned_work_is_kept_with_its_end_and_a_silence_is_none() -> None:
    presence, matcher = Presence(), {"device": "r1"}
    presence.act(7, T, Act("maintenance", "ani", "UPS", "", matcher, T + 3600 * NS))
    presence.act(8, T, Act("silence", "ani", "", "", matcher, T + 3600 * NS))
    work = Work("7", T, T + 3600 * NS, {"device": ["r1"]}, "ani", "UPS")
    assert presence.news()[1] == [work]
    presence.told()
    presence = Presence.restore(presence.snapshot())
    presence.act(9, T + 60 * NS, Act("unsilence", "ani", key="7"))
    assert presence.news()[1] == [work._replace(until_ns=T + 60 * NS)]
    presence.act(10, T + 70 * NS, Act("unsilence", "ani", key="7"))
    assert presence.news()[1] == [work._replace(until_ns=T + 60 * NS)], "it is over already"


class World:
    """A journal with an hour of a router that fails, and a ledger to keep it in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "serve.db")
        drafts = []
        act = {"kind": "maintenance", "who": "ani", "matcher": {"device": "r1"}}
        for minute in range(60):
            now = T + minute * 60 * NS
            up = int(minute % 13 > 2)
            payload = pack_readings("netprobe", [Reading(PING, now, {"up": up})])
            drafts.append((now, Kind.READINGS, Class.POLLED, payload))
            for second in range(0, 60, 10):
                # Nobody listens for two minutes.
                if minute not in (20, 21):
                    drafts.append((now + second * NS, Kind.TICK, Class.ACT, b""))
            if minute in (5, 31):
                said = pack_map({**act, "until_ns": now + 600 * NS})
                drafts.append((now, Kind.ACT, Class.ACT, said))
        journal = Journal(folder / "journal", now_ns=T)
        journal.append(drafts)
        journal.close()

    def engine(self) -> Engine:
        return folding(self.folder / "journal", self.ledger, THINGS)

    def crash(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.folder / "serve.db")

    def records(self, after: int) -> list[Record]:
        reader = Reader(self.folder / "journal", after)
        try:
            return [record for batch in iter(reader.read, []) for record in batch]
        finally:
            reader.close()

    def kept(self) -> tuple[list[Span], list[Work]]:
        db = self.ledger.db
        return sorted(timesheet.spans(db, 0, 2**62)), timesheet.works(db, 0, 2**62)


async def folded(world: World, seed: int | None) -> tuple[list[Span], list[Work]]:
    """What is kept in the end; with a seed, after crashes between any two commits."""
    chance = random.Random(seed)
    engine = world.engine()
    while records := world.records(engine.fold.last_id):
        some = len(records) if seed is None else chance.randint(1, 60)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "SNAPSHOT_S", chance.choice([-1.0, 1e9]))
            patch.setattr(module, "SNAPSHOT_SHARE", 0)
            await engine._take(records[:some])
        if seed is not None and chance.random() < 0.5:
            world.crash()
            engine = world.engine()
    engine._kept_id = 0
    engine._commit(Outcome(), keep=True)
    return world.kept()


async def test_crashes_at_any_point_change_nothing_of_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    plain = World(tmp_path / "plain")
    expected = await folded(plain, None)
    plain.ledger.close()
    spans, works = expected
    assert len(works) == 2
    assert len([span for span in spans if span.series == HUB]) == 2
    assert len([span for span in spans if span.series == PING.key]) > 8
    for seed in range(15):
        (tmp_path / str(seed)).mkdir()
        world = World(tmp_path / str(seed))
        assert await folded(world, seed) == expected, f"seed {seed}"
        world.ledger.close()


async def test_a_ledger_of_an_older_hub_begins_with_what_the_journal_still_has(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    engine = world.engine()
    await engine._take(world.records(0))
    engine._commit(Outcome(), keep=True)
    expected = world.kept()
    world.ledger.db.executescript("DROP TABLE presence; DELETE FROM span; DELETE FROM work;")
    world.crash()
    engine = world.engine()
    assert engine.fold.last_id > 0
    await engine._take(world.records(0))
    engine._kept_id = 0
    engine._commit(Outcome(), keep=True)
    assert world.kept() == expected
    world.ledger.close()


def test_a_reading_speaks_for_five_minutes() -> None:
    presence = Presence()
    see(presence, PING, 0, up=1)
    see(presence, PING, 3600, up=1)
    assert ended(presence) == [Span(PING.key, T, T + HOLD, UP)]
