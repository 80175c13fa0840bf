"""Is what the dashboards say what was published?

`check_panels(influx, published, span)` compares every panel of every dashboard with the points
that were published, whoever wrote them into the database; `check_alerts` looks for one alert
in every panel that must (or must not) show it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana.build import load
from tests.grafana_support import (
    Answer,
    Influx,
    Point,
    Span,
    bucket_ns,
    chosen,
    panels,
    render,
    targets,
    variables,
)


@dataclass(frozen=True)
class Oracle:
    """What a query should say of the points: a fold over a field's values, per series."""

    measurement: str
    field: str
    fold: Callable[[list[float]], float]
    kinds: tuple[str, ...] = ()
    column: int = 1
    """Which column of the answer is compared; 0 is time."""


Whole = Callable[[Sequence[Point]], float]
"""An oracle for counts over all the points of the panel's range."""


@dataclass
class Report:
    """`checked` names query and values; `bounded` was known only between two values; `unchecked`
    had nothing published to compare with."""

    checked: list[str] = field(default_factory=list)
    bounded: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    compared: set[str] = field(default_factory=set)
    """Queries (`dashboard / panel / ref`) of which a value was compared exactly."""


Tolerance = Callable[[str], tuple[float, float]]
"""By field: how far, relative and absolute, an answer may be from what was published."""


def _exact(_: str) -> tuple[float, float]:
    return 1e-9, 0.0


def check_panels(
    influx: Influx,
    published: Sequence[Point],
    span: Span,
    *,
    highest: Sequence[Point] | None = None,
    interval: str = "1m",
    tolerance: Tolerance = _exact,
) -> Report:
    """Run every panel query, template variable and annotation over `span`; compare each series'
    newest value with the published points (their tags must include site, opd and kind).

    Where what was published is known only between two values, `published` has the lower one and
    `highest` the higher, point for point: every fold here lies between its folds over both.
    """
    report = Report()
    both = (published, published if highest is None else highest)
    for board in load().values():
        for query in [each["query"] for each in variables(board)]:
            found = influx.ask(render(query, span, chosen(board), interval))
            values = {row[1] for answer in found for row in answer.rows}
            if not values - {""}:
                report.problems.append(f"{board['uid']}: no value for the choice {query}")
        for mark in board["annotations"]["list"]:
            if mark["datasource"]["type"] == "influxdb":
                influx.ask(render(mark["target"]["query"], span, chosen(board), interval))
    choices = {board["uid"]: chosen(board) for board in load().values()}
    for target in targets():
        since = target.panel.get("timeFrom")
        own = span.last(since) if since else span
        query = render(target.text, own, choices[target.board], interval)
        answers = influx.ask(query)
        if 'FROM "alert"' in query:
            continue  # check_alerts looks at those
        oracle = ORACLES.get((target.board, target.panel["title"], target.ref))
        if oracle is None:
            report.problems.append(f"{target.name}: no oracle in tests/grafana_oracles.py")
            continue
        within = [[p for p in points if own.holds(p.time_ns)] for points in both]
        if isinstance(oracle, Oracle):
            near = tolerance(oracle.field)
            _compare(report, target.name, oracle, answers, within, bucket_ns(query), near)
        else:
            got = answers[0].rows[-1][1] if answers else 0  # such panels show "0" for no answer
            _judge(report, target.name, got, [oracle(points) for points in within], (1e-9, 0.0))
    return report


def _compare(
    report: Report,
    name: str,
    oracle: Oracle,
    answers: Sequence[Answer],
    points: Sequence[Sequence[Point]],
    bucket: int,
    near: tuple[float, float],
) -> None:
    relevant = [
        sorted((p for p in some if _concerns(oracle, p)), key=lambda point: point.time_ns)
        for some in points
    ]
    if not relevant[0]:
        report.unchecked.append(name)
        return
    if not answers:
        report.problems.append(f"{name}: no answer, though {oracle.field} was published")
        return
    keys = sorted(answers[0].tags)
    by_series = [_by(keys, some) for some in relevant]
    for answer in answers:
        rows = [row for row in answer.rows if row[oracle.column] is not None]
        if not rows:
            continue
        at, got = rows[-1][0], rows[-1][oracle.column]
        wanted = []
        for series in by_series:
            values = [
                float(point.fields[oracle.field])
                for point in series.get(tuple(answer.tags[key] for key in keys), ())
                if not bucket or at <= point.time_ns < at + bucket
            ]
            wanted.append(oracle.fold(values) if values else math.nan)
        if math.isnan(wanted[0]):
            tags = dict(answer.tags)
            report.problems.append(f"{name} {tags}: the store says {got}, nothing was published")
        else:
            _judge(report, name, got, wanted, near, f" {dict(answer.tags)}")


