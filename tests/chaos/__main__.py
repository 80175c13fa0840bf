"""`python -m tests.chaos [PART …]`: kill the hub, print what came of it, fail if anything did.

Parts: kills (named points, random, outages of the store), order (by strace: the sync returns before
the PUBACK leaves), limits (a broker with mosquitto's own limits loses messages itself). A JSON
line for each on stdout, all else on stderr.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench.report import say
from tests.chaos import limits, mutants, order
from tests.chaos.run import Plan, run

PARTS = ("kills", "order", "limits")


def kills(folder: Path, plan: Plan) -> bool:
    verdict = run(folder, plan)
    print(verdict.table(), file=sys.stderr)
    for problem in verdict.problems:
        say(f"PROBLEM {problem}")
    print(verdict.line(), flush=True)
    return verdict.good


def orders(folder: Path, mutant: str) -> bool:
    """From the first record on, and where another process died between write and sync."""
    found = {
        "sync before PUBACK": order.run(folder / "fresh", mutant),
        "sync before PUBACK, resumed": order.run_resumed(folder / "resumed", mutant),
    }
    for what, each in found.items():
        for problem in each.problems[:3]:
            say(f"PROBLEM {problem}")
        print(each.line(what), flush=True)
    return all(each.good for each in found.values())


def broker_limits(folder: Path, mutant: str) -> bool:
    losses = limits.run(folder, mutant)
    print(losses.line(), flush=True)
    return losses.good


def _run(parts: list[str], folder: Path, plan: Plan) -> Iterator[bool]:
    for part in parts:
        say(f"{part} …")
        if part == "kills":
            yield kills(folder / part, plan)
        elif part == "order":
            yield orders(folder / part, plan.mutant)
        else:
            yield broker_limits(folder / part, plan.mutant)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all")
    parser.add_argument("--hits", type=int, default=20, help="of each crash point")
    parser.add_argument("--kills", type=int, default=200, help="at random, of either process")
    parser.add_argument("--rate", type=float, default=1_500, help="messages a second")
    parser.add_argument("--seconds", type=float, default=3_600, help="kill no longer than this")
    parser.add_argument("--store", choices=["duckdb", "influxdb"], default="duckdb")
    parser.add_argument("--protocol", type=int, choices=[5, 4], default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutant", default="", help="+".join(mutants.MUTANTS))
    parser.add_argument("--keep", type=Path, help="a new folder for all files, to look into")
    given = parser.parse_args()
    unknown = sorted(set(given.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    plan = Plan(
        given.hits,
        given.kills,
        given.rate,
        given.seconds,
        given.store,
        given.protocol,
        given.seed,
        mutant=given.mutant,
    )
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        held = list(_run(given.parts or list(PARTS), given.keep or Path(temporary), plan))
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
