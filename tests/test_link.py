"""The wire between the two processes: what goes wrong on one side is an answer on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hub import link as module
from hub.api import BadItem, Reading, Series, TryAgain
from hub.link import Link, serve

ACT = {"kind": "acknowledge", "who": "ani", "key": "pm:aq1"}


class Side:
    """An ingest process that does what the test says."""

    def __init__(self) -> None:
        self.acts: list[Mapping[str, Any]] = []
        self.probed: list[str] = []
        self.taken: list[Reading] = []
        self.error: Exception | None = None
        self.patience = 0.0

    async def act(self, act: Mapping[str, Any]) -> int:
        await asyncio.sleep(self.patience)
        if self.error is not None:
            raise self.error
        self.acts.append(act)
        return len(self.acts)

    async def take(self, readings: Sequence[Reading]) -> None:
        if self.error is not None:
            raise self.error
        self.taken += readings

    def probe(self, devices: Sequence[str]) -> None:
        self.probed += devices

    def health(self) -> dict[str, Any]:
        return {"journal": {"last_id": 7}}

    async def route(self, method: str, path: str, body: bytes) -> Mapping[str, Any] | None:
        if self.error is not None:
            raise self.error
        return {"method": method, "bytes": len(body)} if path == "camera/cam1" else None


@pytest.fixture
def side() -> Side:
    return Side()


@pytest.fixture
async def link(tmp_path: Path, side: Side) -> AsyncIterator[Link]:
    runner = await serve(tmp_path / "ingest.sock", side)
    made = Link(tmp_path / "ingest.sock")
    yield made
    await made.close()
    await runner.cleanup()


async def test_acts_probes_health_and_routes_get_through(link: Link, side: Side) -> None:
    assert await link.act(ACT) == 1
    assert side.acts == [ACT]
    await link.probe(["r1", "r2"])
    assert side.probed == ["r1", "r2"]
    assert (await link.health())["journal"]["last_id"] == 7
    answer = await link.route("POST", "camera/cam1", b"123")
    assert answer == (200, {"method": "POST", "bytes": 3})
    assert (await link.route("GET", "nowhere", b""))[0] == 404


async def test_the_socket_is_for_this_user_only(link: Link, tmp_path: Path) -> None:
    assert (tmp_path / "ingest.sock").stat().st_mode & 0o777 == 0o600


async def test_what_fails_over_there_is_told_here(link: Link, side: Side) -> None:
    side.error = TryAgain("the journal can't be written: No space left on device")
    with pytest.raises(TryAgain, match="No space left"):
        await link.act(ACT)
    side.error = BadItem("no such camera")
    assert await link.route("GET", "camera/cam1", b"") == (400, {"error": "no such camera"})
    side.error = ZeroDivisionError("a bug")
    status, answer = await link.route("GET", "camera/cam1", b"")
    assert (status, "a bug" in answer["error"]) == (500, True)
    side.error = None
    assert (await link.route("GET", "camera/cam1", b""))[0] == 200, "it goes on"


async def test_a_request_of_another_shape_is_refused(link: Link) -> None:
    for body in (b"{", b"[1]", b"\xff"):
        status, answer = await link.call("POST", "/act", errors=False, data=body)
        assert (status, answer) == (400, {"error": "not a JSON object"})
    assert (await link.call("GET", "/nowhere", errors=False))[0] == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "dance"}, "unknown act 'dance'"),
        ({"who": ""}, "who does it"),
        ({"who": ["ani"]}, "who is no text"),
        ({"why": "x" * 40_000}, "why is no text"),
        ({"why": "\ud800"}, "why is no text"),
        ({"kind": "silence", "until_ns": 1}, "needs a matcher"),
        ({"kind": "silence", "matcher": {"device": 3}, "until_ns": 1}, "device is no text"),
        ({"kind": "silence", "matcher": ["device"], "until_ns": 1}, "a matcher is an object"),
        ({"until_ns": 10**30}, "until_ns is no time"),
        ({"until_ns": -1}, "until_ns is no time"),
        ({"until_ns": 1.5}, "until_ns is no time"),
        ({"until": 1}, "an act has no 'until'"),
    ],
)
async def test_an_act_that_makes_no_sense_never_reaches_the_journal(
    link: Link, side: Side, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadItem, match=said):
        await link.act({**ACT, **change})
    assert side.acts == []


async def test_without_an_ingest_process_every_call_says_so(tmp_path: Path) -> None:
    link = Link(tmp_path / "ingest.sock")
    for call in (link.act(ACT), link.health(), link.route("GET", "x", b"")):
        with pytest.raises(TryAgain, match="does not answer"):
            await call
    await link.close()


async def test_one_that_hangs_is_given_up(
    link: Link, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    side.patience = 2.0
    with pytest.raises(TryAgain, match="does not answer"):
        await link.act(ACT)
    assert (await link.health())["journal"]


async def test_a_restarted_ingest_process_is_found_again(tmp_path: Path, side: Side) -> None:
    path = tmp_path / "ingest.sock"
    first = await serve(path, side)
    link = Link(path)
    assert await link.act(ACT) == 1
    await first.cleanup()
    with pytest.raises(TryAgain):
        await link.act(ACT)
    path.touch()  # a socket file that a killed process left behind
    second = await serve(path, side)
    assert await link.act(ACT) == 2
    await link.close()
    await second.cleanup()


async def test_imported_readings_come_through_and_what_is_none_is_refused(
    link: Link, side: Side
) -> None:
    reading = Reading(Series.of("environment", "aq1"), 1_700_000_000_000_000_000, {"pm25": 3.5})
    await link.take([reading])
    assert side.taken == [reading]
    with pytest.raises(BadItem, match="no readings"):
        await link.call("POST", "/import", data=b"[1, 2]")
    side.error = TryAgain("the journal is full")
    with pytest.raises(TryAgain, match="full"):
        await link.take([reading])
