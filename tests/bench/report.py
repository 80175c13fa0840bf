"""One line of JSON for each figure, and a table for people."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    """A figure. `ratio` is ours by the peer's, of `value`; `more` is what explains it."""

    bench: str
    value: float
    unit: str
    cpu_us: float | None = None
    """Processor time per item over all hub processes, microseconds."""
    peer: str = ""
    peer_value: float | None = None
    more: dict[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer_value if self.peer_value else None

    def line(self) -> str:
        """The JSON line."""
        plain = {
            "bench": self.bench,
            "value": _short(self.value),
            "unit": self.unit,
            "cpu_us": _short(self.cpu_us),
            "peer": self.peer or None,
            "peer_value": _short(self.peer_value),
            "ratio": _short(self.ratio),
        }
        return json.dumps({**plain, **self.more}, ensure_ascii=False)


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    seconds: float
    """Of one round, after its warm-up."""
    rounds: int


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time that these processes have used so far, in user and kernel mode."""
    total = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(words[11]) + int(words[12])
    return total / _TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of a process; what it shares with others counts whole."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no memory")


_began = time.monotonic()


def say(text: str) -> None:
    """Progress, on stderr."""
    print(f"[{time.monotonic() - _began:6.1f} s] {text}", file=sys.stderr, flush=True)


def table(results: Sequence[Result]) -> str:
    """All figures in columns, what explains them below."""
    head = ("bench", "value", "unit", "cpu µs", "peer", "its value", "ratio")
    rows = [
        (
            r.bench,
            f"{r.value:,.6g}",
            r.unit,
            "" if r.cpu_us is None else f"{r.cpu_us:.1f}",
            r.peer,
            "" if r.peer_value is None else f"{r.peer_value:,.6g}",
            "" if r.ratio is None else f"{r.ratio:.2f}",
        )
        for r in results
    ]
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(head, widths, strict=True))]
    for row, result in zip(rows, results, strict=True):
        lines.append("  ".join(word.ljust(w) for word, w in zip(row, widths, strict=True)))
        if result.more:
            lines.append("    " + ", ".join(f"{k} {v}" for k, v in result.more.items()))
    return "\n".join(line.rstrip() for line in lines)


def _short(value: float | None) -> float | None:
    """Four digits are more than a median of three rounds is worth."""
    return None if value is None else float(f"{value:.4g}")
