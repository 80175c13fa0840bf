"""A regency of network namespaces: its links are real, and so are routers, cameras and sensors.

this machine (hub, broker)        core              office n, of three
10.81.0.1 ── veth ── 10.81.0.2   snmpd   ── veth ── 10.81.n.2  snmpd
                                 10.81.n.1          10.81.n.11 and .12  GStreamer's RTSP server
                                                    two sensors: mosquitto_pub, each second
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hub.journal import Kind, Reader
from hub.records import unpack_verdict
from tests.hub_support import Hub, running, wait_for
from tests.mosquitto_support import broker
from tests.snmp_support import real_snmpd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")

OFFICES = (1, 2, 3)
NET = "10.81"
HERE = f"{NET}.0.1"
SNMP, RTSP, MQTT = 1161, 5554, 1884
RULES = """
rules:
  - name: router_down
    title: {id: "{name} putus{cut_off}", en: "{name} is cut off{cut_off}"}
    when: {measurement: device, field: up, equals: 0}
    where: {kind: router}
    for: 2s
    severity: critical
    notify: [kominfo]
    means: down
  - name: sensor_silent
    title: {id: "{name} diam", en: "{name} is silent"}
    when: {measurement: environment, absent: 5s}
    where: {kind: sensor}
    notify: [kominfo]
  - name: camera_silent
    title: {id: "{name} mati", en: "{name} is down"}
    when: {measurement: camera, absent: 5s, only_if: {up: 1}}
    where: {kind: camera}
    notify: [kominfo]
"""
PUBLISH = (
    "while :; do for n in a b; do timeout 2 mosquitto_pub -h {here} -p {port} -q 1"
    """ -t toba/v1/opd{n}/s{n}/aq-{n}$n/telemetry -m '{{"m": {{"pm25": 12.5}}}}';"""
    " done; sleep 0.7; done"
)


class Hook:
    """Takes what the hub tells people."""

    def __init__(self) -> None:
        told: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.told = told
        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def titles(self) -> list[str]:
        return [one["title"] for one in self.told]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Regency:
    """The namespaces and what runs in them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self.names = {n: f"tt{os.getpid()}{'c' if n == 0 else f'o{n}'}" for n in (0, *OFFICES)}

    def ip(self, where: int | None, words: str) -> None:
        inside = [] if where is None else ["-n", self.names[where]]
        subprocess.run(["ip", *inside, *shlex.split(words)], check=True, capture_output=True)

    def cut(self, office: int) -> None:
        """The core's end of an office's uplink; 0: this machine's end of the core's."""
        self.ip(None if office == 0 else 0, f"link set {self._cable(office)} down")

    def mend(self, office: int) -> None:
        self.ip(None if office == 0 else 0, f"link set {self._cable(office)} up")
        if office == 0:  # the routes went away with the link
            self._route_offices()
        else:
            self.ip(0, f"route replace {NET}.{office}.0/24 dev {self._cable(office)}")

    def open(self) -> None:
        for n in self.names:
            self.ip(None, f"netns add {self.names[n]}")
            self._stack.callback(
                subprocess.run, ["ip", "netns", "del", self.names[n]], capture_output=True
            )
            self.ip(n, "link set lo up")
        self.ip(None, f"link add {self._cable(0)} type veth peer name up0 netns {self.names[0]}")
        self.ip(None, f"addr add {HERE}/24 dev {self._cable(0)}")
        self.ip(None, f"link set {self._cable(0)} up")
        self.ip(0, f"addr add {NET}.0.2/24 dev up0")
        self.ip(0, "link set up0 up")
        self._exec(0, "sysctl -qw net.ipv4.ip_forward=1")
        self._route_offices()
        for n in OFFICES:
            cable = self._cable(n)
            self.ip(0, f"link add {cable} type veth peer name up0 netns {self.names[n]}")
            self.ip(0, f"addr add {NET}.{n}.1/24 dev {cable}")
            self.ip(0, f"link set {cable} up")
            for last in (2, 11, 12):
                self.ip(n, f"addr add {NET}.{n}.{last}/24 dev up0")
            self.ip(n, "link set up0 up")
            self.ip(n, f"route add default via {NET}.{n}.1")
        self._agent(0, f"{NET}.0.2")
        for n in OFFICES:
            self._agent(n, f"{NET}.{n}.2")
            rtsp = str(Path(__file__).with_name("rtsp_server.py"))
            self._start(n, "/usr/bin/python3", rtsp, "none", "0.0.0.0", str(RTSP))
            self._start(n, "sh", "-c", PUBLISH.format(here=HERE, port=MQTT, n=n))

    def close(self) -> None:
        self._stack.close()

    def _cable(self, office: int) -> str:
        return f"tt{os.getpid()}" if office == 0 else f"office{office}"

    def _route_offices(self) -> None:
        self.ip(None, f"route replace {NET}.0.0/16 via {NET}.0.2 dev {self._cable(0)}")

    def _exec(self, where: int, words: str) -> None:
        command = ["ip", "netns", "exec", self.names[where], *shlex.split(words)]
        subprocess.run(command, check=True, capture_output=True)

    def _agent(self, where: int, address: str) -> None:
        folder = self._folder / f"snmpd{where}"
        folder.mkdir()
        inside = ("ip", "netns", "exec", self.names[where])
        community = f"rocommunity opd-toba {NET}.0.0/16\n"
        self._stack.enter_context(real_snmpd(folder, SNMP, community, inside, address))

    def _start(self, where: int, *command: str) -> None:
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.names[where], *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def end() -> None:
            os.killpg(process.pid, 9)
            process.communicate()

        self._stack.callback(end)


