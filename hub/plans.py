"""Maintenance windows that people plan from the command line, in a file of the data folder.

What they planned becomes acts in the journal when it begins, in their name, as the windows of the
settings do (`planner.py`). The file is replaced whole, so command line and hub may share it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from hub import wholefile
from hub.windows import Window

NAME = "maintenance.json"
MOST = 1_000


class PlanError(Exception):
    """A plan can't be made, found or read; the message is for people."""


class Plan(NamedTuple):
    """A window, and whose it is."""

    window: Window
    who: str
    made_ns: int = 0


class Plans:
    """The file of plans in that data folder."""

    def __init__(self, data: Path) -> None:
        self._path = data / NAME

    def list(self) -> Sequence[Plan]:
        """Every plan. Raises PlanError when the file can't be understood."""
        try:
            listed = json.loads(self._path.read_text(encoding="utf-8"))["windows"]
            return [
                Plan(Window.model_validate(one["window"]), str(one["who"]), int(one["made_ns"]))
                for one in listed
            ]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise PlanError(
                f"{self._path}: can't be read ({first}); restore it from a backup, or delete it "
                "and plan anew with `toba-hub maintenance add`"
            ) from None

    def add(self, plan: Plan) -> None:
        """Raises PlanError where the name is taken."""
        known = self.list()
        if any(one.window.name == plan.window.name for one in known):
            raise PlanError(f"a window {plan.window.name!r} is planned already; remove it first")
        if len(known) >= MOST:
            raise PlanError(f"{MOST} windows are planned; remove those that are over")
        self._write([*known, plan])

    def remove(self, name: str) -> None:
        """What it has begun goes on until its end. Raises PlanError where there is none."""
        known = self.list()
        kept = [one for one in known if one.window.name != name]
        if len(kept) == len(known):
            raise PlanError(f"no window {name!r} is planned: see `toba-hub maintenance list`")
        self._write(kept)

    def _write(self, plans: Sequence[Plan]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        windows = [
            {
                "window": one.window.model_dump(mode="json", by_alias=True, exclude_defaults=True),
                "who": one.who,
                "made_ns": one.made_ns,
            }
            for one in plans
        ]
        body = json.dumps({"version": 1, "windows": windows}, indent=1)
        wholefile.replace(self._path, body.encode())
