"""Small files of settings, inventory and rules, for tests that change them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hub import configuration
from tests.hub_support import INVENTORY

DIRTY = """
  - name: dirty
    title: {id: "{name} kotor", en: "{name} is dirty"}
    when: {measurement: environment, field: pm25, above: 40}
    severity: warning
"""


def write(folder: Path, *texts: str) -> None:
    (folder / "rules.yaml").write_text("rules:" + "".join(texts), encoding="utf-8")


def files(folder: Path, *texts: str, **settings: Any) -> configuration.Configuration:
    write(folder, *texts)
    given = {"rules": {"library": False, "files": ["rules.yaml"]}, **settings}
    (folder / "toba-hub.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    (folder / "inventory.yaml").write_text(yaml.safe_dump(INVENTORY), encoding="utf-8")
    return configuration.load(folder / "toba-hub.yaml")
