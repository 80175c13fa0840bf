"""The hub as a collector sees it: a host that remembers, an emit whose receipts can be held."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub import clock
from hub.api import Content, Event, Item, Message, Proposal, Reading, Redelivery, Target, TryAgain


def as_line(reading: Reading) -> str:
    """Line protocol up to the fields, which stand in alphabetical order."""
    fields = ",".join(
        f"{name}={f'{value}i' if isinstance(value, int) else f'{value:.10g}'}"
        for name, value in sorted(reading.fields.items())
    )
    return f"{reading.series.key} {fields}"


def read_lines(path: Path) -> list[str]:
    """What a test case expects; nothing where it has no such file."""
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


@dataclass
class MemoryLog:
    """Every line that was logged, as (level, event, values)."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def debug(self, event: str, **values: Any) -> None:
        self.lines.append(("debug", event, values))

    def info(self, event: str, **values: Any) -> None:
        self.lines.append(("info", event, values))

    def warning(self, event: str, **values: Any) -> None:
        self.lines.append(("warning", event, values))

    def error(self, event: str, **values: Any) -> None:
        self.lines.append(("error", event, values))

    def events(self, level: str = "") -> list[str]:
        return [event for at, event, _ in self.lines if level in ("", at)]


@dataclass
class FakeHost:
    """`hub.api.Host`; the clock is real unless `time_ns` is set."""

    devices: Sequence[Target] = ()
    time_ns: int | None = None
    log: MemoryLog = field(default_factory=MemoryLog)
    counts: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    listed: Mapping[str, str] | None = None
    """What `addresses` says; None: the addresses of `devices`."""
    told: dict[str, dict[str, int]] = field(default_factory=dict)
    """What a part was told to be, last."""
    journal: dict[Redelivery, FakeReceipt] = field(default_factory=dict)
    """What `taken` knows; `RecordingEmit(host)` fills it."""
    kept: Mapping[str, Any] = field(default_factory=dict)
    """What was kept last."""
    full: bool = False
    """Nothing can be kept."""

    def now_ns(self) -> int:
        return clock.now_ns() if self.time_ns is None else self.time_ns

    def targets(self) -> Sequence[Target]:
        return self.devices

    def addresses(self) -> Mapping[str, str]:
        known = {target.address: target.id for target in self.devices if target.address}
        return known if self.listed is None else self.listed

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] += number

    def tell(self, part: str, numbers: Mapping[str, int]) -> None:
        self.told[part] = dict(numbers)

    def refuse(self, reason: str, detail: str = "", device: str = "") -> None:
        self.refused.append((reason, detail, device))

    def taken(self, redelivery: Redelivery) -> FakeReceipt | None:
        return self.journal.get(redelivery)

    def recall(self) -> Mapping[str, Any]:
        return self.kept

    async def keep(self, facts: Mapping[str, Any]) -> None:
        if self.full:
            raise TryAgain("the disk is full")
        self.kept = json.loads(json.dumps(facts))


class FakeReceipt:
    """`hub.api.Receipt`."""

    def __init__(self, batch: asyncio.Future[Any]) -> None:
        self.batch = batch

    def __await__(self) -> Generator[Any, None, object]:
        return asyncio.shield(self.batch).__await__()


class RecordingEmit:
    """`hub.api.Emit`; keeps what was handed over and decides when it is "on disk".

    Like the hub, what arrives while one sync is under way waits for the next.
    """

    def __init__(self, host: FakeHost | None = None) -> None:
        self.items: list[Content] = []
        self.redeliveries: list[Redelivery] = []
        self.held = False
        self._host = host
        self._open: asyncio.Future[None] | None = None

    def __call__(self, *items: Item) -> FakeReceipt:
        if self._open is None:
            self._open = asyncio.get_running_loop().create_future()
            if not self.held:
                asyncio.get_running_loop().call_soon(self.sync)
        receipt = FakeReceipt(self._open)
        for item in items:
            if isinstance(item, Message):
                self.items += item.items
                self.redeliveries.append(item.redelivery)
                if self._host is not None:
                    self._host.journal[item.redelivery] = receipt
            else:
                self.items.append(item)
        return receipt

    def hold(self) -> None:
        """From now on receipts stay open until `sync` or `fail`."""
        self.held = True

    def sync(self) -> None:
        """Everything handed over so far is on disk."""
        batch, self._open = self._open, None
        if batch is not None and not batch.done():
            batch.set_result(None)

    def release(self) -> None:
        """End `hold`, with all that waits on disk."""
        self.held = False
        self.sync()

    def fail(self, error: Exception) -> None:
        """Everything handed over so far can't be stored."""
        batch, self._open = self._open, None
        if self._host is not None:
            self._host.journal = {
                message: receipt
                for message, receipt in self._host.journal.items()
                if receipt.batch is not batch
            }
        if batch is not None and not batch.done():
            batch.set_exception(error)

    @property
    def readings(self) -> list[Reading]:
        return [item for item in self.items if isinstance(item, Reading)]

    @property
    def events(self) -> list[Event]:
        return [item for item in self.items if isinstance(item, Event)]

    @property
    def proposals(self) -> list[Proposal]:
        return [item for item in self.items if isinstance(item, Proposal)]


async def until(true: Callable[[], object], what: str = "", within_s: float = 15.0) -> None:
    """Let a real server do its work until something holds. Fails when it never does."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or true}")
        await asyncio.sleep(0.01)
