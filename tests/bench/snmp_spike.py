"""Which SNMP client? Processor time per value, and what each makes of an agent's faults.

    python -m tests.bench.snmp_spike        # JSON lines; collectors/snmp/README.md has the figures

Ours, gufo-snmp (`get_many`) and pysnmp ask the same agents for the same known instances, in turns
(A B C A B C …), by v2c and by v3 with SHA-1 and AES-128; medians of the rounds. The agents run in
processes of their own, so only the client's time is counted. Nothing here is asserted: it measures.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gufo.snmp import Aes128Key, Sha1Key
from gufo.snmp import User as GufoUser
from gufo.snmp.aio import SnmpSession
from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    ObjectIdentity,
    ObjectType,
    SnmpEngine,
    UdpTransportTarget,
    UsmUserData,
    get_cmd,
    usmAesCfb128Protocol,
    usmHMACSHAAuthProtocol,
)

from collectors.snmp import oids as o
from collectors.snmp.client import Endpoint, NoAnswer, Query, Session, V2cSession
from collectors.snmp.manners import Size
from collectors.snmp.oids import Oid, cell, dotted
from collectors.snmp.usm import User
from collectors.snmp.v3 import V3Session
from collectors.snmp.walk import walk
from firmware_stubs.router import RouterStub
from tests.snmp_support import net_snmp, real_snmpd

PORTS = 48
PAGE = 6
"""Ports in one request: 6 x 7 values and the uptime."""
COLUMNS = (
    o.IF_NAME,
    o.IF_OPER_STATUS,
    o.IF_ADMIN_STATUS,
    o.IF_HC_IN_OCTETS,
    o.IF_HC_OUT_OCTETS,
    o.IF_HIGH_SPEED,
    o.IF_DISCONTINUITY,
)
ROUNDS = 15
Ask = Callable[[], Awaitable[int]]
"""Polls the device once; gives the number of values that came."""


# ---------------------------------------------------------------- agents


async def serve(haste: float) -> None:
    """The stub in this process: one line of JSON commands each on stdin, its port on stdout."""
    stub = RouterStub.office("spike", ports=PORTS, now=lambda: time.monotonic() * haste)
    print(await stub.start(), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        stub.clear()
        if command:
            stub.fault(**command)
        print("ok", flush=True)
    stub.stop()


class StubProcess:
    """The stub in a process of its own; its time runs `haste` times as fast as ours."""

    def __init__(self, haste: float = 1.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.snmp_spike", "serve", str(haste)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def fault(self, **command: object) -> None:
        """This fault and no other; none at all without words."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        assert self._line() == "ok\n"

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


# ---------------------------------------------------------------- clients


def pages(indexes: list[int]) -> list[list[Oid]]:
    """The instances of a poll, uptime first in each request."""
    groups = [indexes[at : at + PAGE] for at in range(0, len(indexes), PAGE)]
    return [[o.SYS_UPTIME, *(cell(c, i) for i in group for c in COLUMNS)] for group in groups]


def ours(session: Session, indexes: list[int]) -> Ask:
    queries = [Query(page) for page in pages(indexes)]

    async def poll() -> int:
        return sum([len((await session.send(query)).varbinds) for query in queries])

    return poll


def gufo(session: SnmpSession, indexes: list[int]) -> Ask:
    asked = [[dotted(name) for name in page] for page in pages(indexes)]

    async def poll() -> int:
        return sum([len(await session.get_many(page)) for page in asked])

    return poll


def pysnmp(
    engine: SnmpEngine,
    target: UdpTransportTarget,
    who: CommunityData | UsmUserData,
    indexes: list[int],
) -> Ask:
    asked = [[dotted(name) for name in page] for page in pages(indexes)]

    async def poll() -> int:
        values = 0
        for page in asked:
            names = [ObjectType(ObjectIdentity(name)) for name in page]
            failed, _, _, found = await get_cmd(
                engine, who, target, ContextData(), *names, lookupMib=False
            )
            assert not failed, failed
            values += len(found)
        return values

    return poll


# ---------------------------------------------------------------- what is measured


async def microseconds(poll: Ask, polls: int) -> float:
    """Processor time of this process per value."""
    began = time.process_time()
    values = 0
    for _ in range(polls):
        values += await poll()
    return (time.process_time() - began) / values * 1e6


