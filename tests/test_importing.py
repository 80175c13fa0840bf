"""Old readings from files: what each shape of file becomes, and what is said of a bad row."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import registry
from hub.clock import NS
from hub.importing import BadFile, BadRow, Mapped, Reader, Row, rows
from hub.inventory_file import from_data
from hub.reading import Quality, Reading
from hub.units import MOLAR_MASS, conversion
from tests.hub_support import INVENTORY

NOW = 1_790_000_000 * NS
NOON_WIB = 1_704_085_200 * NS  # 2024-01-01 12:00 +07:00
WIB = ZoneInfo("Asia/Jakarta")
MANIFESTS = [plugin.manifest for plugin in registry.find().values()]


def read(
    tmp_path: Path,
    text: str,
    *,
    name: str = "old.csv",
    zone: ZoneInfo | None = None,
    **mapped: Any,
) -> list[Reading | BadRow]:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    how = Mapped.model_validate(mapped)
    reader = Reader(how, from_data(INVENTORY), MANIFESTS, zone, NOW)
    found = [reader.read(row) for row in rows(path, how)]
    return [one for one in found if one is not None]


def fields(found: list[Reading | BadRow]) -> list[dict[str, Any]]:
    return [dict(one.fields) if isinstance(one, Reading) else {"bad": one.reason} for one in found]


def test_a_wide_file_gives_one_reading_a_row_in_the_fields_own_units(tmp_path: Path) -> None:
    text = """time,device,sensor,pm25,temperature [°F],no2 (ppb),note
2024-01-01T12:00:00+07:00,aq1,pm,12.5,68,10,dusty
2024-01-01T05:01:00Z,aq2,,NA,,,
2024-01-01T05:02:00Z,aq2,,7,-,,
"""
    found = read(tmp_path, text)
    assert [type(one).__name__ for one in found] == ["Reading", "Reading"]
    first = found[0]
    assert isinstance(first, Reading)
    assert first.series.key == "environment,device=aq1,sensor=pm"
    assert (first.time_ns, first.quality) == (NOON_WIB, Quality.LATE | Quality.DELAYED)
    assert first.fields == {
        "pm25": 12.5,
        "temperature": pytest.approx(20.0),
        "no2": pytest.approx(18.80461884),
        "no2_ppb": 10.0,
    }
    assert fields(found)[1] == {"pm25": 7.0}


def test_a_long_file_gives_one_reading_a_value(tmp_path: Path) -> None:
    text = """waktu;alat;parameter;nilai;satuan
1704085200;aq1;pm25;12,5;ug/m3
1704085200000;aq1;temperature;68;F
1704085200;aq1;pm10;-;ug/m3
1704085200;aq1;pm99;1;
"""
    found = read(tmp_path, text, decimal=",")
    assert fields(found)[:2] == [{"pm25": 12.5}, {"temperature": pytest.approx(20.0)}]
    assert [one.time_ns for one in found if isinstance(one, Reading)] == [NOON_WIB, NOON_WIB]
    assert isinstance(found[2], BadRow)
    assert found[2].line == 5
    assert "no field 'pm99'" in found[2].reason
    assert len(found) == 3


def test_json_lines_are_read_flat_or_with_their_values_inside(tmp_path: Path) -> None:
    text = """{"time": "2024-01-01T05:00:00Z", "device": "aq1", "pm25": 1}

