"""Dashboards to files and back: what `toba-hub grafana build` does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grafana.names import DASHBOARDS


class SdkMissingError(RuntimeError):
    """The developers' dashboard library isn't installed."""

    def __init__(self) -> None:
        super().__init__(
            "building dashboards needs the developers' tools: make fix installs them, or"
            " pip install 'toba-hub[dev]'; pushing needs only the committed JSON"
        )


def dashboards() -> Mapping[str, dict[str, Any]]:
    """File name → dashboard JSON, made from the code. Raises `SdkMissingError`."""
    try:
        from grafana import cameras, command_center, environment, opd_network
        from grafana.sdk import JSONEncoder
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("grafana_foundation_sdk"):
            raise SdkMissingError from error
        raise
    made = [module.build() for module in (command_center, opd_network, environment, cameras)]
    plain = [json.loads(json.dumps(board, cls=JSONEncoder)) for board in made]
    return {f"{board['uid'].removeprefix('toba-')}.json": board for board in plain}


def build(folder: Path = DASHBOARDS, *, check: bool = False) -> list[str]:
    """Bring the folder in line with the code; the names of files that differed.

    With `check`, nothing is written. A file that no dashboard makes any more is removed.
    """
    wanted = {name: _text(board) for name, board in dashboards().items()}
    present = {path.name: path.read_text("utf-8") for path in folder.glob("*.json")}
    changed = sorted(
        name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name)
    )
    if not check:
        folder.mkdir(parents=True, exist_ok=True)
        for name in changed:
            if name in wanted:
                (folder / name).write_text(wanted[name], "utf-8")
            else:
                (folder / name).unlink()
    return changed


def load(folder: Path = DASHBOARDS) -> dict[str, dict[str, Any]]:
    """The committed dashboards, file name → JSON; needs no developers' tools."""
    return {
        path.name: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))
    }


def _text(board: Mapping[str, Any]) -> str:
    return json.dumps(board, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
