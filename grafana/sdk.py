"""The developers' dashboard library, imported in one place.

It warns that there is a second dashboard model. We stay with the first on purpose: every Grafana
from 10 to 13 loads it, the second needs 12 with a switch or 13.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Prefer using dashboardv2", DeprecationWarning)
    from grafana_foundation_sdk.builders import (
        bargauge,
        common,
        dashboard,
        stat,
        statetimeline,
        table,
        timeseries,
    )
    from grafana_foundation_sdk.cog.builder import Builder
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.variants import Dataquery
    from grafana_foundation_sdk.models import common as mc
    from grafana_foundation_sdk.models import dashboard as md

__all__ = [
    "Builder",
    "Dataquery",
    "JSONEncoder",
    "bargauge",
    "common",
    "dashboard",
    "mc",
    "md",
    "stat",
    "statetimeline",
    "table",
    "timeseries",
]
