"""What an InfluxDB may answer to a write, and what the operator then sees on the board.

The forwarder keeps the readings through all of it, and its `why` stands on the board and in
/healthz. Where a point is to blame, it alone is parked, with the server's words.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub import forward as module
from hub.store.influx import InfluxStore
from tests.influx_support import (
    StubAnswer,
    StubInflux,
    no_bucket,
    partial_write_3,
    stub_influx,
    too_many,
    unauthorized,
    unavailable,
)
from tests.test_forward import World, running, until

SUSPENDED = '{"code": "invalid", "message": "org is suspended"}'
TIMEOUT_S = 0.3


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", (0.01, 0.05))
    monkeypatch.setattr(module, "POLL_S", 0.005)
    monkeypatch.setattr(module, "LONGEST_WISH_S", 0.05)


async def through(folder: Path, stub: StubInflux, seen: Callable[[str], Any]) -> World:
    """Three readings on their way while the server answers so; `seen` is shown what is said."""
    store = InfluxStore(stub.url, "toba", token="secret", timeout_s=TIMEOUT_S)
    world = World(folder, store)
    world.add(3)
    forwarder = world.forwarder()
    async with running(forwarder):
        await until(lambda: seen(forwarder.why) or forwarder.stored_id == 3)
        said, stored = forwarder.why, forwarder.stored_id
        assert (stored == 0) == bool(said), "kept while it is said, and only then"
        stub.answers.clear()
        await until(lambda: forwarder.stored_id == 3)
        assert forwarder.why == ""
        assert forwarder.down_since_ns is None
    await store.close()
    world.close()
    return world


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (StubAnswer(400, SUSPENDED), "answered 400: org is suspended"),
        (unauthorized(), "answered 401: unauthorized access; check store.token"),
        (no_bucket(), 'answered 404: bucket "toba" not found; check store.url, store.database'),
        (too_many("60"), "answered 429"),
        (unavailable("60"), "answered 503"),
        (StubAnswer(500, "out of memory"), "answered 500: out of memory"),
    ],
    ids=["400", "401", "404", "429", "503", "500"],
)
async def test_the_server_s_answer_is_said_with_the_remedy_and_nothing_is_lost(
    tmp_path: Path, answer: StubAnswer, words: str
) -> None:
    async with stub_influx("v2.9.1") as stub:
        stub.answers = [answer] * 1000
        world = await through(tmp_path, stub, lambda why: words in why)
        lines = stub.writes[-1].body.split(b"\n")
    assert len(lines) == 3
    assert world.parked() == []
    assert world.health.total("store_failures") >= 1


async def test_a_server_that_hangs_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    async with stub_influx("v2.9.1") as stub:
        stub.going.clear()
        store = InfluxStore(stub.url, "toba", token="secret", timeout_s=TIMEOUT_S)
        world = World(tmp_path, store)
        world.add(3)
        forwarder = world.forwarder()
        async with running(forwarder):
            await until(lambda: "gave no answer for 0.3 s" in forwarder.why)
            assert forwarder.stored_id == 0
            stub.going.set()
            await until(lambda: forwarder.stored_id == 3)
        await store.close()
        world.close()


async def test_a_400_that_blames_a_point_parks_it_alone_with_the_server_s_words(
    tmp_path: Path,
) -> None:
    async with stub_influx("3.10.0") as stub:
        stub.answers = [partial_write_3({2: "environment,device=aq1 pm25=2"})]
        world = await through(tmp_path, stub, lambda _: False)
    [parked] = world.parked()
    assert parked["fields"] == {"pm25": 2.0}
    assert "invalid column type for column 'v'" in parked["reason"]
    assert world.health.by("parked", "reason") == {"refused_by_store": 1}
