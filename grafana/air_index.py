"""The air quality index (ISPU) that the hub records each full hour, in its official colours."""

from __future__ import annotations

from grafana.board import Placed, beside
from grafana.influxql import ask, select, windowed
from grafana.ladders import INDICATIVE, ISPU, ISPU_CLASS, PARAMETER
from grafana.panels import bars, column, lines, table
from grafana.sdk import table as tables

SINCE = "2h"
"""An index is of a full hour; one that is older says nothing of now."""
GAP_MS = 10_800_000


def index(chosen: str) -> list[Placed]:
    """The section of the stations chosen. With too few hours there is no index."""
    return [
        *beside(
            (8, 8),
            bars(
                "ISPU sekarang",
                "Index of the last full hour per station, rolling 24-hour means, in the official"
                " colours (Permen LHK P.14/2020, from copies).",
                [ask(select('last("ispu")', "air_index", chosen, by=("device",)), "$tag_device")],
                unit="none",
                steps=ISPU,
                high=300,
                since=SINCE,
                decimals=0,
            ),
        ),
        *beside((16, 8), _standing(chosen)),
        *beside(
            (24, 9),
            lines(
                "ISPU per stasiun",
                "Index per station, hour by hour; lines are the class limits.",
                [ask(windowed('max("ispu")', "air_index", chosen), "$tag_device")],
                interval="1h",
                gap_ms=GAP_MS,
                unit="none",
                steps=ISPU,
                decimals=0,
            ),
        ),
    ]


def _standing(chosen: str) -> tables.Panel:
    columns = ("ispu", "category", "dominant", "indicative", "hours")
    now = ", ".join(f'last("{name}") AS "{name}"' for name in columns)
    panel = table(
        "ISPU: kelas dan parameter kritis",
        "Index of the last full hour per station: class, the parameter that has it, hours of"
        " 24 with enough readings. Indicative unless the station is a reference instrument.",
        ask(select(now, "air_index", chosen, by=("device",)), table=True),
        columns=[
            ("device", "Alat"),
            ("ispu", "ISPU"),
            ("category", "Kelas"),
            ("dominant", "Parameter kritis"),
            ("indicative", "Mutu"),
            ("hours", "Jam berisi"),
        ],
        since=SINCE,
    )
    panel = column(panel, "Kelas", names=ISPU_CLASS)
    panel = column(panel, "Parameter kritis", names=PARAMETER)
    return column(panel, "Mutu", names=INDICATIVE)
