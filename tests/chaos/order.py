"""That the sync has returned before the PUBACK leaves: what the kernel was asked, by strace.

`kill -9` keeps what was written in the kernel's memory, so a hub without any fsync passes every
other test. Here each PUBACK's packet id is looked up in what was written to the journal: a sync of
that file must have begun after the write and have come back before the PUBACK is sent.

A message that the journal holds from a process before is not written again. It, too, may be
acknowledged, and the mark may promise it to the readers, only after this process has synced the
file: the one before may have died between write and sync.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hub.journal import Kind
from hub.journal.record import RECORD_HEADER, stretches
from hub.records import redeliveries_in
from tests.chaos.drivers import KILLED, Life
from tests.chaos.publisher import Publisher
from tests.chaos.run import Plan, Run, started
from tests.hub_support import wait_for

CALLS = "fdatasync,fsync,sendto,sendmsg,write,writev,pwrite64"
WHOLE = "before_fsync:20:whole"
"""Die with the batch written, none of it synced and all of it there."""


class Call(NamedTuple):
    """A system call that begins, or that returns."""

    thread: int
    time: str
    name: str
    handle: str
    """The file or socket, as strace names it."""
    data: bytes
    returned: int | None
    """None where it begins."""


@dataclass
class Order:
    """What was found in a trace. Pure: feed it the calls in order."""

    port: int
    """The broker's."""
    resumed: bool = False
    """Messages may have been written by a process before."""
    acknowledged: int = 0
    syncs: int = 0
    again: int = 0
    """Acknowledged and not written, since a process before has."""
    problems: list[str] = field(default_factory=list)
    _written: dict[str, set[int]] = field(default_factory=dict)
    """Packet ids in a segment that no sync has begun to cover, by its handle."""
    _syncing: dict[int, set[int]] = field(default_factory=dict)
    """What the sync that a thread waits for covers."""
    _safe: set[int] = field(default_factory=set)
    _known: set[int] = field(default_factory=set)
    """Every packet id that was written at all."""

    @property
    def good(self) -> bool:
        return not self.problems

    def line(self, what: str) -> str:
        """The JSON line."""
        numbers = {"acknowledged": self.acknowledged, "syncs": self.syncs, "again": self.again}
        shown = {"problems": len(self.problems), "first": self.problems[:3]}
        return json.dumps({"chaos": what, "good": self.good, **numbers, **shown})

    def take(self, call: Call) -> None:
        if ".seg" in call.handle:
            if call.name == "pwrite64" and call.returned is not None:
                ids = packet_ids(call.data)
                self._written.setdefault(call.handle, set()).update(ids)
                self._known |= ids
                # A packet id is free again once it was acknowledged: the new message counts.
                self._safe -= ids
            elif call.name in ("fsync", "fdatasync"):
                self._sync(call)
        elif call.handle.endswith("/mark"):
            if self.resumed and call.returned is None and not self.syncs:
                self.problems.append(
                    f"{call.time}: the mark promises what the process before had not synced"
                )
        elif f":{self.port}]" in call.handle and call.returned is None:
            for packet_id in pubacks(call.data):
                self._puback(packet_id, call.time)

    def _sync(self, call: Call) -> None:
        if call.returned is None:
            self._syncing[call.thread] = self._written.pop(call.handle, set())
        elif call.returned == 0:
            self.syncs += 1
            self._safe |= self._syncing.pop(call.thread, set())

    def _puback(self, packet_id: int, time: str) -> None:
        self.acknowledged += 1
        if packet_id in self._safe:
            self._safe.discard(packet_id)
        elif packet_id in self._known:
            self.problems.append(f"{time}: packet {packet_id} acknowledged before its sync")
        elif not self.resumed:
            self.problems.append(f"{time}: packet {packet_id} acknowledged before it was written")
        else:
            self.again += 1
            if not self.syncs:
                self.problems.append(
                    f"{time}: packet {packet_id}, written by the process before, acknowledged "
                    "though this one has not synced it"
                )


def packet_ids(data: bytes) -> set[int]:
    """Of the messages in the records of one write."""
    found: set[int] = set()
    for part in stretches(data):
        if part.head is not None and part.head.kind == Kind.READINGS and part.good(data):
            payload = data[part.start + RECORD_HEADER : part.end]
            found |= {again.packet_id for again in redeliveries_in(payload)}
    return found


def pubacks(data: bytes) -> Iterator[int]:
    """Packet ids of the PUBACKs among the packets of one write (all shorter than 128 bytes)."""
    while len(data) >= 2:
        length = 2 + data[1]
        if data[0] == 0x40:
            yield int.from_bytes(data[2:4], "big")
        data = data[length:]


