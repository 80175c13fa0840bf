"""Starts the hub's processes, has them killed, and starts them again at once."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.bench.report import say
from tests.chaos import points
from tests.chaos.child import COUNTS, Orders, forked

KILLED = -9
REACHED_S = 40.0
"""So long a point may take to be reached, a store outage included."""
TRIES = 5
"""Of a point that is not reached in time."""


@dataclass
class Death:
    """One kill, and what followed from it."""

    process: str
    cause: str
    """A point, or "random"."""
    time_ns: int
    redelivered: int = 0
    """Messages marked as duplicates that the next process was sent."""
    known: int = 0
    """Those of them that were in the journal already."""
    refused: int = 0
    """Writes that the next process tried in vain."""
    lost: int = 0
    twice: int = 0


@dataclass
class Life:
    """One process from its start to its end."""

    orders: Orders
    log: Path
    deaths: list[Death]
    """Where its duplicates are counted: with the last death of its kind."""
    process: multiprocessing.process.BaseProcess = field(init=False)
    _line: Connection = field(init=False)

    def start(self) -> None:
        theirs, self._line = _CONTEXT.Pipe(duplex=False)
        self.process = _CONTEXT.Process(
            target=forked, args=(self.orders, theirs, self.log), daemon=True
        )
        with _GATE:
            self.process.start()
        theirs.close()

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None if it still lives."""
        multiprocessing.connection.wait([self.process.sentinel], timeout_s)
        with _GATE:
            return self.process.exitcode

    def kill(self) -> int | None:
        self.process.kill()
        return self.wait(10)

    def end(self) -> int | None:
        """Ask it to end; what it says then."""
        self.process.terminate()
        code = self.wait(30)
        if code is None:
            self.kill()
        self.close()
        return code

    def close(self) -> None:
        """After its end: take over what it counted, for the death before."""
        self._line.close()
        path = self.orders.chaos / f"{self.process.pid}.counts"
        if path.exists():
            came, known, refused = COUNTS.unpack(path.read_bytes())
            path.unlink()
            mine = [d for d in self.deaths if d.process == self.orders.process]
            if mine:
                last = mine[-1]
                last.redelivered += came
                last.known += known
                last.refused += refused


class Driver(threading.Thread):
    """Lives and deaths of one of the two processes, as planned."""

    def __init__(
        self,
        orders: Callable[[str], Orders],
        log: Path,
        plan: list[str],
        chance: random.Random,
        end: float,
    ) -> None:
        """`orders` makes them for a crash; `plan` lists causes of death; `end` is when, by
        `time.monotonic`, to leave the rest of the plan."""
        self.name_of = orders("").process
        super().__init__(name=f"driver of {self.name_of}", daemon=True)
        self.deaths: list[Death] = []
        self.problems: list[str] = []
        self.orders = orders
        self._log = log
        self._plan = plan
        self._chance = chance
        self._end = end
        self._life: Life | None = None

    def begin(self) -> None:
        """Start the first one, which lives until `run` kills it."""
        self._start("")

    def run(self) -> None:
        misses = 0
        try:
            self._plan.reverse()
            while self._plan and time.monotonic() < self._end and misses < TRIES:
                cause = self._plan.pop()
                if self._die(cause):
                    misses = 0
                else:
                    self._plan.append(cause)
                    misses += 1
                done = len(self.deaths)
                if done % 20 == 0:
                    say(f"{self.name_of}: {done} kills, {len(self._plan)} to come")
            self._start("")
        except Exception as error:
            self.problems.append(f"BUG of the harness: {self.name} ended: {error!r}")

    def end(self) -> None:
        """End the last one as a person would."""
        if self._life is not None:
            code = self._life.end()
            if code != 0:
                self.problems.append(f"{self.name_of} did not end when asked to: {code}")
            self._life = None

    def abort(self) -> None:
        if self._life is not None:
            self._life.kill()
            self._life.close()
            self._life = None

    def _die(self, cause: str) -> bool:
        """One more death; False if the point was not reached in time."""
        if cause == points.RANDOM:
            # An early one, too: recovery can be interrupted like everything else.
            life = self._start("")
            code = life.wait(self._chance.choice([0.4, 1.6]) * self._chance.random())
            if code is None:
                code = life.kill()
        else:
            latest = points.LATEST[cause]
            life = self._start(f"{cause}:{self._chance.randint(1, latest)}")
            code = life.wait(REACHED_S)
            if code is None:
                say(f"{self.name_of}: {cause} was not reached within {REACHED_S:g} s")
                life.kill()
                return False
        life.close()
        if code != KILLED:
            self.problems.append(f"{self.name_of} ended by itself with {code} (wanted: {cause})")
            return False
        self.deaths.append(Death(self.name_of, cause, time.time_ns()))
        return True

    def _start(self, crash: str) -> Life:
        if self._life is not None:
            if self._life.wait(0) is None:
                self._life.kill()
            self._life.close()
        self._life = Life(self.orders(crash), self._log, self.deaths)
        self._life.start()
        return self._life


_GATE = threading.Lock()
"""A start looks after all processes, those of other threads too: their exit codes can be read once,
and whoever comes second would be told 255."""
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.chaos.child", "hub.registry", "duckdb"])
