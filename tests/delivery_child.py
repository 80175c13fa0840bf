"""The serve side of a hub from journal to people, as a process that dies where it is told to.

python -m tests.delivery_child FOLDER CRASH

It folds FOLDER/journal and sends to what FOLDER/channels.json names. CRASH is `point` or
`point:channel`; empty: none.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hub import logs
from hub.clock import now_ns
from hub.engine import Engine
from hub.health import Health
from hub.ledger import Ledger
from hub.notify import channels, desk, outbox
from hub.notify.channels import ChannelConfig
from hub.notify.desk import Desk
from hub.notify.lane import Lane
from hub.notify.message import Facts
from hub.notify.notifier import Notifier
from hub.notify.routing import Router, Team
from rules.rule import Rule
from rules.thing import Thing
from rules.transition import Transition
from tests.rules_support import rules

DEVICES = 24
THINGS = [Thing(f"d{n}", f"Sensor {n}", "sensor", "porsea", "Porsea") for n in range(DEVICES)]
RULE = """
  - name: pm
    title: {id: "PM tinggi: {name}", en: "PM high: {name}"}
    when: {measurement: environment, field: pm25, above: 55}
    notify: [dlh]
"""


def rule_set() -> list[Rule]:
    return rules(RULE)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def trap(crash: str) -> None:
    """Patch the seam of the point, so that this process dies there."""
    point, _, channel = crash.partition(":")
    commit, attempt, sent = Ledger.commit, Lane._attempt, Lane._sent

    def commits(self: Ledger, transitions: Any, *rest: Any) -> int:
        if transitions and point == "evaluated":
            die()
        number = commit(self, transitions, *rest)
        if number and point == "owed":
            die()
        return number

    async def attempts(self: Lane, owed: Any) -> None:
        if self.channel.name == channel and point == "bound":
            die()
        await attempt(self, owed)

    def is_sent(self: Lane, owed: Any) -> None:
        if self.channel.name == channel and point == "sent":
            die()
        sent(self, owed)
        if self.channel.name == channel and point == "marked":
            die()

    Ledger.commit = commits  # type: ignore[method-assign]
    Lane._attempt = attempts  # type: ignore[method-assign]
    Lane._sent = is_sent  # type: ignore[method-assign]


class Telling(Desk):
    """The hub's own desk, and the notifier that it wakes."""

    notifier: Notifier

    def owe(self, db: sqlite3.Connection, transitions: Iterable[Transition]) -> int:
        asyncio.get_running_loop().call_soon(self.notifier.wake)
        return super().owe(db, transitions)


async def serve(folder: Path) -> None:
    given = json.loads((folder / "channels.json").read_text())
    configs = TypeAdapter(dict[str, ChannelConfig]).validate_python(given)
    ledger = Ledger(folder / "serve.db")
    outbox.create(ledger.db)
    desk.create(ledger.db)
    built = channels.build(configs, channels.Tools(logs.get("notify")))
    notifier = Notifier(folder / "serve.db", built, logs.get("notify"))
    router = Router(
        {"dlh": Team(channels=list(configs))},
        {name: policy for name, (_, policy) in built.items()},
        lambda t: Facts(name=t.device, kind="sensor", site="Porsea"),
        language="id",
        zone="Asia/Jakarta",
    )
    telling = Telling(router, now_ns)
    telling.notifier = notifier
    engine = Engine(
        folder / "journal",
        ledger,
        rule_set(),
        THINGS,
        Health(),
        telling=telling,
        show=lambda *_: None,
        event=lambda _: None,
        changed=lambda: None,
        now_ns=now_ns(),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(engine.run())
        group.create_task(notifier.run())


if __name__ == "__main__":
    logs.set_up("warning")
    if sys.argv[2]:
        trap(sys.argv[2])
    asyncio.run(serve(Path(sys.argv[1])))
