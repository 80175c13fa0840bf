"""Pages: both languages, a strict policy, nothing from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from hub.web.app import create_app
from hub.web.pages import FRAMES, assets
from tests.web_support import FakeBackend

PAGES = ["/", "/device/aq-1", "/publik", "/masuk", "/api"]
OWN = [name for name in assets() if not name.startswith("vendor/")]


def catalogue() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(assets()["text.json"].body)
    return found


@pytest.fixture
async def web() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(FakeBackend(), auth="demo"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


def test_every_text_is_there_in_both_languages_with_the_same_holes() -> None:
    for key, texts in catalogue().items():
        assert set(texts) == {"id", "en"}, key
        assert all(texts.values()), key
        holes = [sorted(re.findall(r"\{\w+\}", text)) for text in texts.values()]
        assert holes[0] == holes[1], key


def test_every_text_that_a_page_or_script_names_is_in_the_catalogue() -> None:
    known, used = set(catalogue()), set()
    for name in OWN:
        body = assets()[name].body.decode()
        if name.endswith(".html"):
            body = FRAMES[name].around(body) if name in FRAMES else body
            used |= set(re.findall(r"\{\{([\w.]+)\}\}", body)) - {"lang", "regency"}
        elif name.endswith(".js"):
            used |= set(re.findall(r"""\bt\(["']([\w.]+)["']""", body))
    assert len(used) > 60
    assert used <= known, used - known


def test_no_text_of_the_catalogue_is_unused() -> None:
    scripts = "".join(assets()[n].body.decode() for n in OWN if n.endswith((".js", ".html")))
    scripts += "".join(frame.around("") for frame in FRAMES.values())
    prefixes = set(re.findall(r"`([\w.]+\.)\$\{", scripts))
    quoted = set(re.findall(r"[\"'`{(]([a-z]+(?:\.[\w]+)+)[\"'`})]", scripts))
    unused = [
        key
        for key in catalogue()
        if key not in quoted and not any(key.startswith(prefix) for prefix in prefixes)
    ]
    assert unused == []


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["id", "en"])
async def test_a_page_speaks_its_readers_language(
    web: httpx.AsyncClient, path: str, language: str
) -> None:
    answer = await web.get(path, params={"lang": language})
    assert f'<html lang="{language}">' in answer.text
    assert "{{" not in answer.text
    assert answer.headers["set-cookie"].startswith(f"toba_lang={language}")
    again = await web.get(path)
    assert f'<html lang="{language}">' in again.text
    strange = await web.get(path, params={"lang": '"><script>'})
    assert "<script>" not in strange.text


@pytest.mark.parametrize("path", [*PAGES, "/api/v1/overview", "/static/board.js", "/nowhere"])
async def test_every_answer_carries_the_strict_policy(web: httpx.AsyncClient, path: str) -> None:
    headers = (await web.get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("name", [name for name in OWN if name.endswith(".html")])
def test_markup_has_no_inline_script_style_or_foreign_address(name: str) -> None:
    text = assets()[name].body.decode()
    assert not re.search(r"\son\w+\s*=", text)
    assert not re.search(r"\sstyle\s*=", text)
    assert "<style" not in text
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", text)


@pytest.mark.parametrize("name", [name for name in OWN if name.endswith((".js", ".css"))])
def test_scripts_and_styles_ask_nobody_else_and_make_no_markup_of_text(name: str) -> None:
    text = assets()[name].body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://", text)
    assert "innerHTML" not in text
    assert "insertAdjacentHTML" not in text
    assert "eval(" not in text
    assert "@import" not in text


async def test_whatever_a_page_links_to_is_served(web: httpx.AsyncClient) -> None:
    for path in PAGES:
        text = (await web.get(path)).text
        for link in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
            answer = await web.get(link)
            assert answer.status_code == 200, link
            etag = {"If-None-Match": answer.headers["etag"]}
            assert (await web.get(link, headers=etag)).status_code == 304
    for name in (name for name in OWN if name.endswith(".js")):
        for module in re.findall(r'from "\./([^"]+)"', assets()[name].body.decode()):
            assert module in assets(), f"{name} imports {module}"


def test_the_chart_library_comes_with_its_licence() -> None:
    assert b"MIT" in assets()["vendor/uPlot.LICENSE"].body
    assert b"uPlot.js" in assets()["vendor/uPlot.esm.js"].body[:300]


async def test_a_regency_name_is_text_and_never_markup() -> None:
    backend = FakeBackend()
    backend.regency = type(backend.regency)(id="x", name="<b>Toba</b> & co")
    transport = httpx.ASGITransport(create_app(backend, auth="demo"))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as web:
        assert "&lt;b&gt;Toba&lt;/b&gt; &amp; co" in (await web.get("/publik")).text


@pytest.mark.parametrize(("language", "word"), [("id", "Kembali ke papan"), ("en", "Back to the")])
async def test_an_unknown_device_is_a_404_with_a_way_back_and_no_polling(
    web: httpx.AsyncClient, language: str, word: str
) -> None:
    answer = await web.get("/device/nope", params={"lang": language})
    assert answer.status_code == 404
    assert word in answer.text
    assert "<script" not in answer.text
