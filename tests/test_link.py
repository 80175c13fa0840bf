"""The wire between the two processes: what goes wrong on one side is an answer on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hub import link as module
from hub.api import BadItem, Hint, TryAgain
from hub.link import Link, serve


class Side:
    """An ingest process that does what the test says."""

    def __init__(self) -> None:
        self.acts: list[Mapping[str, Any]] = []
        self.hints: list[Hint] = []
        self.error: Exception | None = None
        self.patience = 0.0

    async def act(self, act: Mapping[str, Any]) -> int:
        await asyncio.sleep(self.patience)
        if self.error is not None:
            raise self.error
        self.acts.append(act)
        return len(self.acts)

    def hint(self, hint: Hint) -> None:
        self.hints.append(hint)

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


async def test_acts_hints_health_and_routes_get_through(link: Link, side: Side) -> None:
    act = {"kind": "acknowledge", "who": "ani", "key": "pm:aq1"}
    assert await link.act(act) == 1
    assert side.acts == [act]
    await link.hint("r1", "linkDown", "traffic")
    assert side.hints == [Hint("r1", "linkDown", "traffic")]
    assert (await link.health())["journal"]["last_id"] == 7
    answer = await link.route("POST", "camera/cam1", b"123")
    assert answer == (200, {"method": "POST", "bytes": 3})
    assert (await link.route("GET", "nowhere", b""))[0] == 404


async def test_the_socket_is_for_this_user_only(link: Link, tmp_path: Path) -> None:
    assert (tmp_path / "ingest.sock").stat().st_mode & 0o777 == 0o600


async def test_what_fails_over_there_is_told_here(link: Link, side: Side) -> None:
    side.error = TryAgain("the journal can't be written: No space left on device")
    with pytest.raises(TryAgain, match="No space left"):
        await link.act({})
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


async def test_without_an_ingest_process_every_call_says_so(tmp_path: Path) -> None:
    link = Link(tmp_path / "ingest.sock")
    for call in (link.act({}), link.health(), link.route("GET", "x", b"")):
        with pytest.raises(TryAgain, match="does not answer"):
            await call
    await link.close()


async def test_one_that_hangs_is_given_up(
    link: Link, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_S", 0.1)
    side.patience = 2.0
    with pytest.raises(TryAgain, match="does not answer"):
        await link.act({})
    assert (await link.health())["journal"]


async def test_a_restarted_ingest_process_is_found_again(tmp_path: Path, side: Side) -> None:
    path = tmp_path / "ingest.sock"
    first = await serve(path, side)
    link = Link(path)
    assert await link.act({}) == 1
    await first.cleanup()
    with pytest.raises(TryAgain):
        await link.act({})
    path.touch()  # a socket file that a killed process left behind
    second = await serve(path, side)
    assert await link.act({}) == 2
    await link.close()
    await second.cleanup()
