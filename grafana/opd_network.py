"""The network of the offices: which device or link is in trouble, and how the traffic runs."""

from __future__ import annotations

from grafana.board import (
    Placed,
    Section,
    active_alerts,
    alarms,
    assemble,
    availability,
    beside,
    values,
    variable,
)
from grafana.influxql import (
    NETWORK,
    OUTWARD,
    Given,
    ask,
    both_ways,
    match,
    mean,
    reachable,
    select,
    windowed,
)
from grafana.panels import HEAT, LOAD, UP, bars, column, lines, stats, table, timeline
from grafana.sdk import md, timeseries
from grafana.sdk import table as tables

CHOSEN = f"{NETWORK} AND {match(opd='opd', device='device')}"
ALERTS = f"{NETWORK} AND {match(device='device')}"
OFFICES = match(opd="opd")
UPSES = f"\"kind\" = 'ups' AND {OFFICES}"
PORTS = match(device="device", ifname="ifname")


def build() -> md.Dashboard:
    return assemble(
        "toba-opd-network",
        "Jaringan OPD",
        "Routers, switches and links of the offices: reachability, load, traffic, errors.",
        tag="opd-network",
        variables=[
            variable("opd", "OPD", "Office.", values("opd", "device", NETWORK)),
            variable(
                "device",
                "Perangkat",
                "Device of the chosen offices.",
                values("device", "device", f"{NETWORK} AND {OFFICES}"),
            ),
            variable(
                "ifname",
                "Antarmuka",
                "Interface of the chosen devices.",
                values("ifname", "interface", match(device="device")),
            ),
        ],
        alerts_where=CHOSEN,
        sections=[
            Section("Ringkasan", _summary()),
            Section("Keterjangkauan", _reach()),
            Section("Beban perangkat", _load()),
            Section("Suhu, daya dan sinyal", _hardware()),
            Section("Antarmuka", _ports()),
            alarms(ALERTS, OFFICES, past=CHOSEN),
        ],
    )


def _summary() -> list[Placed]:
    return [
        *beside(
            (4, 4),
            stats(
                "Perangkat hidup",
                "Chosen devices that answered at least one probe last time, past 15 minutes.",
                [ask(reachable('sum("up") AS "Hidup"', CHOSEN))],
                since="15m",
            ),
            stats(
                "Perangkat mati",
                "Chosen devices of which no probe was answered last time, past 15 minutes.",
                [ask(reachable('count("up") - sum("up") AS "Mati"', CHOSEN))],
                steps=[(None, "green"), (1, "red")],
                since="15m",
            ),
            active_alerts(ALERTS, OFFICES),
        ),
        *beside(
            (6, 4),
            availability(
                "Share of the chosen devices' probes in the chosen range that were answered.",
                "device",
                CHOSEN,
            ),
            stats(
                "Waktu tempuh rata-rata",
                "Mean round trip time over the chosen devices and range.",
                [ask(select('mean("rtt_ms")', "device", CHOSEN))],
                unit="ms",
                steps=[(None, "green"), (100, "yellow"), (300, "red")],
                decimals=1,
            ),
        ),
    ]


def _reach() -> list[Placed]:
    return [
        *beside(
            (24, 10),
            timeline(
                "Hidup atau mati",
                "Each device and probe over time; dead when any poll in the bucket failed.",
                [
                    ask(
                        windowed('min("up")', "device", CHOSEN, ("device", "probe")),
                        "$tag_device ($tag_probe)",
                    )
                ],
                UP,
            ),
        ),
        *beside(
            (8, 8),
            lines(
                "Waktu tempuh (RTT)",
                "Round trip time of the ICMP probe per device.",
                [_line("rtt_ms")],
                unit="ms",
            ),
            lines(
                "Paket hilang",
                "Share of ICMP packets lost per device; users notice 5 %, work stops at 20 %.",
                [_line("loss_pct")],
                unit="percent",
                steps=[(None, "green"), (5, "yellow"), (20, "red")],
            ),
            lines(
                "Jitter",
                "Mean step from one round trip to the next; calls and video suffer from 30 ms on.",
                [_line("jitter_ms")],
                unit="ms",
                steps=[(None, "green"), (30, "yellow")],
            ),
        ),
        *beside((24, 7), _sweeps()),
    ]


def _sweeps() -> timeseries.Panel:
    return lines(
        "Temuan di jaringan lokal",
        "What sweeps find on the networks that are watched: devices that the inventory does"
        " not list, addresses that two claim, changed MACs, DHCP servers that may not be.",
        [
            ask(windowed(f'max("{field}")', "lan", CHOSEN), f"$tag_device {name}", ref=ref)
            for ref, field, name in (
                ("A", "unknown", "tak dikenal"),
                ("B", "duplicates", "alamat ganda"),
                ("C", "moved", "MAC berganti"),
                ("D", "rogue_dhcp", "DHCP liar"),
            )
        ],
        unit="short",
    )


