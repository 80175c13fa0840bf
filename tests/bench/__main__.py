"""`python -m tests.bench [NAME …]`: run the benches and print their figures."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.report import Options, Result, say, table

NAMES = ("mqtt", "write", "rules", "latency", "start", "snmp")
"""Each is a module here with `run(folder, options) -> list[Result]`."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of one round (60 for the record)"
    )
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"no bench {', '.join(unknown)}; there are {', '.join(NAMES)}")
    options = Options(given.seconds, given.rounds)
    say(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before we begin")
    results: list[Result] = []
    for name in given.names or NAMES:
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
