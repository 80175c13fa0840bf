"""A connection to an existing Grafana, and its failures in words that say what to do.

grafana-api is used for what it does right. It knows data sources by number only (Grafana 13
has switched that off) and its annotation calls blank the fields they are not given, so those
go through its raw client by uid, see `push.py` and `annotations.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import (  # type: ignore[import-untyped]
    GrafanaClientError,
    GrafanaException,
)
from grafana_api.grafana_face import GrafanaFace  # type: ignore[import-untyped]


class PushError(Exception):
    """Grafana can't be brought to what was asked; the text says why and what to do.

    `status` is the HTTP status, 0 when there was no answer of Grafana's.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Grafana:
    """Grafana's HTTP API, as far as we use it. Raises `PushError`."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        user: str = "",
        password: str = "",
        verify: bool = True,
        timeout_s: float = 15.0,
    ) -> None:
        """`url` may have a path (Grafana behind a proxy); a service account's token, or a user."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PushError(f"{url}: not a URL of Grafana, write it like http://grafana:3000")
        if parts.username or parts.password:
            raise PushError("the URL contains a password; use a service account's token instead")
        if not token and not (user and password):
            raise PushError(
                "no credentials: set grafana.token to a service account's token (Grafana:"
                " Administration → Service accounts, role Editor; Admin if it shall set the data"
                " source, too)"
            )
        self.url = url.rstrip("/")
        prefix = parts.path.strip("/")
        self.face = GrafanaFace(
            token or (user, password),
            host=f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname,
            port=parts.port,
            url_path_prefix=f"{prefix}/" if prefix else "",
            protocol=parts.scheme,
            verify=verify,
            timeout=timeout_s,
        )

    def get(self, path: str) -> Any:
        return self.call(lambda: self.face.api.GET(path), f"GET {path}")

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.call(lambda: self.face.api.POST(path, json=body), f"POST {path}")

    def put(self, path: str, body: dict[str, Any]) -> Any:
        return self.call(lambda: self.face.api.PUT(path, json=body), f"PUT {path}")

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self.call(lambda: self.face.api.PATCH(path, json=body), f"PATCH {path}")

    def maybe(self, ask: Callable[[], Any], what: str) -> Any:
        """As `call`, but None for what isn't there."""
        try:
            return self.call(ask, what)
        except PushError as error:
            if error.status == 404:
                return None
            raise

    def call(self, ask: Callable[[], Any], what: str) -> Any:
        """Do one request; failures come out as `PushError`."""
        try:
            return ask()
        except GrafanaException as error:
            raise PushError(self._explain(error, what), error.status_code) from error
        except requests.exceptions.SSLError as error:
            raise PushError(
                f"{self.url}: its certificate isn't trusted here ({_root(error)}); install the"
                " issuer's certificate, or name its file in REQUESTS_CA_BUNDLE"
            ) from error
        except requests.exceptions.InvalidJSONError as error:
            raise PushError(
                f"{self.url} answers, but not as Grafana's API does; is it the right address,"
                " and its path, if Grafana runs below one?"
            ) from error
        except requests.exceptions.Timeout as error:
            raise PushError(f"{self.url} did not answer in time ({what}); try again") from error
        except requests.exceptions.RequestException as error:
            raise PushError(
                f"{self.url} can't be reached ({_root(error)}); is Grafana running there?"
            ) from error

    def _explain(self, error: GrafanaException, what: str) -> str:
        said = _message(error)
        remedy = _REMEDIES.get(error.status_code, "")
        if error.status_code == 412 and "version" in _status(error):
            remedy = "somebody saved it meanwhile; run push again to see what differs now"
        elif error.status_code == 412:
            remedy = "another dashboard has this name in the folder; rename or delete it"
        elif isinstance(error, GrafanaClientError) is False:
            remedy = "look into Grafana's log, then try again"
        words = f"{self.url}: {what} answered {error.status_code} ({said})"
        return f"{words}; {remedy}" if remedy else words


_REMEDIES = {
    400: "this Grafana does not take it; what it says is in the brackets",
    401: "the token or password isn't valid here, make a new one (Administration → Service"
    " accounts)",
    403: "the token may not do that: folders and dashboards need the role Editor, the data"
    " source needs Admin",
    409: "another one with that name or uid exists; rename it in Grafana",
}


def _message(error: GrafanaException) -> str:
    response = error.response
    text = response.get("message") if isinstance(response, dict) else response
    return str(text or "no reason given")[:300]


def _status(error: GrafanaException) -> str:
    response = error.response
    return str(response.get("status", "")) if isinstance(response, dict) else ""


def _root(error: BaseException) -> str:
    """The innermost reason, without urllib3's nesting."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error) or type(error).__name__
