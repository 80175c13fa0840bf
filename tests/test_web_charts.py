"""Charts: from the store, from memory, and from both where they meet."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from hub.clock import NS
from hub.store.query import SeriesRows
from hub.web.app import create_app
from tests.web_support import NOW, FakeBackend

PATH = "/api/v1/query?measurement=environment&field=pm25&device=aq-1"
MINUTE = 60 * NS


@pytest.fixture
def backend() -> FakeBackend:
    """Ten minutes of one sensor in memory, a point every ten seconds: 0, 1, 2 …"""
    made = FakeBackend()
    for step in range(60):
        made.time_ns = NOW + step * 10 * NS
        made.observe("environment", "aq-1", {"pm25": float(step)}, sensor="a")
    return made


@pytest.fixture
async def web(backend: FakeBackend) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(backend, auth="demo"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_the_store_is_asked_with_tags_zone_and_windows(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    await web.get(PATH + "&since=6h&window=5m&aggregate=max&sensor=a")
    (query,) = backend.asked
    assert query.group_by == ("device", "sensor")
    assert query.where == {"device": ("aq-1",), "sensor": "a"}
    assert (query.window_ns, query.zone) == (5 * MINUTE, "Asia/Jakarta")
    assert query.columns[0].aggregate == "max"
    assert backend.time_ns - query.start_ns == 6 * 3600 * NS


async def test_when_the_store_is_away_memory_answers_and_says_so(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.store_down = True
    chart = (await web.get(PATH + "&since=1h&window=1m")).json()
    assert chart["source"] == "memory"
    assert chart["unit"] == "µg/m³"
    (series,) = chart["series"]
    assert series["tags"] == {"device": "aq-1", "sensor": "a"}
    start = NOW // 1_000_000
    # Ten whole minutes, each the mean of its six values: 0…5, 6…11, …
    assert series["points"] == [[start + i * 60_000, 2.5 + 6 * i] for i in range(10)]


async def test_the_newest_end_comes_from_memory_without_repeating_a_window(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    tags = {"device": "aq-1", "sensor": "a"}
    stored = [(NOW + i * MINUTE, (100.0 + i,)) for i in range(8)]
    backend.answers = [SeriesRows(tags, stored)]
    chart = (await web.get(PATH + "&since=1h&window=1m")).json()
    assert chart["source"] == "store+memory"
    (series,) = chart["series"]
    times = [time for time, _ in series["points"]]
    assert times == sorted(set(times))
    assert [value for _, value in series["points"]] == [*(100.0 + i for i in range(8)), 50.5, 56.5]


async def test_a_series_only_the_store_knows_is_shown_too(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.answers = [SeriesRows({"device": "aq-1", "sensor": "old"}, [(NOW, (7.0,))])]
    chart = (await web.get(PATH)).json()
    assert {one["tags"]["sensor"] for one in chart["series"]} == {"a", "old"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("&since=yesterday", "since='yesterday' is not a duration"),
        ("&since=0m", "not a duration"),
        ("&since=30d&window=10s", "259200 points"),
        ("&aggregate=percentile", "percentile needs an argument"),
        ("&aggregate=median", "aggregate"),
        ("&ifname=" + "x" * 9 + "&" + "&".join(f"device=d{i}" for i in range(24)), "device"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_before_any_store(
    web: httpx.AsyncClient, backend: FakeBackend, more: str, said: str
) -> None:
    answer = await web.get(PATH + more)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert backend.asked == []


async def test_names_that_are_no_names_are_refused(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    answer = await web.get(
        "/api/v1/query", params={"measurement": 'x" ; DROP', "field": "pm25", "device": "aq-1"}
    )
    assert answer.status_code == 422
    assert backend.asked == []
