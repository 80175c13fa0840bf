"""Takes each request's body whole before anybody acts on it: bounded in size, time and number.

    uvicorn ─ receive ─► Bodies ─ one message ─► the app

Whoever sends half a body and leaves ends quietly; whoever sends it too slowly gets 408; too much,
413. At most `MOST` bodies are under way at once, `MOST_OF_ONE` from one address, so that the paths
that need no token can't be used to fill the memory.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.web.problems import problem

MOST_BYTES = 64 * 1024
WAIT_S = 10.0
MOST = 128
MOST_OF_ONE = 16
CLOSE = {"Connection": "close"}
"""The rest of the body is not read, so the connection can't carry another request."""


class Refused(Exception):
    """The body is not taken: HTTP status, what happened, what to do."""

    def __init__(self, status: int, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.status, self.detail, self.remedy = status, detail, remedy


class Bodies:
    """ASGI middleware. `under_way` counts the bodies that are being received."""

    def __init__(self, app: ASGIApp, wait_s: float = WAIT_S) -> None:
        self.app = app
        self.wait_s = wait_s
        self.under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            body = await self._take(scope, receive)
        except Refused as no:
            answer = problem(no.status, no.detail, no.remedy, CLOSE)
            await answer(scope, receive, send)
            return
        if body is None:  # the client has left, nobody waits for an answer
            return
        told = False

        async def whole() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, whole, send)

    async def _take(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None when the client left. Raises `Refused`."""
        sent = dict(scope["headers"])
        length = sent.get(b"content-length", b"0")
        if length.isdigit() and int(length) > MOST_BYTES:
            raise _too_large()
        if length == b"0" and b"transfer-encoding" not in sent:
            return b""
        client = (scope.get("client") or ("",))[0]
        if self.under_way.total() >= MOST or self.under_way[client] >= MOST_OF_ONE:
            raise Refused(503, "Too many requests are being received.", "Try again in a moment.")
        self.under_way[client] += 1
        try:
            async with asyncio.timeout(self.wait_s):
                return await _read(receive)
        except TimeoutError:
            said = f"The body did not arrive within {self.wait_s:g} s."
            raise Refused(408, said, "Send it at once.") from None
        finally:
            self.under_way[client] -= 1
            if not self.under_way[client]:
                del self.under_way[client]


async def _read(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body.extend(message.get("body", b""))
        if len(body) > MOST_BYTES:
            raise _too_large()
        if not message.get("more_body", False):
            return bytes(body)


def _too_large() -> Refused:
    return Refused(413, f"The body is larger than {MOST_BYTES} bytes.", "Send it in parts.")
