"""`toba-hub discover` as a person types it, against real agents on loopback addresses."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from collectors.snmp.config import SnmpConfig
from collectors.snmp.guess import kind_of
from collectors.snmp.search import search
from firmware_stubs.router import RouterStub
from hub import inventory_file, registry
from hub.api import Found, Search
from hub.cli.main import cli
from hub.inventory import Inventory
from tests.collector_support import until
from tests.snmp_support import free_udp_port, real_snmpd

ROOT = str(Path(__file__).parents[1])
QUICK = ("--timeout", "0.3", "--tries", "1", "--per-second", "2000")
BLOCK = "127.0.9.0/28"


class Network:
    """Agents at 127.0.9.x, all at one port, and a folder to type in."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.stubs: dict[int, RouterStub] = {}

    async def start(self, tail: int, name: str, **words: Any) -> RouterStub:
        stub = self.stubs[tail] = RouterStub.office(name, **words)
        await stub.start(f"127.0.9.{tail}", self.port)
        return stub

    async def stop(self, *tails: int) -> None:
        for tail in tails or list(self.stubs):
            self.stubs.pop(tail).stop()
        await asyncio.sleep(0)  # until the loop has closed their sockets

    async def type(self, *words: str, code: int = 0) -> str:
        """What `toba-hub discover …` says; on stdout alone when all is well."""
        done = await asyncio.to_thread(self._typed, words)
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.output

    def _typed(self, words: tuple[str, ...]) -> Result:
        """In this process, where the agents' event loop goes on: each new one costs a second."""
        runner = CliRunner(env={"COLUMNS": "200"})
        return runner.invoke(
            cli, ["discover", *words, "--port", str(self.port)], catch_exceptions=False
        )

    async def begin(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hub", "discover", *words, "--port", str(self.port),
            cwd=self.folder,
            env={"PYTHONPATH": ROOT, "COLUMNS": "200", "PATH": "/usr/bin"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    def read(self, name: str = "found.yaml") -> Inventory:
        """The file through the loader of `check`; the inventory beside it, where there is one."""
        files = [self.folder / name, self.folder / "inventory.yaml"]
        return inventory_file.read([f for f in files if f.exists()], registry.find())


@pytest.fixture
async def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    monkeypatch.chdir(tmp_path)
    made = Network(tmp_path, free_udp_port())
    try:
        yield made
    finally:
        await made.stop()


SETTINGS = {"inventory": ["inventory.yaml"], "collectors": {}, "rules": {"library": False}}


def configure(network: Network, **snmp: Any) -> None:
    text = yaml.safe_dump({**SETTINGS, "collectors": {"snmp": snmp}})
    (network.folder / "toba-hub.yaml").write_text(text, encoding="utf-8")
    (network.folder / "inventory.yaml").write_text(
        "sites: [{id: balige, name: Balige}]\n"
        "opds: [{id: dlh, name: DLH, site: balige}]\n"
        "devices:\n"
        "  - {id: router-dlh, kind: router, site: balige, address: 127.0.9.1,\n"
        "     collect: {snmp: {}}}\n"
    )


async def test_the_first_search_writes_an_inventory_that_check_takes(network: Network) -> None:
    await network.start(3, "r-dlh", location="Balige, lantai 2")
    await network.start(5, "r-dinkes")
    said = await network.type(BLOCK, *QUICK)
    assert "14 addresses asked; 2 new, 0 as before" in said
    found = network.read()
    assert [(d.id, d.address, d.kind) for d in found.devices.values()] == [
        ("r-dlh", "127.0.9.3", "router"),
        ("r-dinkes", "127.0.9.5", "router"),
    ]
    text = (network.folder / "found.yaml").read_text()
    assert "# TO FILL; it says it stands in: Balige, lantai 2" in text
    assert (network.folder / "found.yaml").stat().st_mode & 0o077 == 0


async def test_a_second_search_overwrites_nothing_and_tells_what_changed(network: Network) -> None:
    for tail, name in ((1, "a"), (2, "b"), (3, "c"), (4, "d")):
        await network.start(tail, name)
    await network.type(BLOCK, *QUICK)
    before = (network.folder / "found.yaml").read_bytes()
    await network.stop(2, 3, 4)
    await network.start(4, "d-baru")
    await network.start(9, "c")
    await network.start(10, "e")
    said = json.loads(await network.type(BLOCK, *QUICK, "--json"))
    assert (network.folder / "found.yaml").read_bytes() == before
    assert said["same"] == ["a"]
    assert [new["id"] for new in said["new"]] == ["e"]
    assert said["gone"] == [{"id": "b", "address": "127.0.9.2"}]
    assert said["moved"] == [{"id": "c", "was": "127.0.9.3", "now": "127.0.9.9"}]
    assert said["renamed"] == [{"id": "d", "was": "d", "now": "d-baru"}]
    shown = await network.type(BLOCK, *QUICK)
    for word in ("new", "gone", "moved", "name"):
        assert re.search(rf"^{word} ", shown, re.MULTILINE), shown
    assert "left alone; --append adds what is new" in shown


async def test_append_adds_what_is_new_and_keeps_what_people_wrote(network: Network) -> None:
    await network.start(1, "a")
    await network.type(BLOCK, *QUICK)
    file = network.folder / "found.yaml"
    file.write_text(file.read_text().replace("name: a\n", "name: Router Dinas  # ganti\n"))
    await network.start(2, "b")
    await network.type(BLOCK, *QUICK, "--append")
    assert "name: Router Dinas  # ganti\n" in file.read_text()
    assert list(network.read().devices) == ["a", "b"]
    assert "0 new, 2 as before" in await network.type(BLOCK, *QUICK, "--append")


async def test_append_refuses_a_file_that_does_not_end_with_its_devices(network: Network) -> None:
    await network.start(1, "a")
    await network.type(BLOCK, *QUICK)
    file = network.folder / "found.yaml"
    file.write_text(file.read_text() + "opds: []\n")
    before = file.read_bytes()
    await network.start(2, "b")
    said = await network.type(BLOCK, *QUICK, "--append", code=1)
    assert "found.yaml does not end with its list of devices" in said
    assert file.read_bytes() == before


async def test_what_the_inventory_has_is_left_out(network: Network) -> None:
    configure(network)
    await network.start(1, "r1")
    await network.start(2, "r2")
    said = await network.type(BLOCK, *QUICK, "--site", "balige", "--opd", "dlh")
    assert "1 new, 1 as before" in said
    found = network.read()
    assert [(d.id, d.site, d.opd) for d in found.devices.values()] == [
        ("r2", "balige", "dlh"),
        ("router-dlh", "balige", ""),
    ]
    assert "to-fill" not in (network.folder / "found.yaml").read_text()


async def test_a_site_that_the_inventory_does_not_have_is_refused_before_anybody_is_asked(
    network: Network,
) -> None:
    configure(network)
    stub = await network.start(1, "r1")
    said = await network.type(BLOCK, *QUICK, "--site", "porsea", code=1)
    assert "no such site; it has: balige" in said
    assert stub.requests == 0


async def test_credentials_are_tried_in_order_and_named_in_the_file(network: Network) -> None:
    configure(
        network,
        credentials={"lama": {"community": "lama-sekali"}, "opd": {"community": "rahasia-opd"}},
    )
    await network.start(2, "r2", community="rahasia-opd")
    await network.start(3, "r3", community="lama-sekali")
    await network.start(4, "r4", community="tamu")
    said = json.loads(await network.type(BLOCK, *QUICK, "-c", "tamu", "--json", "-o", "new.yaml"))
    sections = {new["id"]: new["collect"]["snmp"] for new in said["new"]}
    port = network.port
    assert sections == {
        "r2": {"credential": "opd", "port": port},
        "r3": {"credential": "lama", "port": port},
        "r4": {"community": "**********", "port": port},
    }
    text = (network.folder / "new.yaml").read_text()
    assert "rahasia-opd" not in text
    assert "lama-sekali" not in text
    assert network.read("new.yaml").devices["r4"].collect["snmp"]["community"] == "tamu"


async def test_real_agents_are_found_by_v2c_and_by_v3_and_one_that_refuses_is_told(
    network: Network, tmp_path: Path
) -> None:
    user = {"version": "3", "user": "toba", "auth": "sha256", "auth_password": "sandi-panjang"}
    configure(
        network, credentials={"opd-v3": {**user, "priv": "aes", "priv_password": "rahasia12"}}
    )
    lines = "createUser toba SHA-256 sandi-panjang AES rahasia12\nrouser toba priv\n"
    (tmp_path / "snmpd").mkdir()
    with real_snmpd(tmp_path / "snmpd", network.port, lines):
        said = json.loads(await network.type("127.0.0.1", "--json"))
        (new,) = said["new"]
        assert (new["name"], new["place"]) == ("toba-router", "Balige")
        assert new["collect"]["snmp"]["credential"] == "opd-v3"
        assert new["model"].startswith("Linux ")
        said = json.loads(await network.type("127.0.0.1", "--json", "-c", "public"))
        assert said["new"][0]["collect"]["snmp"] == {"port": network.port}
        configure(network, credentials={"opd-v3": {**user, "user": "siapa"}})
        said = json.loads(await network.type("127.0.0.1", "--json"))
        assert said["new"] == []
        assert said["refused"][0]["address"] == "127.0.0.1"
        assert "knows no user 'siapa'" in said["refused"][0]["why"]
        configure(network, credentials={"opd-v3": user})
        said = json.loads(await network.type("127.0.0.1", "--json"))
        assert said["new"] == [], "what shows nothing is no device to keep"
        assert "denies user 'toba' (authNoPriv) its objects" in said["refused"][0]["why"]


async def test_ctrl_c_keeps_what_was_found_so_far(network: Network) -> None:
    await network.start(1, "r1")
    silent = await network.start(2, "r2")
    silent.fault("dead")
    process = await network.begin(
        "127.0.9.0/24", "--at-once", "1", "--tries", "1", "--timeout", "60"
    )
    await until(lambda: silent.requests, "the second address to be asked")
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130, err.decode()
    assert "what was found is kept" in out.decode()
    assert "1 new" in out.decode()
    assert "Traceback" not in err.decode()
    assert list(network.read().devices) == ["r1"]


async def test_a_search_of_too_many_addresses_says_what_to_do(network: Network) -> None:
    said = await network.type("10.0.0.0/8", code=1)
    assert "add --yes" in said
    assert not (network.folder / "found.yaml").exists()


async def test_help_teaches(network: Network) -> None:
    said = await network.type("--help")
    for word in ("CIDR", "--community", "--site", "--append", "--per-second", "found.yaml"):
        assert word in said


# ---------------------------------------------------------------- the collector's half


async def answers(wanted: Search) -> dict[str, Found | None]:
    async with aclosing(search(SnmpConfig(), wanted)) as stream:
        return {address: found async for address, found in stream}


async def test_packets_are_spread_over_time_however_many_workers_there_are(
    network: Network,
) -> None:
    addresses = [f"127.0.9.{n}" for n in range(100, 120)]
    wanted = Search(addresses, 20, 40.0, timeout_s=0.05, tries=1, port=network.port)
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert set(await answers(wanted)) == set(addresses)
    assert loop.time() - began >= 19 / 40


async def test_an_agent_with_no_more_than_a_system_group_is_found(network: Network) -> None:
    stub = await network.start(1, "bare")
    stub.fault("too_big", names=5)  # it can't answer how many addresses it has
    found = (await answers(Search(["127.0.9.1"], 1, 1000.0, port=network.port)))["127.0.9.1"]
    assert found is not None
    assert (found.name, found.addresses) == ("bare", frozenset())


@pytest.mark.parametrize("fault", ["cut", "wrong_id", "other_port", "dead"])
async def test_an_answer_that_can_not_be_trusted_is_no_device(network: Network, fault: str) -> None:
    stub = await network.start(1, "liar")
    stub.fault(fault)
    wanted = Search(["127.0.9.1"], 1, 1000.0, timeout_s=0.2, tries=2, port=network.port)
    assert await answers(wanted) == {"127.0.9.1": None}


@pytest.mark.parametrize(
    ("object_id", "descr", "services", "kind"),
    [
        ("1.3.6.1.4.1.14988.1", "RouterOS RB5009UG+S+", 78, "router"),
        ("1.3.6.1.4.1.14988.1", "RouterOS CRS326-24G-2S+", 78, "switch"),
        ("1.3.6.1.4.1.14988.1", "RouterOS cAP ac", 78, "ap"),
        ("1.3.6.1.4.1.41112.1.6", "UAP-AC-Lite 6.5.28", 0, "ap"),
        ("1.3.6.1.4.1.41112.1.5", "EdgeOS v2.0.9", 78, "router"),
        ("1.3.6.1.4.1.9.1.1208", "Cisco IOS Software, C2960X Software, Catalyst L2", 6, "switch"),
        ("1.3.6.1.4.1.9.1.576", "Cisco IOS Software, 2801 Software", 78, "router"),
        ("1.3.6.1.4.1.318.1.3.27", "APC Web/SNMP Management Card", 72, "ups"),
        ("1.3.6.1.4.1.39165.1.1", "", 0, "camera"),
        ("1.3.6.1.4.1.8072.3.2.10", "Linux nas 6.1.0 x86_64", 72, "server"),
        ("1.3.6.1.4.1.8072.3.2.10", "Linux OpenWrt 5.15", 72, "router"),
        ("1.3.6.1.4.1.99999.1", "Box", 2, "switch"),
        ("1.3.6.1.4.1.99999.1", "Box", 6, "router"),
        ("", "", 0, "other"),
    ],
)
def test_kinds_are_guessed(object_id: str, descr: str, services: int, kind: str) -> None:
    assert kind_of(object_id, descr, services) == kind


def test_only_collectors_that_can_search_are_asked() -> None:
    assert [name for name, plugin in registry.find().items() if plugin.searches] == ["snmp"]
