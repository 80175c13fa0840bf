"""The camera collector's pure parts: heartbeats, the state machine, RTSP's head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collectors.camera import heartbeat, rtsp
from collectors.camera.collector import CameraCollector
from collectors.camera.config import CameraConfig, CameraSection
from collectors.camera.heartbeat import Heartbeat
from collectors.camera.state import NS, Camera, State
from collectors.camera.verdict import Verdict
from collectors.camera.wire import Ended, read_head
from hub.api import BadItem, Event, Hint, NeverWorks, Reading, Target
from hub.manifest import load
from tests.collector_support import FakeHost, RecordingEmit, as_line, read_lines

FOLDER = Path(__file__).parents[1] / "collectors" / "camera"
CASES = sorted(case.name for case in (FOLDER / "testcases").iterdir())
T0 = 1_790_000_000 * NS
OK, SILENT = Verdict(True, "ok", 3.0), Verdict(False, "connected but silent")


def line(item: object) -> str:
    if isinstance(item, Hint):
        return f"# hint {item.device}"
    if isinstance(item, Event):
        return f"# event {item.device} {item.name}"
    assert isinstance(item, Reading)
    return f"{as_line(item)} {item.time_ns}"


@pytest.mark.parametrize("name", CASES)
async def test_a_heartbeat_becomes_what_its_folder_says(name: str) -> None:
    case = FOLDER / "testcases" / name
    host, emit = FakeHost([Target("cam1", "camera", "", {"fps": 25.0})], T0), RecordingEmit()
    if name in ("full", "with_a_fingerprint"):
        host.devices = [Target("cam1", "camera", "", {})]
    collector = CameraCollector(CameraConfig(broker=None), host)
    await collector.start()
    collector._emit = emit
    collector._heard("cam1", (case / "input.bin").read_bytes(), False)
    assert [line(item) for item in emit.items] == read_lines(case / "expected.lp")
    assert [reason for reason, _, _ in host.refused] == read_lines(case / "expected.err")
    promised = load(FOLDER / "manifest.toml").measurements["camera"].fields
    types = {"float": float, "int": int}
    for reading in emit.readings:
        for field, value in reading.fields.items():
            assert type(value) is types[promised[field].type], field


@given(st.binary(max_size=300))
def test_no_payload_breaks_the_parser(payload: bytes) -> None:
    refused = ""
    try:
        heartbeat.parse(payload, T0)
    except BadItem as error:
        refused = str(error)
    assert not refused or ": " in refused


def at(seconds: float) -> int:
    return T0 + int(seconds * NS)


def state(camera: Camera, seconds: float) -> State | None:
    judged = camera.judge(at(seconds))
    return None if judged is None else judged.state


def test_nothing_is_claimed_before_anything_is_known() -> None:
    assert state(Camera(T0), 10_000) is None


def test_heartbeats_alone_make_a_camera_online_and_their_end_offline() -> None:
    camera = Camera(T0, interval_s=10)
    camera.beat(Heartbeat(), at(0))
    assert [state(camera, s) for s in (0, 30, 30.5)] == [
        State.ONLINE, State.ONLINE, State.OFFLINE,
    ]  # fmt: skip


def test_a_camera_that_must_send_heartbeats_and_never_did_is_offline() -> None:
    camera = Camera(T0, interval_s=10, expects_heartbeats=True)
    assert [state(camera, s) for s in (29, 31)] == [None, State.OFFLINE]


def test_two_missed_probes_change_nothing_and_the_third_does() -> None:
    camera = Camera(T0)
    camera.proved("rtsp", OK, T0)
    states = []
    for _ in range(3):
        camera.proved("rtsp", SILENT, T0)
        states.append(state(camera, 1))
    assert states == [State.ONLINE, State.ONLINE, State.OFFLINE]
    camera.proved("rtsp", OK, T0)
    assert state(camera, 2) is State.ONLINE


def test_a_camera_that_never_answered_is_offline_only_after_three_probes() -> None:
    camera = Camera(T0)
    states = []
    for _ in range(3):
        camera.proved("rtsp", SILENT, T0)
        states.append(state(camera, 1))
    assert states == [None, None, State.OFFLINE]


def test_one_proof_of_two_failing_is_degraded_and_says_which() -> None:
    camera = Camera(T0, interval_s=10)
    camera.beat(Heartbeat(), at(0))
    for _ in range(3):
        camera.proved("rtsp", SILENT, T0)
    judged = camera.judge(at(1))
    assert judged is not None
    assert (judged.state, judged.why) == (State.DEGRADED, "RTSP: connected but silent")
    camera.proved("rtsp", OK, T0)
    judged = camera.judge(at(100))
    assert judged is not None
    assert (judged.state, judged.why) == (State.DEGRADED, "no heartbeat for 100 s")


def test_a_picture_that_stays_the_same_is_frozen_and_degraded() -> None:
    camera = Camera(T0, interval_s=10)
    seen = []
    for frame in ("a", "b", "b", "b", "c"):
        camera.beat(Heartbeat(frame=frame, fps=25), at(0))
        seen.append((camera.frozen, state(camera, 0)))
    good, bad = (False, State.ONLINE), (True, State.DEGRADED)
    assert seen == [good, good, good, bad, good]


def test_without_fingerprints_nobody_claims_that_a_picture_moves() -> None:
    camera = Camera(T0)
    camera.beat(Heartbeat(fps=25), at(0))
    assert camera.frozen is None


@given(st.lists(st.sampled_from(["beat", "ok", "miss", "wait"]), max_size=40))
def test_offline_needs_that_nothing_good_was_heard_lately(steps: list[str]) -> None:
    camera, now, beat_at, misses, answered = Camera(T0, interval_s=10), 0.0, None, 0, False
    for step in steps:
        if step == "beat":
            camera.beat(Heartbeat(), at(now))
            beat_at = now
        elif step == "wait":
            now += 20
        else:
            camera.proved("rtsp", OK if step == "ok" else SILENT, T0)
            misses = 0 if step == "ok" else misses + 1
            answered = answered or step == "ok"
        verdict = state(camera, now)
        heart_good = beat_at is not None and now - beat_at <= 30
        rtsp_good = answered and misses < 3
        assert (verdict in (State.ONLINE, State.DEGRADED)) == (heart_good or rtsp_good)
        if misses >= 3:
            assert verdict is not State.ONLINE


@pytest.mark.parametrize(
    ("head", "alive", "name"),
    [
        (b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", True, "ok"),
        (b"RTSP/2.0 200\r\n\r\n", True, "ok"),
        (b"RTSP/1.0 401 Unauthorized\r\n\r\n", True, "locked"),
        (b"RTSP/1.0 404 Not Found\r\n\r\n", False, "status 404"),
        (b"SIP/2.0 200 OK\r\n\r\n", False, "garbage: the answer is no RTSP or HTTP"),
        (b"RTSP/1.0 \xff\xfe\r\n\r\n", False, "garbage: the answer has no status"),
        (b"\r\n\r\n", False, "garbage: the answer is no RTSP or HTTP"),
        (b"RTSP/1.0 " + b"9" * 5000 + b"\r\n\r\n", False, "garbage: the answer has no status"),
    ],
)
def test_an_rtsp_answer_has_a_name(head: bytes, alive: bool, name: str) -> None:
    try:
        said = rtsp.judge(read_head(head), 1.0)[:2]
    except Ended as end:
        said = False, str(end)
    assert said == (alive, name)


def test_a_url_is_taken_apart() -> None:
    where = rtsp.address("rtsp://10.0.0.1/stream?ch=1")
    assert where[:3] == ("10.0.0.1", 554, "rtsp://10.0.0.1:554/stream?ch=1")
    assert rtsp.address("rtsp://[::1]:8554/a")[:3] == ("::1", 8554, "rtsp://[::1]:8554/a")


def test_an_answer_from_before_the_silence_keeps_no_camera_alive() -> None:
    camera = Camera(since_ns=T0)
    camera.proved("snapshot", OK, T0)  # asked every ten minutes
    camera.proved("rtsp", OK, T0)
    for number in range(1, 4):
        camera.proved("rtsp", SILENT, T0 + number * 30 * NS)
    judged = camera.judge(T0 + 91 * NS)
    assert judged is not None
    assert judged.state is State.OFFLINE
    camera.proved("snapshot", OK, T0 + 100 * NS)
    judged = camera.judge(T0 + 101 * NS)
    assert judged is not None
    assert judged.state is State.DEGRADED, "it answers another question since"


def outage(camera: Camera, begin_s: int, end_s: int) -> None:
    """RTSP is asked each half minute, the stream each two, the picture each ten."""
    for second in range(begin_s, end_s, 30):
        if second % 600 == 0:
            camera.proved("snapshot", SILENT, at(second + 3), at(second))
        if second % 120 == 0:
            camera.proved("stream", SILENT, at(second + 3), at(second))
        camera.proved("rtsp", SILENT, at(second + 3), at(second))


def test_after_an_outage_upstream_no_proof_is_a_fault_that_was_only_asked_meanwhile() -> None:
    camera = Camera(T0)
    for name in ("snapshot", "stream", "rtsp"):
        camera.proved(name, OK, T0)
    outage(camera, 600, 2400)
    assert state(camera, 2400) is State.OFFLINE
    camera.proved("rtsp", OK, at(2401))
    assert state(camera, 2401) is State.ONLINE, "nothing was asked since that failed"
    camera.proved("snapshot", SILENT, at(2402), at(2399))
    assert state(camera, 2402) is State.ONLINE, "that was asked before it was back"
    camera.proved("stream", SILENT, at(2523), at(2520))
    camera.proved("stream", SILENT, at(2643), at(2640))
    judged = camera.judge(at(2644))
    assert judged is not None
    assert (judged.state, judged.why) == (State.DEGRADED, "stream: connected but silent")


def test_after_missing_heartbeats_what_was_silent_is_asked_anew() -> None:
    camera = Camera(T0, interval_s=60)
    camera.beat(Heartbeat(), at(0))
    camera.proved("snapshot", OK, at(0))
    for second in (600, 1200, 1800):
        camera.proved("snapshot", SILENT, at(second))
    assert state(camera, 1800) is State.OFFLINE
    camera.beat(Heartbeat(), at(1810))
    assert state(camera, 1811) is State.ONLINE


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        CameraSection.model_validate({"rtsp": "rtsp://admin:geheim@10.0.0.1/"})
    assert "geheim" not in caught.value.errors()[0]["msg"]
    assert "credentials" in caught.value.errors()[0]["ctx"]["remedy"]


@pytest.mark.parametrize("url", ["http://a/b", "rtsp://", "rtsp://a:99999/", "rtsp://a/ b", "x"])
def test_a_url_that_is_none_is_refused_by_the_inventory(url: str) -> None:
    with pytest.raises(ValidationError):
        CameraSection.model_validate({"rtsp": url})


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"broker": {"topic": "a/b"}}, "needs one level"),
        ({"broker": {"password": "x"}}, "needs username"),
        ({"tiers": {"rstp": {}}}, "rtsp"),
        ({"timeout_s": 0}, "greater than 0"),
    ],
)
def test_mistakes_in_settings_are_found(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CameraConfig.model_validate(settings)


async def test_two_cameras_with_one_token_are_both_named() -> None:
    section = {"heartbeat_token": "0123456789abcdef"}
    host = FakeHost([Target(name, "camera", "", section) for name in ("cam1", "cam2")])
    collector = CameraCollector(CameraConfig(broker=None), host)
    with pytest.raises(NeverWorks, match="cam1 and cam2") as caught:
        await collector.start()
    assert "0123456789abcdef" not in str(caught.value)


def test_the_sample_in_the_readme_is_valid_and_is_the_sample_file() -> None:
    sample = (FOLDER / "sample.yaml").read_text(encoding="utf-8")
    assert sample in (FOLDER / "README.md").read_text(encoding="utf-8")
    said = yaml.safe_load(sample)
    (login,) = said["collectors"]["camera"]["credentials"].values()
    login["password"] = "read from the file by then"
    CameraConfig.model_validate(said["collectors"]["camera"])
    for device in said["devices"]:
        CameraSection.model_validate(device["collect"]["camera"])