def _concerns(oracle: Oracle, point: Point) -> bool:
    return (
        point.measurement == oracle.measurement
        and oracle.field in point.fields
        and (not oracle.kinds or point.tags.get("kind") in oracle.kinds)
    )


def _by(keys: Sequence[str], points: Sequence[Point]) -> dict[tuple[str, ...], list[Point]]:
    found: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        found.setdefault(tuple(point.tags.get(key, "") for key in keys), []).append(point)
    return found


def _judge(
    report: Report,
    name: str,
    got: float,
    wanted: Sequence[float],
    near: tuple[float, float],
    which: str = "",
) -> None:
    low, high = min(wanted), max(wanted)
    relative, absolute = near
    if math.isnan(low):
        report.unchecked.append(name)
        return
    slack = max(absolute, relative * max(abs(low), abs(high)))
    if not low - slack <= got <= high + slack:
        words = f"{low}" if low == high else f"between {low} and {high}"
        report.problems.append(f"{name}{which}: the store says {got}, published was {words}")
    elif high - low <= slack:
        report.checked.append(f"{name}{which}: {got}")
        report.compared.add(name)
    else:
        report.bounded.append(f"{name}{which}: {got}")


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _last(values: list[float]) -> float:
    return values[-1]


def _percent(values: list[float]) -> float:
    return _mean(values) * 100


def _newest(points: Sequence[Point], measurement: str, name: str, *by: str) -> dict[Any, float]:
    """Each series' last value of a field, by the tags named."""
    found: dict[Any, float] = {}
    for point in sorted(points, key=lambda point: point.time_ns):
        if point.measurement == measurement and name in point.fields:
            found[tuple(point.tags.get(key, "") for key in by)] = float(point.fields[name])
    return found


def _reachable(up: int, *kinds: str) -> Whole:
    """How many devices of these kinds have a best probe of `up`."""

    def count(points: Sequence[Point]) -> float:
        of_kind = [point for point in points if point.tags.get("kind") in kinds]
        best: dict[str, float] = {}
        for (device, _), value in _newest(of_kind, "device", "up", "device", "probe").items():
            best[device] = max(value, best.get(device, 0))
        return sum(value == up for value in best.values()) if best else math.nan

    return count


def _cameras(name: str, wanted: int) -> Whole:
    def count(points: Sequence[Point]) -> float:
        found = _newest(points, "camera", name, "device")
        return sum(value == wanted for value in found.values()) if found else math.nan

    return count


def _highest_daily_mean(points: Sequence[Point]) -> float:
    each: dict[str, list[float]] = {}
    for point in points:
        if point.measurement == "environment" and "pm25" in point.fields:
            each.setdefault(point.tags["device"], []).append(float(point.fields["pm25"]))
    return max((_mean(values) for values in each.values()), default=math.nan)


def _environment(title: str, name: str, fold: Callable[[list[float]], float]) -> dict[Any, Any]:
    return {("toba-environment", title, "A"): Oracle("environment", name, fold)}


NETWORK = ("router", "switch", "ap", "ups")

