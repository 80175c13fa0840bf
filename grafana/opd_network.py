"""The network of the offices: which device or link is in trouble, and how the traffic runs."""

from __future__ import annotations

from grafana.board import (
    Placed,
    Section,
    active_alerts,
    alert_table,
    alert_timeline,
    assemble,
    values,
    variable,
)
from grafana.influxql import NETWORK, Given, ask, match, mean, reachable, select, windowed
from grafana.panels import (
    AVAILABLE,
    HEAT,
    LOAD,
    UP,
    bars,
    column,
    lines,
    stats,
    table,
    timeline,
)
from grafana.sdk import md
from grafana.sdk import table as tables

CHOSEN = f"{NETWORK} AND {match(opd='opd', device='device')}"
ALERTS = f"{NETWORK} AND {match(device='device')}"
OFFICES = match(opd="opd")
PARTS = f"{NETWORK} AND {match(opd='opd', device='device')}"
UPSES = f"\"kind\" = 'ups' AND {match(opd='opd')}"
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
                values("device", "device", f"{NETWORK} AND {match(opd='opd')}"),
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
            Section(
                "Alarm",
                [
                    (alert_table(ALERTS, OFFICES), 24, 8),
                    (alert_timeline(CHOSEN), 24, 7),
                ],
            ),
        ],
    )


def _summary() -> list[Placed]:
    return [
        (
            stats(
                "Perangkat hidup",
                "Chosen devices that answered at least one probe last time, past 15 minutes.",
                [ask(reachable('sum("up") AS "Hidup"', CHOSEN))],
                since="15m",
            ),
            4,
            4,
        ),
        (
            stats(
                "Perangkat mati",
                "Chosen devices of which no probe was answered last time, past 15 minutes.",
                [ask(reachable('count("up") - sum("up") AS "Mati"', CHOSEN))],
                steps=[(None, "green"), (1, "red")],
                since="15m",
            ),
            4,
            4,
        ),
        (active_alerts(ALERTS, OFFICES), 4, 4),
        (
            stats(
                "Ketersediaan",
                "Share of the chosen devices' probes in the chosen range that were answered.",
                [ask(select('mean("up") * 100', "device", CHOSEN))],
                unit="percent",
                steps=AVAILABLE,
                decimals=2,
            ),
            6,
            4,
        ),
        (
            stats(
                "Waktu tempuh rata-rata",
                "Mean round trip time over the chosen devices and range.",
                [ask(select('mean("rtt_ms")', "device", CHOSEN))],
                unit="ms",
                steps=[(None, "green"), (100, "yellow"), (300, "red")],
                decimals=1,
            ),
            6,
            4,
        ),
    ]


def _reach() -> list[Placed]:
    return [
        (
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
            24,
            10,
        ),
        (
            lines(
                "Waktu tempuh (RTT)",
                "Round trip time of the ICMP probe per device.",
                [ask(mean("rtt_ms", "device", CHOSEN), "$tag_device")],
                unit="ms",
            ),
            8,
            8,
        ),
        (
            lines(
                "Paket hilang",
                "Share of ICMP packets lost per device; users notice 5 %, work stops at 20 %.",
                [ask(mean("loss_pct", "device", CHOSEN), "$tag_device")],
                unit="percent",
                steps=[(None, "green"), (5, "yellow"), (20, "red")],
            ),
            8,
            8,
        ),
        (
            lines(
                "Jitter",
                "Mean step from one round trip to the next; calls and video suffer from 30 ms on.",
                [ask(mean("jitter_ms", "device", CHOSEN), "$tag_device")],
                unit="ms",
                steps=[(None, "green"), (30, "yellow")],
            ),
            8,
            8,
        ),
        (
            lines(
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
            ),
            24,
            7,
        ),
    ]


def _load() -> list[Placed]:
    return [
        (
            lines(
                "CPU",
                "Processor load per device.",
                [ask(mean("cpu_pct", "device", CHOSEN), "$tag_device")],
                unit="percent",
                steps=LOAD,
            ),
            8,
            8,
        ),
        (
            lines(
                "Memori",
                "Memory in use per device.",
                [ask(mean("mem_pct", "device", CHOSEN), "$tag_device")],
                unit="percent",
                steps=LOAD,
            ),
            8,
            8,
        ),
        (
            bars(
                "Lama menyala",
                "Time since the last restart of each device, as its agent says.",
                [
                    ask(
                        select('last("uptime_s")', "device", CHOSEN, by=("device",)),
                        "$tag_device",
                    )
                ],
                unit="dtdurations",
                steps=[(None, "red"), (3600, "yellow"), (86_400, "green")],
                since="1h",
            ),
            8,
            8,
        ),
    ]


def _hardware() -> list[Placed]:
    parts = ("device", "sensor")
    return [
        (
            lines(
                "Suhu perangkat",
                "Hottest sensor inside each device, optics left out.",
                [ask(mean("temperature_c", "device", CHOSEN), "$tag_device")],
                unit="celsius",
                steps=HEAT,
            ),
            12,
            8,
        ),
        (
            lines(
                "Tegangan masukan",
                "What each device is fed with; a slow fall is a tired battery or adapter.",
                [ask(mean("voltage_v", "device", CHOSEN), "$tag_device")],
                unit="volt",
            ),
            12,
            8,
        ),
        (
            lines(
                "Sinyal LTE dan radio",
                "RSRP of LTE modems (weak under -115 dBm) and signal of radio links (under -80).",
                [
                    ask(mean("rsrp_dbm", "hardware", PARTS, parts), "$tag_device $tag_sensor RSRP"),
                    ask(
                        mean("signal_dbm", "hardware", PARTS, parts),
                        "$tag_device $tag_sensor",
                        ref="B",
                    ),
                ],
                unit="dBm",
            ),
            12,
            8,
        ),
        (
            lines(
                "Baterai UPS",
                "Charge of each UPS; it falls while the mains are out.",
                [ask(mean("battery_pct", "device", UPSES), "$tag_device")],
                unit="percent",
            ),
            12,
            8,
        ),
    ]


def _ports() -> list[Placed]:
    by = ("device", "ifname")
    return [
        (
            lines(
                "Lalu lintas per antarmuka",
                "Traffic of each chosen interface: in upwards, out downwards.",
                _both("in_bps", "out_bps"),
                unit="bps",
                negative="/ keluar$/",
            ),
            24,
            10,
        ),
        (
            lines(
                "Kesalahan masuk dan keluar",
                "Errors per second of each chosen interface; anything but zero is a bad line,"
                " cable or duplex setting.",
                _both("in_errors_ps", "out_errors_ps"),
                unit="suffix: /s",
                negative="/ keluar$/",
            ),
            12,
            8,
        ),
        (
            lines(
                "Paket dibuang",
                "Packets per second that each chosen interface discarded: a queue was full.",
                _both("in_discards_ps", "out_discards_ps"),
                unit="suffix: /s",
                negative="/ keluar$/",
            ),
            12,
            8,
        ),
        (
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
            24,
            9,
        ),
        (_port_table(by), 24, 10),
    ]


def _both(inward: str, outward: str) -> list[Given]:
    by = ("device", "ifname")
    return [
        ask(mean(inward, "interface", PORTS, by), "$tag_device $tag_ifname masuk"),
        ask(mean(outward, "interface", PORTS, by), "$tag_device $tag_ifname keluar", ref="B"),
    ]


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
