"""Puts the web together: pages, API, stream, metrics, over one `Backend`.

create_app(backend) ─► pages.py   /  /device/…  /publik  /masuk  /static
                       signed.py  /tindak/…  what links in messages ask
                       api.py     /api/v1/…  ─ stream.py (events)  charts.py  showing.py
                       plugins    /api/v1/<what a collector declared>
                       here       /healthz  /metrics
                       bodies.py  around them all: no body too large, too slow or too many
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import hub
from hub.notify.links import Signer
from hub.web import api, metrics, pages, problems, signed
from hub.web.auth import Auth, AuthMode, Identity, needs
from hub.web.backend import Backend
from hub.web.bodies import WAIT_S, Bodies
from hub.web.public import PublicView
from hub.web.stream import Feed
from hub.web.tokens import Tokens

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def create_app(
    backend: Backend,
    *,
    auth: AuthMode = "tokens",
    tokens: Tokens | None = None,
    beat_s: float = 0.5,
    max_streams: int = 64,
    signer: Signer | None = None,
    body_s: float = WAIT_S,
) -> FastAPI:
    """The web application. `auth="demo"`: whoever asks from this machine may act. A request's
    body must arrive within `body_s` seconds. `signer`: reads the links of messages."""
    app = FastAPI(
        title="Toba hub",
        version=getattr(hub, "__version__", "0"),
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.backend = backend
    app.state.auth = Auth(auth, tokens)
    app.state.signer = signer
    app.state.feed = Feed(backend, beat_s=beat_s, max_clients=max_streams)
    app.state.public = PublicView(backend)
    problems.install(app)
    app.include_router(pages.pages)
    app.include_router(signed.signed)
    app.include_router(api.api)
    app.include_router(api.public)
    _add_probes(app, backend)
    _add_plugins(app, backend)
    app.add_middleware(Bodies, wait_s=body_s)
    app.add_middleware(_Shell)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    feed: Feed = app.state.feed
    beating = asyncio.create_task(feed.run(), name="board-feed")
    try:
        yield
    finally:
        feed.close()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


def _add_probes(app: FastAPI, backend: Backend) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        """For a load balancer or a supervisor: 200, or 503 with the reasons."""
        report = backend.health()
        well = report.get("ok", False)
        return JSONResponse(
            {"ok": well, "reasons": report.get("reasons", [])},
            200 if well else 503,
            {"Cache-Control": "no-store"},
        )

    @app.get("/metrics", include_in_schema=False)
    async def prometheus(who: Annotated[Identity, Depends(needs("viewer"))]) -> Response:
        return Response(metrics.text(backend, app.state.feed), media_type=metrics.CONTENT_TYPE)


def _add_plugins(app: FastAPI, backend: Backend) -> None:
    @app.api_route(
        "/api/v1/{path:path}", methods=["GET", "POST", "PUT", "DELETE"], include_in_schema=False
    )
    async def plugin(path: str, request: Request) -> Response:
        """Whatever a collector declared; it checks by itself who asks (a token in the path)."""
        status, body = await backend.route(request.method, path, await request.body())
        if status >= 400:
            detail = str(body.get("detail", body.get("error", f"/api/v1/{path} failed.")))
            return problems.problem(status, detail, str(body.get("remedy", "")))
        return JSONResponse(dict(body), status)


class _Shell:
    """Around everything: security headers out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, dressed)
