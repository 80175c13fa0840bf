"""A day in the field, at event time and as fast as it can: what `toba-hub demo --story day` tells.

    story ─► nodes ─► Delivery ─► pipeline ─► journal ─► engine ─► alerts, what teams are owed

The real parts of both processes, whose clock is the story's. The messages are those that the demo's
sensors publish, so the rules are the library's, with their own durations.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from collectors.mqtt.config import Broker
from collectors.mqtt.delivery import Delivery
from collectors.mqtt.devices import Devices
from firmware_stubs.node import Message, Sensor
from firmware_stubs.physics import Physics
from firmware_stubs.story import DAY
from hub import configuration, rulebook
from hub.clock import NS
from hub.committer import Committer
from hub.configuration import Configuration
from hub.demo import story
from hub.demo.settings import settings_for
from hub.doubt import Doubts
from hub.engine import Engine
from hub.health import Health
from hub.journal import Class, Journal, Kind, Reader, Record
from hub.ledger import Ledger
from hub.notify import desk, facts, outbox
from hub.notify.desk import Desk
from hub.notify.routing import Router
from hub.pipeline import Pipeline
from hub.reading import Quality, Reading
from hub.redelivery import Window
from tests.collector_support import FakeHost
from tests.mqtt_cases import Publish

MINUTE = 60 * NS
HOUR = 60 * MINUTE
MIDNIGHT = 1_790_010_000 * NS
"""Tuesday 22 September 2026, 0.00 WIB."""
TOBA = Path(__file__).parents[1] / "hub" / "regency" / "toba" / "inventory.yaml"


class Told(NamedTuple):
    """A message that a team is owed."""

    hour: float
    team: str
    rule: str
    device: str
    state: str
    language: str
    title: str


class Look(NamedTuple):
    """An alert at some time of the day."""

    rule: str
    device: str
    state: str
    data_state: str


class Days:
    """The hub's parts, and all that came of the day."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.now = folder, MIDNIGHT
        self.conf = conf_of(folder)
        self.looks: dict[int, list[Look]] = {}
        """By full hour of the day."""
        self.air: list[Reading] = []
        self.readings: list[Reading] = []
        self.told: list[Told] = []

    async def publish(self) -> None:
        """Into the journal: a tick each minute, and each five minutes what the nodes say."""
        health = Health()
        journal = Journal(self.folder / "journal", now_ns=MIDNIGHT)
        committer = Committer(journal, health)
        plugin = self.conf.plugins["mqtt"]
        doubts = Doubts(plugin.manifest, self.conf.inventory)
        now = lambda: self.now  # noqa: E731
        pipeline = Pipeline(
            "mqtt", plugin.manifest, committer, Window(), health, now, never, never, doubts
        )
        names = {device: device for device in self.conf.inventory.devices}
        host = FakeHost()
        delivery = Delivery(Broker(), Devices(names, 0), host, pipeline.emit)
        running = asyncio.create_task(committer.run())
        physics = Physics(12, 1.0, MIDNIGHT)
        sensors = {
            id: Sensor(id, device.opd or "opd", device.site, physics, MIDNIGHT)
            for id, device in self.conf.inventory.devices.items()
        }
        for sensor in sensors.values():
            DAY.keep_yesterday(sensor, MIDNIGHT)
        faults = sorted(DAY.faults)
        for second in range(DAY.interval_s, 86_400 + DAY.interval_s, DAY.interval_s):
            for tick in range(second - DAY.interval_s + 60, second + 60, 60):
                self.now = MIDNIGHT + tick * NS
                committer.submit([(self.now, Kind.TICK, Class.ACT, b"")], Class.ACT)
            while faults and faults[0][0] * 3600 <= second:
                _, fault, device = faults.pop(0)
                setattr(sensors[device], fault.removeprefix("sensor_"), True)
            for sensor in sensors.values():
                for body in said(sensor, self.now, DAY.effects(sensor.device, second / 3600)):
                    delivery.take([Publish(sensor.topic("telemetry"), body.encode())], self.now)
            await committer.submit([], Class.ACT)
        assert host.refused == []
        committer.close()
        await running
        journal.close()

    async def judge(self) -> None:
        """Fold the journal, and look at the alerts each full hour."""
        ledger = Ledger(self.folder / "serve.db")
        outbox.create(ledger.db)
        desk.create(ledger.db)
        engine = Engine(
            self.folder / "journal",
            ledger,
            self.conf.rules,
            rulebook.things(self.conf.inventory),
            Health(),
            telling=self._desk(),
            show=self._show,
            event=never,
            changed=never,
            now_ns=MIDNIGHT,
        )
        for records in by_hour(self.folder / "journal"):
            self.now = records[-1].time_ns
            await engine._take(records)
            hour = (self.now - MIDNIGHT + MINUTE) // HOUR
            self.looks[hour] = [
                Look(alert.rule, alert.device, alert.state, alert.data_state)
                for alert in engine.fold.watch.alerts()
            ]
        self.told = messages(ledger)
        ledger.close()

    def _desk(self) -> Desk:
        settings, rules = self.conf.settings, {rule.name: rule for rule in self.conf.rules}
        router = Router(
            settings.teams,
            settings.channels,
            lambda t: facts.of(self.conf.inventory, t.device, rules.get(t.rule)),
            language=settings.language,
            zone=settings.timezone,
            public_url="",
            people=settings.people,
        )
        return Desk(router, lambda: self.now)

    def _show(self, readings: Sequence[Reading], _: int) -> None:
        self.air += [one for one in readings if one.series.measurement == "air_index"]
        self.readings += [one for one in readings if one.series.measurement == "environment"]

    # what tests ask

    def fired(self, rule: str, device: str) -> list[Told]:
        return [
            one for one in self.told
            if (one.rule, one.device, one.state) == (rule, device, "firing")
        ]  # fmt: skip

    def data_states(self, rule: str, device: str) -> dict[int, tuple[str, str]]:
        """Hour → state and data state of an alert."""
        return {
            hour: (look.state, look.data_state)
            for hour, looks in self.looks.items()
            for look in looks
            if (look.rule, look.device) == (rule, device)
        }