ORACLES: dict[tuple[str, str, str], Oracle | Whole] = {
    ("toba-command-center", "Router hidup", "A"): _reachable(1, "router"),
    ("toba-command-center", "Router mati", "A"): _reachable(0, "router"),
    ("toba-command-center", "Sensor hidup", "A"): _reachable(1, "sensor"),
    ("toba-command-center", "Sensor mati", "A"): _reachable(0, "sensor"),
    ("toba-command-center", "Kamera hidup", "A"): _cameras("up", 1),
    ("toba-command-center", "Kamera mati", "A"): _cameras("up", 0),
    ("toba-command-center", "Ketersediaan kamera", "A"): Oracle("camera", "up", _percent),
    ("toba-command-center", "Koneksi kantor (OPD)", "A"): Oracle("device", "up", min, ("router",)),
    ("toba-command-center", "PM2.5 rata-rata 24 jam", "A"): Oracle("environment", "pm25", _mean),
    ("toba-command-center", "Hujan 1 jam terakhir", "A"): Oracle(
        "environment", "rain_mm", math.fsum
    ),
    ("toba-command-center", "Muka air Danau Toba", "A"): Oracle(
        "environment", "water_level_m", _last
    ),
    ("toba-command-center", "Lalu lintas inti", "A"): Oracle("interface", "in_bps", _mean),
    ("toba-command-center", "Lalu lintas inti", "B"): Oracle("interface", "out_bps", _mean),
    ("toba-opd-network", "Perangkat hidup", "A"): _reachable(1, *NETWORK),
    ("toba-opd-network", "Perangkat mati", "A"): _reachable(0, *NETWORK),
    ("toba-opd-network", "Ketersediaan", "A"): Oracle("device", "up", _percent, NETWORK),
    ("toba-opd-network", "Waktu tempuh rata-rata", "A"): Oracle("device", "rtt_ms", _mean, NETWORK),
    ("toba-opd-network", "Hidup atau mati", "A"): Oracle("device", "up", min, NETWORK),
    ("toba-opd-network", "Waktu tempuh (RTT)", "A"): Oracle("device", "rtt_ms", _mean, NETWORK),
    ("toba-opd-network", "Paket hilang", "A"): Oracle("device", "loss_pct", _mean, NETWORK),
    ("toba-opd-network", "Jitter", "A"): Oracle("device", "jitter_ms", _mean, NETWORK),
    ("toba-opd-network", "Temuan di jaringan lokal", "A"): Oracle("lan", "unknown", max, NETWORK),
    ("toba-opd-network", "Temuan di jaringan lokal", "B"): Oracle(
        "lan", "duplicates", max, NETWORK
    ),
    ("toba-opd-network", "Temuan di jaringan lokal", "C"): Oracle("lan", "moved", max, NETWORK),
    ("toba-opd-network", "Temuan di jaringan lokal", "D"): Oracle(
        "lan", "rogue_dhcp", max, NETWORK
    ),
    ("toba-opd-network", "CPU", "A"): Oracle("device", "cpu_pct", _mean, NETWORK),
    ("toba-opd-network", "Memori", "A"): Oracle("device", "mem_pct", _mean, NETWORK),
    ("toba-opd-network", "Suhu perangkat", "A"): Oracle("device", "temperature_c", _mean, NETWORK),
    ("toba-opd-network", "Tegangan masukan", "A"): Oracle("device", "voltage_v", _mean, NETWORK),
    ("toba-opd-network", "Sinyal LTE dan radio", "A"): Oracle("hardware", "rsrp_dbm", _mean),
    ("toba-opd-network", "Sinyal LTE dan radio", "B"): Oracle("hardware", "signal_dbm", _mean),
    ("toba-opd-network", "Baterai UPS", "A"): Oracle("device", "battery_pct", _mean, ("ups",)),
    ("toba-opd-network", "Lama menyala", "A"): Oracle("device", "uptime_s", _last, NETWORK),
    ("toba-opd-network", "Lalu lintas per antarmuka", "A"): Oracle("interface", "in_bps", _mean),
    ("toba-opd-network", "Lalu lintas per antarmuka", "B"): Oracle("interface", "out_bps", _mean),
    ("toba-opd-network", "Kesalahan masuk dan keluar", "A"): Oracle(
        "interface", "in_errors_ps", _mean
    ),
    ("toba-opd-network", "Kesalahan masuk dan keluar", "B"): Oracle(
        "interface", "out_errors_ps", _mean
    ),
    ("toba-opd-network", "Paket dibuang", "A"): Oracle("interface", "in_discards_ps", _mean),
    ("toba-opd-network", "Paket dibuang", "B"): Oracle("interface", "out_discards_ps", _mean),
    ("toba-opd-network", "Status antarmuka", "A"): Oracle("interface", "oper_up", min),
    ("toba-opd-network", "Antarmuka sekarang", "A"): Oracle("interface", "in_bps", _last, column=4),
    **_environment("Suhu rata-rata", "temperature", _mean),
    **_environment("Oksigen terlarut terendah", "do_mgl", min),
    **_environment("Muka air danau", "water_level_m", _last),
    **_environment("PM2.5", "pm25", _mean),
    **_environment("PM10", "pm10", _mean),
    **_environment("PM2.5 rata-rata harian", "pm25", _mean),
    **_environment("Kebisingan", "noise_dba", _mean),
    **_environment("Suhu udara", "temperature", _mean),
    **_environment("Kelembapan udara", "humidity", _mean),
    **_environment("Hujan per jam", "rain_mm", math.fsum),
    **_environment("Hujan per hari", "rain_mm", math.fsum),
    **_environment("Muka air Danau Toba", "water_level_m", _mean),
    **_environment("Oksigen terlarut (DO)", "do_mgl", _mean),
    **_environment("pH air", "ph", _mean),
    **_environment("Kekeruhan", "turbidity_ntu", _mean),
    **_environment("Baterai", "battery_v", _mean),
    **_environment("Kuat sinyal", "rssi_dbm", _mean),
    ("toba-environment", "ISPU sekarang", "A"): Oracle("air_index", "ispu", _last),
    ("toba-environment", "ISPU per stasiun", "A"): Oracle("air_index", "ispu", max),
    ("toba-environment", "ISPU: kelas dan parameter kritis", "A"): Oracle(
        "air_index", "category", _last, column=2
    ),
    ("toba-environment", "PM2.5 tertinggi (24 jam)", "A"): _highest_daily_mean,
    ("toba-cameras", "Daring", "A"): _cameras("state", 2),
    ("toba-cameras", "Terganggu", "A"): _cameras("state", 1),
    ("toba-cameras", "Luring", "A"): _cameras("state", 0),
    ("toba-cameras", "Gambar beku", "A"): _cameras("frozen", 1),
    ("toba-cameras", "Ketersediaan", "A"): Oracle("camera", "up", _percent),
    ("toba-cameras", "Keadaan kamera", "A"): Oracle("camera", "state", min),
    ("toba-cameras", "Ketersediaan per kamera", "A"): Oracle("camera", "up", _percent),
    ("toba-cameras", "RTSP menjawab", "A"): Oracle("camera", "rtsp_ok", min),
    ("toba-cameras", "Aliran video", "A"): Oracle("camera", "stream_ok", min),
    ("toba-cameras", "Aliran yang lewat (RTP)", "A"): Oracle("rtp", "flowing", min),
    ("toba-cameras", "Ketajaman gambar", "A"): Oracle("camera", "sharpness", _mean),
    ("toba-cameras", "Umur detak (heartbeat)", "A"): Oracle("camera", "heartbeat_age_s", max),
    ("toba-cameras", "Laju gambar", "A"): Oracle("camera", "fps", _mean),
    ("toba-cameras", "Waktu jawab RTSP", "A"): Oracle("camera", "rtsp_ms", _mean),
    ("toba-cameras", "Selisih jam", "A"): Oracle("camera", "clock_drift_s", _mean),
}


