"""Readings are held against the manifest, and what the journal takes is exactly what passed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from hub import pipeline
from hub.api import Content, Event, Hint, Message, Proposal, Redelivery, TryAgain
from hub.clock import NS
from hub.committer import Committer
from hub.health import Health
from hub.journal import Class, Journal, Kind, Reader, Record
from hub.manifest import FieldSpec, Manifest, MeasurementSpec
from hub.pipeline import AHEAD_NS, YEAR_2000, Checker, Pipeline
from hub.reading import BadSeries, Quality, Reading, Series
from hub.records import (
    pack_readings,
    readings_in,
    redeliveries_in,
    unpack_event,
    unpack_proposal,
)
from hub.redelivery import Window

NOW = 1_750_000_000 * NS
AIR = Series.of("environment", "aq1", sensor="pm")


def manifest(klass: str = "acknowledged") -> Manifest:
    return Manifest(
        name="air",
        **{"class": klass},  # type: ignore[arg-type]
        kind="stream",
        owner="us",
        summary={"id": "x", "en": "x"},
        measurements={
            "environment": MeasurementSpec(
                tags=["device", "sensor"],
                fields={
                    "pm25": FieldSpec(type="float", min=0, max=1000),
                    "count": FieldSpec(type="int", min=0),
                    "note": FieldSpec(type="string"),
                },
            )
        },
    )


def check(time_ns: Any = NOW, quality: int = 0, **fields: Any) -> tuple[Reading | None, list[str]]:
    good, refused = Checker(manifest()).check(Reading(AIR, time_ns, fields, quality), NOW)
    return good, [refusal.reason for refusal in refused]


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("pm25", 12.5, 12.5),
        ("pm25", 12, 12.0),
        ("pm25", True, 1.0),
        ("count", 3, 3),
        ("count", 3.0, 3),
        ("count", True, 1),
        ("count", -(2**63), -(2**63)),
        ("count", 2**63 - 1, 2**63 - 1),
        ("note", "hujan", "hujan"),
        ("note", "", ""),
    ],
)
def test_a_value_is_brought_into_its_declared_type(field: str, given: Any, kept: Any) -> None:
    good, refused = check(**{field: given})
    assert refused == []
    assert good is not None
    assert good.fields == {field: kept}
    assert type(good.fields[field]) is type(kept)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pm25", math.nan),
        ("pm25", math.inf),
        ("pm25", -math.inf),
        ("pm25", "12"),
        ("pm25", None),
        ("pm25", [1]),
        ("pm25", 10**400),
        ("count", 1.5),
        ("count", math.nan),
        ("count", 1e300),
        ("count", 2**63),
        ("count", 2.0**63),
        ("count", "1"),
        ("note", 1),
        ("note", b"x"),
        ("note", "x" * 4097),
        ("note", "half \ud83d a pair"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_costs_only_itself(field: str, value: Any) -> None:
    assert check(**{field: value}) == (None, ["wrong_type"])
    other = "count" if field != "count" else "pm25"
    good, refused = check(**{field: value, other: 1})
    assert refused == ["wrong_type"]
    assert good is not None
    assert list(good.fields) == [other]


VALUES = st.one_of(st.floats(), st.integers(), st.text(), st.booleans(), st.none(), st.binary())


# The alphabet of all texts is built by the first draw, which is slow.
@fuzz(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["pm25", "count", "note", "other"]), VALUES), st.integers())
def test_whatever_passes_can_be_written_and_read_back(fields: dict[str, Any], time_ns: int) -> None:
    for at in (NOW, time_ns):
        checker = Checker(manifest())
        good, refused = checker.check(Reading(AIR, at, fields), NOW)
        if good is not None:
            assert readings_in(pack_readings("air", [good])) == [good]
        if checker.is_good(AIR.key, at, fields, 0, NOW):
            assert (good, refused) == (Reading(AIR, at, fields), [])


def test_values_outside_their_range_are_kept_and_doubted() -> None:
    for fields in ({"pm25": -1}, {"pm25": 1001.0}, {"count": -5}, {"pm25": 5, "count": -1}):
        good, refused = check(quality=Quality.LATE, **fields)
        assert good is not None
        assert good.quality == Quality.RANGE | Quality.LATE
        assert refused == []
    good, _ = check(pm25=0, count=0)
    assert good is not None
    assert good.quality == 0


def test_what_the_manifest_does_not_promise_is_refused_by_name() -> None:
    checker = Checker(manifest())

    def reasons(series: Series, **fields: Any) -> list[str]:
        return [r.reason for r in checker.check(Reading(series, NOW, fields), NOW)[1]]

    assert reasons(AIR, humidity=3) == ["unknown_field"]
    assert reasons(AIR) == ["empty"]
    assert reasons(Series.of("weather", "aq1"), pm25=1.0) == ["unknown_measurement"]
    assert reasons(Series.of("environment", "aq1", port="1"), pm25=1.0) == ["unknown_tag"]
    nobody = Series.make("environment", (("sensor", "pm"),))
    assert reasons(nobody, pm25=1.0) == ["unknown_tag"]
    assert reasons(AIR, pm25=1.0) == []


@pytest.mark.parametrize(
    ("time_ns", "good"),
    [
        (0, False),
        (YEAR_2000 - 1, False),
        (YEAR_2000, True),
        (NOW + AHEAD_NS, True),
        (NOW + AHEAD_NS + 1, False),
        (4_291_747_200 * NS, False),
        (2**70, False),
        (-1, False),
        (float(NOW), False),
        (None, False),
    ],
)
def test_a_clock_that_is_wrong_by_years_is_refused(time_ns: Any, good: bool) -> None:
    reading, refused = check(time_ns, pm25=1.0)
    assert (reading is not None) is good
    assert refused == ([] if good else ["time"])


def test_a_device_can_not_make_series_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "SERIES_PER_DEVICE", 3)
    monkeypatch.setattr(pipeline, "SERIES_PER_COLLECTOR", 5)
    checker = Checker(manifest())

    def takes(device: str, sensor: int) -> bool:
        series = Series.of("environment", device, sensor=f"s{sensor}")
        good, refused = checker.check(Reading(series, NOW, {"pm25": 1.0}), NOW)
        assert (good is None) == ([r.reason for r in refused] == ["too_many_series"])
        return good is not None

    assert [takes("a", n) for n in range(5)] == [True, True, True, False, False]
    assert [takes("b", n) for n in range(3)] == [True, True, False], "the collector's own cap"
    assert takes("a", 0), "a series that was let in stays"


def test_a_series_can_not_be_named_by_what_nobody_can_write_down() -> None:
    for name in ("a\nb", "", "x\\", "\ud800"):
        with pytest.raises(BadSeries):
            Series.make("environment", (("device", name),))


class Scene:
    """A pipeline over a real journal in a folder."""

    def __init__(self, folder: Path, klass: str, quota: int | None = None) -> None:
        quotas = {} if quota is None else {int(Class[klass.upper()]): quota}
        self.journal = Journal(folder, now_ns=NOW, segment_bytes=4096, quotas=quotas)
        self.health, self.window = Health(), Window()
        self.committer = Committer(self.journal, self.health)
        self.hints: list[Hint] = []
        self.refused: list[tuple[str, str, str]] = []
        self.pipeline = Pipeline(
            "air",
            manifest(klass),
            self.committer,
            self.window,
            self.health,
            lambda: NOW,
            self.hints.append,
            lambda *refusal: self.refused.append(refusal),
        )
        self.emit = self.pipeline.emit

    async def finish(self) -> None:
        """Write what was handed over."""
        self.committer.close()
        await self.committer.run()

    def records(self) -> list[Record]:
        reader = Reader(self.journal.folder)
        try:
            return [record for batch in iter(reader.read, []) for record in batch]
        finally:
            reader.close()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path, "acknowledged")
    yield made
    made.journal.close()


def reading(value: float = 1.0) -> Reading:
    return Reading(AIR, NOW, {"pm25": value})


def again(packet_id: int, digest: int = 12345678) -> Redelivery:
    return Redelivery("hub", packet_id, digest)


def message(packet_id: int, *items: Content, digest: int = 12345678, size: int = 40) -> Message:
    return Message(again(packet_id, digest), items, size)


async def test_a_receipt_is_good_when_everything_of_its_call_is_on_disk(scene: Scene) -> None:
    event = Event("aq1", "reboot", NOW, "again", {"count": 2})
    found = Proposal("device", "aq9", {"topic": "t"})
    receipt = scene.emit(reading(), reading(math.nan), event, Hint("aq1", "reboot"), found)
    assert not receipt.batch.done()
    assert scene.records() == []
    assert scene.hints == [Hint("aq1", "reboot")]
    assert [why for why, _, _ in scene.refused] == ["wrong_type"]
    await scene.finish()
    assert await receipt == 1
    readings, events, proposals = scene.records()
    assert readings_in(readings.payload) == [reading()]
    assert redeliveries_in(readings.payload) == []
    assert unpack_event(events.payload) == ("air", event)
    assert unpack_proposal(proposals.payload) == ("air", found)
    assert {r.klass for r in (readings, events, proposals)} == {Class.ACKNOWLEDGED}
    assert scene.health.by("readings", "collector") == {"air": 1}


async def test_nothing_to_keep_still_gives_a_good_receipt(scene: Scene) -> None:
    receipts = [scene.emit(), scene.emit(reading(math.inf)), scene.emit(Hint("aq1", "trap"))]
    await scene.finish()
    for receipt in receipts:
        await receipt
    assert scene.records() == []


async def test_an_event_that_can_not_be_written_down_is_refused_alone(scene: Scene) -> None:
    bad = Event("aq1", "x", NOW, "half \ud83d a pair")
    odd = Proposal("device", "aq9", {"what": object()})
    large = Event("aq1", "x", NOW, "x" * (17 * 1024 * 1024))
    receipt = scene.emit(bad, odd, large, reading())
    await scene.finish()
    await receipt
    assert [why for why, _, _ in scene.refused] == ["unwritable", "unwritable", "too_large"]
    assert [r.kind for r in scene.records()] == [Kind.READINGS]


async def test_what_is_too_large_for_one_record_becomes_several(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "MAX_PAYLOAD", 300)
    many = [reading(float(n)) for n in range(50)]
    receipt = scene.emit(message(1, *many, size=5000))
    await scene.finish()
    await receipt
    payloads = [r.payload for r in scene.records()]
    assert len(payloads) > 5
    assert [r for payload in payloads for r in readings_in(payload)] == many
    assert [m for payload in payloads for m in redeliveries_in(payload)] == [again(1)]


async def test_a_message_on_its_way_to_the_disk_is_known_and_its_packet_id_may_be_used_again(
    scene: Scene,
) -> None:
    first = scene.emit(message(7, reading()))
    known = scene.window.taken(again(7))
    assert known is not None
    assert known.batch is first.batch
    assert not known.durable(), "it is not on disk yet"
    other = scene.emit(message(7, reading(2.0), digest=99))
    await scene.finish()
    await first
    await other
    assert [r for record in scene.records() for r in readings_in(record.payload)] == [
        reading(),
        reading(2.0),
    ]
    known = scene.window.taken(again(7, 99))
    assert known is not None
    assert known.durable()
    assert scene.window.taken(again(7)) is None


async def test_messages_and_loose_items_of_one_call_keep_their_order(scene: Scene) -> None:
    event = Event("aq1", "online", NOW)
    receipt = scene.emit(
        message(1, reading(1.0)),
        reading(2.0),
        message(2, reading(3.0), event),
        message(3, reading(4.0), size=5000),
        message(4, reading(5.0)),
    )
    await scene.finish()
    await receipt
    records = [r for r in scene.records() if r.kind == Kind.READINGS]
    assert [r.fields["pm25"] for record in records for r in readings_in(record.payload)] == [
        1.0, 2.0, 3.0, 4.0, 5.0,
    ]  # fmt: skip
    assert [m.packet_id for record in records for m in redeliveries_in(record.payload)] == [
        1, 2, 3, 4,
    ]  # fmt: skip
    assert scene.health.by("readings", "collector") == {"air": 5}


async def test_a_message_within_a_message_is_a_mistake_of_the_plugin(scene: Scene) -> None:
    with pytest.raises(TypeError, match="Message is nothing"):
        scene.emit(message(1, message(2, reading())))  # type: ignore[arg-type]


async def test_what_was_on_disk_is_known_after_a_restart(scene: Scene) -> None:
    for number in range(5):
        scene.emit(message(number, reading(number)))
    scene.emit(reading())
    await scene.finish()
    window = Window()
    assert window.load(scene.journal.folder, scene.journal.last_id) == 5
    for number in range(5):
        known = window.taken(again(number))
        assert known is not None
        await known
    assert window.taken(again(5)) is None
    assert window.taken(again(4, 99)) is None
    assert window.taken(Redelivery("other", 4, 12345678)) is None


async def test_a_record_that_nobody_can_read_does_not_stop_a_restart(scene: Scene) -> None:
    scene.journal.append([(NOW, Kind.READINGS, Class.POLLED, b"\xc1 no msgpack")])
    scene.journal.append([(NOW, Kind.READINGS, Class.POLLED, pack_readings("x", []) + b"more")])
    scene.emit(message(3, reading()))
    await scene.finish()
    window = Window()
    assert window.load(scene.journal.folder, scene.journal.last_id) == 1


async def test_a_full_acknowledged_class_is_not_acknowledged_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, "acknowledged", quota=1)
    scene.journal.append([(NOW, Kind.READINGS, Class.ACKNOWLEDGED, b"x")])
    receipt = scene.emit(message(1, reading()))
    with pytest.raises(TryAgain, match="no room for ACKNOWLEDGED"):
        await receipt
    assert scene.window.taken(again(1)) is None, "it must be taken when it comes again"
    assert scene.emit(message(1, reading()), message(2, reading())) is not receipt
    assert scene.health.by("held", "reason") == {"journal_full": 3}
    assert scene.health.total("dropped") == 0
    assert scene.health.total("readings") == 0
    act = scene.committer.submit([(NOW, Kind.ACT, Class.ACT, b"\x80")], Class.ACT)
    await scene.finish()
    assert await act == 2, "acts have a reserve"
    scene.journal.close()


async def test_a_polled_class_whose_oldest_are_not_dropped_yet_drops_the_newest_and_counts(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, "polled", quota=1)
    scene.emit(reading())
    await asyncio.sleep(0)
    assert scene.committer.room(Class.POLLED)
    scene.journal.append([(NOW, Kind.READINGS, Class.POLLED, bytes(10_000))])
    scene.emit(reading(), reading())
    assert scene.health.by("dropped", "reason") == {"journal_full": 2}
    await asyncio.sleep(0)
    await scene.finish()
    assert len(scene.records()) == 2
    scene.journal.close()