USER, PASSWORD = "spike", "a-password-of-the-bench"
AGENTS_USER = f"createUser {USER} SHA {PASSWORD} AES {PASSWORD}\nrouser {USER} priv\n"


async def speed(agent: str, port: int, indexes: list[int], version: str = "2c") -> None:
    endpoint = await Endpoint.open()
    address, secret = ("127.0.0.1", port), PASSWORD.encode()
    engine = SnmpEngine()
    target = await UdpTransportTarget.create(address)
    if version == "3":
        ours_ = V3Session(endpoint, address, User(USER, "sha1", secret, "aes128", secret), 2.0, 2)
        who = UsmUserData(USER, PASSWORD, PASSWORD, usmHMACSHAAuthProtocol, usmAesCfb128Protocol)
        user = GufoUser(USER, auth_key=Sha1Key(secret), priv_key=Aes128Key(secret))
        gufo_ = SnmpSession("127.0.0.1", port=port, user=user)
    else:
        ours_ = V2cSession(endpoint, address, b"public", 2.0, 2)
        who = CommunityData("public", mpModel=1)
        gufo_ = SnmpSession("127.0.0.1", port=port, community="public")
    async with gufo_:
        contestants = {
            "ours": (ours(ours_, indexes), 40),
            "gufo-snmp": (gufo(gufo_, indexes), 40),
            "pysnmp": (pysnmp(engine, target, who, indexes), 2),
        }
        found: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(ROUNDS):
            for name, (poll, polls) in contestants.items():
                found[name].append(await microseconds(poll, polls))
    for name, rounds in found.items():
        line = {"client": name, "version": version, "agent": agent, "ports": len(indexes)}
        line |= {"cpu_us_per_value": round(statistics.median(rounds), 2)}
        print(json.dumps(line | {"best": round(min(rounds), 2)}))
    endpoint.close()
    engine.close_dispatcher()


FAULTS: dict[str, dict[str, object]] = {
    "none": {},
    "tooBig over 5 rows": {"name": "too_big", "names": 5},
    "genErr at row 21": {"name": "gen_err", "oid": f"{dotted(o.IF_NAME)}.21"},
    "empty reply": {"name": "empty"},
    "short reply": {"name": "short", "rows": 3},
    "identifier not increasing": {"name": "stuck"},
}
ENOUGH = 2000
"""Rows after which a walk of 48 ports is called endless."""


async def gufo_walk(port: int) -> str:
    rows = 0
    try:
        async with SnmpSession("127.0.0.1", port=port, community="public", timeout=1.0) as session:
            async for _ in session.getbulk(dotted(o.IF_NAME), max_repetitions=20):
                rows += 1
                if rows >= ENOUGH:
                    return "endless"
    except Exception as error:
        return f"{rows} rows, {type(error).__name__}"
    return f"{rows} rows, ended as if complete"


async def our_walk(port: int) -> str:
    endpoint = await Endpoint.open()
    session = V2cSession(endpoint, ("127.0.0.1", port), b"public", 1.0, 0)
    try:
        found = await walk(session, o.IF_NAME, Size(20, 40))
    except NoAnswer:
        return "no answer"
    finally:
        endpoint.close()
    return f"{len(found.rows)} rows, {'complete' if found.complete else found.reason}"


@contextmanager
def _stub() -> Iterator[StubProcess]:
    stub = StubProcess()
    try:
        yield stub
    finally:
        stub.close()


async def main() -> None:
    with _stub() as stub:
        await speed("stub", stub.port, list(range(1, PORTS + 1)))
        for fault, command in FAULTS.items():
            stub.fault(**command)
            line = {"fault": fault, "gufo-snmp": await gufo_walk(stub.port)}
            print(json.dumps(line | {"ours": await our_walk(stub.port)}))
    with (
        tempfile.TemporaryDirectory() as folder,
        real_snmpd(Path(folder), conf_lines=AGENTS_USER) as port,
    ):
        root = dotted(o.IF_NAME) + "."
        names = net_snmp("snmpwalk", port, root.rstrip("."))
        indexes = [int(name.removeprefix(root)) for name, _ in names]
        for version in ("2c", "3"):
            await speed("snmpd", port, indexes, version)


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[2])) if sys.argv[1:2] == ["serve"] else main())
