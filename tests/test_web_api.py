"""The JSON API: its shapes, its errors, what it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema
import pytest
import structlog

from hub.api import TryAgain
from hub.clock import NS
from hub.web.app import create_app
from rules.transition import Transition
from tests.web_scene import Scene
from tests.web_support import NOW, FakeBackend


@pytest.fixture
def backend() -> FakeBackend:
    """A whole regency with some trouble."""
    scene = Scene()
    scene.fill(NOW, steps=60)
    made = scene.backend
    made.quiet = [
        {"id": "7", "matcher": {"device": ["cam-1"]}, "who": "Rina", "why": "x", "until_ns": NOW}
    ]
    made.past = [
        Transition(
            id="12-0", time_ns=NOW, key="k", rule="pm25", device="aq-balige", tags={},
            before="pending", after="firing", severity="warning", value=74.8, who="", why="",
            title={"id": "a", "en": "b"}, advice={}, notify=(), cause="", since_ns=NOW - 600 * NS,
        )
    ]  # fmt: skip
    return made


@pytest.fixture
async def web(backend: FakeBackend) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(backend, auth="demo")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


ANSWERS = [
    ("/overview", "/overview"),
    ("/devices", "/devices?kind=router&site=balige"),
    ("/devices/{id}", "/devices/aq-balige"),
    ("/alerts", "/alerts"),
    ("/history", "/history?limit=5"),
    ("/events", "/events?limit=5"),
    ("/silences", "/silences"),
    ("/duty", "/duty"),
    ("/acts", "/acts"),
    ("/proposals", "/proposals"),
    ("/query", "/query?measurement=environment&field=pm25&device=aq-balige"),
    ("/me", "/me"),
    ("/public", "/public"),
]


@pytest.mark.parametrize(("documented", "asked"), ANSWERS)
async def test_every_answer_is_what_openapi_promises(
    web: httpx.AsyncClient, documented: str, asked: str
) -> None:
    schema = (await web.get("/api/v1/openapi.json")).json()
    promised = schema["paths"][f"/api/v1{documented}"]["get"]["responses"]["200"]
    wanted = promised["content"]["application/json"]["schema"]
    answer = (await web.get(f"/api/v1{asked}")).json()
    assert answer
    jsonschema.validate(answer, {**wanted, "components": schema["components"]})


async def test_the_overview_counts_what_is_there(web: httpx.AsyncClient) -> None:
    seen = (await web.get("/api/v1/overview")).json()
    counts = seen["counts"]
    assert counts["opds"]["total"] == 44
    assert counts["opds"]["up"] == 38  # Porsea's router and the five offices behind it
    assert counts["sensors"] == {"up": 8, "total": 10, "trouble": 1, "unknown": 0}
    assert counts["alerts"] == {
        "critical": 1, "warning": 1, "info": 0, "acknowledged": 1, "pending": 0, "explained": 1,
    }  # fmt: skip
    assert sum(counts["devices"].values()) == len(seen["devices"]) == len(seen["inventory"])
    first = seen["alerts"][0]
    assert (first["device"], first["severity"]) == ("r-camat-porsea", "critical")
    assert len(first["drags"]) == 9
    assert seen["alerts"][-1]["root"] == first["key"]
    assert len(seen["devices"][0]["spark"]) == 48


async def test_a_device_page_has_readings_the_way_up_and_what_is_behind(
    web: httpx.AsyncClient,
) -> None:
    camera = (await web.get("/api/v1/devices/cam-pasar-porsea")).json()
    assert camera["chain"] == ["r-camat-porsea", "r-core"]
    router = (await web.get("/api/v1/devices/r-camat-porsea")).json()
    assert "cam-pasar-porsea" in router["behind"]
    assert router["now"]["state"] == "down"
    fields = {(one["measurement"], one["field"]): one["unit"] for one in router["readings"]}
    assert fields["interface", "in_bps"] == "bit/s"


async def test_acknowledge_writes_who_and_why_before_it_answers(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    key = "router_down/r-camat-porsea"
    answer = await web.post(
        f"/api/v1/alerts/{key}/acknowledge", json={"why": " teknisi ", "name": "Rina"}
    )
    assert answer.json()["who"] == "demo: Rina"
    act = backend.acts[-1]
    assert (act["kind"], act["key"], act["why"]) == ("acknowledge", key, "teknisi")
    states = {one["key"]: one["state"] for one in (await web.get("/api/v1/alerts")).json()}
    assert states[key] == "acknowledged"


async def test_a_silence_has_an_end_and_a_reason(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    order = {"matcher": {"device": "aq-balige"}, "why": "kalibrasi", "seconds": 3600}
    assert (await web.post("/api/v1/silences", json=order)).status_code == 200
    assert backend.acts[-1]["until_ns"] == backend.time_ns + 3600 * NS
    assert backend.acts[-1]["matcher"] == {"device": "aq-balige"}
    gone = await web.request("DELETE", "/api/v1/silences/7", json={})
    assert gone.status_code == 200
    assert (backend.acts[-1]["kind"], backend.acts[-1]["key"]) == ("unsilence", "7")


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 0},
        {"seconds": 10**9},
        {"why": ""},
        {"matcher": {}},
        {"surprise": 1},
        {"why": "x" * 501},
    ],
)
async def test_a_silence_that_makes_no_sense_is_refused_by_field(
    web: httpx.AsyncClient, backend: FakeBackend, wrong: dict[str, Any]
) -> None:
    order = {"matcher": {"device": "aq-balige"}, "why": "kalibrasi", "seconds": 60} | wrong
    done = [*backend.acts]
    answer = await web.post("/api/v1/silences", json=order)
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json()["detail"]
    assert backend.acts == done


async def test_why_a_rule_fires_has_times_that_javascript_can_hold(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    found = (await web.get("/api/v1/devices/aq-balige/explain?rule=pm25_unhealthy")).json()
    (one,) = found
    assert (one["state"], one["silence"], one["value"]) == ("firing", "maintenance", 74.8)
    assert one["since_ms"] == one["since_ns"] // 10**6 < NOW // 10**6
    assert one["silenced_until_ms"] == one["silenced_until_ns"] // 10**6
    calm = (await web.get("/api/v1/devices/aq-balige/explain?rule=battery_low")).json()
    assert (calm[0]["since_ms"], calm[0]["silenced_until_ms"]) == (None, None)
    assert (await web.get("/api/v1/devices/nobody/explain")).status_code == 404


async def test_every_error_is_a_problem_document_with_a_remedy(web: httpx.AsyncClient) -> None:
    for method, path, status in (
        ("GET", "/api/v1/devices/nowhere", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/api/v1/history?limit=0", 422),
        ("POST", "/api/v1/alerts/none/acknowledge", 404),
        ("POST", "/api/v1/faults", 404),
    ):
        body = {"name": "x"} if path.endswith("faults") else {}
        answer = await web.request(method, path, json=body if method == "POST" else None)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json", path
        said = answer.json()
        assert said["status"] == status
        assert said["detail"]


async def test_an_act_while_ingest_is_away_says_that_nothing_was_changed(
    web: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*args: Any, **more: Any) -> None:
        raise TryAgain("ingest does not answer")

    monkeypatch.setattr(backend, "act", away)
    answer = await web.post("/api/v1/alerts/k/acknowledge", json={})
    assert answer.status_code == 503
    assert "nothing was changed" in answer.json()["remedy"]


async def test_a_bug_is_a_problem_document_without_its_inside(
    web: httpx.AsyncClient, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("secret inside")

    monkeypatch.setattr(backend, "silences", broken)
    with structlog.testing.capture_logs() as logged:
        answer = await web.get("/api/v1/silences")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert [(one["event"], one["path"]) for one in logged] == [
        ("BUG: a request failed", "/api/v1/silences")
    ]


async def test_a_body_over_64_kib_is_refused(web: httpx.AsyncClient, backend: FakeBackend) -> None:
    answer = await web.post("/api/v1/heartbeat/t", content=b"x" * 70_000)
    assert answer.status_code == 413


async def test_a_plugins_route_answers_without_a_token_of_the_hub(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.routes["POST", "heartbeat/t0k"] = (200, {"ok": True})
    backend.routes["POST", "heartbeat/bad"] = (400, {"error": "no such camera"})
    local = {"Host": "hub.example", "Content-Type": "text/plain"}
    good = await web.post("/api/v1/heartbeat/t0k", content=b"{}", headers=local)
    assert (good.status_code, good.json()) == (200, {"ok": True})
    bad = await web.post("/api/v1/heartbeat/bad", content=b"{}", headers=local)
    assert (bad.status_code, bad.json()["detail"]) == (400, "no such camera")


async def test_a_fault_of_the_demo_starts_and_ends(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    order = {"name": "pm25_rises", "target": "aq-balige"}
    await web.post("/api/v1/faults", json=order)
    assert backend.offered["pm25_rises", "aq-balige"]["active"]
    await web.request("DELETE", "/api/v1/faults", json=order)
    assert not backend.offered["pm25_rises", "aq-balige"]["active"]


async def test_healthz_gives_its_reasons(web: httpx.AsyncClient, backend: FakeBackend) -> None:
    assert (await web.get("/healthz")).status_code == 200
    backend.report = {"ok": False, "reasons": ["the store can't be reached"]}
    answer = await web.get("/healthz")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the store can't be reached"])


async def test_metrics_are_prometheus_text_with_escaped_labels(
    web: httpx.AsyncClient, backend: FakeBackend
) -> None:
    backend.report["drops"] = {"quota": 4}
    text = (await web.get("/metrics")).text
    assert 'toba_hub_refused_total{collector="mqtt",reason="not \\"JSON\\""} 3' in text
    assert 'toba_hub_drops_total{reason="quota"} 4' in text
    assert 'toba_hub_alerts{state="critical"} 1' in text
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
