"""InfluxDB 2.x, by its HTTP API."""

from __future__ import annotations

from typing import Any

from hub.influx_setup.server import Server, sending
from hub.influx_setup.steps import Step, Wanted, kept_for, retention_step
from hub.store.base import StoreRefused

_LEGACY = "/private/legacy/authorizations"


async def plan(server: Server, wanted: Wanted) -> tuple[list[Step], list[str]]:
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
            what = f"make bucket {name}, rows kept {kept_for(seconds)}"
            steps.append(Step(what, sending(server, "POST", "/api/v2/buckets", body)))
            continue
        now_s = next((r["everySeconds"] for r in bucket.get("retentionRules", [])), 0)
        if now_s != seconds:
            path = f"/api/v2/buckets/{bucket['id']}"
            do = sending(server, "PATCH", path, {"retentionRules": rules})
            steps.append(retention_step(name, now_s, seconds, do))
    more, notes = await _reader(server, org, wanted)
    return steps + more, notes


async def _bucket(server: Server, org: str, name: str) -> dict[str, Any] | None:
    answer = await server.call("GET", "/api/v2/buckets", {"orgID": org, "name": name})
    found: list[dict[str, Any]] = [b for b in answer.get("buckets", []) if b["name"] == name]
    return found[0] if found else None


async def _reader(server: Server, org: str, wanted: Wanted) -> tuple[list[Step], list[str]]:
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