@contextmanager
def regency(folder: Path) -> Iterator[Regency]:
    made = Regency(folder)
    try:
        made.open()
        yield made
    finally:
        made.close()


def inventory() -> dict[str, Any]:
    places = (0, *OFFICES)
    devices: list[dict[str, Any]] = []

    def router(id: str, n: int, name: str, *needs: str) -> None:
        devices.append(
            {"id": id, "kind": "router", "name": name, "site": f"s{n}", "opd": f"opd{n}",
             "address": f"{NET}.{n}.2", "depends_on": [*needs],
             "collect": {"snmp": {"community": "opd-toba", "port": SNMP}}}
        )  # fmt: skip

    router("core", 0, "Router Inti")
    for n in OFFICES:
        router(f"r{n}", n, f"Kantor Camat {n}", "core")
        here = {"site": f"s{n}", "opd": f"opd{n}", "depends_on": [f"r{n}"]}
        for last in (11, 12):
            address = f"{NET}.{n}.{last}"
            camera = {"rtsp": f"rtsp://{address}:{RTSP}/stream1"}
            devices.append({"id": f"cam-{n}{last}", "kind": "camera", "address": address, **here,
                            "collect": {"camera": camera}})  # fmt: skip
        devices += [
            {"id": f"aq-{n}{x}", "kind": "sensor", **here, "collect": {"mqtt": {}}} for x in "ab"
        ]
    return {
        "sites": [{"id": f"s{n}", "name": f"Kecamatan {n}"} for n in places],
        "opds": [{"id": f"opd{n}", "name": f"OPD {n}", "site": f"s{n}"} for n in places],
        "devices": devices,
    }


def configured(folder: Path, hook: Hook) -> dict[str, Any]:
    (folder / "regency.yaml").write_text(RULES)
    quick = {"period_s": 1, "timeout_s": 2}
    return {
        "collectors": {
            "snmp": {"timeout_s": 0.4, "retries": 1, "tiers": {"liveness": quick}},
            "camera": {"broker": None, "timeout_s": 0.5, "tiers": {"rtsp": quick}},
            "mqtt": {"brokers": [{"name": "main", "host": HERE, "port": MQTT}]},
        },
        "rules": {"library": False, "files": [str(folder / "regency.yaml")]},
        "channels": {"hook": {"type": "webhook", "url": hook.url}},
        "teams": {"kominfo": {"channels": ["hook"]}},
    }


def test_a_cut_uplink_is_one_message_and_its_end_another(tmp_path: Path) -> None:
    hook = Hook()
    conf = f"listener {MQTT} {HERE}"
    with (
        regency(tmp_path) as world,
        broker(tmp_path / "mosquitto", conf),
        running(tmp_path / "hub", configured(tmp_path, hook), inventory()) as hub,
    ):
        wait_for("everything to be up", lambda: _up(hub) == 16)
        assert hook.told == []

        world.cut(2)
        wait_for("all behind it to be explained", lambda: _explained(hub) == {"r2": BEHIND[2]})
        of_office = "Kantor Camat 2 putus: 1 router, 2 kamera, 2 sensor"
        assert hook.titles() == [f"AKTIF · KRITIS · {of_office}"]
        assert hub.kill("serve"), "a restart in the middle"
        world.mend(2)
        wait_for("the hub to be back and all to be over", lambda: _explained(hub) == {})
        wait_for("that to be told", lambda: len(hook.told) > 1)
        assert hook.titles()[1:] == [f"PULIH · {of_office}"]

        world.cut(0)
        everything = {d for n in OFFICES for d in (f"r{n}", *BEHIND[n])}
        wait_for("the core to explain it all", lambda: _explained(hub) == {"core": everything})
        world.mend(0)
        wait_for("all to be over", lambda: _explained(hub) == {})
        wait_for("that to be told", lambda: len(hook.told) > 3)
        of_core = "Router Inti putus: 4 router, 6 kamera, 6 sensor"
        assert hook.titles()[2:] == [f"AKTIF · KRITIS · {of_core}", f"PULIH · {of_core}"]
    hook.close()
    asked = verdicts(tmp_path / "hub" / "data" / "journal")
    assert ("core", True) in asked, "it was asked when the office fell silent, and lived"


def verdicts(journal: Path) -> list[tuple[str, bool | None]]:
    """What was asked of whom, in order."""
    reader = Reader(journal, 0)
    records = [record for batch in iter(reader.read, []) for record in batch]
    reader.close()
    return [unpack_verdict(one.payload) for one in records if one.kind == Kind.VERDICT]


BEHIND = {n: {f"cam-{n}11", f"cam-{n}12", f"aq-{n}a", f"aq-{n}b"} for n in OFFICES}


def _up(hub: Hub) -> int:
    """How many devices were heard and are well."""
    devices = hub.get("/api/v1/devices")
    return sum(one["state"] == "ok" and one["heard_ms"] is not None for one in devices)


def _explained(hub: Hub) -> dict[str, set[str]] | None:
    """Root → devices whose alerts it explains; None: the hub does not answer now."""
    try:
        alerts = {one["key"]: one for one in hub.get("/api/v1/alerts")}
    except (OSError, ValueError):
        return None
    found: dict[str, set[str]] = {}
    for alert in alerts.values():
        if alert["state"] == "firing":
            root = alerts.get(alert["root"] or alert["key"], alert)
            found.setdefault(root["device"], set()).add(alert["device"])
    return {root: devices - {root} for root, devices in found.items()}
