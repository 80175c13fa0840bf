"""`toba-hub influx setup`: databases or buckets, their retention, and who may read them.

First look, then say, then do: `plan` asks the server and returns the steps that are missing; where
nothing is missing there are none, so it may be run again and again.

    1.x  a database each for readings and rollups, its default retention policy's duration; with
         authentication on: Grafana's user with READ on each and nothing else, the hub's with ALL
    2.x  a bucket each with its retention; a 1.x-compatible authorization for Grafana's InfluxQL
         (/private/legacy/authorizations, influxdata/openapi `legacy.yml`) and database mappings
    3    a database each; Core can set retention only when it makes one, and has no read-only tokens
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.clock import now_ns
from hub.rollup import FIVE, HOUR
from hub.settings import Settings
from hub.store.base import StoreRefused
from hub.store.choose import tier_database
from hub.store.influx_answer import Answer, column_of, result, trouble
from hub.store.influx_wire import Wire
from hub.store.influxql import identifier, literal

TIMEOUT_S = 30.0
_GO_DURATION = re.compile(r"(\d+)(h|m|s)")
_SECONDS = {"h": 3600, "m": 60, "s": 1}
_LEGACY = "/private/legacy/authorizations"


@dataclass(frozen=True, slots=True)
class Login:
    """A user and password; a user without a password is one that isn't to be made."""

    name: str = ""
    password: str = ""


NOBODY = Login()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should be there. `databases`: name to seconds its rows are kept, 0 for ever."""

    databases: Mapping[str, int]
    reader: Login
    writer: Login
    org: str

    @classmethod
    def of(cls, settings: Settings) -> Wanted:
        store, keep, grafana = settings.store, settings.store.retention, settings.grafana
        kept = {store.database: keep.raw_ns}
        if store.rollups:
            kept[tier_database(store.database, FIVE)] = keep.five_minutes_ns
            kept[tier_database(store.database, HOUR)] = keep.hourly_ns
        return cls(
            {name: (length or 0) // 1_000_000_000 for name, length in kept.items()},
            Login(grafana.influx_username, grafana.influx_password.get_secret_value()),
            Login(store.username, store.password.get_secret_value()),
            store.org,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to be made or changed. `loses`: rows may be deleted by it."""

    what: str
    do: Callable[[], Awaitable[None]]
    loses: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is missing, and what a person should know besides."""

    server: str
    steps: list[Step]
    notes: list[str]


class Server:
    """An InfluxDB and who may set it up: `token` (2.x, 3), or `admin` (1.x), or neither."""

    def __init__(self, url: str, *, token: str = "", admin: Login = NOBODY) -> None:
        self.url = url.rstrip("/")
        self.token = token
        authorization = f"Token {token}" if token else _basic(admin) if admin.name else ""
        self._wire = Wire(self.url, authorization, TIMEOUT_S)

    async def close(self) -> None:
        await self._wire.close()

    async def version(self) -> str:
        """`1.6.7`, `v2.9.1`, `3.0.1`. Raises StoreDown, StoreRefused."""
        answer = await self._wire.get("/ping")
        version = answer.headers.get("x-influxdb-version", "")
        if not version and answer.status in (200, 204):
            raise StoreRefused(
                f"{self.url} is no InfluxDB: /ping names no version; check store.url"
            )
        if not version:
            raise trouble(answer, self.url, now_ns())
        return version

    async def ask(self, statement: str) -> list[Mapping[str, Any]]:
        """InfluxQL of 1.x. Raises StoreDown, StoreRefused."""
        answer = await self._wire.query("", statement)
        said = answer.body.decode(errors="replace")
        if "create admin user first" in said:
            raise StoreRefused(
                f"{self.url} has authentication on and no user yet; make an administrator first, "
                "in its shell: CREATE USER admin WITH PASSWORD '…' WITH ALL PRIVILEGES"
            )
        if answer.status in (401, 403):
            raise StoreRefused(
                f"{self.url} answered {answer.status}: {_words(answer)}; setting it up needs an "
                "administrator: give --username (and INFLUX_ADMIN_PASSWORD)"
            )
        return result(answer, self.url, now_ns())

    async def may(self, login: Login, database: str = "") -> bool:
        """True if this user and password (none: nobody) may ask this database at all."""
        wire = Wire(self.url, _basic(login) if login.name else "", TIMEOUT_S)
        try:
            # 1.x answers 401 to strangers, and to the statement itself only then.
            answer = await wire.query(database, "SHOW DATABASES")
        finally:
            await wire.close()
        return answer.status not in (401, 403)

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The HTTP API of 2.x and 3: a JSON object, empty for 204 and 404 of a GET.

        Raises StoreDown, StoreRefused.
        """
        answer = await self._wire.call(method, path, params, body)
        if answer.status == 404 and method == "GET":
            return {}
        if answer.status in (401, 403):
            raise StoreRefused(
                f"{self.url} answered {answer.status} to {method} {path}: {_words(answer)}; "
                "setting it up needs an administrator's token: set INFLUX_ADMIN_TOKEN"
            )
        if answer.status not in (200, 201, 204):
            raise trouble(answer, f"{self.url}{path}", now_ns())
        try:
            found = json.loads(answer.body) if answer.body.strip() else {}
        except ValueError:
            found = {}
        return found if isinstance(found, dict) else {"databases": found}


