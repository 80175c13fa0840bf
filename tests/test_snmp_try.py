"""`toba-hub snmp try`: a person sees what would be collected and why, before anything is set up."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from collectors.snmp import codec
from collectors.snmp.oids import oid
from firmware_stubs.router import RouterStub
from firmware_stubs.snmp_mib import Mib, read_snmprec
from hub.cli.main import cli
from tests.snmp_support import free_udp_port, real_snmpd

CASES = Path(__file__).parents[1] / "collectors" / "snmp" / "testcases"


@contextmanager
def apart(stub: RouterStub) -> Iterator[int]:
    """A stub in an event loop of its own: the verb has one too. Gives its port."""

    async def end() -> None:
        stub.stop()
        await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(stub.start(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def say(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "240"}).invoke(cli, ["snmp", *words], catch_exceptions=False)


def recorded(case: str) -> RouterStub:
    return RouterStub(read_snmprec(CASES / case / "input.1.snmprec"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no settings file is."""
    monkeypatch.chdir(tmp_path)


def test_people_see_the_profile_and_why_the_values_and_what_is_missing_and_why() -> None:
    with apart(recorded("temperature_below_zero")) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--wait", "0")
    assert done.exit_code == 0
    shown = " ".join(done.stdout.split())
    assert "profile mikrotik (MikroTik RouterOS): sysObjectID 1.3.6.1.4.1.14988.1" in shown
    assert "sysDescr has 'RouterOS'" in shown
    gauge = "1.3.6.1.4.1.14988.1.1.3.100.1.3"
    assert f"hardware.temperature_c temperature -3 °C {gauge}.14 4294967293" in shown
    assert f"hardware.voltage_v voltage 24.3 V {gauge}.13 243" in shown
    assert "device.temperature_c -3 °C made of its parts" in shown
    missing = shown.partition("looked for, not collected")[2]
    assert "device.voltage_v 1.3.6.1.4.1.14988.1.1.3.8.0 noSuchObject" in missing
    assert "optics 1.3.6.1.4.1.14988.1.1.19.1.1.6 the agent has no such rows" in missing


def test_programs_get_one_object_with_units_and_reasons() -> None:
    with apart(recorded("huawei_optics_in_two_units")) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--wait", "0", "--json")
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["profile"]["name"] == "huawei"
    assert said["device"]["temperature_c"] == 44.0
    assert said["hardware"]["GigabitEthernet0/0/0"]["rx_dbm"] == -8.49
    (rx,) = [one for one in said["looked_for"] if one["oid"].endswith(".3.1.8.14")]
    assert (rx["value"], rx["unit"], rx["used"], rx["raw"]) == (-8.49, "dBm", True, "-849")
    (tx,) = [one for one in said["looked_for"] if one["oid"].endswith(".3.1.9.78")]
    assert (tx["value"], tx["used"]) == (None, False)
    assert "stands for none" in tx["why"]


def test_ports_have_rates_after_two_looks() -> None:
    with apart(RouterStub.office("r-dlh", ports=3)) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--wait", "1.1", "--json")
    ports = json.loads(done.stdout)["interface"]
    assert set(ports) == {"ether1", "ether2", "ether3"}
    assert ports["ether1"]["in_bps"] > 0


def test_a_silent_device_is_one_clear_line_and_ends_with_1() -> None:
    port = str(free_udp_port())
    done = say("try", "127.0.0.1", "--port", port, "--timeout", "0.05")
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("toba-hub: ")]
    assert f"127.0.0.1: no SNMP answer from 127.0.0.1 port {port}" in line
    assert "is the community right" in line


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--version", "3"], "--version: Input should be '1' or '2c' (version 3 needs --creden"),
        (["--credential", "opd"], "--credential: no credential 'opd'"),
        (["--profile", "mikrotk"], "--profile: no device profile 'mikrotk' (there are airos, "),
        (["--profiles", "none"], "none: is no folder of device profiles"),
    ],
)
def test_wrong_options_are_named_without_asking_the_device(options: list[str], why: str) -> None:
    done = say("try", "192.0.2.1", *options)
    assert done.exit_code != 0
    assert why in done.stderr


def sections(stderr: str, begin: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith(begin)]


def test_on_a_pipe_each_step_is_a_line_with_its_limit() -> None:
    with apart(RouterStub.office("r-dlh", ports=2)) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--wait", "0.1", "--json")
    assert json.loads(done.stdout)["address"] == "127.0.0.1", "signs of life are no output"
    assert sections(done.stderr, "asking") == [
        "asking 127.0.0.1: tier liveness (at most 15 s)",
        "asking 127.0.0.1: tier inventory (at most 120 s)",
        "asking 127.0.0.1: tier traffic (at most 45 s)",
        "asking 127.0.0.1: tier health (at most 60 s)",
        "asking 127.0.0.1: tier liveness (at most 15 s)",
        "asking 127.0.0.1: the counters once more, for rates (at most 45.1 s)",
    ]


