"""Values as agents say them to numbers as people mean them; parts found, polled and lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.snmp import catalogue, finding, sensors
from collectors.snmp.catalogue import DeviceProfile
from collectors.snmp.client import Reply
from collectors.snmp.codec import Absent, Value
from collectors.snmp.convert import figure, words
from collectors.snmp.finding import Told
from collectors.snmp.oids import oid
from collectors.snmp.profile import Number, Text
from collectors.snmp.reader import Reader
from collectors.snmp.sensors import Sensors
from hub.api import Series
from tests.snmp_support import FakeSession, Spoil, honest

DEVICE = Series.of("device", "r1", probe="snmp")
X = "1.3.6.1.4.1.99999"


def number(**said: Any) -> Number:
    return Number.model_validate({"field": "hardware.temperature_c", "oid": f"{X}.1", **said})


@pytest.mark.parametrize(
    ("said", "value", "meant"),
    [
        ({}, 38, 38.0),
        ({"divide": 10}, 243, 24.3),
        ({"signed": True}, 4294967293, -3.0),
        ({"signed": True, "divide": 10}, 4294967295 - 4, -0.5),
        ({}, 4294967293, 4294967293.0),
        ({}, 2147483647, None),
        ({}, -2147483648, None),
        ({"absent": [2147483646, 0]}, 2147483646, None),
        ({"absent": [0]}, 0, None),
        ({}, b"45 PERCENT", 45.0),
        ({}, b"-3.5 C", -3.5),
        ({}, b"n/a", None),
        ({}, b"", None),
        ({}, Absent.NO_SUCH_INSTANCE, None),
        ({}, Absent.NO_SUCH_OBJECT, None),
        ({}, Absent.UNREADABLE, None),
        ({}, None, None),
        ({}, 23.5, 23.5),
        ({"between": [-60, 150]}, 151, None),
        ({"between": [-60, 150]}, -60, -60.0),
        ({"map": {1: 1, 2: 0}}, 1, 1.0),
        ({"map": {1: 1, 2: 0}}, 3, None),
        ({"map": {1: 1}, "otherwise": 0}, 7, 0.0),
        ({"as": "dbm_or_microwatt"}, -849, -8.49),
        ({"as": "dbm_or_microwatt"}, 1000, 0.0),
        ({"as": "dbm_or_microwatt"}, 141, pytest.approx(-8.51, abs=0.005)),
    ],
)
def test_a_value_is_what_people_mean_by_it(said: dict[str, Any], value: Value, meant: Any) -> None:
    assert figure(number(**said), [value]) == meant


@pytest.mark.parametrize(
    ("scale", "decimals", "value", "meant"),
    [(9, 0, 38, 38.0), (9, 1, 385, 38.5), (8, 0, 38500, 38.5), (10, 0, 1, 1000.0), (8, 1, 5, 5e-4)],
)
def test_units_and_decimals_may_stand_in_columns_of_their_own(
    scale: int, decimals: int, value: int, meant: float
) -> None:
    spec = number(factor={"oid": f"{X}.2", "of": {8: 1e-3, 9: 1, 10: 1e3}}, digits=f"{X}.3")
    assert figure(spec, [value, scale, decimals]) == pytest.approx(meant)
    assert figure(spec, [value, 14, decimals]) is None


@pytest.mark.parametrize(
    ("parts", "values", "meant"),
    [
        ({"used": 1, "total": 2}, [25, 100], 25.0),
        ({"used": 1, "free": 2}, [25, 75], 25.0),
        ({"total": 1, "free": 2}, [100, 75], 25.0),
        ({"used": 1, "total": 2}, [25, 0], None),
        ({"used": 1, "total": 2}, [125, 100], None),
        ({"used": 1, "total": 2}, [25, Absent.NO_SUCH_INSTANCE], None),
    ],
)
def test_a_share_needs_two_of_used_total_and_free(
    parts: dict[str, int], values: list[Value], meant: float | None
) -> None:
    percent = {k: [f"{X}.{v}"] if k == "free" else f"{X}.{v}" for k, v in parts.items()}
    spec = Number.model_validate({"field": "hardware.used_pct", "percent": percent})
    assert figure(spec, values) == meant


def test_of_several_free_parts_only_the_first_must_be_there() -> None:
    free = [f"{X}.2", f"{X}.3", f"{X}.4"]
    spec = Number.model_validate(
        {"field": "hardware.used_pct", "percent": {"total": f"{X}.1", "free": free}}
    )
    assert figure(spec, [100, 50, 10, Absent.NO_SUCH_OBJECT]) == 40.0
    assert figure(spec, [100, Absent.NO_SUCH_OBJECT, 10, 5]) is None


def test_a_text_is_cut_to_what_its_pattern_finds() -> None:
    spec = Text.model_validate({"oid": X, "pattern": r"Version ([^,\s]+)"})
    assert words(spec, b"Cisco IOS, Version 12.2(55)SE3, RELEASE") == "12.2(55)SE3"
    assert words(spec, b"no such thing") == ""
    assert words(Text.model_validate({"oid": X}), b"  a\0b\r\n c ") == "a b c"
    assert words(spec, Absent.NO_SUCH_INSTANCE) == ""


# ---------------------------------------------------------------- find and read

PROFILE = """
title: Acme
source: made up
base: 1.3.6.1.4.1.99999
values:
  - {field: device.cpu_pct, oid: ~.9.1.0, between: [0, 100]}
  - {field: device.cpu_pct, oid: ~.9.2.0, between: [0, 100]}
