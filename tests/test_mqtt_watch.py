"""`toba-hub mqtt watch`: a person sees what messages become, beside a running hub."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
import yaml
from paho.mqtt.enums import CallbackAPIVersion
from typer.testing import CliRunner

from hub.cli.main import cli
from tests.hub_support import INVENTORY, wait_for
from tests.mosquitto_support import Mosquitto, broker

TELEMETRY = "toba/v1/dlh/balige/aq1/telemetry"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mosquitto]:
    with broker(tmp_path / "broker") as running:
        yield running


def watching(
    server: Mosquitto, folder: Path, *words: str, protocol: int = 5
) -> subprocess.Popen[str]:
    """The verb in a folder with settings, once the broker has granted its subscription."""
    one = {"name": "main", "port": server.port, "protocol": protocol}
    settings = {"collectors": {"mqtt": {"brokers": [one]}}}
    (folder / "toba-hub.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "inventory.yaml").write_text(yaml.safe_dump(INVENTORY), encoding="utf-8")
    before = server.log().count("Sending SUBACK")
    process = subprocess.Popen(
        [sys.executable, "-m", "hub", "mqtt", "watch", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(
            "the subscription",
            lambda: server.log().count("Sending SUBACK") > before or process.poll() is not None,
            90,
        )
    except AssertionError:
        process.kill()
        process.communicate()
        raise
    return process


def ended(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    return out, err


@pytest.mark.parametrize("protocol", [5, 4], ids=["mqtt5", "mqtt311"])
def test_each_message_is_shown_with_its_parser_and_readings_or_why_it_is_refused(
    server: Mosquitto, tmp_path: Path, protocol: int
) -> None:
    process = watching(server, tmp_path, "--json", "--count", "3", protocol=protocol)
    server.publish(TELEMETRY, '{"ts":1790000000,"m":{"pm25":12.5,"zz":1}}')
    server.publish("toba/v1/dlh/balige/aq2/status", "offline")
    server.publish(TELEMETRY, "{")
    out, _ = ended(process)
    first, second, third = (json.loads(line) for line in out.splitlines())
    assert first["parser"] == "telemetry"
    (reading,) = first["readings"]
    assert reading["fields"] == {"pm25": 12.5}
    assert reading["tags"] == {"device": "aq1"}
    assert [one["reason"] for one in first["refused"]] == ["unknown_field"]
    assert second["parser"] == "status"
    assert [event["name"] for event in second["events"]] == ["offline"]
    assert third["readings"] == []
    assert [one["reason"] for one in third["refused"]] == ["bad_json"]


def test_a_topic_may_be_tried_with_a_convention_and_people_can_read_it(
    server: Mosquitto, tmp_path: Path
) -> None:
    options = ("-t", "tele/{device}/#", "-p", "tasmota", "--count", "3")
    server.publish("tele/plug1/LWT", "Online", "--retain")
    process = watching(server, tmp_path, *options)
    server.publish("tele/plug1/SENSOR", '{"BME280":{"Temperature":68.0},"TempUnit":"F"}')
    server.publish("tele/plug1/SENSOR", '{"BME280":{"Temperature":null}}')
    out, err = ended(process)
    assert "tele/plug1/LWT  tasmota, retained" in out
    assert "nothing here for the hub" in out
    assert "environment plug1 sensor=BME280: temperature 20 °C" in out
    assert "new device plug1" in out
    assert "refused null_value: Temperature is None" in out
    assert "payload b'{" in out
    assert f"listening to 127.0.0.1:{server.port} as toba-hub-watch-" in err


def test_a_plain_filter_shows_what_the_configured_topics_miss(
    server: Mosquitto, tmp_path: Path
) -> None:
    process = watching(server, tmp_path, "--json", "-t", "#", "--count", "1")
    server.publish("somewhere/else", "1")
    (line,) = ended(process)[0].splitlines()
    said: dict[str, Any] = json.loads(line)
    assert said["parser"] == ""
    assert [one["reason"] for one in said["refused"]] == ["unknown_topic"]


def test_it_disturbs_no_hub_and_ctrl_c_ends_it_cleanly(server: Mosquitto, tmp_path: Path) -> None:
    hub = paho.Client(CallbackAPIVersion.VERSION2, "toba-hub")
    hub.connect("127.0.0.1", server.port)
    hub.loop_start()
    try:
        process = watching(server, tmp_path)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=90)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert hub.is_connected()
        assert "already connected" not in server.log()
        assert f"toba-hub-watch-{process.pid}" in server.log()
    finally:
        hub.disconnect()
        hub.loop_stop()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("-p", "senml"), "--parser needs --topic"),
        (("-t", "a/{device}", "-p", "sennl"), "'sennl' is none of telemetry, status, tts"),
        (("-t", "a/b", "-p", "tasmota"), "no level is {device}"),
        (("-b", "mian"), "--broker mian: none of main"),
        (("-b", "127.0.0.1:1"), "broker other (127.0.0.1:1)"),
        (("--username", "x", "--protocol", "3"), "protocol"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli, ["mqtt", "watch", *words])
    assert done.exit_code == 1, done.output
    assert complaint in done.output
    assert "Traceback" not in done.output
