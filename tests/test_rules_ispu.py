"""ISPU against the vectors of the published formula and against a second implementation."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.ispu import CATEGORIES, PARAMETERS, index, station

VECTORS = [
    ("pm25", "10", "32.2581", 32, "Baik", 32),
    ("pm25", "15.5", "50.0000", 50, "Baik", 50),
    ("pm25", "35", "74.4361", 74, "Sedang", 75),
    ("pm25", "100", "146.9474", 147, "Tidak Sehat", 147),
    ("pm25", "200", "249.6000", 250, "Sangat Tidak Sehat", 250),
    ("pm25", "300", "339.7436", 340, "Berbahaya", 341),
    ("pm10", "75", "62.5000", 63, "Sedang", 63),
    ("pm10", "400", "271.4286", 271, "Sangat Tidak Sehat", 272),
    ("so2", "100", "68.7500", 69, "Sedang", 69),
    ("co", "6000", "75.0000", 75, "Sedang", 76),
    ("o3", "137.2394", "57.4954", 57, "Sedang", 58),
    ("o3", "245.9809", "106.6551", 107, "Tidak Sehat", 108),
    ("o3", "459.9747", "214.9937", 215, "Sangat Tidak Sehat", 216),
    ("no2", "500", "132.2581", 132, "Tidak Sehat", 133),
    ("hc", "160", "152.1739", 152, "Tidak Sehat", 153),
    ("pm25", "15.8", "50.3759", 50, "Baik", 51),
    ("pm25", "15.9", "50.5013", 51, "Sedang", 51),
]


@pytest.mark.parametrize(("parameter", "mean", "exact", "value", "name", "gap"), VECTORS)
def test_the_vectors_of_the_facts_come_out(
    parameter: str, mean: str, exact: str, value: int, name: str, gap: int
) -> None:
    found = index(parameter, float(mean))
    assert found.exact.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP) == Decimal(exact)
    assert (found.value, found.category.name.id) == (value, name)
    assert index(parameter, float(mean), form="gap").value == gap


def test_the_index_at_the_top_can_be_chosen() -> None:
    assert index("pm25", 300, top=400).value == 320
    assert str(index("pm25", 500)) == "500"
    assert str(index("pm25", 501)) == ">500"
    assert index("pm25", 9999).value == 500
    assert index("pm25", 9999, top=400).value == 400


def test_a_station_is_as_bad_as_its_worst_parameter() -> None:
    found = station({"o3": 88.5784, "pm10": 75, "pm25": 35})
    assert (found.value, found.category.name.id, found.dominant) == (74, "Sedang", "pm25")
    assert [part.value for part in found.parts] == [37, 63, 74]
    with pytest.raises(ValueError, match="at least one"):
        station({})


@pytest.mark.parametrize("mean", [-0.1, float("nan"), float("inf")])
def test_what_is_no_concentration_is_refused(mean: float) -> None:
    with pytest.raises(ValueError, match="no concentration"):
        index("pm25", mean)


def test_an_unknown_parameter_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'pm2\.5'.*pm25"):
        index("pm2.5", 1)


def test_colours_are_the_official_ones() -> None:
    assert [c.colour.id for c in CATEGORIES] == ["Hijau", "Biru", "Kuning", "Merah", "Hitam"]
    assert [c.number for c in CATEGORIES] == [1, 2, 3, 4, 5]


# A second implementation, in fractions, from the table as printed in the regulation's copies.
TABLE = {
    "pm10": (50, 150, 350, 420, 500),
    "pm25": (Fraction("15.5"), Fraction("55.4"), Fraction("150.4"), Fraction("250.4"), 500),
    "so2": (52, 180, 400, 800, 1200),
    "co": (4000, 8000, 15000, 30000, 45000),
    "o3": (120, 235, 400, 800, 1000),
    "no2": (80, 200, 1130, 2260, 3000),
    "hc": (45, 100, 215, 432, 648),
}


def by_hand(parameter: str, mean: Fraction) -> int:
    low_x, low_i = Fraction(0), Fraction(0)
    for high_x, high_i in zip(TABLE[parameter], (50, 100, 200, 300, 500), strict=True):
        if mean <= high_x:
            value = low_i + (high_i - low_i) * (mean - low_x) / (high_x - low_x)
            return int(value + Fraction(1, 2))
        low_x, low_i = Fraction(high_x), Fraction(high_i)
    return 500


means = st.decimals(0, 50000, places=4, allow_nan=False, allow_infinity=False)


@given(st.sampled_from(PARAMETERS), means)
def test_a_second_implementation_agrees(parameter: str, mean: Decimal) -> None:
    assert index(parameter, mean).value == by_hand(parameter, Fraction(mean))


@given(st.sampled_from(PARAMETERS), means, means)
def test_more_pollution_is_never_a_smaller_index(parameter: str, a: Decimal, b: Decimal) -> None:
    low, high = sorted((a, b))
    assert index(parameter, low).exact <= index(parameter, high).exact
    assert index(parameter, low).category.number <= index(parameter, high).category.number


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_the_index_has_no_jump_at_a_breakpoint(parameter: str) -> None:
    for point in TABLE[parameter]:
        at = Decimal(point.numerator) / Decimal(point.denominator)
        step = index(parameter, at + Decimal("0.000001")).exact - index(parameter, at).exact
        assert 0 <= step < Decimal("0.001")
