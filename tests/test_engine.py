"""The fold: whatever crashes, each transition happens once and each notification is owed once."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from hub import engine as module
from hub.engine import STALE_NS, Engine
from hub.health import Health
from hub.journal import Class, Journal, Kind, Reader, Record
from hub.ledger import Ledger
from hub.outcome import Outcome, Snapshot
from hub.reading import Reading, Series
from hub.records import pack_map, pack_readings, pack_verdict
from rules.rule import Rule
from rules.track import alert_key
from rules.watch import Transition
from tests.rules_support import MINUTE, PM, SILENT, START, THINGS, S, rules

DISK = "database or disk is full"


class World:
    """A journal, a ledger, and what became of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal", now_ns=START)
        self.health = Health()
        self.owed: list[str] = []
        self.shown: list[float] = []
        self.events: list[dict[str, Any]] = []
        self.ledger = self.open()

    def open(self) -> Ledger:
        ledger = Ledger(self.folder / "serve.db")
        ledger.db.execute("CREATE TABLE IF NOT EXISTS told (id TEXT) STRICT")
        return ledger

    def owe(self, db: sqlite3.Connection, transitions: Sequence[Transition]) -> None:
        """As the outbox does: in the engine's own transaction."""
        db.executemany("INSERT INTO told VALUES (?)", [(t.id,) for t in transitions if t.notify])

    def wants(self, db: sqlite3.Connection, now_ns: int) -> bool:
        return False

    def tick(self, db: sqlite3.Connection, now_ns: int) -> None:
        raise AssertionError("nothing is wanted")

    def engine(self, given: Sequence[Rule] | None = None, now_ns: int = START) -> Engine:
        return Engine(
            self.folder / "journal",
            self.ledger,
            rules(PM, SILENT) if given is None else given,
            THINGS,
            self.health,
            telling=self,
            show=lambda readings, _: self.shown.extend(
                float(reading.fields.get("pm25", 0)) for reading in readings
            ),
            event=self.events.append,
            changed=lambda: None,
            now_ns=now_ns,
        )

    def crash(self) -> None:
        """The process is gone; what was committed stays."""
        self.ledger.close()
        self.ledger = self.open()

    def outcome(self) -> dict[str, Any]:
        db = self.ledger.db
        rows = db.execute("SELECT id, rule, after FROM transition ORDER BY rowid").fetchall()
        return {
            "transitions": [i for i, _, _ in rows],
            "states": [(rule, after) for _, rule, after in rows],
            "told": [i for (i,) in db.execute("SELECT id FROM told ORDER BY rowid")],
            "points": [p.reading for p in self.ledger.points(10_000)],
            "open": sorted(self.ledger.open_alerts()),
            "acts": [(one.id, one.act.kind, one.act.who) for one in self.ledger.acts(100)],
        }

    def records(self, after: int = 0) -> list[Record]:
        reader = Reader(self.folder / "journal", after)
        try:
            return [record for batch in iter(reader.read, []) for record in batch]
        finally:
            reader.close()

    def write(self, minutes: int, values: Any = None) -> None:
        """A reading and some ticks each minute; high from minute 3 to 8, an act in minute 6."""
        for minute in range(minutes):
            now = START + minute * MINUTE
            value = 90.0 if 3 <= minute < 8 else 10.0
            if values is not None:
                value = values[minute]
            self.read(now + S, value)
            for tick in range(0, 60, 20):
                self.journal.append([(now + tick * S + 2 * S, Kind.TICK, Class.ACT, b"")])
            if minute == 6 and values is None:
                act = {"kind": "acknowledge", "who": "ani", "key": alert_key("pm", "aq1")}
                self.journal.append([(now + 50 * S, Kind.ACT, Class.ACT, pack_map(act))])

    def read(self, now: int, value: float) -> None:
        reading = Reading(Series.of("environment", "aq1"), now - S, {"pm25": value})
        payload = pack_readings("mqtt", [reading])
        self.journal.append([(now, Kind.READINGS, Class.ACKNOWLEDGED, payload)])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ledger.close()
    made.journal.close()


async def fold(engine: Engine, records: Sequence[Record]) -> None:
    await engine._take(records)


