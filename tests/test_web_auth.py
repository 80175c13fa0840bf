"""Who may see and do what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from hub.web.app import create_app
from hub.web.tokens import Role, Tokens
from tests.web_support import NOW, FakeBackend

BODY = {"why": "on it"}


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "tokens.json")


@pytest.fixture
def backend() -> FakeBackend:
    made = FakeBackend()
    made.fire("pm25", "aq-1")
    return made


@pytest.fixture
async def web(backend: FakeBackend, tokens: Tokens) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(backend, auth="tokens", tokens=tokens)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


def bearer(clear: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {clear}"}


async def acknowledge(web: httpx.AsyncClient, **headers: str) -> httpx.Response:
    return await web.post("/api/v1/alerts/pm25%2Faq-1/acknowledge", json=BODY, headers=headers)


async def test_without_any_token_this_machine_may_look_but_not_act(web: httpx.AsyncClient) -> None:
    assert (await web.get("/api/v1/me")).json()["role"] == "viewer"
    answer = await acknowledge(web)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "operator" in answer.json()["remedy"]


async def test_once_there_is_a_token_everybody_needs_one(
    web: httpx.AsyncClient, tokens: Tokens
) -> None:
    tokens.create("wall", "viewer", NOW)
    answer = await web.get("/api/v1/overview")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await web.get("/")).headers["location"] == "/masuk"
    for path in ("/publik", "/masuk", "/api/v1/public", "/healthz", "/static/board.js"):
        assert (await web.get(path)).status_code == 200, path


@pytest.mark.parametrize(
    ("role", "sees", "acts"), [("viewer", 200, 403), ("operator", 200, 200), ("admin", 200, 200)]
)
async def test_roles_allow_what_they_say(
    web: httpx.AsyncClient, tokens: Tokens, role: Role, sees: int, acts: int
) -> None:
    headers = bearer(tokens.create("Rina", role, NOW))
    assert (await web.get("/api/v1/alerts", headers=headers)).status_code == sees
    assert (await acknowledge(web, **headers)).status_code == acts
    # Nothing was found that has this key: who may act, hears that.
    for method in ("POST", "DELETE"):
        path = "/api/v1/proposals/device:aq-9/dismiss"
        answer = await web.request(method, path, json={"why": "x"}, headers=headers)
        assert answer.status_code == (404 if acts == 200 else acts)


async def test_a_change_is_attributed_to_the_token(
    web: httpx.AsyncClient, tokens: Tokens, backend: FakeBackend
) -> None:
    headers = bearer(tokens.create("NOC", "operator", NOW))
    answer = await web.post(
        "/api/v1/alerts/pm25%2Faq-1/acknowledge", json={**BODY, "name": "Rina"}, headers=headers
    )
    assert answer.json()["who"] == "NOC: Rina"
    assert backend.acts[0]["who"] == "NOC: Rina"


@pytest.mark.parametrize("clear", ["wrong", "toba_" + "A" * 43, "ünïcode"])
async def test_an_unknown_token_is_refused_even_where_none_is_needed(
    web: httpx.AsyncClient, clear: str
) -> None:
    headers = httpx.Headers({b"Authorization": f"Bearer {clear}".encode()})
    assert (await web.get("/api/v1/me", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "192.168.1.5:8080"},
        {"X-Forwarded-For": "10.0.0.9"},
        {"Forwarded": "for=10.0.0.9"},
    ],
)
@pytest.mark.parametrize("mode", ["demo", "tokens"])
async def test_a_rebound_name_or_a_proxy_is_not_this_machine(
    backend: FakeBackend, headers: dict[str, str], mode: str
) -> None:
    app = create_app(backend, auth="demo" if mode == "demo" else "tokens")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8080"
    ) as web:
        assert (await web.get("/api/v1/overview", headers=headers)).status_code == 401


async def test_another_machine_is_nobody_even_in_the_demo(backend: FakeBackend) -> None:
    transport = httpx.ASGITransport(create_app(backend, auth="demo"), client=("10.1.2.3", 4444))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as web:
        assert (await web.get("/api/v1/overview")).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:8080"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_what_another_site_makes_a_browser_send_changes_nothing(
    backend: FakeBackend, headers: dict[str, str], status: int
) -> None:
    transport = httpx.ASGITransport(create_app(backend, auth="demo"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as web:
        answer = await acknowledge(web, **headers)
    assert answer.status_code == status
    assert bool(backend.acts) == (status == 200)


async def test_login_puts_the_token_where_scripts_can_not_read_it(
    web: httpx.AsyncClient, tokens: Tokens
) -> None:
    clear = tokens.create("Rina", "operator", NOW)
    assert (await web.post("/masuk", json={"token": "wrong"})).status_code == 401
    foreign = {"Origin": "http://evil.example"}
    assert (await web.post("/masuk", json={"token": clear}, headers=foreign)).status_code == 403
    answer = await web.post("/masuk", json={"token": clear})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await web.get("/api/v1/me")).json() == {
        "name": "Rina", "role": "operator", "auth": "tokens",
    }  # fmt: skip
    tokens.revoke("Rina")
    assert (await web.get("/api/v1/overview")).status_code == 401
    await web.post("/keluar", json={})
    assert (await web.get("/api/v1/me")).json()["name"] == "local"


async def test_a_broken_token_file_shuts_the_door(web: httpx.AsyncClient, tokens: Tokens) -> None:
    tokens.path.write_text("{")
    answer = await web.get("/api/v1/overview")
    assert answer.status_code == 503
    assert "toba-hub token create" in answer.json()["remedy"]
    assert (await web.post("/masuk", json={"token": "x"})).status_code == 503
