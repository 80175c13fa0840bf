"""HTML pages and their files, read once from the package; the language is chosen here."""

from __future__ import annotations

import hashlib
import html
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field

from hub.web.auth import COOKIE, Auth, guard_change
from hub.web.backend import Backend
from hub.web.problems import WebProblem
from rules.rule import LANGUAGES
from rules.words import FIELDS, VALUES

LANGUAGE_COOKIE = "toba_lang"
YEAR_S = 365 * 86_400
TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "LICENSE": "text/plain; charset=utf-8",
}

pages = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around the `<main>` of a page in `frame.html`; texts by their keys."""

    title: str
    small: str = "board.title"
    """Under the regency's name."""
    nav: tuple[tuple[str, str], ...] = ()
    """(address, text) of what stands before the other language."""
    home: str = "/"
    script: str = ""
    """The module that brings it to life; empty: it needs none."""
    styles: tuple[str, ...] = ("base.css", "page.css")

    def around(self, main: str) -> str:
        """The whole page, its texts still as `{{key}}`."""
        head = [f'<link rel="stylesheet" href="/static/{name}">' for name in self.styles]
        if self.script:
            head.append(f'<script type="module" src="/static/{self.script}"></script>')
            main += NO_SCRIPT
        text = assets()["frame.html"].body.decode()
        for slot, content in {
            "title": f"{{{{{self.title}}}}}",
            "small": f"{{{{{self.small}}}}}",
            "nav": "".join(f'<a href="{href}">{{{{{key}}}}}</a>' for href, key in self.nav),
            "home": self.home,
            "head": "\n".join(head),
            "main": main,
        }.items():
            text = text.replace(f"[[{slot}]]", content)
        return text


NO_SCRIPT = '<noscript><p class="banner">{{page.noscript}}</p></noscript>'
BOARD, PUBLIC = ("/", "nav.board"), ("/publik", "nav.public")
FRAMES = {
    "act.html": Frame("signed.title", script="act.js"),
    "api.html": Frame("api.title", small="api.title", nav=(BOARD,), script="api.js"),
    "device.html": Frame(
        "device.title",
        nav=(BOARD,),
        script="device.js",
        styles=("vendor/uPlot.min.css", "base.css", "page.css"),
    ),
    "login.html": Frame("login.title", nav=(PUBLIC,), script="login.js"),
    "missing.html": Frame("device.title", nav=(BOARD,)),
    "public.html": Frame("public.title", small="public.title", home="/publik", script="public.js"),
}
"""The board is a page of its own: its header has more in it."""


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    type: str
    etag: str


@cache
def assets() -> dict[str, Asset]:
    """Every file under `static/`, by its path."""
    found: dict[str, Asset] = {}

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            elif (kind := TYPES.get(entry.name.rpartition(".")[2])) is not None:
                body = entry.read_bytes()
                body = _with_words(body) if entry.name == "text.json" else body
                tag = hashlib.sha256(body).hexdigest()[:20]
                found[prefix + entry.name] = Asset(body, kind, f'"{tag}"')

    walk(resources.files("hub.web") / "static", "")
    return found


def _with_words(body: bytes) -> bytes:
    """The catalogue with what rules and messages call fields and their values, too."""
    both: dict[str, dict[str, str]] = json.loads(body)
    for field, words in FIELDS.items():
        both[f"field.{field}"] = dict(zip(LANGUAGES, words, strict=True))
    for field, values in VALUES.items():
        for value, words in values.items():
            both[f"value.{field}.{value}"] = dict(zip(LANGUAGES, words, strict=True))
    return json.dumps(both, ensure_ascii=False).encode()


@cache
def catalogue(language: str) -> dict[str, str]:
    """Key to text, of one language."""
    both: dict[str, dict[str, str]] = json.loads(assets()["text.json"].body)
    return {key: texts[language] for key, texts in both.items()}


def language_of(request: Request) -> str:
    """?lang=, then the cookie, then the regency's first."""
    backend: Backend = request.app.state.backend
    known = backend.regency.languages
    for wanted in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if wanted in known:
            return str(wanted)
    return known[0]


def page(request: Request, name: str, status: int = 200) -> Response:
    """A page with `{{key}}` filled in from the catalogue of the reader's language."""
    backend: Backend = request.app.state.backend
    language = language_of(request)
    text = assets()[name].body.decode()
    if name in FRAMES:
        text = FRAMES[name].around(text)
    for key, value in catalogue(language).items():
        text = text.replace("{{" + key + "}}", html.escape(value))
    text = text.replace("{{lang}}", language)
    text = text.replace("{{regency}}", html.escape(backend.regency.name))
    response = Response(
        text, status, media_type=TYPES["html"], headers={"Cache-Control": "no-store"}
    )
    if request.query_params.get("lang") == language:
        response.set_cookie(LANGUAGE_COOKIE, language, YEAR_S, samesite="strict")
    return response


@pages.get("/")
async def board(request: Request) -> Response:
    if _identity_missing(request):
        return RedirectResponse("/masuk", 303)
    return page(request, "board.html")


@pages.get("/device/{id}")
async def device(id: str, request: Request) -> Response:
    if _identity_missing(request):
        return RedirectResponse("/masuk", 303)
    backend: Backend = request.app.state.backend
    if id not in backend.inventory.devices:
        return page(request, "missing.html", 404)
    return page(request, "device.html")


def _identity_missing(request: Request) -> bool:
    auth: Auth = request.app.state.auth
    try:
        return auth.identify(request) is None
    except WebProblem:
        return True


@pages.get("/publik")
async def public(request: Request) -> Response:
    return page(request, "public.html")


@pages.get("/masuk")
async def login_page(request: Request) -> Response:
    return page(request, "login.html")


@pages.get("/api")
async def api_page(request: Request) -> Response:
    return page(request, "api.html")


@pages.get("/map.geojson")
async def regency_map(request: Request) -> Response:
    backend: Backend = request.app.state.backend
    return Response(json.dumps(backend.regency.map), media_type="application/geo+json")


@pages.get("/favicon.ico")
async def favicon() -> Response:
    return RedirectResponse("/static/icon.svg", 301)


@pages.get("/static/{path:path}")
async def static(path: str, request: Request) -> Response:
    asset = assets().get(path)
    if asset is None:
        raise WebProblem(404, f"There is no file {path!r}.")
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.type, headers=headers)


class Login(BaseModel, extra="forbid"):
    token: str = Field(min_length=1, max_length=200)


@pages.post("/masuk")
async def login(body: Login, request: Request) -> Response:
    """Put a valid token into a cookie that scripts can't read."""
    guard_change(request)
    auth: Auth = request.app.state.auth
    found = auth.of_token(body.token)
    response = _json({"name": found.name, "role": found.role})
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, body.token, 30 * 86_400, httponly=True, samesite="strict", secure=secure
    )
    return response


@pages.post("/keluar")
async def logout(request: Request) -> Response:
    guard_change(request)
    response = _json({})
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def _json(data: dict[str, Any]) -> Response:
    return Response(json.dumps(data), media_type="application/json")
