"""`influx setup` on a real InfluxDB 1.6, authentication on and off, and on stubs of 2 and 3."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import BasicAuth, web

from hub.influx_setup import Login, Plan, Server, Wanted, plan
from hub.reading import Reading, Series
from hub.settings import Settings
from hub.store.base import Batch, NoLabels, StoreRefused
from hub.store.choose import open_store, open_tiers
from hub.store.influx import InfluxStore
from hub.store.query import Column, Query
from tests.http_support import serving
from tests.influx_support import influxd

DAY = 86_400
READER = Login("grafana", "only 'reads'")
WRITER = Login("hub", "writes")
ADMIN = Login("admin", "secret")
WANTED = Wanted({"toba": 30 * DAY, "toba-5m": 400 * DAY, "toba-1h": 0}, READER, Login(), "toba")


def said(found: Plan) -> list[str]:
    return [step.what for step in found.steps]


async def do(server: Server, wanted: Wanted) -> list[str]:
    """Plan, do it, and see that nothing is left to do; what was planned."""
    found = await plan(server, wanted)
    for step in found.steps:
        await step.do()
    assert said(await plan(server, wanted)) == []
    return said(found)


async def test_databases_of_1_get_their_retention(tmp_path: Path) -> None:
    with influxd(tmp_path) as url:
        server = Server(url)
        try:
            assert await do(server, WANTED) == [
                "make database toba, rows kept 30 days",
                "make database toba-5m, rows kept 400 days",
                "make database toba-1h, rows kept for ever",
            ]
            [note] = (await plan(server, WANTED)).notes
            assert "authentication is off" in note
            shorter = Wanted({**WANTED.databases, "toba": DAY, "toba-5m": 0}, READER, Login(), "")
            found = await plan(server, shorter)
            assert [(step.what, step.loses) for step in found.steps] == [
                (
                    "change toba: keep rows 1 days instead of 30 days;"
                    " older rows will be deleted by the server",
                    True,
                ),
                ("change toba-5m: keep rows for ever instead of 400 days", False),
            ]
            await do(server, shorter)
        finally:
            await server.close()


async def test_the_readings_and_rollups_of_the_settings_are_what_is_set_up(tmp_path: Path) -> None:
    with influxd(tmp_path) as url:
        settings = Settings.model_validate({"store": {"kind": "influxdb", "url": url}})
        server = Server(url)
        await do(server, Wanted.of(settings))
        await server.close()
        stores = [open_store(settings.store, tmp_path, NoLabels())]
        stores += open_tiers(settings.store).values()
        for store in stores:
            store._create = False  # type: ignore[attr-defined]
            await store.open()
            await store.close()


async def test_with_authentication_grafana_may_read_and_do_nothing_else(tmp_path: Path) -> None:
    with influxd(tmp_path, auth=True) as url:
        nobody = Server(url)
        with pytest.raises(StoreRefused, match="make an administrator first"):
            await plan(nobody, WANTED)
        await nobody.ask("CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
        with pytest.raises(StoreRefused, match="--username"):
            await plan(nobody, WANTED)
        await nobody.close()
        server = Server(url, admin=ADMIN)
        wanted = Wanted(WANTED.databases, READER, WRITER, "")
        done = await do(server, wanted)
        assert done[3:5] == ["make user grafana", "let grafana read toba"]
        assert "let hub read and write toba-5m" in done

        hub = InfluxStore(url, "toba", username="hub", password="writes")
        reading = Reading(Series.of("device", "r1"), 10**18, {"up": 1})
        await hub.open()
        eye = InfluxStore(url, "toba-1h", username=READER.name, password=READER.password)
        tier = InfluxStore(url, "toba-1h", username="hub", password="writes")
        assert (await tier.write(Batch([reading], 0))).rejected == {}
        query = Query("device", (Column("up"),), 0, 2**62)
        assert len((await eye.query(query))[0].rows) == 1
        with pytest.raises(StoreRefused, match="403"):
            await eye.write(Batch([reading], 0))
        for store in (hub, eye, tier):
            await store.close()

        # What somebody else changed is put right again.
        await server.ask('GRANT ALL ON "toba" TO "grafana"')
        await server.ask('REVOKE READ ON "toba-5m" FROM "grafana"')
        await server.ask("SET PASSWORD FOR \"grafana\" = 'other'")
        assert await do(server, wanted) == [
            "change the password of user grafana",
            "let grafana read toba",
            "let grafana read toba-5m",
        ]
        await server.ask('GRANT ALL PRIVILEGES TO "grafana"')
        assert "should not be" in (await plan(server, wanted)).notes[0]
        await server.close()


async def test_a_user_who_is_no_administrator_is_told_so(tmp_path: Path) -> None:
    with influxd(tmp_path, auth=True) as url:
        server = Server(url, admin=ADMIN)
        await server.ask("CREATE USER admin WITH PASSWORD 'secret' WITH ALL PRIVILEGES")
        await do(server, WANTED)
        await server.close()
        server = Server(url, admin=READER)
        with pytest.raises(StoreRefused, match="needs an administrator"):
            await plan(server, WANTED)
        await server.close()


def command(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub", "influx", "setup", "-s", str(path), *words],
        capture_output=True,
        text=True,
        timeout=60,
        input="n\n",
    )


def test_the_command_shows_asks_and_does(tmp_path: Path) -> None:
    path = tmp_path / "toba-hub.yaml"
    (tmp_path / "inventory.yaml").write_text("devices: []\n")
    with influxd(tmp_path) as url:
        store = {"kind": "influxdb", "url": url, "retention": {"raw": "2d"}}
        path.write_text(yaml.safe_dump({"store": store}))
        asked = command(path)
        assert asked.returncode == 1, asked.stderr
        assert "make database toba, rows kept 2 days" in asked.stdout
        assert "done" not in asked.stdout
        done = command(path, "--yes")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("done make database") == 3, done.stdout
        again = command(path)
        assert "nothing to do" in again.stdout, again.stdout + again.stderr
    away = command(path)
    assert away.returncode == 1
    assert "can't be reached" in away.stderr, away.stderr
    path.write_text(yaml.safe_dump({"store": {"kind": "duckdb"}}))
    assert "needs no setting up" in command(path).stderr


@dataclass
class Stub:
    """InfluxDB 2 or 3 as their documents have them: influxdata/openapi `oss.yml` and `legacy.yml`,
    docs.influxdata.com "InfluxDB 3 Core: Database"."""

    version: str
    url: str = ""
    buckets: list[dict[str, Any]] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)
    databases: dict[str, str] = field(default_factory=dict)
    _made: int = 0

    def new_id(self) -> str:
        self._made += 1
        return f"{self._made:016x}"

    async def ping(self, _: web.Request) -> web.Response:
        return web.Response(status=204, headers={"X-Influxdb-Version": self.version})

    async def query(self, request: web.Request) -> web.Response:
        """1.x compatibility: only whether the user is known."""
        auth = BasicAuth.decode(request.headers["Authorization"])
        good = self.passwords.get(auth.login) == auth.password
        return web.json_response({"results": [{}]}, status=200 if good else 401)

    async def orgs(self, request: web.Request) -> web.Response:
        if request.query["org"] != "toba":
            body = {"code": "not found", "message": "organization name not found"}
            return web.json_response(body, status=404)
        return web.json_response({"orgs": [{"id": "00000000000000aa", "name": "toba"}]})

    async def get_buckets(self, request: web.Request) -> web.Response:
        assert request.query["orgID"] == "00000000000000aa"
        found = [one for one in self.buckets if one["name"] == request.query["name"]]
        if not found:
            return web.json_response({"code": "not found", "message": "bucket"}, status=404)
        return web.json_response({"buckets": found})

    async def post_bucket(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert set(body) == {"orgID", "name", "retentionRules"}
        self.buckets.append({"id": self.new_id(), **body})
        return web.json_response(self.buckets[-1], status=201)

    async def patch_bucket(self, request: web.Request) -> web.Response:
        [one] = [b for b in self.buckets if b["id"] == request.match_info["id"]]
        one.update(await request.json())
        return web.json_response(one)

    async def get_users(self, request: web.Request) -> web.Response:
        found = [u for u in self.users if u["token"] == request.query["token"]]
        return web.json_response({"authorizations": found})

    async def post_user(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["permissions"]
        assert body["orgID"] == "00000000000000aa"
        self.users.append({"id": self.new_id(), **body})
        return web.json_response(self.users[-1], status=201)

    async def delete_user(self, request: web.Request) -> web.Response:
        self.users = [u for u in self.users if u["id"] != request.match_info["id"]]
        return web.Response(status=204)

    async def password(self, request: web.Request) -> web.Response:
        [one] = [u for u in self.users if u["id"] == request.match_info["id"]]
        self.passwords[one["token"]] = (await request.json())["password"]
        return web.Response(status=204)

    async def get_databases(self, request: web.Request) -> web.Response:
        assert request.query["format"] == "json"
        return web.json_response([{"iox::database": name} for name in self.databases])

    async def post_database(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert "_" not in body["db"]
        self.databases[body["db"]] = body.get("retention_period", "none")
        return web.json_response({})


@asynccontextmanager
async def stub(version: str) -> AsyncIterator[Stub]:
    made = Stub(version)

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        open_to_all = request.path in ("/ping", "/query")
        if not open_to_all and request.headers.get("Authorization") != "Token admin-token":
            body = {"code": "unauthorized", "message": "unauthorized access"}
            return web.json_response(body, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    legacy = "/private/legacy/authorizations"
    app = web.Application(middlewares=[guard])
    app.router.add_get("/ping", made.ping)
    app.router.add_post("/query", made.query)
    app.router.add_get("/api/v2/orgs", made.orgs)
    app.router.add_get("/api/v2/buckets", made.get_buckets)
    app.router.add_post("/api/v2/buckets", made.post_bucket)
    app.router.add_patch("/api/v2/buckets/{id}", made.patch_bucket)
    app.router.add_get(legacy, made.get_users)
    app.router.add_post(legacy, made.post_user)
    app.router.add_delete(legacy + "/{id}", made.delete_user)
    app.router.add_post(legacy + "/{id}/password", made.password)
    app.router.add_get("/api/v3/configure/database", made.get_databases)
    app.router.add_post("/api/v3/configure/database", made.post_database)
    async with serving(app) as made.url:
        yield made


async def test_buckets_of_2_get_their_retention_and_grafana_its_user() -> None:
    async with stub("v2.9.1") as there:
        server = Server(there.url, token="admin-token")
        try:
            assert await do(server, WANTED) == [
                "make bucket toba, rows kept 30 days",
                "make bucket toba-5m, rows kept 400 days",
                "make bucket toba-1h, rows kept for ever",
                "make user grafana who may read toba, toba-5m, toba-1h",
            ]
            assert [b["retentionRules"][0]["everySeconds"] for b in there.buckets] == [
                30 * DAY,
                400 * DAY,
                0,
            ]
            [user] = there.users
            assert {p["action"] for p in user["permissions"]} == {"read"}
            assert [p["resource"]["id"] for p in user["permissions"]] == [
                b["id"] for b in there.buckets
            ]
            assert there.passwords == {"grafana": READER.password}
            # As docker compose leaves it: one bucket with another retention, a user who reads it.
            del there.buckets[1:]
            there.buckets[0]["retentionRules"][0]["everySeconds"] = 400 * DAY
            del user["permissions"][1:]
            done = await do(server, WANTED)
            assert done[0].startswith("change toba: keep rows 30 days instead of 400 days")
            assert done[-1].startswith("make user grafana anew")
            there.passwords["grafana"] = "other"
            assert await do(server, WANTED) == ["change the password of user grafana"]
        finally:
            await server.close()


async def test_databases_of_3_are_made_with_their_retention() -> None:
    async with stub("3.2.0") as there:
        server = Server(there.url, token="admin-token")
        try:
            await do(server, WANTED)
            assert there.databases == {"toba": "720h", "toba-5m": "9600h", "toba-1h": "none"}
            notes = (await plan(server, WANTED)).notes
            assert any("can't change" in note for note in notes)
        finally:
            await server.close()


@pytest.mark.parametrize(
    ("version", "token", "org", "words"),
    [
        ("v2.9.1", "", "toba", "set store.token"),
        ("v2.9.1", "wrong", "toba", "administrator's token"),
        ("v2.9.1", "admin-token", "samosir", "check store.org"),
        ("3.2.0", "wrong", "toba", "administrator's token"),
    ],
)
async def test_what_is_missing_is_said_with_its_remedy(
    version: str, token: str, org: str, words: str
) -> None:
    async with stub(version) as there:
        server = Server(there.url, token=token)
        try:
            with pytest.raises(StoreRefused, match=words):
                await plan(server, Wanted(WANTED.databases, READER, Login(), org))
        finally:
            await server.close()


def test_lengths_of_time_are_checked_where_they_stand() -> None:
    good = Settings.model_validate({"store": {"retention": {"raw": "8w", "hourly": "forever"}}})
    assert (good.store.retention.raw_ns, good.store.retention.hourly_ns) == (56 * DAY * 10**9, None)
    for bad, words in (
        ({"raw": "soon"}, "no length of time"),
        ({"raw": "2h"}, "too short"),
        ({"raw": "500d"}, "longer than five_minutes"),
        ({"five_minutes": "forever"}, "longer than hourly"),
    ):
        with pytest.raises(ValueError, match=words):
            Settings.model_validate({"store": {"retention": bad}})
    assert json.dumps(good.store.retention.model_dump())
