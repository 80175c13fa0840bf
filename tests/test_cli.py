"""The command line, each verb as a person types it; most of them at a hub that really runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from hub.cli.main import cli
from tests.hub_support import Hub, running, wait_for
from tests.mosquitto_support import free_port

ROOT = Path(__file__).parent.parent
RULES = """\
rules:
  - name: silent
    title: {id: "{name} diam", en: "{name} is silent"}
    when: {measurement: environment, absent: 1s}
    where: {kind: sensor}
    severity: warning
"""
SETTINGS = {
    "collectors": {name: {"enabled": False} for name in ("mqtt", "snmp", "camera", "netprobe")},
    "rules": {"library": False, "files": ["rules.yaml"]},
    "channels": {"meja": {"type": "log"}},
}


class Terminal:
    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def run(self, *words: str) -> Result:
        """In this process, since each new one costs a second."""
        return CliRunner(env={"COLUMNS": "200"}).invoke(
            cli, [*words, "-s", str(self.hub.path)], catch_exceptions=False
        )

    def apart(self, *words: str) -> subprocess.CompletedProcess[str]:
        """In a process of its own, for what sets up its own log."""
        return subprocess.run(
            [sys.executable, "-m", "hub", *words, "-s", str(self.hub.path)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )

    def good(self, *words: str) -> str:
        done = self.run(*words)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    def bad(self, *words: str) -> str:
        """One line of complaint, and no traceback."""
        done = self.run(*words)
        assert done.exit_code == 1, done.stdout + done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        return lines[0]


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "rules.yaml").write_text(RULES)
    with running(folder, SETTINGS) as hub:
        wait_for("alerts", lambda: len(alerts(hub)) == 5)
        yield Terminal(hub)


def alerts(hub: Hub) -> list[dict[str, str]]:
    found: list[dict[str, str]] = hub.get("/api/v1/alerts")
    return [a for a in found if a["state"] in ("firing", "acknowledged")]


def test_alerts_are_listed_and_acknowledged_by_their_keys(terminal: Terminal) -> None:
    listed = terminal.good("alerts")
    assert "silent:aq1" in listed
    assert "Sensor udara 1 diam" in listed
    assert "record" in terminal.good("ack", "silent:aq1", "--why", "baterai", "--who", "ani")
    wait_for(
        "the board to know",
        lambda: [a for a in alerts(terminal.hub) if a["state"] == "acknowledged"],
    )
    wait_for("the list to know", lambda: "ditangani" in terminal.good("alerts"))
    assert "no open alert has the key 'nonsense'" in terminal.bad("ack", "nonsense")


@pytest.mark.parametrize(
    ("language", "heads", "alert"),
    [
        (
            "id",
            {
                "alerts": "kunci keadaan tingkat selama gangguan",
                "silences": "id jenis cakupan masih siapa keterangan",
                "acts": "waktu siapa tindakan tentang keterangan",
            },
            ("silent:aq2 aktif peringatan ", "Sensor udara 2 diam"),
        ),
        (
            "en",
            {
                "alerts": "key state severity for what",
                "silences": "id kind matches still for who why",
                "acts": "when who what about why",
            },
            ("silent:aq2 firing warning ", "Sensor udara 2 is silent"),
        ),
    ],
)
def test_what_people_read_is_in_one_language_heads_and_all(
    terminal: Terminal, language: str, heads: dict[str, str], alert: tuple[str, str]
) -> None:
    for verb, head in heads.items():
        listed = terminal.good(verb, "--lang", language)
        assert " ".join(listed.splitlines()[0].split()) == head
    listed = terminal.good("alerts", "--lang", language).splitlines()
    rows = [" ".join(line.split()) for line in listed]
    assert [row for row in rows if row.startswith(alert[0]) and row.endswith(alert[1])], rows
    assert terminal.good("alerts").split()[0] == "kunci", "as the settings say"


def test_a_silence_needs_a_matcher_that_says_whom(terminal: Terminal) -> None:
    assert "done" in terminal.good("silence", "device=aq2", "--hours", "2", "-m", "ganti baterai")
    wait_for("the board to know", lambda: "aq2" in str(terminal.hub.get("/api/v1/silences")))
    done = terminal.run("silence", "aq2")
    assert done.exit_code == 2
    assert "key=value" in done.stderr


def test_keys_are_never_cut_however_narrow_the_terminal(terminal: Terminal) -> None:
    done = CliRunner(env={"COLUMNS": "20"}).invoke(cli, ["alerts", "-s", str(terminal.hub.path)])
    assert len(done.stdout.splitlines()) == 6, done.stdout
    assert "silent:aq1 " in done.stdout
    name = "komandan-jaga-malam-yang-namanya-panjang"
    secret = CliRunner(env={"COLUMNS": "20"}).invoke(
        cli, ["token", "create", name, "-s", str(terminal.hub.path)]
    )
    assert len(secret.stdout.splitlines()) == 1
    assert f"\n{name}  viewer" in terminal.good("token", "list")
    terminal.good("token", "revoke", name)


def test_silences_are_listed_and_ended_by_their_ids(terminal: Terminal) -> None:
    said = terminal.good("silence", "device=aq3", "--hours", "0.5", "--maintenance", "-m", "pindah")
    number = said.strip().split()[-1]
    for words in (("silences",), ("silence", "--list")):
        line = next(one for one in terminal.good(*words).splitlines() if one.startswith(number))
        assert "Pemeliharaan" in line
        assert "device=aq3" in line
        assert "pindah" in line
    terminal.good("unsilence", number)
    assert "device=aq3" not in terminal.good("silences"), "at once"
    wait_for("the board to know", lambda: "aq3" not in str(terminal.hub.get("/api/v1/silences")))
    assert "no silence in force" in terminal.bad("unsilence", number)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["devise=aq1"], "did you mean device?"),
        (["device=aq1", "device=aq2"], "stands twice"),
        (["device="], "key=value"),
        ([], "key=value"),
        *[
            (["device=aq1", "--hours", hours], "more than 0, at most a year")
            for hours in ("0", "-1", "nan", "inf", "9000", "1e300")
        ],
    ],
)
def test_a_silence_that_makes_no_sense_is_refused_in_one_line(
    terminal: Terminal, words: list[str], said: str
) -> None:
    before = terminal.hub.get("/api/v1/silences")
    done = terminal.run("silence", *words)
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr
    assert terminal.hub.get("/api/v1/silences") == before


def test_a_silence_of_nobody_is_warned_of(terminal: Terminal) -> None:
    done = terminal.run("silence", "device=aq99*", "sensor=pm*")
    assert done.exit_code == 0
    assert "no device of the inventory matches" in done.stderr
    assert "no rule matches" in terminal.run("silence", "rule=x").stderr


def test_a_window_that_is_over_is_refused_and_odd_ones_are_warned_of(terminal: Terminal) -> None:
    add = ("maintenance", "add")
    past = ("--from", "2026-01-01 08:00", "--until", "2026-01-01 10:00")
    assert "over already" in terminal.bad(*add, "dulu", "device=aq1", *past)
    done = terminal.run(*add, "salah", "device=r-nope", "--weekly", "sun 02:00", "--lasts", "2h")
    assert (done.exit_code, "no device of the inventory" in done.stderr) == (0, True), done
    done = terminal.run(*add, "terus", "kind=sensor", "--cron", "*/5 * * * *", "--lasts", "2h")
    assert (done.exit_code, "it is always on" in done.stderr) == (0, True), done
    done = terminal.run(*add, "malam", "kind=sensor", "--weekly", "sun 02:00", "--lasts", "2h")
    assert (done.exit_code, done.stderr) == (0, "")
    for name in ("salah", "terus", "malam"):
        terminal.good("maintenance", "remove", name)


def test_the_board_refuses_absurd_silences_with_words(terminal: Terminal) -> None:
    day = 86_400
    for matcher, seconds, status in (
        ({"devise": "aq1"}, day, 422),
        ({"device": "aq1"}, 10**30, 422),
        ({"device": "aq1"}, -1, 422),
        ({"device": "\ud800"}, day, 422),
    ):
        body = json.dumps({"matcher": matcher, "seconds": seconds, "why": "x"}).encode()
        url = f"http://127.0.0.1:{terminal.hub.port}/api/v1/silences"
        request = urllib.request.Request(
            url, body, {"Content-Type": "application/json", "Origin": url.split("/api")[0]}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=5)
        with refused.value:
            assert refused.value.code == status, refused.value.read()


def test_the_journal_tells_how_full_how_whole_and_what_is_in_it(terminal: Terminal) -> None:
    status = terminal.good("journal", "status")
    assert re.search(r"ids 1 to \d+", status)
    assert "forward" in status
    assert "good records" in terminal.good("journal", "verify")
    lines = [json.loads(line) for line in terminal.good("journal", "export").splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert {"config", "tick"} <= {line["kind"] for line in lines}
    some = terminal.good("journal", "export", "--after", str(len(lines) - 3)).splitlines()
    assert json.loads(some[0])["id"] == len(lines) - 2


def test_tokens_are_shown_once_and_taken_back(terminal: Terminal) -> None:
    secret = terminal.good("token", "create", "komandan", "--role", "operator").strip()
    assert len(secret) > 20
    listed = terminal.good("token", "list")
    assert "komandan" in listed
    assert "operator" in listed
    assert secret not in listed
    assert secret not in (terminal.hub.data / "tokens.json").read_text()
    assert "komandan" in terminal.bad("token", "create", "komandan")
    assert "no longer works" in terminal.good("token", "revoke", "komandan")
    terminal.bad("token", "revoke", "komandan")
    terminal.bad("token", "create", "x", "--role", "king")


def test_a_channel_is_tried_and_an_unknown_one_names_the_known(terminal: Terminal) -> None:
    assert "sent through meja" in terminal.apart("notify", "test", "meja").stdout
    assert "there are: meja" in terminal.bad("notify", "test", "mejja")


def test_check_and_doctor_look_at_a_running_hub(terminal: Terminal) -> None:
    assert "5 devices, 1 rules" in terminal.good("check")
    assert f"http://127.0.0.1:{terminal.hub.port}" in terminal.apart("doctor").stdout


def test_without_a_hub_the_verbs_that_need_one_say_so(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    terminal = Terminal(Hub(tmp_path, SETTINGS, {"devices": []}))
    assert "no hub is running" in terminal.bad("silence", "device=x")
    assert "no hub has run" in terminal.bad("alerts")
    assert "no hub has run" in terminal.bad("ack", "x")
    assert "no journal" in terminal.bad("journal", "status")
    assert "no journal" in terminal.bad("journal", "verify")
    assert not terminal.hub.data.exists(), "asking makes nothing"


def test_a_pipe_that_is_closed_early_is_no_traceback(terminal: Terminal) -> None:
    words = f"{sys.executable} -m hub journal export -s {terminal.hub.path} | head -1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert json.loads(done.stdout)["id"] == 1
    assert "Traceback" not in done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The parts of the source tree that a plugin's author works in."""
    for name in ("hub", "collectors", "rules"):
        skip = shutil.ignore_patterns("__pycache__", "testcases")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def new_collector(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "hub", "new-collector", name]
    return subprocess.run(words, capture_output=True, text=True, cwd=folder, timeout=60)


