"""A stand-in for Grafana's HTTP API that refuses what the published API does not know.

`CONTRACT` was written from Grafana's OpenAPI document (the models that grafana-openapi-client-go
of July 2026 is generated from): method, path, the keys a body may have and their types, the keys
it must have. A real Grafana could not be had: what it makes of a body beyond that is not shown.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "glsa_stub_token"
USER, PASSWORD = "admin", "stub password"

DATASOURCE = {
    "access": str, "basicAuth": bool, "basicAuthUser": str, "database": str, "isDefault": bool,
    "jsonData": dict, "name": str, "secureJsonData": dict, "type": str, "uid": str, "url": str,
    "user": str, "withCredentials": bool,
}  # fmt: skip
DASHBOARD = {
    "dashboard": dict, "folderUid": str, "isFolder": bool, "message": str, "overwrite": bool,
}  # fmt: skip
POST_ANNOTATION = {
    "dashboardUID": str, "data": dict, "panelId": int, "tags": list, "text": str, "time": int,
    "timeEnd": int,
}  # fmt: skip
PATCH_ANNOTATION = {
    "data": dict, "id": int, "tags": list, "text": str, "time": int, "timeEnd": int,
}  # fmt: skip

Shape = Mapping[str, type]
CONTRACT: dict[tuple[str, str], tuple[Shape, set[str]]] = {
    ("GET", r"/folders/(?P<uid>[\w-]{1,40})"): ({}, set()),
    ("POST", r"/folders"): (
        {"title": str, "uid": str, "parentUid": str, "description": str},
        {"title"},
    ),
    ("GET", r"/dashboards/uid/(?P<uid>[\w-]{1,40})"): ({}, set()),
    ("POST", r"/dashboards/db"): (DASHBOARD, {"dashboard"}),
    ("GET", r"/datasources/uid/(?P<uid>[\w-]{1,40})"): ({}, set()),
    ("GET", r"/datasources/uid/(?P<uid>[\w-]{1,40})/health"): ({}, set()),
    ("POST", r"/datasources"): (DATASOURCE, {"name", "type", "access"}),
    ("PUT", r"/datasources/uid/(?P<uid>[\w-]{1,40})"): (
        {**DATASOURCE, "version": int},
        {"name", "type", "access"},
    ),
    ("GET", r"/annotations"): ({}, set()),
    ("POST", r"/annotations"): (POST_ANNOTATION, {"text"}),
    ("PATCH", r"/annotations/(?P<id>\d+)"): (PATCH_ANNOTATION, set()),
}
NUMERIC_IDS = re.compile(r"/(datasources|dashboards/id|folders/id)/\d+")
"""Calls by number: off by default since Grafana 13. Annotations have no other name."""

Reply = tuple[int, Any]


@dataclass
class Stub:
    """What this Grafana holds, and what it was asked."""

    url: str = ""
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    boards: dict[str, dict[str, Any]] = field(default_factory=dict)
    metas: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    answer: Callable[[str, str], Reply | None] = lambda method, path: None
    """Answers in the place of Grafana where it gives something."""

    def handle(self, method: str, target: str, body: Any, authorization: str) -> Reply:
        parts = urlsplit(target)
        path = parts.path.removeprefix("/api")
        self.requests.append((method, path))
        if NUMERIC_IDS.search(path):
            self.violations.append(f"{method} {path}: a call by numeric id")
        if special := self.answer(method, path):
            return special
        if authorization not in _credentials():
            return 401, {"message": "Invalid API key", "messageId": "api-key.invalid"}
        for (verb, pattern), (shape, needed) in CONTRACT.items():
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                self._check(method, path, body, shape, needed)
                return self._do(method, pattern, found.groupdict(), body, parse_qsl(parts.query))
        self.violations.append(f"{method} {path}: not in the published API")
        return 404, {"message": "Not found"}

    def _check(self, method: str, path: str, body: Any, shape: Shape, needed: set[str]) -> None:
        keys = body.keys() if isinstance(body, dict) else set()
        wrong = [f"{key}: not in the published API" for key in keys - shape.keys()]
        wrong += [f"{key}: missing" for key in needed - keys]
        wrong += [
            f"{key}: {body[key]!r} is no {shape[key].__name__}"
            for key in keys & shape.keys()
            if type(body[key]) is not shape[key]
        ]
        self.violations += [f"{method} {path}: {each}" for each in wrong]

    def _do(
        self,
        method: str,
        pattern: str,
        names: dict[str, str],
        body: Any,
        query: list[tuple[str, str]],
    ) -> Reply:
        if pattern.startswith("/folders"):
            return self._folder(method, names, body)
        if pattern.startswith("/dashboards"):
            return self._dashboard(method, names, body)
        if pattern.startswith("/datasources"):
            return self._source(method, pattern, names, body)
        return self._annotation(method, names, body, query)

    def _folder(self, method: str, names: dict[str, str], body: Any) -> Reply:
        if method == "GET":
            found = self.folders.get(names["uid"])
            return (200, found) if found else (404, {"message": "folder not found"})
        if any(each["title"] == body["title"] for each in self.folders.values()):
            return 409, {"message": "a folder with the same name already exists"}
        self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "id": 7}
        return 200, self.folders[body["uid"]]

    def _dashboard(self, method: str, names: dict[str, str], body: Any) -> Reply:
        if method == "GET":
            board = self.boards.get(names["uid"])
            if board is None:
                return 404, {"message": "Dashboard not found"}
            return 200, {"dashboard": board, "meta": self.metas[names["uid"]]}
        board, uid = dict(body["dashboard"]), body["dashboard"]["uid"]
        have = self.boards.get(uid)
        if have and not body.get("overwrite") and board.get("version") != have["version"]:
            message = "The dashboard has been changed by someone else"
            return 412, {"status": "version-mismatch", "message": message}
        board |= {"id": 1, "version": (have["version"] if have else 0) + 1}
        self.boards[uid] = board
        self.metas[uid] = {"folderUid": body["folderUid"], "version": board["version"]}
        return 200, {
            "id": 1, "uid": uid, "url": f"/d/{uid}", "status": "success", "title": board["title"],
            "version": board["version"], "folderUid": body["folderUid"],
        }  # fmt: skip

    def _source(self, method: str, pattern: str, names: dict[str, str], body: Any) -> Reply:
        uid = names.get("uid", "") or body.get("uid", "")
        if method == "GET":
            found = self.sources.get(uid)
            if found is None:
                return 404, {"message": "Data source not found"}
            if pattern.endswith("/health"):
                return 200, {"status": "OK", "message": "datasource is working. 6 measurements"}
            return 200, found
        if method == "POST" and uid in self.sources:
            return 409, {"message": "data source with the same uid already exists"}
        kept = {key: value for key, value in body.items() if key != "secureJsonData"}
        version = self.sources.get(uid, {}).get("version", 0) + 1
        secret = dict.fromkeys(body.get("secureJsonData", {}), True)
        self.sources[uid] = {**kept, "id": 3, "version": version, "secureJsonFields": secret}
        return 200, {"id": 3, "message": "saved", "name": body["name"], "datasource": kept}

    def _annotation(
        self, method: str, names: dict[str, str], body: Any, query: list[tuple[str, str]]
    ) -> Reply:
        if method == "GET":
            wanted = {value for key, value in query if key == "tags"}
            found = [each for each in self.annotations.values() if wanted <= set(each["tags"])]
            return 200, found[: int(dict(query).get("limit", 100))]
        if method == "POST":
            number = len(self.annotations) + 1
            self.annotations[number] = {"id": number, **body}
            return 200, {"id": number, "message": "Annotation added"}
        number = int(names["id"])
        if number not in self.annotations:
            return 404, {"message": "Annotation not found"}
        self.annotations[number] |= body
        return 200, {"message": "Annotation patched"}


@contextmanager
def grafana_stub(prefix: str = "") -> Iterator[Stub]:
    """A stub on a free loopback port; `prefix` as behind a proxy, "/grafana"."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(size)
            body = json.loads(raw) if raw else None
            authorization = self.headers.get("Authorization", "")
            path = self.path.removeprefix(prefix)
            status, answer = stub.handle(self.command, path, body, authorization)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = reply  # noqa: N815 - http.server's

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_port}{prefix}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _credentials() -> set[str]:
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return {f"Bearer {TOKEN}", f"Basic {basic}"}
