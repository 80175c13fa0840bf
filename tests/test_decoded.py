"""Records decoded once for two readers."""

from __future__ import annotations

import msgspec
import pytest

from hub.decoded import Decoded
from hub.journal import Class, Kind, Record
from hub.reading import Reading, Series
from hub.records import pack_readings


def record(number: int, readings: int = 2) -> Record:
    found = [
        Reading(Series.of("environment", "aq1"), number * 10 + n, {"pm25": 1.0})
        for n in range(readings)
    ]
    return Record(number, 0, Kind.READINGS, Class.ACKNOWLEDGED, pack_readings("mqtt", found))


def test_the_second_reader_gets_what_the_first_one_decoded() -> None:
    decoded = Decoded()
    first = decoded.readings(record(1))
    assert decoded.readings(record(1)) is first
    assert decoded.readings(record(1)) is not first, "nobody comes a third time for what is kept"


def test_memory_is_bounded_and_who_lags_behind_decodes_for_itself() -> None:
    decoded = Decoded(most=10)
    first = [decoded.readings(record(number)) for number in range(100)]
    second = [decoded.readings(record(number)) for number in range(100)]
    assert second == first
    assert sum(map(len, decoded._kept.values())) <= 10


def test_what_can_not_be_decoded_is_said_to_both() -> None:
    bad = Record(1, 0, Kind.READINGS, Class.POLLED, b"\xc1")
    decoded = Decoded()
    for _ in range(2):
        with pytest.raises(msgspec.DecodeError):
            decoded.readings(bad)