def test_a_new_collector_passes_style_types_and_its_own_tests(copy: Path) -> None:
    name = "rain_gauge_2"
    done = new_collector(copy, name)
    assert done.returncode == 0, done.stderr
    for words in (
        ["ruff", "check", f"collectors/{name}"],
        ["ruff", "format", "--check", f"collectors/{name}"],
        ["mypy", f"collectors/{name}"],
        ["pytest", "-q", f"collectors/{name}", "-p", "no:cacheprovider"],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, cwd=copy, timeout=120
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f'{name} = "collectors.{name}.collector:' in (copy / "pyproject.toml").read_text()


def test_a_new_collector_that_can_not_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mqtt").mkdir()
    for name in ("Weather", "class", "2day", "../x", "mqtt", ""):
        done = CliRunner().invoke(cli, ["new-collector", name, "--folder", str(tmp_path)])
        assert done.exit_code == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mqtt"]


def hub(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub", *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "words",
    [
        ("secrets", "/nonexistent"),
        ("demo", "--data", "/proc/x"),
        ("rules", "test", "/nonexistent/x_test.yaml"),
        ("check", "-s", "/nonexistent/toba-hub.yaml"),
        ("silence", "device=x", "--hours", "nan", "-s", "/nonexistent/toba-hub.yaml"),
    ],
)
def test_what_can_not_be_is_one_line_and_no_traceback(words: tuple[str, ...]) -> None:
    done = hub(*words)
    assert done.returncode not in (0, None)
    lines = [line for line in done.stderr.splitlines() if "problem(s)" not in line]
    assert len(lines) == 1, done.stderr
    assert done.stderr.count("x_test.yaml") <= 1
    assert "Traceback" not in done.stderr


def test_a_terminal_that_knows_only_ascii_gets_escapes(terminal: Terminal) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = hub("silence", "device=aqé", "-s", str(terminal.hub.path), **plain)
    assert "Traceback" not in done.stderr
    assert hub("--help", **plain).returncode == 0


def test_closed_standard_streams_are_no_traceback(terminal: Terminal) -> None:
    for closed in ("0<&-", "1>&-", "2>&-", "1>&- 2>&-"):
        words = f"{sys.executable} -m hub alerts -s {terminal.hub.path} {closed}"
        done = subprocess.run(words, shell=True, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.7, 1.2])
def test_ctrl_c_is_quiet_however_early_it_comes(terminal: Terminal, after_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hub", "journal", "export", "-s", str(terminal.hub.path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert "hub/" not in said, said
    # 0: it was done already; 1: Python itself was still starting, before any line of ours.
    assert process.returncode in (0, 1, 130, -signal.SIGINT)


def test_a_demo_whose_port_is_taken_names_its_own_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = hub("demo", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "set --port" in done.stderr
    assert "web.port" not in done.stderr


def test_a_demo_without_the_store_that_was_asked_for_says_so_before_anything_starts() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = hub("demo", "--store", "influxdb", "--port", str(free_port()), INFLUX_URL=url)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert f"{url} can't be reached: Connection refused (start InfluxDB, " in line


def test_an_unknown_verb_names_the_nearest() -> None:
    assert "check" in hub("chekc").stderr