def test_a_device_slower_than_the_hub_waits_ends_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("sites: []\ndevices: []\n")
    (tmp_path / "toba-hub.yaml").write_text(
        "collectors: {snmp: {tiers: {inventory: {timeout_s: 0.2}}}}\n"
    )
    stub = RouterStub.office("r-dlh", ports=48)
    stub.fault("slow", seconds=0.1)
    with apart(stub) as port:
        done = say("try", "127.0.0.1", "--port", str(port))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "asking 127.0.0.1: tier inventory (at most 0.2 s)" in done.stderr.splitlines()
    (line,) = sections(done.stderr, "toba-hub: ")
    assert "127.0.0.1 is slow (it answers one request in 1" in line
    assert "tier inventory is not read after 0.2 s, and the hub waits no longer" in line
    assert "collectors.snmp.tiers: {inventory: {timeout_s: 0.8}}" in line


def test_the_option_is_named_where_it_chose_the_profile() -> None:
    with apart(RouterStub.office("r-dlh", ports=1)) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--wait", "0", "--profile", "generic")
    shown = " ".join(done.stdout.split())
    assert "profile generic" in shown
    assert ": the option --profile says so" in shown


def test_a_user_without_rights_is_one_sentence_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text("sites: []\ndevices: []\n")
    (tmp_path / "toba-hub.yaml").write_text(
        "collectors: {snmp: {credentials: {opd: {version: '3', user: toba}}}}\n"
    )
    (tmp_path / "agent").mkdir()
    rights = "createUser toba SHA-256 sandi-panjang AES rahasia12\nrouser toba priv\n"
    with real_snmpd(tmp_path / "agent", conf_lines=rights) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--credential", "opd")
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = sections(done.stderr, "toba-hub: ")
    assert "127.0.0.1: the agent denies user 'toba' (noAuthNoPriv) these objects" in line
    assert "a higher security level, or has that user no view? mend credential opd" in line


def test_what_a_device_says_is_never_taken_for_formatting() -> None:
    names = {"1.3.6.1.2.1.1.5.0": b"[red]r1[/nonsense]", "1.3.6.1.2.1.1.1.0": b"[/]"}
    stub = RouterStub(Mib({oid(name): codec.tlv(4, text) for name, text in names.items()}))
    with apart(stub) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--wait", "0")
    assert done.exit_code == 0
    assert "[red]r1[/nonsense] at 127.0.0.1: [/]" in done.stdout


def test_a_device_of_the_inventory_is_asked_as_the_inventory_says(tmp_path: Path) -> None:
    profile = (
        "title: Ours\nsource: tried out\ninherits: [generic]\n"
        "values: [{field: device.voltage_v, oid: 1.3.6.1.4.1.14988.1.1.3.100.1.3.13, divide: 10}]\n"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "ours.yaml").write_text(profile)
    stub = recorded("temperature_below_zero")
    stub._community = b"rahasia"
    with apart(stub) as port:
        (tmp_path / "toba-hub.yaml").write_text("collectors: {snmp: {profiles: mine}}\n")
        (tmp_path / "inventory.yaml").write_text(
            "sites: [{id: balige, name: Balige}]\n"
            "devices:\n"
            "  - {id: r-dlh, kind: router, site: balige, address: 127.0.0.1, collect: {snmp: "
            f"{{port: {port}, community: rahasia, profile: ours}}}}}}\n"
        )
        done = say("try", "r-dlh", "--wait", "0", "--json")
    said = json.loads(done.stdout)
    assert (said["profile"]["name"], said["profile"]["why"]) == ("ours", "the inventory says so")
    assert said["device"]["voltage_v"] == 24.3
    assert "rahasia" not in done.stdout


def test_a_real_agent_is_read_with_a_reason_for_its_profile(tmp_path: Path) -> None:
    with real_snmpd(tmp_path) as port:
        done = say("try", "127.0.0.1", "--port", str(port), "--wait", "0", "--json")
    said = json.loads(done.stdout)
    assert said["profile"]["name"] == "net_snmp"
    assert "8072.3.2.10" in said["profile"]["why"]
    assert 0 < said["device"]["mem_pct"] < 100
    assert "lo" in said["interface"]


def test_the_profiles_are_listed_with_what_they_are_chosen_by() -> None:
    shown = say("profiles").stdout
    assert "mikrotik" in shown
    assert "sysObjectID 1.3.6.1.4.1.14988.1 and sysDescr RouterOS" in shown
