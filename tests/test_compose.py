"""docker-compose.yml and the files it mounts, run on real servers where those can be had."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.deploy import secrets
from hub.settings_file import read_leniently
from tests.mosquitto_support import free_port

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "hub" / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
TEXT = (ROOT / "docker-compose.yml").read_text()
INTERPOLATED = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def test_it_starts_the_four_services() -> None:
    assert set(SERVICES) == {"mosquitto", "influxdb", "grafana", "hub"}


@pytest.mark.parametrize("name", ["mosquitto", "influxdb", "grafana"])
def test_every_image_is_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_every_service_restarts_limits_its_log_and_says_whether_it_is_well() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] == "unless-stopped"
        assert service["logging"]["options"]["max-size"]
        assert name == "hub" or service["healthcheck"]["test"]
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


def test_services_wait_for_those_they_need_to_be_well() -> None:
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES
            assert how == {"condition": "service_healthy"}


def test_nothing_has_a_default_password_and_without_env_compose_says_what_to_run() -> None:
    for name, kind, rest in INTERPOLATED.findall(TEXT):
        secret = re.search(r"PASSWORD|TOKEN|SECRET", name)
        assert kind == ("?" if secret else "-"), name
        assert not secret or rest == "run: make secrets"
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|TOKEN", key):
                assert key.endswith("_FILE")
                assert str(value).startswith("/run/secrets/")


def test_every_secret_that_is_used_is_declared_and_made_by_make_secrets() -> None:
    declared = {name: each["environment"] for name, each in COMPOSE["secrets"].items()}
    assert set(declared.values()) == set(secrets.NAMES)
    used: set[str] = set()
    for service in SERVICES.values():
        mentioned = set(re.findall(r"/run/secrets/(\w+)", str(service)))
        assert mentioned <= set(service["secrets"])
        used |= set(service["secrets"])
    assert used == declared.keys()
    for file in [*DEPLOY.glob("*.sh"), DEPLOY / "toba-hub.yaml"]:
        assert set(re.findall(r"/run/secrets/(\w+)", file.read_text())) <= declared.keys()


def test_ports_are_published_on_loopback_unless_somebody_says_otherwise() -> None:
    for service in SERVICES.values():
        for port in service["ports"]:
            plain = INTERPOLATED.sub(lambda found: found[3], port)
            assert plain.startswith("127.0.0.1:"), port


def test_every_file_that_is_mounted_exists_and_every_volume_is_declared() -> None:
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = INTERPOLATED.sub(lambda found: found[3], volume).split(":")[0]
            assert (ROOT / source).exists() if source[0] == "." else source in COMPOSE["volumes"]


def test_the_home_dashboard_of_grafana_is_one_of_ours() -> None:
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "grafana" / "dashboards" / Path(home).name).exists()


def test_the_example_env_names_every_variable_and_no_value_of_a_secret() -> None:
    text = (ROOT / ".env.example").read_text()
    for name in {found[0] for found in INTERPOLATED.findall(TEXT)} - {secrets.MADE}:
        assert re.search(rf"^#{name}=", text, re.M), name
    for name in secrets.NAMES:
        assert re.search(rf"^#{name}= +\w", text, re.M)


def test_docker_itself_takes_the_file() -> None:
    docker = shutil.which("docker")
    have = docker and subprocess.run([docker, "compose", "version"], capture_output=True)
    if not have or have.returncode:
        pytest.skip("docker compose is not here: the file was only checked by our own tests")
    made = dict.fromkeys([*secrets.NAMES, secrets.MADE], "x" * 24)
    command = [str(docker), "compose", "-f", str(ROOT / "docker-compose.yml"), "config", "-q"]
    answer = subprocess.run(command, env={**os.environ, **made}, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_the_file_follows_the_compose_specification() -> None:
    """The schema of the Compose specification comes with check-jsonschema, where that is there."""
    check = pytest.importorskip(
        "check_jsonschema.builtin_schemas",
        reason="check-jsonschema is not here: the file was only checked by our own tests",
    )
    import jsonschema

    jsonschema.validate(COMPOSE, check.get_builtin_schema("vendor.compose-spec"))


# --- secrets ------------------------------------------------------------------------------------


def test_make_secrets_writes_long_random_passwords_that_only_the_owner_reads(
    tmp_path: Path,
) -> None:
    said = secrets.write(tmp_path)

    values = _env(tmp_path / ".env")
    passwords = [values[name] for name in secrets.NAMES]
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert len(set(passwords)) == len(secrets.NAMES)
    assert all(re.fullmatch(r"[\w-]{32}", password) for password in passwords)
    assert not any(password in "\n".join(said) for password in passwords)
    assert list(tmp_path.iterdir()) == [tmp_path / ".env"]


def test_make_secrets_keeps_what_is_there_and_adds_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nMQTT_BIND=0.0.0.0\nINFLUX_TOKEN=chosen by hand\nMQTT_HUB_PASSWORD=")
    path.chmod(0o644)

    secrets.write(tmp_path)
    first = path.read_text()
    said = secrets.write(tmp_path)

    assert path.read_text() == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.startswith("# mine\nMQTT_BIND=0.0.0.0\nINFLUX_TOKEN=chosen by hand\n")
    assert len(_env(path)["MQTT_HUB_PASSWORD"]) == 32
    assert all(": kept " in line for line in said)


def _env(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


# --- what is mounted ------------------------------------------------------------------------------


def test_the_hubs_settings_in_the_container_are_good(tmp_path: Path) -> None:
    text = (DEPLOY / "toba-hub.yaml").read_text()
    for name in re.findall(r"/run/secrets/(\w+)", text):
        (tmp_path / name).write_text(f"{name} content\n")
    (tmp_path / "toba-hub.yaml").write_text(text.replace("/run/secrets/", f"{tmp_path}/"))

    settings, problems = read_leniently(tmp_path / "toba-hub.yaml", {})

    assert problems == []
    assert settings.store.token.get_secret_value() == "influx_token content"
    assert (
        settings.store.database
        == SERVICES["influxdb"]["environment"]["DOCKER_INFLUXDB_INIT_BUCKET"]
    )


def test_influxs_init_script_makes_a_user_that_can_only_read_the_buckets(tmp_path: Path) -> None:
    """InfluxDB 2 could not be had: the script runs against a program that notes its arguments."""
    (tmp_path / "influx").write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        '"bucket create") printf "%s\\tname\\tretention\\n" "id of $6 kept $8" ;;\n'
        '*) printf "%s\\n" "$@" > "$NOTES" ;;\n'
        "esac\n"
    )
    (tmp_path / "influx").chmod(0o755)
    (tmp_path / "secret").write_text("a secret with $ and spaces")
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "NOTES": str(tmp_path / "notes"),
        "SECRET": str(tmp_path / "secret"),
        "DOCKER_INFLUXDB_INIT_ORG": "toba",
        "DOCKER_INFLUXDB_INIT_BUCKET": "toba",
        "DOCKER_INFLUXDB_INIT_BUCKET_ID": "0123456789abcdef",
    }

    subprocess.run([DEPLOY / "influx-init.sh"], env=environment, check=True)

    said = (tmp_path / "notes").read_text().splitlines()
    assert said[:3] == ["v1", "auth", "create"]
    pairs = list(zip(said[3::2], said[4::2], strict=True))
    given = dict(pairs)
    source = yaml.safe_load((ROOT / "grafana/provisioning/datasources/influx.yaml").read_text())[
        "datasources"
    ][0]
    assert given["--username"] == source["user"]
    assert given["--password"] == "a secret with $ and spaces"
    assert [value for name, value in pairs if name == "--read-bucket"] == [
        "0123456789abcdef",
        "id of toba-5m kept 400d",
        "id of toba-1h kept 87660h",
    ]
    assert not any("write" in name for name in given)


def test_scripts_can_be_run_and_stop_when_their_secret_is_missing() -> None:
    for script in DEPLOY.glob("*.sh"):
        assert script.stat().st_mode & 0o111, f"{script.name} can't be executed"
        answer = subprocess.run(
            [script], env={**os.environ, "SECRET": "/nowhere"}, capture_output=True, text=True
        )
        assert answer.returncode == 1
        assert "run: make secrets" in answer.stderr


class Broker:
    """A real mosquitto with our configuration, its paths moved into a folder."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self.port, self.tls_port, self.folder = free_port(), free_port(), folder
        text = (DEPLOY / "mosquitto.conf").read_text()
        text = text.replace("/mosquitto/config/tls/", f"{folder}/")
        text = text.replace("/mosquitto/config/", f"{DEPLOY}/mosquitto.")
        text = text.replace("/mosquitto/data/", f"{folder}/")
        text = text.replace("listener 1883", f"listener {self.port} 127.0.0.1")
        text = text.replace("listener 8883", f"listener {self.tls_port} 127.0.0.1")
        if tls:
            text = text.replace("#tls ", "")
        if os.getuid() == 0:
            text += "\nuser root\n"
        (folder / "mosquitto.conf").write_text(text)
        (folder / "secret").write_text("hub's $ecret")
        environment = {
            **os.environ,
            "PATH": f"{os.environ['PATH']}:/usr/sbin",
            "PASSWORDS": str(folder / "passwd"),
            "SECRET": str(folder / "secret"),
            "CONFIG": str(folder / "mosquitto.conf"),
        }
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [DEPLOY / "mosquitto-start.sh"], env=environment, stdout=self.log, stderr=self.log
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                said = (self.folder / "log").read_text()
                assert self.process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.02)

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()

    def publish(self, user: str, password: str, topic: str) -> str:
        """What mosquitto_pub complains about; empty when the broker took it."""
        command = ["mosquitto_pub", "-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-u", user, "-P", password, "-t", topic, "-m", '{"pm25": 7}']
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("mosquitto")
    add = ["mosquitto_passwd", "-b", "-c", str(folder / "passwd"), "aq1", "its own"]
    subprocess.run(add, check=True)
    with Broker(folder) as running:
        yield running


