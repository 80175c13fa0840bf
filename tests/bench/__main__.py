"""`python -m tests.bench [NAME …]`: run the benches and print their figures."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.report import Options, Result, say, table

NAMES = (
    *("mqtt", "conventions", "write", "rules", "latency", "start"),
    *("snmp", "fleet", "cameras", "icmp", "backtest", "reload"),
)
"""Each is a module here with `run(folder, options) -> list[Result]`."""
ROUND_S = 10.0
LONG_S = {"soak": 1200.0}
"""Those that only run when named, and how long they last."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    known = (*NAMES, *LONG_S)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument(
        "--seconds", type=float, help=f"of one round, {ROUND_S:g} by default (60 for the record)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(known)}")
    say(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before we begin")
    results: list[Result] = []
    for name in given.names or NAMES:
        options = Options(given.seconds or LONG_S.get(name, ROUND_S), given.rounds)
        bench = importlib.import_module(f"tests.bench.{name}")
        say(f"{name}: {(bench.__doc__ or name).splitlines()[0]}")
        with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
            found: list[Result] = bench.run(Path(folder), options)
        for result in found:
            print(result.line(), flush=True)
        results += found
    print(table(results), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
