"""The whole hub and the people it tells, over a real SMTP server and a real webhook: a channel that
is dead for an hour, the digest of the next morning, and a full disk.

One data folder on a small disk of its own. The hub runs twice on it: first in hurried time, in
which an hour lasts twelve seconds, then in the pretended next morning.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from hub.clock import SIMULATED, from_datetime
from hub.notify.words import moment
from tests.chaos.receiver import Receiver
from tests.disk_support import small_disk
from tests.hub_support import Hub, mqtt, running, wait_for
from tests.mosquitto_support import broker
from tests.test_delivery import STORM_RULE, Post

ZONE = ZoneInfo("Asia/Jakarta")
FIRST_DAY = from_datetime(datetime(2026, 5, 4, 9, tzinfo=ZONE))
NEXT_MORNING = from_datetime(datetime(2026, 5, 5, 7, 1, tzinfo=ZONE))
DIGEST = {"digest": {"at": "07:00", "teams": ["dlh"]}}
HURRIED = 300.0
"""An hour in twelve seconds. Ticks come six times a second at most: were time much faster, the hub
would seem not to listen between them, and had lived through no day that a digest could tell of."""
HOUR_MS = 3_600_000
DISK_MIB = 64


@contextmanager
def pretended(monkeypatch: pytest.MonkeyPatch, time_ns: int, speed: float) -> Iterator[None]:
    """The time of processes that are started in here."""
    with monkeypatch.context() as patch:
        patch.setenv(SIMULATED, f"{speed} {time.time_ns()} {time_ns}")
        yield


class Scene:
    """Sensors, a hub's settings, and the two who are told."""

    def __init__(self, folder: Path, mosquitto: Any, post: Post, hook: Receiver) -> None:
        self.folder, self.mosquitto, self.post, self.hook = folder, mosquitto, post, hook
        (folder / "pm.yaml").write_text(STORM_RULE)
        self.settings = {
            **mqtt(mosquitto.port),
            "rules": {"library": False, "files": [str(folder / "pm.yaml")]},
            "journal": {"segment_mib": 1},
            "channels": {
                "mail": {"type": "smtp", "host": "127.0.0.1", "port": post.port, "wait_s": 0,
                         "group_by": [], "emergency": True, "security": "none",
                         "sender": "hub@toba.go.id", "recipients": ["noc@toba.go.id"]},
                "hook": {"type": "webhook", "url": hook.url, "emergency": True},
            },
            "teams": {"dlh": {"channels": ["mail", "hook"], "remind": "0s"}},
        }  # fmt: skip

    def says(self, number: int, *values: float) -> None:
        """A sensor's values one by one, each told to the webhook before the next one comes."""
        for value in values:
            before = self.hook.keys.total()
            topic = f"toba/v1/dlh/balige/aq{number}/telemetry"
            self.mosquitto.publish(topic, f'{{"m": {{"pm25": {value}}}}}')
            wait_for("the webhook to be told", lambda: self.hook.keys.total() > before)  # noqa: B023

    def mails(self, kind: str) -> list[str]:
        """Subjects of what came under such a key."""
        found = [
            mail for mail in self.post.mails if str(mail["X-Idempotency-Key"]).startswith(kind)
        ]
        return [str(mail["Subject"]) for mail in found]

    def mail(self, about: str) -> tuple[str, str]:
        """Subject and text of the only mail with that in its subject."""
        (found,) = [mail for mail in self.post.mails if about in str(mail["Subject"])]
        return str(found["Subject"]), " ".join(found.get_content().split())


def test_an_hour_without_mail_the_next_morning_s_digest_and_a_call_for_help_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook, post = Receiver(), Post()
    with (
        small_disk(tmp_path / "hub" / "data", DISK_MIB) as disk,
        broker(tmp_path / "mosquitto") as mosquitto,
    ):
        scene = Scene(tmp_path, mosquitto, post, hook)
        with (
            pretended(monkeypatch, FIRST_DAY, HURRIED),
            running(tmp_path / "hub", scene.settings) as hub,
        ):
            steps = an_hour_without_mail(scene, hub)
            with post:
                wait_for("three mails", lambda: len(post.mails) == 3, 60)
        one_mail_tells_of_all_that_happened(scene, steps)
        post = scene.post = Post(post.port)
        with (
            post,
            pretended(monkeypatch, NEXT_MORNING, 1.0),
            running(tmp_path / "hub", scene.settings | DIGEST) as hub,
        ):
            the_digest_comes_by_itself(scene)
            help_is_called_when_the_disk_is_full(scene, hub, disk)
    hook.close()


def an_hour_without_mail(scene: Scene, hub: Hub) -> dict[str, list[int]]:
    """Nobody answers at the mail's port; the times of what happens meanwhile, by device."""
    scene.says(1, 90, 10)
    scene.says(2, 90)
    scene.says(3, 90, 10, 90)
    began = hub.get("/api/v1/overview")["now_ms"]
    wait_for("an hour", lambda: hub.get("/api/v1/overview")["now_ms"] > began + HOUR_MS)
    assert scene.hook.keys.total() == 6, "machines heard of each change at once"
    steps: dict[str, list[int]] = {}
    for one in reversed(hub.get("/api/v1/history")):
        steps.setdefault(one["device"], []).append(one["time_ms"] * 1_000_000)
    return steps


def one_mail_tells_of_all_that_happened(scene: Scene, steps: dict[str, list[int]]) -> None:
    subject, text = scene.mail("Sensor udara 1")
    began, over = (moment(time_ns, ZONE, "id") for time_ns in steps["aq1"])
    assert subject.startswith("PULIH")
    assert f"aktif dari {began} sampai {over}." in text
    subject, text = scene.mail("Sensor udara 2")
    assert subject.startswith("AKTIF")
    assert "merangkum" not in text
    subject, text = scene.mail("Sensor udara 3")
    began = moment(steps["aq3"][0], ZONE, "id")
    assert subject.startswith("AKTIF")
    assert f"merangkum 3 perubahan sejak {began};" in text


def the_digest_comes_by_itself(scene: Scene) -> None:
    wait_for("the digest", lambda: scene.mails("digest."))
    subject, text = scene.mail("Ringkasan harian")
    assert subject.endswith("2026-05-05")
    assert "Peringatan 24 jam terakhir: 4 baru, 2 selesai; 2 aktif." in text
    assert "Tidak ada data yang hilang." in text
    assert "Penyimpanan: berfungsi." in text


def help_is_called_when_the_disk_is_full(scene: Scene, hub: Hub, disk: Path) -> None:
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:

        def called() -> bool:
            try:
                while True:
                    file.write(bytes(256 * 1024))
            except OSError:
                keys = [key for key in scene.hook.keys if key.startswith("emergency.")]
                return bool(keys and scene.mails("emergency."))

        wait_for("the calls for help", called, 60)
    subject, text = scene.mail("DISK PENUH")
    assert subject == "DISK PENUH: Toba Hub tidak dapat mencatat apa pun"
    assert text == f"Kosongkan ruang sekarang: {disk}: No space left on device"
    assert hub.get("/api/v1/health")["reasons"][0].startswith("disk full")
    filler.unlink()
    wait_for("the hub to go on", hub.healthy)
    scene.says(4, 90)
    wait_for("the alert's mail", lambda: [s for s in scene.mails("") if "Sensor udara 4" in s])
    assert len(scene.mails("emergency.")) == 1
    with closing(sqlite3.connect(f"file:{disk}/serve.db?mode=ro", uri=True)) as db:
        asked = "SELECT count(*) FROM owed WHERE key LIKE 'emergency%'"
        assert db.execute(asked).fetchone() == (0,)
