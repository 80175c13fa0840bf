"""Real InfluxDB 1.6 and VictoriaMetrics on free ports, and a stub of servers that can't be had.

with influxd(tmp_path) as url: ...
with victoria_metrics(tmp_path) as url: ...
async with stub_influx("v2.9.1") as stub: stub.answers.append(too_large())
"""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.http_support import serving

START_LIMIT_S = 30.0

_INFLUXD = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{http}"
log-enabled = false
auth-enabled = {auth}
[monitor]
store-enabled = false
"""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def influxd(tmp_path: Path, *, auth: bool = False, port: int | None = None) -> Iterator[str]:
    """InfluxDB 1.6 with its files in `tmp_path`; yields its URL and ends it by its pid.

    With the `port` and folder of an earlier one it is that server come back.
    """
    folder = tmp_path / "influxd"
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(5):  # somebody may take a free port before the server does
        http, rpc = port or free_port(), free_port()
        config = folder / "influxdb.conf"
        config.write_text(
            _INFLUXD.format(folder=folder, http=http, rpc=rpc, auth=str(auth).lower())
        )
        url = f"http://127.0.0.1:{http}"
        with _running([_program("influxd", "influxdb"), "-config", str(config)], folder) as process:
            if _answers(process, url + "/ping"):
                yield url
                return
    raise AssertionError(f"influxd did not start: {(folder / 'log').read_text()[-2000:]}")


class Influxd:
    """A running InfluxDB 1.6 that can be stopped and come back at its place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._port: int | None = None
        self.start()

    def start(self) -> None:
        self.url = self._open.enter_context(influxd(self._folder, port=self._port))
        self._port = urllib.parse.urlsplit(self.url).port

    def stop(self) -> None:
        self._open.close()


@contextmanager
def victoria_metrics(tmp_path: Path) -> Iterator[str]:
    """VictoriaMetrics with its files in `tmp_path`; yields its URL and ends it by its pid."""
    folder = tmp_path / "victoria"
    folder.mkdir(parents=True, exist_ok=True)
    program = _program("victoria-metrics", "victoria-metrics")
    for _ in range(5):
        port = free_port()
        command = [
            program,
            f"-storageDataPath={folder}/data",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=12",
        ]
        url = f"http://127.0.0.1:{port}"
        with _running(command, folder) as process:
            if _answers(process, url + "/health"):
                yield url
                return
    raise AssertionError(f"victoria-metrics did not start: {(folder / 'log').read_text()[-2000:]}")


@dataclass
class Recorded:
    """A request that the stub got; `body` as it is after unpacking."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class StubAnswer:
    status: int
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class StubInflux:
    """Answers writes with `answers` in turn, and with 204 when there are none left."""

    version: str
    url: str = ""
    answers: list[StubAnswer] = field(default_factory=list)
    writes: list[Recorded] = field(default_factory=list)
    ping: StubAnswer = field(default_factory=lambda: StubAnswer(204))
    limit_bytes: int = 1 << 30
    poison: bytes = b"\0"
    """Lines with this text in them are refused as the version would."""
    databases: list[str] = field(default_factory=list)
    """What a 1.x has already."""
    going: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: writes hang."""

    def __post_init__(self) -> None:
        self.going.set()

    async def on_ping(self, _: web.Request) -> web.Response:
        headers = {"X-Influxdb-Version": self.version, "X-Influxdb-Build": "OSS"}
        return web.Response(
            status=self.ping.status, text=self.ping.body, headers=headers | self.ping.headers
        )

    async def on_write(self, request: web.Request) -> web.Response:
        await self.going.wait()
        body = await request.read()  # aiohttp has already unpacked gzip
        self.writes.append(Recorded(request.path, dict(request.query), dict(request.headers), body))
        answer = self._judge(body) if not self.answers else self.answers.pop(0)
        return web.Response(status=answer.status, text=answer.body, headers=answer.headers)

    async def on_query(self, request: web.Request) -> web.Response:
        """Only SHOW DATABASES and CREATE DATABASE, which a 1.x is asked when opened."""
        form = await request.post()
        assert str(form["q"]).split()[0] in ("SHOW", "CREATE")
        values = [[name] for name in self.databases]
        series = [{"name": "databases", "columns": ["name"], "values": values}]
        return web.json_response({"results": [{"statement_id": 0, "series": series}]})

    def _judge(self, body: bytes) -> StubAnswer:
        if len(body) > self.limit_bytes:
            return too_large()
        lines = body.split(b"\n")
        bad = [n for n, line in enumerate(lines) if self.poison in line]
        if not bad:
            return StubAnswer(204)
        return (
            partial_write_2(len(bad))
            if self.version.startswith(("v2", "2"))
            else partial_write_3({n + 1: lines[n].decode() for n in bad})
        )


