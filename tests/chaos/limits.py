"""What a broker with mosquitto's own limits throws away, told apart from what we lose.

It acknowledges to the publisher, queues 1 000 messages for a hub that is away, and drops the rest
without a word to either. Only its own counter says so; what is missing beyond that is our fault.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.report import say
from tests.chaos.publisher import Publisher
from tests.chaos.run import Plan, Run, started
from tests.hub_support import wait_for

DEFAULTS = "max_queued_messages 1000\nmax_inflight_messages 20\nsys_interval 1\n"
DROPPED = "$SYS/broker/publish/messages/dropped"
AWAY_S = 1.5
QUIET_S = 2.5
"""More than the interval at which the broker tells what it dropped."""


@dataclass(frozen=True)
class Losses:
    """Messages."""

    acknowledged: int
    """By the broker, to the publisher."""
    in_journal: int
    dropped_by_broker: int
    """As the broker itself says."""
    twice: int

    @property
    def lost_by_us(self) -> int:
        return self.acknowledged - self.in_journal - self.dropped_by_broker

    @property
    def good(self) -> bool:
        """The broker's own loss is there, is all there is, and is not ours."""
        return self.dropped_by_broker > 0 and self.lost_by_us == 0 and self.twice == 0

    def line(self) -> str:
        plain = {"chaos": "default limits", "good": self.good, **asdict(self)}
        return json.dumps({**plain, "lost_by_us": self.lost_by_us})


def run(folder: Path, mutant: str = "") -> Losses:
    """Kill the hub, publish more than such a broker keeps, start the hub again."""
    with started(folder, Plan(rate=2_000, limits=DEFAULTS, mutant=mutant)) as parts:
        parts.ingest.begin()
        wait_for("the subscription", parts.subscribed, 60)
        parts.witness.start()
        before = dropped(parts)
        publisher = Publisher(parts.broker.port, parts.plan.rate)
        publisher.start()
        wait_for("some of it", lambda: parts.witness.numbers > 500, 30)
        parts.ingest.abort()
        away = publisher.sent
        wait_for("more than it keeps", lambda: publisher.sent > away + parts.plan.rate * AWAY_S, 30)
        parts.ingest.begin()
        back = parts.witness.numbers
        wait_for("the rest", lambda: parts.witness.numbers > back + 1_000, 30)
        publisher.finish()
        _wait_for_quiet(parts)
        parts.ingest.end()
        parts.witness.finish()
        losses = Losses(
            sum(publisher.acknowledged) + publisher.twins_acknowledged,
            parts.witness.numbers + parts.witness.twins,
            dropped(parts) - before,
            len(parts.witness.twice),
        )
        if losses.dropped_by_broker:
            say(
                f"the broker, with its own limits, dropped {losses.dropped_by_broker} of "
                f"{losses.acknowledged} messages that it had acknowledged; ship our mosquitto.conf"
            )
        return losses


def _wait_for_quiet(parts: Run) -> None:
    """Until nothing has come into the journal for a while."""
    seen, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        now = parts.witness.numbers + parts.witness.twins
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > QUIET_S

    wait_for("the end of it", quiet, 60)


def dropped(parts: Run) -> int:
    """The broker's counter; it publishes it, retained, in the second after it changed."""
    found = subprocess.run(
        ["mosquitto_sub", "-p", str(parts.broker.port), "-t", DROPPED, "-C", "1", "-W", "5"],
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    words = found.stdout.split()
    return int(words[-1]) if words else 0