SHOWN_ON = {
    "router": {"toba-command-center", "toba-opd-network"},
    "switch": {"toba-command-center", "toba-opd-network"},
    "ap": {"toba-command-center", "toba-opd-network"},
    "ups": {"toba-command-center", "toba-opd-network"},
    "sensor": {"toba-command-center", "toba-environment"},
    "camera": {"toba-command-center", "toba-cameras"},
}
"""Which dashboards speak of the alerts of a kind of device."""


def check_alerts(
    influx: Influx, span: Span, *, device: str, rule: str, kind: str, state: str
) -> list[str]:
    """What is wrong with the alert panels and marks, when that alert is now in `state`.

    Other alerts may be active: the counts are compared with the table of the same dashboard.
    """
    problems = []
    for board in load().values():
        uid, shown = board["uid"], board["uid"] in SHOWN_ON[kind]
        seen = {
            panel["title"]: (panel, _asked(influx, span, board, panel))
            for panel in panels(board)
            if any('FROM "alert"' in target["query"] for target in panel.get("targets", []))
        }
        rows = _active_rows(*seen["Daftar alarm aktif"])
        found = {
            "Daftar alarm aktif": _in_table(rows, device, rule, state if shown else ""),
            "Riwayat alarm": _in_timeline(
                *seen["Riwayat alarm"], device, rule, state if shown else ""
            ),
            "Alarm aktif": _counted(seen["Alarm aktif"][1], len(rows)),
        }
        if "Alarm kritis" in seen:
            critical = sum(row["severity"] == 2 for row in rows)
            found["Alarm kritis"] = _counted(seen["Alarm kritis"][1], critical)
        problems += [f"{uid} / {title}: no oracle" for title in seen.keys() - found.keys()]
        problems += [f"{uid} / {title}: {problem}" for title, problem in found.items() if problem]
        if _marked(influx, span, board, device, rule, state) != shown:
            problems.append(f"{uid}: annotation of {state} is {'missing' if shown else 'there'}")
    return problems


