"""Errors as `application/problem+json` (RFC 9457): what happened and what to do."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from hub import logs
from hub.api import TryAgain
from hub.store.base import StoreDown, StoreRefused

log = logs.get("web")


class WebProblem(HTTPException):
    """An answer that is an error. `remedy` tells a person the next step."""

    def __init__(
        self, status: int, detail: str, remedy: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, detail, headers)
        self.remedy = remedy


def problem(
    status: int, detail: str, remedy: str = "", headers: dict[str, str] | None = None
) -> JSONResponse:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body |= {"detail": detail} | ({"remedy": remedy} if remedy else {})
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Make every error of the app a problem document."""

    @app.exception_handler(WebProblem)
    async def known(request: Request, error: WebProblem) -> JSONResponse:
        return problem(error.status_code, error.detail, error.remedy, dict(error.headers or {}))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        remedy = "See /api for what there is." if error.status_code in (404, 405) else ""
        return problem(error.status_code, str(error.detail), remedy, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        said = [
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
        ]
        return problem(422, "; ".join(said), "Correct the named fields; /api shows the shapes.")

    @app.exception_handler(StoreDown)
    async def store_down(request: Request, error: StoreDown) -> JSONResponse:
        return problem(503, f"The store can't be reached: {error}", "Try again; live data go on.")

    @app.exception_handler(StoreRefused)
    async def store_refused(request: Request, error: StoreRefused) -> JSONResponse:
        return problem(502, f"The store refused: {error}", "Run `toba-hub doctor`.")

    @app.exception_handler(TryAgain)
    async def try_again(request: Request, error: TryAgain) -> JSONResponse:
        said = f"This can't be done right now: {error}"
        return problem(503, said, "Try again in a moment; nothing was changed.")

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("BUG: a request failed", path=request.url.path, exc_info=error)
        return problem(500, "An error of the hub itself; the log says more.", "Please report it.")
