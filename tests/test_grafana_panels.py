"""Every query of every dashboard, asked of a real influxd and compared with what was published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grafana.build import load
from tests.grafana_oracles import active_alerts, check_alerts, check_panels
from tests.grafana_support import MINUTE_NS, Influx, Point, Span, chosen, influx_with_toba, render

START_NS = 1_767_582_000_000_000_000
"""2026-01-05 03:00 UTC, 10:00 in Jakarta."""
MINUTES = 120
SPAN = Span(START_NS, START_NS + (MINUTES - 1) * MINUTE_NS)

ROUTERS = {"r-core": "", "r-dlh": "dlh", "r-bpbd": "bpbd"}
DEAD = "r-bpbd"
FRAGILE = "r-dlh"
"""Its agent stops answering, ICMP goes on: the device is alive, that probe isn't."""


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with influx_with_toba(tmp_path_factory.mktemp("influx")) as server:
        server.write(published())
        yield server


def published() -> list[Point]:
    """Two hours of a small regency, every series different and none of them constant."""
    return [
        point
        for minute in range(MINUTES)
        for point in (*_network(minute), *_ups(minute), *_environment(minute), *_cameras(minute))
    ]


def _network(minute: int) -> Iterator[Point]:
    at = START_NS + minute * MINUTE_NS
    for number, (router, opd) in enumerate(ROUTERS.items(), 1):
        labels = {"device": router, "kind": "router", "site": "balige", "opd": opd}
        labels = {key: value for key, value in labels.items() if value}
        alive = int(router != DEAD or minute < 100)
        agent = int(alive and (router != FRAGILE or minute < 110))
        snmp = {"up": agent, "cpu_pct": 10.5 * number + minute / 7, "mem_pct": 40.0 + minute / 9}
        yield Point("device", {**labels, "probe": "snmp"}, at + number, {
            **snmp, "uptime_s": 86_400.0 * number + 60 * minute,
            "temperature_c": 40.5 + number + minute / 8, "voltage_v": 23.5 + minute / 100,
        })  # fmt: skip
        yield Point("hardware", {**labels, "sensor": "lte1"}, at + number, {
            "rsrp_dbm": -90.0 - number - minute / 10, "signal_dbm": -60.0 - number - minute / 20,
        })  # fmt: skip
        yield Point("device", {**labels, "probe": "icmp"}, at + number, {
            "up": alive, "rtt_ms": 2.5 * number + minute % 5, "loss_pct": float(100 - 100 * alive),
            "jitter_ms": 0.5 * number + minute % 7,
        })  # fmt: skip
        yield Point("lan", labels, at + number, {
            "unknown": minute % 4 + number, "duplicates": minute % 3, "moved": minute // 60,
            "rogue_dhcp": int(minute > 100),
        })  # fmt: skip
        for port in ("ether1", "ether2/sfp-1 (uplink)"):
            yield Point("interface", {**labels, "ifname": port}, at + number, {
                "in_bps": 1e6 * number + 1000.25 * minute + len(port),
                "out_bps": 2e6 * number + 500.75 * minute + len(port),
                "in_errors_ps": minute / 60, "out_errors_ps": minute / 120,
                "in_discards_ps": minute / 30, "out_discards_ps": minute / 40,
                "oper_up": int(minute % 17 > 0), "admin_up": 1, "speed_bps": 1e9,
                "alias": 'ke "kantor", lantai 2',
            })  # fmt: skip


def _ups(minute: int) -> Iterator[Point]:
    labels = {"device": "ups-kominfo", "kind": "ups", "site": "balige", "opd": "kominfo"}
    yield Point("device", {**labels, "probe": "snmp"}, START_NS + minute * MINUTE_NS, {
        "up": 1, "battery_pct": 100.0 - minute / 3, "on_battery": 1,
    })  # fmt: skip


def _environment(minute: int) -> Iterator[Point]:
    at = START_NS + minute * MINUTE_NS
    for number, site in enumerate(("balige", "ajibata"), 1):
        air = {"device": f"aq-{site}", "sensor": "air", "site": site, "kind": "sensor"}
        if minute % 60 == 0:
            yield Point("air_index", {"device": f"aq-{site}", "site": site, "kind": "sensor"}, at, {
                "ispu": 95 * number + minute // 10, "category": number + 1, "dominant": "pm25",
                "indicative": 1, "hours": 24,
            })  # fmt: skip
        lake = {"device": f"wl-{site}", "sensor": "air-danau", "site": site, "kind": "sensor"}
        yield Point("environment", air, at, {
            "pm25": 20.0 * number + minute / 10, "pm10": 41.5 * number + minute / 8,
            "temperature": 22.0 + number + minute / 50, "humidity": 85.0 - minute / 30,
            "rain_mm": 0.2 * (minute % 3), "noise_dba": 48.0 + minute % 12, "battery_v": 3.9,
            "rssi_dbm": -70 - minute % 5,
        })  # fmt: skip
        node = {"device": f"aq-{site}", "probe": "mqtt", "site": site, "kind": "sensor"}
        there = int(number == 1 or minute < 115)
        yield Point("device", node, at, {"up": there, "uptime_s": 60.0 * minute})
        yield Point("environment", lake, at + 7, {
            "water_level_m": 903.5 + number / 10 + minute / 1000, "do_mgl": 6.5 - minute / 100,
            "ph": 7.5 + minute / 500, "turbidity_ntu": 3.0 + minute / 10, "battery_v": 3.7,
        })  # fmt: skip