async def run_until(engine: Engine, record_id: int) -> None:
    """The real thing, until it has folded that far; then ended as a signal ends it."""
    task = asyncio.create_task(engine.run())
    try:
        async with asyncio.timeout(10):
            while engine.fold.last_id < record_id and not task.done():
                await asyncio.sleep(0.005)
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What comes out when nothing goes wrong."""
    world = World(tmp_path_factory.mktemp("plain"))
    world.write(12)
    asyncio.run(fold(world.engine(), world.records()))
    outcome = world.outcome()
    world.ledger.close()
    world.journal.close()
    return outcome


def test_the_story_raises_tells_and_resolves(plain: dict[str, Any]) -> None:
    story = ["pending", "firing", "acknowledged", "resolved"]
    assert plain["states"] == [("pm", state) for state in story]
    assert len(plain["told"]) == 2
    assert plain["open"] == []


@fuzz(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_folding_again_after_a_crash_at_any_point_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, plain: dict[str, Any], seed: int
) -> None:
    chance = random.Random(seed)
    world = World(tmp_path_factory.mktemp("crash"))
    world.write(12)
    last = world.journal.last_id

    async def story() -> None:
        engine = world.engine()
        while engine.fold.last_id < last:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "SNAPSHOT_S", chance.choice([-1.0, 1e9]))
                records = world.records(max(0, engine.fold.last_id - chance.choice([0, 0, 5])))
                await fold(engine, records[: chance.randint(1, 15)])
            if chance.random() < 0.4:
                world.crash()
                engine = world.engine()

    asyncio.run(story())
    outcome = world.outcome()
    world.ledger.close()
    world.journal.close()
    for what in ("transitions", "states", "told", "open"):
        assert outcome[what] == plain[what], what
    key = lambda r: (r.series.key, r.time_ns)  # noqa: E731
    changes = [r for r in plain["points"] if r.fields["changed"]]
    assert sorted([r for r in outcome["points"] if r.fields["changed"]], key=key) == sorted(
        changes, key=key
    )


@pytest.mark.parametrize("crash_after", range(5))
async def test_a_verdict_tells_of_the_alert_that_waited_for_it_whatever_crashes_in_between(
    world: World, monkeypatch: pytest.MonkeyPatch, crash_after: int
) -> None:
    monkeypatch.setattr(module, "SNAPSHOT_S", -1.0)
    given, journal = rules(SILENT), world.journal
    world.read(START, 10.0)
    for second in range(0, 310, 50):
        journal.append([(START + second * S, Kind.TICK, Class.ACT, b"")])
    fired = journal.last_id
    for device, up in (("r-dlh", False), ("r-core", None)):
        payload = pack_verdict(device, up)
        journal.append([(START + 301 * S, Kind.VERDICT, Class.ACT, payload)])
    engine, records = world.engine(given), world.records()
    cut = fired - 2 + crash_after
    await fold(engine, records[:cut])
    asked = engine.fold.watch.questions().keys()
    assert asked == {fired: {"r-dlh", "r-core"}, fired + 1: {"r-core"}}.get(cut, set())
    world.crash()
    await fold(world.engine(given), records[cut:])
    assert world.outcome()["told"] == [f"{journal.last_id}-0"], "by the last verdict, not before"
    assert world.outcome()["states"] == [("silent", "firing"), ("silent", "firing")]
    assert [one["name"] for one in world.events] == ["no_answer"]


async def test_the_engine_itself_goes_on_where_it_was_stopped(
    world: World, plain: dict[str, Any]
) -> None:
    world.write(5)
    await run_until(world.engine(), world.journal.last_id)
    kept, _ = world.ledger.snapshot()
    assert kept == world.journal.last_id, "an orderly end keeps the state"
    world.crash()
    engine = world.engine()
    assert engine.fold.last_id == kept
    assert [a.rule for a in engine.fold.watch.alerts()] == ["pm"]
    await run_until(engine, kept)
    assert (
        world.outcome()["transitions"]
        == plain["transitions"][: len(engine.fold.watch.alerts()) + 1]
    )


async def test_the_board_is_filled_from_before_the_cursor_and_nothing_is_folded_twice(
    world: World,
) -> None:
    world.write(8)
    await run_until(world.engine(), world.journal.last_id)
    before = world.outcome()
    world.shown.clear()
    engine = world.engine()
    task = asyncio.create_task(engine.run())
    async with asyncio.timeout(5):
        while len(world.shown) < 8:
            await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait({task})
    assert world.outcome() == before


async def test_a_record_that_can_not_be_read_is_skipped_and_counted(
    world: World, plain: dict[str, Any]
) -> None:
    bad = [
        (Kind.READINGS, b"\xc1"),
        (Kind.READINGS, pack_map({"x": 1})),
        (Kind.EVENT, b"\x90"),
        (Kind.ACT, pack_map({"kind": "acknowledge", "nonsense": True})),
        (Kind.ACT, b"\x01"),
        (99, b"from the future"),
    ]
    for kind, payload in bad:
        world.journal.append([(START, int(kind), Class.ACT, payload)])
    world.write(12)
    await run_until(world.engine(), world.journal.last_id)
    assert world.outcome()["states"] == plain["states"]
    assert world.health.total("unfolded") == 5, "an unknown kind is a newer hub's, not damage"


async def test_a_fault_in_a_rule_costs_its_record_and_is_no_crash_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = world.engine()
    observe = engine.fold.watch.observe

    def trips(record_id: int, readings: list[Reading], now_ns: int) -> list[Transition]:
        if any(reading.fields["pm25"] == 13.0 for reading in readings):
            raise ZeroDivisionError
        return observe(record_id, readings, now_ns)

    monkeypatch.setattr(engine.fold.watch, "observe", trips)
    world.write(5, [10.0, 13.0, 90.0, 90.0, 90.0])
    await run_until(engine, world.journal.last_id)
    assert world.health.total("unfolded") == 1
    assert ("pm", "firing") in world.outcome()["states"]


class Stubborn:
    """A connection on which COMMIT fails for a while, as on a full disk."""

    def __init__(self, db: sqlite3.Connection, failures: int, error: sqlite3.Error) -> None:
        self._db, self._failures, self._error = db, failures, error
        self.tried = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def execute(self, sql: str, *more: Any) -> Any:
        if sql == "COMMIT" and self._failures:
            self._failures -= 1
            self.tried += 1
            raise self._error
        return self._db.execute(sql, *more)


async def test_on_a_full_disk_it_waits_says_why_and_loses_nothing(
    world: World, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.02)
    stubborn = Stubborn(world.ledger.db, 5, sqlite3.OperationalError(DISK))
    world.ledger.db = stubborn  # type: ignore[assignment]
    world.write(12)
    engine = world.engine()
    task = asyncio.create_task(engine.run())
    async with asyncio.timeout(5):
        while not engine.trouble:
            await asyncio.sleep(0.002)
        assert engine.trouble == f"alerts can't be kept: {DISK}"
        while engine.trouble:
            await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.wait({task})
    assert stubborn.tried == 5
    assert world.outcome()["told"] == plain["told"]
    assert world.outcome()["transitions"] == plain["transitions"]


async def test_ended_on_a_full_disk_it_folds_again_and_loses_nothing(
    world: World, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state must not be kept ahead of the transitions that led to it."""
    monkeypatch.setattr(module, "RETRY_S", 60)
    good = world.ledger.db
    world.ledger.db = Stubborn(good, 1, sqlite3.OperationalError(DISK))  # type: ignore[assignment]
    world.write(12)
    engine = world.engine()
    task = asyncio.create_task(engine.run())
    async with asyncio.timeout(5):
        while not engine.trouble:
            await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.wait({task})
    world.ledger.db = good
    assert world.outcome()["transitions"] == []
    world.crash()
    await run_until(world.engine(), world.journal.last_id)
    assert world.outcome()["told"] == plain["told"]