async def plan(server: Server, wanted: Wanted) -> Plan:
    """Ask the server what it has. Raises StoreDown, StoreRefused."""
    version = await server.version()
    major = re.match(r"v?(\d+)", version)
    make = {"1": _plan_1, "2": _plan_2}.get(major[1] if major else "", _plan_3)
    steps, notes = await make(server, wanted)
    return Plan(f"InfluxDB {version.removeprefix('v')} at {server.url}", steps, notes)


def _kept(seconds: int) -> str:
    if not seconds:
        return "for ever"
    return f"{seconds // 86_400} days" if seconds % 86_400 == 0 else f"{seconds // 3600} hours"


def _retention_step(
    database: str, now_s: int, wanted_s: int, do: Callable[[], Awaitable[None]]
) -> Step:
    shorter = wanted_s != 0 and (now_s == 0 or wanted_s < now_s)
    warning = "; older rows will be deleted by the server" if shorter else ""
    what = f"change {database}: keep rows {_kept(wanted_s)} instead of {_kept(now_s)}{warning}"
    return Step(what, do, loses=shorter)


# --- 1.x


async def _plan_1(server: Server, wanted: Wanted) -> tuple[list[Step], list[str]]:
    guarded = not await server.may(NOBODY)
    there = column_of(await server.ask("SHOW DATABASES"), "name")
    steps = []
    for name, seconds in wanted.databases.items():
        if name not in there:
            length = f" WITH DURATION {seconds}s" if seconds else ""
            do = _run(server, f"CREATE DATABASE {identifier(name)}{length}")
            steps.append(Step(f"make database {name}, rows kept {_kept(seconds)}", do))
            continue
        policy, now_s = await _policy(server, name)
        if now_s != seconds:
            statement = (
                f"ALTER RETENTION POLICY {identifier(policy)} ON {identifier(name)}"
                f" DURATION {f'{seconds}s' if seconds else 'INF'}"
            )
            steps.append(_retention_step(name, now_s, seconds, _run(server, statement)))
    if not guarded:
        return steps, ["authentication is off: everybody who reaches the port may read and write"]
    users = {row[0]: row[1] for one in await server.ask("SHOW USERS") for row in one["values"]}
    more, notes = await _user_1(server, wanted, users, wanted.reader, "READ")
    steps += more
    if wanted.writer.name:
        more, others = await _user_1(server, wanted, users, wanted.writer, "ALL PRIVILEGES")
        steps, notes = steps + more, notes + others
    return steps, notes


