"""A whole regency on an ordinary morning with some trouble: what the screenshots show.

python -m tests.web_scene 8099      serves it until interrupted
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from hub.clock import NS, now_ns
from hub.inventory import Device
from hub.notify.onduty import TeamNow, Turn
from hub.reading import Series
from hub.store.query import SeriesRows
from hub.web.app import create_app
from hub.web.headlines import uplinks
from hub.web.serving import serve
from rules.thing import Thing
from tests import rules_support
from tests.web_support import FakeBackend, toba_inventory, wave

RULES = """
  - name: pm25_unhealthy
    title: {id: "PM2.5 tidak sehat di {site}", en: "PM2.5 unhealthy at {site}"}
    when: {measurement: environment, field: pm25, above: 55.4, clear_below: 45}
    for: 1m
    notify: [dlh]
    unit: µg/m³
  - name: pm25_hour
    title: {id: "PM2.5 satu jam tinggi di {site}", en: "PM2.5 of an hour high at {site}"}
    when: {measurement: environment, field: pm25, mean: 1h, above: 35, quality: good}
    unit: µg/m³
    notify: [dlh]
  - name: hot
    title: {id: "Panas di {site}", en: "Hot at {site}"}
    when: {measurement: environment, field: temperature, above: 31}
    for: 10m
    unit: °C
  - name: battery_low
    title: {id: "Baterai {name} lemah", en: "Battery of {name} is low"}
    when: {measurement: environment, field: battery_v, below: 3.3}
    unit: V
  - name: sensor_silent
    title: {id: "{name} diam", en: "{name} is silent"}
    when: {measurement: environment, absent: 5m}
    where: {kind: sensor}
    notify: [dlh]
