"""InfluxDB 1.x, by InfluxQL."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from hub.influx_setup.server import NOBODY, Login, Server
from hub.influx_setup.steps import Step, Wanted, kept_for, retention_step
from hub.store.base import StoreRefused
from hub.store.influx_answer import column_of
from hub.store.influxql import identifier, literal

_GO_DURATION = re.compile(r"(\d+)(h|m|s)")
_SECONDS = {"h": 3600, "m": 60, "s": 1}


async def plan(server: Server, wanted: Wanted) -> tuple[list[Step], list[str]]:
    guarded = not await server.may(NOBODY)
    there = column_of(await server.ask("SHOW DATABASES"), "name")
    steps = []
    for name, seconds in wanted.databases.items():
        if name not in there:
            length = f" WITH DURATION {seconds}s" if seconds else ""
            do = _run(server, f"CREATE DATABASE {identifier(name)}{length}")
            steps.append(Step(f"make database {name}, rows kept {kept_for(seconds)}", do))
            continue
        policy, now_s = await _policy(server, name)
        if now_s != seconds:
            statement = (
                f"ALTER RETENTION POLICY {identifier(policy)} ON {identifier(name)}"
                f" DURATION {f'{seconds}s' if seconds else 'INF'}"
            )
            steps.append(retention_step(name, now_s, seconds, _run(server, statement)))
    if not guarded:
        return steps, ["authentication is off: everybody who reaches the port may read and write"]
    users = {row[0]: row[1] for one in await server.ask("SHOW USERS") for row in one["values"]}
    more, notes = await _user(server, wanted, users, wanted.reader, "READ")
    steps += more
    if wanted.writer.name:
        more, others = await _user(server, wanted, users, wanted.writer, "ALL PRIVILEGES")
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


async def _user(
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