{"ts": 1704085200.5, "id": "aq1", "m": {"pm25": 2.5}}
[1]
not json
"""
    found = read(tmp_path, text, name="old.jsonl")
    assert fields(found)[:2] == [{"pm25": 1.0}, {"pm25": 2.5}]
    assert isinstance(found[1], Reading)
    assert found[1].time_ns == NOON_WIB + NS // 2
    assert found[2:] == [BadRow(4, "is no JSON object"), BadRow(5, "is no JSON object")]


def test_a_mapping_says_what_the_headers_do_not(tmp_path: Path) -> None:
    text = "Jam,Pos,Debu halus,Suhu F\n01/01/2024 12:00,Pos Balige,12.5,68\n"
    found = read(
        tmp_path,
        text,
        zone=WIB,
        time="Jam",
        time_format="%d/%m/%Y %H:%M",
        device="Pos",
        devices={"Pos Balige": "aq3"},
        columns={"Debu halus": "pm25", "Suhu F": {"field": "temperature", "unit": "°F"}},
    )
    (one,) = found
    assert isinstance(one, Reading)
    assert (one.series.device, one.time_ns) == ("aq3", NOON_WIB)
    assert one.fields == {"pm25": 12.5, "temperature": pytest.approx(20.0)}


def test_one_device_may_be_named_for_the_whole_file(tmp_path: Path) -> None:
    (one,) = read(tmp_path, "time,pm25\n1704085200,9\n", devices={"": "aq4"})
    assert isinstance(one, Reading)
    assert one.series.device == "aq4"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("yesterday,aq1,5", "'yesterday' is no time"),
        ("1704085200,aq9,5", "no device 'aq9' in the inventory"),
        ("1704085200,aq1,lots", "pm25: 'lots' is no number"),
        ('1704085200,aq1,"5,2"', "say --decimal ,"),
        ("1704085200,aq1,inf", "wrong_type"),
        ("1890000000,aq1,5", "time"),
        ("100000,aq1,5", "time"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_why(tmp_path: Path, cells: str, reason: str) -> None:
    found = read(tmp_path, f"time,device,pm25\n1704085200,aq1,1\n{cells}\n1704085260,aq1,2\n")
    assert [type(one).__name__ for one in found] == ["Reading", "BadRow", "Reading"]
    bad = found[1]
    assert isinstance(bad, BadRow)
    assert bad.line == 3
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("text", "mapped", "complaint"),
    [
        ("time,device,pm25\n2024-01-01 12:00,aq1,5\n", {}, "--zone Asia/Jakarta"),
        ("when,device,pm25\n1,aq1,5\n", {}, "no column for the time"),
        ("time,device,pm25\n1,aq1,5\n", {"time": "Jam"}, "no column 'Jam'"),
        ("time,pm25\n1704085200,5\n", {}, "no column for the device"),
        ("time\n1\n", {}, "at least two columns"),
        ("time,device,pm25,pm25\n1,aq1,5,5\n", {}, "'pm25' is there twice"),
        ("time,device,pm25 [miles]\n1704085200,aq1,5\n", {}, "'miles' can't become µg/m³"),
        ("time,device,x\n1704085200,aq1,5\n", {"columns": {"x": "pm26"}}, "no field 'pm26'"),
        ("time,device,x\n1,aq1,5\n", {"measurement": "weather"}, "no measurement 'weather'"),
    ],
)
def test_what_is_wrong_with_every_row_is_said_once_with_a_remedy(
    tmp_path: Path, text: str, mapped: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(BadFile, match=complaint.replace("(", r"\(")):
        read(tmp_path, text, **mapped)


def test_what_is_no_utf8_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_bytes(b"time,device,pm25\n1704085200,aq1,5\n\xff,aq1,5\n")
    with pytest.raises(BadFile, match="UTF-8"):
        list(rows(path, Mapped()))


def test_a_column_that_is_no_field_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("time,device,pm25,pm_25\n1704085200,aq1,5,6\n")
    reader = Reader(Mapped(), from_data(INVENTORY), MANIFESTS, None, NOW)
    for row in rows(path, Mapped()):
        reader.read(row)
    assert "no field 'pm_25'" in reader.ignored["pm_25"]


def test_what_lies_outside_the_fields_range_is_kept_and_flagged(tmp_path: Path) -> None:
    (one,) = read(tmp_path, "time,device,pm25\n1704085200,aq1,-5\n")
    assert isinstance(one, Reading)
    assert one.quality == Quality.LATE | Quality.DELAYED | Quality.RANGE


cell = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=12), st.booleans())
names = st.sampled_from(["time", "device", "pm25", "sensor", "field", "value", "unit", "t [F]"])


@given(st.dictionaries(names, cell, max_size=8))
def test_no_row_breaks_the_reader(cells: dict[str, Any]) -> None:
    reader = Reader(Mapped(), from_data(INVENTORY), MANIFESTS, WIB, NOW)
    found: object = None
    with suppress(BadFile):
        found = reader.read(Row(2, cells))
    assert found is None or isinstance(found, (Reading, BadRow))


@pytest.mark.parametrize(
    ("value", "unit", "canonical", "field", "wanted"),
    [
        (68, "°F", "°C", "", 20.0),
        (293.15, "K", "°C", "", 20.0),
        (90840, "Pa", "hPa", "", 908.4),
        (760, "mmHg", "hPa", "", 1013.25),
        (1, "in", "mm", "", 25.4),
        (25, "knots", "m/s", "", 12.861111),
        (1.5, "mS/cm", "µS/cm", "", 1500),
        (0.9, "mg/m3", "µg/m³", "pm25", 900),
        (10, "ppb", "µg/m³", "no2", 18.804619),
        (1.2, "ppm", "µg/m³", "co", 1373.881),
        (7, "", "mm", "", 7),
        (7, "ug/m3", "µg/m³", "", 7),
    ],
)
def test_units_become_the_canonical_one(
    value: float, unit: str, canonical: str, field: str, wanted: float
) -> None:
    assert conversion(unit, canonical, field)(value) == pytest.approx(wanted)


def test_a_unit_that_does_not_fit_names_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"'ppb' can't become µg/m³: use µg/m³, mg/m³"):
        conversion("ppb", "µg/m³", "pm25")
    assert "hc" not in MOLAR_MASS