def test_the_broker_lets_a_device_speak_for_itself_and_for_nobody_else(broker: Broker) -> None:
    assert broker.publish("aq1", "its own", "toba/v1/dlh/balige/aq1/telemetry") == ""
    assert "ot authorized" in broker.publish("aq1", "its own", "toba/v1/dlh/balige/aq2/telemetry")
    assert "ot authorized" in broker.publish("aq1", "its own", "toba/v1/alerts/aq1/x")


def test_the_broker_knows_the_hub_and_no_stranger(broker: Broker) -> None:
    assert broker.publish("hub", "hub's $ecret", "toba/v1/alerts/aq1/pm25_unhealthy") == ""
    assert "ot authorized" in broker.publish("hub", "wrong", "toba/v1/alerts/x/y")
    assert "ot authorized" in broker.publish("", "", "toba/v1/dlh/balige/aq1/telemetry")


def test_the_broker_keeps_far_more_than_its_default_for_a_hub_that_is_away(
    broker: Broker,
) -> None:
    """mosquitto's own limit is 1 000; here 3 000 wait and none is missing."""
    topic = "toba/v1/dlh/balige/aq1/telemetry"
    listen = ["mosquitto_sub", "-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", str(broker.port)]
    listen += ["-u", "hub", "-P", "hub's $ecret", "-i", "toba-hub", "-t", topic]
    listen += ["-c"]
    subprocess.run([*listen, "-E"], check=True, timeout=20)
    speak = ["mosquitto_pub", "-V", "5", "-q", "1", "-h", "127.0.0.1", "-p", str(broker.port)]
    speak += ["-u", "aq1", "-P", "its own", "-t", topic, "-l"]
    lines = "\n".join(str(number) for number in range(3000)) + "\n"
    subprocess.run(speak, input=lines, text=True, check=True, timeout=60)

    heard = subprocess.run(
        [*listen, "-C", "3000", "-W", "30"], capture_output=True, text=True, timeout=60
    )

    assert heard.stdout == lines


def test_the_tls_lines_work_when_they_are_taken_in(tmp_path: Path) -> None:
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    make += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    make += ["-keyout", str(tmp_path / "server.key"), "-out", str(tmp_path / "server.crt")]
    subprocess.run(make, check=True, capture_output=True)
    with Broker(tmp_path, tls=True) as broker:
        command = ["mosquitto_pub", "-V", "5", "-q", "1", "-h", "localhost"]
        command += ["-p", str(broker.tls_port), "--cafile", str(tmp_path / "server.crt")]
        command += ["-u", "hub", "-P", "hub's $ecret", "-t", "toba/v1/hub/canary", "-m", "1"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (answer.returncode, answer.stderr) == (0, "")
