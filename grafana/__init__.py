"""Dashboards as code, the JSON they give, provisioning, and `push` into an existing Grafana.

    command_center.py ┐
    opd_network.py    ├─ panels.py ─► build.py ─► dashboards/*.json ─► provisioning/ (compose)
    environment.py    │                                             └► push.py (grafana-api)
    cameras.py        ┘

Only `build.py` and what stands left of it need the developers' `grafana-foundation-sdk`.
"""
