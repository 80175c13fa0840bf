"""A store that was away for long: what was dropped meanwhile is counted once, the rest arrives."""

from __future__ import annotations

from pathlib import Path

from hub.journal import Class, Journal, Kind
from hub.journal.files import segments
from hub.reading import Reading, Series
from hub.records import pack_readings
from tests.test_forward import T0, World, running, until

QUOTA = 6000
SERIES = {klass: Series.of("environment", "aq", sensor=klass.name) for klass in Class}


def fill(world: World) -> None:
    """Every third reading is polled; the journal keeps house as it goes."""
    world.journal.close()
    world.journal = Journal(
        world.folder / "journal",
        now_ns=T0,
        segment_bytes=4096,
        quotas={int(Class.POLLED): QUOTA},
        cursors=("forward",),
    )
    for number in range(1, 301):
        klass = Class.ACKNOWLEDGED if number % 3 else Class.POLLED
        reading = Reading(SERIES[klass], T0 + number, {"pm25": float(number)})
        payload = pack_readings("x", [reading])
        world.journal.append([(T0 + number, int(Kind.READINGS), int(klass), payload)])


async def test_dropped_and_damaged_records_are_told_apart_and_the_rest_arrives(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    fill(world)
    kept = world.journal.keep_house()
    assert kept.records()
    number, path = segments(tmp_path / "journal")[-2]
    data = bytearray(path.read_bytes())
    data[64 + 40] ^= 1
    path.write_bytes(data)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: forwarder.stored_id == 300)
    values = set(world.store.values())
    polled = set(range(3, 301, 3))
    missing = set(range(1, 301)) - {int(value) for value in values}
    assert number in missing
    assert missing - {number} <= polled
    assert len(missing) == kept.records() + 1
    assert max(missing - {number}) < min(polled - missing), "the oldest"
    assert world.health.by("dropped", "reason") == {"journal_damage": 1}, (
        "what was dropped for room, the writer of the journal counts"
    )
    world.close()
