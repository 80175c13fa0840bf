"""Agents for the SNMP tests: a fake of the four-method seam, net-snmp's snmpd, recordings."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from collectors.snmp import codec
from collectors.snmp.client import NoAnswer, Query, Reply
from collectors.snmp.codec import Absent, Value
from collectors.snmp.collector import SnmpCollector
from collectors.snmp.config import SnmpConfig
from collectors.snmp.oids import Oid, arcs, oid
from firmware_stubs.router import RouterStub
from hub.api import Reading, Target
from tests.collector_support import FakeHost, RecordingEmit

RECORDINGS = Path(__file__).parents[2] / "shared" / "snmprec"

Spoil = Callable[[str, int, Reply], Reply | None]
"""What an agent does wrong: (method, names or rows asked, honest reply) → reply, None = silence."""


def honest(method: str, asked: int, reply: Reply) -> Reply:
    return reply


class FakeSession:
    """`collectors.snmp.client.Session` over a dictionary; `spoil` makes it misbehave."""

    def __init__(self, values: Mapping[str, Value], spoil: Spoil = honest) -> None:
        self.values = {oid(name): value for name, value in values.items()}
        self.spoil = spoil
        self.asked: list[tuple[str, int]] = []
        """(method, names or rows asked), in order."""

    async def get(self, oids: Sequence[Oid]) -> Reply:
        found = [(name, self.values.get(name, Absent.NO_SUCH_INSTANCE)) for name in oids]
        return self._answer("get", len(oids), found)

    async def send(self, query: Query) -> Reply:
        return await self.get(query.oids)

    async def bulk(self, after: Oid, max_repetitions: int) -> Reply:
        behind = sorted((arcs(name), name) for name in self.values if arcs(name) > arcs(after))
        rows = [(name, self.values[name]) for _, name in behind[:max_repetitions]]
        if len(rows) < max_repetitions:
            rows.append((rows[-1][0] if rows else after, Absent.END_OF_MIB_VIEW))
        return self._answer("bulk", max_repetitions, rows)

    def close(self) -> None:
        pass

    def _answer(self, method: str, asked: int, rows: list[codec.VarBind]) -> Reply:
        self.asked.append((method, asked))
        assert len(self.asked) < 50_000, "the walk doesn't end"
        reply = self.spoil(method, asked, Reply(0, 0, rows, 0.001))
        if reply is None:
            raise NoAnswer("no answer to 3 requests")
        return reply


@contextlib.asynccontextmanager
async def polling(port: int, **section: Any) -> AsyncIterator[Poller]:
    """A started collector with one target on loopback: gives `Poller`."""
    settings = section.pop("settings", {})
    target = Target("r1", "router", "127.0.0.1", {"port": port, **section})
    host = FakeHost([target])
    collector = SnmpCollector(SnmpConfig(**settings), host)
    await collector.start()
    try:
        yield Poller(collector, target, host)
    finally:
        await collector.stop()


@contextlib.asynccontextmanager
async def listening(stub: RouterStub) -> AsyncIterator[int]:
    """A stub that is started, and stopped whatever happens; gives its port."""
    port = await stub.start()
    try:
        yield port
    finally:
        stub.stop()


class Poller:
    """Polls the one target and keeps what came."""

    def __init__(self, collector: SnmpCollector, target: Target, host: FakeHost) -> None:
        self.collector = collector
        self.target = target
        self.host = host
        self.emit = RecordingEmit()

    async def poll(self, *tiers: str) -> list[Reading]:
        """The readings of these polls, in order."""
        before = len(self.emit.items)
        for tier in tiers:
            await self.collector.poll(self.target, tier, self.emit)
        return [item for item in self.emit.items[before:] if isinstance(item, Reading)]

    async def ports(self, *tiers: str) -> dict[str, dict[str, Any]]:
        """Fields by ifName, of these polls together."""
        found: dict[str, dict[str, Any]] = {}
        for reading in await self.poll(*tiers):
            if reading.series.measurement == "interface":
                found.setdefault(reading.series.tag("ifname"), {}).update(reading.fields)
        return found

    async def device(self, *tiers: str) -> dict[str, Any]:
        """Fields of the device's own series, of these polls together."""
        found: dict[str, Any] = {}
        for reading in await self.poll(*tiers):
            if reading.series.measurement == "device":
                found.update(reading.fields)
        return found


# ---------------------------------------------------------------- net-snmp


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def real_snmpd(
    folder: Path,
    port: int = 0,
    conf_lines: str = "",
    command: Sequence[str] = (),
    address: str = "",
) -> Iterator[int]:
    """net-snmp's agent on a free port of loopback, community "public"; gives the port.

    `command` is put before it, such as `ip netns exec NAME`; `address` is one more to listen at.
    """
    program = shutil.which("snmpd", path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin")
    assert program, "snmpd is missing; as root: apt-get install snmpd"
    port = port or free_udp_port()
    conf = folder / "snmpd.conf"
    conf.write_text(
        f"agentaddress udp:127.0.0.1:{port}{f',udp:{address}:{port}' if address else ''}\n"
        f"rocommunity public 127.0.0.1\n"
        f"sysName toba-router\nsysLocation Balige\n{conf_lines}"
    )
    # The persistent folder would otherwise be the machine's own.
    environment = {
        "SNMP_PERSISTENT_DIR": str(folder / "state"),
        "PATH": "/usr/bin:/bin",
        "MIBS": "",
    }
    with (folder / "snmpd.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *command,
                program,
                "-f",
                "-Lo",
                "-C",
                "-c",
                str(conf),
                "-p",
                str(folder / "snmpd.pid"),
            ],
            stdout=log,
            stderr=log,
            env=environment,
        )
        try:
            deadline = time.monotonic() + 20
            while net_snmp("snmpget", port, UPTIME, check=False, command=command) == []:
                assert process.poll() is None, (folder / "snmpd.log").read_text()
                assert time.monotonic() < deadline, "snmpd doesn't answer within 20 s"
            yield port
        finally:
            process.terminate()
            process.wait(10)


UPTIME = "1.3.6.1.2.1.1.3.0"


def net_snmp(
    tool: str, port: int, *names: str, check: bool = True, command: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """What `snmpget`, `snmpwalk` or `snmpbulkwalk` says: (dotted OID, plain value) a line."""
    done = subprocess.run(
        [
            *command,
            tool,
            "-v2c",
            "-cpublic",
            "-t0.5",
            "-r3",
            "-m",
            "",
            "-OnqUte",
            f"127.0.0.1:{port}",
            *names,
        ],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        assert not check, done.stderr.decode()
        return []
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    pairs = [line.split(" ", 1) for line in lines if line.startswith(".1.")]
    return [(pair[0][1:], pair[1].strip('"') if len(pair) > 1 else "") for pair in pairs]


async def net_snmp_of(stub_port: int, tool: str, *names: str) -> list[tuple[str, str]]:
    """Like `net_snmp`, for an agent that lives in this very event loop."""
    return await asyncio.to_thread(net_snmp, tool, stub_port, *names)
