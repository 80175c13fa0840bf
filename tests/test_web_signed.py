"""Signed links: GET asks and changes nothing, POST does one act to one alert."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.clock import NS, now_ns
from hub.notify import links
from hub.notify.channels.base import Policy
from hub.notify.links import LASTS_NS, BadLink, Link, Signer
from hub.notify.message import Facts
from hub.notify.routing import Router, Team
from hub.web.app import create_app
from hub.web.serving import serve
from hub.web.tokens import Tokens
from tests.browser_support import browser
from tests.notify_support import NOON, ZONE, change
from tests.test_web_browser import SHOTS
from tests.web_scene import Scene as Regency
from tests.web_support import NOW, FakeBackend

SIGNER = Signer(b"k" * 32, "https://kc.toba.go.id/")
JSON = {"Content-Type": "application/json"}


class Scene:
    """A board with tokens, an alert, and nobody logged in."""

    def __init__(self, client: httpx.AsyncClient, backend: FakeBackend) -> None:
        self.client, self.backend = client, backend
        self.alert = backend.fire("pm25", "aq-1")

    def token(self, act: str = "acknowledge", **changes: Any) -> str:
        link = Link(act, self.alert.key, self.alert.since_ns, "dlh-tg", NOW + LASTS_NS)
        return SIGNER.token(link._replace(**changes))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    backend, tokens = FakeBackend(), Tokens(tmp_path / "tokens.json")
    tokens.create("operator", "operator", NOW)
    app = create_app(backend, tokens=tokens, signer=SIGNER)
    transport = httpx.ASGITransport(app, client=("10.0.0.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="https://kc.toba.go.id") as client:
        yield Scene(client, backend)


async def test_following_a_link_shows_a_page_that_asks_and_changes_nothing(scene: Scene) -> None:
    token = scene.token()
    answer = await scene.client.get(f"/tindak/{token}")
    assert answer.status_code == 200
    assert "/static/act.js" in answer.text
    about = (await scene.client.get(f"/api/v1/links/{token}")).json()
    assert (about["act"], about["open"]) == ("acknowledge", True)
    assert about["alert"]["key"] == scene.alert.key
    assert scene.backend.acts == []


async def test_its_button_acknowledges_and_says_who_and_why(scene: Scene) -> None:
    path = f"/api/v1/links/{scene.token()}"
    answer = await scene.client.post(path, json={"name": "Budi", "why": "menuju lokasi"})
    assert answer.status_code == 200, answer.text
    (act,) = scene.backend.acts
    assert (act["kind"], act["key"]) == ("acknowledge", scene.alert.key)
    assert (act["who"], act["why"]) == ("Budi (dlh-tg)", "menuju lokasi")


async def test_or_silences_that_alert_alone_for_an_hour(scene: Scene) -> None:
    path = f"/api/v1/links/{scene.token('silence')}"
    assert (await scene.client.post(path, json={})).status_code == 200
    (act,) = scene.backend.acts
    assert act["matcher"] == {"key": scene.alert.key}
    assert act["until_ns"] == NOW + 3_600 * NS


async def test_a_link_does_nothing_to_a_later_trouble_of_the_same_alert(scene: Scene) -> None:
    token = scene.token(since_ns=scene.alert.since_ns - 1)
    assert (await scene.client.get(f"/api/v1/links/{token}")).json()["open"] is False
    assert (await scene.client.post(f"/api/v1/links/{token}", json={})).status_code == 409
    assert scene.backend.acts == []


def foreign() -> str:
    """Well made, by a key that is not ours."""
    return Signer(b"o" * 32, "").token(Link("acknowledge", "k", 1, "c", 2**62))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t[:-3] + ("AAA" if t[-3:] != "AAA" else "BBB"),
        lambda t: "A" + t[1:] if t[0] != "A" else "B" + t[1:],
        lambda t: "",
        lambda t: "x" * 500,
        lambda t: foreign(),
    ],
)
async def test_a_link_that_is_not_ours_opens_nothing(scene: Scene, spoil: Any) -> None:
    token = spoil(scene.token())
    for path in (f"/tindak/{token}", f"/api/v1/links/{token}"):
        assert (await scene.client.get(path)).status_code == 404
    assert (await scene.client.post(f"/api/v1/links/{token}", json={})).status_code in (404, 405)
    assert scene.backend.acts == []


async def test_a_link_is_dead_after_a_day(scene: Scene) -> None:
    token = scene.token(expires_ns=NOW)
    assert (await scene.client.get(f"/tindak/{token}")).status_code == 410
    assert (await scene.client.post(f"/api/v1/links/{token}", json={})).status_code == 410
    assert scene.backend.acts == []


async def test_another_site_can_not_press_the_button(scene: Scene) -> None:
    path = f"/api/v1/links/{scene.token()}"
    strange = {"Origin": "https://evil.example", **JSON}
    assert (await scene.client.post(path, json={}, headers=strange)).status_code == 403
    assert (await scene.client.post(path, data={"why": "x"})).status_code in (415, 422)
    assert scene.backend.acts == []


async def test_a_link_gives_no_other_right(scene: Scene) -> None:
    headers = {"Authorization": f"Bearer {scene.token()}"}
    answer = await scene.client.get("/api/v1/overview", headers=headers)
    assert answer.status_code == 401


def test_the_key_is_made_once_and_is_nobodys_else(tmp_path: Path) -> None:
    path = tmp_path / "link.key"
    made = links.key(path)
    assert len(made) == 32
    assert links.key(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_read_back_is_what_was_signed_and_lies_about_nothing() -> None:
    url = SIGNER.link("acknowledge", change(), "tg")
    assert url.startswith("https://kc.toba.go.id/tindak/")
    token = url.rpartition("/")[2]
    link = SIGNER.read(token, NOON)
    assert (link.act, link.alert, link.channel) == ("acknowledge", change().key, "tg")
    with pytest.raises(BadLink, match="expired"):
        SIGNER.read(token, NOON + LASTS_NS)


def routed(public_url: str, **changes: Any) -> dict[str, dict[str, str]]:
    router = Router(
        {"dlh": Team(channels=["tg", "am"])},
        {"tg": Policy(), "am": Policy(audience="machine")},
        lambda _: Facts(),
        language="id",
        zone=ZONE,
        public_url=public_url,
        sign=SIGNER.link,
    )
    return {m.channel: dict(m.acts) for m in router.messages([change(**changes)])}


def test_links_stand_in_what_people_get_while_it_burns_and_only_with_a_public_address() -> None:
    found = routed("https://kc.toba.go.id")
    assert set(found["tg"]) == {"acknowledge", "silence"}
    assert found["am"] == {}
    assert routed("https://kc.toba.go.id", after="resolved")["tg"] == {}
    assert routed("") == {"tg": {}, "am": {}}


async def test_on_a_phone_the_page_asks_and_its_button_acts(tmp_path: Path) -> None:
    scene = Regency()
    scene.fill(now_ns())
    scene.backend.acts.clear()
    alert = next(a for a in scene.backend.alerts() if a.severity == "critical")
    link = Link("acknowledge", alert.key, alert.since_ns, "dlh-tg", scene.backend.now_ns() + NS)
    app = create_app(scene.backend, signer=SIGNER)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(app, port=0, started=port.set_result))
    async with browser(390, 844) as page:
        await page.open(f"http://127.0.0.1:{await port}{links.PATH}{SIGNER.token(link)}")
        await page.until("return !document.getElementById('act').hidden")
        said = await page.run("return document.body.innerText")
        assert "Tangani gangguan ini?" in said
        assert alert.title["id"] in said
        assert scene.backend.acts == []
        await page.write("#name", "Rina")
        await page.write("#why", "menuju lokasi")
        picture = await page.screenshot(Path(SHOTS) / "signed.png" if SHOTS else tmp_path / "x.png")
        assert picture.stat().st_size > 5_000
        await page.click("#go")
        await page.until("return !document.getElementById('said').hidden")
        assert "Tercatat" in await page.run("return document.getElementById('said').innerText")
        assert await page.log() == []
    (act,) = scene.backend.acts
    assert (act["who"], act["why"]) == ("Rina (dlh-tg)", "menuju lokasi")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
