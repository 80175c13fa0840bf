"""The simulated regency on the wire: real snmpget, real mosquitto_sub, real RTSP requests."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import pytest
import yaml

from collectors.mqtt import parse
from hub.api import Reading
from tests.field_support import INVENTORY, FieldProcess, eventually, running_field
from tests.mosquitto_support import broker as mosquitto

UPTIME = ".1.3.6.1.2.1.1.3.0"
SYS_NAME = ".1.3.6.1.2.1.1.5.0"
OPER_STATUS = ".1.3.6.1.2.1.2.2.1.8"
IF_NAME = ".1.3.6.1.2.1.31.1.1.1.1"
HC_IN = ".1.3.6.1.2.1.31.1.1.1.6"
CPU = ".1.3.6.1.2.1.25.3.3.1.2"


@pytest.fixture(scope="module")
def field() -> Iterator[FieldProcess]:
    with running_field(
        "--interval", "0.2", "--beat", "0.3", "--ramp", "0.3", "--speed", "60"
    ) as running:
        yield running
        assert running.ask(published=True)["failures"] == []


def snmp(field: FieldProcess, router: str, program: str, oid: str, wait_s: float = 2) -> list[str]:
    """Values of Debian's snmpget or snmpwalk; none when the agent does not answer."""
    port = field.device(router)["collect"]["snmp"]["port"]
    done = subprocess.run(
        [program, "-v2c", "-cpublic", "-r0", f"-t{wait_s}", "-Onqvt", f"127.0.0.1:{port}", oid],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def options(field: FieldProcess, camera: str, wait_s: float = 0.5) -> str:
    """First line of the answer to OPTIONS, or what went wrong."""
    url = urlsplit(field.device(camera)["collect"]["camera"]["rtsp"])
    assert url.hostname is not None
    try:
        with socket.create_connection((url.hostname, url.port or 554), wait_s) as wire:
            wire.sendall(f"OPTIONS {url.geturl()} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            return wire.recv(4096).split(b"\r\n")[0].decode()
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"


def heard(field: FieldProcess, topic: str, number: int = 1, wait_s: int = 5) -> list[Any]:
    """The next messages that Debian's mosquitto_sub gets, retained ones left out."""
    done = subprocess.run(
        ["mosquitto_sub", "-p", str(field.broker), "-q", "1", "-R", "-t", topic,
         "-C", str(number), "-W", str(wait_s)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def measures(field: FieldProcess, device: str) -> dict[str, float]:
    """What that sensor says next."""
    found: dict[str, float] = heard(field, f"toba/v1/+/+/{device}/telemetry")[0]["m"]
    return found


def test_the_whole_regency_is_there_each_router_at_a_port_of_its_own(field: FieldProcess) -> None:
    devices = field.addresses["inventory"]["devices"]
    assert len(devices) == 71
    assert {device["address"] for device in devices} == {"127.0.0.1"}
    ports = [d["collect"]["snmp"]["port"] for d in devices if "snmp" in d["collect"]]
    assert len(set(ports)) == 45
    assert not [device["id"] for device in devices if "netprobe" in device["collect"]]


def test_the_inventory_comes_back_with_nothing_changed_but_addresses(field: FieldProcess) -> None:
    given = yaml.safe_load(INVENTORY.read_text())
    back = json.loads(json.dumps(field.addresses["inventory"]))
    assert back["sites"] == given["sites"]
    assert back["opds"] == given["opds"]
    for ours, theirs in zip(given["devices"], back["devices"], strict=True):
        for device in (ours, theirs):
            device.pop("address")
            device["collect"].pop("netprobe", None)
            device["collect"].get("snmp", {}).pop("port", None)
            for key in ("rtsp", "web", "heartbeat_s"):
                device["collect"].get("camera", {}).pop(key, None)
        assert ours == theirs


def test_a_router_tells_its_ports_to_a_real_snmp_client(field: FieldProcess) -> None:
    assert snmp(field, "r-dlh", "snmpget", SYS_NAME) == ['"Router DLH"']
    names = [name.strip('"') for name in snmp(field, "r-core", "snmpwalk", IF_NAME)]
    assert names[0] == "sfp-sfpplus1"
    first = int(snmp(field, "r-core", "snmpget", f"{HC_IN}.1")[0])
    told = field.ask(routers=True)["routers"]["r-core"]["interfaces"]["sfp-sfpplus1"]
    assert 0 < told["in_octets"] - first < 600e6 / 8 * 10


def test_every_sensor_and_camera_is_heard_by_a_real_mqtt_client(field: FieldProcess) -> None:
    inventory = field.addresses["inventory"]["devices"]
    sensors = {d["id"] for d in inventory if d["kind"] == "sensor"}
    cameras = {d["id"] for d in inventory if d["kind"] == "camera"}
    found = {said["id"] for said in heard(field, "toba/v1/+/+/+/telemetry", 40)}
    assert found == sensors
    beats = heard(field, "toba/v1/+/+/+/status", 40)
    assert all(beat["fps"] > 10 for beat in beats)
    eventually(lambda: set(field.ask(published=True)["published"]) == sensors | cameras)


def test_what_is_heard_is_what_the_field_says_it_published(field: FieldProcess) -> None:
    said = heard(field, "toba/v1/dlh/balige/aq-balige/telemetry")[0]
    history = eventually(
        lambda: [m for m in field.ask(history="aq-balige")["history"] if m["seq"] == said["seq"]]
    )
    assert history == [said]
    assert abs(said["ts"] / 1000 - time.time()) < 30


def test_the_collector_understands_every_value_of_every_sensor(field: FieldProcess) -> None:
    for said in heard(field, "toba/v1/+/+/+/telemetry", 40):
        items, seq, faults = parse.telemetry(
            parse.place(said["id"]), json.dumps(said).encode(), False, time.time_ns()
        )
        assert (seq, faults) == (said["seq"], ())
        readings = [item for item in items if isinstance(item, Reading)]
        assert [reading.series.measurement for reading in readings] == ["environment", "device"]
        assert [reading.quality for reading in readings] == [0, 0]


def test_a_dead_router_takes_along_what_lies_behind_it_and_nothing_else(
    field: FieldProcess,
) -> None:
    assert snmp(field, "r-camat-ajibata", "snmpget", UPTIME)
    hit = field.ask(fault="router_dies")
    assert hit["target"] == "r-camat-lumban-julu"
    assert snmp(field, "r-camat-lumban-julu", "snmpget", UPTIME, 0.5) == []
    assert snmp(field, "r-camat-ajibata", "snmpget", UPTIME, 0.5) == []
    assert snmp(field, "r-camat-porsea", "snmpget", UPTIME)
    assert options(field, "cam-pelabuhan-ajibata") == "timeout"
    assert options(field, "cam-jembatan-porsea") == "RTSP/1.0 200 OK"
    assert heard(field, "toba/v1/+/ajibata/+/+", 1, 1) == []

    field.ask(clear="router_dies")
    assert options(field, "cam-pelabuhan-ajibata") == "RTSP/1.0 200 OK"
    ticks = int(snmp(field, "r-camat-lumban-julu", "snmpget", UPTIME)[0])
    assert ticks < 30 * 100, "it was off: its uptime must begin anew"
    assert int(snmp(field, "r-camat-ajibata", "snmpget", UPTIME)[0]) > 86_400 * 100
    told = eventually(
        lambda: (p := field.ask(published=True)["published"]["do-ajibata"])["kept"] and p
    )
    late = [m for m in field.ask(history="do-ajibata")["history"] if m.get("buf")]
    assert late, told
    seqs = {m["seq"] for m in eventually(lambda: _complete(field, "do-ajibata"))}
    assert seqs == set(range(max(seqs) + 1)), "not one reading may be lost"


def _complete(field: FieldProcess, device: str) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = field.ask(history=device)["history"]
    seqs = {message["seq"] for message in history}
    return history if len(seqs) == max(seqs) + 1 else []


def test_a_flapping_uplink_goes_down_and_up(field: FieldProcess) -> None:
    router = field.ask(fault="link_flaps")["target"]
    assert snmp(field, router, "snmpget", f"{OPER_STATUS}.1") == ["2"]
    eventually(lambda: snmp(field, router, "snmpget", f"{OPER_STATUS}.1") == ["1"])
    field.ask(clear="link_flaps")
    assert snmp(field, router, "snmpget", f"{OPER_STATUS}.1") == ["1"]


def test_a_busy_router_says_so_until_it_is_cleared(field: FieldProcess) -> None:
    router = field.ask(fault="router_busy")["target"]
    assert set(snmp(field, router, "snmpwalk", CPU)) == {"97"}
    field.ask(clear="router_busy")
    assert max(int(load) for load in snmp(field, router, "snmpwalk", CPU)) < 60


def test_a_full_uplink_carries_almost_its_speed(field: FieldProcess) -> None:
    router = field.ask(fault="link_full")["target"]

    def rate() -> float:
        samples = []
        for _ in range(2):
            before = time.monotonic()
            octets = int(snmp(field, router, "snmpget", f"{HC_IN}.1")[0])
            samples.append((before, octets))
            time.sleep(0.4)
        (t1, first), (t2, second) = samples
        return (second - first) * 8 / (t2 - t1)

    speed = field.ask(routers=True)["routers"][router]["interfaces"]["ether1"]["speed_bps"]
    assert rate() == pytest.approx(0.97 * speed, rel=0.25)
    field.ask(clear="link_full")
    assert rate() < 0.5 * speed


def test_a_stuck_sensor_repeats_itself_with_new_times(field: FieldProcess) -> None:
    device = field.ask(fault="sensor_stuck")["target"]
    topic = f"toba/v1/+/+/{device}/telemetry"
    said = heard(field, topic, 5)
    assert len({json.dumps(m["m"]) for m in said}) == 1
    assert len({m["ts"] for m in said}) == 5
    field.ask(clear="sensor_stuck")
    assert eventually(lambda: len({json.dumps(m["m"]) for m in heard(field, topic, 5)}) > 1)


def test_a_silent_sensor_comes_back_with_a_new_uptime_and_no_used_number(
    field: FieldProcess,
) -> None:
    topic = "toba/v1/+/+/noise-balige/telemetry"
    before = heard(field, topic)[0]
    field.ask(fault="sensor_silent", target="noise-balige")
    assert heard(field, topic, 1, 1) == []
    field.ask(clear="sensor_silent", target="noise-balige")
    after = heard(field, topic)[0]
    assert (after["rst"], after["up"]) == ("wdt", 0)
    assert after["seq"] > before["seq"]
    assert after["seq"] % 64 < 20


@pytest.mark.parametrize(
    ("fault", "target", "name", "over"),
    [
        ("pm25_rises", "aq-balige", "pm25", 100.0),
        ("lake_rises", "level-porsea", "water_level_m", 905.0),
    ],
)
def test_smoke_and_flood_rise_over_their_thresholds_and_fall_again(
    field: FieldProcess, fault: str, target: str, name: str, over: float
) -> None:
    assert measures(field, target)[name] < over
    assert field.ask(fault=fault)["target"] == target
    eventually(lambda: measures(field, target)[name] > over)
    field.ask(clear=fault)
    eventually(lambda: measures(field, target)[name] < over)


def test_a_fish_kill_takes_the_oxygen_and_gives_it_back(field: FieldProcess) -> None:
    target = field.ask(fault="do_falls")["target"]
    eventually(lambda: measures(field, target)["do_mgl"] < 2.6)
    field.ask(clear="do_falls")
    eventually(lambda: measures(field, target)["do_mgl"] > 5)


def test_heavy_rain_tips_the_bucket(field: FieldProcess) -> None:
    target = field.ask(fault="heavy_rain")["target"]
    eventually(lambda: any(m["m"]["rain_mm"] >= 0.2
                           for m in field.ask(history=target)["history"]), 20)  # fmt: skip
    field.ask(clear="heavy_rain")


@pytest.mark.parametrize(
    ("fault", "answers", "fps"),
    [
        ("camera_frozen", "RTSP/1.0 200 OK", 0.0),
        ("camera_dead", "refused", None),
        ("camera_hangs", "timeout", 12.5),
        ("camera_password", "RTSP/1.0 401 Unauthorized", 12.5),
        ("camera_black", "RTSP/1.0 200 OK", 12.5),
    ],
)
def test_a_camera_fault_shows_on_rtsp_and_heartbeat_and_clears(
    field: FieldProcess, fault: str, answers: str, fps: float | None
) -> None:
    camera = field.ask(fault=fault)["target"]
    topic = f"toba/v1/+/+/{camera}/status"
    assert options(field, camera) == answers
    heard(field, topic, 1, 1)  # the beat in which it happened
    beats = heard(field, topic, 1, 1)
    assert [beat["fps"] for beat in beats] == ([] if fps is None else [pytest.approx(fps, rel=0.4)])
    field.ask(clear=fault)
    assert options(field, camera) == "RTSP/1.0 200 OK"
    eventually(lambda: [b for b in heard(field, topic) if b["fps"] > 8])


def test_the_menu_tells_what_is_in_force(field: FieldProcess) -> None:
    def active() -> list[tuple[str, str]]:
        return [(r["name"], r["target"]) for r in field.ask(faults=True)["faults"] if r["active"]]

    assert active() == []
    field.ask(fault="sensor_stuck", target="do-balige")
    field.ask(fault="sensor_stuck", target="do-balige")
    assert active() == [("sensor_stuck", "do-balige")]
    field.ask(clear="sensor_stuck", target="do-balige")
    field.ask(clear="sensor_stuck", target="do-balige")
    assert active() == []


def test_the_script_plays_and_leaves_nothing_in_force(field: FieldProcess) -> None:
    field.ask(script="demo", pace=20)
    eventually(lambda: [r for r in field.ask(faults=True)["faults"] if r["active"]])
    eventually(lambda: measures(field, "aq-balige")["pm25"] > 55.4)
    eventually(lambda: not [r for r in field.ask(faults=True)["faults"] if r["active"]])
    eventually(lambda: measures(field, "aq-balige")["pm25"] < 45)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON"),
        ("[]", "a command is a JSON object"),
        ('{"id": 7}', "a command has one of fault"),
        ('{"fault": 3}', "a command has one of fault"),
        ('{"fault": "melts"}', "no fault 'melts'"),
        ('{"fault": "router_dies", "target": "aq-balige"}', "hits a router"),
        ('{"fault": "router_dies", "target": ["r-dlh"]}', "target"),
        ('{"script": "hamlet"}', "no script 'hamlet'"),
        ('{"script": "demo", "pace": 0}', "pace"),
        ('{"script": "demo", "pace": "fast"}', "fast"),
    ],
)
def test_a_command_that_can_not_be_done_is_answered_and_harms_nothing(
    field: FieldProcess, line: str, words: str
) -> None:
    answer = field.send(line)
    assert not answer["ok"]
    assert words in answer["error"]
    assert field.ask(faults=True, id="again")["id"] == "again"


async def test_the_embedded_broker_keeps_messages_for_a_session_that_is_away(
    field: FieldProcess,
) -> None:
    def hub() -> aiomqtt.Client:
        return aiomqtt.Client(
            "127.0.0.1", field.broker, identifier="toba-hub", clean_session=False, timeout=5,
            protocol=aiomqtt.ProtocolVersion.V311,
        )  # fmt: skip

    async with hub() as client:
        await client.subscribe("toba/v1/test/+/+/telemetry", qos=1)
    async with aiomqtt.Client("127.0.0.1", field.broker) as other:
        for number in range(5):
            await other.publish("toba/v1/test/s/d/telemetry", str(number), qos=1)
    got: list[tuple[bytes, int, bool]] = []
    async with hub() as client:
        async for message in client.messages:
            got.append((bytes(message.payload), message.qos, message.retain))
            if len(got) == 5:
                break
    assert sorted(got) == [(str(number).encode(), 1, False) for number in range(5)]


def test_the_field_ends_cleanly_on_sigterm_and_at_the_end_of_its_input() -> None:
    with running_field() as field:
        field.process.send_signal(signal.SIGTERM)
        assert field.process.wait(10) == 0
        assert field.process.stdin is not None
        assert field.process.stdout is not None
        field.process.stdin.close()
        field.process.stdout.close()
    with running_field() as field:
        assert field.stop() == 0


def test_a_broker_that_runs_is_used_and_its_restart_loses_no_reading(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as server:
        given = ("--broker", f"127.0.0.1:{server.port}", "--interval", "0.2")
        with running_field(*given) as field:
            assert field.broker == server.port
            assert measures(field, "aq-balige")
            server.stop()
            seq = field.ask(history="aq-balige")["history"][-1]["seq"]
            time.sleep(1.0)
            server.start()
            eventually(lambda: field.ask(published=True)["published"]["aq-balige"]["kept"] > 1, 20)
            seqs = {m["seq"] for m in eventually(lambda: _complete(field, "aq-balige"), 20)}
            assert max(seqs) > seq


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("devices: {", "inventory"),
        ("sites: []", "no list `devices:`"),
        ("devices: [{id: a, kind: router}]", "devices[0] has no text `site:`"),
        ("devices: [{id: a, kind: router, site: b, collect: {snmp: 1}}]", "devices[0].collect"),
    ],
)
def test_an_inventory_that_can_not_be_read_is_one_clear_line(
    tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "inventory.yaml"
    if text is not None:
        path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "firmware_stubs", "--inventory", str(path)],
        capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