"""
STEP_NS = 10 * NS
PAST_STEPS = 200
DEAD = "r-camat-porsea"


class Scene:
    """Feeds a FakeBackend with readings of every device of Toba's inventory."""

    def __init__(self) -> None:
        self.backend = FakeBackend(inventory=toba_inventory())
        self.devices = list(self.backend.inventory.devices.values())
        behind = [one.id for one in self.devices if DEAD in one.depends_on]
        self.silent = {DEAD, *behind}

    def fill(self, now: int, steps: int = PAST_STEPS) -> None:
        """The past that the board remembers, then the trouble."""
        for step in range(steps, -1, -1):
            self.step(now - step * STEP_NS, dead=step < 40)
        self.trouble(now)
        self.remember(now)
        self.staff(now)
        self.explain(now)

    def remember(self, now: int) -> None:
        """What the store knows of the last day: Balige's air in full, Laguboti's since an hour."""
        rows = [(now - age * 300 * NS, (18.0 + age % 7,)) for age in range(287, -1, -1)]
        self.backend.answers = [
            SeriesRows({"device": "aq-balige"}, rows),
            SeriesRows({"device": "aq-laguboti"}, rows[-12:]),
        ]

    def explain(self, now: int) -> None:
        """What the real rules say of Balige's air after twenty minutes of dust."""
        place = {"site": "balige", "site_name": "Balige"}
        balige = Thing("aq-balige", "Sensor udara Balige", "sensor", **place)
        hub = rules_support.Hub(RULES, things=[balige])
        series = Series.of("environment", "aq-balige", sensor="main")
        for minute in range(21):
            hub.until(60 * minute)
            hub.read(series, pm25=74.8, temperature=28.0 + minute / 5, battery_v=3.9)
        matcher, ends_ns = {"rule": "pm25_*"}, hub.now + 40 * 60 * NS
        hub.act("maintenance", "Rina", why="ganti kipas", matcher=matcher, until_ns=ends_ns)
        later = now - hub.now
        for one in (found.plain() for found in hub.watch.explain("aq-balige")):
            for key in ("since_ns", "silenced_until_ns"):
                one[key] += later if one[key] else 0
            one["key"] = f"{one['rule']}/aq-balige"
            self.backend.whys.setdefault("aq-balige", []).append(one)

    def staff(self, now: int) -> None:
        """Two teams with a rota and one that nobody is told of; what people have done today."""
        hour = 3600 * NS
        text = {
            "id": ("Serah terima piket DLH: Andi Siregar", "Gangguan terbuka: 1, ditangani: 0."),
            "en": ("Hand-over of DLH: Andi Siregar is on duty", "Open alerts: 1, acknowledged: 0."),
        }
        andi = Turn("andi", "Andi Siregar", now - 50 * hour, now + 30 * hour)
        budi = Turn("budi", "Budi Manurung", now + 30 * hour, now + 198 * hour)
        dlh = TeamNow("dlh", "Dinas Lingkungan Hidup", andi, budi, ("tg-dlh", "wa"), 1, 0, text)
        alone = TeamNow("kominfo", "Dinas Kominfo", budi, None, ("mail",), 2, 2, text)
        self.backend.teams = [dlh, alone, TeamNow("bpbd", "BPBD", None, None, (), 0, 0)]
        matcher = {"device": "r-dinkes"}
        for kind, who, why, key, until_ns in (
            ("maintenance", "Rina", "ganti UPS", "", now + 2 * hour),
            ("silence", "demo: Andi", "sudah dilaporkan ke ISP", "", now - hour // 2),
            ("acknowledge", "demo: Rina", "teknisi menuju lokasi", "link_down:r-dinkes", 0),
            ("unsilence", "demo: Andi", "", "1", 0),
        ):
            about = {} if key else matcher
            self.backend.acts.append(
                {"kind": kind, "who": who, "why": why, "key": key, "matcher": about}
                | {"until_ns": until_ns}
            )

    def step(self, time_ns: int, dead: bool = True) -> None:
        self.backend.time_ns = time_ns
        for seed, device in enumerate(self.devices):
            silent = dead and device.id in self.silent
            if not silent or device.id == DEAD:
                self._observe(seed, device, time_ns, silent)

    def _observe(self, seed: int, device: Device, time_ns: int, silent: bool) -> None:
        see: Any = self.backend.observe
        if device.kind == "router":
            see("device", device.id, {"up": 0 if silent else 1}, probe="icmp")
            if silent:
                return
            top = 940e6 if device.id == "r-core" else 18e6 + 2e6 * (seed % 7)
            rtt, cpu = wave(seed, time_ns, 1.2, 9), wave(seed, time_ns, 8, 41)
            see("device", device.id, {"rtt_ms": rtt, "loss_pct": 0.0}, probe="icmp")
            see("device", device.id, {"up": 1, "cpu_pct": cpu, "uptime_s": 862_000}, probe="snmp")
            uplink = min(uplinks(device))
            traffic = {
                "in_bps": wave(seed, time_ns, top * 0.1, top * 0.8),
                "out_bps": wave(seed + 5, time_ns, top * 0.03, top * 0.2),
            }
            see("interface", device.id, {**traffic, "oper_up": 1, "admin_up": 1}, ifname=uplink)
            flap = 0 if device.id == "r-dinkes" else 1
            see("interface", device.id, {"oper_up": flap, "admin_up": 1}, ifname="ether2")
        elif device.kind == "camera":
            fps = wave(seed, time_ns, 11, 15)
            fields = {"up": 1, "state": 2, "fps": fps, "rtsp_ms": wave(seed, time_ns, 9, 40)}
            see("camera", device.id, {**fields, "heartbeat_age_s": 4.0, "frozen": 0})
        elif device.kind == "sensor":
            see("environment", device.id, _weather(device.id, seed, time_ns), sensor="main")

    def trouble(self, now: int) -> None:
        b = self.backend
        down = b.fire(
            "router_down", DEAD, "critical", since_ns=now - 380 * NS,
            title={"id": "Router tidak menjawab: Router Kantor Camat Porsea",
                   "en": "Router doesn't answer: Router Kantor Camat Porsea"},
        )  # fmt: skip
        b.fire(
            "pm25_unhealthy", "aq-balige", since_ns=now - 1500 * NS, value=74.8, unit="µg/m³",
            title={"id": "PM2.5 tidak sehat di Balige", "en": "PM2.5 unhealthy at Balige"},
            detail={"id": "PM2.5 74,8 µg/m³ (batas 55,4)", "en": "PM2.5 74.8 µg/m³ (limit 55.4)"},
        )  # fmt: skip
        b.fire(
            "link_down", "r-dinkes", since_ns=now - 5400 * NS, state="acknowledged",
            tags={"ifname": "ether2"}, acknowledged_by="Rina", comment="teknisi menuju lokasi",
            title={"id": "Tautan putus: Router Dinkes ether2",
                   "en": "Link down: Router Dinkes ether2"},
        )  # fmt: skip
        b.fire(
            "camera_silent", "cam-jembatan-porsea", since_ns=now - 300 * NS, cause=down.key,
            title={"id": "Kamera diam: Jembatan Sungai Asahan Porsea",
                   "en": "Camera silent: Jembatan Sungai Asahan Porsea"},
        )  # fmt: skip
        b.said.append(
            {"device": "r-dinkes", "name": "linkDown", "collector": "snmp",
             "time_ns": now - 5401 * NS, "text": "ether2: ifIndex 3, ifOperStatus down",
             "said": {"id": "port ether2", "en": "port ether2"}}
        )  # fmt: skip
        for name, target, id_, en in (
            ("router_dies", "r-rsud", "Router mati", "Router dies"),
            ("camera_frozen", "cam-rsud-porsea", "Gambar kamera beku", "Camera frozen"),
            ("pm25_rises", "aq-balige", "PM2.5 naik", "PM2.5 rises"),
        ):
            b.offered[name, target] = {
                "name": name, "target": target, "title": {"id": id_, "en": en}, "active": False,
            }  # fmt: skip


def _weather(id: str, seed: int, time_ns: int) -> dict[str, float]:
    if id.startswith("aq-"):
        high = 82 if id == "aq-balige" else 24
        pm25 = wave(seed, time_ns, high * 0.4, high)
        return {"pm25": pm25, "temperature": wave(seed, time_ns, 21, 26), "humidity": 84.0}
    if id.startswith("do-"):
        return {"do_mgl": wave(seed, time_ns, 6.1, 7.2), "temperature": 24.6, "ph": 7.9}
    if id.startswith("rain"):
        return {"rain_mm": max(0.0, wave(seed, time_ns, -1.2, 0.8))}
    if id.startswith("level"):
        return {"water_level_m": wave(seed, time_ns, 903.82, 903.9)}
    return {"temperature": wave(seed, time_ns, 20, 26), "humidity": 82.0}


async def main(port: int) -> None:
    scene = Scene()
    scene.fill(now_ns())
    scene.backend.store_down = False

    async def live() -> None:
        while True:
            await asyncio.sleep(2)
            scene.step(now_ns())

    app = create_app(scene.backend, auth="demo")
    async with asyncio.TaskGroup() as group:
        group.create_task(live())
        group.create_task(serve(app, "127.0.0.1", port))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
