"""Lines that are made many at a time are the lines that each reading would get for itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from hub.reading import Reading, Series
from hub.store.checks import INT_MAX, INT_MIN, TIME_MAX
from hub.store.lineprotocol import LineFormatter, Lines

NOON = 1_760_000_000_000_000_000
AIR = [Series.of("environment", f"aq {n}", sensor="100%d") for n in range(3)]
NAMES = ["pm25", "n", "50%", "a,b c", "device", "site", ""]

numbers = st.floats() | st.integers(INT_MIN - 3, INT_MAX + 3)
values = (
    numbers
    | st.text('a "=,%\n\\\ud800é', max_size=3)
    | st.booleans()
    | st.sampled_from([2**70, 1e300, None])
)
plain = st.dictionaries(st.sampled_from(["pm25", "n", "50%"]), numbers, min_size=1, max_size=2)
fields = plain | st.dictionaries(st.sampled_from(NAMES), values, max_size=4)
times = st.sampled_from([NOON, NOON + 1, 0, TIME_MAX, TIME_MAX + 1, -1])
qualities = st.sampled_from([0, 0, 0, 8])
readings = st.lists(st.builds(Reading, st.sampled_from(AIR), times, fields, qualities), max_size=6)


class OneByOne(LineFormatter):
    """Puts nothing together."""

    def _together(self, readings: Sequence[Reading]) -> tuple[list[int], list[bytes], list[int]]:
        return [], [], list(range(len(readings)))


def exact(lines: Sequence[bytes]) -> list[bytes]:
    """With every number that stands for itself in Python's own form: 1e16 is 1e+16."""

    def form(match: re.Match[bytes]) -> bytes:
        return b"=" + repr(float(match[1])).encode() + match[2]

    number = rb"=(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)([ ,]|$)"
    return [re.sub(number, form, line) for line in lines]


@fuzz(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(readings, max_size=3))
def test_many_at_a_time_gives_the_lines_of_one_at_a_time(batches: list[list[Reading]]) -> None:
    many, one = LineFormatter(), OneByOne()
    for batch in batches:  # what one batch taught must not spoil the next
        found, wanted = many.format(batch), one.format(batch)
        assert exact(found.lines) == exact(wanted.lines)
        assert found.indices == wanted.indices
        assert found.rejected == wanted.rejected


@fuzz(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(readings, readings)
def test_parts_of_a_batch_give_the_lines_of_the_whole(
    first: list[Reading], second: list[Reading]
) -> None:
    whole, formatter, parts = LineFormatter().format([*first, *second]), LineFormatter(), Lines()
    formatter.format(first, parts)
    formatter.format(second, parts)
    assert exact(parts.lines) == exact(whole.lines)
    assert parts.indices == whole.indices
    assert parts.rejected == whole.rejected


def test_a_type_that_changes_is_followed() -> None:
    formatter = LineFormatter()
    for value in (1.5, 2, "x", 3.5, True, 4.5):
        given = [Reading(AIR[0], NOON, {"v": value}), Reading(AIR[1], NOON, {"v": 0.5})]
        assert formatter.format(given).lines == OneByOne().format(given).lines
