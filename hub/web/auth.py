"""Who asks, and what they may do.

- A token comes as `Authorization: Bearer …` or in the cookie that the login page sets.
- `demo`: whoever asks from this machine is an operator named "demo".
- `tokens` without any token made: whoever asks from this machine may look.
- A request "from this machine" has a loopback peer, a loopback `Host` and no forwarding header:
  so neither a reverse proxy nor a web page with a rebound DNS name lends its visitors that right.
- A change needs JSON and, when the browser says where it comes from, the same origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from fastapi import Request

from hub.web.problems import WebProblem
from hub.web.tokens import Role, TokenError, Tokens, allows

AuthMode = Literal["demo", "tokens"]
COOKIE = "toba_token"
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
NEED_TOKEN = "Log in at /masuk, or send `Authorization: Bearer <token>`; make a token with `toba-hub token create`."  # noqa: E501, S105


@dataclass(frozen=True, slots=True)
class Identity:
    """Who acts; the name stands beside everything they change."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Auth:
    mode: AuthMode
    tokens: Tokens | None = None

    def identify(self, request: Request) -> Identity | None:
        """Who asks, or None. Raises `WebProblem` for a token that is not (any more) valid."""
        clear = bearer(request)
        if clear:
            return self.of_token(clear)
        if not is_local(request):
            return None
        if self.mode == "demo":
            return Identity("demo", "operator")
        return Identity("local", "viewer") if not self._has_tokens() else None

    def _has_tokens(self) -> bool:
        try:
            return self.tokens is not None and bool(self.tokens.list())
        except TokenError as error:
            raise WebProblem(503, "The tokens can't be read.", str(error)) from None

    def of_token(self, clear: str) -> Identity:
        """Whose token that is. Raises `WebProblem` 401, or 503 when the file is broken."""
        try:
            found = self.tokens.find(clear) if self.tokens is not None else None
        except TokenError as error:
            raise WebProblem(503, "The tokens can't be read.", str(error)) from None
        if found is None:
            raise WebProblem(401, "This token is unknown or was revoked.", NEED_TOKEN, CHALLENGE)
        return Identity(found.name, found.role)


CHALLENGE = {"WWW-Authenticate": 'Bearer realm="toba-hub"'}


def bearer(request: Request) -> str:
    scheme, _, clear = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and clear:
        return clear.strip()
    return request.cookies.get(COOKIE, "")


def needs(role: Role) -> Callable[[Request], Identity]:
    """A FastAPI dependency: the identity, or 401/403 as a problem."""

    def dependency(request: Request) -> Identity:
        auth: Auth = request.app.state.auth
        who = auth.identify(request)
        if who is None:
            raise WebProblem(401, "This needs a token.", NEED_TOKEN, CHALLENGE)
        if not allows(who.role, role):
            raise WebProblem(
                403,
                f"{who.name} is {who.role}; this needs {role}.",
                f"Ask for a token with the role {role}.",
            )
        if request.method not in ("GET", "HEAD"):
            guard_change(request)
        return who

    return dependency


def guard_change(request: Request) -> None:
    """Refuse what another site made a browser send."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise WebProblem(415, "A change must be sent as JSON.", "Content-Type: application/json")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise WebProblem(403, "This came from another site.", "Use the board itself.")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host", ""):
        raise WebProblem(403, f"This came from {origin}.", "Use the board itself.")


def is_local(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in FORWARDED):
        return False
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    return _loopback(request.client.host) and (host == "localhost" or _loopback(host))


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
