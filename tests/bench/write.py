"""InfluxDB 1.6: our InfluxStore against posting prepared line protocol over one connection.

Both write the same readings, `BATCH` at a time, into databases of their own on one server. Ours
goes from readings to the server's answer, as the forwarder does: one batch is formatted while the
one before is being written. The peer does nothing but send bytes that were formatted before the
clock started. Neither compresses, since the server is on this machine.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import aiohttp

from hub.forward import ahead
from hub.reading import Reading, Series
from hub.store.base import Batch
from hub.store.influx import InfluxStore
from hub.store.lineprotocol import LineFormatter
from tests.bench.publisher import SERIES, device
from tests.bench.report import Options, Result, median, say
from tests.influx_support import influxd

BATCH = 5_000
BATCHES = 20
"""In one turn."""
START_NS = 1_790_000_000_000_000_000

Turn = Callable[[list[list[Reading]]], Awaitable[float]]


def run(folder: Path, options: Options) -> list[Result]:
    with influxd(folder) as url:
        return [asyncio.run(_measure(url, options))]


async def _measure(url: str, options: Options) -> Result:
    series = [Series.of("environment", device(n)) for n in range(SERIES)]
    store = InfluxStore(url, "ours")
    await store.open()
    ours: list[float] = []
    theirs: list[float] = []
    cpu: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        await (await session.post(f"{url}/query", params={"q": "CREATE DATABASE prepared"})).read()
        for number in range(-1, max(3, options.rounds) * 2):
            # The first turn of each makes the series; it is not counted.
            turn = ours if number % 2 == 0 else theirs
            batches = _batches(series, number)
            if turn is ours:
                used = time.process_time()
                rate = await _store(store, batches)
                cpu.append((time.process_time() - used) / (BATCH * BATCHES) * 1e6)
            else:
                rate = await _post(session, url, batches)
            if number >= 0:
                turn.append(rate)
                say(f"  {'InfluxStore' if turn is ours else 'prepared   '} {rate:,.0f} points/s")
    await store.close()
    return Result(
        "write",
        median(ours[1:]),
        "points/s",
        cpu_us=median(cpu[1:]),
        peer="prepared lines, one connection",
        peer_value=median(theirs),
    )


def _batches(series: list[Series], turn: int) -> list[list[Reading]]:
    """Readings of three fields; every turn has times of its own."""
    chance = random.Random(turn)
    first = START_NS + (turn + 1) * 1_000_000_000_000
    return [
        [
            Reading(
                series[n % SERIES],
                first + n * 1_000_000,
                {
                    "pm25": round(chance.uniform(5, 90), 1),
                    "temperature": round(chance.uniform(18, 30), 1),
                    "humidity": round(chance.uniform(50, 95), 1),
                },
            )
            for n in range(begin, begin + BATCH)
        ]
        for begin in range(0, BATCH * BATCHES, BATCH)
    ]


async def _store(store: InfluxStore, batches: list[list[Reading]]) -> float:
    async def prepared() -> AsyncGenerator[Batch, None]:
        for number, readings in enumerate(batches):
            yield await store.prepare(Batch(readings, number))

    began = time.monotonic()
    async for batch in ahead(prepared()):
        written = await store.write(batch)
        assert not written.rejected, written.rejected
    return BATCH * BATCHES / (time.monotonic() - began)


async def _post(session: aiohttp.ClientSession, url: str, batches: list[list[Reading]]) -> float:
    formatter = LineFormatter()
    bodies = [b"\n".join(formatter.format(readings).lines) for readings in batches]
    began = time.monotonic()
    for body in bodies:
        async with session.post(
            f"{url}/write",
            params={"db": "prepared", "precision": "ns"},
            data=body,
        ) as answer:
            assert answer.status == 204, await answer.text()
    return BATCH * BATCHES / (time.monotonic() - began)
