"""A real Chromium, driven over W3C WebDriver by plain HTTP (Debian's chromium and chromedriver).

async with browser(1920, 1080) as page:
    await page.open(url)
    await page.until("return document.querySelectorAll('.alert').length === 4")
    await page.click(".act-ack")
    await page.screenshot(path)
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from hub.clock import monotonic

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--force-device-scale-factor=1", "--disable-dev-shm-usage",
)  # fmt: skip


class BrowserError(AssertionError):
    """The page or the driver said no."""


class Page:
    """One tab."""

    def __init__(self, http: aiohttp.ClientSession, session: str) -> None:
        self._http = http
        self._session = session

    async def command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body or {}) if method == "POST" else None
        async with self._http.request(method, f"{self._session}{path}", data=data) as answer:
            said = (await answer.json())["value"]
        if answer.status != 200:
            raise BrowserError(f"{path}: {said['error']}: {said['message'][:600]}")
        return said

    async def resize(self, width: int, height: int) -> None:
        """The size that the page sees, whatever the window's frame takes."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        body = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        await self.command("POST", "/goog/cdp/execute", body)

    async def prefer(self, scheme: str) -> None:
        """What its reader's system is set to: light or dark."""
        wish = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        body = {"cmd": "Emulation.setEmulatedMedia", "params": wish}
        await self.command("POST", "/goog/cdp/execute", body)

    async def open(self, url: str) -> None:
        await self.command("POST", "/url", {"url": url})

    async def run(self, script: str, *args: Any) -> Any:
        """Run a function body in the page; what it returns."""
        return await self.command("POST", "/execute/sync", {"script": script, "args": list(args)})

    async def until(self, script: str, seconds: float = 15.0) -> Any:
        """Ask until the answer is true. Raises BrowserError with the last answer and the log."""
        end, answer = monotonic() + seconds, None
        while monotonic() < end:
            answer = await self.run(script)
            if answer:
                return answer
            await asyncio.sleep(0.1)
        raise BrowserError(
            f"not within {seconds} s: {script} (last {answer!r}; {await self.log()})"
        )

    async def element(self, css: str) -> str:
        found = await self.command("POST", "/element", {"using": "css selector", "value": css})
        return str(found[ELEMENT])

    async def click(self, css: str) -> None:
        await self.command("POST", f"/element/{await self.element(css)}/click")

    async def point(self, css: str) -> None:
        """Move the mouse onto it."""
        origin = {ELEMENT: await self.element(css)}
        move = {"type": "pointerMove", "origin": origin, "x": 0, "y": 0, "duration": 0}
        mouse = {"type": "pointer", "id": "mouse", "actions": [move]}
        await self.command("POST", "/actions", {"actions": [mouse]})

    async def write(self, css: str, text: str) -> None:
        await self.command("POST", f"/element/{await self.element(css)}/value", {"text": text})

    async def log(self) -> list[str]:
        """What the console has said since the last call: errors, CSP refusals."""
        said = await self.command("POST", "/se/log", {"type": "browser"})
        return [f"{one['level']}: {one['message']}" for one in said]

    async def screenshot(self, path: Path, whole: bool = False) -> Path:
        """The window, or with `whole` the page to its end, as PNG."""
        if whole:
            shot = {"captureBeyondViewport": True, "format": "png"}
            body = {"cmd": "Page.captureScreenshot", "params": shot}
            size = {"cmd": "Page.getLayoutMetrics", "params": {}}
            box = (await self.command("POST", "/goog/cdp/execute", size))["cssContentSize"]
            shot["clip"] = {**box, "x": 0, "y": 0, "scale": 1}  # type: ignore[assignment]
            data = (await self.command("POST", "/goog/cdp/execute", body))["data"]
        else:
            data = await self.command("GET", "/screenshot")
        path.write_bytes(base64.b64decode(data))
        return path


@contextlib.asynccontextmanager
async def browser(width: int = 1920, height: int = 1080) -> AsyncIterator[Page]:
    """A Chromium of that window size; it and its driver end with the block."""
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        raise BrowserError("chromium or chromedriver is missing: apt-get install chromium-driver")
    port = _free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            driver, f"--port={port}", stdout=quiet, stderr=quiet
        )
        try:
            async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as http:
                base = f"http://127.0.0.1:{port}"
                await _ready(http, base)
                session = await _session(http, base, chromium, Path(profile), width, height)
                page = Page(http, session)
                try:
                    await page.resize(width, height)
                    yield page
                finally:
                    await http.delete(session)
        finally:
            process.terminate()
            await process.wait()


async def _ready(http: aiohttp.ClientSession, base: str) -> None:
    end = monotonic() + 20
    while monotonic() < end:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{base}/status") as answer:
                if (await answer.json())["value"]["ready"]:
                    return
        await asyncio.sleep(0.05)
    raise BrowserError("chromedriver did not start within 20 s")


async def _session(
    http: aiohttp.ClientSession, base: str, chromium: str, profile: Path, width: int, height: int
) -> str:
    options = {
        "binary": chromium,
        "args": [*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}"],
    }
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    body = json.dumps({"capabilities": {"alwaysMatch": wanted}})
    async with http.post(f"{base}/session", data=body) as answer:
        said = (await answer.json())["value"]
    if answer.status != 200:
        raise BrowserError(said["message"])
    return f"{base}/session/{said['sessionId']}"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