@asynccontextmanager
async def stub_influx(version: str) -> AsyncIterator[StubInflux]:
    """A server that says it is `version` and answers writes as documented."""
    stub = StubInflux(version)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/ping", stub.on_ping)
    app.router.add_post("/query", stub.on_query)
    app.router.add_post("/write", stub.on_write)
    app.router.add_post("/api/v2/write", stub.on_write)
    async with serving(app) as stub.url:
        yield stub


def unauthorized() -> StubAnswer:
    """influxdata/openapi, responses/AuthorizationError."""
    return StubAnswer(401, json.dumps({"code": "unauthorized", "message": "unauthorized access"}))


def no_bucket() -> StubAnswer:
    """influxdata/openapi, responses/ResourceNotFoundError."""
    return StubAnswer(404, json.dumps({"code": "not found", "message": 'bucket "toba" not found'}))


def too_large() -> StubAnswer:
    """influxdata/openapi, PostWrite 413, example dataExceedsSizeLimitOSS."""
    words = "unable to read data: points batch is too large"
    return StubAnswer(413, json.dumps({"code": "request too large", "message": words}))


def too_many(retry_after: str) -> StubAnswer:
    """influxdata/openapi, PostWrite 429; Retry-After in whole seconds."""
    return StubAnswer(429, "", {"Retry-After": retry_after})


def unavailable(retry_after: str) -> StubAnswer:
    """influxdata/openapi, PostWrite 503."""
    return StubAnswer(503, "", {"Retry-After": retry_after})


def partial_write_2(dropped: int) -> StubAnswer:
    """InfluxDB 2.7 on a field type conflict; the good points are stored."""
    words = (
        "failure writing points to database: partial write: field type conflict: input field "
        f'"v" on measurement "m" is type string, already exists as type float dropped={dropped}'
    )
    return StubAnswer(422, json.dumps({"code": "unprocessable entity", "message": words}))


def malformed_2(line: str) -> StubAnswer:
    """InfluxDB 2 on a line that can't be parsed; nothing is stored. LineProtocolError."""
    words = f"unable to parse '{line}': missing field value"
    return StubAnswer(400, json.dumps({"code": "invalid", "message": words}))


def partial_write_3(lines: dict[int, str]) -> StubAnswer:
    """InfluxDB 3 Core: docs "Use the v3 write_lp API", at most 100 lines are named."""
    words = "invalid column type for column 'v', expected iox::column_type::field::float, "
    data = [
        {
            "original_line": line,
            "line_number": number,
            "error_message": words + "got iox::column_type::field::string",
        }
        for number, line in list(lines.items())[:100]
    ]
    return StubAnswer(
        400, json.dumps({"error": "partial write of line protocol occurred", "data": data})
    )


def fetch(url: str, data: bytes | None = None, timeout_s: float = 10) -> bytes:
    """A plain request to a server of this module, for looking at what is in it."""
    with urllib.request.urlopen(url, data, timeout=timeout_s) as response:
        found: bytes = response.read()
    return gzip.decompress(found) if found[:2] == b"\x1f\x8b" else found


def _program(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    assert found, f"{name} is missing: apt install {package}"
    return found


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            fetch(url)
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
        else:
            return True
    return False
