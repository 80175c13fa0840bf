"""One run of the whole line, and what was seen on the way.

field ─ SNMP, MQTT (mosquitto), RTSP ─► hub, two processes ─► influxd ◄─ every Grafana query
"""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from hub.demo.settings import QUICK, settings_for
from tests.field_support import INVENTORY, FieldProcess, running_field
from tests.grafana_oracles import Report, active_alerts, check_alerts, check_panels
from tests.grafana_support import Influx, Point, Span
from tests.hub_support import Hub, running, wait_for
from tests.influx_support import influxd
from tests.line_truth import NS, Truth, Witness, measured, stored
from tests.mosquitto_support import Mosquitto, broker

DATABASE = "toba_line"
PINGED = {"r-core", "r-setda", "r-bpkad"}
"""Only these are pinged: the kernel answers for all, so a dead router would seem alive."""
ODD_PORT = "ether1, ke kantor=2"
"""An uplink whose name needs every escape that line protocol has for tags."""
SPOKEN = [f"ap-{n}" for n in (1, 2, 3)]
"""Access points with sensors on them, which mosquitto_pub speaks for."""

ROUTER, SMOKE, SILENT = "r-camat-uluan", "aq-balige", "aq-laguboti"
DEAD, FROZEN, FLAPPING = "cam-rsud-porsea", "cam-tarabunga", "r-bpbd"
BEHIND = "wx-uluan"
"""The node behind the router that dies: what it measures meanwhile comes late."""

FIRING = {
    ("router_down", ROUTER), ("pm25_unhealthy", SMOKE), ("sensor_silent", SILENT),
    ("camera_silent", DEAD), ("camera_degraded", FROZEN), ("sensor_silent", BEHIND),
}  # fmt: skip
CALM_S = 5
AWAY_S = 10.0
UPTIME_S = 77
"""What our own messages say."""

RULES = {
    **QUICK,
    "router_down.for": "5s",
    "link_down.for": "500ms",
    "pm25_unhealthy.when.mean": "6s",
    "pm25_unhealthy.for": "2s",
    "sensor_silent.when.absent": "10s",
    "camera_silent.when.absent": "11s",
}


@dataclass(frozen=True)
class Spoken:
    """A message of ours and what must be stored of it."""

    topic: str
    payload: str
    point: Point


@dataclass
class Line:
    """What a run left behind. `*_panels` and `*_alerts` name what is wrong."""

    influx: Influx
    played: Span = field(default_factory=lambda: Span(0, 0))
    """From when everybody was heard to the end."""
    spoken: list[Spoken] = field(default_factory=list)
    calm: Report = field(default_factory=Report)
    fired: Report = field(default_factory=Report)
    after: Report = field(default_factory=Report)
    truth_problems: list[str] = field(default_factory=list)
    alerts_while_fired: list[str] = field(default_factory=list)
    alerts_after: list[str] = field(default_factory=list)
    listed: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    """(rule, device) in the command center's table, while fired and after."""
    outage: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, dict[str, int]] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    series: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def tolerance(name: str) -> tuple[float, float]:
    """Relative and absolute. What nodes and cameras said is stored exactly; what is polled is
    sampled a moment later than it was stamped."""
    return {
        "in_bps": (0.03, 1000.0),
        "out_bps": (0.03, 1000.0),
        "uptime_s": (0.0, 1.5),
        "cpu_pct": (0.0, 1.5),
        "mem_pct": (0.0, 0.001),
        "temperature_c": (0.0, 0.5),
        "voltage_v": (0.0, 0.1),
        "rsrp_dbm": (0.0, 1.0),
        "heartbeat_age_s": (0.0, 1.0),
    }.get(name, (1e-9, 0.0))