_CALL = re.compile(r"(?P<thread>\d+) +(?P<time>[\d.]+) (?P<name>\w+)\((?P<rest>.*)", re.DOTALL)
_RESUMED = re.compile(
    r"(?P<thread>\d+) +(?P<time>[\d.]+) <\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)"
)
_RESULT = re.compile(r".*\) += (?P<result>-?\d+)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_HANDLE = re.compile(r"\d+<(?P<what>.*?)>[,) ]")


def calls(lines: Iterable[str]) -> Iterator[Call]:
    """Begin and return of each call in the output of `strace -f -ttt -yy -xx`."""
    waiting: dict[int, Call] = {}
    for line in lines:
        if match := _RESUMED.match(line):
            begun = waiting.pop(int(match["thread"]), None)
            result = _RESULT.match(match["rest"])
            if begun is not None and result:
                yield begun._replace(time=match["time"], returned=int(result["result"]))
        elif match := _CALL.match(line):
            rest = match["rest"]
            handle = _HANDLE.match(rest)
            begun = Call(
                int(match["thread"]),
                match["time"],
                match["name"],
                _plain(handle["what"]) if handle else "",
                b"".join(_bytes(text) for text in _TEXT.findall(rest)),
                None,
            )
            yield begun
            if "<unfinished ...>" in rest:
                waiting[begun.thread] = begun
            elif result := _RESULT.match(rest):
                yield begun._replace(returned=int(result["result"]))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _plain(text: str) -> str:
    """Names are escaped like data, or not, depending on strace's version."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text)


def run(folder: Path, mutant: str = "", *, messages: int = 600) -> Order:
    """Trace a hub under load."""
    with started(folder, Plan(rate=300, mutant=mutant)) as parts:
        parts.witness.start()
        with traced(parts) as trace:
            wait_for("the subscription", parts.subscribed, 60)
            publisher = Publisher(parts.broker.port, parts.plan.rate)
            publisher.start()
            wait_for("the load", lambda: publisher.sent >= messages, 60)
            publisher.finish()
            wait_for("all of it", lambda: parts.witness.numbers >= publisher.sent, 60)
        parts.witness.finish()
        return judge(trace, Order(parts.broker.port))


def run_resumed(folder: Path, mutant: str = "") -> Order:
    """Trace a hub that begins where another died between write and sync."""
    with started(folder, Plan(rate=600, mutant=mutant)) as parts:
        parts.ingest.begin()
        wait_for("the subscription", parts.subscribed, 60)
        parts.ingest.abort()
        parts.witness.start()
        life = Life(parts.ingest.orders(WHOLE), parts.log("ingest"), [])
        publisher = Publisher(parts.broker.port, parts.plan.rate)
        life.start()
        publisher.start()
        code = life.wait(60)
        assert code == KILLED, f"the first process ended with {code}"
        life.close()
        old = publisher.sent
        with traced(parts) as trace:
            # New messages come after the old ones in the same connection. Without them all would be
            # there as soon as the journal is opened, and no PUBACK need have left.
            wait_for("new ones", lambda: parts.witness.numbers >= old + 100, 60)
            publisher.finish()
            wait_for("all of it", lambda: parts.witness.numbers >= publisher.sent, 60)
        parts.witness.finish()
        order = judge(trace, Order(parts.broker.port, resumed=True))
        if not order.again:
            order.problems.append("no message came that the process before had written")
        return order


@contextmanager
def traced(parts: Run) -> Iterator[Path]:
    """The ingest process under strace; ended, with the trace complete, afterwards."""
    if shutil.which("strace") is None:
        raise AssertionError("strace is missing; as root: apt-get install strace")
    trace = parts.chaos / "trace"
    command = ["strace", "-f", "-ttt", "-yy", "-xx", "-s", "8000000", "-e", f"trace={CALLS}"]
    child = [sys.executable, "-m", "tests.chaos.child", "ingest", str(parts.hub.path)]
    options = ["--chaos", str(parts.chaos), "--mutant", parts.plan.mutant]
    with parts.log("ingest").open("ab") as log:
        process = subprocess.Popen(
            [*command, "-o", str(trace), *child, *options],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    assert process.stdin is not None
    try:
        yield trace
    finally:
        process.stdin.close()  # it ends as when its supervisor is gone
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def judge(trace: Path, order: Order) -> Order:
    with trace.open(encoding="ascii", errors="replace") as lines:
        for call in calls(lines):
            order.take(call)
    if not order.acknowledged:
        order.problems.append("no PUBACK was seen: nothing was proved")
    return order
