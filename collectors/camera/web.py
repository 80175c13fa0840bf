"""A camera's web server: one bounded question at a time, with a password when it wants one."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from collectors.camera.auth import Login, authorization
from collectors.camera.wire import Answer, Door, Ended, Line, connected, http_request


@dataclass(frozen=True, slots=True)
class Web:
    """One camera's web server; `where` is its root."""

    where: Door
    timeout_s: float
    login: Login | None = None
    tls: ssl.SSLContext | None = None

    async def ask(
        self,
        method: str,
        path: str,
        limit: int,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer:
        """One answer, whatever its status. Raises `Ended`. Takes at most two time-outs."""
        where = self.where._replace(path=path)
        async with connected(where, self.timeout_s, self.tls) as line:
            answer = await line.ask(http_request(method, where, headers, body), limit)
        if answer.status != 401 or self.login is None:
            return answer
        # A fresh connection: Dahua does not take a second question on the one that it refused.
        said = {**(headers or {}), "Authorization": self._header(answer, method, path)}
        async with connected(where, self.timeout_s, self.tls) as line:
            return await line.ask(http_request(method, where, said, body), limit)

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[tuple[Answer, Line]]:
        """An answer whose body goes on; the caller reads `pieces` and minds the time.

        Raises `Ended`, also when it is refused.
        """
        where = self.where._replace(path=path)
        headers: dict[str, str] = {}
        if self.login is not None:
            async with connected(where, self.timeout_s, self.tls) as line:
                answer = await line.begin(http_request("GET", where))
            if answer.status == 401:
                headers["Authorization"] = self._header(answer, "GET", path)
        async with connected(where, None, self.tls) as line:
            answer = await line.begin(http_request("GET", where, headers))
            if answer.status != 200:
                raise Ended(refusal(answer.status, bool(headers)))
            yield answer, line

    def _header(self, answer: Answer, method: str, path: str) -> str:
        assert self.login is not None  # noqa: S101 - both callers looked
        offers = answer.headers.get("www-authenticate", [])
        return authorization(offers, self.login, method, path, secrets.token_hex(8))


def refusal(status: int, tried: bool) -> str:
    """In words what a status other than 200 means; `tried`: with a password."""
    if status == 401:
        return "wrong password" if tried else "wants a password"
    return {403: "forbidden", 404: "no such page"}.get(status, f"status {status}")
