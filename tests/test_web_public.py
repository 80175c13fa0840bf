"""The page for citizens: what it says of the air is of one piece, and honest."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from hub.clock import NS
from hub.store.query import SeriesRows
from hub.web import public
from hub.web.app import create_app
from tests.web_support import NOW, FakeBackend

STEP_NS = 300 * NS


def past(count: int, value: float = 12.0, step_ns: int = STEP_NS) -> list[SeriesRows]:
    """The last `count` windows of aq-1."""
    rows: list[Any] = [(NOW - (count - i) * step_ns, (value,)) for i in range(count)]
    return [SeriesRows({"device": "aq-1"}, rows)]


async def page(backend: FakeBackend) -> dict[str, Any]:
    transport = httpx.ASGITransport(create_app(backend, auth="demo"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as web:
        found: dict[str, Any] = (await web.get("/api/v1/public")).json()
        return found


async def air(backend: FakeBackend, now: float = 10.0) -> dict[str, Any]:
    backend.observe("environment", "aq-1", {"pm25": now}, sensor="a")
    (found,) = (await page(backend))["air"]
    return dict(found)


async def test_the_class_is_of_the_24_hour_mean_and_smoke_of_now_is_warned_of() -> None:
    found = await air(FakeBackend(answers=past(288)), now=145.4)
    assert (found["mean_24h"], found["category"], found["data_s"]) == (12.0, "good", 86_400)
    assert (found["pm25"], found["over"], found["limit"]) == (145.4, True, 55.4)


async def test_a_few_minutes_of_data_have_no_class() -> None:
    found = await air(FakeBackend(answers=past(1, 80.0)))
    assert (found["mean_24h"], found["category"], found["data_s"]) == (80.0, "", 300)
    assert found["over"]  # the last hour was


@pytest.mark.parametrize(("count", "category"), [(215, ""), (216, "good")])
async def test_a_class_needs_three_quarters_of_the_day(count: int, category: str) -> None:
    assert (await air(FakeBackend(answers=past(count))))["category"] == category


async def test_a_station_that_reports_every_quarter_of_an_hour_has_no_gaps() -> None:
    found = await air(FakeBackend(answers=past(96, step_ns=3 * STEP_NS)))
    assert (found["data_s"], found["category"]) == (86_400, "good")


async def test_without_history_only_the_present_is_said() -> None:
    found = await air(FakeBackend(store_down=True))
    assert (found["mean_24h"], found["mean_1h"], found["category"]) == (None, None, "")
    assert (found["pm25"], found["over"]) == (10.0, False)


async def test_a_pm25_alert_is_a_warning_whatever_its_limit() -> None:
    backend = FakeBackend(answers=past(288))
    backend.fire("stricter", "aq-1", unit="µg/m³")
    assert (await air(backend))["over"]


async def test_the_lake_s_alarm_is_told_in_the_words_of_its_worst_alert() -> None:
    backend = FakeBackend()
    backend.observe("environment", "aq-1", {"water_level_m": 905.35}, sensor="a")
    assert (await page(backend))["lake"][0]["alarm"] == {}
    backend.fire("lake_high", "aq-1", unit="m")
    backend.fire("lake_flood", "aq-1", "critical", unit="m")
    backend.fire("hot", "aq-1", "critical", unit="°C")
    backend.fire("forming", "aq-1", "critical", state="pending", unit="m")
    alarm = (await page(backend))["lake"][0]["alarm"]
    assert alarm == {"id": "lake_flood", "en": "lake_flood"}


async def test_rain_is_the_sum_of_the_hours() -> None:
    rows: list[Any] = [(NOW - hour * 3600 * NS, (1.5,)) for hour in (3, 2, 1)]
    backend = FakeBackend(answers=[SeriesRows({"device": "aq-1"}, rows)])
    backend.observe("environment", "aq-1", {"rain_mm": 0.2}, sensor="a")
    (rain,) = (await page(backend))["rain"]
    assert (rain["field"], rain["value"]) == ("rain_mm_24h", 4.5)


async def test_the_store_is_asked_once_however_many_look_and_no_address_is_told() -> None:
    backend = FakeBackend(answers=past(288))
    view = public.PublicView(backend)
    for _ in range(20):
        told = await view.page()
    assert len(backend.asked) == 2
    assert "10.12." not in json.dumps(await page(backend))
    assert told.offices.total == 2


async def test_the_station_index_gives_the_class_and_names_its_parameter() -> None:
    backend = FakeBackend(answers=past(288, 12.0))
    index = {"ispu": 126, "category": 3, "dominant": "o3", "hours": 24, "indicative": 1}
    backend.observe("air_index", "aq-1", index)
    found = await air(backend)
    assert (found["ispu"], found["dominant"], found["category"]) == (126, "o3", "unhealthy")
    assert found["indicative"]
    assert found["index_ms"] is not None


async def test_an_index_without_enough_hours_is_no_number() -> None:
    backend = FakeBackend(answers=past(100))
    backend.observe("air_index", "aq-1", {"hours": 17, "indicative": 1})
    found = await air(backend)
    assert (found["ispu"], found["dominant"], found["category"]) == (None, "", "")
