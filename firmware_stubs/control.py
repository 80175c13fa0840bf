"""The field as a process: its addresses, then a JSON object a line in and one a line out.

`python -m firmware_stubs --inventory FILE`

    → {"fault": "router_dies", "target": "r-dlh"}     ← {"ok": true, "fault": …, "target": …}
    → {"clear": "router_dies"}                        ← {"ok": true, …}     (the usual target)
    → {"faults": true}                                ← {"ok": true, "faults": […]}
    → {"published": true}                             ← {"ok": true, "published": {…}}
    → {"routers": true}                               ← {"ok": true, "routers": {…}}
    → {"history": "aq-balige"}                        ← {"ok": true, "history": […]}
    → {"script": "demo", "pace": 1}                   ← {"ok": true, "script": "demo"}
    → {"begin": true}                                 ← {"ok": true}        `--story` begins
    → {"stop": true}                                  ← {"ok": true}        and the process ends

A line that can't be done is answered `{"ok": false, "error": …}`; an `id` given comes back. The
process ends at the end of its input, on SIGTERM and on SIGINT. The log goes to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import yaml

from firmware_stubs import script
from firmware_stubs.field import Field
from firmware_stubs.story import STORIES

SCRIPTS = {"demo": script.DEMO}
COMMANDS = (
    "fault",
    "clear",
    "faults",
    "published",
    "routers",
    "history",
    "script",
    "begin",
    "stop",
)


class Control:
    """Carries out commands on a field."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._playing: asyncio.Task[None] | None = None
        self.stopped = asyncio.Event()

    async def line(self, text: str) -> dict[str, Any]:
        """The answer to one line; never raises for what the line says."""
        try:
            command = json.loads(text)
        except ValueError as error:
            return {"ok": False, "error": f"no JSON: {error}"}
        if not isinstance(command, dict):
            return {"ok": False, "error": "a command is a JSON object"}
        try:
            answer = {"ok": True, **await self._do(command)}
        except (ValueError, TypeError) as error:
            answer = {"ok": False, "error": str(error)}
        return {**answer, "id": command["id"]} if "id" in command else answer

    async def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        match command:
            case {"fault": str(name)}:
                return await self._field.fault(name, _target(command))
            case {"clear": str(name)}:
                return await self._field.clear(name, _target(command))
            case {"faults": _}:
                return {"faults": self._field.faults()}
            case {"published": _}:
                return {"published": self._field.published(), "failures": self._field.failures()}
            case {"routers": _}:
                return {"routers": self._field.routers()}
            case {"history": str(device)}:
                return {"history": self._field.history(device)}
            case {"script": str(name)}:
                return self.play(name, float(command.get("pace", 1)))
            case {"begin": _}:
                self._play(self._field.begin(), 1.0)
                return {}
            case {"stop": _}:
                self.stopped.set()
                return {}
        raise ValueError(f"a command has one of {', '.join(COMMANDS)}")

    def play(self, name: str, pace: float) -> dict[str, Any]:
        """Begin a script; one that plays already is ended."""
        if name not in SCRIPTS:
            raise ValueError(f"no script {name!r}; there are {', '.join(SCRIPTS)}")
        if not 0 < pace <= 1000:
            raise ValueError("pace is above 0 and at most 1000")
        self._play(SCRIPTS[name], pace)
        return {"script": name}

    def _play(self, steps: Sequence[script.Step], pace: float) -> None:
        if self._playing is not None:
            self._playing.cancel()
        self._playing = asyncio.create_task(script.play(self._field, steps, pace=pace))

    async def close(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
            await asyncio.gather(self._playing, return_exceptions=True)


def read_inventory(text: str) -> dict[str, Any]:
    """YAML as plain data. The hub checks inventories; here only what a simulation can't do without.

    Raises `ValueError` and `yaml.YAMLError`.
    """
    inventory = yaml.safe_load(text)
    if not isinstance(inventory, dict) or not isinstance(inventory.get("devices"), list):
        raise ValueError("it holds no list `devices:`")
    for number, device in enumerate(inventory["devices"]):
        for key in ("id", "kind", "site"):
            if not isinstance(device, dict) or not isinstance(device.get(key), str):
                raise ValueError(f"devices[{number}] has no text `{key}:`")
        collect = device.get("collect") or {}
        if not isinstance(collect, dict) or not all(isinstance(s, dict) for s in collect.values()):
            raise ValueError(f"devices[{number}].collect must hold a section for each collector")
    return inventory


async def serve(options: argparse.Namespace, lines: TextIO, out: TextIO) -> int:
    """Run the field until told to end; the exit status."""
    try:
        inventory = read_inventory(await asyncio.to_thread(options.inventory.read_text, "utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        sys.stderr.write(f"field: inventory {options.inventory}: {error}\n")
        return 2
    field = Field(
        inventory,
        speed=options.speed,
        seed=options.seed,
        interval_s=options.interval,
        beat_s=options.beat,
        ramp_s=options.ramp,
        broker=options.broker,
        ping=options.ping,
        story=STORIES.get(options.story),
    )
    control = Control(field)
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, control.stopped.set)
    try:
        addresses = await field.start()
        _write(out, addresses.plain())
        if options.script:
            control.play(options.script, 1.0)
        reading = asyncio.create_task(_read(control, lines, out))
        await control.stopped.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    finally:
        await control.close()
        await field.stop()
    return 0


async def _read(control: Control, lines: TextIO, out: TextIO) -> None:
    """Carry out line by line until the input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)

    def pump() -> None:
        # A thread, since asyncio can wait for pipes but not for files or /dev/null; of the plain
        # descriptor, since a buffered one would be locked when the interpreter ends.
        with suppress(OSError, RuntimeError):  # closed, or the loop is over
            while chunk := os.read(lines.fileno(), 65_536):
                loop.call_soon_threadsafe(reader.feed_data, chunk)
            loop.call_soon_threadsafe(reader.feed_eof)

    threading.Thread(target=pump, name="field input", daemon=True).start()
    try:
        while line := await reader.readline():
            if text := line.decode("utf-8", "replace").strip():
                _write(out, await control.line(text))
    finally:
        control.stopped.set()


def _target(command: dict[str, Any]) -> str | None:
    target = command.get("target")
    if target is not None and not isinstance(target, str):
        raise ValueError("target is a device's id")
    return target


def _write(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer, ensure_ascii=False) + "\n")
    out.flush()


def _broker(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port")
    return host, int(port)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m firmware_stubs", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--inventory", type=Path, required=True, help="YAML file")
    made.add_argument("--broker", type=_broker, help="host:port of a broker that runs")
    made.add_argument("--speed", type=_positive, default=1.0, help="of the simulated day")
    made.add_argument("--seed", type=int, default=12)
    made.add_argument("--interval", type=_positive, default=3.0, help="s between sensor reports")
    made.add_argument("--beat", type=_positive, default=5.0, help="s between camera heartbeats")
    made.add_argument("--ramp", type=_positive, default=6.0, help="s until smoke etc. is full")
    made.add_argument("--ping", action="store_true", help="keep `netprobe` sections")
    made.add_argument("--script", choices=sorted(SCRIPTS), help="play it after the start")
    made.add_argument(
        "--story", choices=sorted(STORIES), help="a day that is told, from `begin` on"
    )
    return made


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(stream=sys.stderr, format="field: %(levelname)s %(message)s")
    return asyncio.run(serve(parser().parse_args(arguments), sys.stdin, sys.stdout))
