"""Air, rain and water: what the environmental officers watch."""

from __future__ import annotations

from grafana.air_index import index
from grafana.board import (
    Placed,
    Section,
    active_alerts,
    alarms,
    assemble,
    beside,
    values,
    variable,
)
from grafana.influxql import ZONE, Given, ask, match, mean, select
from grafana.ladders import ACIDITY, LAKE, NOISE, OXYGEN, PM10, PM25, RAIN_DAY, RAIN_HOUR
from grafana.panels import lines, stats
from grafana.sdk import md

CHOSEN = match(site="site", device="sensor")
ALERTS = f"\"kind\" = 'sensor' AND {match(device='sensor')}"

SLOW_MS = 2_700_000
"""Nodes on batteries report every 10 or 15 minutes: lines bridge three quarters of an hour."""


def build() -> md.Dashboard:
    return assemble(
        "toba-environment",
        "Lingkungan",
        "Air quality, weather, rain, noise, water quality and the level of Lake Toba.",
        tag="environment",
        since="now-24h",
        refresh="1m",
        variables=[
            variable("site", "Lokasi", "Site (kecamatan).", values("site", "environment")),
            variable(
                "sensor",
                "Alat",
                "Sensor node of the chosen sites.",
                values("device", "environment", match(site="site")),
            ),
        ],
        alerts_where=ALERTS,
        sections=[
            Section("Ringkasan", _summary()),
            Section("ISPU", index(CHOSEN)),
            Section("Udara", _air()),
            Section("Cuaca", _weather()),
            Section("Danau", _water()),
            Section("Alat", _nodes()),
            alarms(ALERTS),
        ],
    )


def _summary() -> list[Placed]:
    def now(field: str) -> str:
        return select(f'last("{field}")', "environment", CHOSEN)

    each = select('mean("pm25") AS "pm25"', "environment", CHOSEN, by=("device",), ranged=False)
    return [
        *beside((4, 4), active_alerts(ALERTS)),
        *beside(
            (5, 4),
            stats(
                "PM2.5 tertinggi (24 jam)",
                "Highest 24-hour mean PM2.5 of the chosen nodes, in ISPU colours. Indicative.",
                [ask(select('max("pm25")', f"({each})"))],
                unit="conμgm3",
                steps=PM25,
                since="24h",
                decimals=1,
            ),
            stats(
                "Suhu rata-rata",
                "Mean air temperature of the chosen nodes, past hour.",
                [ask(select('mean("temperature")', "environment", CHOSEN))],
                unit="celsius",
                since="1h",
                decimals=1,
            ),
            stats(
                "Oksigen terlarut terendah",
                "Lowest dissolved oxygen of the chosen nodes, past hour; fish die below 4 mg/L.",
                [ask(select('min("do_mgl")', "environment", CHOSEN))],
                unit="suffix: mg/L",
                steps=OXYGEN,
                since="1h",
                decimals=2,
            ),
            stats(
                "Muka air danau",
                "Last lake level of the chosen gauges, metres above sea level.",
                [ask(now("water_level_m"))],
                unit="lengthm",
                steps=LAKE,
                since="6h",
                decimals=2,
            ),
        ),
    ]


def _air() -> list[Placed]:
    return [
        *beside(
            (12, 9),
            lines(
                "PM2.5",
                "PM2.5 per node; lines are the ISPU class limits (meant for 24 h means).",
                [_line("pm25")],
                gap_ms=SLOW_MS,
                unit="conμgm3",
                steps=PM25,
            ),
            lines(
                "PM10",
                "PM10 per node; lines are the ISPU class limits (meant for 24 h means).",
                [_line("pm10")],
                gap_ms=SLOW_MS,
                unit="conμgm3",
                steps=PM10,
            ),
        ),
        *beside(
            (12, 8),
            lines(
                "PM2.5 rata-rata harian",
                "Daily mean PM2.5 per node, days of Western Indonesian Time; the legal 24 h limit"
                " is 55 µg/m³ (PP 22/2021). Choose a range of several days.",
                [_every("1d", 'mean("pm25")')],
                unit="conμgm3",
                steps=[(None, "green"), (55, "red")],
                bars=True,
            ),
            lines(
                "Kebisingan",
                "Sound level per node; limits 55 dB(A) for housing, schools and hospitals, 60 for"
                " government offices (KepMenLH 48/1996).",
                [_line("noise_dba")],
                gap_ms=SLOW_MS,
                unit="suffix: dB(A)",
                steps=NOISE,
                low=30,
            ),
        ),
    ]