async def test_a_ledger_that_breaks_while_running_ends_the_process(world: World) -> None:
    """Its supervisor starts it again, and then the file is looked at and set aside."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    world.ledger.db = Stubborn(world.ledger.db, 9, error)  # type: ignore[assignment]
    world.write(12)
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        await run_until(world.engine(), world.journal.last_id)


@pytest.mark.parametrize("spoil", ["version", "bytes", "shape"])
async def test_a_state_that_can_not_be_read_is_folded_anew_and_tells_no_old_stories(
    world: World, plain: dict[str, Any], spoil: str
) -> None:
    world.write(12)
    await run_until(world.engine(), world.journal.last_id)
    last, state = world.ledger.snapshot()
    if spoil == "bytes":
        world.ledger.db.execute("UPDATE snapshot SET state = x'c1ff'")
    else:
        broken = {**state, "version": 99} if spoil == "version" else {"version": state["version"]}
        world.ledger.commit(Outcome(), lambda *_: None, Snapshot(last, broken))
    # As if the alerts' ids came out differently this time.
    world.ledger.db.execute("UPDATE transition SET id = 'old-' || id")
    engine = world.engine(now_ns=START + 60 * MINUTE)
    assert engine.fold.last_id == 0
    await run_until(engine, last)
    outcome = world.outcome()
    assert outcome["told"] == plain["told"], "nobody is told again what is long over"
    assert [i for i in outcome["transitions"] if not i.startswith("old-")] == plain["transitions"]


async def test_a_first_start_tells_what_just_happened(world: World, plain: dict[str, Any]) -> None:
    world.write(12)
    await run_until(world.engine(now_ns=START + STALE_NS), world.journal.last_id)
    assert world.outcome()["told"] == plain["told"]


async def test_changed_rules_go_on_and_close_what_no_longer_has_a_rule(world: World) -> None:
    world.write(6)
    await run_until(world.engine(), world.journal.last_id)
    assert world.outcome()["open"]
    await run_until(world.engine(rules(SILENT)), world.journal.last_id)
    world.journal.append([(START + 7 * MINUTE, Kind.TICK, Class.ACT, b"")])
    engine = world.engine(rules(SILENT))
    await run_until(engine, world.journal.last_id)
    assert world.outcome()["states"][-1] == ("pm", "resolved")
    assert world.outcome()["open"] == []
    assert engine.fold.watch.alerts() == [] or all(
        a.state == "resolved" for a in engine.fold.watch.alerts()
    )


async def test_a_clock_that_is_set_back_stops_nothing(world: World) -> None:
    world.write(5)
    back = START - 100 * MINUTE
    for minute in range(4):
        world.read(back + minute * MINUTE, 10.0)
        world.journal.append([(back + minute * MINUTE + S, Kind.TICK, Class.ACT, b"")])
    await run_until(world.engine(), world.journal.last_id)
    assert world.outcome()["states"][-1] == ("pm", "resolved")
    assert world.outcome()["open"] == [], "the order is the journal's, not the clock's"


async def test_at_one_time_the_last_state_is_the_one_that_is_stored(world: World) -> None:
    """A rule without `for` goes to firing in one step or two: the point must say firing."""
    at_once = PM.replace("    for: 1m\n", "")
    world.write(4)
    await run_until(world.engine(rules(at_once)), world.journal.last_id)
    changes = [p.reading for p in world.ledger.points(100) if p.reading.fields["changed"]]
    assert [r.fields["state"] for r in changes][-1] == "firing"
    assert [r.fields["active"] for r in changes][-1] == 1


async def test_an_open_alert_is_said_again_every_minute(world: World) -> None:
    world.write(7, [90.0] * 7)
    await run_until(world.engine(), world.journal.last_id)
    again = [p.reading for p in world.ledger.points(100) if not p.reading.fields["changed"]]
    assert len(again) >= 4
    assert all(r.time_ns % MINUTE == 0 for r in again)
    assert len({r.time_ns for r in again}) == len(again)


def air_points(world: World) -> list[tuple[int, dict[str, Any]]]:
    return [
        (point.reading.time_ns, dict(point.reading.fields))
        for point in world.ledger.points(10_000)
        if point.reading.series.key == "air_index,device=aq1"
    ]


HIGH_INDEX = """
  - name: air_unhealthy
    title: {id: "ISPU {value} di {site}", en: "ISPU {value} at {site}"}
    when: {measurement: air_index, field: ispu, above: 100}
    notify: [dlh]
"""


@fuzz(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_air_index_is_recorded_once_an_hour_whatever_crashes(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    world = World(tmp_path_factory.mktemp("air"))
    hour = 60 * MINUTE
    for number in range(26):
        world.read(START + number * hour + S, 80.0)
        world.journal.append([(START + (number + 1) * hour + S, Kind.TICK, Class.ACT, b"")])
    last = world.journal.last_id

    async def story() -> None:
        engine = world.engine(rules(HIGH_INDEX))
        while engine.fold.last_id < last:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "SNAPSHOT_S", chance.choice([-1.0, 1e9]))
                records = world.records(engine.fold.last_id)
                await fold(engine, records[: chance.randint(1, 15)])
            if chance.random() < 0.4:
                world.crash()
                engine = world.engine(rules(HIGH_INDEX))

    asyncio.run(story())
    points = air_points(world)
    outcome = world.outcome()
    world.ledger.close()
    world.journal.close()
    assert [(at - START) // hour for at, _ in points] == list(range(2, 27))
    assert [fields.get("ispu") for _, fields in points] == [None] * 16 + [126] * 9
    assert outcome["states"] == [("air_unhealthy", "firing")], "rules meet it like any reading"
    assert len(outcome["told"]) == 1
