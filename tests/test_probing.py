"""Questions of the rules become polls, and polls verdicts in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from hub import probing
from hub.api import TryAgain
from hub.committer import Committer
from hub.health import Health
from hub.journal import Journal, Kind, Reader
from hub.probing import Inquirer, Prober
from hub.records import unpack_verdict
from tests.rules_support import START


class Runner:
    """Says of some devices whether they live, when it is let."""

    def __init__(self, **says: bool | None) -> None:
        self.says = says
        self.asked: list[str] = []
        self.may = asyncio.Event()
        self.may.set()

    async def probe(self, device: str) -> bool | None:
        self.asked.append(device)
        await self.may.wait()
        return self.says.get(device)


@asynccontextmanager
async def prober(folder: Path, *runners: Runner) -> AsyncIterator[Prober]:
    journal = Journal(folder / "journal", now_ns=START)
    committer = Committer(journal, Health())
    commit = asyncio.create_task(committer.run())
    made = Prober(runners, committer, lambda: START)
    try:
        yield made
        async with asyncio.timeout(5):
            while made._running:
                await asyncio.sleep(0.001)
    finally:
        await made.close()
        committer.close()
        await commit
        journal.close()


def written(folder: Path) -> list[tuple[str, bool | None]]:
    reader = Reader(folder / "journal", 0)
    records = [record for batch in iter(reader.read, []) for record in batch]
    reader.close()
    assert {record.kind for record in records} <= {Kind.VERDICT}
    return sorted(unpack_verdict(record.payload) for record in records)


async def test_one_collector_that_reaches_it_is_enough(tmp_path: Path) -> None:
    snmp = Runner(both=False, snmp_alone=True, dead=False)
    icmp = Runner(both=True, dead=False)
    async with prober(tmp_path, snmp, icmp) as asked:
        asked.ask(["both", "snmp_alone", "dead", "strange"])
    assert written(tmp_path) == [
        ("both", True), ("dead", False), ("snmp_alone", True), ("strange", None)
    ]  # fmt: skip


async def test_many_questions_about_one_device_are_one_poll(tmp_path: Path) -> None:
    snmp = Runner(r1=False)
    snmp.may.clear()
    async with prober(tmp_path, snmp) as asked:
        asked.ask(["r1"])
        await asyncio.sleep(0)
        asked.ask(["r1", "r1"])
        snmp.may.set()
    assert snmp.asked == ["r1"]
    assert written(tmp_path) == [("r1", False)]


async def test_a_collector_that_never_answers_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "LONGEST_S", 0.05)
    hung, snmp = Runner(), Runner(r1=False)
    hung.may.clear()
    async with prober(tmp_path, hung, snmp) as asked:
        asked.ask(["r1"])
    assert written(tmp_path) == [("r1", False)]


class Wire:
    """The link to ingest, cut as often as a test says."""

    def __init__(self) -> None:
        self.cut = 0
        self.taken: list[Sequence[str]] = []
        self.tried = asyncio.Event()

    async def probe(self, devices: Sequence[str]) -> None:
        self.tried.set()
        if self.cut:
            self.cut -= 1
            raise TryAgain("ingest is away")
        self.taken.append(devices)


async def test_each_question_is_passed_on_once_while_it_is_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "AGAIN_S", 0.0)
    wire, questions = Wire(), {"r1": 100}
    inquirer = Inquirer(wire, lambda: questions)
    task = asyncio.create_task(inquirer.run())

    async def look() -> list[Sequence[str]]:
        inquirer.look()
        for _ in range(20):
            await asyncio.sleep(0)
        taken, wire.taken = wire.taken, []
        return taken

    wire.cut = 2
    assert await look() == [["r1"]], "again until ingest took it"
    questions["r2"] = 110
    assert await look() == [["r2"]]
    assert await look() == []
    questions.clear()
    assert await look() == []
    questions["r1"] = 200
    assert await look() == [["r1"]], "another question about the same device"
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