async def _policy(server: Server, database: str) -> tuple[str, int]:
    """Name and seconds of the default retention policy."""
    for one in await server.ask(f"SHOW RETENTION POLICIES ON {identifier(database)}"):
        rows = [dict(zip(one["columns"], row, strict=True)) for row in one["values"]]
        for row in rows:
            if row["default"]:
                parts = _GO_DURATION.findall(row["duration"])
                return row["name"], sum(int(n) * _SECONDS[unit] for n, unit in parts)
    raise StoreRefused(
        f"database {database!r} has no default retention policy; make one with: "
        f"CREATE RETENTION POLICY autogen ON {identifier(database)}"
        " DURATION INF REPLICATION 1 DEFAULT"
    )


async def _user_1(
    server: Server, wanted: Wanted, users: Mapping[str, bool], login: Login, right: str
) -> tuple[list[Step], list[str]]:
    """A user with exactly this right on each database."""
    name = identifier(login.name)
    steps: list[Step] = []
    if users.get(login.name):
        if right == "READ":
            note = f"{login.name} is an administrator, which a user who only reads should not be: "
            return [], [note + f"REVOKE ALL PRIVILEGES FROM {name}"]
        return [], []
    if login.name not in users:
        if not login.password:
            key = "grafana.influx_password" if right == "READ" else "store.password"
            return [], [f"there is no user {login.name}: set {key} to have it made"]
        statement = f"CREATE USER {name} WITH PASSWORD {literal(login.password)}"
        steps.append(Step(f"make user {login.name}", _run(server, statement)))
    elif login.password and not await server.may(login):
        statement = f"SET PASSWORD FOR {name} = {literal(login.password)}"
        steps.append(Step(f"change the password of user {login.name}", _run(server, statement)))
    granted: dict[str, str] = {}
    if login.name in users:
        for one in await server.ask(f"SHOW GRANTS FOR {name}"):
            granted = {row[0]: row[1] for row in one.get("values", [])}
    for database in wanted.databases:
        if granted.get(database) != right:
            right_word = "READ" if right == "READ" else "ALL"
            statement = f"GRANT {right_word} ON {identifier(database)} TO {name}"
            may = "read" if right == "READ" else "read and write"
            steps.append(Step(f"let {login.name} {may} {database}", _run(server, statement)))
    return steps, []


def _run(server: Server, statement: str) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await server.ask(statement)

    return run


# --- 2.x


async def _plan_2(server: Server, wanted: Wanted) -> tuple[list[Step], list[str]]:
    if not server.token:
        raise StoreRefused(
            f"{server.url} is an InfluxDB 2: set store.token, or INFLUX_ADMIN_TOKEN for this once"
        )
    found = (await server.call("GET", "/api/v2/orgs", {"org": wanted.org})).get("orgs", [])
    if not found:
        raise StoreRefused(f"{server.url} has no organization {wanted.org!r}; check store.org")
    org = str(found[0]["id"])
    steps = []
    for name, seconds in wanted.databases.items():
        rules = [{"type": "expire", "everySeconds": seconds}]
        bucket = await _bucket(server, org, name)
        if bucket is None:
            body = {"orgID": org, "name": name, "retentionRules": rules}
            what = f"make bucket {name}, rows kept {_kept(seconds)}"
            steps.append(Step(what, _send(server, "POST", "/api/v2/buckets", body)))
            continue
        now_s = next((r["everySeconds"] for r in bucket.get("retentionRules", [])), 0)
        if now_s != seconds:
            path = f"/api/v2/buckets/{bucket['id']}"
            do = _send(server, "PATCH", path, {"retentionRules": rules})
            steps.append(_retention_step(name, now_s, seconds, do))
    more, notes = await _reader_2(server, org, wanted)
    return steps + more, notes


