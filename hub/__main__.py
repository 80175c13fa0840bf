"""The command `toba-hub`, also `python -m hub`: what is settled before the hub is imported."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper


def main() -> None:
    """Entry point of the command. Ctrl-C ends it quietly, whenever it comes."""
    # While libraries are imported it ends us outright: an exception in the middle of a compiled
    # module's start makes that module abort with a page of text.
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _settle_streams()
    from hub.cli.main import cli

    signal.signal(signal.SIGINT, before)
    try:
        cli()
    except KeyboardInterrupt:
        sys.exit(130)


def _settle_streams() -> None:
    """Every standard stream is open, so that no file or socket gets its number by chance, and a
    terminal that knows only ASCII gets escapes for what it can't show."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):  # opened as the lowest number that is free: this one
                os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
