"""InfluxDB 3 Core, by its HTTP API."""

from __future__ import annotations

from hub.influx_setup.server import Server, sending
from hub.influx_setup.steps import Step, Wanted, kept_for


async def plan(server: Server, wanted: Wanted) -> tuple[list[Step], list[str]]:
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
                f"settings say {kept_for(seconds)}: see `influxdb3 show retention`"
            )
            continue
        body = {"db": name, **({"retention_period": f"{seconds // 3600}h"} if seconds else {})}
        what = f"make database {name}, rows kept {kept_for(seconds)}"
        steps.append(Step(what, sending(server, "POST", path, body)))
    notes.append("InfluxDB 3 Core has no tokens that only read: let nobody near Grafana's own")
    return steps, notes