async def _bucket(server: Server, org: str, name: str) -> dict[str, Any] | None:
    answer = await server.call("GET", "/api/v2/buckets", {"orgID": org, "name": name})
    found: list[dict[str, Any]] = [b for b in answer.get("buckets", []) if b["name"] == name]
    return found[0] if found else None


async def _reader_2(server: Server, org: str, wanted: Wanted) -> tuple[list[Step], list[str]]:
    """Grafana's 1.x-compatible user: may read the buckets, and nothing else."""
    login = wanted.reader
    if not login.password:
        return [], [
            f"no user {login.name} for Grafana: set grafana.influx_password to have it made"
        ]
    answer = await server.call("GET", _LEGACY, {"orgID": org, "token": login.name})
    there = [one for one in answer.get("authorizations", []) if one.get("token") == login.name]

    async def make() -> None:
        for old in there:
            await server.call("DELETE", f"{_LEGACY}/{old['id']}")
        buckets = [await _bucket(server, org, name) for name in wanted.databases]
        body = {
            "orgID": org,
            "token": login.name,
            "description": "Grafana, read only",
            "status": "active",
            "permissions": [
                {"action": "read", "resource": {"type": "buckets", "id": one["id"], "orgID": org}}
                for one in buckets
                if one is not None
            ],
        }
        await change(str((await server.call("POST", _LEGACY, body=body))["id"]))

    async def change(made: str) -> None:
        body = {"password": login.password}
        await server.call("POST", f"{_LEGACY}/{made}/password", body=body)

    names = ", ".join(wanted.databases)
    if not there:
        return [Step(f"make user {login.name} who may read {names}", make)], []
    ids = {(await _bucket(server, org, name) or {}).get("id") for name in wanted.databases}
    rights = {
        (p["action"], p["resource"].get("type"), p["resource"].get("id"))
        for p in there[0].get("permissions", [])
    }
    if rights != {("read", "buckets", one) for one in ids} or len(there) > 1:
        what = (
            f"make user {login.name} anew (rights can't be changed): may read {names}, nothing else"
        )
        return [Step(what, make)], []
    if not await server.may(login, next(iter(wanted.databases))):
        made = str(there[0]["id"])
        return [Step(f"change the password of user {login.name}", lambda: change(made))], []
    return [], []


def _send(
    server: Server, method: str, path: str, body: Mapping[str, Any]
) -> Callable[[], Awaitable[None]]:
    async def send() -> None:
        await server.call(method, path, body=body)

    return send


# --- 3


async def _plan_3(server: Server, wanted: Wanted) -> tuple[list[Step], list[str]]:
    path = "/api/v3/configure/database"
    answer = await server.call("GET", path, {"format": "json"})
    there = {
        str(one.get("iox::database", one.get("name", ""))) if isinstance(one, dict) else str(one)
        for one in answer.get("databases", [])
    }
    steps, notes = [], []
    for name, seconds in wanted.databases.items():
        if name in there:
            notes.append(
                f"{name} is there; InfluxDB 3 Core can't change how long it keeps rows, and the "
                f"settings say {_kept(seconds)}: see `influxdb3 show retention`"
            )
            continue
        body = {"db": name, **({"retention_period": f"{seconds // 3600}h"} if seconds else {})}
        what = f"make database {name}, rows kept {_kept(seconds)}"
        steps.append(Step(what, _send(server, "POST", path, body)))
    notes.append("InfluxDB 3 Core has no tokens that only read: let nobody near Grafana's own")
    return steps, notes


def _basic(login: Login) -> str:
    return f"Basic {b64encode(f'{login.name}:{login.password}'.encode()).decode()}"


def _words(answer: Answer) -> str:
    try:
        said = json.loads(answer.body)
        return str(said.get("error") or said.get("message") or said)
    except (ValueError, AttributeError):
        return answer.body.decode(errors="replace").strip()[:200] or "nothing more"
