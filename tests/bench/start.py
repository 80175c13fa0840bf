"""From the start of the demo to the first page that has data."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.bench.report import Options, Result, median, say
from tests.mosquitto_support import free_port

LIMIT_S = 90.0


def run(folder: Path, options: Options) -> list[Result]:
    times = []
    for number in range(options.rounds):
        times.append(_start(folder / str(number)))
        say(f"  round {number + 1}: {times[-1]:.1f} s")
    return [Result("start", median(times), "s", more={"all": [round(t, 1) for t in times]})]


def _start(folder: Path) -> float:
    folder.mkdir(parents=True)
    port = free_port()
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        demo = subprocess.Popen(
            [sys.executable, "-m", "hub", "demo", "--port", str(port), "--data", f"{folder}/data"],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        while time.monotonic() - began < LIMIT_S:
            if demo.poll() is not None:
                break
            if _has_data(port):
                return time.monotonic() - began
            time.sleep(0.05)
        raise AssertionError(
            f"no data within {LIMIT_S:g} s\n{(folder / 'log').read_text()[-2000:]}"
        )
    finally:
        demo.terminate()
        demo.wait(30)


def _has_data(port: int) -> bool:
    """Does the page come, and does the first answer it asks for show values?"""
    base = f"http://127.0.0.1:{port}"
    try:
        with urllib.request.urlopen(f"{base}/", timeout=2) as page:
            if page.status != 200:
                return False
        with urllib.request.urlopen(f"{base}/api/v1/devices", timeout=2) as answer:
            return any(device["headline"] for device in json.load(answer))
    except (urllib.error.URLError, OSError, ValueError):
        return False
