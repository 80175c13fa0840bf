"""What a signed link in a message leads to: a page that asks, and the act that its button does.

    GET  /tindak/<token>         the page; it changes nothing, so a preview of the link is harmless
    GET  /api/v1/links/<token>   what it asks about
    POST /api/v1/links/<token>   do it

The link itself is the right to act: no token is needed, and nothing else can be done with it.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from hub.clock import NS
from hub.notify.links import PATH, BadLink, Link, Signer
from hub.web.api import Hub, answer, backend_of, do
from hub.web.auth import Identity, guard_change
from hub.web.pages import page
from hub.web.problems import WebProblem
from hub.web.showing import Showing
from rules.transition import Alert

SILENCE_S = 3_600

signed = APIRouter(include_in_schema=False)
STATUS = {"unknown": 404, "expired": 410}
SAID = {
    "unknown": ("This link is not one of ours.", "Open the board instead."),
    "expired": ("This link was valid for a day.", "Open the board instead."),
}


class Confirm(BaseModel, extra="forbid"):
    name: str = Field("", max_length=64)
    why: str = Field("", max_length=500)


@signed.get(PATH + "{token}")
async def ask(token: str, request: Request) -> Response:
    """The page, with the status of the link."""
    status = 200
    try:
        _read(request, token)
    except WebProblem as no:
        status = no.status_code
    shown = page(request, "act.html", status)
    shown.headers["X-Robots-Tag"] = "noindex"
    return shown


@signed.get("/api/v1/links/{token}")
async def about(token: str, request: Request, hub: Hub) -> Response:
    link = _read(request, token)
    alert = _open(hub.alerts(), link)
    shown = Showing(hub).alert(alert) if alert is not None else None
    return answer(
        {
            "act": link.act,
            "channel": link.channel,
            "open": alert is not None,
            "alert": shown,
            "zone": hub.regency.zone,
        }
    )


@signed.post("/api/v1/links/{token}")
async def confirm(token: str, body: Confirm, request: Request, hub: Hub) -> Response:
    guard_change(request)
    link = _read(request, token)
    if _open(hub.alerts(), link) is None:
        raise WebProblem(409, "This alert is over.", "There is nothing left to do.")
    # No token's name has parentheses, so nobody passes for one who has logged in.
    named = " ".join(body.name.split())
    who = Identity(f"{named or 'link'} ({link.channel})", "operator")
    if link.act == "acknowledge":
        return await do(hub, "acknowledge", who, "", body.why, key=link.alert)
    until_ns = hub.now_ns() + SILENCE_S * NS
    matcher = {"key": glob.escape(link.alert)}
    why = body.why.strip() or "by a link in a message"
    return await do(hub, "silence", who, "", why, matcher=matcher, until_ns=until_ns)


def _read(request: Request, token: str) -> Link:
    signer: Signer | None = request.app.state.signer
    hub = backend_of(request)
    try:
        if signer is None:
            raise BadLink("unknown")
        return signer.read(token, hub.now_ns())
    except BadLink as why:
        raise WebProblem(STATUS[str(why)], *SAID[str(why)]) from None


def _open(alerts: Sequence[Alert], link: Link) -> Alert | None:
    """The alert that the link is about, if it is still the same trouble."""
    for alert in alerts:
        same = alert.key == link.alert and alert.since_ns == link.since_ns
        if same and alert.state in ("firing", "acknowledged"):
            return alert
    return None
