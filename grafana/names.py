"""The fixed names that dashboards, provisioning and push agree on. Imports nothing."""

from __future__ import annotations

from pathlib import Path

DATASOURCE_UID = "influx"
DATASOURCE_NAME = "InfluxDB Toba"
DATABASE = "toba"
"""InfluxDB's bucket (2.x) or database (1.x, 3)."""

FOLDER_UID = "toba-hub"
FOLDER_TITLE = "Toba hub"

ALERT_TAG = "alarm"
MAINTENANCE_TAG = "pemeliharaan"
"""Tags of the annotations in Grafana's own store, that `push.annotate` writes."""

DASHBOARDS = Path(__file__).parent / "dashboards"
"""The committed JSON."""
