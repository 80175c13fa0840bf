"""`toba-hub doctor`: what stands around the hub, looked at for real."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from hub import supervisor
from hub.clock import monotonic, now_ns, to_datetime
from hub.configuration import Configuration
from hub.ingest import enabled
from hub.settings import MIB
from hub.store.base import StoreDown, StoreRefused
from hub.store.choose import open_store

SLOW_SYNC_MS = 50.0
WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    level: Literal["good", "warn", "bad"]
    what: str
    found: str
    remedy: str = ""


async def examine(conf: Configuration) -> list[Finding]:
    """Everything that was looked at, in the order of the drawing."""
    found: list[Finding] = [_clock(), *_disk(conf.settings.data, conf)]
    running = supervisor.running(conf.settings.data)
    if running is not None:
        found.append(await _hub(str(running["url"])))
    async for finding in _collectors(conf):
        found.append(finding)
    if running is None or conf.settings.store.kind == "influxdb":
        found.append(await _store(conf))
    if conf.settings.grafana.url:
        found.append(await _grafana(conf.settings.grafana.url))
    if not conf.settings.channels:
        remedy = "add channels: and teams: to the settings"
        found.append(Finding("warn", "notifications", "no channel: alerts reach nobody", remedy))
    return found


def _clock() -> Finding:
    now = to_datetime(now_ns())
    if now.year < 2024:
        return Finding("bad", "clock", f"it is {now.year}", "set it (systemd-timesyncd, chrony)")
    return Finding("good", "clock", f"{now:%Y-%m-%d %H:%M} UTC")


def _disk(data: Path, conf: Configuration) -> list[Finding]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        sync_ms = _sync_ms(data)
    except OSError as error:
        why = error.strerror or str(error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space there" if full else "make it writable for this user"
        return [Finding("bad", "data folder", f"{data}: {why}", remedy)]
    level: Literal["good", "warn"] = "good" if sync_ms < SLOW_SYNC_MS else "warn"
    remedy = "" if level == "good" else "each acknowledgement waits for it: use a local SSD"
    free_mib = shutil.disk_usage(data).free // MIB
    wanted = conf.settings.journal.acknowledged_mib + conf.settings.journal.polled_mib
    space = Finding("good", "free space", f"{free_mib} MiB")
    if free_mib < wanted:
        space = Finding(
            "warn",
            "free space",
            f"{free_mib} MiB, the journal may take {wanted} MiB",
            "free some, or lower journal.acknowledged_mib and journal.polled_mib",
        )
    return [Finding(level, "fsync", f"{sync_ms:.1f} ms in {data}", remedy), space]


def _sync_ms(folder: Path) -> float:
    """The median of some small appends, each synced."""
    times: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(9):
            began = monotonic()
            os.pwrite(file.fileno(), bytes(4096), len(times) * 4096)
            os.fdatasync(file.fileno())
            times.append((monotonic() - began) * 1000)
    return sorted(times)[len(times) // 2]


async def _hub(url: str) -> Finding:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S)) as session,
            session.get(f"{url}/healthz") as answer,
        ):
            if answer.status == 200:
                return Finding("good", "running hub", url)
            said = await answer.json()
            reasons = [str(one) for one in said.get("reasons", ())]
            return Finding("bad", "running hub", f"{url}: {'; '.join(reasons)}", "mend that")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Finding("bad", "running hub", f"{url} does not answer: {error}", "see its log")


async def _collectors(conf: Configuration) -> AsyncIterator[Finding]:
    for name, plugin in conf.plugins.items():
        targets = conf.inventory.targets(name)
        if not enabled(conf.settings, name):
            yield Finding("warn", name, "left out by enabled: false")
            continue
        section = conf.settings.collectors.get(name, {})
        config = plugin.configure(section, conf.settings.folder)
        yield Finding("good", name, f"{len(targets)} devices")
        try:
            async with asyncio.timeout(WAIT_S * 2):
                for check in await plugin.collector.diagnose(config, targets):
                    yield Finding(check.level, f"{name}: {check.what}", check.found, check.remedy)
        except TimeoutError:
            yield Finding("bad", name, f"its own checks took over {WAIT_S * 2:g} s")
        except Exception as error:  # a plugin's checks may fail in any way; the others go on
            yield Finding("bad", name, f"its own checks failed: {error!r}")


async def _store(conf: Configuration) -> Finding:
    store = open_store(conf.settings.store, conf.settings.data, conf.inventory)
    try:
        await store.open()
        version = getattr(store, "version", "")
        return Finding("good", "store", f"{store.name} {version}".strip())
    except (StoreDown, StoreRefused, OSError) as error:
        remedy = "readings wait in the journal meanwhile; see store: in the settings"
        return Finding("bad", "store", str(error), remedy)
    finally:
        await store.close()


async def _grafana(url: str) -> Finding:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WAIT_S)) as session,
            session.get(f"{url.rstrip('/')}/api/health") as answer,
        ):
            told = await answer.json()
            version = told.get("version", "?") if isinstance(told, dict) else "?"
            return Finding("good", "grafana", f"{url}, version {version}")
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Finding("bad", "grafana", f"{url}: {error}", "see grafana.url in the settings")
