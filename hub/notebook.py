"""What a collector keeps over a restart: a small file of its own in the data folder.

It is replaced whole, so that it holds what was kept last or what was kept before, whenever the
machine stops. A file that can't be read is set aside, and the collector begins as on its first day.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hub import logs, wholefile
from hub.api import BadItem, TryAgain

MOST_BYTES = 4 * 1024 * 1024

log = logs.get("notebook")


class Notebook:
    """The file of one collector, `kept.<its name>.json`."""

    def __init__(self, data: Path, collector: str) -> None:
        self._path = data / f"kept.{collector}.json"
        self._writing = asyncio.Lock()

    def recall(self) -> dict[str, Any]:
        """See `hub.api.Host.recall`."""
        try:
            found = json.loads(self._path.read_bytes())
            if not isinstance(found, dict):
                raise ValueError(f"holds {found!r:.40}, not what was kept")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            aside = self._path.with_suffix(".spoiled")
            log.error("skipping what can't be read", file=str(self._path), why=str(error))
            if self._path.is_file():
                self._path.replace(aside)
            return {}
        return found

    async def keep(self, facts: Mapping[str, Any]) -> None:
        """See `hub.api.Host.keep`. Who keeps last, is last."""
        content = json.dumps(facts).encode()
        if len(content) > MOST_BYTES:
            raise BadItem(f"{len(content)} bytes to keep, {MOST_BYTES} are the most")
        async with self._writing:
            try:
                await asyncio.to_thread(wholefile.replace, self._path, content, 0o640)
            except OSError as error:
                raise TryAgain(f"can't keep {self._path}: {error}") from error