class Run:
    """The parts of a run and its steps."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._folder = folder
        self._stack = stack
        self._began = time.monotonic()
        self._server = ExitStack()
        self._port: int | None = None
        stack.callback(self._server.close)
        self.mosquitto: Mosquitto = stack.enter_context(broker(folder / "mosquitto"))
        self.start_influx()
        options = ("--broker", f"127.0.0.1:{self.mosquitto.port}", "--ping")
        pace = ("--interval", "2", "--beat", "2", "--ramp", "3")
        given = folder / "given.yaml"
        given.write_text(yaml.safe_dump(_given()))
        self.field: FieldProcess = stack.enter_context(
            running_field(*options, *pace, inventory=given)
        )
        self.witness = stack.enter_context(Witness(self.field))
        self.inventory = _listed(self.field.addresses["inventory"])
        self.hub: Hub = stack.enter_context(
            running(folder / "hub", self._settings(), self.inventory)
        )
        self.line = Line(Influx(self.url, DATABASE))
        self.farewells: list[Point] = []
        self.start_ns = time.time_ns()
        self.lap("started")

    def lap(self, name: str) -> None:
        self.line.seconds[name] = round(time.monotonic() - self._began, 1)

    def start_influx(self) -> None:
        self.url = self._server.enter_context(influxd(self._folder, port=self._port))
        self._port = urllib.parse.urlsplit(self.url).port

    def stop_influx(self) -> None:
        self._server.close()

    def _settings(self) -> dict[str, Any]:
        store = {"kind": "influxdb", "url": self.url, "database": DATABASE, "linger_ms": 200}
        made = settings_for(
            self.field.addresses, store=store, host="127.0.0.1", port=0, level="info"
        )
        del made["web"]
        made["rules"] = {"set": RULES}
        main = {"name": "main", "port": self.mosquitto.port, "protocol": 5}
        made["collectors"]["mqtt"]["brokers"] = [main]
        made["collectors"]["camera"]["tiers"] = {"rtsp": {"period_s": 2}}
        made["collectors"]["snmp"]["tiers"] |= {
            "liveness": {"period_s": 2},
            "traffic": {"period_s": 2},
            "health": {"period_s": 4},
        }
        made["collectors"]["netprobe"] = {"tiers": {"ping": {"period_s": 4}}}
        return made

    # ------------------------------------------------------------ looking

    def alerts(self, *states: str) -> set[tuple[str, str]]:
        """(rule, device) as the hub's API says."""
        return {
            (alert["rule"], alert["device"])
            for alert in self.hub.get("/api/v1/alerts")
            if alert["state"] in (states or ("firing", "acknowledged"))
        }

    def wait_for_alerts(self, wanted: set[tuple[str, str]]) -> None:
        try:
            wait_for("the alerts to fire", lambda: self.alerts() == wanted, 40)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.alerts() ^ wanted}") from None

    def everybody_was_heard(self) -> bool:
        devices = self.hub.get("/api/v1/devices")
        return all(each["heard_ms"] for each in devices if each["id"] not in SPOKEN)

    def truth(self, span: Span) -> Truth:
        said = [each.point for each in self.line.spoken]
        for point in [*said]:
            node = {key: value for key, value in point.tags.items() if key != "sensor"}
            alive: dict[str, float | int | str] = {"up": 1, "uptime_s": float(UPTIME_S)}
            said.append(Point("device", {**node, "probe": "mqtt"}, point.time_ns, alive))
        said += self.farewells
        truth = Truth(self.witness, self.inventory, span, self.start_ns, said)
        truth.gather(self.line.influx)
        self.line.truth_problems += truth.problems
        return truth

    def compare(self) -> Report:
        """Every panel over everything until now, once all of it has been stored."""
        span = Span(self.start_ns, time.time_ns())
        wait_for("what was published to be stored", self.complete, 20)
        stop = span.stop_ns + NS
        newer = f"""SELECT last("up") FROM "device" WHERE "probe" = 'snmp' AND time > {stop}"""
        wait_for("newer polls to be stored", lambda: self.line.influx.ask(newer), 20)
        truth = self.truth(Span(0, span.stop_ns))
        return check_panels(
            self.line.influx,
            truth.low,
            span,
            highest=truth.high,
            interval="10s",
            tolerance=tolerance,
        )

    def nodes(self) -> dict[str, dict[str, int]]:
        """By node: reports that the broker acknowledged, rows stored, and how many differ."""
        found = {}
        span = Span(self.start_ns, time.time_ns())
        histories = {
            device["id"]: self.witness.history(device["id"])
            for device in self.inventory["devices"]
            if device["kind"] == "sensor"
        }
        rows = {
            tags["device"]: rows
            for tags, rows in stored(self.line.influx, "environment", span)
            if tags["device"] in histories
        }
        for device, history in histories.items():
            said = {
                each["ts"] * 1_000_000: measured(each)
                for each in history
                if span.holds(each["ts"] * 1_000_000)
            }
            kept = {
                row["time"]: {
                    name: value
                    for name, value in row.items()
                    if value is not None and name not in ("time", "quality")
                }
                for row in rows.get(device, [])
            }
            found[device] = {
                "published": len(said),
                "stored": len(kept),
                "missing": len(said.keys() - kept.keys()),
                "unsaid": len([at for at in kept.keys() - said.keys() if at < max(said)]),
                "different": sum(said[at] != kept[at] for at in said.keys() & kept.keys()),
            }
        return found

    def complete(self) -> dict[str, dict[str, int]]:
        """`nodes` when nothing is missing, else nothing."""
        found = self.nodes()
        return {} if any(each["missing"] for each in found.values()) else found

    def listed(self) -> set[tuple[str, str]]:
        rows = active_alerts(self.line.influx, Span(self.start_ns, time.time_ns()))
        return {(row["rule"], row["device"]) for row in rows}

    def alert_problems(self, wanted: Mapping[tuple[str, str], str]) -> list[str]:
        """Compare the alert panels of every dashboard with what must be seen of each alert."""
        span = Span(self.start_ns, time.time_ns())
        kinds = {device["id"]: device["kind"] for device in self.inventory["devices"]}
        return [
            f"{rule} of {device}: {problem}"
            for (rule, device), state in wanted.items()
            for problem in check_alerts(
                self.line.influx, span, device=device, rule=rule, kind=kinds[device], state=state
            )
        ]

    def acknowledge(self, rule: str) -> None:
        (key,) = [alert["key"] for alert in self.hub.get("/api/v1/alerts") if alert["rule"] == rule]
        address = f"http://127.0.0.1:{self.hub.port}/api/v1/alerts/{urllib.parse.quote(key)}"
        request = urllib.request.Request(
            f"{address}/acknowledge",
            json.dumps({"why": "diperiksa"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    # ------------------------------------------------------------ acting

    def speak(self) -> None:
        """Publish our own messages by mosquitto_pub."""
        self.line.spoken = messages(self.start_ns)
        for each in self.line.spoken:
            self.mosquitto.publish(each.topic, each.payload)

    def break_things(self) -> None:
        """Every fault; wait until the alerts that they cause fire, and one has come and gone."""
        begin = self.witness.begin
        begin("camera_dead", DEAD)
        begin("camera_frozen", FROZEN)
        begin("sensor_silent", SILENT)
        begin("router_dies", ROUTER)
        begin("pm25_rises", SMOKE)
        begin("link_flaps", FLAPPING)
        link = ("link_down", FLAPPING)
        wait_for("the flapping link's alert", lambda: link in self.alerts(), 20)
        self.witness.end("link_flaps")
        self._farewell()
        self.wait_for_alerts(FIRING)
        self.acknowledge("pm25_unhealthy")
        settled = max(fault.began[1] for fault in self.witness.faults[:2]) + 13 * NS
        wait_for("the cameras to settle", lambda: time.time_ns() > settled, 30)
        self.lap("fired")

    def _farewell(self) -> None:
        """The silent node's Will, as a broker publishes it for one with a connection of its own."""
        self.mosquitto.publish(f"toba/v1/dlh/laguboti/{SILENT}/status", '{"state":"offline"}')
        tags = {"device": SILENT, "kind": "sensor", "site": "laguboti", "opd": "dlh"}
        gone: dict[str, float | int | str] = {"up": 0}
        self.farewells.append(Point("device", {**tags, "probe": "mqtt"}, time.time_ns(), gone))

    def look_while_calm(self) -> None:
        """Some seconds in which all is well, and known exactly."""
        calm = self.start_ns + CALM_S * NS
        wait_for("some polls", lambda: time.time_ns() > calm, CALM_S + 1)
        assert self.alerts() == set(), self.alerts()
        self.line.calm = self.compare()
        self.lap("looked while calm")

    def look_while_fired(self) -> None:
        line = self.line
        line.fired = self.compare()
        assert self.alerts() == FIRING, self.alerts()
        wanted = dict.fromkeys(sorted(FIRING), "firing")
        wanted["pm25_unhealthy", SMOKE] = "acknowledged"
        wanted["link_down", FLAPPING] = "resolved"
        line.alerts_while_fired = self.alert_problems(wanted)
        line.listed["fired"] = self.listed()
        self.lap("looked while fired")

    def mend_without_store(self) -> None:
        """Take the store away, end every fault, wait for the alerts' end, give the store back."""
        seen = self.line.outage
        self.stop_influx()
        since = time.monotonic()
        for name in ("camera_dead", "camera_frozen", "sensor_silent", "router_dies", "pm25_rises"):
            self.witness.end(name)
        wait_for("the hub to say it", lambda: not self._store()["up"], 15)
        health = self.hub.get("/api/v1/health")
        seen["said_after_s"] = round(time.monotonic() - since, 1)
        seen["store"], seen["ok"] = health["store"], health["ok"]
        before = self._heard()
        seen["board_has_history"] = self.hub.get("/api/v1/overview")["health"]["history"]
        chart = "/api/v1/query?measurement=environment&field=pm25&device=aq-porsea&since=5m"
        answer = self.hub.get(chart)
        seen["chart"] = answer["source"], len(answer["series"][0]["points"])
        wait_for("the alerts to end", lambda: not self.alerts(), 40)
        wait_for("the time to pass", lambda: time.monotonic() - since > AWAY_S, AWAY_S + 1)
        after = self._heard()
        seen["devices_heard_meanwhile"] = sum(after[name] > before[name] for name in before)
        seen["devices"] = len(before)
        seen["backlog"] = self.hub.get("/api/v1/health")["backlog"]["forward"]
        self.start_influx()
        seen["away_s"] = round(time.monotonic() - since, 1)
        wait_for("the store to be up", lambda: self._store()["up"], 40)
        seen["back_after_s"] = round(time.monotonic() - since - seen["away_s"], 1)
        self.lap("mended")

    def look_after(self) -> None:
        line = self.line
        wait_for("what waited to be stored", self.complete, 30)
        late = max(fault.ended[1] for fault in self.witness.faults if fault.ended) + 19 * NS
        wait_for("the cameras to be well", lambda: time.time_ns() > late, 30)
        wait_for("no alert", lambda: not self.alerts(), 20)
        line.after = self.compare()
        line.alerts_after = self.alert_problems(
            dict.fromkeys(sorted(FIRING | {("link_down", FLAPPING)}), "resolved")
        )
        line.listed["after"] = self.listed()
        line.nodes = wait_for("every report to be stored", self.complete, 20)
        line.health = self.hub.get("/api/v1/health")
        line.history = self.hub.get("/api/v1/history?limit=500")
        everything = Span(0, time.time_ns() + NS)
        for measurement in ("environment", "device", "interface", "camera", "alert"):
            found = stored(line.influx, measurement, everything)
            line.series[measurement] = [tags for tags, _ in found]
        line.played = Span(self.start_ns, time.time_ns())
        self.lap("looked after")

    def _store(self) -> dict[str, Any]:
        store: dict[str, Any] = self.hub.get("/api/v1/health")["store"]
        return store

    def _heard(self) -> dict[str, int]:
        return {
            each["id"]: each["heard_ms"]
            for each in self.hub.get("/api/v1/devices")
            if each["id"] not in SPOKEN
        }


@contextmanager
def whole_line(folder: Path) -> Iterator[Line]:
    """Play it all; the store still runs while a test looks into it."""
    with ExitStack() as stack:
        run = Run(stack, folder)
        try:
            wait_for("everybody to be heard", run.everybody_was_heard, 60)
            run.start_ns = time.time_ns()
            run.lap("heard")
            run.speak()
            run.look_while_calm()
            run.break_things()
            run.look_while_fired()
            run.mend_without_store()
            run.look_after()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{run.line.seconds}\n{run.hub.log()[-6000:]}") from error
        yield run.line


def messages(now_ns: int) -> list[Spoken]:
    """Times in every form, numbers that are easily spoiled, series told apart by their sensor."""
    second = (now_ns // NS + 1) * NS
    iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second // NS + 4)) + ".250001+00:00"
    nanos, edge = second + 123_456_789, 9999.999999999998
    cases: Sequence[tuple[str, str, object, int, dict[str, Any]]] = (
        # device, sensor, ts as sent, time as stored, measured
        ("ap-1", "", second // NS, second, {"pm25": 12, "pm10": 0.1 + 0.2}),
        ("ap-1", "", nanos, nanos, {"pm25": 12.5, "temperature": -1e-7}),
        ("ap-1", "A.1:kiri_b-2", second // 10**6 + 1, second + 10**6, {"humidity": 100, "ph": 7}),
        ("ap-2", "0", second // 1000 + 7, second + 7000, {"water_level_m": 903.4999999999999}),
        ("ap-2", "", iso, second + 4 * NS + 250_001_000, {"noise_dba": 1 / 3, "do_mgl": 24.7}),
        ("ap-3", "", second + 5, second + 5, {"rain_mm": 5e-324, "turbidity_ntu": edge}),
    )
    spoken = []
    for device, sensor, stamp, at, values in cases:
        payload = {"v": 1, "ts": stamp, "m": values, "up": UPTIME_S}
        tags = {"device": device, "kind": "ap", "site": "balige", "opd": "dlh"}
        if sensor:
            payload["sensor"] = tags["sensor"] = sensor
        fields = {name: float(value) for name, value in values.items()}
        topic = f"toba/v1/dlh/balige/{device}/telemetry"
        spoken.append(Spoken(topic, json.dumps(payload), Point("environment", tags, at, fields)))
    return spoken


def _given() -> dict[str, Any]:
    """Toba's inventory, with one port that has a difficult name."""
    inventory: dict[str, Any] = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
    for device in inventory["devices"]:
        if device["id"] == "r-dinkes":
            device["collect"]["snmp"]["uplinks"] = [ODD_PORT]
    return inventory


def _listed(inventory: Mapping[str, Any]) -> dict[str, Any]:
    """What the hub is given: ours beside the field's, and few that are pinged."""
    devices = [*inventory["devices"]]
    for device in devices:
        if device["id"] not in PINGED:
            device["collect"].pop("netprobe", None)
    ours = {"kind": "ap", "site": "balige", "opd": "dlh", "collect": {"mqtt": {}}}
    devices += [{"id": name, "name": name, **ours} for name in SPOKEN]
    return {**inventory, "devices": devices}
