"""From record to people, whatever dies: kill -9 between any two steps, real servers; a storm."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from typer.testing import CliRunner

from hub.cli.main import cli
from hub.clock import monotonic, now_ns
from hub.journal import Class, Journal, Kind, Reader
from hub.reading import Reading, Series
from hub.records import pack_readings, readings_in
from rules.watch import Watch
from tests.alertmanager_support import Alertmanager, alertmanager
from tests.bench.publisher import Publisher
from tests.chaos.receiver import Receiver
from tests.delivery_child import THINGS, rule_set
from tests.hub_support import mqtt, running, wait_for
from tests.mosquitto_support import broker, free_port

PER_ROUND = 2
POINTS = [
    "evaluated",
    "owed",
    *[
        f"{point}:{name}"
        for point in ("bound", "sent", "marked")
        for name in ("mail", "hook", "am")
    ],
]


class Post:
    """A real SMTP server that keeps what it takes."""

    def __init__(self, port: int = 0) -> None:
        self.mails: list[EmailMessage] = []
        self._server = Controller(self, hostname="127.0.0.1", port=port or free_port())

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, EmailMessage, policy=policy.default))
        return "250 OK"

    def __enter__(self) -> Post:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    @property
    def port(self) -> int:
        return self._server.port

    def keys(self) -> Counter[str]:
        return Counter(str(mail["X-Idempotency-Key"]) for mail in self.mails)

    def told(self, state: str) -> set[str]:
        """The devices that some mail says are in that state."""
        found: set[str] = set()
        for mail in self.mails:
            if "•" not in mail.get_content() and str(mail["Subject"]).startswith(state):
                found |= set(re.findall(r"PM tinggi: Sensor (\d+)", str(mail["Subject"])))
            found |= set(re.findall(rf"• {state} · PM tinggi: Sensor (\d+)", mail.get_content()))
        return found


class Story:
    """A journal that grows, and the process that folds it and tells people."""

    def __init__(self, folder: Path, channels: dict[str, Any]) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal", now_ns=now_ns())
        (folder / "channels.json").write_text(json.dumps(channels))
        self.kills = 0

    def append(self, values: dict[int, float]) -> None:
        now = now_ns()
        drafts = [
            (now, Kind.READINGS, Class.ACKNOWLEDGED, pack_readings("mqtt", [Reading(
                Series.of("environment", f"d{number}"), now, {"pm25": value})]))
            for number, value in values.items()
        ]  # fmt: skip
        self.journal.append([*drafts, (now, Kind.TICK, Class.ACT, b"")])

    def start(self, crash: str = "") -> subprocess.Popen[bytes]:
        with (self.folder / "child.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.delivery_child", str(self.folder), crash], stderr=log
            )

    def dies_at(self, crash: str) -> None:
        process = self.start(crash)
        try:
            assert process.wait(60) == -9, (self.folder / "child.log").read_text()
        finally:
            process.kill()
        self.kills += 1

    def ends(self) -> None:
        """Let it tell all that is left."""
        process = self.start()
        try:
            wait_for("everything to be told", lambda: self.folded() and not self.owed(), 60)
        finally:
            process.kill()
            process.wait(10)

    def folded(self) -> bool:
        return len(self.transitions()) == len(self.expected())

    def owed(self) -> int:
        return sum(number for state, number in self.states().items() if state == "owed")

    def states(self) -> dict[str, int]:
        rows = self._ask("SELECT state, count(*) FROM owed GROUP BY state")
        return {str(state): int(number) for state, number in rows}

    def transitions(self) -> list[str]:
        return [str(id_) for (id_,) in self._ask("SELECT id FROM transition ORDER BY rowid")]

    def expected(self) -> list[str]:
        """The ids that a fold without any crash gives."""
        watch, found = Watch(rule_set(), THINGS), []
        reader = Reader(self.folder / "journal", 0)
        try:
            for batch in iter(reader.read, []):
                for record in batch:
                    if record.kind == Kind.READINGS:
                        readings = readings_in(record.payload)
                        found += watch.observe(record.id, readings, record.time_ns)
                    elif record.kind == Kind.TICK:
                        found += watch.tick(record.id, record.time_ns)
        finally:
            reader.close()
        return [one.id for one in found]

    def _ask(self, sql: str) -> list[tuple[Any, ...]]:
        db = sqlite3.connect(self.folder / "serve.db", timeout=10)
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []
        finally:
            db.close()


@pytest.fixture(scope="module")
def am(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with alertmanager(tmp_path_factory.mktemp("am")) as server:
        yield server


def test_killed_between_any_two_steps_everybody_is_told_and_at_most_once_more_for_each_crash(
    tmp_path: Path, am: Alertmanager
) -> None:
    hook = Receiver()
    with Post() as post:
        story = Story(
            tmp_path,
            {
                "mail": {"type": "smtp", "host": "127.0.0.1", "port": post.port, "wait_s": 0.2,
                         "per_minute": 0, "security": "none", "sender": "hub@toba.go.id",
                         "recipients": ["noc@toba.go.id"]},
                "hook": {"type": "webhook", "url": hook.url},
                "am": {"type": "alertmanager", "url": am.url},
            },
        )  # fmt: skip
        for turn, point in enumerate(POINTS):
            first = turn * PER_ROUND
            over = dict.fromkeys(range(first - PER_ROUND, first - 1), 10.0) if turn else {}
            story.append({**dict.fromkeys(range(first, first + PER_ROUND), 90.0), **over})
            story.dies_at(point)
        story.ends()
        hook.close()
    fired = {str(n) for n in range(len(POINTS) * PER_ROUND)}
    over = {str(n) for n in range(0, (len(POINTS) - 1) * PER_ROUND, PER_ROUND)}

    assert story.transitions() == story.expected()
    assert len(story.transitions()) == len(fired) + len(over)
    assert story.states().keys() <= {"sent", "merged"}

    # Each transition has one key at the webhook; what collapsed came inside the later one.
    transitions = {key.partition(".")[0] for key in hook.keys}
    assert transitions <= set(story.transitions())
    for keys in (hook.keys, post.keys()):
        assert keys.total() - len(keys) <= story.kills

    assert over <= post.told("PULIH")
    assert fired <= post.told("AKTIF") | post.told("PULIH")

    on = {one["labels"]["device"] for one in am.alerts()}
    assert on == {f"d{number}" for number in fired - over}
    assert story.kills == len(POINTS)


STORM = 5_000
STORM_S = 10.0
SITES = 40
STORM_RULE = """
rules:
  - name: pm
    title: {id: "PM tinggi: {name}", en: "PM high: {name}"}
    when: {measurement: environment, field: pm25, above: 55}
    notify: [dlh]
