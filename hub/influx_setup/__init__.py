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

import re

from hub.influx_setup import v1, v2, v3
from hub.influx_setup.server import Login, Server
from hub.influx_setup.steps import Plan, Step, Wanted

__all__ = ["Login", "Plan", "Server", "Step", "Wanted", "plan"]


async def plan(server: Server, wanted: Wanted) -> Plan:
    """Ask the server what it has. Raises StoreDown, StoreRefused."""
    version = await server.version()
    major = re.match(r"v?(\d+)", version)
    make = {"1": v1.plan, "2": v2.plan}.get(major[1] if major else "", v3.plan)
    steps, notes = await make(server, wanted)
    return Plan(f"InfluxDB {version.removeprefix('v')} at {server.url}", steps, notes)