def conf_of(folder: Path) -> Configuration:
    """The demo's settings for the story, with one team that reads English."""
    people = story.staff()
    people["teams"]["bpbd"]["language"] = "en"
    (folder / "inventory.yaml").write_text(yaml.safe_dump(story.sensors_only(TOBA)), "utf-8")
    path = folder / "toba-hub.yaml"
    path.write_text(yaml.safe_dump({"regency": "toba", "language": "id", **people}), "utf-8")
    return configuration.load(path)


def never(*_: Any) -> None:
    """Nothing that this test asks for."""


def said(sensor: Sensor, now_ns: int, effects: Any) -> Iterator[str]:
    """What a node publishes in one turn, kept messages included, all of it acknowledged."""
    for first in sensor.turn(now_ns, effects):
        message: Message | None = first
        for _ in range(1 + 20 * first.kept):
            if message is not None:
                yield message.payload
                message = sensor.delivered() if message.kept else None


def by_hour(folder: Path) -> Iterator[list[Record]]:
    reader = Reader(folder, 0)
    records = [record for batch in iter(reader.read, []) for record in batch]
    reader.close()
    hours = sorted({(record.time_ns - MIDNIGHT) // HOUR for record in records})
    for hour in hours:
        yield [one for one in records if (one.time_ns - MIDNIGHT) // HOUR == hour]


def messages(ledger: Ledger) -> list[Told]:
    rows = ledger.db.execute("SELECT message FROM owed ORDER BY seq")
    found = []
    for one in (json.loads(text) for (text,) in rows):
        hour = (one["time_ns"] - MIDNIGHT) / HOUR
        title = one["titles"][one["language"]]
        found.append(
            Told(hour, one["channel"].removeprefix("log-"), one["rule"], one["device"],
                 one["state"], one["language"], title)
        )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Days:
    days = Days(tmp_path_factory.mktemp("field") / "day")
    asyncio.run(days.publish())
    asyncio.run(days.judge())
    return days


def test_rising_dust_leads_the_index_through_four_classes(day: Days) -> None:
    classes = [
        reading.fields["category"] for reading in day.air if reading.series.device == "aq-balige"
    ]
    assert [one for one, _ in groupby(classes)] == [1, 2, 3, 4]
    values = [r.fields["ispu"] for r in day.air if r.series.device == "aq-balige"]
    assert all(before <= after for before, after in pairwise(values[2:])), "smoke only grows"
    assert len(values) == 24, "every hour, since yesterday is known"
    [unhealthy], [very] = (
        [one for one in day.fired(rule, "aq-balige") if one.team == "dlh"][:1]
        for rule in ("ispu_unhealthy", "ispu_very_unhealthy")
    )
    assert unhealthy.title == "ISPU 106 di Balige: Tidak Sehat"
    assert very.title == "ISPU 207 di Balige: Sangat Tidak Sehat"
    assert 12 <= unhealthy.hour < very.hour <= 24


def test_the_kept_readings_of_yesterday_land_at_their_own_time_and_page_nobody(day: Days) -> None:
    kept = [one for one in day.readings if one.time_ns < MIDNIGHT]
    assert len(kept) == 10 * 288
    assert all(one.quality & Quality.LATE for one in kept)
    assert min(one.time_ns for one in kept) == MIDNIGHT - 24 * HOUR
    assert not [one for one in day.told if one.hour < 5]


def test_a_stuck_probe_is_suspect_when_its_window_is_over(day: Days) -> None:
    """It sticks at eight in the middle of smoke; six hours of one number are believed no more."""
    seen = day.data_states("pm25_unhealthy", "aq-porsea")
    assert seen[13] == ("firing", "ok")
    assert {seen[hour] for hour in range(14, 25)} == {("firing", "suspect")}
    stuck = [r.time_ns for r in day.readings if r.quality & Quality.STUCK]
    assert {r.series.device for r in day.readings if r.quality & Quality.STUCK} == {"aq-porsea"}
    assert min(stuck) == MIDNIGHT + 14 * HOUR - 5 * MINUTE
    ispu = {r.time_ns: r.fields.get("ispu") for r in day.air if r.series.device == "aq-porsea"}
    assert ispu[MIDNIGHT + 24 * HOUR] is None, "what is stuck is no air: too few hours are left"


def test_a_silent_buoy_becomes_no_data_and_resolves_nothing(day: Days) -> None:
    for rule in ("dissolved_oxygen_watch", "dissolved_oxygen_low"):
        seen = day.data_states(rule, "do-ajibata")
        assert seen[14] == ("firing", "ok")
        assert seen[15] == ("firing", "stale")
        assert {seen[hour] for hour in range(17, 25)} == {("firing", "no_data")}
        assert "resolved" not in {one.state for one in day.told if one.rule == rule}
    silent = {one.team: one.title for one in reversed(day.fired("sensor_silent", "do-ajibata"))}
    assert silent == {
        "dlh": "Pelampung Mutu Air Ajibata tidak mengirim data selama 15 menit (Ajibata)",
        "kominfo": "Pelampung Mutu Air Ajibata has sent nothing for 15 minutes (Ajibata)",
    }


@pytest.mark.parametrize(
    ("rule", "hours", "told"),
    [
        ("dissolved_oxygen_watch", (5, 7), {
            "perikanan": "Waspada keramba: oksigen terlarut 4,68 mg/L di Balige",
        }),
        ("oxygen_falling", (5, 7), {
            "dlh": "Oksigen terlarut di Balige turun cepat: -1,51 mg/L",
            "perikanan": "Oksigen terlarut di Balige turun cepat: -1,51 mg/L",
        }),
        ("dissolved_oxygen_low", (8, 11), {
            "dlh": "Siaga keramba: oksigen terlarut 4,03 mg/L di Balige",
            "perikanan": "Siaga keramba: oksigen terlarut 4,03 mg/L di Balige",
        }),
        ("dissolved_oxygen_critical", (16, 19), {
            "dlh": "Awas kematian ikan: oksigen terlarut 1,9 mg/L di Balige",
            "perikanan": "Awas kematian ikan: oksigen terlarut 1,9 mg/L di Balige",
            "bpbd": "Fish kill imminent: dissolved oxygen 1.9 mg/L at Balige",
        }),
    ],
)  # fmt: skip
def test_each_step_of_a_fish_kill_reaches_its_teams_in_their_language(
    day: Days, rule: str, hours: tuple[float, float], told: dict[str, str]
) -> None:
    fired = day.fired(rule, "do-balige")
    first = [one for one in fired if one.hour == fired[0].hour]
    assert {one.team: one.title for one in first} == told
    assert hours[0] <= first[0].hour <= hours[1]
    assert {one.language for one in fired if one.team == "bpbd"} <= {"en"}, "reminders, too"
    assert {one.language for one in fired if one.team != "bpbd"} == {"id"}


def test_reminders_keep_the_language_of_the_team(day: Days) -> None:
    assert {one.language for one in day.told if one.team in ("kominfo", "bpbd")} == {"en"}
    assert {one.language for one in day.told if one.team in ("dlh", "perikanan")} == {"id"}


def test_the_oxygen_went_from_3_9_to_1_8(day: Days) -> None:
    """As DLH Samosir measured in July 2025, when 352 tonnes of fish died."""
    values = {
        r.time_ns: r.fields["do_mgl"]
        for r in day.readings
        if r.series.device == "do-balige" and r.time_ns >= MIDNIGHT
    }
    at = [v for t, v in values.items() if 10 * HOUR <= t - MIDNIGHT <= 12 * HOUR]
    assert sum(at) / len(at) == pytest.approx(3.9, abs=0.15)
    evening = [v for t, v in values.items() if t - MIDNIGHT >= 19 * HOUR]
    assert sum(evening) / len(evening) == pytest.approx(1.8, abs=0.1)


def test_a_story_s_faults_come_at_their_hours_however_fast_the_day_goes_by() -> None:
    steps = DAY.steps(hour=-0.5, speed=60)
    assert [(step.at_s, step.fault, step.target) for step in steps] == [
        (510.0, "sensor_stuck", "aq-porsea"),
        (870.0, "sensor_silent", "do-ajibata"),
    ]
    assert DAY.effects("aq-balige", 5) == {"smoke": 0}
    assert DAY.effects("aq-balige", 8.5) == {"smoke": pytest.approx(0.95)}
    assert DAY.effects("aq-balige", 30) == {"smoke": 1.9}
    assert DAY.effects("noise-balige", 8) == {}
    assert DAY.interval_s == story.INTERVAL_S


def test_the_settings_of_the_story_are_good(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(yaml.safe_dump(story.sensors_only(TOBA)), "utf-8")
    broker = {"host": "127.0.0.1", "port": 1883}
    for told in ("", *story.STORIES):
        written = settings_for(
            {"broker": broker}, store={"kind": "duckdb"}, host="127.0.0.1", port=8080,
            level="info", story=told,
        )  # fmt: skip
        (tmp_path / "toba-hub.yaml").write_text(yaml.safe_dump(written), "utf-8")
        conf = configuration.load(tmp_path / "toba-hub.yaml")
        assert conf.settings.teams.keys() >= {"dlh", "perikanan", "bpbd", "kominfo", "dishub"}


def test_a_simulated_clock_is_shared_by_processes_that_start_later() -> None:
    program = (
        "from hub import clock; import subprocess, sys\n"
        "clock.simulate(1000, 5 * 10**17)\n"
        "asked = [sys.executable, '-c', 'from hub import clock; print(clock.now_ns())']\n"
        "then = int(subprocess.check_output(asked))\n"
        "print(then, clock.now_ns(), clock.speed())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    then, now, speed = done.stdout.split()
    assert 5 * 10**17 < int(then) < int(now) < 6 * 10**17
    assert int(now) - 5 * 10**17 > 10 * NS, "some hundredths of a second, a thousand times faster"
    assert speed == "1000.0"
