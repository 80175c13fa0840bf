"""`python -m tests.chaos`: kill the hub, print what came of it, fail if anything did."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench.report import say
from tests.chaos import mutants
from tests.chaos.run import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--hits", type=int, default=20, help="of each crash point")
    parser.add_argument("--kills", type=int, default=200, help="at random, of either process")
    parser.add_argument("--rate", type=float, default=1_500, help="messages a second")
    parser.add_argument("--seconds", type=float, default=3_600, help="kill no longer than this")
    parser.add_argument("--store", choices=["duckdb", "influxdb"], default="duckdb")
    parser.add_argument("--protocol", type=int, choices=[5, 4], default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mutant", choices=["", *mutants.MUTANTS], default="")
    parser.add_argument("--keep", type=Path, help="a new folder for all files, to look into")
    given = parser.parse_args()
    plan = Plan(
        given.hits,
        given.kills,
        given.rate,
        given.seconds,
        given.store,
        given.protocol,
        given.seed,
        given.mutant,
    )
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        verdict = run(given.keep or Path(temporary), plan)
    print(verdict.table(), file=sys.stderr)
    for problem in verdict.problems:
        say(f"PROBLEM {problem}")
    print(verdict.line(), flush=True)
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
