"""/api/v1: what the board can show and do, as JSON for everybody else."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from hub.clock import NS
from hub.notify.words import Language
from hub.report import asked, page
from hub.store.query import Aggregate
from hub.web import charts, lists, pages, views
from hub.web.auth import Auth, Identity, needs
from hub.web.backend import ActKind, Backend
from hub.web.problems import WebProblem
from hub.web.showing import Showing
from hub.web.stream import EventStream, Feed

Viewer = Annotated[Identity, Depends(needs("viewer"))]
Operator = Annotated[Identity, Depends(needs("operator"))]

PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"application/problem+json": {}}}
    for code, text in ((401, "No token, or an unknown one"), (403, "The role is not enough"))
}
LONGEST_SILENCE_S = 30 * 86_400

api = APIRouter(prefix="/api/v1", responses=PROBLEMS)
public = APIRouter(prefix="/api/v1")


class Acknowledge(BaseModel, extra="forbid"):
    why: str = Field("", max_length=500, description="What is being done about it")
    name: str = Field("", max_length=64, description="Who, when several share a token")


class Silence(BaseModel, extra="forbid"):
    matcher: dict[str, str] = Field(
        min_length=1,
        max_length=8,
        description="All must match: device, rule, site, opd, kind or an identity tag",
    )
    why: str = Field(min_length=1, max_length=500)
    seconds: int = Field(gt=0, le=LONGEST_SILENCE_S)
    name: str = Field("", max_length=64)


class Dismiss(BaseModel, extra="forbid"):
    why: str = Field("", max_length=500, description="Why it is nothing for the inventory")
    name: str = Field("", max_length=64, description="Who, when several share a token")


class FaultOrder(BaseModel, extra="forbid"):
    name: str = Field(min_length=1, max_length=64)
    target: str = Field("", max_length=64)


def backend_of(request: Request) -> Backend:
    found: Backend = request.app.state.backend
    return found


Hub = Annotated[Backend, Depends(backend_of)]


def answer(data: object) -> Response:
    """Encoded once, by msgspec; FastAPI only documents the shape."""
    return Response(msgspec.json.encode(data), media_type="application/json")


@api.get("/overview", response_model=views.Overview, summary="Everything the board shows")
async def overview(hub: Hub, who: Viewer) -> Response:
    return answer(await Showing(hub).overview())


@api.get("/devices", response_model=list[views.DeviceNow], summary="Every device's state")
async def devices(
    hub: Hub,
    who: Viewer,
    site: str = "",
    opd: str = "",
    kind: str = "",
    state: str = "",
) -> Response:
    look = Showing(hub)
    found = [
        device.id
        for device in look.inventory.devices.values()
        if site in ("", device.site)
        and opd in ("", device.opd)
        and kind in ("", device.kind)
        and state in ("", look.state(device.id))
    ]
    return answer(look.devices(1, found))


@api.get("/devices/{id}", response_model=views.DeviceDetail, summary="All of one device")
async def device(id: str, hub: Hub, who: Viewer) -> Response:
    look = Showing(hub)
    if id not in look.inventory.devices:
        raise WebProblem(404, f"The inventory has no device {id!r}.", "GET /api/v1/devices")
    return answer(look.detail(id))


@api.get("/devices/{id}/explain", summary="Why its alerts fire or don't, rule by rule")
async def explain(id: str, hub: Hub, who: Viewer, rule: str = "") -> Response:
    try:
        return answer(lists.explanations(hub.explain(id, rule)))
    except LookupError as error:
        raise WebProblem(404, f"{error.args[0]}.", "GET /api/v1/devices") from None


@api.get("/alerts", response_model=list[views.AlertInfo], summary="Alerts that are not over")
async def alerts(hub: Hub, who: Viewer, device: str = "") -> Response:
    return answer(Showing(hub).alerts(device)[0])


@api.get("/history", response_model=list[views.HistoryItem], summary="Transitions, newest first")
async def history(
    hub: Hub, who: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100, device: str = ""
) -> Response:
    return answer(lists.history(hub.history(limit, device)))


@api.get("/events", response_model=list[views.EventItem], summary="What devices said lately")
async def events(
    hub: Hub, who: Viewer, limit: Annotated[int, Query(ge=1, le=500)] = 100, device: str = ""
) -> Response:
    return answer(lists.events(hub.events(limit, device)))


@api.get("/acts", response_model=list[views.ActItem], summary="What people did, newest first")
async def acts(
    hub: Hub, who: Viewer, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> Response:
    return answer(lists.acts(hub.acted(limit)))


@api.get(
    "/proposals", response_model=views.Proposals, summary="Found, and not in the inventory yet"
)
async def proposals(hub: Hub, who: Viewer) -> Response:
    return answer(lists.proposals(hub.found(), hub.inventory))


@api.post("/proposals/{key:path}/dismiss", response_model=views.Done)
async def dismiss(key: str, body: Dismiss, hub: Hub, who: Operator) -> Response:
    """Say that it is nothing for the inventory: it is listed no more, but under `dismissed`."""
    return await do(hub, "dismiss", who, body.name, body.why, key=key)


@api.delete("/proposals/{key:path}/dismiss", response_model=views.Done)
async def undismiss(key: str, body: Dismiss, hub: Hub, who: Operator) -> Response:
    """Have it listed again."""
    return await do(hub, "undismiss", who, body.name, body.why, key=key)


@api.get("/duty", response_model=list[views.TeamInfo], summary="Who is on duty, and who is next")
async def duty(hub: Hub, who: Viewer) -> Response:
    return answer(lists.teams(hub.duty()))


@api.get("/silences", response_model=list[views.SilenceInfo], summary="Silences in force")
async def silences(hub: Hub, who: Viewer) -> Response:
    return answer(lists.silences(hub.silences()))


@api.post("/alerts/{key:path}/acknowledge", response_model=views.Done)
async def acknowledge(key: str, body: Acknowledge, hub: Hub, who: Operator) -> Response:
    """Say that somebody is on it. Durable when this answers."""
    return await do(hub, "acknowledge", who, body.name, body.why, key=key)


@api.delete("/alerts/{key:path}/acknowledge", response_model=views.Done)
async def unacknowledge(key: str, body: Acknowledge, hub: Hub, who: Operator) -> Response:
    """Take an acknowledgement back."""
    return await do(hub, "unacknowledge", who, body.name, body.why, key=key)


@api.post("/silences", response_model=views.Done)
async def silence(body: Silence, hub: Hub, who: Operator) -> Response:
    """Send no messages about what matches, for so long; the board goes on showing it."""
    until_ns = hub.now_ns() + body.seconds * NS
    return await do(
        hub, "silence", who, body.name, body.why, matcher=body.matcher, until_ns=until_ns
    )


@api.delete("/silences/{id}", response_model=views.Done)
async def unsilence(id: str, hub: Hub, who: Operator) -> Response:
    """End a silence now."""
    return await do(hub, "unsilence", who, "", "", key=id)


async def do(
    hub: Backend,
    kind: ActKind,
    who: Identity,
    name: str,
    why: str,
    *,
    key: str = "",
    matcher: dict[str, str] | None = None,
    until_ns: int | None = None,
) -> Response:
    """Let a person act. Raises `WebProblem` where there is nothing to act on."""
    actor = f"{who.name}: {name.strip()}" if name.strip() else who.name
    try:
        await hub.act(kind, actor, why.strip(), key=key, matcher=matcher, until_ns=until_ns)
    except LookupError as error:
        raise WebProblem(
            404, f"There is nothing like that now ({error.args[0] if error.args else key}).",
            "It may be over already: GET /api/v1/alerts, /api/v1/silences, /api/v1/proposals.",
        ) from None  # fmt: skip
    except ValueError as error:
        raise WebProblem(422, str(error)) from None
    return answer(views.Done(actor))


@api.get("/query", response_model=views.Chart, summary="One field over time")
async def query(
    hub: Hub,
    who: Viewer,
    measurement: str,
    field: str,
    device: Annotated[list[str], Query(max_length=charts.MOST_SERIES)],
    since: Annotated[str, Query(description="How far back: 30m, 6h, 7d")] = "1h",
    window: Annotated[str, Query(description="30s, 5m, 1h; empty: fitting")] = "",
    aggregate: Aggregate = "mean",
    ifname: str = "",
    sensor: str = "",
) -> Response:
    """From the store, with the newest points from memory; only from memory when the store is
    away (`source` says which)."""
    span_ns, now_ns = charts.duration_ns(since, "since"), hub.now_ns()
    if aggregate == "percentile":
        raise WebProblem(422, "A percentile needs an argument, which this path has not.")
    given = {"ifname": ifname, "sensor": sensor}
    wanted = charts.Wanted(
        measurement=measurement,
        field=field,
        devices=tuple(dict.fromkeys(device)),
        since_ns=now_ns - span_ns,
        until_ns=now_ns + NS,
        window_ns=charts.duration_ns(window, "window")
        if window
        else charts.fitting_window_ns(span_ns),
        aggregate=aggregate,
        where={key: value for key, value in given.items() if value},
    )
    return answer(await charts.chart(hub, wanted))


@api.get("/report", summary="Availability of a month: page, table, document or JSON")
async def report(
    request: Request,
    hub: Hub,
    who: Viewer,
    month: Annotated[str, Query(description="2026-10; empty: last month", max_length=16)] = "",
    form: Annotated[asked.Form, Query(alias="format")] = "html",
    lang: Literal["id", "en", ""] = "",
) -> Response:
    try:
        found = await hub.availability(month)
    except ValueError as error:
        raise WebProblem(422, f"{error}.", "GET /api/v1/report?month=2026-10") from None
    except sqlite3.Error as error:
        raise WebProblem(503, f"What was kept can't be read: {error}.") from None
    language: Language = lang or ("en" if pages.language_of(request) == "en" else "id")
    content = await asyncio.to_thread(asked.written, found, form, language)
    headers = {"Content-Disposition": f'inline; filename="{asked.file_name(found, form)}"'}
    if form == "html":
        headers["Content-Security-Policy"] = page.CSP
    return Response(content, media_type=asked.TYPES[form], headers=headers)


@api.get("/stream", summary="Server-sent events: snapshot, then delta")
async def stream(request: Request, who: Viewer) -> Response:
    """`snapshot` has an Overview; `delta` what changed, parts that did not being null; `alive`
    says that there is nothing new."""
    feed: Feed = request.app.state.feed
    feed.admit()
    return EventStream(feed.events())


@api.get("/health", summary="How the hub itself is")
async def health(hub: Hub, who: Viewer) -> Response:
    return answer(hub.health())


@api.get("/me", response_model=views.Me, summary="Who this request is made by")
async def me(request: Request, who: Viewer) -> Response:
    auth: Auth = request.app.state.auth
    return answer(views.Me(who.name, who.role, auth.mode))


@api.post("/faults", response_model=views.Done, summary="Demo: start a fault of the field")
async def start_fault(body: FaultOrder, hub: Hub, who: Operator) -> Response:
    return await _fault(hub, who, body, start=True)


@api.delete("/faults", response_model=views.Done, summary="Demo: end a fault of the field")
async def end_fault(body: FaultOrder, hub: Hub, who: Operator) -> Response:
    return await _fault(hub, who, body, start=False)


async def _fault(hub: Backend, who: Identity, body: FaultOrder, *, start: bool) -> Response:
    try:
        await (hub.fault if start else hub.clear)(body.name, body.target)
    except LookupError:
        raise WebProblem(
            404, f"No fault {body.name!r} on {body.target!r}.", "Only the demo has faults."
        ) from None
    return answer(views.Done(who.name))


@public.get("/public", response_model=views.PublicPage, summary="What everybody may know")
async def public_page(request: Request) -> Response:
    return answer(await request.app.state.public.page())
