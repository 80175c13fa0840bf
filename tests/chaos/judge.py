"""What must be true at the end, and whose fault it is where it is not."""

from __future__ import annotations

import json
import sqlite3
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from hub.clock import NS
from rules.watch import Transition
from tests.chaos import points
from tests.chaos.drivers import Death
from tests.chaos.publisher import TWIN, Publisher
from tests.chaos.witness import IDENTITY, Witness

CHANNEL = "hook"
_SHOWN = 5


@dataclass
class Stored:
    """What the store holds."""

    numbers: Counter[int]
    twins: int
    changes: set[tuple[str, str, int]]
    """Rule, device and time of every alert point that marks a transition."""


@dataclass
class Verdict:
    """`problems` is empty when everything held."""

    deaths: list[Death]
    wanted: dict[str, int]
    """Hits of each point that were planned."""
    numbers: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.problems

    def hits(self) -> Counter[str]:
        return Counter(death.cause for death in self.deaths)

    def table(self) -> str:
        head = ("point", "process", "hits", "redelivered", "known", "lost", "twice")
        rows = []
        for cause in [*points.INGEST, *points.SERVE, points.RANDOM]:
            for process in ("ingest", "serve"):
                found = [d for d in self.deaths if d.cause == cause and d.process == process]
                planned = cause in (points.INGEST if process == "ingest" else points.SERVE)
                if not found and not (planned and self.wanted.get(cause)):
                    continue
                rows.append(
                    (
                        cause,
                        process,
                        str(len(found)),
                        str(sum(d.redelivered for d in found)),
                        str(sum(d.known for d in found)),
                        str(sum(d.lost for d in found)),
                        str(sum(d.twice for d in found)),
                    )
                )
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        return "\n".join(
            "  ".join(
                word.ljust(width) if index < 2 else word.rjust(width)
                for index, (word, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in (head, *rows)
        )

    def line(self) -> str:
        """The JSON line."""
        return json.dumps(
            {
                "chaos": "kills",
                "good": self.good,
                **self.numbers,
                "hits": dict(self.hits()),
                "problems": self.problems,
            },
            ensure_ascii=False,
        )


def blame(deaths: Iterable[Death], process: str, time_ns: int, *, after: bool) -> Death | None:
    """The last death of a process before that time, or the first after it."""
    mine = [death for death in deaths if death.process == process]
    if after:
        return next((death for death in mine if death.time_ns >= time_ns), None)
    return next((death for death in reversed(mine) if death.time_ns <= time_ns), None)


class Judge:
    """Compares what was seen on both ends."""

    def __init__(self, verdict: Verdict, witness: Witness) -> None:
        self._verdict = verdict
        self._witness = witness

    def _wrong(self, what: str, found: Sequence[object]) -> int:
        if found:
            some = ", ".join(str(each) for each in found[:_SHOWN])
            self._verdict.problems.append(f"{len(found)} {what}: {some}")
        return len(found)

    def points(self) -> None:
        """0 hits prove nothing."""
        hits = self._verdict.hits()
        for point, wanted in self._verdict.wanted.items():
            if wanted and hits[point] < wanted:
                self._verdict.problems.append(f"{point}: {hits[point]} hits of {wanted} wanted")
        if set(points.INGEST) & set(hits) and not sum(d.known for d in self._verdict.deaths):
            self._verdict.problems.append("no message that was on disk came again")
        if not sum(d.refused for d in self._verdict.deaths):
            self._verdict.problems.append("no write met an outage of the store")

    def journal(self, publisher: Publisher) -> None:
        """Every message that the broker acknowledged to the publisher is there once."""
        times, acknowledged = self._witness.times, publisher.acknowledged
        lost = [n for n, yes in enumerate(acknowledged) if yes and not _at(times, n)]
        for number in lost:
            later = next((t for t in times[number:] if t), 0)
            # What was acknowledged and is not there was forgotten before the next one came.
            death = blame(self._verdict.deaths, "ingest", later or 2**62, after=False)
            if death:
                death.lost += 1
        for _, time_ns in self._witness.twice:
            death = blame(self._verdict.deaths, "ingest", time_ns, after=False)
            if death:
                death.twice += 1
        self._verdict.numbers |= {
            "acknowledged": sum(acknowledged) + publisher.twins_acknowledged,
            "journal_lost": self._wrong("acknowledged and not in the journal", lost),
            "journal_twice": self._wrong("twice in the journal", self._witness.twice),
        }
        self._twins("journal", self._witness.twins, publisher)
        if publisher.sent != sum(acknowledged):
            unheard = publisher.sent - sum(acknowledged)
            self._verdict.problems.append(f"the broker left {unheard} messages unacknowledged")
        if publisher.error:
            self._verdict.problems.append(publisher.error)

    def store(self, stored: Stored, publisher: Publisher) -> None:
        """Everything of the journal is stored, one row each."""
        times = self._witness.times
        lost = [n for n, t in enumerate(times) if t and not stored.numbers[n]]
        twice = [n for n, count in stored.numbers.items() if count > 1]
        for number in lost:
            if death := blame(self._verdict.deaths, "serve", times[number], after=True):
                death.lost += 1
        journaled_twice = {number for number, _ in self._witness.twice}
        for number in set(twice) - journaled_twice:
            if death := blame(self._verdict.deaths, "serve", _at(times, number), after=True):
                death.twice += 1
        self._verdict.numbers |= {
            "rows": sum(stored.numbers.values()) + stored.twins,
            "store_lost": self._wrong("in the journal and not in the store", lost),
            "store_twice": self._wrong("twice in the store", twice),
        }
        self._twins("store", stored.twins, publisher)
        expected = {(t.rule, t.device, t.time_ns) for t in self._witness.transitions}
        self._wrong("transitions without a point in the store", sorted(expected - stored.changes))
        self._wrong("points in the store of no transition", sorted(stored.changes - expected))

    def _twins(self, where: str, found: int, publisher: Publisher) -> None:
        """Messages that are equal to the byte can only be counted."""
        least, most = publisher.twins_acknowledged, publisher.twins_sent
        if not least <= found <= most:
            self._verdict.problems.append(
                f"{where}: {found} of the twin's messages, acknowledged were {least} to {most}"
            )

    def ledger(self, path: Path) -> None:
        """The engine's transitions are those of an uninterrupted fold, to the byte, in order."""
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT id, body FROM transition ORDER BY rowid").fetchall()
        found = {key: msgspec.msgpack.decode(body) for key, body in rows}
        wanted = {t.id: _plain(t) for t in self._witness.transitions}
        lost = [key for key in wanted if key not in found]
        repeated = [key for key in found if key not in wanted]
        other = [key for key in wanted if key in found and wanted[key] != found[key]]
        self._verdict.numbers |= {
            "transitions": len(wanted),
            "transitions_lost": self._wrong("transitions lost", lost),
            "transitions_repeated": self._wrong("transitions repeated or invented", repeated),
        }
        self._wrong("transitions that say something else", other)
        if not (lost or repeated) and list(found) != list(wanted):
            self._verdict.problems.append("the ledger has the transitions in another order")
        if not wanted:
            self._verdict.problems.append("no transition happened: nothing was proved")
        for aside in path.parent.glob(f"{path.name}.aside*"):
            self._verdict.problems.append(f"the ledger was set aside as {aside.name}")

    def notifications(self, path: Path, received: Counter[str]) -> None:
        """What the transitions owe was owed once and delivered; a repetition needs a death."""
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT key, state, last_error FROM owed ORDER BY seq").fetchall()
        owed = {key: (state, error) for key, state, error in rows}
        wanted = {
            f"{t.id}.{t.time_ns // NS}:{CHANNEL}" for t in self._witness.transitions if t.notify
        }
        self._wrong("notifications never owed", sorted(wanted - owed.keys()))
        self._wrong("notifications owed for no transition", sorted(owed.keys() - wanted))
        missing = [key for key in owed if not _delivered(key, owed, received)]
        deaths = sum(death.process == "serve" for death in self._verdict.deaths)
        surplus = sum(received.values()) - len(received)
        self._wrong("notifications not delivered", missing)
        self._wrong("delivered and never owed", sorted(received.keys() - owed.keys()))
        if surplus > deaths:
            self._verdict.problems.append(f"{surplus} notifications repeated by {deaths} deaths")
        self._verdict.numbers |= {
            "notifications": len(owed),
            "notifications_lost": len(missing),
            "notifications_repeated": surplus,
        }
        if not owed:
            self._verdict.problems.append("nothing was owed to anybody: nothing was proved")


def _at(times: Sequence[int], number: int) -> int:
    return times[number] if number < len(times) else 0


def _plain(transition: Transition) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(asdict(transition)))


def _delivered(key: str, owed: dict[str, tuple[str, str]], received: Counter[str]) -> bool:
    """Itself, or the later message of the same alert that took it in."""
    while key in owed:
        if received[key]:
            return True
        state, error = owed[key]
        if state != "merged":
            return False
        key = error.removeprefix("told by ")
    return False


def in_duckdb(path: Path) -> Stored:
    """The hub must have ended: it alone may have the file open."""
    with duckdb.connect(str(path), read_only=True) as db:

        def ask(table: str, statement: str) -> list[tuple[Any, ...]]:
            known = {name for (name,) in db.execute("SHOW TABLES").fetchall()}
            return db.execute(statement).fetchall() if table in known else []

        environment = ask("environment", f"SELECT {IDENTITY}, humidity FROM environment")
        changes = ask(
            "alert", "SELECT tags, time FROM alert JOIN hub_series ON id = series WHERE changed = 1"
        )
    found = ((json.loads(tags), time_ns) for tags, time_ns in changes)
    return Stored(
        Counter(int(number) for number, _ in environment if number is not None),
        sum(humidity is not None for _, humidity in environment),
        {(dict(tags)["rule"], dict(tags)["device"], time_ns) for tags, time_ns in found},
    )


def in_influx(url: str, database: str) -> Stored:
    """InfluxDB overwrites what has series and time in common: a loss there, never a repetition."""

    def ask(statement: str) -> list[dict[str, Any]]:
        query = urllib.parse.urlencode({"db": database, "q": statement, "epoch": "ns"})
        with urllib.request.urlopen(f"{url}/query?{query}", timeout=120) as answer:
            found: list[dict[str, Any]] = json.load(answer)["results"][0].get("series", [])
            return found

    numbers = ask(f'SELECT "{IDENTITY}" FROM "environment"')
    twins = ask(f'SELECT count("humidity") FROM "environment" WHERE "device" = \'{TWIN}\'')
    changes = ask('SELECT "changed" FROM "alert" WHERE "changed" = 1 GROUP BY "rule", "device"')
    return Stored(
        Counter(int(row[1]) for part in numbers for row in part["values"]),
        twins[0]["values"][0][1] if twins else 0,
        {
            (part["tags"]["rule"], part["tags"]["device"], row[0])
            for part in changes
            for row in part["values"]
        },
    )