def _weather() -> list[Placed]:
    return beside(
        (12, 8),
        lines(
            "Suhu udara",
            "Air temperature per node.",
            [_line("temperature")],
            gap_ms=SLOW_MS,
            unit="celsius",
            low=None,
        ),
        lines(
            "Kelembapan udara",
            "Relative humidity per node. Optical PM sensors read high above 85 %.",
            [_line("humidity")],
            gap_ms=SLOW_MS,
            unit="humidity",
            low=None,
        ),
        lines(
            "Hujan per jam",
            "Rain of each full hour per gauge; 5, 10 and 20 mm/h are moderate, heavy, very heavy.",
            [_every("1h", 'sum("rain_mm")')],
            unit="lengthmm",
            steps=RAIN_HOUR,
            bars=True,
        ),
        lines(
            "Hujan per hari",
            "Rain of each day per gauge, days of Western Indonesian Time; 50, 100, 150 mm are"
            " BMKG's heavy, very heavy, extreme, 61 mm the landslide threshold.",
            [_every("1d", 'sum("rain_mm")')],
            unit="lengthmm",
            steps=RAIN_DAY,
            bars=True,
        ),
    )


def _water() -> list[Placed]:
    return [
        *beside(
            (12, 9),
            lines(
                "Muka air Danau Toba",
                "Lake level, metres above sea level. 905 m: official highest (Kepmen PUPR"
                " 1695/2022); 902.4 m: lowest on record; bands between are the hub's proposal.",
                [_line("water_level_m")],
                gap_ms=SLOW_MS,
                unit="lengthm",
                steps=LAKE,
                low=None,
                decimals=2,
            ),
            lines(
                "Oksigen terlarut (DO)",
                "Dissolved oxygen: below 6 watch, below 5 warning, below 4 fish die in the cages,"
                " below 2 emergency.",
                [_line("do_mgl")],
                gap_ms=SLOW_MS,
                unit="suffix: mg/L",
                steps=OXYGEN,
            ),
        ),
        *beside(
            (12, 8),
            lines(
                "pH air",
                "Acidity of the lake water; class I water lies between 6 and 9 (PP 22/2021).",
                [_line("ph")],
                gap_ms=SLOW_MS,
                unit="suffix: pH",
                steps=ACIDITY,
                low=None,
            ),
            lines(
                "Kekeruhan",
                "Turbidity of the lake water; a jump to three times the usual warns of a turnover.",
                [_line("turbidity_ntu")],
                gap_ms=SLOW_MS,
                unit="suffix: NTU",
            ),
        ),
    ]


def _nodes() -> list[Placed]:
    return beside(
        (12, 7),
        lines(
            "Baterai",
            "Battery voltage per node; below 3.5 V a node is about to fall silent.",
            [_line("battery_v")],
            gap_ms=SLOW_MS,
            unit="volt",
            steps=[(None, "red"), (3.5, "green")],
            low=None,
        ),
        lines(
            "Kuat sinyal",
            "Radio signal per node; below −85 dBm messages get lost.",
            [_line("rssi_dbm")],
            gap_ms=SLOW_MS,
            unit="dBm",
            steps=[(None, "red"), (-85, "green")],
            low=None,
        ),
    )


def _line(field: str) -> Given:
    return ask(mean(field, "environment", CHOSEN, ("device", "sensor")), "$tag_device $tag_sensor")


def _every(bucket: str, what: str) -> Given:
    """Of each whole hour or day, which begins where it does in the zone."""
    end = f"fill(none) tz('{ZONE}')" if bucket == "1d" else "fill(none)"
    text = select(what, "environment", CHOSEN, by=("device",), bucket=bucket, end=end)
    return ask(text, "$tag_device")