tables:
  gauges:
    rows: ~.1.3
    label: [{oid: ~.1.2}]
    where: [{oid: ~.1.4, not: [9]}]
    values:
      - field: hardware.temperature_c
        oid: ~.1.3
        where: [{oid: ~.1.4, is: [1]}]
        fold: {device.temperature_c: max}
      - {field: hardware.fan_rpm, oid: ~.1.3, where: [{oid: ~.1.4, is: [2]}]}
  stations:
    rows: ~.2.3
    live: true
    values:
      - {oid: ~.2.3, between: [-120, 20], fold: {device.weakest_client_dbm: min}}
      - {oid: ~.2.3, fold: {device.wireless_clients: count}}
"""
VALUES: dict[str, Value] = {
    f"{X}.1.2.1": b"board", f"{X}.1.3.1": 40, f"{X}.1.4.1": 1,
    f"{X}.1.2.2": b"cpu", f"{X}.1.3.2": 61, f"{X}.1.4.2": 1,
    f"{X}.1.2.3": b"fan", f"{X}.1.3.3": 3000, f"{X}.1.4.3": 2,
    f"{X}.1.2.4": b"ghost", f"{X}.1.3.4": 1, f"{X}.1.4.4": 9,
    f"{X}.2.3.6.7": -61, f"{X}.2.3.6.8": -80,
    f"{X}.9.1.0": 2147483647, f"{X}.9.2.0": 12,
}  # fmt: skip


class Agent:
    """A made-up device with a profile of its own."""

    def __init__(self, folder: Path, spoil: Spoil = honest, text: str = PROFILE) -> None:
        (folder / "acme.yaml").write_text(text)
        self.profile: DeviceProfile = catalogue.read(folder).devices["acme"]
        self.session = FakeSession(VALUES, spoil)
        self.reader = Reader(self.session, 40, 50)
        self.told: list[Told] = []

    async def find(self, before: Sensors | None = None) -> Sensors:
        self.told = []
        return await finding.find(self.reader, DEVICE, self.profile, before, self.told)

    async def read(self, found: Sensors) -> tuple[dict[str, dict[str, Any]], bool]:
        """Fields by sensor, the device's own under its measurement, and whether parts moved."""
        readings, moved = await sensors.read(self.reader, found, DEVICE, 1, {})
        return {r.series.tag("sensor") or "device": dict(r.fields) for r in readings}, moved

    def set(self, **values: Value) -> None:
        """By the last arcs: `set(_1_3_1=45)`; None takes the instance away."""
        for name, value in values.items():
            key = oid(X + name.replace("_", "."))
            if value is None:
                del self.session.values[key]
            else:
                self.session.values[key] = value


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


async def test_rows_become_series_by_their_label_and_fold_into_the_device(agent: Agent) -> None:
    read, moved = await agent.read(await agent.find())
    assert read == {
        "device": {
            "cpu_pct": 12.0,
            "temperature_c": 61.0,
            "weakest_client_dbm": -80.0,
            "wireless_clients": 2,
        },
        "board": {"temperature_c": 40.0},
        "cpu": {"temperature_c": 61.0},
        "fan": {"fan_rpm": 3000.0},
    }
    assert not moved
    assert type(read["device"]["wireless_clients"]) is int


async def test_a_poll_asks_for_known_instances_and_walks_nothing_but_live_tables(
    agent: Agent,
) -> None:
    found = await agent.find()
    agent.session.asked.clear()
    await agent.read(found)
    assert [method for method, _ in agent.session.asked] == ["get", "bulk"]