def _load() -> list[Placed]:
    return beside(
        (8, 8),
        lines(
            "CPU",
            "Processor load per device.",
            [_line("cpu_pct")],
            unit="percent",
            steps=LOAD,
        ),
        lines(
            "Memori",
            "Memory in use per device.",
            [_line("mem_pct")],
            unit="percent",
            steps=LOAD,
        ),
        bars(
            "Lama menyala",
            "Time since the last restart of each device, as its agent says.",
            [ask(select('last("uptime_s")', "device", CHOSEN, by=("device",)), "$tag_device")],
            unit="dtdurations",
            steps=[(None, "red"), (3600, "yellow"), (86_400, "green")],
            since="1h",
        ),
    )


def _hardware() -> list[Placed]:
    by = ("device", "sensor")
    return beside(
        (12, 8),
        lines(
            "Suhu perangkat",
            "Hottest sensor inside each device, optics left out.",
            [_line("temperature_c")],
            unit="celsius",
            steps=HEAT,
        ),
        lines(
            "Tegangan masukan",
            "What each device is fed with; a slow fall is a tired battery or adapter.",
            [_line("voltage_v")],
            unit="volt",
        ),
        lines(
            "Sinyal LTE dan radio",
            "RSRP of LTE modems (weak under -115 dBm) and signal of radio links (under -80).",
            [
                ask(mean("rsrp_dbm", "hardware", CHOSEN, by), "$tag_device $tag_sensor RSRP"),
                ask(
                    mean("signal_dbm", "hardware", CHOSEN, by),
                    "$tag_device $tag_sensor",
                    ref="B",
                ),
            ],
            unit="dBm",
        ),
        lines(
            "Baterai UPS",
            "Charge of each UPS; it falls while the mains are out.",
            [_line("battery_pct", UPSES)],
            unit="percent",
        ),
    )


def _ports() -> list[Placed]:
    by = ("device", "ifname")
    return [
        *beside(
            (24, 10),
            lines(
                "Lalu lintas per antarmuka",
                "Traffic of each chosen interface: in upwards, out downwards.",
                _both("in_bps", "out_bps"),
                unit="bps",
                negative=OUTWARD,
            ),
        ),
        *beside(
            (12, 8),
            lines(
                "Kesalahan masuk dan keluar",
                "Errors per second of each chosen interface; anything but zero is a bad line,"
                " cable or duplex setting.",
                _both("in_errors_ps", "out_errors_ps"),
                unit="suffix: /s",
                negative=OUTWARD,
            ),
            lines(
                "Paket dibuang",
                "Packets per second that each chosen interface discarded: a queue was full.",
                _both("in_discards_ps", "out_discards_ps"),
                unit="suffix: /s",
                negative=OUTWARD,
            ),
        ),
        *beside(
            (24, 9),
            timeline(
                "Status antarmuka",
                "Operational state (ifOperStatus up) of each chosen interface over time.",
                [
                    ask(
                        windowed('min("oper_up")', "interface", PORTS, by),
                        "$tag_device $tag_ifname",
                    )
                ],
                UP,
            ),
        ),
        *beside((24, 10), _port_table(by)),
    ]


def _line(field: str, where: str = CHOSEN) -> Given:
    return ask(mean(field, "device", where), "$tag_device")


def _both(inward: str, outward: str) -> list[Given]:
    return both_ways(inward, outward, PORTS, "$tag_device $tag_ifname")


def _port_table(by: tuple[str, ...]) -> tables.Panel:
    fields = ("admin_up", "oper_up", "speed_bps", "in_bps", "out_bps", "alias")
    what = ", ".join(f'last("{name}") AS "{name}"' for name in fields)
    panel = table(
        "Antarmuka sekarang",
        "Last state, speed and traffic of every chosen interface, past hour.",
        ask(select(what, "interface", PORTS, by=by), table=True),
        columns=[
            ("device", "Perangkat"),
            ("ifname", "Antarmuka"),
            ("alias", "Nama lain"),
            ("admin_up", "Diaktifkan"),
            ("oper_up", "Status"),
            ("speed_bps", "Kecepatan"),
            ("in_bps", "Masuk"),
            ("out_bps", "Keluar"),
        ],
        since="1h",
    )
    for heading in ("Kecepatan", "Masuk", "Keluar"):
        panel = column(panel, heading, unit="bps")
    for heading in ("Diaktifkan", "Status"):
        panel = column(panel, heading, names=UP)
    return panel