def active_alerts(influx: Influx, span: Span, uid: str = "toba-command-center") -> list[Any]:
    """The rows that a dashboard's table of active alerts shows."""
    (board,) = [each for each in load().values() if each["uid"] == uid]
    (panel,) = [each for each in panels(board) if each["title"] == "Daftar alarm aktif"]
    return _active_rows(panel, _asked(influx, span, board, panel))


def _asked(
    influx: Influx, span: Span, board: Mapping[str, Any], panel: Mapping[str, Any]
) -> list[Answer]:
    own = span.last(panel["timeFrom"]) if panel.get("timeFrom") else span
    (target,) = panel["targets"]
    return influx.ask(render(target["query"], own, chosen(board)))


def _active_rows(panel: Mapping[str, Any], answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """The table after its own transformations."""
    keep, headings = (step["options"] for step in panel["transformations"])
    (only,) = keep["filters"]
    rows = [
        row
        for answer in answers
        for row in answer.named()
        if row[only["fieldName"]] == only["config"]["options"]["value"]
    ]
    for row in rows:
        unknown = headings["renameByName"].keys() - row.keys() - {"Time"}
        assert not unknown, f"headings for columns that aren't there: {unknown}"
    return rows


def _in_table(rows: Sequence[Mapping[str, Any]], device: str, rule: str, state: str) -> str:
    found = [row["state"] for row in rows if row["device"] == device and row["rule"] == rule]
    wanted = [state] if state in ("firing", "acknowledged") else []
    return "" if found == wanted else f"lists {found}, not {wanted}"


def _in_timeline(
    panel: Mapping[str, Any], answers: Sequence[Answer], device: str, rule: str, state: str
) -> str:
    last = [
        answer.rows[-1][1]
        for answer in answers
        if answer.tags["device"] == device and answer.tags["rule"] == rule
    ]
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    if state and state not in words:
        return f"no word for {state}"
    wanted = [state] if state else []
    return "" if last == wanted else f"says {last}, not {wanted}"


def _counted(answers: Sequence[Answer], wanted: int) -> str:
    count = answers[0].rows[-1][1] if answers else 0  # such panels show "0" for no answer
    return "" if count == wanted else f"counts {count}, the table lists {wanted}"


def _marked(
    influx: Influx, span: Span, board: Mapping[str, Any], device: str, rule: str, state: str
) -> bool:
    (mark,) = [m for m in board["annotations"]["list"] if m["datasource"]["uid"] == "influx"]
    answers = influx.ask(render(mark["target"]["query"], span, chosen(board)))
    wanted = "firing" if state == "acknowledged" else state
    return any(
        row["device"] == device and row["rule"] == rule and row["state"] == wanted
        for answer in answers
        for row in answer.named()
    )