def _cameras(minute: int) -> Iterator[Point]:
    at = START_NS + minute * MINUTE_NS
    for number, last in enumerate((2, 2, 1, 0)):
        state = last if minute > 90 else 2
        labels = {"device": f"cam-{number}", "site": "balige", "kind": "camera", "opd": "dishub"}
        yield Point("camera", labels, at, {
            "up": int(state > 0), "state": state, "heartbeat_age_s": 5.0 + minute % 4 + number,
            "fps": 15.0 + number / 3, "rtsp_ms": 40.0 + minute, "rtsp_ok": int(state == 2),
            "stream_ok": int(state == 2), "sharpness": 0.5 - number / 10,
            "clock_drift_s": number - 1.5, "frozen": int(state == 1),
        })  # fmt: skip
        yield Point("rtp", labels, at, {"flowing": int(minute % (20 + number) > 1)})


def test_every_panel_says_what_was_published(influx: Influx) -> None:
    report = check_panels(influx, published(), SPAN)

    assert report.problems == []
    assert report.unchecked == []
    assert len(report.checked) > 100


def test_a_panel_that_says_something_else_is_found_out(influx: Influx) -> None:
    wrong = [
        Point(point.measurement, point.tags, point.time_ns, {"fps": 1.0})
        if point.measurement == "camera"
        else point
        for point in published()
    ]

    report = check_panels(influx, wrong, SPAN)

    assert any("Laju gambar" in problem for problem in report.problems)


def alert(state: str, minute: int, changed: bool = True, **tags: str) -> Point:
    active = int(state in ("firing", "acknowledged"))
    at = START_NS + minute * MINUTE_NS
    fields = {
        "active": active, "severity": 2, "state": state, "value": 1.5, "text": f"PM2.5 = {state}",
        "since_ms": at // 10**6, "changed": int(changed),
    }  # fmt: skip
    return Point("alert", tags, at, fields)


@pytest.mark.parametrize(
    ("device", "kind", "tags"),
    [
        ("r-dlh", "router", {"ifname": "ether1", "opd": "dlh"}),
        ("aq-balige", "sensor", {"sensor": "air"}),
        ("cam-1", "camera", {}),
    ],
)
def test_an_alert_is_in_every_alert_panel_while_it_is_active_and_gone_after(
    tmp_path: Path, device: str, kind: str, tags: dict[str, str]
) -> None:
    names = {"device": device, "rule": "a_rule", "kind": kind, "site": "balige", **tags}
    other = {"device": "r-core", "rule": "another", "kind": "router", "site": "balige"}
    with influx_with_toba(tmp_path) as influx:
        influx.write(published())
        influx.write([alert("firing", 1, **other), alert("resolved", 2, **other)])
        for minute, state in enumerate(("firing", "acknowledged", "resolved"), 60):
            influx.write([alert(state, minute, **names)])
            problems = check_alerts(
                influx, SPAN, device=device, rule="a_rule", kind=kind, state=state
            )
            assert problems == [], state


def test_an_alert_checker_notices_an_alert_that_never_came(influx: Influx) -> None:
    problems = check_alerts(
        influx, SPAN, device="r-dlh", rule="nothing", kind="router", state="firing"
    )

    assert any("lists [], not ['firing']" in problem for problem in problems)
    assert any("annotation of firing is missing" in problem for problem in problems)


def test_a_device_that_moved_leaves_no_second_alert(tmp_path: Path) -> None:
    """Labels are looked up when data leaves: the same alert may be stored under two sites."""
    with influx_with_toba(tmp_path) as influx:
        influx.write(published())
        names = {"device": "r-dlh", "rule": "down", "kind": "router", "opd": "dlh"}
        influx.write([alert("firing", 10, site="balige", **names)])
        influx.write([alert("resolved", 20, site="laguboti", **names)])

        problems = check_alerts(
            influx, SPAN, device="r-dlh", rule="down", kind="router", state="resolved"
        )

    assert problems == []


def test_a_device_that_left_the_inventory_leaves_no_active_alert(tmp_path: Path) -> None:
    """Its alert is closed when the hub starts anew, but nobody knows its labels any more."""
    with influx_with_toba(tmp_path) as influx:
        influx.write(published())
        names = {"device": "r-old", "rule": "down"}
        influx.write([alert("firing", 10, site="balige", opd="dlh", kind="router", **names)])
        before = active_alerts(influx, SPAN, "toba-opd-network")
        influx.write([alert("resolved", 20, **names)])
        after = [active_alerts(influx, SPAN, board["uid"]) for board in load().values()]
        other = {"device": "r-dlh", "rule": "down", "kind": "router", "opd": "dlh"}
        influx.write([alert("firing", 30, **other)])
        problems = check_alerts(
            influx, SPAN, device="r-dlh", rule="down", kind="router", state="firing"
        )

    assert [row["device"] for row in before] == ["r-old"]
    assert after == [[], [], [], []]
    assert problems == []


def test_an_alert_of_a_device_without_an_office_is_active_too(tmp_path: Path) -> None:
    with influx_with_toba(tmp_path) as influx:
        influx.write(published())
        influx.write([alert("firing", 10, device="r-core", rule="down", kind="router")])

        problems = check_alerts(
            influx, SPAN, device="r-core", rule="down", kind="router", state="firing"
        )

    assert problems == []


def test_an_open_alert_is_stored_every_minute_and_marked_once(tmp_path: Path) -> None:
    names = {"device": "r-dlh", "rule": "down", "kind": "router", "opd": "dlh"}
    board = load()["opd-network.json"]
    query = board["annotations"]["list"][0]["target"]["query"]
    with influx_with_toba(tmp_path) as influx:
        influx.write(published())
        influx.write([alert("firing", 10, **names)])
        influx.write([alert("firing", minute, changed=False, **names) for minute in range(11, 40)])
        influx.write([alert("resolved", 40, **names)])

        marks = influx.ask(render(query, SPAN, chosen(board)))

    assert [row["state"] for answer in marks for row in answer.named()] == ["firing", "resolved"]
