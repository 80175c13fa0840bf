"""What the verbs of the command line share: how they fail, and the settings option."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from hub import supervisor
from hub.api import BadItem, NeverWorks, TryAgain
from hub.configuration import Configuration
from hub.journal import Locked, OtherFormat
from hub.ledger import Ledger
from hub.problems import Misconfigured, folded
from hub.supervisor import AlreadyRunning
from hub.web.address import PortTaken

out = Console(soft_wrap=True)
"""Never breaks a line by itself: keys, ids and tokens stay whole, also in a pipe."""

Settings = Annotated[
    Path, typer.Option("--settings", "-s", envvar="TOBA_SETTINGS", help="The settings file.")
]
DEFAULT = Path("toba-hub.yaml")

STARTING = ("run", "demo")
"""The verbs that start something."""

Command = Callable[..., None]


def fail(message: str, code: int = 1) -> NoReturn:
    """One clear line, and the exit code."""
    sys.stderr.write(f"toba-hub: {message}\n")
    raise typer.Exit(code)


def group(about: str) -> typer.Typer:
    """Verbs that come together: `toba-hub journal status`."""
    return typer.Typer(help=about, no_args_is_help=True, rich_markup_mode="markdown")


def must_have_run(conf: Configuration) -> None:
    """End the command where no hub has kept anything yet."""
    if not conf.settings.ledger_file.exists():
        fail(f"no hub has run on {conf.settings.data} yet")


@contextmanager
def ledger_of(conf: Configuration) -> Iterator[Ledger]:
    """What the hub keeps of alerts and neighbours, to look at; ends the command likewise."""
    must_have_run(conf)
    with closing(Ledger(conf.settings.ledger_file)) as ledger:
        yield ledger


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as what is in them: nothing is cut or wrapped, so that it can be copied."""
    lines = [list(head), *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [set_cell_size(cell, wide) for cell, wide in zip(line, widths, strict=True)]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def plainly(command: Command) -> Command:
    """Say expected failures in one line each; everything else is a bug and shows its traceback."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except Misconfigured as error:
            for line in folded(error.problems):
                sys.stderr.write(f"{line}\n")
            started = "; nothing was started" if command.__name__ in STARTING else ""
            if command.__name__ == "reload":
                started = "; all goes on as before"
            fail(f"{len(error.problems)} problem(s){started}", supervisor.CONFIG_ERROR)
        except (
            PortTaken,
            AlreadyRunning,
            Locked,
            OtherFormat,
            TryAgain,
            NeverWorks,
            BadItem,
            sqlite3.Error,
        ) as error:
            fail(str(error))
        except PermissionError as error:
            fail(supervisor.forbidden(error), supervisor.CONFIG_ERROR)
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            fail(supervisor.forbidden(error))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None

    return wrapped