async def test_a_reshuffled_table_gives_no_value_under_a_wrong_name(agent: Agent) -> None:
    found = await agent.find()
    agent.set(_1_2_1=b"cpu", _1_3_1=61, _1_2_2=b"board", _1_3_2=40)
    read, moved = await agent.read(found)
    assert moved
    assert read.keys() == {"device", "fan"}
    assert "temperature_c" not in read["device"]
    read, moved = await agent.read(await agent.find(found))
    assert (read["cpu"], read["board"]) == ({"temperature_c": 61.0}, {"temperature_c": 40.0})
    assert not moved


async def test_a_row_that_went_away_is_noticed_and_the_others_go_on(agent: Agent) -> None:
    found = await agent.find()
    agent.set(_1_2_2=None, _1_3_2=None, _1_4_2=None)
    read, moved = await agent.read(found)
    assert moved
    assert read["board"] == {"temperature_c": 40.0}
    assert "cpu" not in read
    assert "cpu" not in (await agent.read(await agent.find(found)))[0]


async def test_a_sensor_that_says_nothing_today_keeps_its_place(agent: Agent) -> None:
    found = await agent.find()
    agent.set(_1_3_2=2147483647)
    read, moved = await agent.read(found)
    assert not moved
    assert "cpu" not in read
    agent.set(_1_3_2=59)
    assert (await agent.read(found))[0]["cpu"] == {"temperature_c": 59.0}


async def test_no_station_at_all_is_a_count_of_zero_and_no_signal(agent: Agent) -> None:
    found = await agent.find()
    agent.set(_2_3_6_7=None, _2_3_6_8=None)
    own = (await agent.read(found))[0]["device"]
    assert own["wireless_clients"] == 0
    assert "weakest_client_dbm" not in own


async def test_a_walk_that_was_cut_loses_no_part(agent: Agent) -> None:
    found = await agent.find()

    def broken(method: str, asked: int, reply: Reply) -> Reply:
        return Reply(5, 1, [], 0.0) if method == "bulk" else reply

    agent.session.spoil = broken
    again = await agent.find(found)
    assert any("walk of gauges" in note for note in again.notes)
    agent.session.spoil = honest
    read, _ = await agent.read(again)
    assert read["cpu"] == {"temperature_c": 61.0}
    assert read["device"]["temperature_c"] == 61.0


async def test_a_cut_walk_of_stations_tells_no_count(agent: Agent) -> None:
    found = await agent.find()

    def broken(method: str, asked: int, reply: Reply) -> Reply:
        return Reply(5, 1, [], 0.0) if method == "bulk" else reply

    agent.session.spoil = broken
    own = (await agent.read(found))[0]["device"]
    assert "wireless_clients" not in own
    assert own["cpu_pct"] == 12.0


async def test_everything_looked_for_is_told_with_the_reason_for_what_is_missing(
    agent: Agent,
) -> None:
    await agent.find()
    told = {(t.field, t.sensor, t.oid.removeprefix(X)): (t.value, t.why) for t in agent.told}
    assert told["device.cpu_pct", "", ".9.1.0"][0] is None
    assert "stands for none" in told["device.cpu_pct", "", ".9.1.0"][1]
    assert told["device.cpu_pct", "", ".9.2.0"] == (12.0, "")
    assert told["hardware.temperature_c", "board", ".1.3.1"] == (40.0, "")


async def test_of_two_sources_the_second_is_not_used_while_the_first_answers(agent: Agent) -> None:
    agent.set(_9_1_0=33)
    read, _ = await agent.read(await agent.find())
    assert read["device"]["cpu_pct"] == 33.0
    (second,) = [told for told in agent.told if told.oid.endswith(".9.2.0")]
    assert second.why == f"not used: {X}.9.1.0 answers"


async def test_an_agent_without_a_table_is_told_so(agent: Agent) -> None:
    agent.session.values.clear()
    found = await agent.find()
    assert found.rows == []
    assert [t.why for t in agent.told if t.field == "gauges"] == ["the agent has no such rows"]


async def test_two_parts_of_one_name_are_two_series(agent: Agent) -> None:
    agent.set(_1_2_2=b"board")
    read, _ = await agent.read(await agent.find())
    assert read["board"] == {"temperature_c": 40.0}
    assert read["board #2"] == {"temperature_c": 61.0}


async def test_more_rows_than_a_table_may_have_are_left_out_with_a_note(tmp_path: Path) -> None:
    profile = yaml.safe_load(PROFILE)
    profile["tables"]["gauges"]["most"] = 2
    agent = Agent(tmp_path, text=yaml.safe_dump(profile))
    found = await agent.find()
    assert found.notes == ["only the first 2 of 3 gauges are polled"]
    assert (await agent.read(found))[0].keys() == {"device", "board", "cpu"}
