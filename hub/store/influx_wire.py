"""The requests to an InfluxDB server. Knows addresses and headers, nothing of what answers mean.

Writing has two ways with the same body: `/write` (every version) and `/api/v2/write` through
`influxdb-client` (2.x and 3). Lines are formatted and compressed before they come here.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from hub.network import said
from hub.store.base import StoreDown
from hub.store.influx_answer import Answer

GZIP_LEVEL = 1
"""Lines are repetitive: the cheapest level already takes nine tenths away."""
GZIP_FROM = 1024
"""Bytes below which compressing isn't worth it."""


class _Reachable:
    """Turns what goes wrong on the way into StoreDown."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, TimeoutError):
            raise StoreDown(f"{self._url} gave no answer for {self._timeout_s:g} s") from error
        if isinstance(error, (aiohttp.ClientError, OSError)):
            raise StoreDown(f"{self._url} can't be reached: {said(error)}") from error


class Wire:
    """A connection pool to one server. `authorization` is the header's value, or empty."""

    def __init__(self, url: str, authorization: str, timeout_s: float) -> None:
        self._url = url.rstrip("/")
        self._reachable = _Reachable(self._url, timeout_s)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            headers={"Authorization": authorization} if authorization else {},
        )

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str) -> Answer:
        return await self._request("GET", path)

    async def query(self, database: str, statement: str) -> Answer:
        """InfluxQL. The statement travels in the body: it may be longer than an address."""
        params = {"db": database, "epoch": "ns"}
        return await self._request("POST", "/query", params, data={"q": statement})

    async def write(self, database: str, body: bytes, gzipped: bool) -> Answer:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        params = {"db": database, "precision": "ns"}
        return await self._request("POST", "/write", params, data=body, headers=headers)

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Anything of the server's HTTP API; `body` goes as JSON."""
        content = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} if content else None
        return await self._request(method, path, params, content, headers)

    async def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        data: bytes | Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        with self._reachable:
            async with self._session.request(
                method,
                self._url + path,
                params=params,
                data=data,
                headers=headers,
                allow_redirects=False,
            ) as response:
                return _answer(response.status, response.headers, await response.read())


class ClientWire:
    """`/api/v2/write` by influxdb-client, which is handed finished bytes.

    Its own gzip is level 9, ten times dearer than it is worth here, so it gets the body compressed
    and the header as a default: this client does nothing but write.
    """

    def __init__(self, url: str, token: str, org: str, timeout_s: float) -> None:
        self._reachable = _Reachable(url, timeout_s)
        self._clients = {
            gzipped: InfluxDBClientAsync(
                url=url.rstrip("/"), token=token, org=org, timeout=round(timeout_s * 1000)
            )
            for gzipped in (False, True)
        }
        self._clients[True].api_client.set_default_header(  # type: ignore[no-untyped-call]
            "Content-Encoding", "gzip"
        )

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()  # type: ignore[no-untyped-call]

    async def write(self, database: str, body: bytes, gzipped: bool) -> Answer:
        with self._reachable:
            try:
                await (
                    self._clients[gzipped]
                    .write_api()
                    .write(
                        bucket=database,
                        record=body,
                        write_precision=WritePrecision.NS,  # type: ignore[arg-type]  # a str there
                    )
                )
            except ApiException as error:
                body = error.body.encode() if isinstance(error.body, str) else error.body or b""
                return _answer(error.status or 0, error.headers or {}, body)
        return Answer(204, {}, b"")


def is_far(url: str) -> bool:
    """Is the server on another machine?"""
    host = urlsplit(url).hostname or ""
    return not (host in ("localhost", "::1") or host.startswith("127."))


def pack(lines: list[bytes], compress: bool) -> tuple[bytes, bool]:
    """The body of a write, and whether it is compressed."""
    body = b"\n".join(lines)
    if compress and len(body) >= GZIP_FROM:
        return gzip.compress(body, GZIP_LEVEL, mtime=0), True
    return body, False


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    return Answer(status, {key.lower(): value for key, value in headers.items()}, body)