"""


def storm_inventory() -> dict[str, Any]:
    return {
        "sites": [{"id": f"s{n}", "name": f"Desa {n}"} for n in range(SITES)],
        "opds": [{"id": "dlh", "name": "DLH", "site": "s0"}],
        "devices": [
            {"id": f"d{n}", "name": f"Sensor {n}", "kind": "sensor", "site": f"s{n % SITES}",
             "opd": "dlh", "collect": {"mqtt": {}}}
            for n in range(STORM)
        ],
    }  # fmt: skip


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def counted(mails: list[EmailMessage]) -> int:
    """How many alerts these mails tell of."""
    number = 0
    for mail in mails:
        lines = mail.get_content().splitlines()
        named = sum(line.startswith("•") for line in lines)
        more = [int(line.split()[2]) for line in lines if line.startswith("… dan ")]
        number += named + sum(more) if named else 1
    return number


def storm(number: int, *_values: float) -> tuple[str, bytes]:
    """Each sensor is too high once."""
    return f"toba/v1/dlh/s{number % SITES}/d{number}/telemetry", b'{"m": {"pm25": 90}}'


def never(_sent: int) -> bool:
    return False


def test_a_storm_of_5000_alerts_is_grouped_and_bounded_the_board_lives_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    hook = Receiver()
    (tmp_path / "storm.yaml").write_text(STORM_RULE)
    with Post() as post, broker(tmp_path / "mosquitto") as mosquitto:
        settings = {
            **mqtt(mosquitto.port),
            "rules": {"library": False, "files": [str(tmp_path / "storm.yaml")]},
            "channels": {
                "mail": {"type": "smtp", "host": "127.0.0.1", "port": post.port, "wait_s": 1,
                         "security": "none", "sender": "hub@toba.go.id",
                         "recipients": ["noc@toba.go.id"]},
                "hook": {"type": "webhook", "url": hook.url},
            },
            "teams": {"dlh": {"channels": ["mail", "hook"]}},
        }  # fmt: skip
        with running(tmp_path / "hub", settings, storm_inventory()) as hub:
            serve = hub.child("serve")
            assert serve is not None
            before_mib = rss_mib(serve)
            sensors, began = Publisher(mosquitto.port, "storm", storm, STORM), monotonic()
            while sensors.sent < STORM:
                sensors.send()
                if sensors.sent % 400 == 0:  # the board answers, or `get` raises
                    hub.get("/api/v1/overview")
                sensors.pump(began + STORM_S * sensors.sent / STORM - monotonic(), never)
            sensors.drain()
            assert sensors.acknowledged == STORM
            wait_for("every alert at the webhook", lambda: len(hook.keys) == STORM, 240)
            wait_for("every alert in a mail", lambda: counted(post.mails) >= STORM, 240)
            sensors.close()
            grown = rss_mib(serve) - before_mib
            assert hub.healthy()
    hook.close()
    assert counted(post.mails) == STORM
    assert hook.keys.total() == STORM
    assert len(post.mails) <= 60
    assert grown < 200, f"serve grew by {grown:.0f} MiB"


async def test_a_link_in_a_mail_takes_the_alert_on_and_a_planned_window_is_a_silence(
    tmp_path: Path,
) -> None:
    (tmp_path / "pm.yaml").write_text(STORM_RULE)
    begin = datetime.now(UTC) - timedelta(minutes=5)
    window = {
        "from": f"{begin:%Y-%m-%d %H:%M}",
        "until": f"{begin + timedelta(days=1):%Y-%m-%d %H:%M}",
    }
    with Post() as post, broker(tmp_path / "mosquitto") as mosquitto:
        settings = {
            **mqtt(mosquitto.port),
            "timezone": "UTC",
            "web": {"port": (port := free_port()), "public_url": f"http://127.0.0.1:{port}"},
            "rules": {"library": False, "files": [str(tmp_path / "pm.yaml")]},
            "channels": {
                "mail": {"type": "smtp", "host": "127.0.0.1", "port": post.port, "wait_s": 0,
                         "security": "none", "sender": "hub@toba.go.id",
                         "recipients": ["noc@toba.go.id"]},
            },
            "teams": {"dlh": {"channels": ["mail"]}},
            "maintenance": [{"name": "pindah", "match": {"device": "aq5"}, **window}],
        }  # fmt: skip
        with running(tmp_path / "hub", settings, port=port) as hub:
            wait_for("the window", lambda: hub.get("/api/v1/silences"))
            for number in (5, 1):
                topic = f"toba/v1/dlh/balige/aq{number}/telemetry"
                mosquitto.publish(topic, '{"m": {"pm25": 90}}')
            wait_for("a mail", lambda: post.mails)
            (link,) = re.findall(r"Tangani: (\S+)", post.mails[0].get_content())
            token = link.rpartition("/")[2]
            about = hub.get(f"/api/v1/links/{token}")
            assert (about["act"], about["alert"]["device"]) == ("acknowledge", "aq1")
            hub.post(f"/api/v1/links/{token}", {"name": "Rina", "why": "menuju lokasi"})
            (one,) = [a for a in hub.get("/api/v1/alerts") if a["device"] == "aq1"]
            assert (one["state"], one["who"]) == ("acknowledged", "Rina (mail)")
            wait_for("the others to hear of it", lambda: len(post.mails) == 2)
            (silenced,) = [a for a in hub.get("/api/v1/alerts") if a["device"] == "aq5"]
            assert silenced["silenced_by"] == "settings"
            (silence,) = hub.get("/api/v1/silences")
            assert silence["why"] == "pindah"
            done = [(one["kind"], one["who"], one["why"]) for one in hub.get("/api/v1/acts")]
            assert done == [
                ("acknowledge", "Rina (mail)", "menuju lokasi"),
                ("maintenance", "settings", "pindah"),
            ]
            listed = CliRunner().invoke(cli, ["acts", "-s", str(hub.path)]).output
            assert "Rina (mail)  Ditangani     pm" in listed
    assert "DITANGANI" in str(post.mails[1]["Subject"])
    assert "Oleh: Rina (mail)" in post.mails[1].get_content()
