"""The wall of the command center: is anything wrong, where, and since when."""

from __future__ import annotations

from grafana.board import (
    Placed,
    Section,
    active_alerts,
    alarms,
    assemble,
    availability,
    beside,
    critical_alerts,
    values,
    variable,
)
from grafana.influxql import (
    OUTWARD,
    Given,
    ask,
    both_ways,
    match,
    newest,
    reachable,
    select,
    windowed,
)
from grafana.ladders import LAKE, PM25, RAIN_HOUR
from grafana.panels import GREEN, NONE_IS_GOOD, UP, Steps, bars, lines, stats, timeline
from grafana.sdk import md, stat, statetimeline

RECENT = "15m"
"""Counts look back this far, so that what fell silent is no longer counted as alive."""


ROUTERS = "\"kind\" = 'router'"
SENSORS = "\"kind\" = 'sensor'"


def build() -> md.Dashboard:
    return assemble(
        "toba-command-center",
        "Pusat Komando",
        "Wall display of the command center: alerts, offices, cameras, air, lake, core traffic.",
        tag="command-center",
        variables=[
            variable(
                "core",
                "Router inti",
                "The router whose traffic is shown as the regency's core traffic.",
                values("device", "interface"),
                multi=False,
                default="r-core",
            )
        ],
        sections=[
            Section(
                "Keadaan sekarang",
                [
                    *beside((4, 4), active_alerts(), critical_alerts()),
                    *beside((2, 4), *_counts()),
                    *beside((4, 4), _camera_availability()),
                ],
            ),
            alarms(height=9),
            Section("Kantor", beside((24, 10), _offices())),
            Section("Lingkungan dan jaringan inti", _sectors()),
        ],
    )


def _counts() -> list[stat.Panel]:
    return [
        _count(
            "Router hidup",
            "Routers that answered at least one probe in the past 15 minutes.",
            reachable('sum("up")', ROUTERS),
            "Hidup",
            good=True,
        ),
        _count(
            "Router mati",
            "Routers that were asked in the past 15 minutes and answered no probe last time.",
            reachable('count("up") - sum("up")', ROUTERS),
            "Mati",
        ),
        _count(
            "Sensor hidup",
            "Sensor nodes that said they are there (MQTT status), past 15 minutes.",
            reachable('sum("up")', SENSORS),
            "Hidup",
            good=True,
        ),
        _count(
            "Sensor mati",
            "Sensor nodes whose connection to the broker broke, past 15 minutes.",
            reachable('count("up") - sum("up")', SENSORS),
            "Mati",
        ),
        _count(
            "Kamera hidup",
            "Cameras that are up (online or degraded), past 15 minutes.",
            _cameras('sum("up")'),
            "Hidup",
            good=True,
        ),
        _count(
            "Kamera mati",
            "Cameras that are offline, past 15 minutes.",
            _cameras('count("up") - sum("up")'),
            "Mati",
        ),
    ]


def _count(title: str, why: str, query: str, alias: str, *, good: bool = False) -> stat.Panel:
    steps: Steps = [(None, GREEN)] if good else NONE_IS_GOOD
    return stats(title, why, [ask(query, alias)], steps=steps, since=RECENT)


def _cameras(what: str) -> str:
    return select(what, newest("up", "camera"))


def _camera_availability() -> stat.Panel:
    return availability(
        "Share of all cameras' reports in the chosen range that said up.",
        "camera",
        title="Ketersediaan kamera",
        decimals=1,
    )


def _offices() -> statetimeline.Panel:
    return timeline(
        "Koneksi kantor (OPD)",
        "Each office's router over time: dead when any of its probes failed in that bucket.",
        [
            ask(
                windowed('min("up")', "device", '"kind" = \'router\' AND "opd" =~ /./', ("opd",)),
                "$tag_opd",
            )
        ],
        UP,
    )


def _sectors() -> list[Placed]:
    return [
        *beside(
            (8, 9),
            bars(
                "PM2.5 rata-rata 24 jam",
                "24-hour mean PM2.5 of each site, coloured by ISPU class (Permen LHK P.14/2020)."
                " Indicative: low-cost sensors, not an official ISPU.",
                [_by_site('mean("pm25")')],
                unit="conμgm3",
                steps=PM25,
                high=150,
                since="24h",
                decimals=1,
            ),
            bars(
                "Hujan 1 jam terakhir",
                "Rain of the past hour at each gauge, coloured by intensity.",
                [_by_site('sum("rain_mm")')],
                unit="lengthmm",
                steps=RAIN_HOUR,
                high=40,
                since="1h",
                decimals=1,
            ),
            stats(
                "Muka air Danau Toba",
                "Last lake level at each gauge, metres above sea level; 905 m is the official"
                " highest level, 902.4 m the lowest on record.",
                [
                    ask(
                        select('last("water_level_m")', "environment", by=("device",)),
                        "$tag_device",
                    )
                ],
                unit="lengthm",
                steps=LAKE,
                since="6h",
                decimals=2,
            ),
        ),
        *beside(
            (24, 9),
            lines(
                "Lalu lintas inti",
                "Traffic of the core router per interface: in upwards, out downwards.",
                both_ways("in_bps", "out_bps", match(device="core"), "$tag_ifname"),
                unit="bps",
                negative=OUTWARD,
            ),
        ),
    ]


def _by_site(what: str) -> Given:
    by = ("device", "site")
    return ask(select(what, "environment", by=by), "$tag_site ($tag_device)")
