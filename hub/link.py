"""The wire between the two processes: HTTP over a local socket in the data folder.

The log is their only border for data; this carries what can't wait in it: a person's act on its
way into the log, how the serve process is, devices to poll now, a reload, a plugin's HTTP request,
and the ingest process' health.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
from aiohttp import web

from hub import logs
from hub.acts import act_of
from hub.api import BadItem, BadSeries, Reading, TryAgain
from hub.problems import Misconfigured, Problem
from hub.records import pack_readings, readings_in
from hub.reload import Changes

log = logs.get("link")

TIMEOUT_S = 10.0
RELOAD_S = 120.0
"""Large inventories are read for some seconds."""
BODY = 1024 * 1024


class IngestSide(Protocol):
    """What the ingest process answers."""

    async def act(self, act: Mapping[str, Any]) -> int:
        """Append an act; its record id, once durable. Raises `TryAgain`."""
        ...

    async def tell(self, part: str, numbers: Mapping[str, int]) -> None:
        """Append how a part of the hub stands; returns once durable. Raises `TryAgain`."""
        ...

    async def take(self, readings: Sequence[Reading]) -> None:
        """Append old readings that a person imports; returns once durable. Raises `TryAgain`."""
        ...

    def probe(self, devices: Sequence[str]) -> None:
        """Begin to poll these now; each verdict becomes a record."""
        ...

    def health(self) -> dict[str, Any]: ...

    async def reload(self, *, remove_many: bool) -> Changes:
        """Read the configuration again. Raises `Misconfigured`, `TryAgain`."""
        ...

    async def route(self, method: str, path: str, body: bytes) -> Mapping[str, Any] | None:
        """A plugin's answer, None where no plugin has such a route. Raises `BadItem`."""
        ...


async def serve(path: Path, side: IngestSide) -> web.AppRunner:
    """Listen on a socket that only this user may open; close the runner to end."""
    app = web.Application(middlewares=[_errors], client_max_size=BODY)
    app.add_routes(_Answers(side).routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    path.unlink(missing_ok=True)
    site = web.UnixSite(runner, str(path))
    await site.start()
    path.chmod(0o600)
    return runner


class _Answers:
    """Requests to calls of `IngestSide`, and back."""

    def __init__(self, side: IngestSide) -> None:
        self._side = side

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/act", self._act),
            web.post("/tell", self._tell),
            web.post("/import", self._take),
            web.post("/probe", self._probe),
            web.get("/health", self._health),
            web.post("/reload", self._reload),
            web.route("*", "/route/{path:.*}", self._route),
        ]

    async def _act(self, request: web.Request) -> web.Response:
        said = await _json(request)
        act_of(said)
        return web.json_response({"id": await self._side.act(said)})

    async def _tell(self, request: web.Request) -> web.Response:
        said = await _json(request)
        numbers = said.get("numbers")
        if not isinstance(numbers, dict):
            raise BadItem("no numbers")
        await self._side.tell(str(said.get("part", "")), numbers)
        return web.json_response({})

    async def _take(self, request: web.Request) -> web.Response:
        try:
            found = readings_in(await request.read())
        except (msgspec.DecodeError, BadSeries) as error:
            raise BadItem(f"no readings: {error}") from None
        await self._side.take(found)
        return web.json_response({})

    async def _probe(self, request: web.Request) -> web.Response:
        devices = (await _json(request)).get("devices")
        if not isinstance(devices, list) or not all(isinstance(one, str) for one in devices):
            raise BadItem("no list of devices")
        self._side.probe(devices)
        return web.json_response({})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response(self._side.health())

    async def _reload(self, request: web.Request) -> web.Response:
        remove_many = (await _json(request)).get("remove_many") is True
        try:
            changes = await self._side.reload(remove_many=remove_many)
        except Misconfigured as error:
            return web.json_response({"problems": [asdict(one) for one in error.problems]})
        return web.json_response(changes.plain())

    async def _route(self, request: web.Request) -> web.Response:
        body = await request.read()
        answer = await self._side.route(request.method, request.match_info["path"], body)
        if answer is None:
            return web.json_response({"error": "no such route"}, status=404)
        return web.json_response(dict(answer))


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadItem as error:
        return web.json_response({"error": str(error)}, status=400)
    except TryAgain as error:
        return web.json_response({"error": str(error)}, status=503)
    except web.HTTPException as error:
        return web.json_response({"error": error.reason}, status=error.status)
    except Exception as error:  # a plugin's route may fail in any way
        log.error("BUG: a request failed", path=request.path, exc_info=True)
        return web.json_response({"error": repr(error)}, status=500)


async def _json(request: web.Request) -> dict[str, Any]:
    """Raises `BadItem` for what is no JSON object."""
    try:
        found = await request.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadItem("not a JSON object")
    return found


class Link:
    """The serve process' end. Every call raises `TryAgain` while ingest can't be reached, `BadItem`
    for what it will never take."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: aiohttp.ClientSession | None = None

    async def act(self, act: Mapping[str, Any]) -> int:
        _, answer = await self.call("POST", "/act", json=dict(act))
        return int(answer["id"])

    async def tell(self, part: str, numbers: Mapping[str, int]) -> None:
        await self.call("POST", "/tell", json={"part": part, "numbers": dict(numbers)})

    async def take(self, readings: Sequence[Reading]) -> None:
        await self.call("POST", "/import", data=pack_readings("import", readings))

    async def probe(self, devices: Sequence[str]) -> None:
        await self.call("POST", "/probe", json={"devices": list(devices)})

    async def health(self) -> dict[str, Any]:
        return (await self.call("GET", "/health"))[1]

    async def reload(self, *, remove_many: bool = False) -> Changes:
        """What changed. Raises `Misconfigured`: then nothing did."""
        said, patience = {"remove_many": remove_many}, aiohttp.ClientTimeout(RELOAD_S)
        _, answer = await self.call("POST", "/reload", json=said, timeout=patience)
        if "problems" in answer:
            raise Misconfigured([Problem(**one) for one in answer["problems"]])
        return Changes.read(answer)

    async def route(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        return await self.call(method, f"/route/{path}", data=body, errors=False)

    async def call(
        self, method: str, path: str, *, errors: bool = True, **body: Any
    ) -> tuple[int, dict[str, Any]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(self._path)),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            )
        try:
            async with self._session.request(method, f"http://ingest{path}", **body) as response:
                answer: dict[str, Any] = await response.json()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise TryAgain(f"the ingest process does not answer: {error}") from None
        if errors and response.status == 400:
            raise BadItem(str(answer.get("error")))
        if errors and response.status >= 400:
            raise TryAgain(str(answer.get("error", response.status)))
        return response.status, answer

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            await asyncio.sleep(0)
