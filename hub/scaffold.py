"""`toba-hub new-collector NAME`: a plugin that works from its first minute.

It asks a device over TCP whether it listens, so that its test has something true to test; the
author replaces that by what the device really says.
"""

from __future__ import annotations

import keyword
import re
from pathlib import Path

_FILES = {
    "__init__.py": '"""The {name} collector."""\n',
    "manifest.toml": """\
name = "{name}"
kind = "poll"
owner = "who answers for it"
summary = {{ id = "Isi: apa yang diukur", en = "Fill in: what it measures" }}
class = "polled"

[tiers.liveness]
period_s = 60
timeout_s = 10

[measurements.device]
tags = ["device", "probe"]
fields.up = {{ type = "int", unit = "", min = 0, max = 1, help = "1: it answers" }}
fields.rtt_ms = {{ type = "float", unit = "ms", min = 0, help = "time to connect" }}
""",
    "config.py": '''\
"""Settings of the {name} collector and its section in the inventory."""

from __future__ import annotations

from pydantic import BaseModel, Field


class {Name}Config(BaseModel, extra="forbid"):
    """Under `collectors.{name}` in the settings."""

    timeout_s: float = Field(3, gt=0)


class {Name}Section(BaseModel, extra="forbid"):
    """Under `collect.{name}` of a device."""

    port: int = Field(80, ge=1, le=65535)
''',
    "client.py": '''\
"""The edge: the only file here that opens a socket."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Client(Protocol):
    """What the collector needs of the network; tests fake it."""

    async def connect(self, address: str, port: int, timeout_s: float) -> float:
        """Seconds until the connection stood. Raises OSError or TimeoutError."""
        ...


class TcpClient:
    """The real one."""

    async def connect(self, address: str, port: int, timeout_s: float) -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
        return loop.time() - began
''',
    "parse.py": '''\
"""Pure: what the client found, as readings."""

from __future__ import annotations

from hub.api import Reading, Series


def readings(device: str, now_ns: int, seconds: float | None) -> list[Reading]:
    """`seconds` is None when the device did not answer."""
    series = Series.of("device", device, probe="{name}")
    if seconds is None:
        return [Reading(series, now_ns, {{"up": 0}})]
    return [Reading(series, now_ns, {{"up": 1, "rtt_ms": seconds * 1000}})]
''',
    "collector.py": '''\
"""The {name} collector: read, parse, emit."""

from __future__ import annotations

from collectors.{name}.client import Client, TcpClient
from collectors.{name}.config import {Name}Config, {Name}Section
from collectors.{name}.parse import readings
from hub.api import Collector, Emit, Target, TryAgain


class {Name}Collector(Collector):
    """See README.md."""

    Config = {Name}Config
    Section = {Name}Section
    client: Client = TcpClient()

    async def poll(self, target: Target, tier: str, emit: Emit) -> None:
        """Read one device once."""
        section = {Name}Section.model_validate(target.section)
        timeout_s = self.config.timeout_s
        try:
            seconds = await self.client.connect(target.address, section.port, timeout_s)
        except (OSError, TimeoutError) as error:
            emit(*readings(target.id, self.host.now_ns(), None))
            raise TryAgain(f"{{target.address}}:{{section.port}}: {{error!r}}") from error
        emit(*readings(target.id, self.host.now_ns(), seconds))
''',
    "README.md": """\
# {name}

What it measures, and of which devices.

```yaml
devices:
  - id: my-device
    kind: sensor
    site: balige
    address: 10.12.1.9
    collect: {{{name}: {{port: 80}}}}
```

Fields: see `manifest.toml`. Troubles: what the log says when, and what to do.
""",
    "quality.toml": """\
# rule = "done" | "todo" | "exempt: why"
sample_in_readme = "done"
errors_named = "done"
unit_tests = "done"
testcases = "todo"
tested_against_the_real_thing = "todo"
texts_in_both_languages = "todo"
""",
    "test_{name}.py": '''\
"""The {name} collector's own tests; `make test` runs them."""

from __future__ import annotations

from collectors.{name}.parse import readings


def test_a_device_that_answers_is_up() -> None:
    (found,) = readings("d1", 1, 0.25)
    assert found.fields == {{"up": 1, "rtt_ms": 250.0}}


def test_a_silent_device_is_down_and_has_no_round_trip() -> None:
    (found,) = readings("d1", 1, None)
    assert found.fields == {{"up": 0}}
''',
}


class Refused(Exception):
    """When the name can't be one, or the folder is there already."""


def write(name: str, folder: Path) -> list[Path]:
    """Write the plugin's files and its entry point; return what was written. Raises `Refused`."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,30}", name) or keyword.iskeyword(name):
        raise Refused(f"{name!r} can't name a collector: a noun in lower case, like weather")
    target = folder / name
    if target.exists():
        raise Refused(f"{target} is there already")
    written = []
    target.mkdir(parents=True)
    for pattern, text in _FILES.items():
        path = target / pattern.format(name=name)
        path.write_text(text.format(name=name, Name=_class(name)), encoding="utf-8")
        written.append(path)
    project = folder.parent / "pyproject.toml"
    if project.is_file() and _add_entry_point(project, name):
        written.append(project)
    return written


def _class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def _add_entry_point(project: Path, name: str) -> bool:
    """Add the line to the entry point group, if the file has that group."""
    text = project.read_text(encoding="utf-8")
    group = '[project.entry-points."toba_hub.collectors"]\n'
    if group not in text:
        return False
    line = f'{name} = "collectors.{name}.collector:{_class(name)}Collector"\n'
    project.write_text(text.replace(group, group + line), encoding="utf-8")
    return True
